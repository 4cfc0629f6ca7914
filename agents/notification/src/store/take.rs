//! Intent before sending: what was planned from a piece of a feed is written in one transaction with how far it goes.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dropmate_sql::{reading, writing};
use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::{Store, list, places};
use crate::draft::{Birth, Draft, id};

/// Rows in one statement: with [`COLUMNS`] values each far below what the databases take.
const ROWS_AT_ONCE: usize = 200;

/// The longest name that is kept as it is.
const NAME_MAX: usize = 400;

/// Values of a message when it is planned.
const COLUMNS: usize = 37;

/// A feed of the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Domain events, by revision.
    Events,
    /// Mails of identity, by number.
    Mails,
}

/// How far a feed is planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The history that the position is a number of.
    pub epoch: String,
    /// Everything up to there is planned; -1: never read.
    pub position: i64,
}

/// What an event makes old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// Of which order.
    pub uid: String,
    /// Which messages.
    pub class: &'static str,
    /// Those of earlier revisions.
    pub revision: i64,
    /// The event's type.
    pub by: String,
}

/// What became of a piece of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is planned: so many messages are new.
    Planned(u64),
    /// Another process has been there: look how far it is.
    Elsewhere,
}

impl Feed {
    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Mails => "mails",
        }
    }
}

impl Store {
    /// How far a feed is planned.
    pub async fn progress(&self, feed: Feed) -> Result<Mark, sqlx::Error> {
        let (epoch, position) = reading!(self.db(), connection =>
            sqlx::query_as("SELECT epoch, position FROM progress WHERE feed = $1")
                .bind(feed.name())
                .fetch_one(connection)
                .await)?;
        Ok(Mark { epoch, position })
    }

    /// Takes in what was planned from a feed between two marks, with what it makes old. A message that is there already
    /// stays as it is.
    pub async fn take(
        &self,
        feed: Feed,
        (from, to): (&Mark, &Mark),
        drafts: &[Draft],
        stale: &[Stale],
        now: Timestamp,
    ) -> Result<Taken, sqlx::Error> {
        let now = now.as_microsecond();
        let keys: BTreeSet<Cow<'_, str>> =
            drafts.iter().flat_map(|draft| draft.quotas.iter().map(|quota| short(&quota.key))).collect();
        let keys: Vec<Cow<'_, str>> = keys.into_iter().collect();
        let lanes: BTreeSet<Cow<'_, str>> = drafts.iter().map(|draft| short(&draft.lane)).collect();
        let lanes: Vec<Cow<'_, str>> = lanes.into_iter().collect();
        let made_old: BTreeSet<&str> = stale.iter().map(|stale| stale.uid.as_str()).collect();
        writing!(self.db(), connection => {
            let moved = sqlx::query("UPDATE progress SET epoch = $1, position = $2 WHERE feed = $3 AND epoch = $4 AND position = $5")
                .bind(&to.epoch)
                .bind(to.position)
                .bind(feed.name())
                .bind(&from.epoch)
                .bind(from.position)
                .execute(&mut *connection)
                .await?;
            if moved.rows_affected() == 0 {
                return Ok(Taken::Elsewhere);
            }
            for rows in stale.chunks(ROWS_AT_ONCE) {
                let upsert = format!(
                    "INSERT INTO staleness (order_uid, class, revision, by_event, at) VALUES {} \
                     ON CONFLICT (order_uid, class) DO UPDATE \
                     SET revision = excluded.revision, by_event = excluded.by_event, at = excluded.at \
                     WHERE excluded.revision > staleness.revision",
                    places(rows.len(), 5)
                );
                let mut statement = sqlx::query(AssertSqlSafe(upsert)).persistent(false);
                for row in rows {
                    statement = statement.bind(&row.uid).bind(row.class).bind(row.revision).bind(&row.by).bind(now);
                }
                statement.execute(&mut *connection).await?;
            }
            // What is old by now ends at once, whatever it waited for, and lets go what waits behind it.
            for uid in &made_old {
                sqlx::query(
                    "UPDATE messages SET due_at = $1 WHERE order_uid = $2 AND state = 'planned' AND due_at > $1 AND EXISTS ( \
                     SELECT 1 FROM staleness s WHERE s.order_uid = messages.order_uid AND s.class = messages.class \
                     AND s.revision > messages.revision)",
                )
                .bind(now)
                .bind(*uid)
                .execute(&mut *connection)
                .await?;
            }
            let mut next_at: BTreeMap<String, i64> = BTreeMap::new();
            for keys in keys.chunks(ROWS_AT_ONCE) {
                let select = format!("SELECT key, next_at FROM quotas WHERE key IN ({})", list(1, keys.len()));
                let mut statement = sqlx::query_as(AssertSqlSafe(select)).persistent(false);
                for key in keys {
                    statement = statement.bind(key.as_ref());
                }
                let held: Vec<(String, i64)> = statement.fetch_all(&mut *connection).await?;
                next_at.extend(held);
            }
            let rows = admitted(drafts, now, &mut next_at);
            let mut planned = 0;
            for rows in rows.chunks(ROWS_AT_ONCE) {
                let insert = format!(
                    "INSERT INTO messages (id, key, namespace, order_name, order_uid, event, event_id, revision, rule, policy, \
                     audience, channel, recipient, locale, http, queue, lane, class, subject, text, html, payload, mail, \
                     wants_link, wants_pin, state, reason, not_before, quiet, due_at, expires_at, created_at, finished_at, answer, \
                     told, provider, claimed_by, attempts, stage, provider_id) \
                     VALUES {} ON CONFLICT (id) DO NOTHING",
                    values(rows.len())
                );
                let mut statement = sqlx::query(AssertSqlSafe(insert)).persistent(rows.len() == ROWS_AT_ONCE);
                for (draft, times) in rows {
                    let (begins, reason, answer) = match &draft.birth {
                        Birth::Planned => ("planned", "", ""),
                        Birth::Suppressed(reason) => ("suppressed", *reason, ""),
                        Birth::Dead(reason, answer) => ("dead", *reason, answer.as_str()),
                    };
                    let over = draft.birth != Birth::Planned;
                    statement = statement
                        .bind(draft.id())
                        .bind(text(&draft.key))
                        .bind(&draft.namespace)
                        .bind(&draft.order)
                        .bind(&draft.uid)
                        .bind(&draft.event)
                        .bind(&draft.event_id)
                        .bind(draft.revision)
                        .bind(&draft.rule)
                        .bind(&draft.policy)
                        .bind(draft.audience)
                        .bind(draft.channel.name())
                        .bind(text(&draft.to))
                        .bind(&draft.locale)
                        .bind(&draft.http)
                        .bind(&draft.queue)
                        .bind(short(&draft.lane))
                        .bind(&draft.class)
                        .bind(draft.content.subject.as_deref().map(text))
                        .bind(text(&draft.content.text))
                        .bind(draft.content.html.as_deref().map(text))
                        .bind(draft.content.payload.as_deref().map(text))
                        .bind(&draft.mail)
                        .bind(i64::from(draft.content.wants_link))
                        .bind(i64::from(draft.content.wants_pin))
                        .bind(begins)
                        .bind(reason)
                        .bind(times.not_before)
                        .bind(&draft.quiet)
                        .bind(times.not_before)
                        .bind(times.expires_at)
                        .bind(now)
                        .bind(if over { now } else { 0 })
                        .bind(text(answer))
                        .bind(i64::from(over))
                        .bind("")
                        .bind("");
                }
                planned += statement.execute(&mut *connection).await?.rows_affected();
            }
            for lanes in lanes.chunks(ROWS_AT_ONCE) {
                let wait = format!("{WAIT_BEHIND} AND lane IN ({})", list(1, lanes.len()));
                let mut statement = sqlx::query(AssertSqlSafe(wait)).persistent(false);
                for lane in lanes {
                    statement = statement.bind(lane.as_ref());
                }
                statement.execute(&mut *connection).await?;
            }
            let remembered: Vec<(&String, &i64)> = next_at.iter().collect();
            for rows in remembered.chunks(ROWS_AT_ONCE) {
                let upsert = format!(
                    "INSERT INTO quotas (key, next_at) VALUES {} ON CONFLICT (key) DO UPDATE SET next_at = excluded.next_at",
                    places(rows.len(), 2)
                );
                let mut statement = sqlx::query(AssertSqlSafe(upsert)).persistent(false);
                for (key, next_at) in rows {
                    statement = statement.bind(key.as_str()).bind(**next_at);
                }
                statement.execute(&mut *connection).await?;
            }
            Ok(Taken::Planned(planned))
        })
    }
}

/// What is planned behind one that was tried in vain waits with it: else it is looked at again and again meanwhile.
const WAIT_BEHIND: &str = "UPDATE messages SET due_at = ( \
         SELECT max(h.due_at) FROM messages h WHERE h.lane = messages.lane AND h.state = 'planned' AND h.attempts > 0) \
     WHERE state = 'planned' AND attempts = 0 AND EXISTS ( \
         SELECT 1 FROM messages h WHERE h.lane = messages.lane AND h.state = 'planned' AND h.attempts > 0 \
         AND h.due_at > messages.due_at \
         AND (h.not_before < messages.not_before OR (h.not_before = messages.not_before AND h.seq < messages.seq)))";

/// When a message goes, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    not_before: i64,
    expires_at: i64,
}

/// Gives each message its turn within its limits.
fn admitted<'a>(drafts: &'a [Draft], now: i64, next_at: &mut BTreeMap<String, i64>) -> Vec<(&'a Draft, Times)> {
    let mut rows = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let mut at = draft.not_before.as_microsecond().max(now);
        if draft.birth == Birth::Planned {
            for quota in &draft.quotas {
                let key = short(&quota.key).into_owned();
                let (admitted, remembered) = quota.admit(next_at.get(&key).copied(), at);
                next_at.insert(key, remembered);
                at = admitted;
            }
        }
        rows.push((draft, Times { not_before: at, expires_at: after(at, draft.life) }));
    }
    rows
}

pub(super) fn after(at: i64, wait: Duration) -> i64 {
    at.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

/// Text as both databases take it: PostgreSQL knows no NUL.
fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}

/// A name that stands in an index, which takes no more than some kilobytes: a long one is known by its digest.
fn short(name: &str) -> Cow<'_, str> {
    let name = text(name);
    if name.len() <= NAME_MAX { name } else { id(&name).into() }
}

/// Places for so many messages; what every new one starts with stands as it is.
fn values(rows: usize) -> String {
    let rows: Vec<String> = (0..rows).map(|row| format!("({}, 0, 0, '')", list(row * COLUMNS + 1, COLUMNS))).collect();
    rows.join(", ")
}
