//! What recipients thought of a delivery. Each says it once.

use dropmate_sql::{reading, writing};
use jiff::Timestamp;
use sqlx::FromRow;

use crate::{Ingest, unavailable::Unavailable};

/// How long ratings are kept: longer than anybody compares years.
const LIFE_MICROS: i64 = 3 * 366 * 24 * 3_600 * 1_000_000;

/// A rating.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Rating {
    /// Of the order with that uid.
    pub order_uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub order_name: String,
    /// Who brought it.
    pub driver: String,
    /// One to five.
    pub stars: i64,
    /// What else there is to say; may be empty.
    pub comment: String,
    /// When it was given, in microseconds of system time.
    pub created_at: i64,
}

impl Rating {
    /// When it was given, in system time.
    pub fn created(&self) -> Timestamp {
        Timestamp::from_microsecond(self.created_at).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

impl Ingest {
    /// Keeps a rating; whether it is the first of its order.
    pub async fn rate(&self, rating: &Rating) -> Result<bool, Unavailable> {
        let kept: Result<bool, sqlx::Error> = writing!(self.db(), connection => {
            let insert = sqlx::query(
                "INSERT INTO ratings (order_uid, namespace, order_name, driver, stars, comment, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (order_uid) DO NOTHING",
            )
            .bind(&rating.order_uid)
            .bind(&rating.namespace)
            .bind(&rating.order_name)
            .bind(&rating.driver)
            .bind(rating.stars)
            .bind(&rating.comment)
            .bind(rating.created_at);
            Ok(insert.execute(&mut *connection).await?.rows_affected() > 0)
        });
        Ok(kept?)
    }

    /// The rating of an order, if it was given.
    pub async fn rating_of(&self, order_uid: &str) -> Result<Option<Rating>, Unavailable> {
        let held: Result<Option<Rating>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT order_uid, namespace, order_name, driver, stars, comment, created_at FROM ratings
                 WHERE order_uid = $1",
            )
            .bind(order_uid).fetch_optional(connection).await);
        Ok(held?)
    }

    /// Ratings of a namespace, the newest first, at most `most`: those before that one (the end of the page before), and
    /// of that driver, if any is named.
    pub async fn ratings(
        &self,
        namespace: &str,
        driver: Option<&str>,
        before: Option<(i64, &str)>,
        most: i64,
    ) -> Result<Vec<Rating>, Unavailable> {
        let (at, uid) = before.unwrap_or((i64::MAX, ""));
        let driver = driver.unwrap_or("");
        let held: Result<Vec<Rating>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT order_uid, namespace, order_name, driver, stars, comment, created_at FROM ratings
                 WHERE namespace = $1 AND (created_at < $2 OR (created_at = $2 AND order_uid < $3))
                   AND ($4 = '' OR driver = $4)
                 ORDER BY created_at DESC, order_uid DESC LIMIT $5",
            )
            .bind(namespace).bind(at).bind(uid).bind(driver).bind(most).fetch_all(connection).await);
        Ok(held?)
    }

    /// Forgets ratings that are old.
    pub async fn forget_old_ratings(&self) -> Result<(), Unavailable> {
        let before = self.now() - LIFE_MICROS;
        let gone: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("DELETE FROM ratings WHERE created_at < $1").bind(before).execute(&mut *connection).await?;
            Ok(())
        });
        Ok(gone?)
    }
}
