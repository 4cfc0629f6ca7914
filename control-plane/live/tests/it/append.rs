//! Streams: each entry once, in order, none missing, whatever becomes of Redis.

use dropmate_live::{Appended, Entry, EntryId, Live};
use dropmate_testing::RedisServer;

use super::support::{live, soon};

const STREAM: &str = "events";
const KEPT: usize = 100_000;

fn id(major: u64, minor: u64) -> EntryId {
    EntryId { major, minor }
}

fn entry(major: u64, minor: u64) -> Entry {
    Entry {
        id: id(major, minor),
        fields: vec![("type", "order.created".to_owned()), ("event", format!("{{\"n\":{minor}}}"))],
    }
}

fn there(redis: &RedisServer) -> Vec<String> {
    let listed = redis.ask(&["XRANGE", "dropmate:0:events", "-", "+"]);
    let is_id =
        |line: &&str| line.split_once('-').is_some_and(|(a, b)| a.parse::<u64>().is_ok() && b.parse::<u64>().is_ok());
    listed.lines().filter(is_id).map(str::to_owned).collect()
}

async fn connected(redis: &RedisServer) -> Live {
    let live = live(redis.url());
    soon("it is connected", || live.is_connected()).await;
    live
}

const EPOCH: &str = "one";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_there_once_however_often_it_is_appended() {
    let redis = RedisServer::start(&[]);
    let (here, other) = (connected(&redis).await, connected(&redis).await);
    let all: Vec<_> = (1..=50).flat_map(|major| [entry(major, 0), entry(major, 1)]).collect();
    assert_eq!(here.append(STREAM, EPOCH, None, &all[..40], KEPT).await, Appended::All { added: 40 });
    assert_eq!(here.append(STREAM, EPOCH, Some(all[39].id), &all[20..60], KEPT).await, Appended::All { added: 20 });
    // Another process that has read on from elsewhere, at the same time.
    let (mine, theirs) = tokio::join!(
        here.append(STREAM, EPOCH, Some(all[59].id), &all[60..], KEPT),
        other.append(STREAM, EPOCH, None, &all[50..], KEPT)
    );
    let added = |appended| if let Appended::All { added } = appended { added } else { panic!("{appended:?}") };
    assert_eq!(added(mine) + added(theirs), 40);
    assert_eq!(
        there(&redis),
        all.iter().map(|entry| format!("{}-{}", entry.id.major, entry.id.minor)).collect::<Vec<_>>()
    );
    let values = redis.ask(&["XRANGE", "dropmate:0:events", "3-1", "3-1"]);
    assert!(values.contains("order.created") && values.contains("{\"n\":1}"), "{values}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_is_told_and_nothing_is_appended_after_a_gap() {
    let redis = RedisServer::start(&[]);
    let live = connected(&redis).await;
    // Beyond what a number in the script holds: revisions after a restore are as large.
    let high = 1 << 60;
    let all: Vec<_> = (0..10).map(|n| entry(high + n, 0)).collect();
    assert_eq!(live.append(STREAM, EPOCH, None, &all[..5], KEPT).await, Appended::All { added: 5 });
    redis.empty();
    assert_eq!(live.append(STREAM, EPOCH, Some(all[4].id), &all[5..], KEPT).await, Appended::Behind(None));
    assert!(there(&redis).is_empty());
    // One that came back without its end.
    live.append(STREAM, EPOCH, None, &all[..3], KEPT).await;
    assert_eq!(live.append(STREAM, EPOCH, Some(all[4].id), &all[5..], KEPT).await, Appended::Behind(Some(all[2].id)));
    assert_eq!(live.append(STREAM, EPOCH, Some(all[2].id), &all[2..], KEPT).await, Appended::All { added: 7 });
    assert_eq!(there(&redis).len(), 10);
    // One that is further on than the caller knows is no gap.
    assert_eq!(live.append(STREAM, EPOCH, Some(all[2].id), &all[3..4], KEPT).await, Appended::All { added: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_another_history_is_begun_anew() {
    let redis = RedisServer::start(&[]);
    let live = connected(&redis).await;
    let all: Vec<_> = (100..110).map(|major| entry(major, 0)).collect();
    assert_eq!(live.append(STREAM, EPOCH, None, &all, KEPT).await, Appended::All { added: 10 });
    // A database that was restored counts from further below.
    let restored = [entry(7, 0), entry(8, 0)];
    assert_eq!(live.append(STREAM, "another", None, &restored, KEPT).await, Appended::All { added: 2 });
    assert_eq!(there(&redis), ["7-0", "8-0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_is_told_so_and_the_oldest_leave() {
    let redis = RedisServer::start(&[]);
    let live = connected(&redis).await;
    redis.pause();
    let began = std::time::Instant::now();
    assert_eq!(live.append(STREAM, EPOCH, None, &[entry(1, 0)], KEPT).await, Appended::Away);
    assert!(began.elapsed() < std::time::Duration::from_secs(2));
    redis.resume();
    soon("it is connected again", || live.is_connected()).await;
    let all: Vec<_> = (1..=2_000).map(|major| entry(major, 0)).collect();
    for piece in all.chunks(100) {
        while live.append(STREAM, EPOCH, None, piece, 200).await == Appended::Away {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    let left = there(&redis);
    assert!((200..600).contains(&left.len()), "{}", left.len());
    assert_eq!(left.last().unwrap(), "2000-0");
    assert_eq!(Live::memory().append(STREAM, EPOCH, None, &all[..1], KEPT).await, Appended::Unshared);
}
