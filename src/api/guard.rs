//! What each request passes first, and what each answer carries: the token, the time limit, the headers
//! that tell a browser how little this page may do.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;
use super::routes::App;
use crate::config::secret::Secret;

/// How long an answer may take to begin. A SELECT has a limit of its own.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Nothing but what this server itself sends is loaded, run or asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is answered without a token: the page, which asks for it, and whether the server is up.
fn is_open(path: &str) -> bool {
    path == "/" || path == "/api/v1/ping" || path.starts_with("/assets/")
}

pub(super) async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let origin = allowed_origin(&app, request.headers());
    let is_preflight = request.method() == Method::OPTIONS && origin.is_some();
    let mut answer = if is_preflight {
        StatusCode::NO_CONTENT.into_response()
    } else if let Some(refusal) = unauthorized(&app, &request) {
        refusal
    } else {
        match tokio::time::timeout(ANSWER_LIMIT, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "no answer within {} s; ask for a shorter time",
                    ANSWER_LIMIT.as_secs()
                ),
            )
            .into_response(),
        }
    };
    let headers = answer.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    if let Some(origin) = origin {
        set(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, last-event-id",
        );
        set(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST");
        set(header::VARY, "Origin");
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    answer
}

/// The request's origin, if it is one that may ask.
fn allowed_origin(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_allowed =
        (app.options.allow_origin.iter()).any(|allowed| allowed.as_bytes() == origin.as_bytes());
    is_allowed.then(|| origin.clone())
}

fn unauthorized(app: &App, request: &Request) -> Option<Response> {
    let token = app.options.token.as_ref()?;
    if is_open(request.uri().path()) || has(token, request.headers()) {
        return None;
    }
    let refusal = Refusal::new(
        StatusCode::UNAUTHORIZED,
        "this server asks for a token: send the header Authorization: Bearer <API_TOKEN>",
    );
    Some(([(header::WWW_AUTHENTICATE, "Bearer")], refusal).into_response())
}

fn has(token: &Secret, headers: &HeaderMap) -> bool {
    let sent = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let Some((scheme, sent)) = sent.and_then(|sent| sent.split_at_checked("Bearer ".len())) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.is(sent.trim_ascii())
}
