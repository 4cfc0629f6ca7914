//! Ways that were asked for before: for a while, and so many.

use std::{collections::BTreeMap, time::Duration};

use dropmate_api::{Location, VehicleType};
use tokio::time::Instant;

use crate::eta::Leg;

/// Places within about a hundred metres are one: a moving driver is asked about once a block.
const PER_DEGREE: f64 = 1_000.0;

/// How long a travel time is good: traffic changes.
const GOOD_FOR: Duration = Duration::from_mins(10);

/// Ways in one of the two generations: two of them take some ten megabytes.
const WAYS_MAX: usize = 25_000;

type Key = (VehicleType, [i32; 4]);

/// Two generations: when the young one is full, the old one goes.
#[derive(Debug, Default)]
pub(super) struct Cache {
    young: BTreeMap<Key, (f64, Instant)>,
    old: BTreeMap<Key, (f64, Instant)>,
}

impl Cache {
    pub(super) fn get(&mut self, vehicle: VehicleType, leg: &Leg, now: Instant) -> Option<f64> {
        let key = key(vehicle, leg);
        let held = self.young.get(&key).or_else(|| self.old.get(&key));
        held.filter(|(_, at)| now.duration_since(*at) < GOOD_FOR).map(|(seconds, _)| *seconds)
    }

    pub(super) fn put(&mut self, vehicle: VehicleType, leg: &Leg, seconds: f64, now: Instant) {
        if self.young.len() >= WAYS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key(vehicle, leg), (seconds, now));
    }
}

fn key(vehicle: VehicleType, leg: &Leg) -> Key {
    let rounded =
        |place: Location| [place.latitude, place.longitude].map(|degrees| (degrees * PER_DEGREE).round() as i32);
    let ([a, b], [c, d]) = (rounded(leg.from), rounded(leg.to));
    (vehicle, [a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(latitude: f64) -> Leg {
        let place = |latitude| Location { latitude, longitude: 5.0 };
        Leg { from: place(latitude), to: place(0.0) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_old_or_too_much_goes() {
        let mut cache = Cache::default();
        cache.put(VehicleType::Car, &leg(50.0), 60.0, Instant::now());
        assert_eq!(cache.get(VehicleType::Car, &leg(50.000_4), Instant::now()), Some(60.0), "the same block");
        assert_eq!(cache.get(VehicleType::Car, &leg(50.01), Instant::now()), None);
        assert_eq!(cache.get(VehicleType::Foot, &leg(50.0), Instant::now()), None);
        tokio::time::advance(GOOD_FOR).await;
        assert_eq!(cache.get(VehicleType::Car, &leg(50.0), Instant::now()), None);
        for n in 0..3 * WAYS_MAX as i32 {
            cache.put(VehicleType::Car, &leg(f64::from(n) / 1_000.0), 1.0, Instant::now());
            assert!(cache.young.len() + cache.old.len() <= 2 * WAYS_MAX);
        }
    }
}
