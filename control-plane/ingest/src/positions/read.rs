//! Reading on from a number, and deleting what is old.

use std::time::Duration;

use dropmate_sql::{reading, writing};
use jiff::Timestamp;

use crate::{
    Ingest,
    fix::{Detail, Fix, UNITS},
};

/// Positions of one page: half a second's worth of a large fleet, and a megabyte of JSON.
pub const PAGE_MAX: u32 = 5_000;
/// How long positions are kept here: the tracking agent has them within a second, and may be away over a weekend's day.
const KEPT_FOR: Duration = Duration::from_hours(48);
/// Rows deleted in one transaction, so that no writer waits long for it.
const DELETE_ROWS: i64 = 5_000;
/// How often what is old is deleted.
pub(crate) const DELETE_EVERY: Duration = Duration::from_mins(1);
/// Pieces deleted at once: more than a minute of what a machine keeps.
const DELETE_PIECES: usize = 400;

/// A position as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its number; rises.
    pub seq: i64,
    /// The driver's namespace.
    pub namespace: String,
    /// The driver's name.
    pub driver: String,
    /// When it was told, in system time.
    pub recorded_at: Timestamp,
    /// Where the phone was, and when.
    pub fix: Fix,
}

/// Positions that follow a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In the order of their numbers.
    pub positions: Vec<Kept>,
    /// The number to go on after. Below the one that was asked for, if the database is another or an older one.
    pub next: i64,
    /// The lowest number that is still kept, or the next that will be given: what lies between a reader's number and this
    /// was deleted unread.
    pub oldest: i64,
}

type Row = (i64, String, String, i64, i64, i64, i64, String);

impl Ingest {
    /// Up to `limit` positions (at most [`PAGE_MAX`]) whose numbers are higher than `after`.
    pub async fn positions_after(&self, after: i64, limit: u32) -> Result<Page, sqlx::Error> {
        let limit = i64::from(limit.clamp(1, PAGE_MAX));
        let read: Result<(i64, i64, Vec<Row>), sqlx::Error> = reading!(self.db(), connection => {
            // The counter first: what is committed between the two is in the page, and above the number.
            let (newest, oldest): (i64, i64) = sqlx::query_as(
                "SELECT value, coalesce((SELECT min(seq) FROM positions), value + 1) FROM counter",
            )
            .fetch_one(&mut *connection)
            .await?;
            let rows = sqlx::query_as(
                "SELECT seq, namespace, driver, at, recorded_at, latitude, longitude, detail
                 FROM positions WHERE seq > $1 ORDER BY seq LIMIT $2",
            )
            .bind(after)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
            Ok((newest, oldest, rows))
        });
        let (newest, oldest, rows) = read?;
        let positions: Vec<Kept> = rows.into_iter().map(kept).collect();
        let next = positions.last().map_or(after.clamp(0, newest), |last| last.seq);
        Ok(Page { positions, next, oldest })
    }

    /// Deletes positions that are older than they are kept for, in pieces; says how many.
    pub async fn delete_old_positions(&self) -> Result<u64, sqlx::Error> {
        let before = self.now() - i64::try_from(KEPT_FOR.as_micros()).unwrap_or(i64::MAX);
        let mut all = 0;
        for _ in 0..DELETE_PIECES {
            let deleted: Result<u64, sqlx::Error> = writing!(self.db(), connection => {
                let deleted = sqlx::query(
                    "DELETE FROM positions WHERE seq IN (
                         SELECT seq FROM positions WHERE recorded_at < $1 ORDER BY recorded_at LIMIT $2)",
                )
                .bind(before)
                .bind(DELETE_ROWS)
                .execute(&mut *connection)
                .await?;
                Ok(deleted.rows_affected())
            });
            let deleted = deleted?;
            all += deleted;
            if deleted < DELETE_ROWS.unsigned_abs() {
                break;
            }
        }
        Ok(all)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a degree on earth times ten million is far below 2^53")]
fn kept((seq, namespace, driver, at, recorded_at, latitude, longitude, detail): Row) -> Kept {
    let time = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
    let fix = Fix {
        at: time(at),
        latitude: latitude as f64 / UNITS,
        longitude: longitude as f64 / UNITS,
        // A later version may have written more; what is not read is not told.
        detail: serde_json::from_str(&detail).unwrap_or_else(|_| Detail::default()),
    };
    Kept { seq, namespace, driver, recorded_at: time(recorded_at), fix }
}
