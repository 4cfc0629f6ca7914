//! The protocol of OsmAnd, which the Traccar clients have made theirs: a query (OsmAnd, GPSLogger, Traccar Client up to 8),
//! the same as a form (Traccar Client 10), or JSON (Traccar Client 9).

use dropmate_ingest::{Detail, Fix};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    parsed::Parsed,
    values::{knots, number, number_at, percent, time},
};
use crate::request_info::decode;

const SOURCE: &str = "osmand";

/// Reads a request. A heartbeat, which says nothing of a place, has no fix.
pub(super) fn parse(query: &str, body: &[u8], now: Timestamp) -> Parsed {
    let text = body.trim_ascii();
    if matches!(text.first(), Some(b'{' | b'[')) {
        return match serde_json::from_slice::<Value>(text) {
            Ok(Value::Array(messages)) => messages.iter().fold(Parsed::default(), |parsed, one| json(parsed, one, now)),
            Ok(message) => json(Parsed::default(), &message, now),
            Err(_) => Parsed::unreadable(),
        };
    }
    let form = String::from_utf8_lossy(text);
    let fields: Vec<(String, String)> = pairs(query).chain(pairs(&form)).collect();
    let field = |names: &[&str]| {
        let found = fields.iter().find(|(name, value)| names.contains(&name.as_str()) && !value.is_empty());
        found.map(|(_, value)| Value::from(value.as_str()))
    };
    let mut parsed = Parsed::default();
    let both = field(&["location"]).and_then(|both| {
        let (latitude, longitude) = both.as_str()?.split_once(',')?;
        Some((latitude.trim().into(), longitude.trim().into()))
    });
    let place: Option<(Value, Value)> = both.or_else(|| Some((field(&["lat"])?, field(&["lon"])?)));
    let Some((latitude, longitude)) = place else {
        if field(&["lat", "lon", "location"]).is_some() {
            parsed.push(None);
        }
        return parsed;
    };
    let valid = field(&["valid"]).is_none_or(|valid| !matches!(valid.as_str(), Some("false" | "0")));
    let at = match field(&["timestamp", "time"]) {
        Some(told) => time(&told),
        // Some loggers leave it out: then it is now.
        None => Some(now),
    };
    let value = |names: &[&str]| field(names).as_ref().and_then(number);
    let detail = Detail {
        speed_meters_per_second: value(&["speed"]).map(knots),
        bearing: value(&["bearing", "heading"]),
        accuracy_meters: value(&["accuracy"]),
        altitude_meters: value(&["altitude"]),
        battery: value(&["batt"]).map(percent),
        source: SOURCE.to_owned(),
    };
    let fix = || Some(Fix { at: at?, latitude: number(&latitude)?, longitude: number(&longitude)?, detail });
    parsed.push(if valid { fix() } else { None });
    parsed
}

/// `{location: {timestamp, coords: {…}, battery: {level}}, device_id}`; `location` may be a list.
fn json(mut parsed: Parsed, message: &Value, now: Timestamp) -> Parsed {
    match message.get("location") {
        Some(Value::Array(locations)) => locations.iter().for_each(|one| parsed.push(location(one, now))),
        // A heartbeat without a place.
        Some(one) if one.get("coords").is_none_or(Value::is_null) => {}
        Some(one) => parsed.push(location(one, now)),
        None => {}
    }
    parsed
}

fn location(location: &Value, now: Timestamp) -> Option<Fix> {
    let coords = location.get("coords")?;
    let at = match location.get("timestamp") {
        None | Some(Value::Null) => now,
        Some(told) => time(told)?,
    };
    let detail = Detail {
        // Here, and only here, in metres a second.
        speed_meters_per_second: number_at(coords, "speed"),
        bearing: number_at(coords, "heading"),
        accuracy_meters: number_at(coords, "accuracy"),
        altitude_meters: number_at(coords, "altitude"),
        battery: location.get("battery").and_then(|battery| number_at(battery, "level")),
        source: SOURCE.to_owned(),
    };
    Some(Fix { at, latitude: number_at(coords, "latitude")?, longitude: number_at(coords, "longitude")?, detail })
}

/// The fields of a query or a form.
fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let said = |part: &str| decode(&part.replace('+', " "));
    text.split('&').filter_map(move |pair| {
        let (name, value) = pair.split_once('=')?;
        Some((said(name), said(value)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn expected(speed: f64) -> Fix {
        let detail = Detail {
            speed_meters_per_second: Some(speed),
            bearing: Some(54.5),
            accuracy_meters: Some(5.0),
            altitude_meters: Some(76.0),
            battery: Some(0.85),
            source: "osmand".to_owned(),
        };
        Fix { at: Timestamp::from_second(1_764_000_000).unwrap(), latitude: 43.6503, longitude: -79.3596, detail }
    }

    const CLIENT_8: &str = "id=123456&timestamp=1764000000&lat=43.6503&lon=-79.3596&speed=9.0&bearing=54.5&altitude=76.0&accuracy=5.0&batt=85.0&charge=true";
    const CLIENT_9: &str = r#"{"location":{"timestamp":"2025-11-24T16:00:00.000Z","coords":{"latitude":43.6503,"longitude":-79.3596,"accuracy":5,"speed":4.63,"heading":54.5,"altitude":76},"is_moving":true,"odometer":14351.9,"event":"motionchange","battery":{"level":0.85,"is_charging":false},"activity":{"type":"in_vehicle"},"extras":{}},"device_id":"123456"}"#;
    const OSMAND: &str = "lat=43.6503&lon=-79.3596&timestamp=1764000000000&hdop=5.0&altitude=76.0&speed=9.0&bearing=54.5&batt=85&accuracy=5";

    #[rstest]
    #[case::traccar_client_8_query(CLIENT_8, "")]
    #[case::traccar_client_9_json("", CLIENT_9)]
    #[case::traccar_client_10_form("", CLIENT_8)]
    #[case::osmand(OSMAND, "")]
    #[case::an_iso_time(
        "id=1&lat=43.6503&lon=-79.3596&timestamp=2025-11-24T16%3A00%3A00Z&speed=9&heading=54.5&altitude=76&accuracy=5&batt=85",
        ""
    )]
    #[case::both_in_one(
        "id=1&location=43.6503,-79.3596&timestamp=1764000000&speed=9&bearing=54.5&altitude=76&accuracy=5&batt=85",
        ""
    )]
    fn three_generations_say_the_same(#[case] query: &str, #[case] body: &str) {
        let parsed = parse(query, body.as_bytes(), NOW);
        assert_eq!(parsed, Parsed { fixes: vec![expected(4.63)], unread: 0 });
    }

    #[rstest]
    #[case::heartbeat("id=123456&timestamp=1764000000&batt=85", "", 0)]
    #[case::nothing("", "", 0)]
    #[case::heartbeat_in_json(
        "",
        r#"{"location":{"timestamp":"2025-11-24T16:00:00Z","event":"heartbeat"},"device_id":"1"}"#,
        0
    )]
    #[case::not_valid("lat=1&lon=1&valid=false", "", 1)]
    #[case::no_number("lat=x&lon=1", "", 1)]
    #[case::half_a_place("lat=1", "", 1)]
    #[case::no_time("lat=1&lon=1&timestamp=soon", "", 1)]
    #[case::broken_json("", r#"{"location":"#, 1)]
    fn what_has_no_place_has_no_fix(#[case] query: &str, #[case] body: &str, #[case] unread: usize) {
        assert_eq!(parse(query, body.as_bytes(), NOW), Parsed { fixes: Vec::new(), unread });
    }

    #[test]
    fn without_a_time_it_is_now() {
        assert_eq!(parse("lat=1&lon=1", b"", NOW).fixes[0].at, NOW);
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(query in ".{0,200}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&query, &body, NOW);
        }

        #[test]
        fn no_value_makes_it_panic(lat in "[-+.0-9eENaif]{0,12}", time in "[-+.0-9eT:Z]{0,20}", speed in "[-0-9.e]{0,9}") {
            let _ = parse(&format!("lat={lat}&lon={speed}&timestamp={time}&speed={speed}&batt={lat}"), b"", NOW);
            let body = format!(r#"{{"location":{{"timestamp":"{time}","coords":{{"latitude":"{lat}","longitude":"{speed}"}}}}}}"#);
            let _ = parse("", body.as_bytes(), NOW);
        }
    }
}
