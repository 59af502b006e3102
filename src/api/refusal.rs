//! What a request is answered that cannot be answered: a status and, in JSON, what is wrong and what to do.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::warn;

use crate::candles::{CandlesError, Store};

/// An answer of 400 and up.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: String,
}

#[derive(Serialize)]
struct Body {
    error: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Refusal {
        let error = error.into();
        Refusal { status, error }
    }

    /// The request is wrong.
    pub(super) fn bad(error: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, error)
    }

    /// The table does not give what was asked. Where it lies on this machine is the log's matter.
    pub(super) fn of_table(error: &CandlesError, store: &Store) -> Refusal {
        let path = store.path().display().to_string();
        match error {
            CandlesError::Filter(error) => Refusal::bad(error.replace(&path, "the table")),
            CandlesError::Vanished(_) => {
                warn!("a request was refused: {error}");
                Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the table was changed while it was read; ask again",
                )
            }
            CandlesError::NoFiles(_) | CandlesError::Unreadable(_) => {
                warn!("a request was refused: {error}");
                Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the candles cannot be read; the log of the API says why",
                )
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Body { error: self.error };
        (self.status, Json(body)).into_response()
    }
}
