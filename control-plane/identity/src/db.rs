//! The schema `identity`, in either database.

use dropmate_sql::Schema;

pub(crate) static SCHEMA: Schema = Schema {
    name: "identity",
    sqlite: &sqlx::migrate!("../../migrations/identity/sqlite"),
    postgres: &sqlx::migrate!("../../migrations/identity/postgres"),
};

#[cfg(test)]
mod tests {
    use dropmate_sql::{Db, reading, writing};
    use dropmate_testing::Database;

    use super::*;

    async fn raise(db: &Db) -> Result<i64, sqlx::Error> {
        let raised: Result<i64, sqlx::Error> = writing!(db, connection => {
            sqlx::query("UPDATE state SET version = version + $1").bind(1_i64).execute(&mut *connection).await?;
            sqlx::query_scalar("SELECT version FROM state").fetch_one(&mut *connection).await
        });
        let failed: Result<(), sqlx::Error> = writing!(db, connection => {
            sqlx::query("UPDATE state SET version = version + 100").execute(&mut *connection).await?;
            Err(sqlx::Error::RowNotFound)
        });
        assert!(failed.is_err());
        let read: Result<i64, sqlx::Error> = reading!(db, connection =>
            sqlx::query_scalar("SELECT version FROM state").fetch_one(connection).await);
        assert_eq!(read?, raised?, "what failed was rolled back");
        reading!(db, connection => sqlx::query_scalar("SELECT version FROM state").fetch_one(connection).await)
    }

    #[tokio::test]
    async fn the_same_statements_run_on_both_databases() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.db");
        let db = SCHEMA.open_sqlite(&path).await.unwrap();
        assert_eq!(raise(&db).await.unwrap(), 2);
        db.close().await;
        let database = Database::create().await;
        SCHEMA.migrate_postgres(&database.url()).await.unwrap();
        let db = SCHEMA.open_postgres(&database.url()).await.unwrap();
        assert_eq!(raise(&db).await.unwrap(), 2);
        db.close().await;
    }
}
