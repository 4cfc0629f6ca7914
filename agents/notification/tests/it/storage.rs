//! The storage, on SQLite and on PostgreSQL.

use std::time::Duration;

use dropmate_notification::{
    draft::{Birth, Draft, Quota},
    store::{Claimed, End, Feed, Finished, Mark, Stale, Store, Taken, Which},
};
use jiff::{SignedDuration, Timestamp};

use super::kept::{Kept, at, both, delivery, draft, noon, plan, postgres};

async fn claim(store: &Store, me: &str, now: Timestamp) -> Vec<Claimed> {
    store.claim(&[("email".to_owned(), 100)], me, now).await.unwrap().messages
}

fn ended(message: &Claimed, now: Timestamp, end: End) -> Finished {
    Finished {
        seq: message.seq,
        number: message.attempts,
        lane: (message.lane.clone(), message.not_before),
        endpoint: message.channel == "webhook",
        at: now,
        provider: "scripted".to_owned(),
        end,
    }
}

fn sent() -> End {
    End::Sent { provider_id: "P1".to_owned(), answer: "250 ok".to_owned() }
}

fn again(due_at: Timestamp) -> End {
    End::Again { outcome: "again", answer: "451 later".to_owned(), due_at }
}

fn events(messages: &[Claimed]) -> Vec<&str> {
    messages.iter().map(|message| message.event.as_str()).collect()
}

async fn states(store: &Store) -> Vec<(String, String, String)> {
    let which = Which { namespace: "acme".to_owned(), limit: 500, ..Which::default() };
    let mut listed = store.messages(&which).await.unwrap().messages;
    listed.reverse();
    listed.into_iter().map(|view| (view.event, view.state, view.reason)).collect()
}

#[tokio::test]
async fn a_piece_of_a_feed_is_planned_once_whoever_brings_it() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let never = store.progress(Feed::Events).await.unwrap();
        assert_eq!(never, Mark { epoch: String::new(), position: -1 });
        let to = Mark { epoch: "e".to_owned(), position: 7 };
        let piece: Vec<Draft> = (1..=7).map(|revision| draft(revision, "order.assigned")).collect();
        let take =
            async |from: &Mark, to: &Mark| store.take(Feed::Events, (from, to), &piece, &[], noon()).await.unwrap();
        assert_eq!(take(&never, &to).await, Taken::Planned(7));
        // A leader that lost its lease comes with the same piece.
        assert_eq!(take(&never, &to).await, Taken::Elsewhere);
        assert_eq!(store.progress(Feed::Events).await.unwrap(), to);
        assert_eq!(store.progress(Feed::Mails).await.unwrap().position, -1, "the feeds do not know one another");
        // Planned anew, a message is the same and stays as it is.
        let again = Mark { epoch: "e".to_owned(), position: 9 };
        assert_eq!(take(&to, &again).await, Taken::Planned(0));
        assert_eq!(states(&store).await.len(), 7);
        store.close().await;
    }
}

#[tokio::test]
async fn of_a_lane_only_the_first_goes_and_the_rest_follows_it() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        plan(&store, &[draft(1, "order.assigned"), draft(2, "order.delivered")], &[]).await;
        let first = claim(&store, "a", at(1)).await;
        assert_eq!(events(&first), ["order.assigned"]);
        assert!(claim(&store, "b", at(1)).await.is_empty(), "the lane is under way");
        // It is tried again in a minute; what follows does not overtake it, and nobody looks at it in vain.
        store.finish("a", &[ended(&first[0], at(2), again(at(60)))]).await.unwrap();
        assert!(claim(&store, "b", at(30)).await.is_empty());
        assert_eq!(store.queues().await.unwrap()[0].due_at, at(60));
        let second_try = claim(&store, "b", at(60)).await;
        assert_eq!((events(&second_try), second_try[0].attempts), (vec!["order.assigned"], 2));
        store.finish("b", &[ended(&second_try[0], at(61), sent())]).await.unwrap();
        let next = claim(&store, "a", at(61)).await;
        assert_eq!(events(&next), ["order.delivered"], "at once, though it had been put off");
        store.close().await;
    }
}

#[tokio::test]
async fn a_delayed_message_holds_up_nobody_who_goes_before_it() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let delayed = Draft { not_before: at(600), ..draft(1, "order.ready") };
        plan(&store, &[delayed, draft(2, "order.delivered")], &[]).await;
        let first = claim(&store, "a", at(1)).await;
        assert_eq!(events(&first), ["order.delivered"]);
        store.finish("a", &[ended(&first[0], at(2), sent())]).await.unwrap();
        assert!(claim(&store, "a", at(599)).await.is_empty(), "not before its time, whoever ended");
        assert_eq!(events(&claim(&store, "a", at(600)).await), ["order.ready"]);
        store.close().await;
    }
}

#[tokio::test]
async fn what_a_dead_sender_began_is_in_doubt_and_sent_again_under_the_same_id() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        plan(&store, &[draft(1, "order.delivered")], &[]).await;
        store.beat("a", at(15)).await.unwrap();
        let first = claim(&store, "a", at(1)).await;
        assert_eq!(store.take_over(at(14)).await.unwrap(), 0, "it lives");
        assert_eq!(store.take_over(at(15)).await.unwrap(), 1);
        let second = claim(&store, "b", at(15)).await;
        assert_eq!((&second[0].id, second[0].attempts), (&first[0].id, 2));
        // The dead was only slow, and says now that it was sent: too late, another is at it.
        store.finish("a", &[ended(&first[0], at(16), sent())]).await.unwrap();
        assert_eq!(states(&store).await[0].1, "sending");
        store.finish("b", &[ended(&second[0], at(17), sent())]).await.unwrap();
        let full = store.message("acme", &first[0].id).await.unwrap().unwrap();
        let outcomes: Vec<&str> = full.tried.iter().map(|tried| tried.outcome.as_str()).collect();
        assert_eq!(outcomes, ["sent", "sent"], "both attempts say what became of them in the end");
        assert_eq!(full.view.state, "sent");
        store.close().await;
    }
}

#[tokio::test]
async fn a_sender_that_was_slow_still_says_what_it_did_if_nobody_has_begun_again() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        plan(&store, &[draft(1, "order.delivered")], &[]).await;
        let first = claim(&store, "a", at(1)).await;
        assert_eq!(store.take_over(at(30)).await.unwrap(), 1);
        store.finish("a", &[ended(&first[0], at(31), sent())]).await.unwrap();
        assert_eq!(states(&store).await[0].1, "sent");
        assert!(claim(&store, "b", at(32)).await.is_empty(), "it is not sent twice");
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_old_superseded_unwanted_or_expired_is_not_sent() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let other = |revision, event: &str, to: &str| Draft {
            key: format!("{revision}/{to}"),
            to: to.to_owned(),
            lane: format!("uid-1/email/{to}"),
            ..draft(revision, event)
        };
        let brief = Draft { life: Duration::from_secs(5), ..other(3, "order.arriving", "eve@example.org") };
        let stale = |class, revision, by: &str| Stale { uid: "uid-1".to_owned(), class, revision, by: by.to_owned() };
        plan(
            &store,
            &[
                other(1, "order.assigned", "ada@example.org"),
                other(2, "order.delayed", "bob@example.org"),
                brief,
                other(4, "order.delivered", "ada@example.org"),
                other(5, "order.delayed", "bob@example.org"),
            ],
            &[stale("order.assigned", 4, "order.delivered"), stale("order.delayed", 5, "order.delayed")],
        )
        .await;
        assert!(claim(&store, "a", at(10)).await.iter().all(|message| message.event == "order.delayed"));
        let row = |event: &str, state: &str, reason: &str| (event.to_owned(), state.to_owned(), reason.to_owned());
        // What was behind the suppressed in its lane goes next.
        let delivered = claim(&store, "a", at(10)).await;
        assert_eq!(events(&delivered), ["order.delivered", "order.delayed"][..delivered.len()].to_vec());
        let mut all = states(&store).await;
        all.truncate(3);
        assert_eq!(
            all,
            [
                row("order.assigned", "suppressed", "stale"),
                row("order.delayed", "suppressed", "superseded"),
                row("order.arriving", "suppressed", "expired"),
            ]
        );
        // Ada wants nothing more.
        let message = delivered.iter().find(|message| message.event == "order.delivered").unwrap();
        let opted_out = Some(("acme".to_owned(), "email".to_owned(), "ada@example.org".to_owned()));
        let end = End::Dead { outcome: "refused", reason: "optedOut", answer: "21610".to_owned(), opted_out };
        store.finish("a", &[ended(message, at(11), end)]).await.unwrap();
        plan(&store, &[other(6, "order.returned", "ada@example.org")], &[]).await;
        assert!(claim(&store, "a", at(12)).await.iter().all(|message| message.recipient != "ada@example.org"));
        assert_eq!(states(&store).await.last().unwrap(), &row("order.returned", "suppressed", "optedOut"));
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_old_ends_at_once_and_holds_nobody_up() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        plan(&store, &[draft(1, "order.arriving")], &[]).await;
        let first = claim(&store, "a", at(1)).await;
        store.finish("a", &[ended(&first[0], at(2), again(at(3600)))]).await.unwrap();
        let stale =
            Stale { uid: "uid-1".to_owned(), class: "order.arriving", revision: 2, by: "order.delivered".to_owned() };
        plan(&store, &[draft(2, "order.delivered")], &[stale]).await;
        assert!(claim(&store, "a", at(3)).await.is_empty(), "the old one ends first");
        assert_eq!(events(&claim(&store, "a", at(3)).await), ["order.delivered"], "and not in an hour");
        store.close().await;
    }
}

#[tokio::test]
async fn hostile_names_and_words_are_kept_and_hold_nobody_up() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let to = format!("a\0{}@example.org", "x".repeat(6_000));
        let hostile = Draft {
            key: format!("k/{to}"),
            lane: format!("uid-1/email/{to}"),
            quotas: vec![Quota { key: format!("recipient/{to}"), burst: 1, every: Duration::from_secs(1) }],
            content: dropmate_notification::draft::Content {
                subject: Some("a\0b".to_owned()),
                text: "c\0d".to_owned(),
                html: Some("e\0f".to_owned()),
                payload: Some("g\0h".to_owned()),
                ..Default::default()
            },
            to,
            ..draft(1, "order.ready")
        };
        plan(&store, &[hostile, draft(2, "order.delivered")], &[]).await;
        let claimed = claim(&store, "a", at(1)).await;
        assert_eq!(events(&claimed), ["order.ready", "order.delivered"]);
        assert_eq!((claimed[0].subject.as_deref(), claimed[0].text.as_str()), (Some("ab"), "cd"));
        let end = End::Sent { provider_id: "SM\0\n1".to_owned(), answer: "250\0\r\nok".to_owned() };
        store.finish("a", &[ended(&claimed[0], at(2), end)]).await.unwrap();
        let full = store.message("acme", &claimed[0].id).await.unwrap().unwrap();
        assert_eq!((full.view.provider_id.as_str(), full.view.answer.as_str()), ("SM  1", "250   ok"));
        let shown = serde_json::to_string(&full).unwrap();
        assert_eq!(shown.matches("\"attempts\"").count(), 1, "once, as the list: {shown}");
        store.close().await;
    }
}

#[tokio::test]
async fn limits_delay_and_drop_nothing() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let quota = Quota { key: "recipient/acme/email/ada".to_owned(), burst: 2, every: Duration::from_mins(2) };
        let limited = |revision| Draft {
            lane: format!("lane-{revision}"),
            quotas: vec![quota.clone()],
            ..draft(revision, "order.updated")
        };
        plan(&store, &[limited(1), limited(2), limited(3)], &[]).await;
        // What was remembered counts for the next piece as well.
        plan(&store, &[limited(4)], &[]).await;
        assert_eq!(claim(&store, "a", at(1)).await.len(), 2);
        assert_eq!(claim(&store, "a", at(119)).await.len(), 0);
        assert_eq!(claim(&store, "a", at(120)).await.len(), 1);
        assert_eq!(claim(&store, "a", at(240)).await.len(), 1);
        store.close().await;
    }
}

#[tokio::test]
async fn the_dead_are_sent_again_on_command_and_only_they() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let second = Draft { lane: "other".to_owned(), ..draft(2, "order.delivered") };
        let broken = Draft {
            birth: Birth::Dead("template", "line 3".to_owned()),
            lane: "third".to_owned(),
            ..draft(3, "order.ready")
        };
        plan(&store, &[draft(1, "order.assigned"), second, broken], &[]).await;
        let claimed = claim(&store, "a", at(1)).await;
        let dead = || End::Dead { outcome: "refused", reason: "refused", answer: "550".to_owned(), opted_out: None };
        store.finish("a", &[ended(&claimed[0], at(2), dead()), ended(&claimed[1], at(2), sent())]).await.unwrap();
        assert!(!store.retry("acme", &claimed[1].id, at(3)).await.unwrap(), "what was sent is not sent again");
        assert!(!store.retry("bolt", &claimed[0].id, at(3)).await.unwrap(), "nor what is another's");
        assert!(store.retry("acme", &claimed[0].id, at(3)).await.unwrap());
        let again = claim(&store, "a", at(3)).await;
        assert_eq!((again[0].attempts, again[0].stage, &again[0].id), (2, 1, &claimed[0].id), "the waits begin anew");
        store.finish("a", &[ended(&again[0], at(4), dead())]).await.unwrap();
        assert_eq!(store.retry_dead("acme", Some("sms"), noon(), at(5)).await.unwrap(), 0);
        assert_eq!(store.retry_dead("acme", Some("email"), at(1), at(5)).await.unwrap(), 0, "planned before");
        assert_eq!(store.retry_dead("acme", None, noon(), at(5)).await.unwrap(), 2);
        store.close().await;
    }
}

#[tokio::test]
async fn an_endpoint_gets_a_span_of_time_again() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let suppressed = Draft { birth: Birth::Suppressed("disabled"), ..delivery(3, "w", "o-3") };
        plan(&store, &[delivery(1, "w", "o-1"), delivery(2, "w", "o-2"), suppressed, delivery(4, "v", "o-1")], &[])
            .await;
        let queue = ("webhook/w".to_owned(), 100);
        let claimed = store.claim(std::slice::from_ref(&queue), "a", at(1)).await.unwrap().messages;
        assert_eq!(claimed.len(), 2);
        store.finish("a", &[ended(&claimed[0], at(2), sent()), ended(&claimed[1], at(2), sent())]).await.unwrap();
        let tried = store.untold_attempts(100).await.unwrap();
        assert_eq!(tried.iter().map(|one| one.outcome.as_str()).collect::<Vec<_>>(), ["sent", "sent"]);
        store.told_attempts(&tried).await.unwrap();
        assert!(store.untold_attempts(100).await.unwrap().is_empty());
        assert_eq!(store.replay("webhook/w", noon(), at(1), true, at(3)).await.unwrap(), 1, "what it did not get");
        assert_eq!(store.replay("webhook/w", noon(), noon(), false, at(3)).await.unwrap(), 0, "half open");
        assert_eq!(store.replay("webhook/w", noon(), at(1), false, at(3)).await.unwrap(), 2);
        let again = store.claim(&[queue], "a", at(3)).await.unwrap().messages;
        assert_eq!(again.len(), 3);
        assert!(again.iter().any(|message| message.id == claimed[0].id && message.payload == claimed[0].payload));
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_planned_behind_one_that_waits_is_not_looked_at_before_it() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        plan(&store, &[draft(1, "order.assigned")], &[]).await;
        let head = claim(&store, "a", at(1)).await;
        store.finish("a", &[ended(&head[0], at(2), again(at(600)))]).await.unwrap();
        plan(&store, &[draft(2, "order.delivered")], &[]).await;
        assert_eq!(store.queues().await.unwrap()[0].due_at, at(600));
        let head = claim(&store, "a", at(600)).await;
        store.finish("a", &[ended(&head[0], at(601), sent())]).await.unwrap();
        assert_eq!(events(&claim(&store, "a", at(601)).await), ["order.delivered"]);
        store.close().await;
    }
}

#[tokio::test]
async fn nobody_asked_is_no_attempt() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        plan(&store, &[draft(1, "order.delivered")], &[]).await;
        let first = claim(&store, "a", at(1)).await;
        let deferred = End::Deferred { answer: "the secret is missing".to_owned(), until: at(60) };
        store.finish("a", &[ended(&first[0], at(2), deferred)]).await.unwrap();
        let full = store.message("acme", &first[0].id).await.unwrap().unwrap();
        assert!(full.tried.is_empty());
        assert_eq!((full.view.attempts, full.view.answer.as_str()), (0, "the secret is missing"));
        let next = claim(&store, "a", at(60)).await;
        assert_eq!((next[0].attempts, next[0].stage), (2, 1), "its number is not used again");
        // The first end is written once more, by who did not hear that it was written.
        let deferred = End::Deferred { answer: "the secret is missing".to_owned(), until: at(60) };
        store.finish("a", &[ended(&first[0], at(2), deferred)]).await.unwrap();
        let full = store.message("acme", &first[0].id).await.unwrap().unwrap();
        assert_eq!((full.view.state.as_str(), full.tried.len()), ("sending", 1), "what is under way stays so");
        store.close().await;
    }
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_put_back_and_what_is_under_way_is_not() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let second = Draft { lane: "other".to_owned(), ..draft(2, "order.delivered") };
        plan(&store, &[draft(1, "order.assigned"), second], &[]).await;
        let claimed = claim(&store, "a", at(1)).await;
        assert_eq!(store.put_back("b", &[], at(2)).await.unwrap(), 0, "they are another's");
        assert_eq!(store.put_back("a", &[claimed[0].seq], at(2)).await.unwrap(), 1);
        let again = claim(&store, "b", at(2)).await;
        assert_eq!((again.len(), again[0].seq, again[0].stage), (1, claimed[1].seq, 1), "it was no attempt");
        store.close().await;
    }
}

#[tokio::test]
async fn what_has_ended_is_told_and_counted_once() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let second = Draft { lane: "other".to_owned(), ..draft(2, "order.delivered") };
        plan(&store, &[draft(1, "order.assigned"), second], &[]).await;
        assert!(store.untold(10).await.unwrap().is_empty());
        let claimed = claim(&store, "a", at(1)).await;
        let dead = End::Dead { outcome: "refused", reason: "refused", answer: "550".to_owned(), opted_out: None };
        store.finish("a", &[ended(&claimed[0], at(2), dead), ended(&claimed[1], at(2), sent())]).await.unwrap();
        let untold = store.untold(10).await.unwrap();
        assert_eq!(untold.len(), 2);
        store.told(&untold).await.unwrap();
        store.told(&untold).await.unwrap();
        assert!(store.untold(10).await.unwrap().is_empty());
        let counts = store.tallies().await.unwrap()[&("acme".to_owned(), "policy".to_owned())];
        assert_eq!((counts.sent, counts.failed), (1, 1));
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_old_goes_and_what_still_waits_stays() {
    for Kept { store, folder: _folder, database: _database } in both().await {
        let waiting = Draft { lane: "other".to_owned(), queue: "sms".to_owned(), ..draft(2, "order.delivered") };
        plan(&store, &[draft(1, "order.assigned"), waiting], &[]).await;
        let claimed = claim(&store, "a", at(1)).await;
        store.finish("a", &[ended(&claimed[0], at(2), sent())]).await.unwrap();
        let days = |days: i64| noon() + SignedDuration::from_hours(24 * days);
        assert_eq!(store.tidy(days(29)).await.unwrap(), 0);
        store.tidy(days(31)).await.unwrap();
        let full = store.message("acme", &claimed[0].id).await.unwrap().unwrap();
        assert_eq!((full.text.as_str(), full.subject, full.tried.len()), ("", None, 1), "it is known that it was");
        store.tidy(days(91)).await.unwrap();
        assert_eq!(states(&store).await.len(), 1, "what still waits stays");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_senders_share_and_nothing_is_claimed_twice() {
    let kept = postgres().await;
    let drafts: Vec<Draft> = (1..=300)
        .map(|revision| Draft { lane: format!("lane-{}", revision % 100), ..draft(revision, "order.updated") })
        .collect();
    plan(&kept.store, &drafts, &[]).await;
    let mut senders = Vec::new();
    for me in 0..4 {
        let store = kept.another().await;
        senders.push(tokio::spawn(async move {
            let me = format!("sender-{me}");
            let mut ids = Vec::new();
            for round in 0..200 {
                let claims = store.claim(&[("email".to_owned(), 7)], &me, at(round)).await.unwrap().messages;
                let done: Vec<Finished> = claims.iter().map(|message| ended(message, at(round), sent())).collect();
                store.finish(&me, &done).await.unwrap();
                ids.extend(claims.into_iter().map(|message| (message.lane, message.seq)));
            }
            store.close().await;
            ids
        }));
    }
    let mut all = Vec::new();
    let mut shares = Vec::new();
    for sender in senders {
        let ids = sender.await.unwrap();
        shares.push(ids.len());
        all.extend(ids);
    }
    all.sort();
    let before = all.len();
    all.dedup();
    assert_eq!((before, all.len()), (300, 300), "each once");
    assert!(shares.iter().filter(|share| **share > 0).count() > 1, "they did share: {shares:?}");
    kept.store.close().await;
}
