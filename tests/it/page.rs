//! The page of a running job, by the real binary over loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::broker::{PATIENCE, TestBroker};
use crate::support::shipped::{Folder, Started};

const TOKEN: &str = "c0ffee-very-secret";

/// Status code, the head in lower case, and the body.
pub fn request(address: SocketAddr, path: &str, token: Option<&str>) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> Value {
    let (status, head, body) = request(address, path, None);
    assert_eq!(status, 200, "{path}: {body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

/// What `path` answers once it is as wanted.
pub fn wait_for(address: SocketAddr, path: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let (status, _, body) = request(address, path, None);
        let json: Value = serde_json::from_str(&body).unwrap();
        if status == 200 && is_there(&json) {
            return json;
        }
        assert!(begun.elapsed() < PATIENCE, "{path}: {body}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn tick(symbol: &str, price: f64, seconds: i64) -> Vec<u8> {
    let time = 1_785_578_400_000 + seconds * 1000;
    format!(r#"{{"type":"trade","data":[{{"s":"{symbol}","p":{price:?},"t":{time},"v":2}}]}}"#)
        .into_bytes()
}

/// A job with a page on any port, and where that is.
fn start(broker: &TestBroker, folder: &Folder, token: Option<&str>) -> (Started, SocketAddr) {
    let mut run = folder
        .ingest(broker, &[])
        .conf("spark.ui.enabled", "true")
        .conf("spark.ui.port", "0");
    if let Some(token) = token {
        run = run.env("STOCKPULSE_JOB_TOKEN", token);
    }
    let job = run.start();
    let address = address(&job);
    (job, address)
}

/// Where a job's page is.
pub fn address(job: &Started) -> SocketAddr {
    let said = job.wait_for("the job's page is at http://");
    let (_, rest) = said.split_once("page is at http://").unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

#[test]
fn where_a_job_stands_is_on_its_page() {
    let (broker, folder) = (TestBroker::start(2), Folder::new());
    let (job, address) = start(&broker, &folder, None);
    let ticks = [
        (0, tick("A", 10.0, 10)),
        (1, tick("B", 20.0, 10)),
        (0, tick("A", 11.0, 20)),
        (1, b"not json".to_vec()),
    ];
    broker.produce(
        ticks
            .iter()
            .map(|(partition, frame)| (*partition, frame.as_slice())),
    );
    let stands = wait_for(address, "/api/v1/job", |job| {
        job["ticks"]["in_windows"] == 3
    });
    assert_eq!(stands["state"], "running");
    assert_eq!(stands["topic"], broker.topic);
    assert_eq!(stands["tables"], json!(["ohlc"]));
    assert_eq!(stands["open_windows"], 1);
    assert_eq!(stands["ticks"]["read"], 4);
    let rejected = stands["ticks"]["rejected"].as_object().unwrap();
    assert_eq!(rejected.values().cloned().collect::<Vec<_>>(), [json!(1)]);
    let partitions = wait_for(address, "/api/v1/job", |job| {
        let partitions = job["partitions"].as_array().unwrap();
        partitions.iter().all(|one| one["behind"] == 0)
    });
    assert_eq!(partitions["partitions"][1]["next"], 2);

    // Open windows, as if they closed now.
    let open = wait_for(address, "/api/v1/open?output=ohlc&newest=2", |open| {
        open["outputs"][0]["rows"]
            .as_array()
            .is_some_and(|rows| rows.len() == 2)
    });
    let candle = &open["outputs"][0]["rows"][0];
    assert_eq!(open["outputs"][0]["name"], "ohlc");
    assert_eq!(candle["symbol"], "A");
    assert_eq!(candle["window_start"], "2026-08-01T10:00:00Z");
    assert_eq!(
        [
            &candle["open"],
            &candle["close"],
            &candle["volume"],
            &candle["trades"]
        ],
        [&json!(10.0), &json!(11.0), &json!(4.0), &json!(2)]
    );
    assert_eq!(
        get(address, "/api/v1/open?output=x"),
        json!({ "outputs": [] })
    );

    // As Spark says it.
    let progress = get(address, "/api/v1/progress");
    let source = &progress["sources"][0];
    assert_eq!(source["description"], format!("Kafka[{}]", broker.topic));
    assert_eq!(source["endOffset"][&broker.topic]["0"], 2);
    assert_eq!(source["latestOffset"][&broker.topic]["1"], 2);
    assert_eq!(source["metrics"]["maxOffsetsBehindLatest"], "0");
    assert!(progress["batchId"].is_u64() && progress["durationMs"]["triggerExecution"].is_u64());
    let recent = get(address, "/api/v1/progress/recent");
    let read: u64 = recent
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["numInputRows"].as_u64().unwrap())
        .sum();
    assert!(read <= 4, "{read}");

    let (status, head, text) = request(address, "/metrics", None);
    assert!(status == 200 && head.contains("openmetrics-text"), "{head}");
    assert!(
        text.contains("stockpulse_job_ticks_read_total 4\n"),
        "{text}"
    );
    for line in [
        "stockpulse_job_offsets_behind{partition=\"1\"} 0\n".to_owned(),
        format!(
            "stockpulse_job_partition_watermark_seconds{{partition=\"0\"}} {}\n",
            1_785_578_400 + 20 - 60
        ),
        "stockpulse_job_stage_seconds_total{stage=\"compute\"} ".to_owned(),
        "stockpulse_job_memory_bytes ".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    let plan = get(address, "/api/v1/plan");
    assert!(
        plan["sql"]
            .as_str()
            .unwrap()
            .contains("CREATE TABLE raw_ticks")
    );
    assert!(
        plan["plan"]
            .as_str()
            .unwrap()
            .contains("DataFusion's plans, optimised")
    );
    assert_eq!(get(address, "/healthz"), json!({ "status": "ok" }));
    assert_eq!(get(address, "/readyz"), json!({ "status": "reading" }));
    assert!(get(address, "/api/v1/history")["samples"].is_array());

    let (status, head, page) = request(address, "/", None);
    assert!(
        status == 200 && page.contains("<title>StockPulse job</title>"),
        "{page}"
    );
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{head}"
    );
    let (status, _, nothing) = request(address, "/api/v2", None);
    assert!(
        status == 404 && nothing.contains("/api/v1/progress"),
        "{nothing}"
    );
    let (status, _, wrong) = request(address, "/api/v1/open?newest=x", None);
    assert!(status == 400 && wrong.contains("newest"), "{wrong}");

    job.signal("INT");
    let ended = job.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
}

#[test]
fn a_page_with_a_token_shows_nothing_without_it() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    let sql = std::fs::read_to_string(folder.path().join("ohlc.sql")).unwrap();
    let secret =
        "client_configs = 'ssl.key.password=hunter2-in-the-file',\n    connector = 'kafka',";
    folder.file("ohlc.sql", &sql.replacen("connector = 'kafka',", secret, 1));
    let (job, address) = start(&broker, &folder, Some(TOKEN));
    for path in [
        "/api/v1/job",
        "/api/v1/open",
        "/metrics",
        "/api/v1/plan",
        "/nowhere",
    ] {
        let (status, head, body) = request(address, path, None);
        assert!(
            status == 401 && head.contains("www-authenticate: bearer"),
            "{path}: {body}"
        );
        assert!(
            body.contains("STOCKPULSE_JOB_TOKEN") && !body.contains(TOKEN),
            "{body}"
        );
        assert_eq!(request(address, path, Some("wrong")).0, 401);
    }
    assert_eq!(request(address, "/", None).0, 200);
    assert_eq!(request(address, "/healthz", None).0, 200);
    let (status, _, plan) = request(address, "/api/v1/plan", Some(TOKEN));
    assert!(status == 200 && plan.contains("client_configs"), "{plan}");
    assert!(!plan.contains("hunter2"), "{plan}");
    job.signal("TERM");
    let ended = job.end();
    assert!(
        !ended.said.contains(TOKEN) && !ended.said.contains("hunter2"),
        "{}",
        ended.said
    );
}

#[test]
fn a_busy_port_is_passed_over_and_a_job_without_a_page_runs_all_the_same() {
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let on = |arguments: [&str; 2]| {
        let run = folder.ingest(&broker, &["--available-now"]);
        let run = run.conf("spark.ui.enabled", "true");
        run.conf(arguments[0], arguments[1]).end()
    };
    let ended = on(["spark.ui.port", &port]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended
            .said
            .contains("the job's page is at http://127.0.0.1:"),
        "{}",
        ended.said
    );
    assert!(
        !ended.said.contains(&format!("127.0.0.1:{port}/")),
        "{}",
        ended.said
    );
    // An address that is no machine's: TEST-NET-1.
    let ended = on(["spark.stockpulse.ui.host", "192.0.2.1"]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(
        ended.said.contains("the job has no page") && ended.said.contains("spark.ui.port"),
        "{}",
        ended.said
    );
    let ended = on(["spark.ui.port", "eighty"]);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    assert!(
        ended.said.contains("spark.ui.port (--conf) is \"eighty\""),
        "{}",
        ended.said
    );
}

#[test]
fn the_dashboard_for_grafana_asks_for_metrics_that_there_are() {
    let dashboard = include_str!("../../examples/monitoring/grafana-dashboard.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let (broker, folder) = (TestBroker::start(1), Folder::new());
    let (job, address) = start(&broker, &folder, None);
    let frames = [tick("A", 10.0, 10), tick("A", 11.0, 80)];
    broker.produce(frames.iter().map(|frame| (0, frame.as_slice())));
    wait_for(address, "/api/v1/job", |job| {
        job["ticks"]["in_windows"] == 2
    });
    let (_, _, text) = request(address, "/metrics", None);
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 9);
    for target in panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
    {
        let expression = target["expr"].as_str().unwrap();
        let names = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
        let names: Vec<&str> = names
            .filter(|name| name.starts_with("stockpulse_"))
            .collect();
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            let is_there = text
                .lines()
                .any(|line| line.split(['{', ' ']).next() == Some(name));
            assert!(is_there, "{name} is not in\n{text}");
        }
    }
    job.signal("INT");
    assert_eq!(job.end().code, Some(0));
}
