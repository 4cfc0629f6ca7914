//! What the notification agent keeps: how far the feeds are planned, what is to be sent, every attempt, and what became
//! of it.

mod claim;
mod finish;
mod read;
mod take;
mod tell;
mod tidy;

use std::path::Path;

use dropmate_sql::{Db, OpenError, Plan, Schema};
use jiff::Timestamp;

pub use claim::{Claimed, Claims, Queue};
pub use finish::{End, Finished};
pub use read::{Attempted, Full, Listed, View, Which};
pub use take::{Feed, Mark, Stale, Taken};
pub use tell::{Counts, Ended, Outcome, Tried};

/// The file of the schema `notification` in a data dir.
pub const FILE: &str = "notification.db";

/// The schema `notification`.
pub static SCHEMA: Schema = Schema {
    name: "notification",
    sqlite: &sqlx::migrate!("../../migrations/notification/sqlite"),
    postgres: &sqlx::migrate!("../../migrations/notification/postgres"),
};

/// What the agent keeps. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Store {
    db: Db,
}

impl Store {
    /// Over a SQLite file, which is made if it is not there, and migrated. Only one process may use it.
    pub async fn sqlite(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { db: SCHEMA.open_sqlite(path).await? })
    }

    /// Over a PostgreSQL database that has been migrated. Any number of processes may share it.
    pub async fn postgres(url: &str) -> Result<Self, OpenError> {
        Ok(Self { db: SCHEMA.open_postgres(url).await? })
    }

    /// Brings a file up to date, makes it if it is not there, and tells what was done.
    pub async fn migrate_sqlite(path: &Path) -> Result<Plan, OpenError> {
        SCHEMA.migrate_sqlite(path).await
    }

    /// Brings the schema of a PostgreSQL database up to date and tells what was done.
    pub async fn migrate_postgres(url: &str) -> Result<Plan, OpenError> {
        SCHEMA.migrate_postgres(url).await
    }

    /// Whether other processes may send from it, too.
    pub fn is_shared(&self) -> bool {
        matches!(self.db, Db::Postgres(_))
    }

    /// Lets go of the database.
    pub async fn close(&self) {
        self.db.close().await;
    }

    fn db(&self) -> &Db {
        &self.db
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Microseconds as the database has them; the ends of the calendar where they lie beyond.
pub(crate) fn timestamp(microseconds: i64) -> Timestamp {
    let edge = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(microseconds).unwrap_or(edge)
}

/// As [`timestamp`]; `None` for 0, which says "not yet".
fn if_any(microseconds: i64) -> Option<Timestamp> {
    (microseconds != 0).then(|| timestamp(microseconds))
}

/// `$3, $4, $5`: places for so many values, from number `from` on.
fn list(from: usize, count: usize) -> String {
    let places: Vec<String> = (from..from + count).map(|number| format!("${number}")).collect();
    places.join(", ")
}

/// `($1, $2), ($3, $4)`: places for so many rows of so many values.
fn places(rows: usize, columns: usize) -> String {
    let rows: Vec<String> = (0..rows).map(|row| format!("({})", list(row * columns + 1, columns))).collect();
    rows.join(", ")
}

/// At most so many bytes, at a character's end, in one line: answers of providers are anybody's words.
fn cut(text: &str, bytes: usize) -> String {
    let line = |letter: char| if letter.is_control() { ' ' } else { letter };
    text[..text.floor_char_boundary(bytes)].chars().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn places_are_numbered_through() {
        assert_eq!(places(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }
}
