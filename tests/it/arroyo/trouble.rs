//! A cluster that is away, slow, in trouble or does not let us in.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::Scene;
use crate::support::arroyo::{FakePipeline, Trouble};
use crate::support::shipped::{INGEST, Run};
use crate::support::venue::Authority;

const TOKEN: &str = "a-very-secret-token";

#[test]
fn a_cluster_that_is_not_there_is_said_with_what_to_look_at() {
    let scene = Scene::new();
    let master = "arroyo://127.0.0.1:1";
    let ended = Run::new(INGEST, scene.path())
        .arguments(&["--master", master, "ohlc.sql"])
        .end();
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    for said in [
        "the Arroyo cluster at http://127.0.0.1:1 cannot be reached",
        "is it running, and is this the port of its REST API (5115)?",
    ] {
        assert!(ended.said.contains(said), "{}", ended.said);
    }
}

#[test]
fn a_token_is_asked_for_brought_and_never_shown() {
    let scene = Scene::new();
    scene.arroyo.world().token = Some(TOKEN.to_owned());
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("(401 Unauthorized): set ARROYO_TOKEN in the environment"),
        "{}",
        ended.said
    );
    let ended = scene.cluster(&[]).env("ARROYO_TOKEN", "another").end();
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    let ended = scene
        .cluster(&["--verbose"])
        .env("ARROYO_TOKEN", TOKEN)
        .env("STOCKPULSE_LOG", "trace")
        .end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.said.contains(TOKEN), "{}", ended.said);
    scene.arroyo.world().troubles.push((
        "POST",
        "/validate_query",
        Trouble::Answer(403, "{\"error\":\"Admin role required\"}"),
    ));
    let ended = scene.cluster(&[]).env("ARROYO_TOKEN", TOKEN).end();
    assert!(
        ended.said.contains("403 Forbidden") && ended.said.contains("ARROYO_TOKEN"),
        "{}",
        ended.said
    );
}

#[test]
fn a_password_in_the_address_is_refused_and_not_shown() {
    let scene = Scene::new();
    let master = "arroyo://me:hush@localhost";
    let ended = Run::new(INGEST, scene.path())
        .arguments(&["--master", master, "ohlc.sql"])
        .end();
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("the token goes into the environment, as ARROYO_TOKEN"),
        "{}",
        ended.said
    );
    assert!(!ended.said.contains("hush"), "{}", ended.said);
}

#[test]
fn trouble_that_passes_is_not_noticed() {
    let scene = Scene::new();
    for (method, end, trouble) in [
        (
            "POST",
            "/validate_query",
            Trouble::Answer(502, "<html>bad gateway</html>"),
        ),
        ("POST", "/validate_query", Trouble::LoseAnswer),
        (
            "GET",
            "/pipelines",
            Trouble::Answer(500, "{\"error\":\"Something went wrong\"}"),
        ),
        (
            "POST",
            "/pipelines",
            Trouble::Answer(503, "{\"error\":\"compiler-service not available\"}"),
        ),
        ("GET", "/jobs", Trouble::LoseAnswer),
        ("GET", "/jobs", Trouble::Late(Duration::from_secs(1))),
    ] {
        scene.arroyo.world().troubles.push((method, end, trouble));
    }
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(scene.arroyo.world().troubles.is_empty());
    assert_eq!(scene.arroyo.world().pipelines.len(), 1);
}

#[test]
fn a_pipeline_whose_creation_was_answered_but_not_heard_is_not_created_twice() {
    let scene = Scene::new();
    scene.has(FakePipeline::new(
        "pl_old",
        "ohlc",
        &scene.submitted(),
        "Finished",
    ));
    scene
        .arroyo
        .world()
        .troubles
        .push(("POST", "/pipelines", Trouble::LoseAnswer));
    let ended = scene.cluster(&[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("the answer was lost, but the pipeline was created"),
        "{}",
        ended.said
    );
    assert!(ended.printed.contains("pl_2\nhttp"), "{}", ended.said);
    assert_eq!(scene.arroyo.world().pipelines.len(), 2);
}

#[test]
fn a_cluster_that_is_away_for_a_while_is_waited_for_while_a_pipeline_is_followed() {
    let scene = Scene::new();
    let run = scene.run(&["ohlc.sql"]).start();
    run.wait_for("Ctrl-C stops it");
    for _ in 0..6 {
        scene
            .arroyo
            .world()
            .troubles
            .push(("GET", "/jobs", Trouble::Answer(502, "")));
    }
    run.wait_for("goes on as it can, and the cluster is asked again");
    run.wait_for("the cluster answers again");
    run.signal("INT");
    assert_eq!(run.end().code, Some(0));
}

#[test]
fn a_pipeline_that_could_not_be_stopped_is_said_to_go_on() {
    let scene = Scene::new();
    let run = scene.run(&["ohlc.sql"]).start();
    run.wait_for("Ctrl-C stops it");
    for _ in 0..5 {
        let trouble = ("PATCH", "/pl_1", Trouble::Answer(502, ""));
        scene.arroyo.world().troubles.push(trouble);
    }
    run.signal("TERM");
    let ended = run.end();
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("pipeline pl_1 was not stopped and goes on"),
        "{}",
        ended.said
    );
}

#[test]
fn what_answers_and_is_no_arroyo_is_named() {
    let scene = Scene::new();
    for (answer, code, said) in [
        (
            Trouble::Answer(200, "<html>hello</html>"),
            Some(1),
            "is not Arroyo's REST API",
        ),
        (
            Trouble::Answer(200, "{\"graph\":null}"),
            Some(1),
            "missing field `errors`",
        ),
        (
            Trouble::Answer(404, "404"),
            Some(1),
            "it answers 404 Not Found, and not why",
        ),
        (
            Trouble::Answer(422, "{\"error\":\"missing field `x`\"}"),
            Some(1),
            "refuses (422 Unprocessable Entity): missing field `x`",
        ),
        (
            Trouble::Answer(200, "{\"graph\":null,\"errors\":[]}"),
            Some(3),
            "and says no reason",
        ),
    ] {
        scene
            .arroyo
            .world()
            .troubles
            .push(("POST", "/validate_query", answer));
        let ended = scene.cluster(&[]).end();
        assert_eq!(ended.code, code, "{}", ended.said);
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
    assert!(scene.arroyo.asked("POST", "/pipelines").is_empty());
}

#[test]
fn over_tls_an_authority_of_ones_own_is_trusted_if_it_is_given() {
    let scene = Scene::new();
    let authority = Authority::new();
    authority.write(&scene.path().join("ca.pem"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let (port, behind, acceptor) = (
        listener.local_addr().unwrap().port(),
        scene.arroyo.port,
        authority.acceptor(),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.spawn(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us goes.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut inner = TcpStream::connect(("127.0.0.1", behind)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut inner).await;
            });
        }
    });
    let run = |scheme: &str| {
        let master = format!("{scheme}://127.0.0.1:{port}");
        Run::new(INGEST, scene.path()).arguments(&[
            "--master",
            &master,
            "ohlc.sql",
            "--deploy-mode",
            "cluster",
            "--dry-run",
        ])
    };
    let ended = run("arroyos").env("STOCKPULSE_CA_FILE", "ca.pem").end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let ended = run("arroyos").end();
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(
        ended.said.contains("certificate") && ended.said.contains("STOCKPULSE_CA_FILE"),
        "{}",
        ended.said
    );
    let ended = run("arroyos").env("STOCKPULSE_CA_FILE", "none.pem").end();
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    let ended = run("arroyo").end();
    assert_eq!(ended.code, Some(4), "{}", ended.said);
    assert!(
        ended.said.contains("a cluster behind TLS is arroyos://"),
        "{}",
        ended.said
    );
}
