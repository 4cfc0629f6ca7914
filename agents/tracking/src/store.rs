//! What tracking keeps: the history of positions with how far it has come, and the timelines.

mod days;
mod history;
mod timelines;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
};

use dropmate_sql::{Db, OpenError, Plan, Schema};
use jiff::Timestamp;

pub use history::{Appended, Between, Detail, Kept};
pub use timelines::{Line, Said};

/// The file of the schema `tracking` in a data dir.
pub const FILE: &str = "tracking.db";

/// The schema `tracking`.
pub static SCHEMA: Schema = Schema {
    name: "tracking",
    sqlite: &sqlx::migrate!("../../migrations/tracking/sqlite"),
    postgres: &sqlx::migrate!("../../migrations/tracking/postgres"),
};

/// What tracking keeps. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    /// The days whose partition is known to be there (PostgreSQL).
    days: Mutex<BTreeSet<i64>>,
}

impl Store {
    /// Over a SQLite file, which is made if it is not there, and migrated. Only one process may use it.
    pub async fn sqlite(path: &Path) -> Result<Self, OpenError> {
        Ok(Self::over(SCHEMA.open_sqlite(path).await?))
    }

    /// Over a PostgreSQL database that has been migrated. Any number of processes may share it.
    pub async fn postgres(url: &str) -> Result<Self, OpenError> {
        Ok(Self::over(SCHEMA.open_postgres(url).await?))
    }

    fn over(db: Db) -> Self {
        Self { inner: Arc::new(Inner { db, days: Mutex::default() }) }
    }

    /// Brings a file up to date, makes it if it is not there, and tells what was done.
    pub async fn migrate_sqlite(path: &Path) -> Result<Plan, OpenError> {
        SCHEMA.migrate_sqlite(path).await
    }

    /// What [`migrate_sqlite`](Self::migrate_sqlite) would do.
    pub async fn pending_sqlite(path: &Path) -> Result<Plan, OpenError> {
        SCHEMA.pending_sqlite(path).await
    }

    /// Brings the schema of a PostgreSQL database up to date and tells what was done.
    pub async fn migrate_postgres(url: &str) -> Result<Plan, OpenError> {
        SCHEMA.migrate_postgres(url).await
    }

    /// What [`migrate_postgres`](Self::migrate_postgres) would do.
    pub async fn pending_postgres(url: &str) -> Result<Plan, OpenError> {
        SCHEMA.pending_postgres(url).await
    }

    /// Lets go of the database.
    pub async fn close(&self) {
        self.inner.db.close().await;
    }

    fn db(&self) -> &Db {
        &self.inner.db
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Microseconds as the database has them; the ends of the calendar where they lie beyond.
fn timestamp(microseconds: i64) -> Timestamp {
    let edge = if microseconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(microseconds).unwrap_or(edge)
}

/// `($1, $2), ($3, $4)`: places for so many rows of so many values.
fn places(rows: usize, columns: usize) -> String {
    let mut text = String::new();
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            text.push('$');
            text.push_str(&(row * columns + column + 1).to_string());
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn places_are_numbered_through() {
        assert_eq!(places(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }
}
