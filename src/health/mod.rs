//! Whether a running program lives, is ready and what it counts, over HTTP on a port of its own:
//! `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

/// The text format that the metrics are in.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the program answers. It is asked for each request, and must not wait.
pub struct Probes {
    /// Why it is not ready, a reason a line; none: it is.
    pub unready: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Its metrics, in OpenMetrics' text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

/// Listens on `host` and `port`; `flag` is how the port is chosen: `--port (PRODUCER_PORT)`.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn bind(host: &str, port: u16, flag: &str) -> Result<TcpListener, String> {
    let listening = TcpListener::bind((host, port)).await;
    listening.map_err(|error| {
        format!("cannot listen on {host}:{port}: {error}; choose another port with {flag}")
    })
}

/// Answers requests for as long as the future lives.
///
/// # Errors
/// The listener fails for good.
pub async fn serve(listener: TcpListener, probes: Probes) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(probes));
    axum::serve(listener, router).await
}

async fn ready(State(probes): State<Arc<Probes>>) -> (StatusCode, String) {
    let reasons = (probes.unready)();
    if reasons.is_empty() {
        return (StatusCode::OK, "ready\n".to_string());
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}

async fn metrics(State(probes): State<Arc<Probes>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPENMETRICS)], (probes.metrics)())
}
