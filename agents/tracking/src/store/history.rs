//! Where drivers were: brought in with how far the ingest has been read, so that each position is here once, and read by
//! driver and time.

use dropmate_api::Location;
use dropmate_sql::{reading, writing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use super::{Store, places, timestamp};
use crate::{
    fix::{Fix, degrees, from_degrees},
    pull::Pulled,
};

/// Rows in one statement: seven values each, far below what the databases take.
const ROWS_AT_ONCE: usize = 500;

/// Fixes read at once: a day and a night of one each two seconds.
const FIXES_MAX: i64 = 50_000;

/// What became of a piece of the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the history, and so is everything before it.
    Kept,
    /// Another process has been there: look how far the history is.
    Elsewhere,
}

/// A position as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// When, by the phone (business time).
    pub at: Timestamp,
    /// When it was told (system time).
    pub recorded_at: Timestamp,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// What else the phone said.
    #[serde(flatten)]
    pub detail: Detail,
}

/// What a phone says beside place and time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Detail {
    /// Metres a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed_meters_per_second: Option<f64>,
    /// Degrees clockwise from north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearing: Option<f64>,
    /// The radius in metres within which the driver is with 68 % probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_meters: Option<f64>,
    /// Metres above the ellipsoid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altitude_meters: Option<f64>,
    /// The battery's charge, as the phone says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub battery: Option<f64>,
    /// Over which way it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// Which part of a driver's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// From then on.
    pub from: Timestamp,
    /// And before.
    pub to: Timestamp,
    /// Told since (system time).
    pub recorded_since: Timestamp,
    /// At most so many, the newest.
    pub limit: u32,
}

type Row = (i64, i64, i64, i64, String);

impl Store {
    /// How far the ingest's sequence has been read.
    pub async fn progress(&self) -> Result<i64, sqlx::Error> {
        reading!(self.db(), connection =>
            sqlx::query_scalar("SELECT seq FROM progress").fetch_one(connection).await)
    }

    /// Takes in the piece of the sequence after `after` up to `next`, in one transaction with how far it goes. A position
    /// that is there already stays as it is.
    pub async fn append(&self, after: i64, next: i64, pulled: &[Pulled]) -> Result<Appended, sqlx::Error> {
        self.make_days(pulled.iter().map(|position| position.at)).await?;
        let pieces: Vec<(String, &[Pulled], Vec<String>)> = pulled
            .chunks(ROWS_AT_ONCE)
            .map(|rows| {
                let insert = format!(
                    "INSERT INTO positions (namespace, driver, at, recorded_at, latitude, longitude, detail) VALUES {} \
                     ON CONFLICT DO NOTHING",
                    places(rows.len(), 7)
                );
                (insert, rows, rows.iter().map(|row| json(&row.detail)).collect())
            })
            .collect();
        writing!(self.db(), connection => {
            let moved = sqlx::query("UPDATE progress SET seq = $1 WHERE seq = $2")
                .bind(next)
                .bind(after)
                .execute(&mut *connection)
                .await?;
            if moved.rows_affected() == 0 {
                return Ok(Appended::Elsewhere);
            }
            for (insert, rows, details) in &pieces {
                let mut statement = sqlx::query(AssertSqlSafe(insert.clone())).persistent(rows.len() == ROWS_AT_ONCE);
                for (row, detail) in rows.iter().zip(details) {
                    statement = statement
                        .bind(&row.namespace)
                        .bind(&row.driver)
                        .bind(row.at.as_microsecond())
                        .bind(row.recorded_at.as_microsecond())
                        .bind(degrees(row.latitude))
                        .bind(degrees(row.longitude))
                        .bind(detail);
                }
                statement.execute(&mut *connection).await?;
            }
            Ok(Appended::Kept)
        })
    }

    /// A driver's fixes from then on, in order; of very many the newest. `made` is since when the Driver is there: who had
    /// the name before is somebody else.
    pub async fn fixes(
        &self,
        namespace: &str,
        driver: &str,
        from: Timestamp,
        made: Timestamp,
    ) -> Result<Vec<Fix>, sqlx::Error> {
        let between = Between { from, to: Timestamp::MAX, recorded_since: made, limit: FIXES_MAX as u32 };
        Ok(self.positions(namespace, driver, between).await?.iter().map(Kept::fix).collect())
    }

    /// The newest fix of a driver who is there since then.
    pub async fn newest(&self, namespace: &str, driver: &str, made: Timestamp) -> Result<Option<Fix>, sqlx::Error> {
        let between = Between { from: Timestamp::MIN, to: Timestamp::MAX, recorded_since: made, limit: 1 };
        Ok(self.positions(namespace, driver, between).await?.first().map(Kept::fix))
    }

    /// A part of a driver's history, in order of time.
    pub async fn positions(&self, namespace: &str, driver: &str, between: Between) -> Result<Vec<Kept>, sqlx::Error> {
        let limit = i64::from(between.limit).min(FIXES_MAX);
        let mut rows: Vec<Row> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT at, recorded_at, latitude, longitude, detail FROM positions \
                 WHERE namespace = $1 AND driver = $2 AND at >= $3 AND at < $4 AND recorded_at >= $5 \
                 ORDER BY at DESC, latitude DESC, longitude DESC LIMIT $6",
            )
            .bind(namespace)
            .bind(driver)
            .bind(between.from.as_microsecond())
            .bind(between.to.as_microsecond())
            .bind(between.recorded_since.as_microsecond())
            .bind(limit)
            .fetch_all(connection)
            .await)?;
        rows.reverse();
        Ok(rows.into_iter().map(kept).collect())
    }
}

impl Kept {
    fn fix(&self) -> Fix {
        Fix {
            at: self.at,
            place: Location { latitude: self.latitude, longitude: self.longitude },
            accuracy_meters: self.detail.accuracy_meters,
            speed_meters_per_second: self.detail.speed_meters_per_second,
        }
    }
}

fn kept((at, recorded_at, latitude, longitude, detail): Row) -> Kept {
    Kept {
        at: timestamp(at),
        recorded_at: timestamp(recorded_at),
        latitude: from_degrees(latitude),
        longitude: from_degrees(longitude),
        // What a newer version wrote in another form says nothing here.
        detail: serde_json::from_str(&detail).unwrap_or_default(),
    }
}

fn json(detail: &Detail) -> String {
    serde_json::to_string(detail).unwrap_or_else(|_| "{}".to_owned())
}
