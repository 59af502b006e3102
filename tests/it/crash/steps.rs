//! The steps of a start and of an epoch, in their order: the table in docs/RELIABILITY.md is about these.

use std::sync::Arc;

use expect_test::expect;
use stockpulse::disk::Disk;

use super::matrix::folder;
use super::scene::Scene;
use super::watch::{At, Stop};

#[test]
fn an_epoch_is_staged_then_committed_then_published() {
    let scene = Scene::new();
    let folder = folder();
    let stop = Arc::new(Stop::new(At::Never, folder.path()));
    let disk = Disk::watched(stop.clone());
    scene.run(0, folder.path(), &disk, Some(&stop)).unwrap();
    let mut steps = stop.steps();
    // Several writes of a file are one line.
    steps.dedup();
    let first = steps
        .iter()
        .position(|step| step.starts_with("tell"))
        .unwrap();
    let start = steps
        .iter()
        .position(|step| step.starts_with("create data/_stage"))
        .unwrap();
    let second = steps[first + 1..]
        .iter()
        .position(|step| step.starts_with("tell"))
        .unwrap();
    let text = |steps: &[String]| steps.join("\n") + "\n";
    expect![[""]].assert_eq(&text(&steps[..start]));
    expect![[""]].assert_eq(&text(&steps[start..=first]));
    expect![[""]].assert_eq(&text(&steps[first + 1..first + 2 + second]));
}
