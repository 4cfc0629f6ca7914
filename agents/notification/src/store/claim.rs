//! Who sends what: claims on messages that are due, and what the dead leave behind.

use dropmate_sql::{Db, reading, writing};
use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::{Store, list, places};

/// Messages that one transaction claims: a few hundred kilobytes of content.
const CLAIMED_AT_ONCE: usize = 128;

/// Messages of dead senders that one transaction takes back.
const TAKEN_BACK_AT_ONCE: i64 = 500;

/// What is said of an attempt whose sender ended.
const UNKNOWN: &str = "the sender ended before it could say what became of it";

/// Messages that wait for the same provider or endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// When the first of them is due.
    pub due_at: Timestamp,
}

/// A message that is this process's to send now; its attempt has begun.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Claimed {
    /// Its number.
    pub seq: i64,
    /// `msg_…`.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// The order it is about.
    pub order_name: String,
    /// The order's uid.
    pub order_uid: String,
    /// The event's type.
    pub event: String,
    /// The rule that asks for it.
    pub rule: String,
    /// The policy that the rule stands in.
    pub policy: String,
    /// Who is told.
    pub audience: String,
    /// How it goes out.
    pub channel: String,
    /// The address.
    pub recipient: String,
    /// The locale.
    pub locale: String,
    /// Which of the policy's `channels.http`.
    pub http: String,
    /// Where it waited.
    pub queue: String,
    /// What is sent one after the other.
    pub lane: String,
    /// The subject.
    pub subject: Option<String>,
    /// Plain text.
    pub text: String,
    /// HTML.
    pub html: Option<String>,
    /// The body of a request.
    pub payload: Option<String>,
    /// The mail of identity that it is.
    pub mail: String,
    /// 1 if a link goes in.
    pub wants_link: i64,
    /// 1 if the PIN goes in.
    pub wants_pin: i64,
    /// Attempts, this one included.
    pub attempts: i64,
    /// Of them those since it was planned or replayed.
    pub stage: i64,
    /// Its turn in its lane (microseconds).
    pub not_before: i64,
    /// When nobody wants to hear of it.
    pub quiet: String,
    /// When it is no longer worth sending (microseconds).
    pub expires_at: i64,
    /// When it was planned (microseconds).
    pub created_at: i64,
    /// The event that made it old, if one did.
    stale_by: Option<String>,
    /// Since when the recipient wants nothing more.
    opted_out: Option<i64>,
}

/// What came of claiming.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// To be sent.
    pub messages: Vec<Claimed>,
    /// Not worth sending any more, by reason.
    pub suppressed: Vec<&'static str>,
}

impl Claimed {
    /// Why it is not to be sent, if so.
    fn in_vain(&self, now: i64) -> Option<&'static str> {
        if let Some(by) = &self.stale_by {
            return Some(if *by == self.event { "superseded" } else { "stale" });
        }
        if self.opted_out.is_some() {
            return Some("optedOut");
        }
        (self.expires_at <= now).then_some("expired")
    }
}

impl Store {
    /// The queues in which something waits, each with when its first message is due.
    pub async fn queues(&self) -> Result<Vec<Queue>, sqlx::Error> {
        // From queue to queue by the index, however much waits in each.
        let rows: Vec<(String, i64)> = reading!(self.db(), connection =>
            sqlx::query_as(
                "WITH RECURSIVE q(name) AS ( \
                     SELECT min(queue) FROM messages WHERE state = 'planned' \
                     UNION ALL \
                     SELECT (SELECT min(m.queue) FROM messages m WHERE m.state = 'planned' AND m.queue > q.name) \
                     FROM q WHERE q.name IS NOT NULL \
                 ) \
                 SELECT name, due_at FROM ( \
                     SELECT q.name AS name, (SELECT min(m.due_at) FROM messages m WHERE m.state = 'planned' AND m.queue = q.name) AS due_at \
                     FROM q WHERE q.name IS NOT NULL \
                 ) AS found WHERE due_at IS NOT NULL",
            )
            .fetch_all(connection)
            .await)?;
        Ok(rows.into_iter().map(|(name, due_at)| Queue { name, due_at: super::timestamp(due_at) }).collect())
    }

    /// Takes messages that are due, from each queue at most so many, of each lane only the first. Their attempts begin with
    /// that. What is old, unwanted or expired ends here.
    pub async fn claim(&self, queues: &[(String, usize)], me: &str, now: Timestamp) -> Result<Claims, sqlx::Error> {
        let now = now.as_microsecond();
        let lock = if matches!(self.db(), Db::Postgres(_)) { "FOR UPDATE OF m SKIP LOCKED" } else { "" };
        let select = format!(
            "SELECT m.seq, m.id, m.namespace, m.order_name, m.order_uid, m.event, m.rule, m.policy, m.audience, m.channel, m.recipient, \
             m.locale, m.http, m.queue, m.lane, m.subject, m.text, m.html, m.payload, m.mail, m.wants_link, m.wants_pin, \
             m.attempts + 1 AS attempts, m.stage + 1 AS stage, m.not_before, m.quiet, m.expires_at, m.created_at, \
             s.by_event AS stale_by, o.since AS opted_out \
             FROM messages m \
             LEFT JOIN staleness s ON m.class <> '' AND s.order_uid = m.order_uid AND s.class = m.class AND s.revision > m.revision \
             LEFT JOIN opt_outs o ON o.namespace = m.namespace AND o.channel = m.channel AND o.recipient = m.recipient \
             WHERE m.queue = $1 AND m.state = 'planned' AND m.due_at <= $2 AND NOT EXISTS ( \
                 SELECT 1 FROM messages b WHERE b.lane = m.lane AND b.state IN ('planned', 'sending') \
                 AND (b.not_before < m.not_before OR (b.not_before = m.not_before AND b.seq < m.seq))) \
             ORDER BY m.due_at, m.seq LIMIT $3 {lock}"
        );
        writing!(self.db(), connection => {
            let mut claims = Claims::default();
            let mut room = CLAIMED_AT_ONCE;
            for (queue, most) in queues {
                let most = (*most).min(room);
                if most == 0 {
                    continue;
                }
                let found: Vec<Claimed> = sqlx::query_as(AssertSqlSafe(select.clone()))
                    .bind(queue)
                    .bind(now)
                    .bind(most as i64)
                    .fetch_all(&mut *connection)
                    .await?;
                room -= found.len();
                for message in found {
                    let Some(reason) = message.in_vain(now) else {
                        claims.messages.push(message);
                        continue;
                    };
                    sqlx::query(
                        "UPDATE messages SET state = 'suppressed', reason = $1, finished_at = $2, told = 1 WHERE seq = $3",
                    )
                    .bind(reason)
                    .bind(now)
                    .bind(message.seq)
                    .execute(&mut *connection)
                    .await?;
                    sqlx::query(super::finish::RELEASE)
                        .bind(now)
                        .bind(&message.lane)
                        .execute(&mut *connection)
                        .await?;
                    claims.suppressed.push(reason);
                }
            }
            if claims.messages.is_empty() {
                return Ok(claims);
            }
            let mark = format!(
                "UPDATE messages SET state = 'sending', claimed_by = $1, attempts = attempts + 1, stage = stage + 1 WHERE seq IN ({})",
                list(2, claims.messages.len())
            );
            let mut statement = sqlx::query(AssertSqlSafe(mark)).persistent(false).bind(me);
            for message in &claims.messages {
                statement = statement.bind(message.seq);
            }
            statement.execute(&mut *connection).await?;
            let begin = format!(
                "INSERT INTO attempts (message, number, sender, provider, started_at, finished_at, outcome, answer, untold) VALUES {}",
                places(claims.messages.len(), 9)
            );
            let mut statement = sqlx::query(AssertSqlSafe(begin)).persistent(false);
            for message in &claims.messages {
                statement = statement
                    .bind(message.seq)
                    .bind(message.attempts)
                    .bind(me)
                    .bind("")
                    .bind(now)
                    .bind(0_i64)
                    .bind("")
                    .bind("")
                    .bind(0_i64);
            }
            statement.execute(&mut *connection).await?;
            Ok(claims)
        })
    }

    /// This sender lives, and what it has begun is its own until then.
    pub async fn beat(&self, me: &str, until: Timestamp) -> Result<(), sqlx::Error> {
        writing!(self.db(), connection => {
            sqlx::query(
                "INSERT INTO senders (name, alive_until) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET alive_until = excluded.alive_until",
            )
            .bind(me)
            .bind(until.as_microsecond())
            .execute(&mut *connection)
            .await?;
            Ok(())
        })
    }

    /// Nothing is begun by this sender any more: what it left can be taken at once.
    pub async fn leave(&self, me: &str) -> Result<(), sqlx::Error> {
        writing!(self.db(), connection => {
            sqlx::query("DELETE FROM senders WHERE name = $1").bind(me).execute(&mut *connection).await?;
            Ok(())
        })
    }

    /// Nobody else sends from a file: whoever did has ended.
    pub async fn forget_senders(&self) -> Result<(), sqlx::Error> {
        writing!(self.db(), connection => {
            sqlx::query("DELETE FROM senders").execute(&mut *connection).await?;
            Ok(())
        })
    }

    /// Puts back what is claimed by this sender but not under way: a claim whose answer was lost. Nothing of it was sent.
    /// Returns how many.
    pub async fn put_back(&self, me: &str, under_way: &[i64], now: Timestamp) -> Result<usize, sqlx::Error> {
        let now = now.as_microsecond();
        writing!(self.db(), connection => {
            let claimed: Vec<(i64, i64)> =
                sqlx::query_as("SELECT seq, attempts FROM messages WHERE state = 'sending' AND claimed_by = $1 ORDER BY seq")
                    .bind(me)
                    .fetch_all(&mut *connection)
                    .await?;
            let lost: Vec<(i64, i64)> = claimed.into_iter().filter(|(seq, _)| !under_way.contains(seq)).collect();
            for (seq, number) in &lost {
                sqlx::query("DELETE FROM attempts WHERE message = $1 AND number = $2 AND sender = $3 AND finished_at = 0")
                    .bind(seq)
                    .bind(number)
                    .bind(me)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query(
                    "UPDATE messages SET state = 'planned', claimed_by = '', stage = stage - 1, due_at = $1 \
                     WHERE seq = $2 AND state = 'sending' AND claimed_by = $3 AND attempts = $4",
                )
                .bind(now)
                .bind(seq)
                .bind(me)
                .bind(number)
                .execute(&mut *connection)
                .await?;
            }
            Ok(lost.len())
        })
    }

    /// Takes back what dead senders have begun: whether it was sent is not known, so it is sent again, under the same id.
    /// Returns how many.
    pub async fn take_over(&self, now: Timestamp) -> Result<usize, sqlx::Error> {
        let now = now.as_microsecond();
        let lock = if matches!(self.db(), Db::Postgres(_)) { "FOR UPDATE OF m SKIP LOCKED" } else { "" };
        let select = format!(
            "SELECT m.seq, m.attempts, m.channel FROM messages m WHERE m.state = 'sending' AND NOT EXISTS ( \
             SELECT 1 FROM senders s WHERE s.name = m.claimed_by AND s.alive_until > $1) ORDER BY m.seq LIMIT $2 {lock}"
        );
        writing!(self.db(), connection => {
            let left: Vec<(i64, i64, String)> = sqlx::query_as(AssertSqlSafe(select.clone()))
                .bind(now)
                .bind(TAKEN_BACK_AT_ONCE)
                .fetch_all(&mut *connection)
                .await?;
            for (seq, number, channel) in &left {
                sqlx::query(
                    "UPDATE attempts SET finished_at = $1, outcome = 'in_doubt', answer = $2, untold = $3 \
                     WHERE message = $4 AND number = $5 AND finished_at = 0",
                )
                .bind(now)
                .bind(UNKNOWN)
                .bind(i64::from(channel == "webhook"))
                .bind(seq)
                .bind(number)
                .execute(&mut *connection)
                .await?;
                sqlx::query(
                    "UPDATE messages SET state = 'planned', claimed_by = '', due_at = $1, answer = $2 WHERE seq = $3",
                )
                .bind(now)
                .bind(UNKNOWN)
                .bind(seq)
                .execute(&mut *connection)
                .await?;
            }
            Ok(left.len())
        })
    }
}
