//! The run, and what must hold after it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    time::{Duration, Instant},
};

use dropmate_control_plane::{
    args::Database,
    migrations::{AgentSchema, migrate},
};
use dropmate_notification::store;
use dropmate_testing::{PostgresServer, RedisServer};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::sleep;

use crate::{
    fleet::{Fleet, Setup},
    http,
    ledger::{About, Arrived, Fault, Ledger, Side, percentiles},
    load::{self, Happened, Operator},
    plane, smtp,
};

/// Name the size of a run; what CI runs stands beside.
const EVENTS: (&str, usize) = ("DROPMATE_CHAOS_EVENTS", 1_000);
const KILLS: (&str, usize) = ("DROPMATE_CHAOS_KILLS", 12);
const PER_SECOND: (&str, usize) = ("DROPMATE_CHAOS_PER_SECOND", 50);
const SEED: (&str, usize) = ("DROPMATE_CHAOS_SEED", 7);
/// Agents that run at once.
const AGENTS: usize = 3;
/// How long everything may take to be sent after the last event. Who failed waits for its turn: see [`hurry`].
const DRAIN: Duration = Duration::from_mins(4);
/// A message that waits longer than this for its next attempt is brought forward once the load has ended.
const PATIENT: i64 = 8_000_000;

fn sized((name, usual): (&str, usize)) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}

/// All that a run has.
struct World {
    postgres: PostgresServer,
    redis: RedisServer,
    ledger: Ledger,
    operator: Operator,
    setup: Setup,
    _plane: tokio::process::Child,
    folder: tempfile::TempDir,
}

/// What a run that failed leaves of its programs' logs.
const LOG_LINES: usize = 25;

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for place in (0..AGENTS).map(|place| format!("agent-{place}.log")).chain(["plane.log".to_owned()]) {
            let log = std::fs::read_to_string(self.folder.path().join(&place)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            #[expect(clippy::print_stdout, reason = "for whoever reads why a run failed")]
            let () = println!(
                "--- {place}, the last of {} lines\n{}",
                lines.len(),
                lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
            );
        }
    }
}

async fn world(seed: u64, faulty: bool) -> World {
    dropmate_control_plane::install_crypto_provider();
    let folder = tempfile::tempdir().unwrap();
    let path = |part: &str| folder.path().join(part).to_str().unwrap().to_owned();
    let (postgres, redis) = (PostgresServer::start(&[]), RedisServer::start(&[]));
    let agents = [AgentSchema { file: store::FILE, schema: &store::SCHEMA }];
    migrate(&Database::Postgres { url: postgres.url().to_owned() }, &agents, false).await.unwrap();
    std::fs::write(path("key"), "5a".repeat(32)).unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let flags = ["--database-url", postgres.url(), "--redis-url", redis.url(), "--secrets-key-file", &path("key")];
    let flags: Vec<String> = flags.into_iter().map(str::to_owned).collect();
    let plane = plane::start(folder.path(), &free, &flags).await;
    let ledger = Ledger::new(seed);
    let mail = smtp::serve(ledger.clone(), faulty).await;
    let sms = http::serve(Side::Sms, ledger.clone(), faulty).await;
    let webhook = http::serve(Side::Webhook, ledger.clone(), faulty).await;
    let url = format!("https://{free}");
    let flags = [
        "--server".to_owned(),
        url.clone(),
        "--token-file".to_owned(),
        path("plane/tokens/notification.token"),
        "--ca-file".to_owned(),
        path("plane/tls/ca.crt"),
        "--database-url".to_owned(),
        postgres.url().to_owned(),
        "--smtp-url".to_owned(),
        format!("smtp://{mail}?tls=none"),
        "--mail-from".to_owned(),
        "shop@example.org".to_owned(),
        "--sms-url".to_owned(),
        format!("http://{sms}"),
        "--sms-account".to_owned(),
        "AC1".to_owned(),
        "--sms-token".to_owned(),
        "secret".to_owned(),
        "--sms-from".to_owned(),
        "+14165550100".to_owned(),
        "--allow-plain-webhooks".to_owned(),
        "--allow-outbound".to_owned(),
        "127.0.0.0/8".to_owned(),
    ];
    let operator = Operator::new(Path::new(&path("plane")), &url);
    set_up(&operator, &format!("http://{webhook}/hook")).await;
    let setup = Setup { folder: folder.path().to_owned(), flags: flags.to_vec() };
    World { postgres, redis, ledger, operator, setup, _plane: plane, folder }
}

/// Every placed and every changed order is told by mail, by SMS, and to a webhook.
async fn set_up(operator: &Operator, webhook: &str) {
    let ours = |plural: &str| format!("/apis/dropmate.dev/v1/namespaces/default/{plural}");
    let events = ["order.created", "order.updated"];
    let rule = |channel: &str| json!({"name": channel.to_lowercase(), "events": events, "channel": channel, "template": "all"});
    let text = "{{ order.name }} {{ event }}";
    let policy = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "NotificationPolicy", "metadata": {"name": "all"},
        "spec": {
            "builtInRules": "Off", "rules": [rule("Email"), rule("Sms")],
            "templates": [{"name": "all", "subject": text, "text": text}],
            "limits": {"perRecipientPerHour": 10_000, "perMinute": 1_000_000},
        },
    });
    operator.ask(Method::POST, &ours("notificationpolicies"), &policy).await;
    operator.ask(Method::PUT, "/v1/namespaces/default/secrets/signs", &json!({"value": http::SECRET})).await;
    let webhook = json!({
        "apiVersion": "dropmate.dev/v1", "kind": "Webhook", "metadata": {"name": "erp"},
        "spec": {"url": webhook, "events": events, "secretName": "signs"},
    });
    operator.ask(Method::POST, &ours("webhooks"), &webhook).await;
}

/// Waits until the agents have begun: on their very first start they begin with what happens from then on.
async fn begun(world: &World) {
    let until = Instant::now() + Duration::from_mins(1);
    let mut connection = PgConnection::connect(world.postgres.url()).await.unwrap();
    loop {
        let ask = "SELECT position FROM notification.progress WHERE feed = 'events'";
        let position: i64 = sqlx::query(ask).fetch_one(&mut connection).await.unwrap().get(0);
        if position >= 0 {
            return;
        }
        assert!(Instant::now() < until, "the agents do not begin");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until everything was taken; brings forward what waits for long, so that a run does not take an hour.
async fn drained(world: &World, fleet: &mut Fleet, events: usize) -> Duration {
    let began = Instant::now();
    loop {
        let counts = [Side::Mail, Side::Sms, Side::Webhook].map(|side| world.ledger.count(side));
        let open = open(world.postgres.url()).await;
        if counts.iter().all(|count| *count >= events) && open == 0 {
            return began.elapsed();
        }
        assert!(began.elapsed() < DRAIN, "{counts:?} of {events} were taken, {open} wait");
        hurry(world.postgres.url()).await;
        fleet.tend();
        sleep(Duration::from_millis(500)).await;
    }
}

/// Messages that have not ended.
async fn open(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let ask = "SELECT count(*) FROM notification.messages WHERE state IN ('planned', 'sending')";
    sqlx::query(ask).fetch_one(&mut connection).await.unwrap().get(0)
}

/// Time itself is not to be waited for: what is due in some seconds or later is due now.
async fn hurry(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let now = jiff_now();
    let hurry = "UPDATE notification.messages SET due_at = $1 WHERE state = 'planned' AND due_at > $1 + $2";
    sqlx::query(hurry).bind(now).bind(PATIENT).execute(&mut connection).await.unwrap();
}

fn jiff_now() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "a test binary owns its clock")]
    jiff::Timestamp::now().as_microsecond()
}

/// What the agents say of the messages: attempts of which nobody knows how they ended, by message.
async fn in_doubt(url: &str) -> HashMap<String, i64> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let ask = "
        SELECT m.id, count(*) FROM notification.messages m JOIN notification.attempts a ON a.message = m.seq
        WHERE a.outcome = 'in_doubt' GROUP BY m.id";
    let rows = sqlx::query(ask).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// States of all messages.
async fn states(url: &str) -> BTreeMap<String, i64> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let ask = "SELECT state, count(*) FROM notification.messages GROUP BY state";
    let rows = sqlx::query(ask).fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Each event once: none lost, none under two keys, nothing that nobody asked for.
fn once_each(side: Side, arrived: &HashMap<String, Arrived>, happened: &HashMap<About, Instant>) {
    let mut keys: HashMap<&About, Vec<&String>> = HashMap::new();
    for (key, arrived) in arrived {
        keys.entry(&arrived.about).or_default().push(key);
    }
    let lost: Vec<_> = happened.keys().filter(|about| !keys.contains_key(about)).collect();
    assert!(lost.is_empty(), "{side:?}: {} lost, as {:?}", lost.len(), &lost[..lost.len().min(5)]);
    let doubled: Vec<_> = keys.iter().filter(|(_, keys)| keys.len() > 1).collect();
    assert!(doubled.is_empty(), "{side:?}: under several keys: {:?}", &doubled[..doubled.len().min(5)]);
    let strange: Vec<_> = keys.keys().filter(|about| !happened.contains_key(**about)).collect();
    assert!(strange.is_empty(), "{side:?}: nobody asked for {:?}", &strange[..strange.len().min(5)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_comes_twice_where_the_other_side_can_tell() {
    let (events, kills, seed) = (sized(EVENTS), sized(KILLS), sized(SEED) as u64);
    let world = world(seed, true).await;
    let happened = Happened::default();
    let began = Instant::now();
    let mut fleet = Fleet::start(world.setup.clone(), AGENTS);
    begun(&world).await;
    let load = tokio::spawn(load::run(world.operator.clone(), happened.clone(), events, sized(PER_SECOND) as f64));
    let (mut emptied, mut restarted) = (0, 0);
    // Faults come by how far the load is, so that they come at any pace.
    for kill in 1..=kills {
        while happened.begun() < events * kill / (kills + 1) {
            sleep(Duration::from_millis(20)).await;
        }
        // By chance, and the same in every run of that seed.
        let chance = (seed + kill as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        fleet.kill(usize::try_from(chance).unwrap() % fleet.len()).await;
        if kill == kills / 3 || kill == kills * 2 / 3 {
            world.redis.empty();
            emptied += 1;
        }
        if kill == kills / 2 {
            world.postgres.stop();
            world.postgres.start_again();
            restarted += 1;
        }
    }
    load.await.unwrap();
    let loaded = began.elapsed();
    let drain = drained(&world, &mut fleet, events).await;
    let (kills_done, started_again, happened) = (fleet.kills, fleet.started_again, happened.all());
    fleet.end().await;

    let (states, in_doubt) = (states(world.postgres.url()).await, in_doubt(world.postgres.url()).await);
    let faults = world.ledger.faults();
    println!("chaos: {events} events in {loaded:?}, all sent {drain:?} after the last; seed {seed}");
    println!(
        "chaos: {kills_done} agents killed -9, Redis emptied {emptied} times, the database restarted {restarted} times"
    );
    println!("chaos: {started_again} agents could not start while the database was away, and were started again");
    for ((side, fault), count) in &faults {
        println!("chaos: {side:?} failed: {fault:?} {count} times");
    }
    println!("chaos: messages by state {states:?}, {} were in doubt at some time", in_doubt.len());
    for side in [Side::Mail, Side::Sms, Side::Webhook] {
        let arrived = world.ledger.arrived(side);
        let copies: usize = arrived.values().map(|arrived| arrived.copies).sum();
        let dropped: usize = arrived.values().map(|arrived| arrived.doubles_dropped).sum();
        println!(
            "chaos: {side:?} took {} messages in {copies} copies, and dropped {dropped} that it had",
            arrived.len()
        );
        once_each(side, &arrived, &happened);
    }
    assert_eq!(happened.len(), events);
    assert_eq!(world.ledger.all_wrong(), Vec::<String>::new());
    assert_eq!(states.keys().map(String::as_str).collect::<Vec<_>>(), ["sent"], "nothing was given up");

    // A mail that came twice was in doubt in between, and came under the same Message-ID.
    for (key, arrived) in world.ledger.arrived(Side::Mail) {
        let id = key.trim_start_matches('<').split('@').next().unwrap();
        let doubts = in_doubt.get(id).copied().unwrap_or(0);
        assert!(arrived.copies as i64 <= 1 + doubts, "{key}: {} copies, {doubts} doubts", arrived.copies);
    }
    // Of one order, what happened first came first.
    let webhooks = world.ledger.arrived(Side::Webhook);
    let turns: HashMap<&About, usize> = webhooks.values().map(|arrived| (&arrived.about, arrived.turn)).collect();
    for ((order, event), turn) in &turns {
        if event == "order.updated" {
            let created = turns[&(order.clone(), "order.created".to_owned())];
            assert!(created < *turn, "{order}: changed before it was placed");
        }
    }
    // And all of it really went wrong.
    assert_eq!((kills_done, emptied, restarted), (kills, 2, 1));
    let made: BTreeSet<_> = faults.keys().copied().collect();
    for side in [Side::Mail, Side::Sms, Side::Webhook] {
        for fault in [Fault::ServerError, Fault::TooMany, Fault::TakenThenCut] {
            assert!(made.contains(&(side, fault)), "{side:?} never failed by {fault:?}");
        }
    }
    assert!(made.iter().any(|(_, fault)| *fault == Fault::Stall), "nobody stalled");
    assert!(made.contains(&(Side::Sms, Fault::TakenThenGarbage)) && made.contains(&(Side::Mail, Fault::Garbage)));
    assert!(!in_doubt.is_empty(), "nothing was ever in doubt");
}

/// From the acknowledgement of a change to its messages with their providers, with nothing going wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_with_their_providers_soon() {
    /// As `quality.md` of a quiet machine; a loaded one is given more by the test, and the figure is printed.
    const TARGET: Duration = Duration::from_secs(2);
    const LOADED: Duration = Duration::from_secs(20);
    let events = sized(EVENTS).min(2_000);
    let world = world(1, false).await;
    let mut fleet = Fleet::start(world.setup.clone(), AGENTS);
    begun(&world).await;
    // They are there, and connected.
    load::warm(&world.operator).await;
    let until = Instant::now() + Duration::from_mins(1);
    while world.ledger.count(Side::Webhook) < 1 {
        assert!(Instant::now() < until, "the agents do not send");
        sleep(Duration::from_millis(50)).await;
    }
    let happened = Happened::default();
    load::run(world.operator.clone(), happened.clone(), events, sized(PER_SECOND) as f64).await;
    drained(&world, &mut fleet, events).await;
    let happened = happened.all();
    for side in [Side::Mail, Side::Sms, Side::Webhook] {
        let arrived = world.ledger.arrived(side);
        let took: Vec<Duration> = arrived
            .values()
            .filter_map(|arrived| Some(arrived.first.saturating_duration_since(*happened.get(&arrived.about)?)))
            .collect();
        assert_eq!(took.len(), events, "{side:?}");
        let (middle, slow) = percentiles(took);
        println!(
            "latency: {side:?} p50 {middle:?}, p99 {slow:?} at {} events a second (target: p99 {TARGET:?})",
            sized(PER_SECOND)
        );
        assert!(slow < LOADED, "{side:?}: {slow:?}");
    }
    fleet.end().await;
}
