//! `/udf/…`: the candles as TradingView's Universal Data Feed, so that its charting library can be pointed here.
//! <https://www.tradingview.com/charting-library-docs/latest/connecting_data/UDF/>

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::params::{Params, number, symbol};
use super::refusal::Refusal;
use super::routes::App;
use super::symbols::matching;
use crate::candles::{Candle, CandlesError, Fill, Resolution, Series, candles};
use crate::model::NANOS_PER_SECOND;

/// Resolutions that are offered, those of them that stored candles add up to.
const OFFERED: [&str; 15] = [
    "1S", "5S", "15S", "30S", "1", "3", "5", "15", "30", "60", "120", "240", "720", "1D", "1W",
];
/// Candles of an answer at the most.
const CANDLES_MAX: usize = 50_000;
/// Symbols that a search finds, unless told otherwise and at the most.
const FOUND: usize = 30;
const FOUND_MAX: usize = 1000;
/// Candles whose prices say with how many digits a symbol is quoted.
const QUOTED: usize = 100;
/// Digits behind the point at the most.
const DIGITS_MAX: usize = 8;

/// A refusal in the form that charting libraries look for too.
pub(super) struct UdfRefusal(Refusal);

impl From<Refusal> for UdfRefusal {
    fn from(refusal: Refusal) -> UdfRefusal {
        UdfRefusal(refusal)
    }
}

impl IntoResponse for UdfRefusal {
    fn into_response(self) -> Response {
        let error = self.0.error;
        let body = json!({"s": "error", "errmsg": error, "error": error});
        (self.0.status, Json(body)).into_response()
    }
}

pub(super) async fn config(State(app): State<App>) -> Result<Json<Value>, UdfRefusal> {
    Ok(Json(json!({
        "supported_resolutions": offered(&app).await?,
        "supports_search": true,
        "supports_group_request": false,
        "supports_marks": false,
        "supports_timescale_marks": false,
        "supports_time": true,
    })))
}

async fn offered(app: &App) -> Result<Vec<&'static str>, Refusal> {
    let shape = match app.store.shape().await {
        Ok(shape) => Some(shape),
        Err(CandlesError::NoFiles(_)) => None,
        Err(error) => return Err(Refusal::of_table(&error, &app.store)),
    };
    let is_offered = |resolution: &Resolution| {
        shape.is_none_or(|shape| {
            *resolution == shape.resolution
                || (!shape.overlaps && resolution.is_multiple_of(shape.resolution))
        })
    };
    Ok((OFFERED.into_iter())
        .filter(|name| {
            Resolution::from_tradingview(name)
                .as_ref()
                .is_some_and(is_offered)
        })
        .collect())
}

/// Seconds since 1970, as plain text.
pub(super) async fn time() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs()).to_string()
}

#[derive(Deserialize)]
pub(super) struct SymbolParams {
    symbol: String,
}

pub(super) async fn symbols(
    State(app): State<App>,
    Params(params): Params<SymbolParams>,
) -> Result<Response, UdfRefusal> {
    let asked = symbol(&params.symbol)?;
    let spans = app.store.symbols().await;
    let spans = spans.map_err(|error| Refusal::of_table(&error, &app.store))?;
    let ends_so = |known: &str| {
        known
            .rsplit_once(':')
            .is_some_and(|(_, name)| name == asked)
    };
    let found = (spans.iter())
        .find(|span| span.symbol == asked)
        .or_else(|| spans.iter().find(|span| ends_so(&span.symbol)));
    let Some(found) = found else {
        return Ok(unknown_symbol());
    };
    let newest = Series {
        symbol: found.symbol.clone(),
        from: None,
        to: None,
        resolution: None,
        limit: Some(QUOTED),
        fill: Fill::None,
    };
    let newest = read(&app, &newest).await?;
    let digits = newest.iter().map(|candle| digits(candle.close)).max();
    let resolutions = offered(&app).await?;
    let (exchange, name) = parts(&found.symbol);
    let has = |letter: char| resolutions.iter().any(|name| name.ends_with(letter));
    let minutes = resolutions
        .iter()
        .filter(|name| name.parse::<u32>().is_ok());
    let seconds = resolutions.iter().filter_map(|name| name.strip_suffix('S'));
    Ok(Json(json!({
        "name": name,
        "ticker": found.symbol,
        "description": found.symbol,
        "type": "crypto",
        "exchange": exchange,
        "listed_exchange": exchange,
        "session": "24x7",
        "timezone": "Etc/UTC",
        "format": "price",
        "minmov": 1,
        "pricescale": 10_i64.pow(u32::try_from(digits.unwrap_or(2)).unwrap_or(2)),
        "has_intraday": minutes.clone().next().is_some(),
        "intraday_multipliers": minutes.collect::<Vec<_>>(),
        "has_seconds": has('S'),
        "seconds_multipliers": seconds.collect::<Vec<_>>(),
        "has_daily": has('D'),
        "has_weekly_and_monthly": has('W'),
        "weekly_multipliers": if has('W') { vec!["1"] } else { vec![] },
        "monthly_multipliers": [],
        "supported_resolutions": resolutions,
        "volume_precision": 8,
        "data_status": "streaming",
    }))
    .into_response())
}

fn unknown_symbol() -> Response {
    let body = json!({"s": "error", "errmsg": "unknown_symbol"});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

/// `BINANCE:BTCUSDT` is BTCUSDT at BINANCE.
fn parts(symbol: &str) -> (&str, &str) {
    symbol.split_once(':').unwrap_or(("", symbol))
}

/// Digits behind the point that a price is written with.
fn digits(price: f64) -> usize {
    let text = price.to_string();
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    digits.min(DIGITS_MAX)
}

#[derive(Deserialize)]
pub(super) struct SearchParams {
    query: Option<String>,
    exchange: Option<String>,
    limit: Option<String>,
}

pub(super) async fn search(
    State(app): State<App>,
    Params(params): Params<SearchParams>,
) -> Result<Json<Vec<Value>>, UdfRefusal> {
    let limit = number("limit", params.limit.as_deref(), 1, FOUND_MAX)?.unwrap_or(FOUND);
    let exchange = params.exchange.unwrap_or_default();
    let found = matching(&app, params.query.as_deref().unwrap_or_default()).await?;
    let found = (found.iter())
        .filter(|span| exchange.is_empty() || parts(&span.symbol).0.eq_ignore_ascii_case(&exchange))
        .take(limit)
        .map(|span| {
            let (exchange, name) = parts(&span.symbol);
            json!({
                "symbol": name,
                "full_name": span.symbol,
                "ticker": span.symbol,
                "description": span.symbol,
                "exchange": exchange,
                "type": "crypto",
            })
        });
    Ok(Json(found.collect()))
}

#[derive(Deserialize)]
pub(super) struct HistoryParams {
    symbol: String,
    resolution: String,
    from: Option<String>,
    to: String,
    countback: Option<String>,
}

pub(super) async fn history(
    State(app): State<App>,
    Params(params): Params<HistoryParams>,
) -> Result<Json<Value>, UdfRefusal> {
    let resolution = Resolution::from_tradingview(&params.resolution).ok_or_else(|| {
        Refusal::bad(format!(
            "resolution: {:?} is none of {}",
            params.resolution,
            OFFERED.join(", ")
        ))
    })?;
    let to = seconds("to", &params.to)?;
    let from = params.from.as_deref().map(|from| seconds("from", from));
    let from = from.transpose()?;
    let count = number("countback", params.countback.as_deref(), 1, CANDLES_MAX)?;
    if from.is_none() && count.is_none() {
        return Err(Refusal::bad("give from or countback").into());
    }
    let series = Series {
        symbol: symbol(&params.symbol)?,
        // countback goes before from, as TradingView has it.
        from: from.filter(|_| count.is_none()),
        to: Some(to),
        resolution: Some(resolution),
        limit: Some(count.unwrap_or(CANDLES_MAX)),
        fill: Fill::None,
    };
    let found = read(&app, &series).await?;
    if found.is_empty() {
        let before = Series {
            from: None,
            to: Some(from.map_or(to, |from| from.min(to))),
            limit: Some(1),
            ..series
        };
        let before = read(&app, &before).await?;
        return Ok(Json(match before.last() {
            Some(candle) => json!({"s": "no_data", "nextTime": start(candle)}),
            None => json!({"s": "no_data"}),
        }));
    }
    let column = |of: fn(&Candle) -> f64| found.iter().map(of).collect::<Vec<_>>();
    Ok(Json(json!({
        "s": "ok",
        "t": found.iter().map(start).collect::<Vec<_>>(),
        "o": column(|candle| candle.open),
        "h": column(|candle| candle.high),
        "l": column(|candle| candle.low),
        "c": column(|candle| candle.close),
        "v": column(|candle| candle.volume.unwrap_or(0.0)),
    })))
}

async fn read(app: &App, series: &Series) -> Result<Vec<Candle>, Refusal> {
    let refuse = |error| Refusal::of_table(&error, &app.store);
    let mut scan = app.store.series(series).await.map_err(refuse)?;
    let mut found = Vec::new();
    while let Some(batch) = scan.batches.next().await {
        let batch = batch.map_err(refuse)?;
        found.extend(candles(&batch, app.store.path()).map_err(refuse)?);
    }
    Ok(found)
}

fn start(candle: &Candle) -> i64 {
    candle.start.div_euclid(NANOS_PER_SECOND)
}

/// A time in seconds since 1970; nanoseconds.
fn seconds(name: &str, text: &str) -> Result<i64, Refusal> {
    let seconds = text.parse::<i64>().ok();
    (seconds.and_then(|seconds| seconds.checked_mul(NANOS_PER_SECOND)))
        .ok_or_else(|| Refusal::bad(format!("{name}: {text:?} is no time in seconds since 1970")))
}
