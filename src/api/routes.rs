//! Every path of the API and its answer. Answers are JSON, the refusals included.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::config::api::ApiOptions;

#[derive(Serialize)]
struct Ping {
    status: &'static str,
}

/// Deliberately: built from named fields, so that a new option is not shown by accident.
#[derive(Serialize)]
struct Status {
    monitored_symbols: Vec<String>,
    kafka_broker: String,
}

#[derive(Serialize)]
struct Refusal {
    error: String,
}

pub(super) fn router(options: ApiOptions) -> Router {
    Router::new()
        .route("/api/v1/ping", get(ping))
        .route("/api/v1/status", get(status))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(Arc::new(options))
}

async fn ping() -> Json<Ping> {
    Json(Ping {
        status: "StockPulse API is live",
    })
}

async fn status(State(options): State<Arc<ApiOptions>>) -> Json<Status> {
    Json(Status {
        monitored_symbols: options.monitored_symbols.clone(),
        kafka_broker: options.kafka_broker.clone(),
    })
}

async fn not_found(uri: Uri) -> (StatusCode, Json<Refusal>) {
    let error = format!(
        "there is nothing at {}; try /api/v1/ping or /api/v1/status",
        uri.path()
    );
    (StatusCode::NOT_FOUND, Json(Refusal { error }))
}

async fn method_not_allowed(method: Method, uri: Uri) -> (StatusCode, Json<Refusal>) {
    let error = format!("{} does not take {method}; use GET", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, Json(Refusal { error }))
}
