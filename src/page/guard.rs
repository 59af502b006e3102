//! What each request passes first: the token, and the headers that tell a browser how little the page may do.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Json, http};
use serde_json::json;

use crate::config::secret::Secret;

/// Nothing but what this server itself sends is loaded, run or asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is answered without a token: the page, which asks for it, and whether the job is well.
const OPEN: [&str; 5] = ["/", "/page.js", "/page.css", "/healthz", "/readyz"];

/// Refuses what has no token where there is one.
pub async fn guard(State(token): State<Option<Secret>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_let_in = match &token {
        None => true,
        Some(token) => OPEN.contains(&path) || brings(request.headers(), token),
    };
    let mut answer = match is_let_in {
        true => next.run(request).await,
        false => (
            StatusCode::UNAUTHORIZED,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            Json(json!({
                "error": "this job asks for a token: send the header Authorization: Bearer <STOCKPULSE_JOB_TOKEN>"
            })),
        )
            .into_response(),
    };
    let headers = answer.headers_mut();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(http::header::CACHE_CONTROL, "no-store");
    answer
}

fn brings(headers: &HeaderMap, token: &Secret) -> bool {
    let sent = headers.get(header::AUTHORIZATION);
    let sent = sent.and_then(|sent| sent.as_bytes().strip_prefix(b"Bearer "));
    sent.is_some_and(|sent| token.is(sent))
}
