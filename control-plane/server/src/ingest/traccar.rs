//! What a Traccar server forwards (`forward.type=json`): one position with its device, of whatever tracker that was.

use dropmate_ingest::{Detail, Fix};
use serde_json::Value;

use super::{
    parsed::Parsed,
    values::{knots, number_at, percent, time},
};

/// Reads a request: `{position: {…}, device: {…}}`. Where `only` names a device, by its identifier or name, the others of
/// that server are nobody here.
pub(super) fn parse(body: &[u8], only: Option<&str>) -> Parsed {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Parsed::unreadable() };
    let mut parsed = Parsed::default();
    let device = &body["device"];
    let meant = only.is_none_or(|only| [&device["uniqueId"], &device["name"]].into_iter().any(|held| held == only));
    if let Some(position) = body.get("position").filter(|position| position.is_object() && meant) {
        parsed.push(fix(position));
    }
    parsed
}

fn fix(position: &Value) -> Option<Fix> {
    // Without a fix of its own the server repeats the last place that it knows.
    if position["valid"] == false || position["outdated"] == true {
        return None;
    }
    let detail = Detail {
        speed_meters_per_second: number_at(position, "speed").map(knots),
        bearing: number_at(position, "course"),
        // The server says 0 where it does not know.
        accuracy_meters: number_at(position, "accuracy").filter(|meters| *meters > 0.0),
        altitude_meters: number_at(position, "altitude"),
        battery: position.get("attributes").and_then(|told| number_at(told, "batteryLevel")).map(percent),
        source: "traccar".to_owned(),
    };
    let at = ["fixTime", "deviceTime"].into_iter().find_map(|name| position.get(name).and_then(time))?;
    Some(Fix { at, latitude: number_at(position, "latitude")?, longitude: number_at(position, "longitude")?, detail })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn forwarded() -> Value {
        json!({
            "position": {
                "id": 12345, "attributes": {"batteryLevel": 85, "distance": 15.4, "totalDistance": 12500.5, "motion": true},
                "deviceId": 10, "protocol": "teltonika", "serverTime": "2025-11-24T16:00:02.000+00:00",
                "deviceTime": "2025-11-24T16:00:00.000+00:00", "fixTime": "2025-11-24T16:00:00.000+00:00",
                "outdated": false, "valid": true, "latitude": 43.6503, "longitude": -79.3596, "altitude": 76.0,
                "speed": 9.0, "course": 180.0, "address": null, "accuracy": 0.0, "network": null, "geofenceIds": null,
            },
            "device": {
                "id": 10, "attributes": {}, "groupId": 0, "name": "Van 1", "uniqueId": "860000000000001",
                "status": "online", "lastUpdate": "2025-11-24T16:00:00.000+00:00", "positionId": 12344, "disabled": false,
            },
        })
    }

    #[test]
    fn a_forwarded_position_is_a_fix() {
        let parsed = parse(forwarded().to_string().as_bytes(), None);
        let fix = &parsed.fixes[0];
        assert_eq!((fix.latitude, fix.longitude, fix.at.as_second()), (43.6503, -79.3596, 1_764_000_000));
        assert_eq!((fix.detail.speed_meters_per_second, fix.detail.battery), (Some(4.63), Some(0.85)));
        assert_eq!(fix.detail.accuracy_meters, None);
    }

    #[rstest]
    #[case(Some("860000000000001"), 1)]
    #[case(Some("Van 1"), 1)]
    #[case(Some("860000000000002"), 0)]
    fn one_device_of_many_may_be_meant(#[case] only: Option<&str>, #[case] fixes: usize) {
        assert_eq!(parse(forwarded().to_string().as_bytes(), only).fixes.len(), fixes);
    }

    #[rstest]
    #[case("valid", json!(false))]
    #[case("outdated", json!(true))]
    #[case("latitude", json!(null))]
    fn a_repeated_place_is_no_fix(#[case] field: &str, #[case] value: Value) {
        let mut body = forwarded();
        body["position"][field] = value;
        assert_eq!(parse(body.to_string().as_bytes(), None), Parsed { fixes: Vec::new(), unread: 1 });
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), field in ".{0,20}") {
            let _ = parse(&body, Some(&field));
            let position = json!({"fixTime": field, "latitude": field, "longitude": field, "speed": field});
            let _ = parse(json!({"position": position, "device": field}).to_string().as_bytes(), Some(&field));
        }
    }
}
