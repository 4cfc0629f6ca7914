//! What is old goes: what messages said after a month, that they were after three.

use dropmate_sql::writing;
use jiff::{SignedDuration, Timestamp};

use super::Store;

/// How long it can be read what a message said, and how long it can be replayed.
const CONTENT_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long it is known that there was a message.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How long it is known what made messages old: longer than any of them waits.
const STALENESS_KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Rows changed in one transaction, so that nobody waits for it.
const AT_ONCE: i64 = 1_000;

impl Store {
    /// Takes out what is old; returns how many rows went or were cut.
    pub async fn tidy(&self, now: Timestamp) -> Result<u64, sqlx::Error> {
        let before = |kept| now.checked_sub(kept).unwrap_or(Timestamp::MIN).as_microsecond();
        let mut gone = 0;
        for (statement, before) in [
            (
                "UPDATE messages SET subject = NULL, text = '', html = NULL, payload = NULL WHERE seq IN \
                 (SELECT seq FROM messages WHERE created_at < $1 AND state NOT IN ('planned', 'sending') \
                  AND (text <> '' OR payload IS NOT NULL) ORDER BY created_at LIMIT $2)",
                before(CONTENT_KEPT),
            ),
            (
                "DELETE FROM attempts WHERE message IN (SELECT a.message FROM attempts a JOIN messages m ON m.seq = a.message \
                 WHERE m.created_at < $1 AND m.state NOT IN ('planned', 'sending') LIMIT $2)",
                before(KEPT),
            ),
            (
                "DELETE FROM messages WHERE seq IN (SELECT seq FROM messages WHERE created_at < $1 \
                 AND state NOT IN ('planned', 'sending') LIMIT $2)",
                before(KEPT),
            ),
            (
                "DELETE FROM staleness WHERE (order_uid, class) IN \
                 (SELECT order_uid, class FROM staleness WHERE at < $1 LIMIT $2)",
                before(STALENESS_KEPT),
            ),
            (
                "DELETE FROM quotas WHERE key IN (SELECT key FROM quotas WHERE next_at < $1 LIMIT $2)",
                now.as_microsecond(),
            ),
            (
                "DELETE FROM senders WHERE name IN (SELECT name FROM senders WHERE alive_until < $1 LIMIT $2)",
                before(SignedDuration::from_hours(1)),
            ),
        ] {
            loop {
                let changed: u64 = writing!(self.db(), connection => {
                    let done = sqlx::query(statement).bind(before).bind(AT_ONCE).execute(&mut *connection).await?;
                    Ok(done.rows_affected())
                })?;
                gone += changed;
                if changed < AT_ONCE as u64 {
                    break;
                }
            }
        }
        Ok(gone)
    }
}
