use std::time::Duration;

use dropmate_store::{At, Moment, Options, Retention, Revision, Store};
use jiff::Timestamp;

use super::On;
use crate::it::fixture::{ORDERS, create, delete, everything, key, update};

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);

fn at(moment: &Moment) -> Option<Revision> {
    match moment {
        Moment::At { revision, .. } => Some(*revision),
        Moment::TooOld { .. } => None,
    }
}

async fn revision_at(store: &Store, moment: Timestamp) -> Option<Revision> {
    at(&store.revision_at(ORDERS, moment).await.unwrap())
}

/// The bodies of everything at a moment, with their names.
async fn state(store: &Store, moment: Timestamp) -> Option<Vec<(String, String)>> {
    let revision = revision_at(store, moment).await?;
    let page = store.list(&everything(), At::Exact(revision), None, None).await.unwrap();
    Some(page.objects.iter().map(|object| (object.key.name.clone(), object.body.to_string())).collect())
}

fn told(state: Option<Vec<(String, String)>>) -> String {
    let state = state.expect("it can be told");
    state.iter().map(|(name, body)| format!("{name}{body}")).collect::<Vec<_>>().join(" ")
}

pub(crate) async fn each_moment_has_the_state_it_had(on: On) {
    let store = on.store().await;
    let mut moments = Vec::new();
    let mut expected = Vec::new();
    let mut live: Vec<(String, u64, u64)> = Vec::new();
    for step in 0..40_u64 {
        // Some changes share a moment, some moments pass without one.
        if step % 3 != 0 {
            let name = format!("o{:02}", step % 7);
            match live.iter().position(|(held, ..)| *held == name) {
                None => {
                    let stored = store.write(create(&name, "0")).await.unwrap();
                    live.push((name, stored.revision, 0));
                }
                Some(index) if step % 5 == 0 => {
                    let (name, revision, count) = live.remove(index);
                    store.write(delete(&name, revision, &count.to_string())).await.unwrap();
                }
                Some(index) => {
                    let (name, revision, count) = &mut live[index];
                    *count += 1;
                    *revision = store.write(update(name, *revision, &count.to_string())).await.unwrap().revision;
                }
            }
        }
        if step % 2 == 0 {
            live.sort();
            let shown = live.iter().map(|(name, _, count)| format!("{name}{count}")).collect::<Vec<_>>();
            moments.push((on.clock().now())());
            expected.push(shown.join(" "));
            on.clock().advance(MINUTE);
        }
    }
    for store in [&store, &on.forgetful_store().await] {
        for (moment, expected) in moments.iter().zip(&expected).skip(1) {
            assert_eq!(&told(state(store, *moment).await), expected);
        }
        assert_eq!(state(store, moments[0] - jiff::SignedDuration::from_secs(1)).await, None, "nothing was there");
        assert_eq!(
            &told(state(store, (on.clock().now())() + jiff::SignedDuration::from_hours(1)).await),
            &expected[expected.len() - 1]
        );
    }
}

pub(crate) async fn a_quiet_time_after_the_floor_can_be_told(on: On) {
    let store = on.store().await;
    store.write(create("a", "1")).await.unwrap();
    store.write(create("b", "1")).await.unwrap();
    on.clock().advance(MINUTE);
    store.write(delete("b", 2, "1")).await.unwrap();
    let quiet = on.clock().advance(60 * MINUTE);
    on.clock().advance(10 * MINUTE);
    store.write(update("a", 1, "2")).await.unwrap();
    // The deletion and what it deleted are gone from the log; the quiet time is within the retention.
    let now = on.clock().advance(Duration::from_mins(24 * 60 - 20));
    assert!(store.compact(now).await.unwrap() > 0);
    assert!(store.history(&key("b"), 0, 10).await.unwrap().is_empty());
    assert_eq!(told(state(&store, quiet).await), "a1");
}

pub(crate) async fn a_moment_that_is_gone_is_told_with_the_oldest_that_is_there(on: On) {
    let store = on.store().await;
    let first = (on.clock().now())();
    assert_eq!(store.revision_at(ORDERS, first).await.unwrap(), Moment::TooOld { oldest: None });
    store.write(create("a", "1")).await.unwrap();
    on.clock().advance(MINUTE);
    store.write(update("a", 1, "2")).await.unwrap();
    on.clock().advance(2 * DAY);
    let now = on.clock().advance(MINUTE);
    store.write(update("a", 2, "3")).await.unwrap();
    store.compact(now).await.unwrap();
    let Moment::TooOld { oldest: Some(oldest) } = store.revision_at(ORDERS, first).await.unwrap() else {
        panic!("it is gone");
    };
    assert_eq!(told(state(&store, oldest).await), "a2");
    assert_eq!(told(state(&store, now).await), "a3");
}

pub(crate) async fn what_was_removed_for_its_size_is_not_told_wrongly(on: On) {
    let retention = Retention { bytes: 3, ..Retention::default() };
    let store = on.store_with(Options { retention, ..Options::default() }).await;
    let mut revision = store.write(create("a", "0")).await.unwrap().revision;
    store.write(create("b", "0")).await.unwrap();
    let mut moments = Vec::new();
    for body in 1..10 {
        let now = on.clock().advance(MINUTE);
        revision = store.write(update("a", revision, &body.to_string())).await.unwrap().revision;
        moments.push((now, format!("a{body} b0")));
    }
    let now = (on.clock().now())();
    assert!(store.compact(now).await.unwrap() > 0);
    let mut answered = 0;
    for (moment, expected) in &moments {
        if let Some(found) = state(&store, *moment).await {
            assert_eq!(&told(Some(found)), expected);
            answered += 1;
        }
    }
    assert!((1..moments.len()).contains(&answered), "{answered}");
}
