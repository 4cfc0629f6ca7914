//! The pipeline, with providers that fail in every way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use dropmate_api::{Clock, notification::template::MARK_LINK};
use dropmate_notification::{
    Metrics,
    channel::{Channel, Outcome, Outgoing, Provider},
    draft::{Content, Draft},
    providers::NoProvider,
    seam::{Ask, Revealed, Route, Unrevealed, Vault},
    send::Pipeline,
    store::{Full, Store, Which},
};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::kept::{Kept, both, delivery, draft, noon, plan, sqlite};

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(30);

/// A provider, an endpoint and a vault that do what the test says.
#[derive(Clone)]
pub(crate) struct Service {
    answer: Answering,
    /// What came, in order.
    pub(crate) seen: Arc<Mutex<Vec<Outgoing>>>,
    /// How many are with it at once, now and at most, by address.
    at_once: Arc<Mutex<BTreeMap<String, (usize, usize)>>>,
    pub(crate) routed: Arc<Mutex<Result<(), NoProvider>>>,
    pub(crate) revealed: Arc<Mutex<Result<Revealed, Unrevealed>>>,
}

type Answering = Arc<dyn Fn(&Outgoing, usize) -> (Duration, Outcome) + Send + Sync>;

pub(crate) fn taken() -> Outcome {
    Outcome::Sent { provider_id: Some("P1".to_owned()), answer: "250 ok".to_owned() }
}

fn busy(after: u64) -> Outcome {
    Outcome::Again { answer: "429 slow down".to_owned(), after: Some(Duration::from_secs(after)) }
}

impl Service {
    /// Says how it takes a message, and after which time, by the message and how many came before it.
    pub(crate) fn new(answer: impl Fn(&Outgoing, usize) -> (Duration, Outcome) + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            seen: Arc::default(),
            at_once: Arc::default(),
            routed: Arc::new(Mutex::new(Ok(()))),
            revealed: Arc::new(Mutex::new(Ok(Revealed::default()))),
        }
    }

    pub(crate) fn seen(&self) -> Vec<Outgoing> {
        self.seen.lock().unwrap().clone()
    }

    fn most_at_once(&self, to: &str) -> usize {
        self.at_once.lock().unwrap()[to].1
    }
}

#[async_trait]
impl Provider for Service {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let before = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(message.clone());
            seen.len() - 1
        };
        {
            let mut at_once = self.at_once.lock().unwrap();
            let (now, most) = at_once.entry(message.to.clone()).or_default();
            *now += 1;
            *most = (*most).max(*now);
        }
        let (wait, outcome) = (self.answer)(message, before);
        sleep(wait).await;
        self.at_once.lock().unwrap().get_mut(&message.to).unwrap().0 -= 1;
        outcome
    }
}

#[async_trait]
impl Route for Service {
    async fn provider(&self, _channel: Channel, _message: &Outgoing) -> Result<Arc<dyn Provider>, NoProvider> {
        self.routed.lock().unwrap().clone()?;
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Vault for Service {
    async fn reveal(&self, _ask: &Ask) -> Result<Revealed, Unrevealed> {
        self.revealed.lock().unwrap().clone()
    }
}

/// A pipeline at work.
struct Sender {
    store: Store,
    planned: Arc<Notify>,
    metrics: Metrics,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

/// System time that begins at noon, when all messages are planned.
fn clock() -> Clock {
    let started = Instant::now();
    Clock::real(Arc::new(move || noon() + SignedDuration::try_from(started.elapsed()).unwrap()))
}

impl Sender {
    fn start(store: Store, clock: Clock, me: &str, service: &Service) -> Self {
        let (planned, metrics, shutdown) = (Arc::new(Notify::new()), Metrics::default(), CancellationToken::new());
        let pipeline = Pipeline {
            store: store.clone(),
            clock,
            me: me.to_owned(),
            route: Arc::new(service.clone()),
            vault: Arc::new(service.clone()),
            metrics: metrics.clone(),
            planned: planned.clone(),
            ended: Arc::default(),
        };
        let running = tokio::spawn(pipeline.run(shutdown.clone()));
        Self { store, planned, metrics, shutdown, running }
    }

    async fn plan(&self, drafts: &[Draft]) {
        plan(&self.store, drafts, &[]).await;
        self.planned.notify_one();
    }

    /// Waits until no message waits or is under way.
    async fn all_ended(&self) {
        let until = Instant::now() + LONG;
        while self.store.backlog().await.unwrap().0 > 0 {
            assert!(Instant::now() < until, "never came to an end");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until so many were sent.
    async fn sent(&self, count: usize) {
        let until = Instant::now() + LONG;
        while in_state(&self.store, "sent").await.len() < count {
            assert!(Instant::now() < until, "never sent {count}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }

    /// As `kill -9` does.
    async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }
}

async fn in_state(store: &Store, state: &str) -> Vec<String> {
    let which = Which { namespace: "acme".to_owned(), state: Some(state.to_owned()), limit: 500, ..Which::default() };
    store.messages(&which).await.unwrap().messages.into_iter().map(|view| view.id).collect()
}

async fn full(store: &Store, draft: &Draft) -> Full {
    store.message("acme", &draft.id()).await.unwrap().unwrap()
}

fn outcomes(full: &Full) -> Vec<&str> {
    full.tried.iter().map(|tried| tried.outcome.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_fails_is_tried_until_it_is_taken_always_under_the_same_id() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let service = Service::new(|_, before| match before {
            0 => (Duration::ZERO, Outcome::InDoubt { answer: "the connection was lost after DATA".to_owned() }),
            1 => (Duration::ZERO, busy(1)),
            _ => (Duration::ZERO, taken()),
        });
        let sender = Sender::start(store, clock(), "one", &service);
        let message = draft(1, "order.delivered");
        let asked = Instant::now();
        sender.plan(std::slice::from_ref(&message)).await;
        sender.all_ended().await;
        assert!(asked.elapsed() >= Duration::from_secs(5), "4 to 6 s by our own schedule, and 1 s as asked");
        let full = full(&sender.store, &message).await;
        assert_eq!(outcomes(&full), ["in_doubt", "again", "sent"]);
        assert_eq!((full.view.state.as_str(), full.view.provider_id.as_str()), ("sent", "P1"));
        assert!(full.tried.iter().all(|tried| tried.started_at > 0 && tried.finished_at >= tried.started_at));
        let seen = service.seen();
        let same: BTreeSet<&str> = seen.iter().map(|message| message.id.as_str()).collect();
        assert_eq!((seen.len(), same.len()), (3, 1));
        assert_eq!(seen.iter().map(|message| message.attempt).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(sender.metrics.attempts_that(Channel::Email, "in_doubt"), 1);
        sender.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_dead_at_once_and_who_opted_out_hears_nothing_more() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let service = Service::new(|message, _| {
            let opted_out = message.text.contains("assigned");
            (Duration::ZERO, Outcome::Refused { answer: "550 5.1.1 no such user".to_owned(), opted_out })
        });
        let sender = Sender::start(store, clock(), "one", &service);
        let (assigned, delivered) = (draft(1, "order.assigned"), draft(2, "order.delivered"));
        sender.plan(&[assigned.clone(), delivered.clone()]).await;
        sender.all_ended().await;
        let first = full(&sender.store, &assigned).await;
        assert_eq!((first.view.state.as_str(), first.view.reason.as_str()), ("dead", "optedOut"));
        assert_eq!(first.view.answer, "550 5.1.1 no such user");
        let second = full(&sender.store, &delivered).await;
        assert_eq!((second.view.state.as_str(), second.view.reason.as_str()), ("suppressed", "optedOut"));
        assert_eq!(service.seen().len(), 1);
        sender.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_hang_delay_nobody() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let service = Service::new(|message, _| {
            let wait =
                if message.to.starts_with("hangs") { Duration::from_secs(15) } else { Duration::from_millis(10) };
            (wait, taken())
        });
        let sender = Sender::start(store, clock(), "one", &service);
        let mut drafts = Vec::new();
        for endpoint in 0..30 {
            drafts
                .extend((0..10).map(|n| delivery(endpoint * 100 + n, &format!("hangs-{endpoint}"), &format!("o-{n}"))));
        }
        // And shops' own mail servers, too.
        for shop in 0..20 {
            drafts.extend((0..5).map(|n| Draft {
                to: format!("hangs-{shop}@example.org"),
                queue: format!("email/acme/shop-{shop}"),
                lane: format!("shop-{shop}-{n}"),
                ..draft(5_000 + shop * 100 + n, "order.updated")
            }));
        }
        sender.plan(&drafts).await;
        sleep(Duration::from_millis(300)).await;
        let began = Instant::now();
        let mut others: Vec<Draft> = (0..60).map(|n| delivery(10_000 + n, "works", &format!("o-{n}"))).collect();
        others.extend((0..60).map(|n| Draft { lane: format!("lane-{n}"), ..draft(20_000 + n, "order.updated") }));
        sender.plan(&others).await;
        sender.sent(120).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(service.most_at_once("hangs-0"), 4, "of one endpoint so many, and no more");
        sender.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_left_alone_and_what_waits_is_not_touched() {
    let kept = sqlite().await;
    let service = Service::new(|_, _| (Duration::ZERO, busy(3600)));
    let sender = Sender::start(kept.store.clone(), clock(), "one", &service);
    let drafts: Vec<Draft> =
        (0..40).map(|n| Draft { lane: format!("lane-{n}"), ..draft(n, "order.updated") }).collect();
    sender.plan(&drafts).await;
    sleep(Duration::from_secs(3)).await;
    let asked = service.seen().len();
    assert!((5..=12).contains(&asked), "those that were under way when it opened: {asked}");
    let which = Which { namespace: "acme".to_owned(), limit: 500, ..Which::default() };
    let untouched = sender.store.messages(&which).await.unwrap().messages;
    assert_eq!(untouched.iter().filter(|view| view.attempts == 0).count(), 40 - asked);
    assert!(untouched.iter().all(|view| view.state == "planned"));
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_acceptance_and_mark_it_is_sent_again_under_the_same_id() {
    for kept in both().await {
        // It has taken the message; that it says so we never hear.
        let service = Service::new(|_, before| if before == 0 { (LONG, taken()) } else { (Duration::ZERO, taken()) });
        let clock = clock();
        let first = Sender::start(kept.store.clone(), clock.clone(), "first", &service);
        let message = draft(1, "order.delivered");
        first.plan(std::slice::from_ref(&message)).await;
        let until = Instant::now() + LONG;
        while service.seen().is_empty() {
            assert!(Instant::now() < until, "never sent");
            sleep(Duration::from_millis(5)).await;
        }
        first.kill().await;
        let second = Sender::start(kept.store.clone(), clock.clone(), "second", &service);
        if kept.store.is_shared() {
            sleep(Duration::from_millis(300)).await;
            assert_eq!(service.seen().len(), 1, "the first may live as far as anybody knows");
            // Its last sign of life is over.
            second.store.beat("first", clock.system_now()).await.unwrap();
        }
        second.all_ended().await;
        let seen = service.seen();
        assert_eq!((seen.len(), &seen[0].id), (2, &seen[1].id));
        assert_eq!((&seen[0].text, &seen[0].subject), (&seen[1].text, &seen[1].subject), "word for word");
        assert_eq!(outcomes(&full(&second.store, &message).await), ["in_doubt", "sent"]);
        second.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_come_in_at_the_last_moment_and_lie_in_no_row() {
    let kept = sqlite().await;
    let service = Service::new(|_, _| (Duration::ZERO, taken()));
    let link = "https://shop.example/t/geheim";
    *service.revealed.lock().unwrap() = Ok(Revealed { link: Some(link.to_owned()), ..Revealed::default() });
    let sender = Sender::start(kept.store.clone(), clock(), "one", &service);
    let wants = |revision: i64| Draft {
        content: Content { text: format!("See {MARK_LINK}"), wants_link: true, ..Content::default() },
        lane: format!("lane-{revision}"),
        ..draft(revision, "order.delivered")
    };
    sender.plan(&[wants(1)]).await;
    sender.all_ended().await;
    assert_eq!(service.seen()[0].text, format!("See {link}"));
    let file = std::fs::read(kept.folder.as_ref().unwrap().path().join("notification.db-wal")).unwrap();
    let holds = |needle: &[u8]| file.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"ada@example.org") && !holds(b"geheim"), "the address is there, the token is not");
    // A control plane that does not answer is no attempt; one that knows of nothing ends it.
    *service.revealed.lock().unwrap() = Err(Unrevealed::Later("away".to_owned()));
    sender.plan(&[wants(2)]).await;
    sleep(Duration::from_millis(500)).await;
    let held_up = full(&sender.store, &wants(2)).await.view;
    assert_eq!((held_up.state.as_str(), held_up.attempts, held_up.answer.as_str()), ("planned", 0, "away"));
    *service.revealed.lock().unwrap() = Err(Unrevealed::Gone);
    sender.all_ended().await;
    let gone = full(&sender.store, &wants(2)).await;
    assert_eq!((gone.view.state.as_str(), gone.view.reason.as_str()), ("suppressed", "gone"));
    // Who has said meanwhile that they want nothing gets nothing.
    *service.revealed.lock().unwrap() = Ok(Revealed { unwanted: true, ..Revealed::default() });
    sender.plan(&[wants(3)]).await;
    sender.all_ended().await;
    let unwanted = full(&sender.store, &wants(3)).await;
    assert_eq!((unwanted.view.state.as_str(), unwanted.view.reason.as_str()), ("suppressed", "optedOut"));
    assert_eq!(service.seen().len(), 1);
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_hours_hold_for_whatever_was_planned_for_another_hour() {
    let kept = sqlite().await;
    let service = Service::new(|_, _| (Duration::ZERO, taken()));
    let sender = Sender::start(kept.store.clone(), clock(), "one", &service);
    let quiet = Draft { quiet: "11:00 13:00 UTC".to_owned(), lane: "quiet".to_owned(), ..draft(1, "order.delivered") };
    let loud = Draft { quiet: "13:00 14:00 UTC".to_owned(), ..draft(2, "order.delivered") };
    sender.plan(&[quiet.clone(), loud.clone()]).await;
    while full(&sender.store, &loud).await.view.state != "sent" {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(500)).await;
    let waits = full(&sender.store, &quiet).await.view;
    assert_eq!((waits.state.as_str(), waits.attempts), ("planned", 0));
    let one = (noon() + SignedDuration::from_hours(1)).as_microsecond();
    assert!((waits.due_at - one).abs() < 1_000_000, "at one: {}", waits.due_at);
    assert_eq!(service.seen().len(), 1);
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_it_waits_for_one_and_that_is_no_attempt() {
    let kept = sqlite().await;
    let service = Service::new(|_, _| (Duration::ZERO, taken()));
    let missing = NoProvider { why: "the secret is missing".to_owned(), wait: Some(Duration::from_secs(1)) };
    *service.routed.lock().unwrap() = Err(missing);
    let sender = Sender::start(kept.store.clone(), clock(), "one", &service);
    let message = draft(1, "order.delivered");
    sender.plan(std::slice::from_ref(&message)).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(full(&sender.store, &message).await.view.answer, "the secret is missing");
    *service.routed.lock().unwrap() = Ok(());
    sender.all_ended().await;
    assert_eq!(outcomes(&full(&sender.store, &message).await), ["sent"]);
    sender.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_what_is_under_way_and_marks_it() {
    let kept = sqlite().await;
    let service = Service::new(|_, _| (Duration::from_secs(1), taken()));
    let sender = Sender::start(kept.store.clone(), clock(), "one", &service);
    let drafts: Vec<Draft> =
        (0..20).map(|n| Draft { lane: format!("lane-{n}"), ..draft(n, "order.updated") }).collect();
    sender.plan(&drafts).await;
    sleep(Duration::from_millis(400)).await;
    let store = sender.store.clone();
    sender.stop().await;
    assert_eq!(in_state(&store, "sent").await.len(), 8, "those with the provider");
    assert_eq!(in_state(&store, "planned").await.len(), 12, "and nothing else was begun");
    assert!(in_state(&store, "sending").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_a_second_are_with_their_provider_within_two_seconds() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let clock = clock();
        let arrived: Arc<Mutex<BTreeMap<String, Timestamp>>> = Arc::default();
        let (noted, at) = (arrived.clone(), clock.clone());
        let service = Service::new(move |message, _| {
            noted.lock().unwrap().insert(message.id.clone(), at.system_now());
            (Duration::from_millis(20), taken())
        });
        let sender = Sender::start(store, clock.clone(), "one", &service);
        let mut planned = BTreeMap::new();
        for round in 0..30_i64 {
            let batch: Vec<Draft> = (0..10)
                .map(|n| Draft {
                    lane: format!("{round}-{n}"),
                    key: format!("{round}-{n}"),
                    ..draft(round + 1, "order.updated")
                })
                .collect();
            for draft in &batch {
                planned.insert(draft.id(), clock.system_now());
            }
            sender.plan(&batch).await;
            sleep(Duration::from_millis(200)).await;
        }
        sender.all_ended().await;
        let arrived = arrived.lock().unwrap().clone();
        let mut delays: Vec<f64> =
            planned.iter().map(|(id, planned)| arrived[id].duration_since(*planned).as_secs_f64()).collect();
        delays.sort_by(f64::total_cmp);
        let p99 = delays[delays.len() * 99 / 100];
        assert_eq!(delays.len(), 300);
        assert!(p99 <= 2.0, "p99 {p99:.3} s");
        sender.stop().await;
    }
}
