//! What hints promise. Each sentence runs in one process and over two that share a Redis.

use std::time::Duration;

use bytes::Bytes;
use dropmate_live::{Quota, Topic};
use prometheus_client::{encoding::text::encode, registry::Registry};

use super::support::{Pair, at, position, soon};

/// Makes a test of each sentence for one kind.
macro_rules! holds_for {
    ($kind:ident: $($sentence:ident,)*) => {
        mod $kind {
            use crate::it::{contract, support::Pair};
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                contract::$sentence(Pair::$kind().await).await;
            })*
        }
    };
}

macro_rules! contract {
    ($($kind:ident)*) => { $(
        holds_for! { $kind:
            a_position_is_known_everywhere,
            an_older_position_changes_nothing,
            who_subscribes_hears_each_newer_position_once,
            drivers_of_one_business_are_nobody_else_s,
            the_nearest_drivers_come_first,
            positions_from_before_a_time_are_let_go,
            who_waits_is_woken_by_any_process,
            a_quota_is_one_for_all_processes,
            a_quota_comes_back_with_time,
            a_key_of_one_class_says_nothing_about_another,
            a_cached_value_is_found_everywhere_until_it_is_removed,
            a_cached_value_expires,
            hits_and_misses_are_counted_for_each_cache,
            caches_do_not_meet,
            a_value_that_is_too_large_is_not_kept,
        }
    )* };
}
contract! { memory redis }

async fn a_position_is_known_everywhere(pair: Pair) {
    let sam = pair.position("sam", 1);
    pair.here.saw([sam.clone()]);
    assert_eq!(*pair.here.latest(&sam.namespace, "sam").unwrap(), sam, "here it is known at once");
    soon("it is known there", || pair.there.latest(&sam.namespace, "sam").is_some()).await;
    assert_eq!(*pair.there.latest(&sam.namespace, "sam").unwrap(), sam);
}

async fn an_older_position_changes_nothing(pair: Pair) {
    let (old, new) = (pair.position("sam", 1), pair.position("sam", 2));
    pair.here.saw([new.clone()]);
    soon("the new one is known there", || pair.there.latest(&new.namespace, "sam").is_some()).await;
    pair.there.saw([old, pair.position("kim", 1)]);
    soon("what was said with it is known here", || pair.here.latest(&new.namespace, "kim").is_some()).await;
    for live in [&pair.here, &pair.there] {
        assert_eq!(*live.latest(&new.namespace, "sam").unwrap(), new);
    }
}

async fn who_subscribes_hears_each_newer_position_once(pair: Pair) {
    let mut heard = pair.there.positions();
    for second in 1..=3 {
        pair.here.saw([pair.position("sam", second), pair.position("sam", 1)]);
        soon("it got there", || pair.there.latest(&pair.name("acme"), "sam").is_some_and(|held| held.at == at(second)))
            .await;
    }
    let mut seconds = Vec::new();
    while let Ok(position) = heard.try_recv() {
        if position.namespace == pair.name("acme") {
            seconds.push(position.at);
        }
    }
    assert_eq!(seconds, [at(1), at(2), at(3)]);
}

async fn drivers_of_one_business_are_nobody_else_s(pair: Pair) {
    let (acme, bolt) = (pair.name("acme"), pair.name("bolt"));
    pair.here.saw([position(&acme, "sam", 1), position(&acme, "kim", 1), position(&bolt, "sam", 2)]);
    soon("all are known there", || pair.there.latest(&bolt, "sam").is_some()).await;
    let names: Vec<_> = pair.there.latest_in(&acme).iter().map(|held| held.driver.clone()).collect();
    assert_eq!(names, ["kim", "sam"]);
    assert_eq!(pair.there.latest_in(&bolt).len(), 1);
    assert!(pair.there.latest_in(&pair.name("nobody")).is_empty());
    assert!(pair.there.near(&pair.name("nobody"), 43.65, -79.36, 1e6, 10).is_empty());
}

async fn the_nearest_drivers_come_first(pair: Pair) {
    // A hundred-thousandth of a degree north for each second.
    pair.here.saw([1, 1_000, 500].map(|second| pair.position(&format!("after-{second}"), second)));
    soon("all are known there", || pair.there.latest_in(&pair.name("acme")).len() == 3).await;
    let near = pair.there.near(&pair.name("acme"), 43.65, -79.36, 1_000.0, 10);
    let names: Vec<_> = near.iter().map(|(held, _)| held.driver.as_str()).collect();
    assert_eq!(names, ["after-1", "after-500"]);
    assert!((near[1].1 - 556.0).abs() < 1.0, "{} m", near[1].1);
    assert_eq!(pair.there.near(&pair.name("acme"), 43.65, -79.36, 1_000.0, 1).len(), 1);
}

async fn positions_from_before_a_time_are_let_go(pair: Pair) {
    pair.here.saw([pair.position("sam", 1), pair.position("kim", 10)]);
    soon("both are known there", || pair.there.latest_in(&pair.name("acme")).len() == 2).await;
    assert!(pair.here.forget_before(at(5)) >= 1);
    pair.there.forget_before(at(5));
    for live in [&pair.here, &pair.there] {
        assert!(live.latest(&pair.name("acme"), "sam").is_none());
        assert!(live.latest(&pair.name("acme"), "kim").is_some());
    }
}

async fn who_waits_is_woken_by_any_process(pair: Pair) {
    for (one, other) in [(&pair.here, &pair.there), (&pair.there, &pair.here)] {
        let mut woken = other.woken(Topic::Positions);
        woken.mark_unchanged();
        one.wake(Topic::Positions);
        tokio::time::timeout(Duration::from_secs(5), woken.changed()).await.expect("it is woken").unwrap();
    }
}

/// Passes through `tries` by turns in both processes.
async fn passed(pair: &Pair, class: &'static str, key: &str, quota: Quota, tries: usize) -> usize {
    let mut passed = 0;
    for number in 0..tries {
        let live = if number % 2 == 0 { &pair.here } else { &pair.there };
        passed += usize::from(live.take(class, key, quota).await.allowed);
    }
    passed
}

async fn a_quota_is_one_for_all_processes(pair: Pair) {
    let quota = Quota { interval: Duration::from_mins(1), burst: 10 };
    let key = pair.name("ada");
    assert_eq!(pair.here.take("test", &key, quota).await.left, 9);
    assert_eq!(passed(&pair, "test", &key, quota, 40).await, 9);
    let refused = pair.there.take("test", &key, quota).await;
    assert!(!refused.allowed && refused.left == 0);
    let wait = refused.retry_after.as_secs_f64();
    assert!((55.0..=60.0).contains(&wait), "{wait}");
    assert!((590.0..=600.0).contains(&refused.whole_in.as_secs_f64()), "{:?}", refused.whole_in);
}

async fn a_quota_comes_back_with_time(pair: Pair) {
    let quota = Quota { interval: Duration::from_millis(200), burst: 3 };
    let key = pair.name("ada");
    assert_eq!(passed(&pair, "test", &key, quota, 6).await, 3);
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(passed(&pair, "test", &key, quota, 6).await, 2);
}

async fn a_key_of_one_class_says_nothing_about_another(pair: Pair) {
    let quota = Quota { interval: Duration::from_mins(1), burst: 1 };
    let key = pair.name("ada");
    assert_eq!(passed(&pair, "one", &key, quota, 4).await, 1);
    assert_eq!(passed(&pair, "other", &key, quota, 4).await, 1);
    assert_eq!(passed(&pair, "one", &pair.name("bob"), quota, 4).await, 1);
}

async fn a_cached_value_is_found_everywhere_until_it_is_removed(pair: Pair) {
    let (here, there) = (pair.here.cache("routes"), pair.there.cache("routes"));
    let key = pair.name("sam");
    assert_eq!(here.get(&key).await, None);
    here.put(&key, Bytes::from_static(b"a\0b"), Duration::from_secs(30)).await;
    assert_eq!(there.get(&key).await.as_deref(), Some(&b"a\0b"[..]));
    there.remove(&key).await;
    assert_eq!(here.get(&key).await, None);
    here.put(&key, Bytes::from_static(b"c"), Duration::from_secs(30)).await;
    assert_eq!(there.get(&key).await.as_deref(), Some(&b"c"[..]));
}

async fn a_cached_value_expires(pair: Pair) {
    let cache = pair.here.cache("routes");
    cache.put("short", Bytes::from_static(b"x"), Duration::from_millis(200)).await;
    assert!(cache.get("short").await.is_some());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(cache.get("short").await, None);
}

async fn hits_and_misses_are_counted_for_each_cache(pair: Pair) {
    let mut registry = Registry::default();
    pair.here.register(&mut registry);
    let (routes, key) = (pair.here.cache("routes"), pair.name("sam"));
    routes.get(&key).await;
    routes.put(&key, Bytes::from_static(b"x"), Duration::from_secs(30)).await;
    routes.get(&key).await;
    routes.get(&key).await;
    pair.here.cache("timelines").get(&key).await;
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for (cache, outcome, count) in [("routes", "hit", 2), ("routes", "miss", 1), ("timelines", "miss", 1)] {
        let line = format!("dropmate_live_cache_lookups_total{{cache=\"{cache}\",outcome=\"{outcome}\"}} {count}\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

async fn caches_do_not_meet(pair: Pair) {
    let key = pair.name("sam");
    pair.here.cache("routes").put(&key, Bytes::from_static(b"x"), Duration::from_secs(30)).await;
    assert_eq!(pair.here.cache("timelines").get(&key).await, None);
}

async fn a_value_that_is_too_large_is_not_kept(pair: Pair) {
    let cache = pair.here.cache("routes");
    let key = pair.name("sam");
    cache.put(&key, Bytes::from(vec![0; dropmate_live::VALUE_BYTES_MAX + 1]), Duration::from_secs(30)).await;
    assert_eq!(cache.get(&key).await, None);
}
