//! A pipeline of the same name is on the cluster already.

use serde_json::json;

use super::Scene;
use crate::support::arroyo::FakePipeline;

fn bodies(scene: &Scene, id: &str) -> Vec<serde_json::Value> {
    let asked = scene.arroyo.asked("PATCH", &format!("/{id}"));
    asked.into_iter().map(|asked| asked.body).collect()
}

/// With the main job's own SQL.
fn same(scene: &Scene, state: &str) -> FakePipeline {
    FakePipeline {
        parallelism: 3,
        ..FakePipeline::new("pl_old", "ohlc", &scene.submitted(), state)
    }
}

#[test]
fn one_with_the_same_sql_that_runs_is_left_alone() {
    let scene = Scene::new();
    // Behind others, so that it is on another page.
    scene.has(same(&scene, "Running"));
    for number in 0..7 {
        scene.has(FakePipeline::new(
            &format!("pl_a{number}"),
            "another",
            "x",
            "Running",
        ));
    }
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("pipeline pl_old has the same SQL and is Running; it is left as it is"),
        "{}",
        ended.said
    );
    assert!(ended.printed.contains("pl_old\nhttp://"), "{}", ended.said);
    assert!(
        scene.arroyo.asked("POST", "/pipelines").is_empty() && bodies(&scene, "pl_old").is_empty()
    );
    let run = scene.run(&["ohlc.sql"]).start();
    run.wait_for("Ctrl-C stops it");
    run.signal("INT");
    assert_eq!(run.end().code, Some(0));
    assert_eq!(scene.arroyo.pipeline("pl_old").state, "Stopped");
}

#[test]
fn another_comment_is_no_other_sql() {
    let scene = Scene::new();
    scene.has(same(&scene, "Running"));
    scene.file("ohlc.sql", &format!("-- edited\n{}", super::OHLC));
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("it is left as it is"), "{}", ended.said);
    assert_eq!(scene.arroyo.world().pipelines.len(), 1);
}

#[test]
fn one_with_the_same_sql_gets_other_settings() {
    let scene = Scene::new();
    scene.has(same(&scene, "Running"));
    let ended = scene
        .cluster(&["--conf", "spark.stockpulse.arroyo.parallelism=6"])
        .conf("spark.stockpulse.arroyo.checkpointInterval", "1 minute")
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(
        bodies(&scene, "pl_old"),
        [json!({"parallelism": 6, "checkpoint_interval_micros": 60_000_000})]
    );
}

#[test]
fn one_with_the_same_sql_that_was_stopped_goes_on_from_its_checkpoint() {
    let scene = Scene::new();
    scene.has(same(&scene, "Stopped"));
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("is restarted from its last checkpoint"),
        "{}",
        ended.said
    );
    assert_eq!(bodies(&scene, "pl_old"), [json!({"stop": "none"})]);
    // Arroyo restarts a stopped pipeline when it is to run, and only a failed one by its restart.
    assert!(scene.arroyo.asked("POST", "/restart").is_empty());
    assert_eq!(scene.arroyo.pipeline("pl_old").state, "Running");
}

#[test]
fn one_with_the_same_sql_that_failed_is_restarted() {
    let scene = Scene::new();
    let failed = FakePipeline {
        failure: Some("no disk".to_owned()),
        ..same(&scene, "Failed")
    };
    scene.has(failed);
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let restarts = scene.arroyo.asked("POST", "/pl_old/restart");
    assert_eq!(restarts.len(), 1);
    assert_eq!(restarts[0].body, json!({"force": false}));
    assert!(!ended.said.contains("no disk"), "{}", ended.said);
    assert_eq!(scene.arroyo.pipeline("pl_old").state, "Running");
}

#[test]
fn one_with_the_same_sql_that_is_stopping_or_finished_is_waited_for_or_made_anew() {
    let scene = Scene::new();
    let stopping = FakePipeline {
        next: ["CheckpointStopping", "CheckpointStopping", "Stopped"].into(),
        ..same(&scene, "CheckpointStopping")
    };
    scene.has(stopping);
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("is ending; waiting for that"),
        "{}",
        ended.said
    );
    assert_eq!(scene.arroyo.pipeline("pl_old").state, "Running");
    scene.arroyo.world().pipelines[0] = same(&scene, "Finished");
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("is finished, which cannot be restarted"),
        "{}",
        ended.said
    );
    assert_eq!(scene.arroyo.pipeline("pl_2").state, "Running");
}

#[test]
fn one_with_other_sql_is_stopped_and_replaced_and_what_becomes_of_its_state_is_said() {
    let scene = Scene::new();
    scene.has(FakePipeline::new("pl_old", "ohlc", "SELECT 1", "Running"));
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(bodies(&scene, "pl_old"), [json!({"stop": "checkpoint"})]);
    assert_eq!(scene.arroyo.pipeline("pl_old").state, "Stopped");
    assert_eq!(scene.arroyo.pipeline("pl_2").state, "Running");
    for said in [
        "pipeline pl_old has other SQL and is replaced",
        "the state of pipeline pl_old (stopped) does not carry over",
        "from its beginning ('source.offset' = 'earliest'), so into the same path it writes again what pl_old wrote",
    ] {
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
    // The old one has stopped before the new one is there.
    let asked = scene.arroyo.world().asked.clone();
    let at = |method: &str, path: &str| {
        asked
            .iter()
            .position(|asked| asked.method == method && asked.path == path)
    };
    assert!(at("PATCH", "/pipelines/pl_old").unwrap() < at("POST", "/pipelines").unwrap());
    assert!(
        asked
            .iter()
            .filter(|asked| asked.path == "/pipelines/pl_old/jobs")
            .count()
            > 2
    );
}

#[test]
fn of_a_group_it_is_said_where_the_new_one_begins() {
    let scene = Scene::new();
    let sql = super::OHLC.replace(
        "'source.offset' = 'earliest'",
        "'source.offset' = 'group', 'source.group_id' = 'candles'",
    );
    scene.file("ohlc.sql", &sql);
    scene.has(FakePipeline::new("pl_old", "ohlc", "SELECT 1", "Stopped"));
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("from the offsets that group candles committed"),
        "{}",
        ended.said
    );
}

#[test]
fn what_the_cluster_does_not_take_replaces_nothing() {
    let scene = Scene::new();
    scene.has(FakePipeline::new("pl_old", "ohlc", "SELECT 1", "Running"));
    scene.arroyo.world().faults = vec![json!({"message": "wrong"})];
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert_eq!(scene.arroyo.pipeline("pl_old").stop, "none");
    scene.arroyo.world().faults.clear();
    scene.arroyo.world().refuses_to_create = true;
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    for said in [
        "was not replaced; with its old SQL",
        "(400 Bad Request): Failed to plan query:\n * no room",
    ] {
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
}

#[test]
fn two_of_the_name_that_run_are_not_chosen_between() {
    let scene = Scene::new();
    for id in ["pl_x", "pl_y"] {
        scene.has(FakePipeline::new(id, "ohlc", "SELECT 1", "Running"));
    }
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("2 pipelines named ohlc run on the cluster (pl_y, pl_x)"),
        "{}",
        ended.said
    );
    assert!(scene.arroyo.asked("POST", "/pipelines").is_empty());
}
