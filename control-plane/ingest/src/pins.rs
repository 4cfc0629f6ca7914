//! The recipients' PINs, sealed by the caller, and how often each was guessed wrong.

use sha2::{Digest, Sha256};

use dropmate_sql::{reading, writing};

use crate::{Ingest, unavailable::Unavailable};

/// Wrong PINs that are looked at: of a million, five are a chance of one in two hundred thousand.
pub const PIN_TRIES_MAX: i64 = 5;
/// How long a PIN is kept: orders leave for the archive long before.
const LIFE_MICROS: i64 = 400 * 24 * 3_600 * 1_000_000;

/// What became of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinTry {
    /// It is the PIN.
    Right,
    /// It is not; so many are left.
    Wrong {
        /// Tries that are left.
        left: i64,
    },
    /// Nobody looks any more.
    Locked {
        /// When the PIN was made, in microseconds: it tells this one from those before.
        made_at: i64,
    },
    /// There is no PIN yet.
    None,
    /// What is kept cannot be opened; nothing was counted.
    Unreadable,
}

/// A PIN as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPin {
    /// Sealed, as it was given.
    pub sealed: Vec<u8>,
    /// Wrong tries.
    pub wrong: i64,
}

impl Ingest {
    /// The PIN of an order, if there is one.
    pub async fn pin(&self, order_uid: &str) -> Result<Option<SealedPin>, Unavailable> {
        let held: Result<Option<(Vec<u8>, i64)>, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_as("SELECT sealed, wrong FROM pins WHERE order_uid = $1")
                .bind(order_uid).fetch_optional(connection).await);
        Ok(held?.map(|(sealed, wrong)| SealedPin { sealed, wrong }))
    }

    /// Keeps a PIN. With `anew` it takes the place of one that is there, and tries begin again; else that one stays. Returns
    /// the one that is kept.
    pub async fn put_pin(
        &self,
        namespace: &str,
        order_name: &str,
        order_uid: &str,
        sealed: &[u8],
        anew: bool,
    ) -> Result<SealedPin, Unavailable> {
        let now = self.now();
        let held: Result<(Vec<u8>, i64), sqlx::Error> = writing!(&self.inner.db, connection => {
            let insert = if anew {
                "INSERT INTO pins (order_uid, namespace, order_name, sealed, wrong, created_at, looks)
                 VALUES ($1, $2, $3, $4, 0, $5, 0)
                 ON CONFLICT (order_uid) DO UPDATE SET sealed = excluded.sealed, wrong = 0, created_at = excluded.created_at"
            } else {
                "INSERT INTO pins (order_uid, namespace, order_name, sealed, wrong, created_at, looks)
                 VALUES ($1, $2, $3, $4, 0, $5, 0) ON CONFLICT (order_uid) DO NOTHING"
            };
            sqlx::query(insert)
                .bind(order_uid).bind(namespace).bind(order_name).bind(sealed).bind(now).execute(&mut *connection).await?;
            if anew {
                sqlx::query("DELETE FROM pin_tries WHERE order_uid = $1").bind(order_uid).execute(&mut *connection).await?;
            }
            sqlx::query_as("SELECT sealed, wrong FROM pins WHERE order_uid = $1")
                .bind(order_uid).fetch_one(&mut *connection).await
        });
        let (sealed, wrong) = held?;
        Ok(SealedPin { sealed, wrong })
    }

    /// Looks whether `tried` is the PIN, which only `is_it` can tell of the sealed one. Wrong tries are counted before they
    /// are answered, one after the other; the same wrong one of the same report counts once, since phones send again.
    pub async fn try_pin(
        &self,
        order_uid: &str,
        client_event_id: &str,
        tried: &str,
        is_it: impl Fn(&[u8]) -> Option<bool> + Send + Sync,
    ) -> Result<PinTry, Unavailable> {
        let digest = Sha256::new().chain_update(order_uid).chain_update("/").chain_update(tried).finalize().to_vec();
        let outcome: Result<PinTry, sqlx::Error> = writing!(&self.inner.db, connection => {
            // Locks the row until the end: of two tries at once, the second sees the first one's count.
            let look = "UPDATE pins SET looks = looks + 1 WHERE order_uid = $1 RETURNING sealed, wrong, created_at";
            let held: Option<(Vec<u8>, i64, i64)> =
                sqlx::query_as(look).bind(order_uid).fetch_optional(&mut *connection).await?;
            let Some((sealed, wrong, made_at)) = held else { return Ok(PinTry::None) };
            if wrong >= PIN_TRIES_MAX {
                return Ok(PinTry::Locked { made_at });
            }
            match is_it(&sealed) {
                Some(true) => return Ok(PinTry::Right),
                Some(false) => {}
                None => return Ok(PinTry::Unreadable),
            }
            let note = "INSERT INTO pin_tries (order_uid, client_event_id, tried) VALUES ($1, $2, $3)
                        ON CONFLICT (order_uid, client_event_id, tried) DO NOTHING";
            let note = sqlx::query(note).bind(order_uid).bind(client_event_id).bind(&digest);
            let new = note.execute(&mut *connection).await?.rows_affected() > 0;
            let wrong = wrong + i64::from(new);
            if new {
                let count = "UPDATE pins SET wrong = $2 WHERE order_uid = $1";
                sqlx::query(count).bind(order_uid).bind(wrong).execute(&mut *connection).await?;
            }
            let left = PIN_TRIES_MAX - wrong;
            Ok(if left > 0 { PinTry::Wrong { left } } else { PinTry::Locked { made_at } })
        });
        Ok(outcome?)
    }

    /// Forgets the PINs of orders that ended long ago.
    pub async fn forget_old_pins(&self) -> Result<(), Unavailable> {
        let before = self.now() - LIFE_MICROS;
        let gone: Result<(), sqlx::Error> = writing!(&self.inner.db, connection => {
            for statement in [
                "DELETE FROM pin_tries WHERE order_uid IN (SELECT order_uid FROM pins WHERE created_at < $1)",
                "DELETE FROM pins WHERE created_at < $1",
            ] {
                sqlx::query(statement).bind(before).execute(&mut *connection).await?;
            }
            Ok(())
        });
        Ok(gone?)
    }
}
