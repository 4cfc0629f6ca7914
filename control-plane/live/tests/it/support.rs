//! Two processes that share their hints, and what is said of drivers.

use std::time::Duration;

use dropmate_live::{Live, Position, RedisUrl};
use dropmate_testing::redis_url;
use jiff::Timestamp;

/// How long anything may take to get around; after a failure it must be made good within this.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// Two processes; over memory they are one.
pub(crate) struct Pair {
    pub(crate) here: Live,
    pub(crate) there: Live,
    id: String,
}

impl Pair {
    #[expect(clippy::unused_async, reason = "the other kind has to wait")]
    pub(crate) async fn memory() -> Self {
        let here = Live::memory();
        Self { there: here.clone(), here, id: id() }
    }

    pub(crate) async fn redis() -> Self {
        Self::at(&redis_url()).await
    }

    /// Two at that Redis, once they hear each other.
    pub(crate) async fn at(url: &str) -> Self {
        let (here, there) = (live(url), live(url));
        let pair = Self { here, there, id: id() };
        for (one, other) in [(&pair.here, &pair.there), (&pair.there, &pair.here)] {
            let mut woken = other.woken(dropmate_live::Topic::Positions);
            woken.mark_unchanged();
            soon("they hear each other", || {
                one.wake(dropmate_live::Topic::Positions);
                woken.has_changed().unwrap()
            })
            .await;
        }
        pair
    }

    /// A name that no other test has.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{name}-{}", self.id)
    }

    pub(crate) fn position(&self, driver: &str, second: i64) -> Position {
        position(&self.name("acme"), driver, second)
    }
}

pub(crate) fn live(url: &str) -> Live {
    Live::redis(&RedisUrl::parse(url).unwrap()).unwrap()
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn position(namespace: &str, driver: &str, second: i64) -> Position {
    Position {
        namespace: namespace.to_owned(),
        driver: driver.to_owned(),
        uid: String::new(),
        at: at(second),
        latitude: 43.65 + second as f64 / 1e5,
        longitude: -79.36,
        speed_meters_per_second: Some(4.5),
        bearing: None,
        accuracy_meters: Some(12.0),
    }
}

/// Waits until it is so. Panics after [`SOON`].
pub(crate) async fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let waited = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, waited).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
