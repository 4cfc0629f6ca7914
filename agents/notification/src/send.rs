//! The sending pipeline, which runs in every process of the agent: it claims what is due, asks the providers, and marks
//! what became of it. Killed at any moment it leaves claims behind, which others take over.

mod attempt;
pub mod breaker;
mod ledger;
pub mod verdict;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use dropmate_api::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::Notify,
    task::{Id, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use self::{
    attempt::{Desk, Made},
    breaker::Breaker,
    ledger::Ledger,
    verdict::Health,
};
use crate::{
    Metrics,
    seam::{Route, Vault},
    store::{Queue, Store},
};

/// Messages with one provider of the operator's at once: a mail server or an SMS API takes so many connections from one
/// client.
const PER_PROVIDER: usize = 8;

/// Messages at once with whatever one business names: an endpoint, a mail server of its own.
const PER_ENDPOINT: usize = 4;

/// Messages under way in a process with the operator's providers.
const TO_OPERATORS: usize = 64;

/// Messages under way in a process with what businesses name: dozens may hang for all of their time, and neither the others
/// nor the operator's providers wait for them.
const TO_BUSINESSES: usize = 256;

/// How often a process looks for what others have planned: with the rest of the way, well below the 2 s in which a
/// message is to be with its provider.
const LOOK_SHARED: Duration = Duration::from_millis(200);

/// How often a process looks that is alone with its file, where whoever plans wakes it.
const LOOK_ALONE: Duration = Duration::from_secs(2);

/// The shortest pause between two looks that found nothing to do.
const LOOK_SOONEST: Duration = Duration::from_millis(50);

/// How often a sender says that it lives.
const BEAT_EVERY: Duration = Duration::from_secs(3);

/// How long it is believed: two beats may be late.
const ALIVE_FOR: SignedDuration = SignedDuration::from_secs(15);

/// How often a process looks for what the dead have left.
const TAKE_OVER_EVERY: Duration = Duration::from_secs(3);

/// How long attempts under way may take to end on shutdown; what has not ended then is taken over and in doubt.
const DRAIN: Duration = Duration::from_secs(6);

/// And now and then in any case.
const LOOK_FOR_LOST: Duration = Duration::from_mins(1);

/// After a claim that failed: by then the database has carried it out, or never will.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Endpoints whose state is remembered; beyond it those that work are forgotten first.
const REMEMBERED: usize = 10_000;

/// The pipeline of one process.
pub struct Pipeline {
    /// What is to be sent.
    pub store: Store,
    /// System time for due times; business time is not asked for here.
    pub clock: Clock,
    /// The name under which this process claims; fresh per process.
    pub me: String,
    /// Who takes messages.
    pub route: Arc<dyn Route>,
    /// What only the control plane may tell.
    pub vault: Arc<dyn Vault>,
    /// What it counts.
    pub metrics: Metrics,
    /// Is notified by whoever plans in this process.
    pub planned: Arc<Notify>,
    /// Is notified when messages have ended.
    pub ended: Arc<Notify>,
}

/// What is under way.
#[derive(Default)]
struct Under {
    way: JoinSet<(String, Health, Option<Duration>)>,
    /// By task: the queue, and the message.
    tasks: HashMap<Id, (String, i64)>,
    by_queue: BTreeMap<String, usize>,
    to_operators: usize,
    to_businesses: usize,
    breakers: BTreeMap<String, Breaker>,
    /// A claim may have been made whose answer was lost: when to look for it.
    lost_at: Option<Instant>,
}

impl Pipeline {
    /// Sends until shut down, and then ends what is under way.
    pub async fn run(self, shutdown: CancellationToken) {
        if !self.store.is_shared()
            && let Err(error) = self.store.forget_senders().await
        {
            tracing::warn!(error = %error, "what was begun before waits until its sender is believed to be dead");
        }
        let stop_beating = CancellationToken::new();
        // Whoever ends us ends what says that we live.
        let beating = AbortOnDropHandle::new(tokio::spawn(beat(
            self.store.clone(),
            self.clock.clone(),
            self.me.clone(),
            self.planned.clone(),
            self.metrics.clone(),
            stop_beating.clone(),
        )));
        let ledger = Ledger::start(self.store.clone(), self.me.clone());
        let desk = Desk {
            clock: self.clock.clone(),
            route: self.route.clone(),
            vault: self.vault.clone(),
            metrics: self.metrics.clone(),
        };
        let mut under = Under::default();
        loop {
            let pause = match self.send_due(&mut under, &desk, &ledger).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(error = %error, "what is due could not be looked up; trying again");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(done) = under.way.join_next_with_id(), if !under.way.is_empty() => {
                    under.settle(done, self.clock.system_now(), &self.metrics);
                    // Whatever else has ended by now needs no look of its own.
                    while let Some(done) = under.way.try_join_next_with_id() {
                        under.settle(done, self.clock.system_now(), &self.metrics);
                    }
                }
                () = self.planned.notified() => {}
                () = sleep(pause) => {}
            }
        }
        let drained = timeout(DRAIN, async {
            while let Some(done) = under.way.join_next_with_id().await {
                under.settle(done, self.clock.system_now(), &self.metrics);
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                attempts = under.way.len(),
                "attempts did not end in time; others take them over, under the same ids"
            );
            under.way.abort_all();
        }
        stop_beating.cancel();
        let _ = beating.await;
    }

    /// Begins what is due and has room; says how long nothing else will be.
    async fn send_due(&self, under: &mut Under, desk: &Desk, ledger: &Ledger) -> Result<Duration, sqlx::Error> {
        let most = if self.store.is_shared() { LOOK_SHARED } else { LOOK_ALONE };
        if *under.lost_at.get_or_insert_with(|| Instant::now() + LOOK_FOR_LOST) <= Instant::now() {
            let under_way: Vec<i64> = under.tasks.values().map(|(_, seq)| *seq).collect();
            let lost = self.store.put_back(&self.me, &under_way, self.clock.system_now()).await?;
            under.lost_at = None;
            if lost > 0 {
                tracing::warn!(lost, "put back claims whose answers were lost");
            }
        }
        let queues = self.store.queues().await?;
        let now = self.clock.system_now();
        let due: Vec<(String, usize)> = under.rooms(&queues, now);
        if due.is_empty() {
            return Ok(under.next_look(&queues, now, most));
        }
        let claimed_at = Instant::now();
        let claims = self.store.claim(&due, &self.me, now).await;
        if claims.is_err() {
            under.lost_at = Some(Instant::now() + LOST_AFTER);
        }
        let claims = claims?;
        self.metrics.suppressed(&claims.suppressed);
        if !claims.suppressed.is_empty() {
            self.ended.notify_one();
        }
        // A part of a queue was claimed, or lanes were held up by others: soon again, but no hot loop.
        let pause = if claims.messages.is_empty() { most.min(LOOK_SHARED) } else { LOOK_SOONEST };
        for message in claims.messages {
            let (desk, ledger, ended) = (desk.clone(), ledger.clone(), self.ended.clone());
            let (queue, seq) = (message.queue.clone(), message.seq);
            let task = under.way.spawn(async move {
                let Made { finished, health, pause } = desk.attempt(&message, claimed_at).await;
                ledger.enter(finished).await;
                ended.notify_one();
                (message.queue, health, pause)
            });
            under.begin(task.id(), queue, seq);
        }
        Ok(pause)
    }
}

/// What an attempt leaves to whoever began it: its queue, what it says of the provider, and how long the queue waits.
type Ended = (String, Health, Option<Duration>);

impl Under {
    fn begin(&mut self, task: Id, queue: String, seq: i64) {
        *if is_business(&queue) { &mut self.to_businesses } else { &mut self.to_operators } += 1;
        *self.by_queue.entry(queue.clone()).or_default() += 1;
        self.tasks.insert(task, (queue, seq));
    }

    fn settle(&mut self, done: Result<(Id, Ended), tokio::task::JoinError>, now: Timestamp, metrics: &Metrics) {
        let (task, made) = match done {
            Ok((task, made)) => (task, Some(made)),
            // Ended with the process; others take it over.
            Err(error) => (error.id(), None),
        };
        let Some((queue, _)) = self.tasks.remove(&task) else { return };
        let count = if is_business(&queue) { &mut self.to_businesses } else { &mut self.to_operators };
        *count = count.saturating_sub(1);
        if let Some(count) = self.by_queue.get_mut(&queue) {
            *count -= 1;
            if *count == 0 {
                self.by_queue.remove(&queue);
            }
        }
        let Some((_, health, pause)) = made else { return };
        if self.breakers.len() >= REMEMBERED {
            self.breakers.retain(|_, breaker| *breaker != Breaker::default());
        }
        let is_theirs = is_business(&queue);
        let breaker = self.breakers.entry(provider_of(&queue).to_owned()).or_default();
        match health {
            Health::Answered => breaker.answered(),
            Health::Failed => {
                if breaker.failed(now) {
                    metrics.breaker_opened.inc();
                }
            }
            Health::Busy(wait) => breaker.pause(now, wait),
            Health::Unknown => {}
        }
        // What one business has to set right holds up nobody else's messages.
        if let Some(wait) = pause.filter(|_| is_theirs) {
            breaker.pause(now, wait);
        }
    }

    /// Which queues have something due and room for it, and how much.
    fn rooms(&self, queues: &[Queue], now: Timestamp) -> Vec<(String, usize)> {
        let (mut operators, mut businesses) =
            (TO_OPERATORS.saturating_sub(self.to_operators), TO_BUSINESSES.saturating_sub(self.to_businesses));
        let mut due: Vec<(usize, &Queue)> = queues
            .iter()
            .filter(|queue| queue.due_at <= now)
            .map(|queue| (self.by_queue.get(&queue.name).copied().unwrap_or(0), queue))
            .collect();
        // Who has nothing under way comes first, then who waits longest: those that hang do not crowd out the others.
        due.sort_by_key(|(under_way, queue)| (*under_way, queue.due_at));
        let mut rooms = Vec::new();
        for (_, queue) in due {
            let left = if is_business(&queue.name) { &mut businesses } else { &mut operators };
            let room = self.room(&queue.name, now).min(*left);
            if room > 0 {
                *left -= room;
                rooms.push((queue.name.clone(), room));
            }
        }
        rooms
    }

    fn room(&self, queue: &str, now: Timestamp) -> usize {
        let most = if is_business(queue) { PER_ENDPOINT } else { PER_PROVIDER };
        let most = self.breakers.get(provider_of(queue)).map_or(most, |breaker| breaker.room(now, most));
        most.saturating_sub(self.by_queue.get(queue).copied().unwrap_or(0))
    }

    /// How long until something is due that may be sent.
    fn next_look(&self, queues: &[Queue], now: Timestamp, most: Duration) -> Duration {
        let next = queues.iter().filter_map(|queue| {
            let alone = self.breakers.get(provider_of(&queue.name)).and_then(|breaker| breaker.left_alone_until(now));
            let at = alone.map_or(queue.due_at, |until| until.max(queue.due_at));
            (at > now).then(|| at.duration_since(now).unsigned_abs())
        });
        next.min().unwrap_or(most).clamp(LOOK_SOONEST, most)
    }
}

/// The operator's queues are called by their channel and the business that has messages in it (`email@NAMESPACE`); those for
/// providers of businesses say whose they are: `webhook/UID`, `email/NAMESPACE/POLICY`.
fn is_business(queue: &str) -> bool {
    queue.contains('/')
}

/// Who takes what is in the queue: for all businesses the operator's provider is one.
fn provider_of(queue: &str) -> &str {
    queue.split_once('@').map_or(queue, |(provider, _)| provider)
}

/// Says that this process lives, and takes over what the dead have left.
async fn beat(store: Store, clock: Clock, me: String, planned: Arc<Notify>, metrics: Metrics, stop: CancellationToken) {
    // After an outage of the database all seem dead: they get the time to say that they are not.
    let patience = if store.is_shared() { ALIVE_FOR.unsigned_abs() } else { Duration::ZERO };
    let mut take_over_at = Instant::now() + patience;
    loop {
        let now = clock.system_now();
        let until = now.checked_add(ALIVE_FOR).unwrap_or(now);
        if let Err(error) = store.beat(&me, until).await {
            tracing::warn!(error = %error, "this sender could not say that it lives");
            take_over_at = Instant::now() + patience;
        } else if Instant::now() >= take_over_at {
            take_over_at = Instant::now() + TAKE_OVER_EVERY;
            match store.take_over(now).await {
                Ok(0) => {}
                Ok(count) => {
                    tracing::warn!(count, "took over what a sender that ended had begun");
                    metrics.taken_over.inc_by(count as u64);
                    planned.notify_one();
                }
                Err(error) => tracing::warn!(error = %error, "what others left could not be taken over"),
            }
        }
        if stop.run_until_cancelled(sleep(BEAT_EVERY)).await.is_none() {
            break;
        }
    }
    let _ = timeout(Duration::from_secs(1), store.leave(&me)).await;
}
