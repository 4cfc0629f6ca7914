//! An ingest over either database, on a clock that the test sets.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use dropmate_ingest::Ingest;
use dropmate_testing::Database;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

/// Which database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// An ingest, with what it stands on.
pub(crate) struct Kept {
    pub(crate) ingest: Ingest,
    place: Place,
    now: Arc<AtomicI64>,
}

enum Place {
    Folder(TempDir),
    Database(Database),
}

impl Kept {
    pub(crate) async fn new(on: On) -> Self {
        let place = match on {
            On::Sqlite => Place::Folder(tempfile::tempdir().unwrap()),
            On::Postgres => {
                let database = Database::create().await;
                Ingest::migrate_postgres(&database.url()).await.unwrap();
                Place::Database(database)
            }
        };
        let now = Arc::new(AtomicI64::new(0));
        let ingest = open(&place, &now).await;
        Self { ingest, place, now }
    }

    /// Another process of it: beside this one on PostgreSQL, after it on SQLite.
    pub(crate) async fn another(&self) -> Ingest {
        if let Place::Folder(_) = &self.place {
            self.ingest.close().await;
        }
        open(&self.place, &self.now).await
    }

    pub(crate) fn pass(&self, time: SignedDuration) {
        self.now.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

async fn open(place: &Place, now: &Arc<AtomicI64>) -> Ingest {
    let now = now.clone();
    let now: dropmate_ingest::Now = Arc::new(move || Timestamp::from_microsecond(now.load(Ordering::Relaxed)).unwrap());
    match place {
        Place::Folder(folder) => Ingest::sqlite(&folder.path().join("ingest.db"), now).await.unwrap(),
        Place::Database(database) => Ingest::postgres(&database.url(), now).await.unwrap(),
    }
}
