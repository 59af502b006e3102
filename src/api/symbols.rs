//! `/api/v1/symbols`: what there are candles of.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::params::{Params, number};
use super::refusal::Refusal;
use super::routes::App;
use crate::candles::SymbolSpan;

/// Symbols of an answer unless told otherwise, and at the most.
const LIMIT_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SymbolsParams {
    query: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Symbol {
    symbol: String,
    first: String,
    last: String,
    candles: i64,
}

pub(super) async fn symbols(
    State(app): State<App>,
    Params(params): Params<SymbolsParams>,
) -> Result<Json<Vec<Symbol>>, Refusal> {
    let limit = number("limit", params.limit.as_deref(), 1, LIMIT_MAX)?.unwrap_or(LIMIT_MAX);
    let found = matching(&app, params.query.as_deref().unwrap_or_default()).await?;
    let found = found.into_iter().take(limit).map(|span| Symbol {
        first: utc(span.first),
        last: utc(span.last),
        candles: span.candles,
        symbol: span.symbol,
    });
    Ok(Json(found.collect()))
}

/// The symbols that contain `query`, whatever its case: those that begin with it first, by name.
pub(super) async fn matching(app: &App, query: &str) -> Result<Vec<SymbolSpan>, Refusal> {
    let query = query.trim().to_lowercase();
    let spans = app.store.symbols().await;
    let spans = spans.map_err(|error| Refusal::of_table(&error, &app.store))?;
    let mut found: Vec<(usize, SymbolSpan)> = (spans.into_iter())
        .filter_map(|span| {
            let symbol = span.symbol.to_lowercase();
            let at = symbol.find(&query)?;
            // The part behind the exchange counts as a beginning too.
            let begins = at == 0 || symbol[..at].ends_with(':');
            Some((usize::from(!begins), span))
        })
        .collect();
    found.sort_by(|a, b| (a.0, &a.1.symbol).cmp(&(b.0, &b.1.symbol)));
    Ok(found.into_iter().map(|(_, span)| span).collect())
}

/// RFC 3339, as the candles' times are written.
pub(super) fn utc(nanos: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(nanos);
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
