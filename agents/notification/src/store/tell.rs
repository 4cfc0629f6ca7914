//! What has ended and is still to be told: in conditions, events and counts.

use std::collections::BTreeMap;

use dropmate_sql::{reading, writing};
use sqlx::AssertSqlSafe;

use super::{Store, list};

/// Messages of an order that are looked at: what was said last is among them.
const OUTCOMES_MAX: i64 = 60;

/// A message that has ended.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Ended {
    /// Its number.
    pub seq: i64,
    /// Its namespace.
    pub namespace: String,
    /// The order it is about.
    pub order_name: String,
    /// The order's uid.
    pub order_uid: String,
    /// The event's type.
    pub event: String,
    /// The policy that the rule stands in.
    pub policy: String,
    /// Who was told.
    pub audience: String,
    /// How.
    pub channel: String,
    /// `sent`, `dead` or `suppressed`.
    pub state: String,
    /// Why, if it was not sent.
    pub reason: String,
    /// When (microseconds).
    pub finished_at: i64,
}

/// An attempt at an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Tried {
    /// The message.
    pub message: i64,
    /// The attempt.
    pub number: i64,
    /// The namespace.
    pub namespace: String,
    /// The Webhook's name.
    pub recipient: String,
    /// `webhook/UID`.
    pub queue: String,
    /// When it ended (microseconds).
    pub finished_at: i64,
    /// `sent`, `again`, `in_doubt`, `refused`, `gone`.
    pub outcome: String,
    /// What the endpoint said.
    pub answer: String,
}

/// What became of a message to a recipient.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Outcome {
    /// The revision that brought the event.
    pub revision: i64,
    /// The event's id.
    pub event_id: String,
    /// The event's type.
    pub event: String,
    /// How.
    pub channel: String,
    /// `planned`, `sending`, `sent`, `dead`, `suppressed`.
    pub state: String,
    /// Why, if it was not sent.
    pub reason: String,
}

/// What became of a policy's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by a provider.
    pub sent: i64,
    /// Given up.
    pub failed: i64,
}

impl Store {
    /// Messages that have ended and are not told, the oldest first.
    pub async fn untold(&self, most: u32) -> Result<Vec<Ended>, sqlx::Error> {
        reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT seq, namespace, order_name, order_uid, event, policy, audience, channel, state, reason, finished_at \
                 FROM messages WHERE told = 1 ORDER BY seq LIMIT $1",
            )
            .bind(i64::from(most))
            .fetch_all(connection)
            .await)
    }

    /// They are told now; each counts once.
    pub async fn told(&self, ended: &[Ended]) -> Result<(), sqlx::Error> {
        if ended.is_empty() {
            return Ok(());
        }
        let mark = format!(
            "UPDATE messages SET told = 2 WHERE told = 1 AND seq IN ({}) RETURNING namespace, policy, state",
            list(1, ended.len())
        );
        writing!(self.db(), connection => {
            let mut statement = sqlx::query_as(AssertSqlSafe(mark.clone())).persistent(false);
            for one in ended {
                statement = statement.bind(one.seq);
            }
            let marked: Vec<(String, String, String)> = statement.fetch_all(&mut *connection).await?;
            let mut counts: BTreeMap<(String, String), Counts> = BTreeMap::new();
            for (namespace, policy, state) in marked {
                if policy.is_empty() {
                    continue;
                }
                let counts = counts.entry((namespace, policy)).or_default();
                match state.as_str() {
                    "sent" => counts.sent += 1,
                    "dead" => counts.failed += 1,
                    _ => {}
                }
            }
            for ((namespace, policy), counts) in &counts {
                sqlx::query(
                    "INSERT INTO tallies (namespace, policy, sent, failed) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (namespace, policy) DO UPDATE \
                     SET sent = tallies.sent + excluded.sent, failed = tallies.failed + excluded.failed",
                )
                .bind(namespace)
                .bind(policy)
                .bind(counts.sent)
                .bind(counts.failed)
                .execute(&mut *connection)
                .await?;
            }
            Ok(())
        })
    }

    /// What became of the newest messages to the recipient of an order, the newest first.
    pub async fn outcomes(&self, namespace: &str, order: &str, uid: &str) -> Result<Vec<Outcome>, sqlx::Error> {
        reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT revision, event_id, event, channel, state, reason FROM messages \
                 WHERE namespace = $1 AND order_name = $2 AND order_uid = $3 AND audience = 'recipient' \
                 ORDER BY seq DESC LIMIT $4",
            )
            .bind(namespace)
            .bind(order)
            .bind(uid)
            .bind(OUTCOMES_MAX)
            .fetch_all(connection)
            .await)
    }

    /// What became of the messages of each policy, by namespace and name.
    pub async fn tallies(&self) -> Result<BTreeMap<(String, String), Counts>, sqlx::Error> {
        let rows: Vec<(String, String, i64, i64)> = reading!(self.db(), connection =>
            sqlx::query_as("SELECT namespace, policy, sent, failed FROM tallies").fetch_all(connection).await)?;
        Ok(rows
            .into_iter()
            .map(|(namespace, policy, sent, failed)| ((namespace, policy), Counts { sent, failed }))
            .collect())
    }

    /// Attempts at endpoints of which their statuses have not heard, the oldest messages first.
    pub async fn untold_attempts(&self, most: u32) -> Result<Vec<Tried>, sqlx::Error> {
        reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT a.message, a.number, m.namespace, m.recipient, m.queue, a.finished_at, a.outcome, a.answer \
                 FROM attempts a JOIN messages m ON m.seq = a.message WHERE a.untold = 1 ORDER BY a.message, a.number LIMIT $1",
            )
            .bind(i64::from(most))
            .fetch_all(connection)
            .await)
    }

    /// The statuses have heard of these.
    pub async fn told_attempts(&self, tried: &[Tried]) -> Result<(), sqlx::Error> {
        writing!(self.db(), connection => {
            for one in tried {
                sqlx::query("UPDATE attempts SET untold = 0 WHERE message = $1 AND number = $2")
                    .bind(one.message)
                    .bind(one.number)
                    .execute(&mut *connection)
                    .await?;
            }
            Ok(())
        })
    }
}
