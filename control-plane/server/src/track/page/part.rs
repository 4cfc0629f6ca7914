//! The part of the page that changes: written from what the customer sees at the moment.

use askama::Template;
use dropmate_api::{Depot, NotificationPolicy, Order, Phase};
use dropmate_store::{At, Key, Scope};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{
    super::{
        Found, look, rate,
        sketch::{distance, sketch},
        view::{OLD_AFTER, View},
        words::{Words, fill, words},
    },
    rendered,
};
use crate::{error::Result, ingest, pins, resources::namespace_key, state::AppState};

/// The namespace's zone, where nobody nearer says one.
const ZONE: &str = "/metadata/annotations/dropmate.dev~1time-zone";

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

/// What the shop is called: as a policy says it, else its namespace.
pub(super) async fn shop(state: &AppState, namespace: &str) -> Result<String> {
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
pub(super) async fn content(
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
