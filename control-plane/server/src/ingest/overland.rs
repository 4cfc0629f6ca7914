//! Overland: GeoJSON features, longitude before latitude.

use dropmate_ingest::{Detail, Fix};
use serde_json::Value;

use super::{
    parsed::Parsed,
    values::{number, number_at, time},
};

/// Reads a request: `{locations: [feature, …]}`.
pub(super) fn parse(body: &[u8]) -> Parsed {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Parsed::unreadable() };
    let mut parsed = Parsed::default();
    for feature in body["locations"].as_array().into_iter().flatten() {
        // Trips and visits are told in the same list, and are no points on the way.
        let told = &feature["properties"];
        if told.get("type").is_none() && told.get("action").is_none() {
            parsed.push(fix(feature));
        }
    }
    parsed
}

fn fix(feature: &Value) -> Option<Fix> {
    let (place, told) = (feature["geometry"]["coordinates"].as_array()?, &feature["properties"]);
    let detail = Detail {
        speed_meters_per_second: number_at(told, "speed"),
        bearing: number_at(told, "course"),
        accuracy_meters: number_at(told, "horizontal_accuracy"),
        altitude_meters: number_at(told, "altitude"),
        battery: number_at(told, "battery_level"),
        source: "overland".to_owned(),
    };
    let at = time(told.get("timestamp")?)?;
    Some(Fix { at, latitude: number(place.get(1)?)?, longitude: number(place.first()?)?, detail })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn features_are_fixes_with_longitude_first() {
        let body = json!({"locations": [
            {
                "type": "Feature", "geometry": {"type": "Point", "coordinates": [-79.3596, 43.6503]},
                "properties": {
                    "timestamp": "2025-11-24T16:00:00Z", "altitude": 76, "speed": 4, "horizontal_accuracy": 5,
                    "vertical_accuracy": -1, "motion": ["driving"], "pauses": false, "activity": "other_navigation",
                    "desired_accuracy": 100, "deferred": 1000, "significant_change": "disabled",
                    "locations_in_payload": 1, "battery_state": "charging", "battery_level": 0.89, "device_id": "sam",
                    "wifi": "",
                },
            },
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-79.36]}, "properties": {}},
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]},
             "properties": {"type": "trip", "timestamp": "2025-11-24T16:00:00Z"}},
        ], "current": {}});
        let parsed = parse(body.to_string().as_bytes());
        assert_eq!((parsed.fixes.len(), parsed.unread), (1, 1));
        let fix = &parsed.fixes[0];
        assert_eq!((fix.latitude, fix.longitude, fix.at.as_second()), (43.6503, -79.3596, 1_764_000_000));
        assert_eq!((fix.detail.speed_meters_per_second, fix.detail.battery), (Some(4.0), Some(0.89)));
    }

    #[test]
    fn an_empty_batch_and_nonsense_have_no_fix() {
        assert_eq!(parse(br#"{"locations": []}"#), Parsed::default());
        assert_eq!(parse(b"{}"), Parsed::default());
        assert_eq!(parse(b"x"), Parsed::unreadable());
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), field in ".{0,20}") {
            let _ = parse(&body);
            let feature = json!({"geometry": {"coordinates": [field, field]}, "properties": {"timestamp": field}});
            let _ = parse(json!({"locations": [feature, field]}).to_string().as_bytes());
        }
    }
}
