//! Redis may go away, be emptied or stop answering at any moment.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dropmate_live::Quota;
use dropmate_testing::RedisServer;

use super::support::{Pair, at, live, position, soon};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_starts_knows_what_the_others_know() {
    let redis = RedisServer::start(&[]);
    let pair = Pair::at(redis.url()).await;
    let positions: Vec<_> = (0..1_200).map(|n| pair.position(&format!("driver-{n}"), n)).collect();
    pair.here.saw(positions);
    soon("all are known there", || pair.there.latest_in(&pair.name("acme")).len() == 1_200).await;
    let late = live(redis.url());
    soon("all are known to who comes later", || late.latest_in(&pair.name("acme")).len() == 1_200).await;
    let last = late.latest(&pair.name("acme"), "driver-1199").unwrap();
    assert_eq!((last.at, last.speed_meters_per_second), (at(1_199), Some(4.5)));
    // Others may ask Redis itself by place.
    let places = format!("dropmate:0:places:{}", pair.name("acme"));
    let near = redis.ask(&["GEOSEARCH", &places, "FROMLONLAT", "-79.36", "43.65", "BYRADIUS", "2", "m", "ASC"]);
    assert_eq!(near.lines().collect::<Vec<_>>(), ["driver-0", "driver-1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_forgets_is_told_to_it_again_within_five_seconds() {
    let redis = RedisServer::start(&[]);
    let pair = Pair::at(redis.url()).await;
    pair.here.saw([pair.position("sam", 1)]);
    soon("it is known there", || pair.there.latest(&pair.name("acme"), "sam").is_some()).await;
    redis.empty();
    assert_eq!(redis.ask(&["EXISTS", &format!("dropmate:0:positions:{}", pair.name("acme"))]), "0");
    let late = live(redis.url());
    soon("who comes later knows it", || late.latest(&pair.name("acme"), "sam").is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_while_redis_was_away_gets_around_when_it_is_back() {
    let redis = RedisServer::start(&[]);
    let pair = Pair::at(redis.url()).await;
    redis.kill();
    soon("it is known that it is away", || {
        pair.here.saw([]);
        !pair.here.is_connected()
    })
    .await;
    let began = Instant::now();
    for second in 0..500 {
        pair.here.saw([pair.position("sam", second)]);
    }
    assert!(began.elapsed() < Duration::from_millis(100), "nobody waits for Redis");
    assert_eq!(pair.here.latest(&pair.name("acme"), "sam").unwrap().at, at(499));
    assert!(pair.there.latest(&pair.name("acme"), "sam").is_none());
    redis.start_again();
    soon("it gets around", || pair.there.latest(&pair.name("acme"), "sam").is_some_and(|held| held.at == at(499)))
        .await;
    pair.here.saw([pair.position("sam", 1_000)]);
    soon("and so does what comes then", || {
        pair.there.latest(&pair.name("acme"), "sam").is_some_and(|held| held.at == at(1_000))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_does_not_answer_holds_nobody_up_and_limits_stay() {
    let redis = RedisServer::start(&[]);
    let pair = Pair::at(redis.url()).await;
    let quota = Quota { interval: Duration::from_mins(1), burst: 5 };
    redis.pause();
    let began = Instant::now();
    let mut passed = 0;
    for _ in 0..100 {
        passed += usize::from(pair.here.take("test", "ada", quota).await.allowed);
    }
    assert_eq!(passed, 5, "this process's own count stays");
    assert!(pair.here.take_shared("test", "ada", quota).await.is_none(), "and Redis tells nothing");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    let cache = pair.here.cache("routes");
    cache.put("k", Bytes::from_static(b"v"), Duration::from_secs(30)).await;
    assert_eq!(cache.get("k").await, None);
    soon("the connection is given up", || !pair.here.is_connected()).await;
    redis.resume();
    soon("it is used again", || pair.here.is_connected()).await;
    let one = pair.here.take_shared("test", "bob", quota).await.expect("Redis counts again");
    assert!(one.allowed && one.left == 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_while_redis_did_not_answer_is_not_found_when_it_does() {
    let redis = RedisServer::start(&[]);
    let pair = Pair::at(redis.url()).await;
    let (here, there) = (pair.here.cache("routes"), pair.there.cache("routes"));
    here.put("k", Bytes::from_static(b"v"), Duration::from_mins(1)).await;
    assert!(there.get("k").await.is_some());
    redis.pause();
    here.remove("k").await;
    soon("the connection is given up", || !pair.here.is_connected()).await;
    redis.resume();
    soon("it is used again", || pair.here.is_connected() && pair.there.is_connected()).await;
    assert_eq!(here.get("k").await, None, "who removed it does not find it");
    let gone = async {
        while there.get("k").await.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("and soon nobody does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_redis_at_the_start_all_is_well_in_this_process() {
    let live = live("redis://127.0.0.1:1");
    live.saw([position("acme", "sam", 1)]);
    assert!(live.latest("acme", "sam").is_some() && live.is_shared() && !live.is_connected());
    let quota = Quota { interval: Duration::from_mins(1), burst: 2 };
    let mut passed = 0;
    for _ in 0..10 {
        passed += usize::from(live.take("test", "ada", quota).await.allowed);
    }
    assert_eq!(passed, 2);
}
