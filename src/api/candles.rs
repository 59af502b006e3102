//! `/api/v1/candles`: one symbol's candles.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::formats;
use super::params::{Params, instant, number, symbol};
use super::refusal::Refusal;
use super::routes::App;
use crate::candles::{Fill, Resolution, Series};

/// Candles when neither `from` nor `limit` is given.
const DEFAULT_LIMIT: usize = 1000;
/// Candles of an answer with a limit; without one, from a time on, they have no limit.
const LIMIT_MAX: usize = 100_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CandlesParams {
    symbol: String,
    from: Option<String>,
    to: Option<String>,
    resolution: Option<String>,
    limit: Option<String>,
    fill: Option<String>,
    format: Option<String>,
}

pub(super) async fn candles(
    State(app): State<App>,
    headers: HeaderMap,
    Params(params): Params<CandlesParams>,
) -> Result<Response, Refusal> {
    let format = formats::wanted(params.format.as_deref(), &headers)?;
    let series = series(&params)?;
    let scan = app.store.series(&series).await;
    let scan = scan.map_err(|error| Refusal::of_table(&error, &app.store))?;
    formats::rows(scan, format, &app.store).await
}

fn series(params: &CandlesParams) -> Result<Series, Refusal> {
    let from = instant("from", params.from.as_deref())?;
    let to = instant("to", params.to.as_deref())?;
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(Refusal::bad("from is later than to"));
    }
    let limit = number("limit", params.limit.as_deref(), 1, LIMIT_MAX)?;
    Ok(Series {
        symbol: symbol(&params.symbol)?,
        from,
        to,
        resolution: resolution(params.resolution.as_deref())?,
        limit: limit.or(from.is_none().then_some(DEFAULT_LIMIT)),
        fill: match params.fill.as_deref() {
            None | Some("none") => Fill::None,
            Some("null") => Fill::Null,
            Some("previous") => Fill::Previous,
            Some(other) => {
                return Err(Refusal::bad(format!(
                    "fill: {other:?} is none of none, null and previous"
                )));
            }
        },
    })
}

pub(super) fn resolution(text: Option<&str>) -> Result<Option<Resolution>, Refusal> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error: String| Refusal::bad(format!("resolution: {error}")))
}
