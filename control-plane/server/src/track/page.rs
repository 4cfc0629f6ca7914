//! `/t/{token}`: the customer's page. The server writes it whole, in the recipient's language, and it needs nothing from
//! elsewhere; a small script keeps it live, and without one it loads itself anew.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use dropmate_api::{Depot, NotificationPolicy, Order, Phase};
use dropmate_store::{At, Key, Scope};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Address, Found, find, look, network, notify, private, rate,
    sketch::{distance, sketch},
    view::{OLD_AFTER, View},
    words::{Words, fill, words},
};
use crate::{
    error::{ApiError, Result},
    form_body,
    gateway::SMALL_BODY_MAX,
    ingest, pins,
    resources::namespace_key,
    state::AppState,
};

/// What the page may do: run its own script and style, talk to its own server. A script that somebody gets into a text of
/// an order does not run, and nobody frames it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'",
);
/// It needs none of what a phone has.
const PERMISSIONS: HeaderValue = HeaderValue::from_static("geolocation=(), camera=(), microphone=()");
/// A file under its version never changes: a year is for ever.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Hex digits of a version: enough that no two are the same.
const VERSION_CHARS: usize = 16;
/// The namespace's zone, where nobody nearer says one.
const ZONE: &str = "/metadata/annotations/dropmate.dev~1time-zone";

const SCRIPT: &str = include_str!("../../assets/track.js");
const STYLE: &str = include_str!("../../assets/track.css");

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut version = hex::encode([SCRIPT, STYLE].iter().fold(Sha256::new(), Digest::chain_update).finalize());
    version.truncate(VERSION_CHARS);
    version
});

/// What the page's files are asked for with.
pub(crate) fn files_version() -> &'static str {
    &VERSION
}

/// The page around its changing part.
#[derive(Template)]
#[template(path = "track.html")]
struct Page<'a> {
    words: &'a Words,
    shop: &'a str,
    version: &'a str,
    path: &'a str,
    /// Already written, and escaped where it was.
    content: &'a str,
    /// Whether it goes on changing.
    live: bool,
    /// Whether the recipient is written to; `None`: it does not matter any more.
    notified: Option<bool>,
}

/// The part that changes.
#[derive(Template)]
#[template(path = "track-live.html")]
struct Live<'a> {
    words: &'a Words,
    path: &'a str,
    headline: &'a str,
    expected: Option<String>,
    before: Option<String>,
    driver: Option<String>,
    sketch: Option<Drawn>,
    pin: Option<String>,
    rating: Option<Asked<'a>>,
    timeline: Vec<Told>,
}

struct Drawn {
    x: String,
    y: String,
    latitude: String,
    longitude: String,
    scale: String,
    away: String,
    old: Option<String>,
}

struct Asked<'a> {
    given: bool,
    stars: Vec<(i64, String)>,
    problem: Option<&'a str>,
}

struct Told {
    datetime: String,
    at: String,
    what: &'static str,
}

/// Instead of a delivery.
#[derive(Template)]
#[template(path = "track-gone.html")]
struct Gone<'a> {
    headline: &'a str,
    text: &'a str,
}

/// The page and its files.
pub(crate) fn routes(state: AppState) -> Router {
    Router::new()
        .route("/t/track.css", get(async || file("text/css; charset=utf-8", STYLE)))
        .route("/t/track.js", get(async || file("text/javascript; charset=utf-8", SCRIPT)))
        .route("/t/{token}", get(whole))
        .route("/t/{token}/live", get(live))
        .route("/t/{token}/rating", post(rated))
        .route("/t/{token}/notifications", post(notified))
        .with_state(state)
}

fn file(media_type: &'static str, text: &'static str) -> Response {
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (CACHE_CONTROL, IMMUTABLE),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (head, text).into_response()
}

fn html(code: StatusCode, text: String) -> Response {
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ];
    private((code, head, text).into_response())
}

fn languages(headers: &HeaderMap) -> &str {
    headers.get(ACCEPT_LANGUAGE).and_then(|languages| languages.to_str().ok()).unwrap_or_default()
}

fn rendered(template: &impl Template) -> String {
    // The templates are checked when they are compiled, and write into memory.
    template.render().unwrap_or_default()
}

/// A refusal as people read it. Of what is wrong with a token, nothing is told.
fn refused(error: &ApiError, words: &Words, framed: bool) -> Response {
    let code = error.code();
    let (headline, text) = match code {
        StatusCode::NOT_FOUND => (words.gone, words.gone_text),
        StatusCode::TOO_MANY_REQUESTS => (words.throttled, words.throttled_text),
        _ => {
            tracing::warn!(error = error.message(), "a customer's page could not be made");
            (words.broken, words.broken_text)
        }
    };
    let content = rendered(&Gone { headline, text });
    let text = if framed {
        let path = "";
        let page = Page { words, shop: "", version: &VERSION, path, content: &content, live: false, notified: None };
        rendered(&page)
    } else {
        content
    };
    let mut response = html(code, text);
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// `GET /t/{token}`.
async fn whole(
    State(state): State<AppState>,
    address: Address,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let accepted = languages(&headers);
    let answer = async {
        let found = find(&state, network(address), &token).await?;
        framed(&state, &found, &token, accepted, None).await
    };
    match answer.await {
        Ok(text) => html(StatusCode::OK, text),
        Err(error) => refused(&error, words(None, accepted), true),
    }
}

/// `GET /t/{token}/live`: the part that changes.
async fn live(
    State(state): State<AppState>,
    address: Address,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let accepted = languages(&headers);
    let answer = async {
        let found = find(&state, network(address), &token).await?;
        content(&state, &found, &token, accepted, None).await
    };
    match answer.await {
        Ok(text) => html(StatusCode::OK, text),
        Err(error) => refused(&error, words(None, accepted), false),
    }
}

/// `POST /t/{token}/rating`: the form of the page.
async fn rated(
    State(state): State<AppState>,
    address: Address,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let accepted = languages(&headers);
    let answer = async {
        let found = find(&state, network(address), &token).await?;
        let form = form_body::read(&headers, &body)?;
        let stars = form_body::field(&form, "stars").and_then(|stars| stars.parse().ok()).unwrap_or(0);
        let comment = form_body::field(&form, "comment").unwrap_or_default();
        let said = words(found.order.spec.recipient.locale.as_deref(), accepted);
        match rate::keep(&state, &found, stars, comment).await {
            // Said before, or too early: the page shows how it is.
            Ok(_) => Ok(back(&token)),
            Err(error) if error.code() == StatusCode::CONFLICT => Ok(back(&token)),
            Err(error) if error.code() == StatusCode::UNPROCESSABLE_ENTITY => {
                let problem = if error.message().starts_with("stars") { said.choose_stars } else { said.too_long };
                let text = framed(&state, &found, &token, accepted, Some(problem)).await?;
                Ok(html(StatusCode::UNPROCESSABLE_ENTITY, text))
            }
            Err(error) => Err(error),
        }
    };
    answer.await.unwrap_or_else(|error| refused(&error, words(None, accepted), true))
}

/// Whether a mail program unsubscribes its user (RFC 8058), in whatever form it writes forms.
fn is_one_click(body: &[u8]) -> bool {
    let has = |word: &[u8]| body.windows(word.len()).any(|part| part == word);
    body.len() <= SMALL_BODY_MAX && has(b"List-Unsubscribe") && has(b"One-Click")
}

/// `POST /t/{token}/notifications`: the form of the page, and the target of `List-Unsubscribe`.
async fn notified(
    State(state): State<AppState>,
    address: Address,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let accepted = languages(&headers);
    let answer = async {
        let found = find(&state, network(address), &token).await?;
        if is_one_click(&body) {
            notify::write(&state, &found.link, false).await?;
            return Ok(private(StatusCode::OK.into_response()));
        }
        let form = form_body::read(&headers, &body)?;
        if let Some(enabled) = form_body::field(&form, "enabled").and_then(|enabled| enabled.parse().ok()) {
            notify::write(&state, &found.link, enabled).await?;
        }
        Ok(back(&token))
    };
    answer.await.unwrap_or_else(|error| refused(&error, words(None, accepted), true))
}

/// To the page: reloading it sends nothing again.
fn back(token: &str) -> Response {
    let place = HeaderValue::try_from(format!("/t/{token}")).unwrap_or(HeaderValue::from_static("/"));
    private((StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response())
}

/// The whole page.
async fn framed(state: &AppState, found: &Found, token: &str, accepted: &str, problem: Option<&str>) -> Result<String> {
    let content = content(state, found, token, accepted, problem).await?;
    let order = &found.order;
    let over = order.phase().is_terminal();
    let recipient = &order.spec.recipient;
    let reachable = recipient.email.is_some() || recipient.phone.is_some();
    let page = Page {
        words: words(recipient.locale.as_deref(), accepted),
        shop: &shop(state, &found.link.namespace).await?,
        version: &VERSION,
        path: &format!("/t/{token}"),
        content: &content,
        live: !over,
        notified: (!over && reachable).then(|| recipient.notify.unwrap_or(true)),
    };
    Ok(rendered(&page))
}

/// What the shop is called: as a policy says it, else its namespace.
async fn shop(state: &AppState, namespace: &str) -> Result<String> {
    let scope =
        Scope { resource: "notificationpolicies.dropmate.dev".to_owned(), namespace: Some(namespace.to_owned()) };
    let page = state.store.list(&scope, At::Any, None, None).await?;
    let name = page.objects.iter().find_map(|object| {
        let policy: NotificationPolicy = serde_json::from_str(&object.body).ok()?;
        policy.spec.shop?.name
    });
    Ok(name.unwrap_or_else(|| namespace.to_owned()))
}

/// The zone of the recipient: as the order says, else that of its depot, of its namespace, UTC.
async fn zone(state: &AppState, namespace: &str, order: &Order) -> Result<TimeZone> {
    let mut named = order.spec.recipient.time_zone.clone();
    for depot in [&order.spec.pickup.depot_name, &order.spec.dropoff.depot_name].into_iter().flatten() {
        if named.is_some() {
            break;
        }
        let key =
            Key { resource: "depots.dropmate.dev".to_owned(), namespace: namespace.to_owned(), name: depot.clone() };
        let (held, _) = state.store.get(&key, At::Any).await?;
        let depot: Option<Depot> = held.and_then(|held| serde_json::from_str(&held.body).ok());
        named = depot.and_then(|depot| depot.spec.time_zone);
    }
    if named.is_none() {
        let (held, _) = state.store.get(&namespace_key(namespace), At::Any).await?;
        let held: Option<Value> = held.and_then(|held| serde_json::from_str(&held.body).ok());
        named = held.and_then(|held| held.pointer(ZONE)?.as_str().map(str::to_owned));
    }
    Ok(named.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC))
}

/// The part that changes.
async fn content(
    state: &AppState,
    found: &Found,
    token: &str,
    accepted: &str,
    problem: Option<&str>,
) -> Result<String> {
    let order = &found.order;
    let view = look(state, found).await?;
    let words = words(order.spec.recipient.locale.as_deref(), accepted);
    let zone = zone(state, &found.link.namespace, order).await?;
    let rating = if view.phase == Phase::Delivered {
        let given = ingest::of(state)?.rating_of(&found.link.order_uid).await?.is_some();
        Some(Asked { given, stars: stars(words), problem })
    } else {
        None
    };
    let pin = pins::of_recipient(state, order).await?;
    let now = state.clock.business_now();
    Ok(rendered(&part(&view, order, words, &zone, now, &format!("/t/{token}"), pin, rating)))
}

fn stars(words: &Words) -> Vec<(i64, String)> {
    let star = |number: i64| match number {
        1 => (1, words.one_star.to_owned()),
        number => (number, fill(words.stars, &[("count", &number.to_string())])),
    };
    (1..=rate::STARS_MAX).rev().map(star).collect()
}

#[expect(clippy::too_many_arguments, reason = "all that the page is written from, and nothing is asked here")]
fn part<'a>(
    view: &View,
    order: &Order,
    words: &'a Words,
    zone: &TimeZone,
    now: Timestamp,
    path: &'a str,
    pin: Option<String>,
    rating: Option<Asked<'a>>,
) -> Live<'a> {
    let time = |at| words.time(at, now, zone);
    let expected =
        view.eta.map(|eta| fill(words.between, &[("earliest", &time(eta.earliest)), ("latest", &time(eta.latest))]));
    // At the door nobody asks who comes before.
    let before = view.stops_before.filter(|_| view.phase == Phase::OutForDelivery).map(|count| match count {
        0 => words.next.to_owned(),
        1 => words.one_before.to_owned(),
        count => fill(words.some_before, &[("count", &count.to_string())]),
    });
    let named = view.driver.as_ref().filter(|driver| !driver.first_name.is_empty());
    let timeline = view.timeline.iter().map(|entry| Told {
        datetime: entry.at.to_string(),
        at: time(entry.at),
        what: words.what(entry.what),
    });
    Live {
        words,
        path,
        headline: words.phase(view.phase),
        expected,
        before,
        driver: named.map(|driver| fill(words.brings, &[("name", &driver.first_name)])),
        sketch: drawn(view, order, words, now),
        pin: pin.map(|pin| if pin.len() == 6 { format!("{} {}", &pin[..3], &pin[3..]) } else { pin }),
        rating,
        timeline: timeline.collect(),
    }
}

/// The sketch, where the driver's position is shown.
fn drawn(view: &View, order: &Order, words: &Words, now: Timestamp) -> Option<Drawn> {
    let (place, at) = view.position()?;
    let home = order.spec.dropoff.location;
    let drawn = sketch(home, place);
    let away = fill(words.away, &[("distance", &distance(drawn.meters, words.decimal))]);
    let age = now.duration_since(at);
    let minutes = (age.as_secs() / 60).to_string();
    Some(Drawn {
        x: format!("{:.1}", drawn.x),
        y: format!("{:.1}", drawn.y),
        latitude: home.latitude.to_string(),
        longitude: home.longitude.to_string(),
        scale: distance(drawn.ring, words.decimal),
        away,
        old: (age > OLD_AFTER).then(|| fill(words.old, &[("minutes", &minutes)])),
    })
}
