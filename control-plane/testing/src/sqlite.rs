//! A look into a SQLite file that somebody else has open.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// The one row of a query for a text and bytes.
pub async fn sqlite_row(file: &Path, query: &str) -> (String, Vec<u8>) {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("the file is a database");
    let row = sqlx::query_as(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await;
    row.expect("the query has a row of a text and bytes")
}
