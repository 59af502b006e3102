//! A power cut after every step: whatever of what was not fsynced is lost, the next start makes it whole.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use stockpulse::disk::Disk;

use super::matrix::folder;
use super::model::{self, Image, write};
use super::scene::{RUNS, Scene};
use super::watch::{Done, Record};

/// Threads that try images; each records the runs anew, since a checkpoint knows its tables' paths.
const THREADS: usize = 2;

/// The steps of a scene's runs in `folder`, by run.
fn recorded(scene: &Scene, folder: &Path) -> Vec<Vec<Done>> {
    let runs = (0..RUNS).map(|run| {
        let record = Arc::new(Record::new(folder));
        let disk = Disk::watched(record.clone());
        scene.run(run, folder, &disk, None).unwrap();
        std::mem::take(&mut *record.done.lock().unwrap())
    });
    runs.collect()
}

/// Every image that a power cut can leave, once, with the run that it is in.
fn images(runs: &[Vec<Done>]) -> Vec<(usize, Image)> {
    let mut disk = model::Disk::new();
    let (mut known, mut images) = (BTreeSet::new(), Vec::new());
    for (run, steps) in runs.iter().enumerate() {
        for step in steps {
            disk.step(step);
            for image in disk.images() {
                if known.insert(image.clone()) {
                    images.push((run, image));
                }
            }
        }
    }
    images
}

#[test]
fn whatever_a_power_cut_leaves_the_next_start_makes_it_whole() {
    let scene = Scene::new();
    let try_share = &|share: usize| {
        let folder = folder();
        let images = images(&recorded(&scene, folder.path()));
        let mut wrong = Vec::new();
        for (run, image) in images.iter().skip(share).step_by(THREADS) {
            std::fs::remove_dir_all(folder.path().join("data")).unwrap_or_default();
            write(image, folder.path());
            let ended = scene.finish(*run, folder.path());
            if let Err(what) = scene.check_end(folder.path(), &ended) {
                let names: Vec<String> = image
                    .iter()
                    .map(|(path, content)| {
                        format!("{} {:?}", path.display(), content.as_ref().map(Vec::len))
                    })
                    .collect();
                wrong.push(format!(
                    "{what}\nafter a cut in run {run} that left {names:#?}"
                ));
            }
        }
        (images.len(), wrong)
    };
    let shares: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|share| scope.spawn(move || try_share(share)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let tried = shares[0].0;
    let wrong: Vec<&String> = shares.iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(
        wrong.is_empty(),
        "{} of {tried} images: {}",
        wrong.len(),
        wrong[0]
    );
    eprintln!("{tried} images");
}
