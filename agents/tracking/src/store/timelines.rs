//! The timelines of orders.

use dropmate_sql::{reading, writing};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{Store, places, timestamp};
use crate::timeline::Entry;

/// Rows in one statement: ten values each, far below what the databases take.
const ROWS_AT_ONCE: usize = 200;

/// Entries of one order that are read: more than any order comes to.
const LINES_MAX: i64 = 1_000;

/// An entry with its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The order's uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub entry: Entry,
}

/// An entry as it is read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    /// When it happened (business time).
    pub at: Timestamp,
    /// What.
    pub what: String,
    /// More; an object.
    #[serde(skip_serializing_if = "is_empty")]
    pub detail: Value,
}

fn is_empty(detail: &Value) -> bool {
    detail.as_object().is_none_or(serde_json::Map::is_empty)
}

impl Store {
    /// Keeps entries, each once by its key; those that may be corrected are. Returns which were new, by order and key.
    /// No two of them are of the same key.
    pub async fn say(&self, said: &[Said], now: Timestamp) -> Result<Vec<(String, String)>, sqlx::Error> {
        let mut new = Vec::new();
        for rows in said.chunks(ROWS_AT_ONCE) {
            let insert = format!(
                "INSERT INTO timeline (order_uid, key, namespace, name, at, what, detail, corrected, recorded_at, version) \
                 VALUES {} \
                 ON CONFLICT (order_uid, key) DO UPDATE \
                 SET at = excluded.at, what = excluded.what, detail = excluded.detail, version = timeline.version + 1 \
                 WHERE timeline.corrected = 1 AND (timeline.at <> excluded.at OR timeline.detail <> excluded.detail) \
                 RETURNING order_uid, key, version",
                places(rows.len(), 10)
            );
            let details: Vec<String> = rows.iter().map(|row| row.entry.detail.to_string()).collect();
            let written: Vec<(String, String, i64)> = writing!(self.db(), connection => {
                let mut statement =
                    sqlx::query_as(AssertSqlSafe(insert.clone())).persistent(rows.len() == ROWS_AT_ONCE);
                for (row, detail) in rows.iter().zip(&details) {
                    statement = statement
                        .bind(&row.uid)
                        .bind(&row.entry.key)
                        .bind(&row.namespace)
                        .bind(&row.name)
                        .bind(row.entry.at.as_microsecond())
                        .bind(row.entry.what)
                        .bind(detail)
                        .bind(i64::from(row.entry.corrected))
                        .bind(now.as_microsecond())
                        .bind(1_i64);
                }
                statement.fetch_all(&mut *connection).await
            })?;
            new.extend(written.into_iter().filter(|(.., version)| *version == 1).map(|(uid, key, _)| (uid, key)));
        }
        Ok(new)
    }

    /// What happened to an order: to the one of that uid, else to the one of that name of which something was said last.
    pub async fn timeline(&self, namespace: &str, name: &str, uid: Option<&str>) -> Result<Vec<Line>, sqlx::Error> {
        let rows: Vec<(i64, String, String)> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT at, what, detail FROM timeline WHERE namespace = $1 AND name = $2 AND order_uid = COALESCE($3, \
                 (SELECT order_uid FROM timeline WHERE namespace = $1 AND name = $2 ORDER BY recorded_at DESC LIMIT 1)) \
                 ORDER BY at, recorded_at, key LIMIT $4",
            )
            .bind(namespace)
            .bind(name)
            .bind(uid)
            .bind(LINES_MAX)
            .fetch_all(connection)
            .await)?;
        let line = |(at, what, detail): (i64, String, String)| Line {
            at: timestamp(at),
            what,
            detail: serde_json::from_str(&detail).unwrap_or_default(),
        };
        Ok(rows.into_iter().map(line).collect())
    }
}
