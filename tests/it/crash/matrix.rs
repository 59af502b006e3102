//! Every place where a process can end, and for each of them every place where the next one can, before it has
//! made good what the first has left.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stockpulse::disk::Disk;

use super::scene::{RUNS, Scene};
use super::watch::{At, STOPPED, Stop};

/// Threads that try places.
const THREADS: usize = 2;

/// Runs a scene until it is stopped; in which run that was, and the steps of it. `None`: it came to the end.
fn until_stopped(scene: &Scene, folder: &Path, at: At) -> (Option<usize>, Vec<String>) {
    let stop = Arc::new(Stop::new(at, folder));
    let disk = Disk::watched(stop.clone());
    for run in 0..RUNS {
        let ended = scene.run(run, folder, &disk, Some(&stop));
        if stop.stopped() {
            if let Err(error) = ended {
                assert!(error.to_string().contains(STOPPED), "{at:?}: {error}");
            }
            return (Some(run), stop.steps());
        }
        ended.unwrap();
    }
    (None, stop.steps())
}

/// Calls `check` with every place, on some threads; collects what is wrong.
pub fn everywhere<P: Sync>(places: &[P], check: impl Fn(&P) -> Result<(), String> + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut wrong = Vec::new();
        while let Some(place) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
            wrong.extend(check(place).err());
        }
        wrong
    };
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(
        wrong.is_empty(),
        "{} of {} places:\n{}",
        wrong.len(),
        places.len(),
        wrong.join("\n\n")
    );
}

/// Every step, and the middle of every write.
pub fn places(steps: &[String]) -> Vec<At> {
    let before = (0..=steps.len()).map(At::Before);
    let writes = steps
        .iter()
        .enumerate()
        .filter(|(_, step)| step.starts_with("write "));
    before
        .chain(writes.map(|(number, _)| At::Amid(number)))
        .collect()
}

#[test]
fn stopped_at_any_step_a_job_goes_on_with_nothing_lost_and_nothing_twice() {
    let scene = Scene::new();
    let whole = folder();
    let (stopped, steps) = until_stopped(&scene, whole.path(), At::Never);
    assert_eq!(stopped, None);
    let places = places(&steps);
    everywhere(&places, |&at| {
        let folder = folder();
        let (stopped, begun) = until_stopped(&scene, folder.path(), at);
        let wrong = |what: String| format!("stopped {at:?} ({:?}): {what}", begun.last());
        let before = scene.check_midway(folder.path()).map_err(wrong)?;
        let ended = scene.finish(stopped.unwrap_or(RUNS - 1), folder.path());
        scene.check_end(folder.path(), &ended).map_err(wrong)?;
        let after = scene.check_midway(folder.path()).map_err(wrong)?;
        match before <= after {
            true => Ok(()),
            false => Err(wrong("rows have vanished".to_string())),
        }
    });
    eprintln!("{} places", places.len());
}

#[test]
fn stopped_again_while_it_makes_good_what_the_first_stop_left() {
    let scene = Scene::new();
    let whole = folder();
    let (_, steps) = until_stopped(&scene, whole.path(), At::Never);
    let tried = AtomicUsize::new(0);
    everywhere(&places(&steps), |&first| {
        // Always the same folder, since a checkpoint knows its tables' paths.
        let (folder, left) = (folder(), folder());
        let (stopped, _) = until_stopped(&scene, folder.path(), first);
        let run = stopped.unwrap_or(RUNS - 1);
        copy(folder.path(), left.path());
        for second in 0.. {
            let _ = std::fs::remove_dir_all(folder.path().join("data"));
            copy(left.path(), folder.path());
            let stop = Arc::new(Stop::new(At::Before(second), folder.path()));
            let disk = Disk::watched(stop.clone());
            let ended = scene.run(run, folder.path(), &disk, Some(&stop));
            let wrong = |what: String| {
                format!(
                    "stopped {first:?}, then {second} ({:?}): {what}",
                    stop.steps().last()
                )
            };
            let is_over = stop
                .steps()
                .iter()
                .any(|step| step.starts_with("create data/_stage"));
            if !stop.stopped() {
                ended.map_err(|error| wrong(error.to_string()))?;
                break;
            }
            tried.fetch_add(1, Ordering::Relaxed);
            scene.check_midway(folder.path()).map_err(wrong)?;
            let ended = scene.finish(run, folder.path());
            scene.check_end(folder.path(), &ended).map_err(wrong)?;
            if is_over {
                break;
            }
        }
        Ok(())
    });
    eprintln!("{} pairs of places", tried.into_inner());
}

pub fn folder() -> tempfile::TempDir {
    let in_memory = Path::new("/dev/shm");
    match in_memory.is_dir() {
        true => tempfile::tempdir_in(in_memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

pub fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => {
                std::fs::create_dir(&target).unwrap();
                copy(&entry.path(), &target);
            }
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
