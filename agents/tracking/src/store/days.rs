//! Days: in PostgreSQL each has a partition of its own, which is made with its first position and dropped when it is old;
//! in SQLite old rows are deleted, a few at a time.

use std::{
    collections::BTreeSet,
    sync::{MutexGuard, PoisonError},
};

use dropmate_sql::{Db, reading, writing};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use sqlx::AssertSqlSafe;

use super::Store;

/// How long positions are kept.
const POSITIONS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long timelines are kept: as long as somebody asks about a delivery.
const TIMELINES_KEPT: SignedDuration = SignedDuration::from_hours(180 * 24);

/// Rows deleted in one transaction, so that nobody waits for it.
const DELETED_AT_ONCE: i64 = 5_000;

const DAY_MICROSECONDS: i64 = 86_400_000_000;

impl Store {
    /// Makes the partitions of these moments' days, where there are partitions.
    pub(super) async fn make_days(&self, moments: impl Iterator<Item = Timestamp>) -> Result<(), sqlx::Error> {
        if matches!(self.db(), Db::Sqlite(_)) {
            return Ok(());
        }
        let wanted: BTreeSet<i64> = moments.map(|at| at.as_microsecond().div_euclid(DAY_MICROSECONDS)).collect();
        let missing: Vec<i64> = wanted.difference(&self.days()).copied().collect();
        for day in missing {
            let Some(name) = name(day) else { continue };
            let (from, to) = (day * DAY_MICROSECONDS, (day + 1) * DAY_MICROSECONDS);
            let statement = format!(
                "CREATE TABLE IF NOT EXISTS tracking.{name} PARTITION OF tracking.positions FOR VALUES FROM ({from}) TO ({to})"
            );
            let made: Result<(), sqlx::Error> = writing!(self.db(), connection => {
                // Two processes that make the same day at once would fail in each other's way.
                sqlx::query("SELECT pg_advisory_xact_lock(hashtext('dropmate.tracking.days'))")
                    .execute(&mut *connection)
                    .await?;
                sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *connection).await?;
                Ok(())
            });
            made?;
            self.days().insert(day);
        }
        Ok(())
    }

    /// Takes out what is old; returns how many partitions or rows went. `business_now` ages positions, `now` timelines.
    pub async fn tidy(&self, business_now: Timestamp, now: Timestamp) -> Result<u64, sqlx::Error> {
        let oldest = business_now.checked_sub(POSITIONS_KEPT).unwrap_or(Timestamp::MIN).as_microsecond();
        let mut gone = match self.db() {
            Db::Postgres(_) => self.drop_days(oldest.div_euclid(DAY_MICROSECONDS)).await?,
            Db::Sqlite(_) => {
                self.delete(
                    "DELETE FROM positions WHERE (namespace, driver, at, latitude, longitude) IN \
                     (SELECT namespace, driver, at, latitude, longitude FROM positions WHERE at < $1 LIMIT $2)",
                    oldest,
                )
                .await?
            }
        };
        let oldest = now.checked_sub(TIMELINES_KEPT).unwrap_or(Timestamp::MIN).as_microsecond();
        gone += self
            .delete(
                "DELETE FROM timeline WHERE (order_uid, key) IN \
                 (SELECT order_uid, key FROM timeline WHERE recorded_at < $1 LIMIT $2)",
                oldest,
            )
            .await?;
        Ok(gone)
    }

    async fn drop_days(&self, oldest: i64) -> Result<u64, sqlx::Error> {
        let partitions: Vec<String> = reading!(self.db(), connection =>
            sqlx::query_scalar(
                "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
                 WHERE inhparent = 'tracking.positions'::regclass ORDER BY relname",
            )
            .fetch_all(connection)
            .await)?;
        // Names of digits sort as days do.
        let Some(first_kept) = name(oldest) else { return Ok(0) };
        let mut gone = 0;
        for partition in partitions.iter().filter(|partition| **partition < first_kept) {
            let drop = format!("DROP TABLE IF EXISTS tracking.{partition}");
            let dropped: Result<(), sqlx::Error> = writing!(self.db(), connection => {
                sqlx::query(AssertSqlSafe(drop.clone())).execute(&mut *connection).await?;
                Ok(())
            });
            dropped?;
            gone += 1;
        }
        self.days().retain(|day| *day >= oldest);
        Ok(gone)
    }

    async fn delete(&self, statement: &'static str, oldest: i64) -> Result<u64, sqlx::Error> {
        let mut gone = 0;
        loop {
            let deleted: u64 = writing!(self.db(), connection => {
                let done = sqlx::query(statement).bind(oldest).bind(DELETED_AT_ONCE).execute(&mut *connection).await?;
                Ok(done.rows_affected())
            })?;
            gone += deleted;
            if deleted < DELETED_AT_ONCE as u64 {
                return Ok(gone);
            }
        }
    }

    fn days(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.inner.days.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the partition of a day is called: `positions_20261123`.
fn name(day: i64) -> Option<String> {
    let midnight = Timestamp::from_microsecond(day.checked_mul(DAY_MICROSECONDS)?).ok()?;
    Some(midnight.to_zoned(TimeZone::UTC).strftime("positions_%Y%m%d").to_string())
}
