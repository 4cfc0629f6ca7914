//! Proofs, PINs, incidents, links and ratings, each on both databases.

use std::sync::Arc;

use dropmate_testing::Database;

use super::*;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Runs a suite on a SQLite file and on PostgreSQL.
async fn on_both(suite: impl AsyncFn(Ingest)) {
    let folder = tempfile::tempdir().unwrap();
    let ingest = Ingest::sqlite(&folder.path().join("ingest.db"), Arc::new(now)).await.unwrap();
    suite(ingest.clone()).await;
    ingest.close().await;
    let database = Database::create().await;
    Ingest::migrate_postgres(&database.url()).await.unwrap();
    let ingest = Ingest::postgres(&database.url(), Arc::new(now)).await.unwrap();
    suite(ingest.clone()).await;
    ingest.close().await;
}

fn proof(id: &str, driver: &str, client_event_id: &str, sent: u8) -> ProofRow {
    ProofRow {
        id: id.to_owned(),
        namespace: "acme".to_owned(),
        order_name: "o1".to_owned(),
        order_uid: "uid-1".to_owned(),
        driver: driver.to_owned(),
        type_: "photo".to_owned(),
        client_event_id: client_event_id.to_owned(),
        sent: vec![sent],
        media_type: "image/jpeg".to_owned(),
        bytes: 17,
        created_at: now().as_microsecond(),
    }
}

fn incident(id: &str, order_uid: &str, at: i64) -> Incident {
    Incident {
        id: id.to_owned(),
        namespace: "acme".to_owned(),
        order_name: if order_uid.is_empty() { String::new() } else { "o1".to_owned() },
        order_uid: order_uid.to_owned(),
        driver: "sam".to_owned(),
        category: "Damaged".to_owned(),
        note: "wet".to_owned(),
        photo_id: None,
        client_event_id: id.to_owned(),
        sent: vec![1],
        at,
        created_at: now().as_microsecond() + at,
        resolved_at: None,
        resolved_by: None,
    }
}

#[tokio::test]
async fn of_a_proof_that_is_sent_twice_the_first_is_kept() {
    on_both(async |ingest| {
        let installation = ingest.installation().await.unwrap();
        assert!(installation.len() == 32 && installation == ingest.installation().await.unwrap());
        let (one, two) = (proof("prf_1", "sam", "c", 1), proof("prf_2", "sam", "c", 2));
        assert_eq!(ingest.add_proof(&one).await.unwrap(), one);
        assert_eq!(ingest.add_proof(&two).await.unwrap(), one);
        assert_eq!(ingest.proof_sent("acme", "sam", "c").await.unwrap(), Some(one.clone()));
        assert_eq!(ingest.proof("acme", "prf_1").await.unwrap(), Some(one.clone()));
        assert_eq!(ingest.proof("bolt", "prf_1").await.unwrap(), None);
        ingest.add_proof(&proof("prf_3", "kim", "c", 1)).await.unwrap();
        assert_eq!(ingest.proofs_of("uid-1", 10).await.unwrap().len(), 2);
        assert_eq!(ingest.proofs_of("uid-1", 1).await.unwrap().len(), 1);
        let asked = ["prf_1", "prf_2", "prf_3"].map(str::to_owned);
        assert_eq!(ingest.proofs_named(&asked).await.unwrap(), ["prf_1", "prf_3"]);
        ingest.forget_namespace("bolt").await.unwrap();
        assert_eq!(ingest.proofs_of("uid-1", 10).await.unwrap().len(), 2);
        ingest.forget_namespace("acme").await.unwrap();
        assert_eq!(ingest.proofs_of("uid-1", 10).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn of_many_wrong_pins_at_once_five_are_looked_at_and_the_same_report_counts_once() {
    on_both(async |ingest| {
        assert_eq!(ingest.try_pin("uid-1", "c", "1", |_| Some(true)).await.unwrap(), PinTry::None);
        let held = ingest.put_pin("acme", "o1", "uid-1", b"sealed", false).await.unwrap();
        assert_eq!((&held.sealed[..], held.wrong), (&b"sealed"[..], 0));
        let other = ingest.put_pin("acme", "o1", "uid-1", b"other", false).await.unwrap();
        assert_eq!(other, held, "the first one stays");
        let unreadable = ingest.try_pin("uid-1", "c", "1", |_| None).await.unwrap();
        assert_eq!(unreadable, PinTry::Unreadable);
        for _ in 0..3 {
            let wrong = ingest.try_pin("uid-1", "c", "1", |sealed| Some(sealed == b"right")).await.unwrap();
            assert_eq!(wrong, PinTry::Wrong { left: 4 });
        }
        let tries = (0..20).map(|number| {
            let ingest = ingest.clone();
            async move { ingest.try_pin("uid-1", "d", &format!("{number}"), |_| Some(false)).await.unwrap() }
        });
        let mut left: Vec<i64> = futures::future::join_all(tries)
            .await
            .into_iter()
            .filter_map(|told| if let PinTry::Wrong { left } = told { Some(left) } else { None })
            .collect();
        left.sort_unstable();
        assert_eq!(left, [1, 2, 3]);
        let locked = ingest.try_pin("uid-1", "e", "right", |_| Some(true)).await.unwrap();
        assert!(matches!(locked, PinTry::Locked { .. }), "{locked:?}");
        assert_eq!(ingest.pin("uid-1").await.unwrap().unwrap().wrong, PIN_TRIES_MAX);
        ingest.put_pin("acme", "o1", "uid-1", b"anew", true).await.unwrap();
        let right = ingest.try_pin("uid-1", "e", "right", |sealed| Some(sealed == b"anew")).await.unwrap();
        assert_eq!(right, PinTry::Right);
        let wrong = ingest.try_pin("uid-1", "c", "1", |_| Some(false)).await.unwrap();
        assert_eq!(wrong, PinTry::Wrong { left: 4 }, "tries begin again");
    })
    .await;
}

#[tokio::test]
async fn an_incident_is_told_again_after_it_was_resolved() {
    on_both(async |ingest| {
        let (first, second) = (incident("inc_1", "uid-1", 1), incident("inc_2", "uid-1", 2));
        for incident in [&second, &first, &first] {
            ingest.add_incident(incident).await.unwrap();
        }
        ingest.add_incident(&incident("inc_3", "", 3)).await.unwrap();
        let ids = |list: Vec<Incident>| list.into_iter().map(|incident| incident.id).collect::<Vec<_>>();
        assert_eq!(ids(ingest.untold_incidents(10).await.unwrap()), ["inc_1", "inc_2"], "those of an order");
        assert_eq!(ingest.open_incident("uid-1").await.unwrap().unwrap().id, "inc_1", "the oldest");
        ingest.told_incident(&first).await.unwrap();
        assert_eq!(ids(ingest.untold_incidents(10).await.unwrap()), ["inc_2"]);
        let resolved = ingest.resolve_incident("acme", "inc_1", "ada").await.unwrap().unwrap();
        assert_eq!(resolved.resolved_by.as_deref(), Some("ada"));
        assert_eq!(ingest.resolve_incident("acme", "inc_1", "bob").await.unwrap().unwrap(), resolved);
        assert_eq!(ingest.resolve_incident("bolt", "inc_2", "bob").await.unwrap(), None);
        ingest.told_incident(&first).await.unwrap();
        assert_eq!(ids(ingest.untold_incidents(10).await.unwrap()), ["inc_1", "inc_2"], "it was told as open");
        ingest.told_incident(&resolved).await.unwrap();
        assert_eq!(ids(ingest.untold_incidents(10).await.unwrap()), ["inc_2"]);
        assert_eq!(ingest.open_incidents_by("acme", "sam").await.unwrap(), 2);
        ingest.resolve_category("uid-1", "Damaged", "ada").await.unwrap();
        assert_eq!(ingest.open_incident("uid-1").await.unwrap(), None);

        let all = IncidentFilter::default();
        let page = ingest.incidents("acme", &all, 2).await.unwrap();
        let last = page.last().cloned().unwrap();
        assert_eq!(ids(page), ["inc_3", "inc_2"]);
        let rest = IncidentFilter { before: Some((last.created_at, &last.id)), ..IncidentFilter::default() };
        assert_eq!(ids(ingest.incidents("acme", &rest, 2).await.unwrap()), ["inc_1"]);
        let open = IncidentFilter { open: Some(true), ..IncidentFilter::default() };
        assert_eq!(ids(ingest.incidents("acme", &open, 9).await.unwrap()), ["inc_3"]);
        let of_order = IncidentFilter { open: Some(false), order_name: Some("o1"), ..IncidentFilter::default() };
        assert_eq!(ids(ingest.incidents("acme", &of_order, 9).await.unwrap()), ["inc_2", "inc_1"]);
    })
    .await;
}

#[tokio::test]
async fn an_order_has_one_link_until_it_is_revoked_and_revocations_are_heard_of() {
    on_both(async |ingest| {
        let order = |uid: &str| LinkedOrder {
            namespace: "acme".to_owned(),
            order_name: "o1".to_owned(),
            order_uid: uid.to_owned(),
        };
        let link = |number: u8| SealedLink { hash: vec![number; 32], sealed: vec![number] };
        assert_eq!(ingest.link_of("uid-1").await.unwrap(), None);
        let made = (1..=10).map(|number| {
            let (ingest, order, link) = (ingest.clone(), order("uid-1"), link(number));
            async move { ingest.put_link(&order, &link).await.unwrap() }
        });
        let made = futures::future::join_all(made).await;
        assert!(made.windows(2).all(|pair| pair[0] == pair[1]), "of ten at once, one is kept: {made:?}");
        let kept = made[0].clone();
        assert_eq!(ingest.link_of("uid-1").await.unwrap(), Some(kept.clone()));
        assert_eq!(ingest.linked_order(&kept.hash).await.unwrap(), Some(order("uid-1")));
        assert_eq!(ingest.linked_order(&[99; 32]).await.unwrap(), None);
        let before = ingest.revocations().await.unwrap();
        assert_eq!(ingest.revoke_links("uid-1").await.unwrap(), std::slice::from_ref(&kept.hash));
        assert_eq!(ingest.revoke_links("uid-1").await.unwrap(), Vec::<Vec<u8>>::new());
        assert_ne!(ingest.revocations().await.unwrap(), before);
        assert_eq!(ingest.linked_order(&kept.hash).await.unwrap(), None);
        let next = ingest.put_link(&order("uid-1"), &link(20)).await.unwrap();
        assert_eq!((next.hash, ingest.linked_order(&[20; 32]).await.unwrap()), (vec![20; 32], Some(order("uid-1"))));
        ingest.forget_namespace("bolt").await.unwrap();
        assert!(ingest.link_of("uid-1").await.unwrap().is_some());
        ingest.forget_namespace("acme").await.unwrap();
        assert!(ingest.link_of("uid-1").await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_delivery_is_rated_once_and_ratings_are_read_page_by_page() {
    on_both(async |ingest| {
        let rating = |number: i64, stars: i64| Rating {
            order_uid: format!("uid-{number}"),
            namespace: "acme".to_owned(),
            order_name: format!("o{number}"),
            driver: if number % 2 == 0 { "sam" } else { "kim" }.to_owned(),
            stars,
            comment: "ÄÖ <b>\u{1F600}".to_owned(),
            created_at: now().as_microsecond() + number / 2,
        };
        for number in 0..5 {
            assert!(ingest.rate(&rating(number, 4)).await.unwrap());
            assert!(!ingest.rate(&rating(number, 1)).await.unwrap(), "the first one stays");
        }
        assert_eq!(ingest.rating_of("uid-3").await.unwrap(), Some(rating(3, 4)));
        assert_eq!(ingest.rating_of("uid-9").await.unwrap(), None);
        let first = ingest.ratings("acme", None, None, 3).await.unwrap();
        assert_eq!(first, [rating(4, 4), rating(3, 4), rating(2, 4)], "the newest first");
        let last = &first[2];
        let rest = ingest.ratings("acme", None, Some((last.created_at, &last.order_uid)), 3).await.unwrap();
        assert_eq!(rest, [rating(1, 4), rating(0, 4)]);
        assert_eq!(ingest.ratings("acme", Some("kim"), None, 9).await.unwrap(), [rating(3, 4), rating(1, 4)]);
        assert_eq!(ingest.ratings("bolt", None, None, 9).await.unwrap(), []);
    })
    .await;
}
