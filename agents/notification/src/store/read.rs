//! What people ask for: messages with their state, one with all its attempts, and the dead sent again.

use std::{fmt::Write, time::Duration};

use dropmate_sql::{reading, writing};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sqlx::AssertSqlSafe;

use super::{Store, cut, if_any, take::after, timestamp};

/// Messages in one answer at most.
const LISTED_MAX: u32 = 500;

/// A message that was replayed is worth sending for so long at least: whoever asks for it waits for it.
const REPLAYED_FOR: Duration = Duration::from_hours(24);

/// Attempts in one answer: with the longest schedule a message has some dozens in its life.
const ATTEMPTS_MAX: i64 = 500;

/// What is known of a message, without what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// `msg_…`.
    pub id: String,
    /// Its number: newer messages have higher ones.
    pub seq: i64,
    /// Its namespace.
    #[serde(skip)]
    pub namespace: String,
    /// The order it is about.
    #[serde(rename = "order", skip_serializing_if = "String::is_empty")]
    pub order_name: String,
    /// The order's uid.
    #[serde(rename = "uid", skip_serializing_if = "String::is_empty")]
    pub order_uid: String,
    /// The event's type.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// The rule that asks for it.
    pub rule: String,
    /// The policy that the rule stands in; none: built in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// Who is told.
    pub audience: String,
    /// How.
    pub channel: String,
    /// The address.
    #[serde(rename = "to")]
    pub recipient: String,
    /// The locale.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub locale: String,
    /// `planned`, `sending`, `sent`, `dead`, `suppressed`.
    pub state: String,
    /// Why it was not sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Attempts so far.
    pub attempts: i64,
    /// When it is due, while it waits.
    #[serde(serialize_with = "moment", skip_serializing_if = "is_zero")]
    pub due_at: i64,
    /// When it was planned.
    #[serde(serialize_with = "moment")]
    pub created_at: i64,
    /// When it ended.
    #[serde(serialize_with = "moment", skip_serializing_if = "is_zero")]
    pub finished_at: i64,
    /// Who was asked last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// The provider's name for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider_id: String,
    /// What the provider said last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub answer: String,
}

/// A message with what it says and what was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// What is known of it.
    pub view: View,
    /// Its subject, with marks.
    pub subject: Option<String>,
    /// Its text, with marks; empty once it was cut.
    pub text: String,
    /// Its HTML, with marks.
    pub html: Option<String>,
    /// The body of its request.
    pub payload: Option<String>,
    /// Every attempt.
    pub tried: Vec<Attempted>,
}

impl Serialize for Full {
    /// The view with the words, and instead of the number of attempts all of them.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = serde_json::to_value(&self.view).map_err(serde::ser::Error::custom)?;
        for (name, words) in [("subject", &self.subject), ("html", &self.html), ("payload", &self.payload)] {
            if let Some(words) = words {
                shown[name] = words.as_str().into();
            }
        }
        shown["text"] = self.text.as_str().into();
        shown["attempts"] = serde_json::to_value(&self.tried).map_err(serde::ser::Error::custom)?;
        shown.serialize(serializer)
    }
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
#[serde(rename_all = "camelCase")]
pub struct Attempted {
    /// From 1.
    pub number: i64,
    /// Who was asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// When it began.
    #[serde(serialize_with = "moment")]
    pub started_at: i64,
    /// When it ended; absent while it is under way.
    #[serde(serialize_with = "moment", skip_serializing_if = "is_zero")]
    pub finished_at: i64,
    /// `sent`, `again`, `in_doubt`, `refused`, `gone`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// What was said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub answer: String,
}

/// Which messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    /// Of that namespace.
    pub namespace: String,
    /// About the order of that name.
    pub order: Option<String>,
    /// About the order of that uid.
    pub uid: Option<String>,
    /// In that state.
    pub state: Option<String>,
    /// Over that channel.
    pub channel: Option<String>,
    /// With lower numbers than that.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// A page of messages, the newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Them.
    pub messages: Vec<View>,
    /// Where to go on (`before`), if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

const VIEW: &str = "id, seq, namespace, order_name, order_uid, event, rule, policy, audience, channel, recipient, locale, state, \
     reason, (SELECT count(*) FROM attempts a WHERE a.message = messages.seq) AS attempts, CASE WHEN state = 'planned' THEN due_at ELSE 0 END AS due_at, created_at, finished_at, provider, \
     provider_id, answer";

/// Messages that are planned anew in one transaction: all of them may take longer than one may.
const PIECE: usize = 1_000;

/// Plans the next messages of a kind anew: those after number `$last`.
fn again(which: &str, last: usize) -> String {
    format!(
        "UPDATE messages SET state = 'planned', reason = '', stage = 0, due_at = $1, expires_at = $2, finished_at = 0, told = 0 \
         WHERE seq IN (SELECT seq FROM messages WHERE {which} AND seq > ${last} ORDER BY seq LIMIT {PIECE}) RETURNING seq"
    )
}

type Said = (Option<String>, String, Option<String>, Option<String>);

impl Store {
    /// Messages of a namespace, the newest first.
    pub async fn messages(&self, which: &Which) -> Result<Listed, sqlx::Error> {
        let limit = which.limit.clamp(1, LISTED_MAX);
        let mut select = format!("SELECT {VIEW} FROM messages WHERE namespace = $1 AND seq < $2");
        let mut texts = Vec::new();
        for (column, value) in [
            ("order_name", &which.order),
            ("order_uid", &which.uid),
            ("state", &which.state),
            ("channel", &which.channel),
        ] {
            if let Some(value) = value {
                texts.push(value.as_str());
                // Writing into a string cannot fail.
                let _ = write!(select, " AND {column} = ${}", texts.len() + 3);
            }
        }
        select.push_str(" ORDER BY seq DESC LIMIT $3");
        let messages: Vec<View> = reading!(self.db(), connection => {
            let mut statement = sqlx::query_as(AssertSqlSafe(select.clone()))
                .bind(&which.namespace)
                .bind(which.before.unwrap_or(i64::MAX))
                .bind(i64::from(limit));
            for text in &texts {
                statement = statement.bind(*text);
            }
            statement.fetch_all(connection).await
        })?;
        let next = messages.last().map(|last| last.seq).filter(|_| messages.len() == limit as usize);
        Ok(Listed { messages, next })
    }

    /// One message with what it says and every attempt.
    pub async fn message(&self, namespace: &str, id: &str) -> Result<Option<Full>, sqlx::Error> {
        let select = format!("SELECT {VIEW} FROM messages WHERE namespace = $1 AND id = $2");
        let found: Option<(View, Said, Vec<Attempted>)> = reading!(self.db(), connection => {
            let view: Option<View> = sqlx::query_as(AssertSqlSafe(select.clone()))
                .bind(namespace)
                .bind(id)
                .fetch_optional(&mut *connection)
                .await?;
            let Some(view) = view else { return Ok(None) };
            let said: Said = sqlx::query_as("SELECT subject, text, html, payload FROM messages WHERE seq = $1")
                .bind(view.seq)
                .fetch_one(&mut *connection)
                .await?;
            let tried: Vec<Attempted> = sqlx::query_as(
                "SELECT number, provider, started_at, finished_at, outcome, answer FROM attempts \
                 WHERE message = $1 ORDER BY number LIMIT $2",
            )
            .bind(view.seq)
            .bind(ATTEMPTS_MAX)
            .fetch_all(&mut *connection)
            .await?;
            Ok(Some((view, said, tried)))
        })?;
        Ok(found.map(|(view, (subject, text, html, payload), tried)| Full {
            view,
            subject,
            text,
            html,
            payload,
            tried,
        }))
    }

    /// Sends a message again that was given up. Whether it was.
    pub async fn retry(&self, namespace: &str, id: &str, now: Timestamp) -> Result<bool, sqlx::Error> {
        let now = now.as_microsecond();
        writing!(self.db(), connection => {
            let done = sqlx::query(
                "UPDATE messages SET state = 'planned', reason = '', stage = 0, due_at = $1, expires_at = $2, finished_at = 0, told = 0 \
                 WHERE namespace = $3 AND id = $4 AND state = 'dead' AND (text <> '' OR payload IS NOT NULL)",
            )
            .bind(now)
            .bind(after(now, REPLAYED_FOR))
            .bind(namespace)
            .bind(id)
            .execute(&mut *connection)
            .await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// Sends everything again that was given up and planned since then. Returns how many.
    pub async fn retry_dead(
        &self,
        namespace: &str,
        channel: Option<&str>,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        let which = "namespace = $3 AND state = 'dead' AND created_at >= $4 AND ($5 = '' OR channel = $5) \
                     AND (text <> '' OR payload IS NOT NULL)";
        let now = now.as_microsecond();
        let (mut done, mut last) = (0, 0);
        loop {
            let piece: Vec<i64> = writing!(self.db(), connection =>
                sqlx::query_scalar(AssertSqlSafe(again(which, 6)))
                    .bind(now)
                    .bind(after(now, REPLAYED_FOR))
                    .bind(namespace)
                    .bind(since.as_microsecond())
                    .bind(channel.unwrap_or_default())
                    .bind(last)
                    .fetch_all(&mut *connection)
                    .await)?;
            let Some(newest) = piece.iter().max() else { return Ok(done) };
            (done, last) = (done + piece.len() as u64, *newest);
        }
    }

    /// Sends everything again that an endpoint (`webhook/UID`) was to have between two moments, or only what it did not
    /// get. Each keeps its id and its turn. Returns how many.
    pub async fn replay(
        &self,
        queue: &str,
        since: Timestamp,
        until: Timestamp,
        failed_only: bool,
        now: Timestamp,
    ) -> Result<u64, sqlx::Error> {
        let which = "queue = $3 AND channel = 'webhook' AND created_at >= $4 AND created_at < $5 \
                     AND (state IN ('dead', 'suppressed') OR ($6 = 0 AND state = 'sent')) AND payload IS NOT NULL";
        let now = now.as_microsecond();
        let (mut done, mut last) = (0, 0);
        loop {
            let piece: Vec<i64> = writing!(self.db(), connection =>
                sqlx::query_scalar(AssertSqlSafe(again(which, 7)))
                    .bind(now)
                    .bind(after(now, REPLAYED_FOR))
                    .bind(queue)
                    .bind(since.as_microsecond())
                    .bind(until.as_microsecond())
                    .bind(i64::from(failed_only))
                    .bind(last)
                    .fetch_all(&mut *connection)
                    .await)?;
            let Some(newest) = piece.iter().max() else { return Ok(done) };
            (done, last) = (done + piece.len() as u64, *newest);
        }
    }

    /// What the provider said later of a message that it had taken: it came, or (`Some`) it did not, perhaps since the
    /// recipient wants nothing more. The same again changes nothing.
    pub async fn reported(
        &self,
        view: &View,
        undelivered: Option<bool>,
        answer: &str,
        now: Timestamp,
    ) -> Result<(), sqlx::Error> {
        let (answer, now) = (cut(answer, 500), now.as_microsecond());
        let update = if undelivered.is_some() {
            "UPDATE messages SET answer = $1, state = 'dead', reason = 'undelivered', finished_at = $2, told = 1 \
             WHERE namespace = $3 AND id = $4 AND state = 'sent'"
        } else {
            "UPDATE messages SET answer = $1, finished_at = CASE WHEN finished_at = 0 THEN $2 ELSE finished_at END \
             WHERE namespace = $3 AND id = $4 AND state = 'sent'"
        };
        writing!(self.db(), connection => {
            sqlx::query(update)
                .bind(answer)
                .bind(now)
                .bind(&view.namespace)
                .bind(&view.id)
                .execute(&mut *connection)
                .await?;
            if undelivered == Some(true) {
                sqlx::query(
                    "INSERT INTO opt_outs (namespace, channel, recipient, since) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (namespace, channel, recipient) DO NOTHING",
                )
                .bind(&view.namespace)
                .bind(&view.channel)
                .bind(&view.recipient)
                .bind(now)
                .execute(&mut *connection)
                .await?;
            }
            Ok(())
        })
    }

    /// How many messages wait or are being sent, and since when the oldest of them is due.
    pub async fn backlog(&self) -> Result<(i64, Option<Timestamp>), sqlx::Error> {
        let (waiting, due): (i64, Option<i64>) = reading!(self.db(), connection =>
            sqlx::query_as("SELECT count(*), min(due_at) FROM messages WHERE state IN ('planned', 'sending')")
                .fetch_one(connection)
                .await)?;
        Ok((waiting, due.and_then(if_any)))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn moment<S: Serializer>(microseconds: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&timestamp(*microseconds))
}
