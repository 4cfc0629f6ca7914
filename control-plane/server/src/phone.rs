//! `/d`: the page on a driver's phone. A shell and three files, the same for everybody and open to everybody; what a
//! driver sees, its script asks of `/v1/me` once the phone has been paired.
//!
//! No framework, nothing from elsewhere. The script's queue keeps what a driver did without a network.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use sha2::{Digest, Sha256};

/// What the page may do: run its own script and style, talk to its own server, show what a camera took. A script that
/// somebody gets into a text of an order does not run.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
     worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
/// Nobody else on the page may ask where the phone is; nothing needs the microphone.
const PERMISSIONS: HeaderValue = HeaderValue::from_static("geolocation=(self), camera=(self), microphone=()");
/// A file under its version never changes: a year is for ever.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The page is asked for anew each time; its tag makes that cheap.
const REVALIDATED: HeaderValue = HeaderValue::from_static("no-cache");
/// Hex digits of a version: enough that no two are the same.
const VERSION_CHARS: usize = 16;

const SCRIPT: &str = include_str!("../assets/phone.js");
const STYLE: &str = include_str!("../assets/phone.css");
const WORKER: &str = include_str!("../assets/phone-worker.js");

/// What the page shows before its script runs.
#[derive(Template)]
#[template(path = "phone.html")]
struct Shell<'a> {
    version: &'a str,
    loading: &'a str,
    no_script: &'a str,
}

/// The page with the version of its files, made once.
static PAGE: LazyLock<(String, String)> = LazyLock::new(|| {
    let template = include_str!("../templates/phone.html");
    let mut version =
        hex::encode([SCRIPT, STYLE, WORKER, template].iter().fold(Sha256::new(), Digest::chain_update).finalize());
    version.truncate(VERSION_CHARS);
    let shell = Shell { version: &version, loading: "Loading …", no_script: "This page needs JavaScript." };
    let page = shell.render().expect("the template is checked when it is compiled, and writes into memory");
    (page, version)
});

/// The page and its files.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/d", get(page))
        .route("/d/phone.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/d/phone.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/d/phone-worker.js", get(worker))
}

async fn page(headers: HeaderMap) -> Response {
    let (page, version) = &*PAGE;
    let tag = format!("\"{version}\"");
    let mut response = if headers.get(IF_NONE_MATCH).is_some_and(|held| held.as_bytes() == tag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file("text/html; charset=utf-8", page)
    };
    let own = [
        (CACHE_CONTROL, REVALIDATED),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ];
    response.headers_mut().extend(own);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The service worker keeps the page itself, which lies above its own folder.
async fn worker() -> Response {
    let mut response = file("text/javascript; charset=utf-8", WORKER);
    response.headers_mut().insert(CACHE_CONTROL, REVALIDATED);
    response.headers_mut().insert("service-worker-allowed", HeaderValue::from_static("/d"));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY);
    response
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, IMMUTABLE),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (head, text).into_response()
}
