//! Stores on both databases, and messages to keep in them.

use std::time::Duration;

use dropmate_notification::{
    channel::Channel,
    draft::{Birth, Content, Draft},
    store::{Feed, Mark, Stale, Store, Taken},
};
use dropmate_testing::Database;
use jiff::Timestamp;

/// A store, with what it stands on.
pub(crate) struct Kept {
    pub(crate) store: Store,
    pub(crate) folder: Option<tempfile::TempDir>,
    pub(crate) database: Option<Database>,
}

pub(crate) async fn sqlite() -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::sqlite(&folder.path().join("notification.db")).await.unwrap();
    Kept { store, folder: Some(folder), database: None }
}

pub(crate) async fn postgres() -> Kept {
    let database = Database::create().await;
    Store::migrate_postgres(&database.url()).await.unwrap();
    let store = Store::postgres(&database.url()).await.unwrap();
    Kept { store, folder: None, database: Some(database) }
}

pub(crate) async fn both() -> [Kept; 2] {
    [sqlite().await, postgres().await]
}

impl Kept {
    /// The same storage as another process has it.
    pub(crate) async fn another(&self) -> Store {
        match (&self.folder, &self.database) {
            (Some(folder), _) => Store::sqlite(&folder.path().join("notification.db")).await.unwrap(),
            (_, Some(database)) => Store::postgres(&database.url()).await.unwrap(),
            _ => unreachable!("it stands on one of them"),
        }
    }
}

pub(crate) fn noon() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

pub(crate) fn at(seconds: i64) -> Timestamp {
    noon() + jiff::SignedDuration::from_secs(seconds)
}

/// A message to Ada of an event at that revision, over e-mail.
pub(crate) fn draft(revision: i64, event: &str) -> Draft {
    Draft {
        key: format!("evt_e_{revision}_0/recipient/email/ada@example.org/{event}"),
        namespace: "acme".to_owned(),
        order: "o-1".to_owned(),
        uid: "uid-1".to_owned(),
        event: event.to_owned(),
        event_id: format!("evt_e_{revision}_0"),
        revision,
        rule: "rule".to_owned(),
        policy: "policy".to_owned(),
        audience: "recipient",
        channel: Channel::Email,
        to: "ada@example.org".to_owned(),
        locale: "en".to_owned(),
        http: String::new(),
        queue: "email".to_owned(),
        lane: "uid-1/email/ada@example.org".to_owned(),
        class: event.to_owned(),
        content: Content {
            subject: Some("Your parcel".to_owned()),
            text: format!("It is {event}."),
            ..Content::default()
        },
        mail: String::new(),
        birth: Birth::Planned,
        not_before: noon(),
        quiet: String::new(),
        life: Duration::from_hours(24),
        quotas: Vec::new(),
    }
}

/// A delivery of an event to an endpoint.
pub(crate) fn delivery(revision: i64, endpoint: &str, object: &str) -> Draft {
    Draft {
        key: format!("evt_e_{revision}_0/webhook/{endpoint}"),
        audience: "webhook",
        channel: Channel::Webhook,
        to: endpoint.to_owned(),
        queue: format!("webhook/{endpoint}"),
        lane: format!("{endpoint}/{object}"),
        class: String::new(),
        policy: String::new(),
        content: Content { payload: Some(format!("{{\"revision\":{revision}}}")), ..Content::default() },
        ..draft(revision, "order.updated")
    }
}

/// Plans these messages after what is planned.
pub(crate) async fn plan(store: &Store, drafts: &[Draft], stale: &[Stale]) {
    let from = store.progress(Feed::Events).await.unwrap();
    let position = drafts.iter().map(|draft| draft.revision).max().unwrap_or(0).max(from.position + 1);
    let to = Mark { epoch: "e".to_owned(), position };
    let taken = store.take(Feed::Events, (&from, &to), drafts, stale, noon()).await.unwrap();
    assert_eq!(taken, Taken::Planned(drafts.len() as u64));
}
