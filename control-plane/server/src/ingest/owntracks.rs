//! OwnTracks in HTTP mode: JSON messages, answered by a list of commands for the phone.

use dropmate_ingest::{Detail, Fix};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    parsed::Parsed,
    values::{kilometers_per_hour, number_at, percent, time},
};
use crate::me::{Stop, StopKind};

const SOURCE: &str = "owntracks";
/// The phone itself saw that it came to a waypoint of ours: tracking takes it for a proposal of an arrival.
const ENTERED: &str = "owntracks/enter";
/// Metres around a stop in which the phone counts as there: what phones tell apart while they sleep.
const RADIUS_METERS: u32 = 100;
/// Waypoints that a phone gets: iOS watches 20 regions, and its user may have some.
const WAYPOINTS_MAX: usize = 10;
/// Where the numbers begin by which phones tell waypoints apart, which are times to them.
const NUMBERS_FROM: u32 = 1_000_000_000;
/// How many such numbers there are.
const NUMBERS: u32 = 500_000_000;

/// What a request comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    pub(super) parsed: Parsed,
    /// Whether the phone told where it is, and so may be told where to go.
    pub(super) located: bool,
}

/// Reads a request. Messages of other types, and none at all, say nothing of a place.
pub(super) fn parse(body: &[u8]) -> Told {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Told::default();
    }
    let mut told = Told::default();
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Array(messages)) => messages.iter().for_each(|one| message(&mut told, one)),
        Ok(one) => message(&mut told, &one),
        Err(_) => told.parsed = Parsed::unreadable(),
    }
    told
}

fn message(told: &mut Told, message: &Value) {
    match message["_type"].as_str() {
        Some("location") => {
            told.located = true;
            told.parsed.push(fix(message, SOURCE));
        }
        Some("transition") => {
            let source = if message["event"] == "enter" { ENTERED } else { SOURCE };
            told.parsed.push(fix(message, source));
        }
        _ => {}
    }
}

fn fix(message: &Value, source: &str) -> Option<Fix> {
    let detail = Detail {
        speed_meters_per_second: number_at(message, "vel").map(kilometers_per_hour),
        bearing: number_at(message, "cog"),
        accuracy_meters: number_at(message, "acc"),
        altitude_meters: number_at(message, "alt"),
        battery: number_at(message, "batt").map(percent),
        source: source.to_owned(),
    };
    let at = time(message.get("tst")?)?;
    Some(Fix { at, latitude: number_at(message, "lat")?, longitude: number_at(message, "lon")?, detail })
}

/// The answer: the stops ahead as waypoints, so that the phone itself notices an arrival. Each is named after its order:
/// whoever finds the phone learns no customer's name.
pub(super) fn reply(stops: &[Stop]) -> Value {
    if stops.is_empty() {
        return json!([]);
    }
    let waypoint = |stop: &Stop| {
        let what = match stop.kind {
            StopKind::Pickup => "pickup",
            StopKind::Dropoff => "dropoff",
        };
        let described = format!("{what} {}", stop.order);
        json!({
            "_type": "waypoint", "desc": described, "tst": waypoint_number(&described), "rad": RADIUS_METERS,
            "lat": stop.location.latitude, "lon": stop.location.longitude,
        })
    };
    let waypoints: Vec<Value> = stops.iter().take(WAYPOINTS_MAX).map(waypoint).collect();
    let waypoints = json!({"_type": "waypoints", "waypoints": waypoints});
    json!([{"_type": "cmd", "action": "setWaypoints", "waypoints": waypoints}])
}

/// The same for the same stop, however often it is sent: then the phone replaces its waypoint.
fn waypoint_number(described: &str) -> u32 {
    let hash = Sha256::digest(described.as_bytes());
    NUMBERS_FROM + u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % NUMBERS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const LOCATION: &str = r#"{"_type":"location","acc":5,"alt":76,"batt":85,"bs":1,"cog":54,"conn":"m","created_at":1764000001,"lat":43.6503,"lon":-79.3596,"m":1,"t":"u","tid":"sa","topic":"owntracks/sam/phone","tst":1764000000,"vac":2,"vel":18}"#;
    const ENTER: &str = r#"{"_type":"transition","wtst":1425042603,"lat":43.6503,"lon":-79.3596,"tst":1764000000,"acc":30,"tid":"sa","event":"enter","desc":"pickup acme/o-1","t":"c"}"#;

    #[test]
    fn a_location_is_a_fix() {
        let told = parse(LOCATION.as_bytes());
        assert!(told.located);
        let fix = &told.parsed.fixes[0];
        assert_eq!((fix.at.as_second(), fix.latitude, fix.longitude), (1_764_000_000, 43.6503, -79.3596));
        assert_eq!((fix.detail.speed_meters_per_second, fix.detail.battery), (Some(5.0), Some(0.85)));
    }

    #[rstest]
    #[case(ENTER, "owntracks/enter")]
    #[case(&ENTER.replace("enter", "leave"), "owntracks")]
    fn a_transition_is_a_fix_that_says_so(#[case] body: &str, #[case] source: &str) {
        let told = parse(body.as_bytes());
        assert_eq!((told.located, told.parsed.fixes[0].detail.source.as_str()), (false, source));
    }

    #[rstest]
    #[case("", 0)]
    #[case(r#"{"_type":"lwt","tst":1764000000}"#, 0)]
    #[case(r#"{"_type":"waypoint","desc":"home","lat":1,"lon":1,"rad":100,"tst":1}"#, 0)]
    #[case(r#"{"_type":"encrypted","data":"…"}"#, 0)]
    #[case("null", 0)]
    #[case(r#"{"_type":"location","lat":1,"lon":1}"#, 1)]
    #[case(r#"{"_type":"location","lat":null,"lon":1,"tst":1}"#, 1)]
    #[case("{", 1)]
    fn everything_else_says_nothing_of_a_place(#[case] body: &str, #[case] unread: usize) {
        let told = parse(body.as_bytes());
        assert_eq!((told.parsed.fixes.len(), told.parsed.unread), (0, unread));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), field in ".{0,20}") {
            let _ = parse(&body);
            let _ = parse(json!({"_type": "location", "lat": field, "lon": field, "tst": field}).to_string().as_bytes());
        }
    }
}
