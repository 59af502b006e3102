//! The dashboard's files and the description of the API, inside the program: nothing is read from disk.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const MANIFEST: &str = "application/manifest+json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Every file of the page by its name, with its media type. Names come from here, never from a request.
const FILES: [(&str, &str, &[u8]); 11] = [
    ("app.js", SCRIPT, include_bytes!("web/app.js")),
    ("chart.js", SCRIPT, include_bytes!("web/chart.js")),
    ("feed.js", SCRIPT, include_bytes!("web/feed.js")),
    ("picker.js", SCRIPT, include_bytes!("web/picker.js")),
    ("words.js", SCRIPT, include_bytes!("web/words.js")),
    ("style.css", CSS, include_bytes!("web/style.css")),
    ("theme.js", SCRIPT, include_bytes!("web/theme.js")),
    ("icon.svg", SVG, include_bytes!("web/icon.svg")),
    (
        "manifest.json",
        MANIFEST,
        include_bytes!("web/manifest.json"),
    ),
    (
        "lightweight-charts-5.2.1.js",
        SCRIPT,
        include_bytes!("web/vendor/lightweight-charts.standalone.production.mjs"),
    ),
    ("NOTICE.txt", TEXT, include_bytes!("web/vendor/NOTICE.txt")),
];

pub(super) async fn page() -> Response {
    sent(HTML, include_bytes!("web/index.html"))
}

pub(super) async fn openapi() -> Response {
    sent("application/json", include_bytes!("openapi.json"))
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|file| file.0 == name) {
        Some((_, media_type, bytes)) => sent(media_type, bytes),
        None => Refusal::new(
            StatusCode::NOT_FOUND,
            "there is no such file of the page; it is at /, the API begins at /api/v1/ping",
        )
        .into_response(),
    }
}

/// A browser asks again each time, so that page and server are of one version.
fn sent(media_type: &'static str, bytes: &'static [u8]) -> Response {
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-cache")];
    (headers, bytes).into_response()
}
