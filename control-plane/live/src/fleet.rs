//! Where drivers were last, by name and by place.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use rstar::{RTree, primitives::GeomWithData};

use crate::Position;

/// Drivers known at most, in all namespaces: some 60 MB. Who comes beyond is not known here, and counted.
const DRIVERS_MAX: usize = 100_000;
/// Metres; the mean radius of the earth.
const EARTH_RADIUS: f64 = 6_371_008.8;

/// A place on the unit sphere, where distances have no seams at the poles and at 180 degrees.
type Spot = GeomWithData<[f64; 3], Arc<str>>;

/// The latest positions of all namespaces.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    namespaces: BTreeMap<String, Drivers>,
    count: usize,
}

#[derive(Debug, Default)]
struct Drivers {
    by_name: BTreeMap<Arc<str>, Arc<Position>>,
    by_place: RTree<Spot>,
}

impl Fleet {
    /// Keeps what is newer than what is known; says what that was, and how many were refused for what they are.
    pub(crate) fn take(&mut self, positions: impl IntoIterator<Item = Position>) -> (Vec<Arc<Position>>, u64) {
        let (mut newer, mut refused) = (Vec::new(), 0);
        for position in positions {
            if !is_a_place(position.latitude, position.longitude) {
                refused += 1;
                continue;
            }
            let held = self.namespaces.get(&position.namespace).and_then(|drivers| drivers.get(&position.driver));
            match held {
                Some(held) if held.uid == position.uid && held.at >= position.at => continue,
                None if self.count >= DRIVERS_MAX => {
                    refused += 1;
                    continue;
                }
                None => self.count += 1,
                Some(_) => {}
            }
            let position = Arc::new(position);
            if !self.namespaces.contains_key(&position.namespace) {
                self.namespaces.insert(position.namespace.clone(), Drivers::default());
            }
            if let Some(drivers) = self.namespaces.get_mut(&position.namespace) {
                drivers.put(position.clone());
            }
            newer.push(position);
        }
        (newer, refused)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn latest(&self, namespace: &str, driver: &str) -> Option<Arc<Position>> {
        self.namespaces.get(namespace)?.get(driver).cloned()
    }

    pub(crate) fn latest_in(&self, namespace: &str) -> Vec<Arc<Position>> {
        let drivers = self.namespaces.get(namespace);
        drivers.into_iter().flat_map(|drivers| drivers.by_name.values().cloned()).collect()
    }

    /// All of them, by namespace and name.
    pub(crate) fn everywhere(&self) -> Vec<Arc<Position>> {
        self.namespaces.values().flat_map(|drivers| drivers.by_name.values().cloned()).collect()
    }

    pub(crate) fn near(
        &self,
        namespace: &str,
        latitude: f64,
        longitude: f64,
        meters: f64,
        limit: usize,
    ) -> Vec<(Arc<Position>, f64)> {
        let Some(drivers) = self.namespaces.get(namespace) else { return Vec::new() };
        if !is_a_place(latitude, longitude) {
            return Vec::new();
        }
        drivers
            .by_place
            .nearest_neighbor_iter_with_distance_2(&on_sphere(latitude, longitude))
            .map(|(spot, chord_2)| (spot, along_the_ground(chord_2)))
            .take_while(|(_, distance)| *distance <= meters)
            .filter_map(|(spot, distance)| Some((drivers.by_name.get(&spot.data)?.clone(), distance)))
            .take(limit)
            .collect()
    }

    /// Lets go of a driver; says what was known.
    pub(crate) fn forget(&mut self, namespace: &str, driver: &str) -> Option<Arc<Position>> {
        let drivers = self.namespaces.get_mut(namespace)?;
        let held = drivers.get(driver)?.clone();
        drivers.remove(&held);
        if drivers.by_name.is_empty() {
            self.namespaces.remove(namespace);
        }
        self.count -= 1;
        Some(held)
    }

    /// Lets go of those of whom it is not so.
    pub(crate) fn retain(&mut self, is_so: impl Fn(&Position) -> bool) {
        let held: Vec<_> = self.namespaces.values().flat_map(|drivers| drivers.by_name.values().cloned()).collect();
        for position in held.iter().filter(|position| !is_so(position)) {
            self.forget(&position.namespace, &position.driver);
        }
    }

    /// Lets go of what is older; says what that was.
    pub(crate) fn forget_before(&mut self, at: Timestamp) -> Vec<Arc<Position>> {
        let mut gone = Vec::new();
        for drivers in self.namespaces.values_mut() {
            let old: Vec<_> = drivers.by_name.values().filter(|held| held.at < at).cloned().collect();
            for position in &old {
                drivers.remove(position);
            }
            gone.extend(old);
        }
        self.namespaces.retain(|_, drivers| !drivers.by_name.is_empty());
        self.count -= gone.len();
        gone
    }
}

impl Drivers {
    fn get(&self, driver: &str) -> Option<&Arc<Position>> {
        self.by_name.get(driver)
    }

    fn put(&mut self, position: Arc<Position>) {
        let name: Arc<str> = match self.by_name.get_key_value(position.driver.as_str()) {
            Some((name, held)) => {
                let (name, held) = (name.clone(), held.clone());
                self.by_place.remove(&spot(&name, &held));
                name
            }
            None => position.driver.as_str().into(),
        };
        self.by_place.insert(spot(&name, &position));
        self.by_name.insert(name, position);
    }

    fn remove(&mut self, position: &Position) {
        if let Some((name, held)) = self.by_name.remove_entry(position.driver.as_str()) {
            self.by_place.remove(&spot(&name, &held));
        }
    }
}

fn spot(name: &Arc<str>, position: &Position) -> Spot {
    Spot::new(on_sphere(position.latitude, position.longitude), name.clone())
}

fn is_a_place(latitude: f64, longitude: f64) -> bool {
    (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude)
}

fn on_sphere(latitude: f64, longitude: f64) -> [f64; 3] {
    let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
    [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
}

/// From the square of the straight line through the unit sphere to metres on the ground.
fn along_the_ground(chord_2: f64) -> f64 {
    2.0 * EARTH_RADIUS * (chord_2.sqrt() / 2.0).min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn position(driver: &str, second: i64, latitude: f64, longitude: f64) -> Position {
        Position {
            namespace: "acme".to_owned(),
            driver: driver.to_owned(),
            uid: String::new(),
            at: at(second),
            latitude,
            longitude,
            speed_meters_per_second: None,
            bearing: None,
            accuracy_meters: None,
        }
    }

    /// The haversine, as the other way to the same number.
    fn meters(from: (f64, f64), to: (f64, f64)) -> f64 {
        let (dlat, dlon) = ((to.0 - from.0).to_radians(), (to.1 - from.1).to_radians());
        let a = (dlat / 2.0).sin().powi(2)
            + from.0.to_radians().cos() * to.0.to_radians().cos() * (dlon / 2.0).sin().powi(2);
        2.0 * EARTH_RADIUS * a.sqrt().min(1.0).asin()
    }

    #[test]
    fn nearest_first_also_over_the_line_where_longitude_jumps() {
        let mut fleet = Fleet::default();
        let (newer, refused) = fleet.take([
            position("west", 0, 0.0, 179.999),
            position("east", 0, 0.0, -179.998),
            position("far", 0, 1.0, 180.0),
            position("nowhere", 0, f64::NAN, 0.0),
        ]);
        assert_eq!((newer.len(), refused, fleet.len()), (3, 1, 3));
        let near = fleet.near("acme", 0.0, 180.0, 1_000.0, 10);
        assert_eq!(near.iter().map(|(held, _)| held.driver.as_str()).collect::<Vec<_>>(), ["west", "east"]);
        assert!((near[0].1 - 111.2).abs() < 0.1, "{}", near[0].1);
        assert!(fleet.near("bolt", 0.0, 180.0, 1_000.0, 10).is_empty());
    }

    #[test]
    fn who_is_forgotten_is_nowhere_and_may_come_back() {
        let mut fleet = Fleet::default();
        fleet.take([position("sam", 0, 1.0, 1.0), position("kim", 10, 1.0, 1.0)]);
        assert_eq!(fleet.forget_before(at(5)).len(), 1);
        assert_eq!((fleet.len(), fleet.near("acme", 1.0, 1.0, 10.0, 9).len()), (1, 1));
        fleet.take([position("sam", 1, 1.0, 1.0)]);
        assert_eq!(fleet.latest_in("acme").len(), 2);
    }

    proptest! {
        #[test]
        fn the_index_finds_what_looking_at_everybody_finds(
            moves in prop::collection::vec((0..8_u8, 0..50_i64, -60.0..60.0_f64, -180.0..180.0_f64), 0..60),
            around in (-60.0..60.0_f64, -180.0..180.0_f64),
            within in 1.0..20_000_000.0_f64,
        ) {
            let mut fleet = Fleet::default();
            let mut known = BTreeMap::<String, Position>::new();
            for (driver, second, latitude, longitude) in moves {
                let position = position(&format!("d{driver}"), second, latitude, longitude);
                if known.get(&position.driver).is_none_or(|held| held.at < position.at) {
                    known.insert(position.driver.clone(), position.clone());
                }
                fleet.take([position]);
            }
            let distance = |held: &Position| meters(around, (held.latitude, held.longitude));
            let found = fleet.near("acme", around.0, around.1, within, usize::MAX);
            let expected = known.values().filter(|held| distance(held) <= within).count();
            prop_assert_eq!(found.len(), expected);
            for (held, found) in &found {
                prop_assert!((distance(held) - found).abs() < 1.0);
            }
            prop_assert!(found.is_sorted_by(|a, b| a.1 <= b.1));
        }
    }
}
