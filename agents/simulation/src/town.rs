//! A made-up town with a business in it: a depot or a few, drivers on their vehicles, and customers who order all day.
//! The same seed makes the same town and the same orders.

use dropmate_agent::{Backoff, CallError, call};
use dropmate_api::{
    Clock, Depot, DepotSpec, Driver, DriverSpec, Location, Order, OrderSpec,
    common::Contact,
    driver::{Vehicle, VehicleType},
    order::{Item, Recipient, Stop},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, Resource, ResourceExt, api::PostParams, core::NamespaceResourceScope};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::CancellationToken;

use crate::geo;

/// The middle of the town: the lake shore of Toronto, so that a map shows streets.
const CENTER: Location = Location { latitude: 43.6510, longitude: -79.3790 };

/// How far the town reaches from its middle.
const RADIUS_METERS: f64 = 2500.0;

/// What customers are promised.
const PROMISE: SignedDuration = SignedDuration::from_mins(45);

/// How large a town is.
#[derive(Clone, Debug)]
pub struct Size {
    /// Namespace of everything in it.
    pub namespace: String,
    /// Places orders start from.
    pub depots: usize,
    /// Drivers.
    pub drivers: usize,
    /// Mean seconds between two orders.
    pub seconds_between_orders: f64,
}

impl Default for Size {
    fn default() -> Self {
        Self { namespace: "demo".to_owned(), depots: 3, drivers: 12, seconds_between_orders: 75.0 }
    }
}

/// A business in its town.
#[derive(Clone, Debug)]
pub struct Town {
    /// Namespace of everything in it.
    pub namespace: String,
    /// Places orders start from.
    pub depots: Vec<Depot>,
    /// Who carries them.
    pub drivers: Vec<Driver>,
    seed: u64,
    seconds_between_orders: f64,
}

/// Makes a town.
pub fn generate(seed: u64, size: &Size) -> Town {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let depots = (0..size.depots.max(1)).map(|index| depot(index, &size.namespace, &mut chance)).collect();
    let drivers = (0..size.drivers).map(|index| driver(index, &size.namespace, &mut chance)).collect();
    Town {
        namespace: size.namespace.clone(),
        depots,
        drivers,
        seed,
        seconds_between_orders: size.seconds_between_orders,
    }
}

impl Town {
    /// What customers order from `opening` on, without end, in the order of placement. `spec.placedAt` says when. Names
    /// begin with `prefix`.
    pub fn orders(&self, opening: Timestamp, prefix: &str) -> impl Iterator<Item = Order> + Send + use<> {
        // A stream of its own: more drivers do not make other orders.
        let mut chance = ChaCha8Rng::seed_from_u64(self.seed ^ 0x0DE5);
        let depots = self.depots.clone();
        let namespace = self.namespace.clone();
        let prefix = prefix.to_owned();
        let between = self.seconds_between_orders;
        let mut placed_at = opening;
        (1_usize..).map(move |number| {
            if number > 1 {
                // Customers do not wait for one another: the time to the next is exponential.
                let wait = -between * (1.0 - chance.random::<f64>()).ln();
                placed_at += SignedDuration::from_secs(wait.round() as i64);
            }
            order(&format!("{prefix}-{number:04}"), &namespace, &depots, placed_at, &mut chance)
        })
    }
}

/// Makes the town in the API, then places its orders as business time passes, `limit` of them or without end, until
/// shut down. Returns how many were placed. What is there already stays as it is.
pub async fn run_orders(
    client: Client,
    clock: Clock,
    town: Town,
    limit: Option<usize>,
    shutdown: CancellationToken,
) -> anyhow::Result<usize> {
    let opening = clock.business_now();
    // Another start is another day: its orders get other names.
    let prefix = opening.strftime("%m%d-%H%M").to_string();
    build(&client, &town).await?;
    let orders: Api<Order> = Api::namespaced(client, &town.namespace);
    let mut placed = 0;
    for order in town.orders(opening, &prefix).take(limit.unwrap_or(usize::MAX)) {
        let due = clock.system_delay_until(order.spec.placed_at.unwrap_or(opening));
        let place = async {
            tokio::time::sleep(due).await;
            create(&orders, &order).await
        };
        match shutdown.run_until_cancelled(place).await {
            None => break,
            Some(created) => created?,
        }
        placed += 1;
    }
    Ok(placed)
}

/// Makes the namespace, the depots and the drivers.
pub async fn build(client: &Client, town: &Town) -> anyhow::Result<()> {
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(town.namespace.clone()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    create(&Api::all(client.clone()), &namespace).await?;
    create_all(client, &town.namespace, &town.depots).await?;
    create_all(client, &town.namespace, &town.drivers).await
}

async fn create_all<K>(client: &Client, namespace: &str, objects: &[K]) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    for object in objects {
        create(&api, object).await?;
    }
    Ok(())
}

/// How long a customer tries; longer, and a person should look at the server.
const TRIES: usize = 8;

/// Creates the object; one that is there is as good.
async fn create<K>(api: &Api<K>, object: &K) -> anyhow::Result<()>
where
    K: Resource + Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    let params = PostParams::default();
    let mut waits = Backoff::default().take(TRIES);
    loop {
        match call(api.create(&params, object)).await {
            Ok(_) => return Ok(()),
            Err(CallError::LookAgain(kube::Error::Api(status))) if status.reason == "AlreadyExists" => return Ok(()),
            Err(error) => match waits.next() {
                Some(wait) if !matches!(error, CallError::Terminal(_)) => tokio::time::sleep(wait).await,
                _ => return Err(anyhow::Error::new(error).context(format!("creating {}", object.name_any()))),
            },
        }
    }
}

const KITCHENS: [&str; 6] =
    ["harbour-kitchen", "mill-street", "north-bakery", "old-market", "lake-grill", "corner-deli"];
const FIRST_NAMES: [&str; 24] = [
    "Ada", "Bela", "Carl", "Dana", "Emil", "Fay", "Gus", "Hana", "Ivo", "June", "Kim", "Lea", "Max", "Nora", "Otto",
    "Pia", "Quin", "Rosa", "Sam", "Tove", "Uma", "Vera", "Will", "Yara",
];
const STREETS: [&str; 12] = [
    "Mill Street",
    "Queens Quay",
    "Front Street",
    "King Street",
    "Bay Street",
    "Church Street",
    "Wellington Street",
    "Adelaide Street",
    "Sherbourne Street",
    "Jarvis Street",
    "Yonge Street",
    "George Street",
];
const DISHES: [(&str, f64); 8] = [
    ("Soup of the day", 0.6),
    ("Margherita", 0.9),
    ("Lentil bowl", 0.7),
    ("Ramen", 1.1),
    ("Rye loaf", 1.0),
    ("Garden salad", 0.5),
    ("Apple cake", 1.4),
    ("Crate of water", 7.0),
];
/// By how often they are seen.
const VEHICLES: [VehicleType; 6] = [
    VehicleType::Bicycle,
    VehicleType::Motorcycle,
    VehicleType::Bicycle,
    VehicleType::Car,
    VehicleType::Bicycle,
    VehicleType::Motorcycle,
];

fn depot(index: usize, namespace: &str, chance: &mut ChaCha8Rng) -> Depot {
    let name = KITCHENS.get(index).map_or_else(|| format!("kitchen-{}", index + 1), |name| (*name).to_owned());
    let spec = DepotSpec {
        address: Some(address(chance)),
        location: Some(somewhere(RADIUS_METERS * 0.5, chance)),
        time_zone: Some("America/Toronto".to_owned()),
        preparation_seconds: Some(600),
    };
    in_namespace(Depot::new(&name, spec), namespace)
}

fn driver(index: usize, namespace: &str, chance: &mut ChaCha8Rng) -> Driver {
    let first_name = FIRST_NAMES[index % FIRST_NAMES.len()];
    let name = match index / FIRST_NAMES.len() {
        0 => first_name.to_lowercase(),
        round => format!("{}-{}", first_name.to_lowercase(), round + 1),
    };
    let spec = DriverSpec {
        display_name: first_name.to_owned(),
        vehicle: Some(Vehicle { type_: VEHICLES[index % VEHICLES.len()], speed_meters_per_second: None }),
        start_location: Some(somewhere(RADIUS_METERS * 0.7, chance)),
        ..DriverSpec::default()
    };
    in_namespace(Driver::new(&name, spec), namespace)
}

fn order(name: &str, namespace: &str, depots: &[Depot], placed_at: Timestamp, chance: &mut ChaCha8Rng) -> Order {
    let depot = &depots[chance.random_range(0..depots.len())];
    let stop = |address: String, location: Location| Stop {
        address,
        location,
        depot_name: None,
        window: None,
        service_seconds: None,
        contact: None,
        instructions: None,
    };
    let pickup = Stop {
        depot_name: Some(depot.name_any()),
        service_seconds: Some(60),
        contact: Some(Contact { name: Some("The counter".to_owned()), phone: None }),
        ..stop(depot.spec.address.clone().unwrap_or_default(), depot.spec.location.unwrap_or(CENTER))
    };
    let dropoff = Stop { service_seconds: Some(90), ..stop(address(chance), somewhere(RADIUS_METERS, chance)) };
    let items = (0..chance.random_range(1..=3)).map(|_| {
        let (name, weight) = DISHES[chance.random_range(0..DISHES.len())];
        Item {
            name: name.to_owned(),
            quantity: chance.random_range(1..=2),
            weight_kilograms: Some(weight),
            volume_liters: None,
            reference: None,
        }
    });
    let spec = OrderSpec {
        pickup,
        dropoff,
        items: items.collect(),
        recipient: Recipient {
            name: FIRST_NAMES[chance.random_range(0..FIRST_NAMES.len())].to_owned(),
            ..Recipient::default()
        },
        placed_at: Some(placed_at),
        ready_at: Some(placed_at + SignedDuration::from_secs(chance.random_range(240..900))),
        due_by: Some(placed_at + PROMISE),
        priority: 0,
        requirements: None,
        proof: None,
        driver_name: None,
        hold: false,
        cancelled: false,
        retry: None,
        customer_name: None,
        ttl_seconds_after_finished: None,
        tracking_from: None,
    };
    in_namespace(Order::new(name, spec), namespace)
}

fn address(chance: &mut ChaCha8Rng) -> String {
    format!("{} {}", chance.random_range(1..=240), STREETS[chance.random_range(0..STREETS.len())])
}

/// Evenly over the disc.
fn somewhere(radius: f64, chance: &mut ChaCha8Rng) -> Location {
    let distance = radius * chance.random::<f64>().sqrt();
    let (sin, cos) = (chance.random::<f64>() * std::f64::consts::TAU).sin_cos();
    let place = geo::offset(CENTER, distance * cos, distance * sin);
    // Six digits are a hand's breadth, and read well.
    let round = |degrees: f64| (degrees * 1e6).round() / 1e6;
    Location { latitude: round(place.latitude), longitude: round(place.longitude) }
}

fn in_namespace<K: Resource<DynamicType = ()>>(mut object: K, namespace: &str) -> K {
    object.meta_mut().namespace = Some(namespace.to_owned());
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening() -> Timestamp {
        "2026-05-01T11:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_same_seed_makes_the_same_town() {
        let make = |seed| {
            let town = generate(seed, &Size::default());
            let orders: Vec<Order> = town.orders(opening(), "o").take(50).collect();
            (serde_json::to_string(&town.drivers).unwrap(), serde_json::to_string(&orders).unwrap())
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
    }

    #[test]
    fn orders_come_in_the_order_of_placement_and_can_be_kept() {
        let town = generate(3, &Size::default());
        let orders: Vec<Order> = town.orders(opening(), "o").take(200).collect();
        assert!(orders.windows(2).all(|pair| pair[0].spec.placed_at <= pair[1].spec.placed_at));
        assert!(orders.iter().all(|order| order.spec.ready_at < order.spec.due_by));
    }
}
