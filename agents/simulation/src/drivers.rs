//! Every Driver is driven as a phone would be: it watches its orders, moves at its vehicle's speed by the business
//! clock, and reports through `/progress`.
//!
//! One task a driver, and each sleeps until something becomes due or changes, so hundreds of drivers at a high speed
//! cost what their reports cost. All that matters is in the orders: run again after a crash, drivers go on.

mod fleet;
mod phone;
mod positions;

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dropmate_agent::{Backoff, CallError, call, call::with_deadline};
use dropmate_api::{
    Clock, Driver, Order,
    subresource::{Report, ReportAnswer},
};
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

pub use positions::AsDriver;

use crate::drivers::{
    fleet::{Fleet, Key},
    phone::{Luck, Memory, Next},
};

/// How long a phone waits for its own report to come back on the watch before it looks again. Reports have keys, so
/// looking too early is harmless.
const SHOWN_MAX: Duration = Duration::from_secs(10);

/// How drivers behave.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// What chance is drawn from.
    pub seed: u64,
    /// The share of visits at doors where nobody is home, 0 to 1.
    pub fail_share: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { seed: 1, fail_share: 0.0 }
    }
}

/// Drives every driver until shut down. Their phones report, but do not tell where they are.
pub async fn run(client: Client, clock: Clock, config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    run_telling(client, None, clock, config, shutdown).await
}

/// The same, and each driver tells where he is, under his own name.
pub async fn run_telling(
    client: Client,
    as_driver: Option<AsDriver>,
    clock: Clock,
    config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let client = with_deadline(&client);
    let fleet = Fleet::default();
    let orders = watcher(Api::<Order>::all(client.clone()), watcher::Config::default()).backoff(Backoff::default());
    let drivers = watcher(Api::<Driver>::all(client.clone()), watcher::Config::default()).backoff(Backoff::default());
    let (mut orders, mut drivers) = (pin!(orders), pin!(drivers));
    let mut phones = Phones {
        fleet: fleet.clone(),
        client,
        as_driver,
        clock,
        config,
        tasks: JoinSet::new(),
        running: BTreeMap::new(),
    };
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            event = orders.next() => match event {
                Some(Ok(event)) => fleet.see_order(event),
                Some(Err(error)) => tell("orders", &error),
                None => anyhow::bail!("the watch over orders ended for good"),
            },
            event = drivers.next() => match event {
                Some(Ok(event)) => if fleet.see_driver(event) {
                    phones.hand_out();
                },
                Some(Err(error)) => tell("drivers", &error),
                None => anyhow::bail!("the watch over drivers ended for good"),
            },
        }
    }
}

fn tell(kind: &str, error: &watcher::Error) {
    tracing::debug!(kind, error = error as &dyn std::error::Error, "a watch was cut and will be taken up again");
}

/// The phones that are switched on. Dropping them switches all off.
struct Phones {
    fleet: Fleet,
    client: Client,
    as_driver: Option<AsDriver>,
    clock: Clock,
    config: Config,
    tasks: JoinSet<()>,
    running: BTreeMap<Key, tokio::task::AbortHandle>,
}

impl Phones {
    /// A phone for every driver, and for nobody else.
    fn hand_out(&mut self) {
        let wanted = self.fleet.driver_keys();
        self.running.retain(|key, phone| {
            let stays = wanted.contains(key);
            if !stays {
                phone.abort();
            }
            stays
        });
        for key in wanted {
            if !self.running.contains_key(&key) {
                let phone = Phone {
                    waker: self.fleet.waker(&key),
                    fleet: self.fleet.clone(),
                    orders: Api::namespaced(self.client.clone(), &key.0),
                    clock: self.clock.clone(),
                    luck: Luck { seed: self.config.seed, fail_share: self.config.fail_share },
                    key: key.clone(),
                    memory: Arc::default(),
                };
                let teller = self.as_driver.as_ref().map(|as_driver| as_driver(&key.0, &key.1));
                self.running.insert(key, self.tasks.spawn(phone.live(teller)));
            }
        }
        // What has ended was switched off.
        while self.tasks.try_join_next().is_some() {}
    }
}

/// One driver's phone.
struct Phone {
    key: Key,
    fleet: Fleet,
    waker: Arc<tokio::sync::Notify>,
    orders: Api<Order>,
    clock: Clock,
    luck: Luck,
    memory: Arc<Mutex<Memory>>,
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    // Nothing under the lock can panic half way, so what it guards is still whole.
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Phone {
    /// Drives, and with a client of the driver's own tells where he is.
    async fn live(self, teller: Option<Client>) {
        match teller {
            None => self.drive().await,
            Some(client) => {
                tokio::join!(self.drive(), self.tell_positions(client));
            }
        }
    }

    async fn drive(&self) {
        let mut refusals = Backoff::default();
        loop {
            let now = self.clock.business_now();
            let next = match self.fleet.of_driver(&self.key) {
                Some((driver, mine)) => phone::next(&driver, &mine, &mut lock(&self.memory), now, self.luck),
                None => Next::Idle,
            };
            match next {
                Next::Idle => self.waker.notified().await,
                Next::Wait(until) => {
                    let delay = self.clock.system_delay_until(until);
                    let _ = tokio::time::timeout(delay, self.waker.notified()).await;
                }
                Next::Say { order, report } => {
                    if self.say(&order, &report).await {
                        refusals = Backoff::default();
                        lock(&self.memory).learn(&order, &report);
                        self.shown(&order, &report.client_event_id).await;
                    } else {
                        // The order is not what the phone shows; the watch will tell.
                        let _ = tokio::time::timeout(refusals.after_failure(), self.waker.notified()).await;
                    }
                }
            }
        }
    }

    /// Sends the report, again and again with the same key until there is an answer. Whether it was taken.
    async fn say(&self, order: &Order, report: &Report) -> bool {
        let mut backoff = Backoff::default();
        let name = order.name_any();
        let params = PostParams::default();
        loop {
            let request = self.orders.create_subresource("progress", &name, &params, report);
            let answer: Result<ReportAnswer, CallError> = call(request).await;
            match answer {
                Ok(_) => return true,
                Err(error @ (CallError::Transient(_) | CallError::Timeout)) => {
                    tracing::debug!(
                        order.name = name,
                        error = &error as &dyn std::error::Error,
                        "a report was not answered and will be sent again"
                    );
                    tokio::time::sleep(backoff.after_failure()).await;
                }
                Err(error) => {
                    tracing::debug!(
                        order.name = name,
                        driver.name = self.key.1,
                        report = report.type_.as_str(),
                        error = &error as &dyn std::error::Error,
                        "a report was refused"
                    );
                    return false;
                }
            }
        }
    }

    /// Waits until the watch shows the report, or the order is no longer ours.
    async fn shown(&self, order: &Order, client_event_id: &str) {
        let key = (self.key.0.clone(), order.name_any());
        let too_long = Instant::now() + SHOWN_MAX;
        loop {
            let shown = self.fleet.order(&key).is_none_or(|seen| {
                let reports = seen.status.as_ref().map(|s| s.reports.as_slice()).unwrap_or_default();
                phone::holder(&seen) != Some(&self.key.1)
                    || reports.iter().any(|report| report.client_event_id == client_event_id)
            });
            if shown || tokio::time::timeout_at(too_long, self.waker.notified()).await.is_err() {
                return;
            }
        }
    }
}

/// A number from 0 to 1 that belongs to the name: the same at every run of the seed, whatever else happens.
pub(crate) fn chance(seed: u64, name: &str) -> f64 {
    use rand::{RngExt, SeedableRng};
    // FNV-1a: any spread will do, as long as it is the same on every machine.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    rand_chacha::ChaCha8Rng::seed_from_u64(seed ^ hash).random()
}
