//! In which form rows leave: JSON, NDJSON, CSV or Arrow, by `format=` or by what the client accepts.

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use tracing::warn;

use super::refusal::Refusal;
use crate::candles::{CandlesError, Encoder, Scan, Store};
use crate::config::stockpulse::ReadFormat;

/// Every form: its name in `format=`, and its media types, the first of which it is sent with.
const FORMS: [(ReadFormat, &str, &[&str]); 4] = [
    (ReadFormat::Json, "json", &["application/json"]),
    (
        ReadFormat::Ndjson,
        "ndjson",
        &[
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
        ],
    ),
    (ReadFormat::Csv, "csv", &["text/csv"]),
    (
        ReadFormat::Arrow,
        "arrow",
        &["application/vnd.apache.arrow.stream"],
    ),
];

/// The form that is asked for; JSON if nothing is said.
pub(super) fn wanted(format: Option<&str>, headers: &HeaderMap) -> Result<ReadFormat, Refusal> {
    if let Some(name) = format {
        let form = FORMS.iter().find(|form| form.1 == name);
        return form.map(|form| form.0).ok_or_else(|| {
            Refusal::bad(format!(
                "format: {name:?} is none of json, ndjson, csv and arrow"
            ))
        });
    }
    let Some(accept) = headers.get(ACCEPT) else {
        return Ok(ReadFormat::Json);
    };
    let accept = accept.to_str().unwrap_or("*/*");
    let mut ranges: Vec<(f32, &str)> = accept.split(',').map(range).collect();
    ranges.sort_by(|a, b| b.0.total_cmp(&a.0));
    (ranges.into_iter())
        .filter(|(quality, _)| *quality > 0.0)
        .find_map(|(_, range)| of_range(range))
        .ok_or_else(|| {
            let types: Vec<_> = FORMS.iter().map(|form| form.2[0]).collect();
            Refusal::new(
                StatusCode::NOT_ACCEPTABLE,
                format!("Accept names none of {}", types.join(", ")),
            )
        })
}

/// A media range of `Accept` with its quality.
fn range(text: &str) -> (f32, &str) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    let quality = quality.and_then(|quality| quality.parse().ok());
    (quality.unwrap_or(1.0), name)
}

fn of_range(range: &str) -> Option<ReadFormat> {
    let range = range.to_ascii_lowercase();
    if range == "*/*" || range.is_empty() {
        return Some(ReadFormat::Json);
    }
    let is_in = |media: &&str| match range.strip_suffix("/*") {
        Some(kind) => media.starts_with(kind),
        None => **media == *range,
    };
    let form = FORMS.iter().find(|form| form.2.iter().any(&is_in));
    form.map(|form| form.0)
}

fn media_type(format: ReadFormat) -> &'static str {
    let form = FORMS.iter().find(|form| form.0 == format);
    match form {
        Some((ReadFormat::Csv, ..)) => "text/csv; charset=utf-8",
        Some(form) => form.2[0],
        None => "text/plain; charset=utf-8",
    }
}

/// Sends rows as they are read. What fails before the first rows is a refusal; what fails later ends
/// the answer in its middle, which the client sees.
pub(super) async fn rows(
    mut scan: Scan,
    format: ReadFormat,
    store: &Store,
) -> Result<Response, Refusal> {
    let unfit = |error| {
        Refusal::new(
            StatusCode::NOT_ACCEPTABLE,
            format!("a column cannot be written in this form: {error}; try format=arrow"),
        )
    };
    let mut encoder = Encoder::new(format, scan.schema).map_err(unfit)?;
    let mut first = Vec::new();
    let mut has_more = false;
    if let Some(batch) = scan.batches.next().await {
        let batch = batch.map_err(|error| Refusal::of_table(&error, store))?;
        first = encoder.push(batch).map_err(unfit)?;
        has_more = true;
    }
    if !has_more {
        first.extend(encoder.finish().map_err(unfit)?);
        return Ok(([(CONTENT_TYPE, media_type(format))], first).into_response());
    }
    let rest = stream::try_unfold(Some((encoder, scan.batches)), |state| async move {
        let Some((mut encoder, mut batches)) = state else {
            return Ok(None);
        };
        let bytes = match batches.next().await {
            Some(batch) => {
                let bytes = encoder
                    .push(batch.inspect_err(warn_of)?)
                    .map_err(unreadable)?;
                return Ok(Some((Bytes::from(bytes), Some((encoder, batches)))));
            }
            None => encoder.finish().map_err(unreadable)?,
        };
        Ok::<_, CandlesError>(Some((Bytes::from(bytes), None)))
    });
    let first = stream::iter([Ok(Bytes::from(first))]);
    let body = Body::from_stream(first.chain(rest));
    Ok(([(CONTENT_TYPE, media_type(format))], body).into_response())
}

fn warn_of(error: &CandlesError) {
    warn!("an answer was cut off: {error}");
}

fn unreadable(error: arrow::error::ArrowError) -> CandlesError {
    let error = CandlesError::Unreadable(error.to_string());
    warn_of(&error);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(accept: &str) -> Result<ReadFormat, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        wanted(None, &headers).map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn what_a_client_accepts_says_the_form() {
        for (accept, form) in [
            ("*/*", ReadFormat::Json),
            ("application/json", ReadFormat::Json),
            ("text/csv", ReadFormat::Csv),
            ("TEXT/*", ReadFormat::Csv),
            (
                "text/html, application/xhtml+xml, */*;q=0.8",
                ReadFormat::Json,
            ),
            ("application/jsonl", ReadFormat::Ndjson),
            (
                "text/csv;q=0.1, application/x-ndjson;q=0.9",
                ReadFormat::Ndjson,
            ),
            ("application/vnd.apache.arrow.stream", ReadFormat::Arrow),
            ("application/json;q=0, text/csv", ReadFormat::Csv),
        ] {
            assert_eq!(accepting(accept), Ok(form), "{accept}");
        }
        assert_eq!(accepting("image/png"), Err(406));
        assert_eq!(wanted(None, &HeaderMap::new()).unwrap(), ReadFormat::Json);
        assert!(wanted(Some("table"), &HeaderMap::new()).is_err());
    }
}
