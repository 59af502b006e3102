//! `--driver-memory`: a job whose open windows take more ends and says so, one with enough goes on.

use super::*;

/// Symbols of one minute.
const SYMBOLS: usize = 30_000;
/// Ticks of a frame.
const FRAME: usize = 100;

fn run(limit: &[&str]) -> Ended {
    let broker = TestBroker::start(1);
    let ticks: Vec<String> = (0..SYMBOLS)
        .map(|symbol| {
            let time = 1_575_526_680_000 + symbol as i64 % 60_000;
            format!(r#"{{"s":"SYMBOL:{symbol}","p":1.5,"t":{time},"v":1}}"#)
        })
        .collect();
    let frames: Vec<String> = ticks
        .chunks(FRAME)
        .map(|ticks| format!(r#"{{"type":"trade","data":[{}]}}"#, ticks.join(",")))
        .collect();
    broker.produce(frames.iter().map(|frame| (0, frame.as_bytes())));
    let topic = format!("KAFKA_TOPIC={}", broker.topic);
    let line = [
        limit,
        &[OHLC, &topic, "--available-now", "--master=local[1]"],
    ]
    .concat();
    // In epochs, so that some of them see the window open.
    let line = [
        &line[..],
        &["-c", "spark.stockpulse.maxOffsetsPerTrigger=50"],
    ]
    .concat();
    let environment = [
        ("KAFKA_BROKER", broker.bootstrap.as_str()),
        ("CANDLES_PATH", "out/ohlc"),
    ];
    Shell::new().run(&line, &environment)
}

#[test]
fn a_job_that_takes_more_than_it_may_ends_and_says_what_to_do() {
    let ended = run(&["--driver-memory", "1m"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for part in [
        "open windows with ",
        " keys take ",
        "may take 1.0 MB",
        "--driver-memory",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
    let explained = Shell::new().run(&[OHLC, "--explain", "--driver-memory=512m"], &[]);
    let limit = "512 MB for open windows";
    assert!(explained.stdout.contains(limit), "{}", explained.stdout);
    let enough = run(&["--executor-memory=512m"]);
    assert_eq!(enough.code, Some(0), "{}", enough.stderr);
    assert!(
        enough.stderr.contains("30000 rows in "),
        "{}",
        enough.stderr
    );
}
