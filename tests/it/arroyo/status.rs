//! `--status` and `--kill`.

use serde_json::json;

use super::Scene;
use crate::support::arroyo::FakePipeline;

#[test]
fn status_tells_of_a_pipeline_by_its_id_or_its_name() {
    let scene = Scene::new();
    let failed = FakePipeline {
        failure: Some("no disk".to_owned()),
        ..FakePipeline::new("pl_a", "my job", "SELECT 1", "Failed")
    };
    scene.has(failed);
    let by_id = scene.run(&["--status", "pl_a"]).end();
    assert_eq!(by_id.code, Some(0), "{}", by_id.said);
    let wanted = format!(
        "pipeline    pl_a\nname        my job\nstate       Failed\nstarted     2026-07-25 17:20:00 UTC\nended       2026-07-25 17:21:00 UTC\n\
         failure     no disk\nparallelism 4\ntasks       12\ncheckpoint  2, 2026-07-25 17:20:20 UTC\nconsole     http://127.0.0.1:{}/pipelines/pl_a\n",
        scene.arroyo.port
    );
    assert_eq!(by_id.said, wanted);
    assert_eq!(scene.run(&["--status", "my job"]).end().said, wanted);
}

#[test]
fn kill_stops_a_pipeline_with_a_last_checkpoint_and_waits_for_it() {
    let scene = Scene::new();
    scene.has(FakePipeline::new("pl_a", "ohlc", "SELECT 1", "Running"));
    let ended = scene.run(&["--kill", "ohlc"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(
        scene.arroyo.asked("PATCH", "/pl_a")[0].body,
        json!({"stop": "checkpoint"})
    );
    assert_eq!(scene.arroyo.pipeline("pl_a").state, "Stopped");
    let ended = scene.run(&["--kill", "pl_a"]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("does not run: it is Stopped"),
        "{}",
        ended.said
    );
    assert_eq!(scene.arroyo.asked("PATCH", "/pl_a").len(), 1);
}

#[test]
fn what_is_not_there_is_said() {
    let scene = Scene::new();
    for arguments in [
        ["--status", "pl_x"],
        ["--kill", "../pipelines"],
        ["--status", ""],
    ] {
        let ended = scene.run(&arguments).end();
        assert_eq!(ended.code, Some(1), "{}", ended.said);
        assert!(
            ended.said.contains("no pipeline of the id or the name"),
            "{}",
            ended.said
        );
    }
    assert!(
        scene
            .arroyo
            .world()
            .asked
            .iter()
            .all(|asked| !asked.path.contains(".."))
    );
}
