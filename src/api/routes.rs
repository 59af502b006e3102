//! Every path of the API, and the answers that need no more than what the server was started with.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Serialize;

use super::live::{JobState, Live};
use super::refusal::Refusal;
use super::sql::SqlDoor;
use super::{assets, candles, guard, sql, stream, symbols, udf};
use crate::candles::Store;
use crate::config::api::{ApiOptions, JobUrl};

/// Bytes of a request's body at the most; only SQL has one.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What every request may use.
#[derive(Clone)]
pub(super) struct App {
    pub(super) options: Arc<ApiOptions>,
    pub(super) store: Arc<Store>,
    pub(super) live: Arc<Live>,
    pub(super) sql: Option<Arc<SqlDoor>>,
}

#[derive(Serialize)]
struct Ping {
    status: &'static str,
}

/// Deliberately: built from named fields, so that a new option is not shown by accident.
#[derive(Serialize)]
struct Status {
    monitored_symbols: Vec<String>,
    kafka_broker: String,
    version: &'static str,
    /// How long a stored candle lasts; null: there is none yet.
    stored_resolution: Option<String>,
    stream_listeners: usize,
    /// off, idle (nobody listens, so it is not asked), connected or unreachable.
    job: &'static str,
    sql: bool,
}

pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(assets::page))
        .route("/assets/{name}", get(assets::asset))
        .route("/api/v1/ping", get(ping))
        .route("/api/v1/status", get(status))
        .route("/api/v1/openapi.json", get(assets::openapi))
        .route("/api/v1/candles", get(candles::candles))
        .route("/api/v1/symbols", get(symbols::symbols))
        .route("/api/v1/stream", get(stream::stream))
        .route("/api/v1/sql", post(sql::sql))
        .route("/udf/config", get(udf::config))
        .route("/udf/symbols", get(udf::symbols))
        .route("/udf/search", get(udf::search))
        .route("/udf/history", get(udf::history))
        .route("/udf/time", get(udf::time))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

async fn ping() -> Json<Ping> {
    Json(Ping {
        status: "StockPulse API is live",
    })
}

async fn status(State(app): State<App>) -> Json<Status> {
    let stored = app.store.shape().await.ok();
    Json(Status {
        monitored_symbols: app.options.monitored_symbols.clone(),
        kafka_broker: app.options.kafka_broker.clone(),
        version: env!("CARGO_PKG_VERSION"),
        stored_resolution: stored.map(|shape| shape.resolution.to_string()),
        stream_listeners: app.live.listeners(),
        job: match app.live.job().as_deref() {
            Some(JobState::Off) => "off",
            Some(JobState::Connected(_)) => "connected",
            Some(JobState::Unreachable(_)) => "unreachable",
            None => match app.options.job_url {
                JobUrl::None => "off",
                JobUrl::At(_) => "idle",
            },
        },
        sql: app.sql.is_some(),
    })
}

async fn not_found(uri: Uri) -> Refusal {
    let error = format!(
        "there is nothing at {}; try /api/v1/ping, /api/v1/status or /api/v1/openapi.json",
        uri.path()
    );
    Refusal::new(StatusCode::NOT_FOUND, error)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Refusal {
    let other = match uri.path() {
        "/api/v1/sql" => "POST",
        _ => "GET",
    };
    let error = format!("{} does not take {method}; use {other}", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error)
}
