//! The query of a request's address, read strictly.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;
use crate::config::instant::parse_instant;

/// Characters of a symbol at the most.
const SYMBOL_CHARS_MAX: usize = 128;

/// The parameters of a request, as a struct; what it does not have is refused.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, Refusal> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Params(params)),
            Err(error) => Err(Refusal::bad(format!(
                "{}; GET /api/v1/openapi.json lists the parameters",
                error.body_text()
            ))),
        }
    }
}

/// A symbol is only ever compared with those of the table.
pub(super) fn symbol(text: &str) -> Result<String, Refusal> {
    match text {
        "" => Err(Refusal::bad(
            "symbol is empty; GET /api/v1/symbols lists them",
        )),
        _ if text.chars().count() > SYMBOL_CHARS_MAX => Err(Refusal::bad(format!(
            "symbol is longer than {SYMBOL_CHARS_MAX} characters"
        ))),
        _ => Ok(text.to_string()),
    }
}

/// A point in time; nanoseconds since 1970 UTC.
pub(super) fn instant(name: &str, text: Option<&str>) -> Result<Option<i64>, Refusal> {
    let parsed = text.map(parse_instant).transpose();
    parsed.map_err(|error| Refusal::bad(format!("{name}: {error}")))
}

/// A whole number of `least` to `most`.
pub(super) fn number(
    name: &str,
    text: Option<&str>,
    least: usize,
    most: usize,
) -> Result<Option<usize>, Refusal> {
    let Some(text) = text else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(Refusal::bad(format!(
            "{name}: {text:?} is not a whole number of {least} to {most}"
        ))),
    }
}
