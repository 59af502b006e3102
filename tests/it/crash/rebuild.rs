//! A rebuild stopped at every step: readers find the old tables or the new ones, each of them whole, and whoever is
//! started next finishes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use stockpulse::disk::Disk;

use super::matrix::{everywhere, folder, places};
use super::scene::Scene;
use super::watch::{At, STOPPED, Stop};

type Tables = BTreeMap<String, Vec<String>>;

/// What is wrong if a table is neither the old one nor the new one.
fn check_either(found: &Tables, old: &Tables, new: &Tables) -> Result<(), String> {
    for (table, rows) in found {
        if *rows != old[table] && *rows != new[table] {
            return Err(format!(
                "{table} is neither the old nor the new one: {rows:#?}"
            ));
        }
    }
    Ok(())
}

#[test]
fn a_rebuild_stopped_at_any_step_is_finished_by_the_next() {
    let scene = Scene::new();
    let begun = folder();
    scene.finish(0, begun.path()).unwrap();
    let old = scene.read(begun.path()).unwrap();
    let new = scene.rebuilt(folder().path());
    assert!(old["ohlc"].len() > new["ohlc"].len());
    let stop = Arc::new(Stop::new(At::Never, begun.path()));
    let disk = Disk::watched(stop.clone());
    scene.rebuild(begun.path(), &disk, Some(&stop)).unwrap();
    assert_eq!(scene.read(begun.path()).unwrap(), new);
    let places = places(&stop.steps());
    everywhere(&places, |&at| {
        let folder = folder();
        scene.finish(0, folder.path()).unwrap();
        let stop = Arc::new(Stop::new(at, folder.path()));
        let disk = Disk::watched(stop.clone());
        let ended = scene.rebuild(folder.path(), &disk, Some(&stop));
        let wrong = |what: String| format!("stopped {at:?} ({:?}): {what}", stop.steps().last());
        if let Err(error) = ended
            && !error.to_string().contains(STOPPED)
        {
            return Err(wrong(error.to_string()));
        }
        check_either(&scene.read(folder.path())?, &old, &new).map_err(wrong)?;
        let ended = scene.rebuild(folder.path(), &Disk::default(), None);
        ended.map_err(|error| wrong(error.to_string()))?;
        match scene.read(folder.path())? == new {
            true => Ok(()),
            false => Err(wrong("the tables are not the new ones".to_string())),
        }
    });
    eprintln!("{} places of a rebuild", places.len());
}
