use std::{collections::BTreeSet, time::Duration};

use dropmate_store::{Access, Actor, AuditQuery, Expect, Options, Revision, Store, Write};

use super::On;
use crate::it::fixture::{ORDERS, create, delete, key, key_in, put, update};

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);

/// All that is found, page by page.
async fn found(store: &Store, query: &AuditQuery, limit: usize) -> Vec<Revision> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let piece = store.audited(query, before, limit).await.unwrap();
        assert!(piece.found.len() <= limit);
        all.extend(piece.found.iter().map(|(revision, _)| *revision));
        match piece.upto {
            Some((upto, _)) => before = Some(upto),
            None => return all,
        }
    }
}

fn by(user: &str, write: Write) -> Write {
    Write { actor: Actor { user: user.to_owned(), ..write.actor }, ..write }
}

fn everything() -> AuditQuery {
    AuditQuery::default()
}

pub(crate) async fn what_leaves_history_is_told_with_what_was_before_it(on: On) {
    let store = on.store().await;
    store.write(by("ada", create("a", "\"one\""))).await.unwrap();
    store.write(by("bob", update("a", 1, "\"two\""))).await.unwrap();
    store.write(by("cat", delete("a", 2, "\"three\""))).await.unwrap();
    store.write(create("b", "\"stays\"")).await.unwrap();
    let told = async |store: &Store| {
        let revisions = found(store, &everything(), 10).await;
        let entries = store.audit_entries(&revisions).await.unwrap();
        entries
            .iter()
            .map(|entry| {
                let before = entry.event.previous.as_ref().map(|previous| previous.body.to_string());
                (entry.event.revision, entry.actor.user.clone(), entry.event.object.body.to_string(), before)
            })
            .collect::<Vec<_>>()
    };
    let fresh = told(&store).await;
    let expected = [
        (4, "operator", "\"stays\"", None),
        (3, "cat", "\"three\"", Some("\"two\"")),
        (2, "bob", "\"two\"", Some("\"one\"")),
        (1, "ada", "\"one\"", None),
    ];
    let expected = expected
        .map(|(revision, user, body, before)| (revision, user.to_owned(), body.to_owned(), before.map(str::to_owned)));
    assert_eq!(fresh, expected);

    let now = on.clock().advance(2 * DAY);
    assert_eq!(store.compact(now).await.unwrap(), 3);
    assert!(store.history(&key("a"), 0, 10).await.unwrap().is_empty(), "it has left the log");
    assert_eq!(told(&store).await, expected);
    store.close().await;
    assert_eq!(told(&on.store_after_close().await).await, expected);
}

pub(crate) async fn what_is_written_every_few_seconds_is_not_kept(on: On) {
    let store = on.store().await;
    let lease = || key_in("leases.coordination.k8s.io", "dropmate-system", "dispatch");
    let made = store.write(put(lease(), Expect::Absent, "0")).await.unwrap();
    store.write(put(lease(), Expect::Revision(made.revision), "1")).await.unwrap();
    let now = on.clock().advance(DAY);
    assert_eq!(store.compact(now).await.unwrap(), 1);
    assert_eq!(found(&store, &everything(), 10).await, [2], "only what is current is left");
    let without = AuditQuery { without: vec![lease().resource], ..everything() };
    assert!(found(&store, &without, 10).await.is_empty());
    let named = AuditQuery { resource: Some(lease().resource), ..without };
    assert_eq!(found(&store, &named, 10).await, [2]);
}

pub(crate) async fn the_audit_forgets_after_its_time_what_has_ended(on: On) {
    let store = on.store().await;
    store.write(create("a", "1")).await.unwrap();
    on.clock().advance(60 * DAY);
    store.write(update("a", 1, "2")).await.unwrap();
    let now = on.clock().advance(2 * DAY);
    store.compact(now).await.unwrap();
    // The first state is 120 days old and was current until 60 days ago: the change from it is told with the difference.
    let now = on.clock().advance(58 * DAY);
    store.compact(now).await.unwrap();
    assert_eq!(found(&store, &everything(), 10).await, [2, 1]);
    let entries = store.audit_entries(&[2]).await.unwrap();
    assert_eq!(&*entries[0].event.previous.as_ref().unwrap().body, "1");
    let now = on.clock().advance(31 * DAY);
    store.compact(now).await.unwrap();
    assert_eq!(found(&store, &everything(), 10).await, [2], "what is current is known however old it is");
}

/// Forty changes by three users in two namespaces, a minute apart; the first twenty are compacted.
async fn forty_changes(on: &On, store: &Store) -> Vec<(Revision, String, String, String)> {
    let mut told = Vec::new();
    let mut at = std::collections::BTreeMap::new();
    for number in 0..40_usize {
        let (user, namespace) = (["ada", "bob", "cat"][number % 3], ["north", "south"][number % 2]);
        let name = ["a", "b"][number / 2 % 2];
        let key = key_in(ORDERS, namespace, name);
        let expect = at.get(&key).map_or(Expect::Absent, |revision| Expect::Revision(*revision));
        let object = store.write(by(user, put(key.clone(), expect, &number.to_string()))).await.unwrap();
        at.insert(key, object.revision);
        told.push((object.revision, user.to_owned(), namespace.to_owned(), name.to_owned()));
        if number == 19 {
            let now = on.clock().advance(2 * DAY);
            assert_eq!(store.compact(now).await.unwrap(), 16);
        }
        on.clock().advance(MINUTE);
    }
    told.reverse();
    told
}

pub(crate) async fn changes_are_found_by_object_actor_namespace_and_time(on: On) {
    let store = on.store().await;
    let begun = on.clock().advance(MINUTE);
    let told = forty_changes(&on, &store).await;
    let some = |text: &str| Some(text.to_owned());
    for user in [None, some("bob"), some("nobody")] {
        for namespace in [None, some("north"), some("elsewhere")] {
            for name in [None, some("b")] {
                for resource in [None, some(ORDERS)] {
                    let query = AuditQuery {
                        actor: user.clone(),
                        namespace: namespace.clone(),
                        name: name.clone(),
                        resource,
                        ..everything()
                    };
                    let is = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|text| text == found);
                    let expected: Vec<_> = told
                        .iter()
                        .filter(|(_, by, within, named)| is(&user, by) && is(&namespace, within) && is(&name, named))
                        .map(|(revision, ..)| *revision)
                        .collect();
                    assert_eq!(found(&store, &query, 7).await, expected, "{query:?}");
                }
            }
        }
    }
    // The sixth to the tenth were written in minutes 5 to 9.
    let minute = |n: i64| begun.checked_add(jiff::SignedDuration::from_mins(n)).unwrap();
    let query = AuditQuery { from: Some(minute(5)), to: Some(minute(10)), ..everything() };
    let of_time: Vec<_> = told.iter().rev().skip(5).take(5).rev().map(|(revision, ..)| *revision).collect();
    assert_eq!(found(&store, &query, 2).await, of_time);
}

pub(crate) async fn a_long_search_comes_in_pieces_and_misses_nothing(on: On) {
    let store = on.store_with(Options { audit_look: 5, ..Options::default() }).await;
    let told = forty_changes(&on, &store).await;
    for (query, name) in [
        (AuditQuery { actor: Some("cat".to_owned()), ..everything() }, "an actor"),
        (
            AuditQuery { actor: Some("cat".to_owned()), namespace: Some("north".to_owned()), ..everything() },
            "a namespace",
        ),
        (
            AuditQuery {
                name: Some("a".to_owned()),
                namespace: Some("south".to_owned()),
                resource: Some(ORDERS.to_owned()),
                ..everything()
            },
            "an object",
        ),
    ] {
        let is = |wanted: &Option<String>, found: &String| wanted.as_ref().is_none_or(|text| text == found);
        let expected: Vec<_> = told
            .iter()
            .filter(|(_, by, within, named)| {
                is(&query.actor, by) && is(&query.namespace, within) && is(&query.name, named)
            })
            .map(|(revision, ..)| *revision)
            .collect();
        assert_eq!(found(&store, &query, 3).await, expected, "{name}");
    }
    let piece =
        store.audited(&AuditQuery { actor: Some("nobody".to_owned()), ..everything() }, None, 10).await.unwrap();
    assert!(piece.found.is_empty() && piece.upto.is_some(), "it ends early and says where");
}

pub(crate) async fn requests_are_noted_and_found_and_forgotten(on: On) {
    let store = on.store_with(Options { audit_look: 4, ..Options::default() }).await;
    let access = |number: usize| Access {
        at: (on.clock().now())(),
        actor: ["ada", "bob"][number % 2].to_owned(),
        address: "192.0.2.1".to_owned(),
        client: "curl".to_owned(),
        request_id: format!("r{number}"),
        verb: "get".to_owned(),
        resource: ORDERS.to_owned(),
        namespace: ["north", "south"][number / 2 % 2].to_owned(),
        name: format!("o{number}"),
        outcome: "denied".to_owned(),
        code: 403,
        count: number as u64 + 1,
    };
    for number in 0..20 {
        store.note_accesses(&[access(number)]).await.unwrap();
        on.clock().advance(DAY);
    }
    let ids = async |query: AuditQuery| {
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let piece = store.accesses(&query, before, 3).await.unwrap();
            all.extend(piece.found.into_iter().map(|(_, access)| access.request_id));
            match piece.upto {
                Some((upto, _)) => before = Some(upto),
                None => return all,
            }
        }
    };
    let all = ids(everything()).await;
    assert_eq!(all, (0..20).rev().map(|number| format!("r{number}")).collect::<Vec<_>>());
    let of_bob = ids(AuditQuery { actor: Some("bob".to_owned()), ..everything() }).await;
    assert_eq!(of_bob.len(), 10);
    let in_south = ids(AuditQuery { namespace: Some("south".to_owned()), ..everything() }).await;
    assert_eq!(BTreeSet::from_iter(in_south).len(), 10);
    let one = ids(AuditQuery { name: Some("o7".to_owned()), ..everything() }).await;
    assert_eq!(one, ["r7"]);
    let piece = store.accesses(&everything(), None, 1).await.unwrap();
    assert_eq!(Access { at: piece.found[0].1.at, ..access(19) }, piece.found[0].1, "it is told whole");

    let now = on.clock().advance(75 * DAY);
    store.compact(now).await.unwrap();
    assert_eq!(ids(everything()).await.len(), 15, "the first five are older than 90 days");
}
