//! One group of positions in one transaction: the counter is raised by its size, and what is new is written.
//!
//! Whoever holds the counter's row is alone until the commit, so that numbers become visible in their order, whatever
//! process wrote them. Rows that are known leave holes.

use dropmate_sql::{Db, postgres::COMMIT_TIMEOUT};
use serde_json::json;

use super::Row;

const RAISE: &str = "UPDATE counter SET value = value + $1 RETURNING value - $1";

/// One statement, so that no lock is held over a round trip. The counter comes in by subqueries: joined, its one row would be
/// taken for thousands, and such a plan is worth compiling to PostgreSQL, which takes longer than all the rest.
const KEEP_POSTGRES: &str = "
    WITH raised AS (UPDATE counter SET value = value + cardinality($2::text[]) RETURNING value - cardinality($2) AS base),
    kept AS (
        INSERT INTO positions (seq, namespace, driver, at, recorded_at, latitude, longitude, detail)
        SELECT (SELECT base FROM raised) + n, namespace, driver, at, $1, latitude, longitude, detail
        FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[])
            WITH ORDINALITY AS given (namespace, driver, at, latitude, longitude, detail, n)
        ORDER BY n
        ON CONFLICT (namespace, driver, at, latitude, longitude) DO NOTHING
        RETURNING seq
    )
    SELECT seq - (SELECT base FROM raised) - 1 FROM kept";

/// All rows as one text: a statement for each would cost more than its work.
const KEEP_SQLITE: &str = "
    INSERT INTO positions (seq, namespace, driver, at, recorded_at, latitude, longitude, detail)
    SELECT $1 + given.key + 1, value ->> 0, value ->> 1, value ->> 2, $2, value ->> 3, value ->> 4, value ->> 5
    FROM json_each($3) AS given WHERE true
    ON CONFLICT (namespace, driver, at, latitude, longitude) DO NOTHING
    RETURNING seq - $1 - 1";

/// Keeps rows; which of them were new, by their place, in order.
pub(super) async fn keep(db: &Db, recorded_at: i64, rows: &[&Row]) -> Result<Vec<usize>, sqlx::Error> {
    let mut new: Vec<i64> = match db {
        Db::Sqlite(pools) => {
            let given: Vec<_> = rows
                .iter()
                .map(|row| json!([row.namespace, row.driver, row.at, row.latitude, row.longitude, row.detail]))
                .collect();
            let given = serde_json::to_string(&given).unwrap_or_default();
            let mut transaction = pools.write.begin_with("BEGIN IMMEDIATE").await?;
            let size = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let base: i64 = sqlx::query_scalar(RAISE).bind(size).fetch_one(&mut *transaction).await?;
            let new = sqlx::query_scalar(KEEP_SQLITE)
                .bind(base)
                .bind(recorded_at)
                .bind(given)
                .fetch_all(&mut *transaction)
                .await?;
            transaction.commit().await?;
            new
        }
        Db::Postgres(pools) => {
            fn column<T>(rows: &[&Row], of: impl Fn(&Row) -> T) -> Vec<T> {
                rows.iter().map(|row| of(row)).collect()
            }
            let (namespaces, drivers) =
                (column(rows, |row| row.namespace.clone()), column(rows, |row| row.driver.clone()));
            let (at, details) = (column(rows, |row| row.at), column(rows, |row| row.detail.clone()));
            let (latitudes, longitudes) = (column(rows, |row| row.latitude), column(rows, |row| row.longitude));
            pools
                .write
                .within(COMMIT_TIMEOUT, async |connection| {
                    sqlx::query_scalar(KEEP_POSTGRES)
                        .bind(recorded_at)
                        .bind(&namespaces)
                        .bind(&drivers)
                        .bind(&at)
                        .bind(&latitudes)
                        .bind(&longitudes)
                        .bind(&details)
                        .fetch_all(&mut *connection)
                        .await
                })
                .await?
        }
    };
    new.sort_unstable();
    Ok(new.into_iter().filter_map(|number| usize::try_from(number).ok()).collect())
}
