//! What became of attempts, written down in groups: one transaction for whatever has ended since the last.

use dropmate_sql::writing;
use jiff::Timestamp;

use super::{Store, cut};

/// What a provider said is kept up to here.
const ANSWER_MAX: usize = 500;

/// The rest of a lane goes on now.
pub(super) const RELEASE: &str = "UPDATE messages SET due_at = CASE WHEN not_before > $1 THEN not_before ELSE $1 END \
     WHERE lane = $2 AND state = 'planned' AND attempts = 0 AND due_at > $1 AND not_before < due_at";

/// The rest of a lane waits with its first.
const HOLD_BACK: &str = "UPDATE messages SET due_at = $1 WHERE lane = $2 AND state = 'planned' AND due_at < $1 \
     AND (not_before > $3 OR (not_before = $3 AND seq > $4))";

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The message.
    pub seq: i64,
    /// The attempt.
    pub number: i64,
    /// Its lane, and its turn in it (microseconds).
    pub lane: (String, i64),
    /// Whether it went to an endpoint, whose status hears of it.
    pub endpoint: bool,
    /// When.
    pub at: Timestamp,
    /// Who was asked.
    pub provider: String,
    /// How it ended.
    pub end: End,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The provider took it.
    Sent {
        /// The provider's name for it.
        provider_id: String,
        /// What it said.
        answer: String,
    },
    /// It is tried again.
    Again {
        /// `again` or `in_doubt`.
        outcome: &'static str,
        /// What is known.
        answer: String,
        /// When.
        due_at: Timestamp,
    },
    /// It is given up.
    Dead {
        /// How the last attempt ended.
        outcome: &'static str,
        /// Why it is given up.
        reason: &'static str,
        /// What is known.
        answer: String,
        /// Whether the recipient wants nothing more over this channel: namespace, channel, recipient.
        opted_out: Option<(String, String, String)>,
    },
    /// There was nothing to send any more.
    Suppressed {
        /// Why.
        reason: &'static str,
        /// What is known.
        answer: String,
    },
    /// Nobody was asked: it waits, and that was no attempt.
    Deferred {
        /// Why.
        answer: String,
        /// Until then.
        until: Timestamp,
    },
}

impl Store {
    /// Writes down how attempts of this sender ended. One that was taken over meanwhile stays with who has it, unless
    /// nobody has begun it again yet.
    pub async fn finish(&self, me: &str, ended: &[Finished]) -> Result<(), sqlx::Error> {
        // Rows are locked in one order, whoever writes.
        let mut ended: Vec<&Finished> = ended.iter().collect();
        ended.sort_by_key(|one| one.seq);
        writing!(self.db(), connection => {
            for one in &ended {
                let at = one.at.as_microsecond();
                let (state, reason, provider_id, answer, due_at, finished_at) = match &one.end {
                    End::Sent { provider_id, answer } => ("sent", "", provider_id.as_str(), answer, 0, at),
                    End::Again { answer, due_at, .. } => ("planned", "", "", answer, due_at.as_microsecond(), 0),
                    End::Dead { reason, answer, .. } => ("dead", *reason, "", answer, 0, at),
                    End::Suppressed { reason, answer } => ("suppressed", *reason, "", answer, 0, at),
                    End::Deferred { answer, until } => ("planned", "", "", answer, until.as_microsecond(), 0),
                };
                let (answer, provider_id) = (cut(answer, ANSWER_MAX), cut(provider_id, ANSWER_MAX));
                let moved = sqlx::query(
                    "UPDATE messages SET state = $1, reason = $2, provider = CASE WHEN $3 = '' THEN provider ELSE $3 END, \
                     provider_id = CASE WHEN $4 = '' THEN provider_id ELSE $4 END, answer = $5, \
                     due_at = CASE WHEN $6 = 0 THEN due_at ELSE $6 END, finished_at = $7, \
                     told = CASE WHEN $7 = 0 THEN 0 ELSE 1 END, claimed_by = '' \
                     WHERE seq = $8 AND attempts = $9 AND ((state = 'sending' AND claimed_by = $10) OR state = 'planned')",
                )
                .bind(state)
                .bind(reason)
                .bind(&one.provider)
                .bind(&provider_id)
                .bind(&answer)
                .bind(due_at)
                .bind(finished_at)
                .bind(one.seq)
                .bind(one.number)
                .bind(me)
                .execute(&mut *connection)
                .await?
                .rows_affected();
                let outcome = match &one.end {
                    End::Sent { .. } => "sent",
                    End::Again { outcome, .. } | End::Dead { outcome, .. } => outcome,
                    End::Suppressed { .. } | End::Deferred { .. } => "",
                };
                if outcome.is_empty() {
                    // Nobody was asked, so it was no attempt.
                    sqlx::query("DELETE FROM attempts WHERE message = $1 AND number = $2 AND sender = $3")
                        .bind(one.seq)
                        .bind(one.number)
                        .bind(me)
                        .execute(&mut *connection)
                        .await?;
                    if moved > 0 {
                        // The number is not used again: this may be written twice.
                        sqlx::query("UPDATE messages SET stage = stage - 1 WHERE seq = $1")
                            .bind(one.seq)
                            .execute(&mut *connection)
                            .await?;
                    }
                } else {
                    sqlx::query(
                        "UPDATE attempts SET provider = $1, finished_at = $2, outcome = $3, answer = $4, untold = $5 \
                         WHERE message = $6 AND number = $7 AND sender = $8",
                    )
                    .bind(&one.provider)
                    .bind(at)
                    .bind(outcome)
                    .bind(&answer)
                    .bind(i64::from(one.endpoint))
                    .bind(one.seq)
                    .bind(one.number)
                    .bind(me)
                    .execute(&mut *connection)
                    .await?;
                }
                if moved == 0 {
                    continue;
                }
                let (lane, turn) = &one.lane;
                if finished_at == 0 {
                    sqlx::query(HOLD_BACK)
                        .bind(due_at)
                        .bind(lane)
                        .bind(turn)
                        .bind(one.seq)
                        .execute(&mut *connection)
                        .await?;
                } else {
                    sqlx::query(RELEASE).bind(at).bind(lane).execute(&mut *connection).await?;
                }
                if let End::Dead { opted_out: Some((namespace, channel, recipient)), .. } = &one.end {
                    sqlx::query(
                        "INSERT INTO opt_outs (namespace, channel, recipient, since) VALUES ($1, $2, $3, $4) \
                         ON CONFLICT (namespace, channel, recipient) DO NOTHING",
                    )
                    .bind(namespace)
                    .bind(channel)
                    .bind(recipient)
                    .bind(at)
                    .execute(&mut *connection)
                    .await?;
                }
            }
            Ok(())
        })
    }
}
