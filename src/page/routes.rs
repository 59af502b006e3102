//! Every path of the page.

use std::time::{Duration, Instant};

use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use serde_json::{Value, json};

use super::board::{Board, memory};
use super::open;
use super::progress::{instant, moment};
use crate::job::progress::SinkStanding;

/// The longest that a question for open windows waits for the job, which looks every 50 ms.
const OPEN_WITHIN: Duration = Duration::from_secs(2);
/// Rows of open windows that are older are computed anew: they are, four times a second, while somebody asks.
const OPEN_FOR: Duration = Duration::from_millis(600);

/// All of them.
pub fn router(board: Board) -> Router {
    Router::new()
        .route("/", get(|| async { Html(include_str!("web/page.html")) }))
        .route(
            "/page.js",
            get(|| text("text/javascript", include_str!("web/page.js"))),
        )
        .route(
            "/page.css",
            get(|| text("text/css", include_str!("web/page.css"))),
        )
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/job", get(job))
        .route("/api/v1/plan", get(plan))
        .route("/api/v1/progress", get(progress))
        .route("/api/v1/progress/recent", get(recent))
        .route("/api/v1/history", get(history))
        .route("/api/v1/open", get(open_windows))
        .fallback(nothing)
        .with_state(board)
}

async fn text(kind: &'static str, text: &'static str) -> Response {
    (
        [(header::CONTENT_TYPE, format!("{kind}; charset=utf-8"))],
        text,
    )
        .into_response()
}

fn refusal(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(json!({ "error": error.into() }))).into_response()
}

async fn nothing(uri: Uri) -> Response {
    let error = format!(
        "there is nothing at {}; the page is at /, its data at /api/v1/job, /api/v1/plan, /api/v1/progress, \
         /api/v1/progress/recent, /api/v1/history, /api/v1/open and /metrics",
        uri.path()
    );
    refusal(StatusCode::NOT_FOUND, error)
}

async fn health(State(board): State<Board>) -> Response {
    match board.is_well() {
        Ok(()) => Json(json!({ "status": "ok" })).into_response(),
        Err(why) => refusal(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn ready(State(board): State<Board>) -> Response {
    match board.is_ready() {
        true => Json(json!({ "status": "reading" })).into_response(),
        false => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "the job has not begun to read",
        ),
    }
}

async fn metrics(State(board): State<Board>) -> Response {
    let ends = ends(&board).await;
    let counted = board.metrics();
    if let Some(batch) = board.last() {
        for one in &batch.report().partitions {
            let behind = ends.get(&one.partition).map(|end| (end - one.next).max(0));
            counted.partition(one.partition, behind, one.watermark);
        }
    }
    counted.memory(memory().unwrap_or_default());
    let mut registry = Registry::default();
    counted.register(&mut registry);
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Asks the broker where the partitions end, which may take a while when it is away.
async fn ends(board: &Board) -> std::collections::BTreeMap<crate::model::Partition, i64> {
    let asked = board.clone();
    tokio::task::spawn_blocking(move || asked.ends())
        .await
        .unwrap_or_default()
}

/// Where the job stands.
async fn job(State(board): State<Board>) -> Json<Value> {
    let about = board.about();
    let ends = ends(&board).await;
    let Some(batch) = board.last() else {
        return Json(
            json!({ "name": about.name, "started": moment(about.started_ms), "state": "starting" }),
        );
    };
    let report = batch.report();
    let partitions: Vec<Value> = report
        .partitions
        .iter()
        .map(|one| {
            let end = ends.get(&one.partition);
            json!({
                "partition": one.partition,
                "next": one.next,
                "end": end,
                "behind": end.map(|end| (end - one.next).max(0)),
                "watermark": instant(one.watermark),
            })
        })
        .collect();
    let rejected = report.counts.rejected.iter();
    let rejected: serde_json::Map<String, Value> = rejected
        .map(|(reason, ticks)| (reason.label().to_owned(), json!(ticks)))
        .collect();
    Json(json!({
        "name": about.name,
        "version": about.version,
        "started": moment(about.started_ms),
        "state": "running",
        "threads": about.threads,
        "topic": board.topic(),
        "tables": about.tables,
        "watermark": instant(report.watermark),
        "watermark_lag_s": batch.watermark_lag_s(),
        "open_windows": report.open_windows,
        "open_keys": report.open_groups,
        "ticks": {
            "read": report.counts.read,
            "in_windows": report.counts.in_windows,
            "filtered": report.counts.filtered,
            "late": report.counts.late,
            "rejected": rejected,
        },
        "ticks_per_second": report.ticks_per_second,
        "last_commit": report.epoch.map(|epoch| epoch.0),
        "rows_written": report.rows_written_total,
        "files_written": report.files,
        "stages_ms": {
            "take": report.stages.take.as_secs_f64() * 1e3,
            "compute": report.stages.compute.as_secs_f64() * 1e3,
            "commit": report.stages.commit.as_secs_f64() * 1e3,
        },
        "memory_bytes": memory(),
        "partitions": partitions,
        "sinks": report.sinks.iter().map(sink).collect::<Vec<Value>>(),
    }))
}

/// How one table's sink gets on.
fn sink(one: &SinkStanding) -> Value {
    json!({
        "table": one.table,
        "connector": one.connector,
        "place": one.place,
        "last_commit": one.epoch.map(|epoch| epoch.0),
        "rows_written": one.rows,
        "took_ms": one.took.as_secs_f64() * 1e3,
        "away": one.waits.as_ref().map(|waits| json!({
            "for_s": waits.for_so_long().as_secs_f64(),
            "attempts": waits.attempts,
            "why": waits.why,
        })),
    })
}

async fn plan(State(board): State<Board>) -> Json<Value> {
    let asked = board.clone();
    let plan = tokio::task::spawn_blocking(move || asked.plan()).await;
    Json(json!({ "sql": board.about().sql, "plan": plan.unwrap_or_default() }))
}

async fn progress(State(board): State<Board>) -> Response {
    let ends = ends(&board).await;
    match board.last() {
        Some(batch) => Json(batch.spark(board.about(), &board.topic(), &ends)).into_response(),
        None => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "the job has not reported yet",
        ),
    }
}

async fn recent(State(board): State<Board>) -> Json<Value> {
    let nobody = std::collections::BTreeMap::new();
    let topic = board.topic();
    let reports = board.recent();
    let reports = reports
        .iter()
        .map(|batch| batch.spark(board.about(), &topic, &nobody));
    Json(reports.collect())
}

async fn history(State(board): State<Board>) -> Json<Value> {
    Json(json!({ "every_s": 10, "samples": board.samples() }))
}

#[derive(Deserialize)]
struct Which {
    output: Option<String>,
    newest: Option<usize>,
}

/// The rows of open windows; they are computed because somebody asks.
async fn open_windows(
    State(board): State<Board>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let which = match which {
        Ok(Query(which)) => which,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let asked = Instant::now();
    loop {
        board.open().ask();
        if let Some(shown) = board.open().shown()
            && shown.at + OPEN_FOR >= asked
        {
            let json = open::shown(&shown, which.output.as_deref(), which.newest);
            return Json(json).into_response();
        }
        if asked.elapsed() >= OPEN_WITHIN {
            let error = "the job has not shown its open windows in time; it may be busy, or have none with windows";
            return refusal(StatusCode::SERVICE_UNAVAILABLE, error);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
