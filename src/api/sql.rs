//! `/api/v1/sql`: one SELECT over the candles, with limits, where the server was told to answer it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures::{StreamExt, stream};
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use super::formats;
use super::params::Params;
use super::refusal::Refusal;
use super::routes::App;
use crate::candles::{CandlesError, ReadOnlySql, Scan, SqlError};
use crate::config::api::SqlLimits;

/// SELECTs that run at a time; further ones wait, for as long as one may take.
const AT_A_TIME: usize = 2;

/// Where SELECTs run: on threads of their own, so that a heavy one keeps nobody else waiting.
pub(super) struct SqlDoor {
    sql: Arc<ReadOnlySql>,
    runtime: Option<Runtime>,
    turns: Semaphore,
    timeout: Duration,
}

impl SqlDoor {
    pub(super) fn new(limits: SqlLimits) -> io::Result<SqlDoor> {
        let sql = ReadOnlySql::new(limits.rows, limits.memory_bytes).map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(AT_A_TIME)
            .thread_name("sql")
            .enable_all()
            .build()?;
        Ok(SqlDoor {
            sql: Arc::new(sql),
            runtime: Some(runtime),
            turns: Semaphore::new(AT_A_TIME),
            timeout: limits.timeout,
        })
    }
}

impl Drop for SqlDoor {
    fn drop(&mut self) {
        // A runtime may not be waited for where others run.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SqlParams {
    format: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlBody {
    sql: String,
}

pub(super) async fn sql(
    State(app): State<App>,
    Params(params): Params<SqlParams>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let Some(door) = &app.sql else {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "SQL is not answered here; start stockpulse-api with --sql (API_SQL=true) to turn it on",
        ));
    };
    let format = formats::wanted(params.format.as_deref(), &headers)?;
    let body = body.map_err(|error| Refusal::new(error.status(), error.body_text()))?;
    let text = text_of(&headers, &body)?;
    let answer = tokio::time::timeout(door.timeout, run(&app, door, text)).await;
    let rows = answer.map_err(|_| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the query took longer than {:?}; select less", door.timeout),
        )
    })??;
    formats::rows(rows, format, &app.store).await
}

async fn run(app: &App, door: &SqlDoor, text: String) -> Result<Scan, Refusal> {
    let failed = |what: &str| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, what);
    let _turn = (door.turns.acquire().await).map_err(|_| failed("the server stops"))?;
    let runtime = door
        .runtime
        .as_ref()
        .ok_or_else(|| failed("the server stops"))?;
    let (sql, store) = (Arc::clone(&door.sql), Arc::clone(&app.store));
    let task = runtime.spawn(async move { sql.select(&store, &text).await });
    let task = Ended(task);
    let rows = task
        .await
        .map_err(|_| failed("the query failed; select something else"))?;
    let rows = rows.map_err(|error| match error {
        SqlError::Refused(error) => Refusal::bad(error),
        SqlError::TooLarge(error) => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error),
        SqlError::Table(CandlesError::NoFiles(_)) => {
            Refusal::new(StatusCode::NOT_FOUND, "there are no candles yet")
        }
        SqlError::Table(error) => Refusal::of_table(&error, &app.store),
    })?;
    Ok(Scan {
        schema: rows.schema,
        batches: stream::iter(rows.batches.into_iter().map(Ok)).boxed(),
    })
}

/// A task that ends when nobody waits for it any more, as after a timeout.
struct Ended<T>(tokio::task::JoinHandle<T>);

impl<T> Future for Ended<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        std::pin::Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The statement: the body itself as text, or `{"sql": "…"}` as JSON.
fn text_of(headers: &HeaderMap, body: &[u8]) -> Result<String, Refusal> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or("text/plain");
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    match media_type.to_ascii_lowercase().as_str() {
        "application/json" => {
            let body: SqlBody = serde_json::from_slice(body).map_err(|error| {
                Refusal::bad(format!("the body is not {{\"sql\": \"…\"}}: {error}"))
            })?;
            Ok(body.sql)
        }
        "text/plain" => {
            String::from_utf8(body.to_vec()).map_err(|_| Refusal::bad("the body is not UTF-8"))
        }
        other => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("{other:?} is neither application/json nor text/plain"),
        )),
    }
}
