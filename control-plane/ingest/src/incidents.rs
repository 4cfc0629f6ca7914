//! Incidents: what went wrong on a delivery, as a driver or the server tells it, until somebody resolves it.

use jiff::Timestamp;
use sqlx::FromRow;

use dropmate_sql::{reading, writing};

use crate::{Ingest, unavailable::Unavailable};

/// An incident.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Incident {
    /// Its id.
    pub id: String,
    /// Where.
    pub namespace: String,
    /// The order's name; empty if it is about none.
    pub order_name: String,
    /// The order's uid; empty if it is about none.
    pub order_uid: String,
    /// Who told it, or whom it is about.
    pub driver: String,
    /// Which kind of thing: a word.
    pub category: String,
    /// What else there is to say.
    pub note: String,
    /// The proof that shows it.
    pub photo_id: Option<String>,
    /// The phone's name for it.
    pub client_event_id: String,
    /// SHA-256 of what was told.
    pub sent: Vec<u8>,
    /// When it happened, in microseconds of business time.
    pub at: i64,
    /// When it was told, in microseconds of system time.
    pub created_at: i64,
    /// When it was resolved.
    pub resolved_at: Option<i64>,
    /// By whom.
    pub resolved_by: Option<String>,
}

/// Which incidents.
#[derive(Clone, Debug, Default)]
pub struct IncidentFilter<'a> {
    /// Only those that are open, or that are not.
    pub open: Option<bool>,
    /// Only those of that order.
    pub order_name: Option<&'a str>,
    /// Only those told before that one: the end of the page before.
    pub before: Option<(i64, &'a str)>,
}

const COLUMNS: &str = "id, namespace, order_name, order_uid, driver, category, note, photo_id, client_event_id, sent, at, \
                       created_at, resolved_at, resolved_by";

impl Ingest {
    /// Keeps an incident, and returns the one that is kept: this one, or the one that was told before under that name.
    pub async fn add_incident(&self, incident: &Incident) -> Result<Incident, Unavailable> {
        let held: Result<Incident, sqlx::Error> = writing!(&self.inner.db, connection => {
            sqlx::query(
                "INSERT INTO incidents (id, namespace, order_name, order_uid, driver, category, note, photo_id,
                     client_event_id, sent, at, created_at, told)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                 ON CONFLICT (namespace, driver, client_event_id) DO NOTHING",
            )
            .bind(&incident.id)
            .bind(&incident.namespace)
            .bind(&incident.order_name)
            .bind(&incident.order_uid)
            .bind(&incident.driver)
            .bind(&incident.category)
            .bind(&incident.note)
            .bind(&incident.photo_id)
            .bind(&incident.client_event_id)
            .bind(&incident.sent)
            .bind(incident.at)
            .bind(incident.created_at)
            .bind(i64::from(incident.order_uid.is_empty()))
            .execute(&mut *connection)
            .await?;
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM incidents WHERE namespace = $1 AND driver = $2 AND client_event_id = $3"
            )))
            .bind(&incident.namespace)
            .bind(&incident.driver)
            .bind(&incident.client_event_id)
            .fetch_one(&mut *connection)
            .await
        });
        Ok(held?)
    }

    /// An incident by its id.
    pub async fn incident(&self, namespace: &str, id: &str) -> Result<Option<Incident>, Unavailable> {
        let held: Result<Option<Incident>, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM incidents WHERE namespace = $1 AND id = $2"
            )))
            .bind(namespace).bind(id).fetch_optional(connection).await);
        Ok(held?)
    }

    /// Incidents of a namespace, the newest first, at most `most`.
    pub async fn incidents(
        &self,
        namespace: &str,
        filter: &IncidentFilter<'_>,
        most: i64,
    ) -> Result<Vec<Incident>, Unavailable> {
        let open = filter.open.map_or(0, |open| if open { 1 } else { 2 });
        let order = filter.order_name.unwrap_or("");
        let (at, id) = filter.before.unwrap_or((i64::MAX, ""));
        let held: Result<Vec<Incident>, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM incidents
                 WHERE namespace = $1 AND (created_at < $2 OR (created_at = $2 AND id < $3))
                   AND ($4 = '' OR order_name = $4)
                   AND ($5 = 0 OR ($5 = 1 AND resolved_at IS NULL) OR ($5 = 2 AND resolved_at IS NOT NULL))
                 ORDER BY created_at DESC, id DESC LIMIT $6"
            )))
            .bind(namespace).bind(at).bind(id).bind(order).bind(open).bind(most).fetch_all(connection).await);
        Ok(held?)
    }

    /// How many incidents that a driver told of are open.
    pub async fn open_incidents_by(&self, namespace: &str, driver: &str) -> Result<i64, Unavailable> {
        let count: Result<i64, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_scalar("SELECT count(*) FROM incidents WHERE namespace = $1 AND driver = $2 AND resolved_at IS NULL")
                .bind(namespace).bind(driver).fetch_one(connection).await);
        Ok(count?)
    }

    /// The oldest incident of an order that is open.
    pub async fn open_incident(&self, order_uid: &str) -> Result<Option<Incident>, Unavailable> {
        let held: Result<Option<Incident>, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM incidents WHERE order_uid = $1 AND resolved_at IS NULL
                 ORDER BY created_at, id LIMIT 1"
            )))
            .bind(order_uid).fetch_optional(connection).await);
        Ok(held?)
    }

    /// Resolves an incident; one that is resolved stays as it is. The incident as it is then.
    pub async fn resolve_incident(&self, namespace: &str, id: &str, by: &str) -> Result<Option<Incident>, Unavailable> {
        let now = self.now();
        let resolved: Result<(), sqlx::Error> = writing!(&self.inner.db, connection => {
            sqlx::query(
                "UPDATE incidents SET resolved_at = $3, resolved_by = $4,
                     told = CASE WHEN order_uid = '' THEN 1 ELSE 0 END
                 WHERE namespace = $1 AND id = $2 AND resolved_at IS NULL",
            )
            .bind(namespace).bind(id).bind(now).bind(by).execute(&mut *connection).await?;
            Ok(())
        });
        resolved?;
        self.incident(namespace, id).await
    }

    /// Resolves the open incidents of an order that are of a category.
    pub async fn resolve_category(&self, order_uid: &str, category: &str, by: &str) -> Result<(), Unavailable> {
        let now = self.now();
        let resolved: Result<(), sqlx::Error> = writing!(&self.inner.db, connection => {
            sqlx::query(
                "UPDATE incidents SET resolved_at = $3, resolved_by = $4, told = 0
                 WHERE order_uid = $1 AND category = $2 AND resolved_at IS NULL",
            )
            .bind(order_uid).bind(category).bind(now).bind(by).execute(&mut *connection).await?;
            Ok(())
        });
        Ok(resolved?)
    }

    /// Incidents that their order does not tell of yet, the oldest first.
    pub async fn untold_incidents(&self, most: i64) -> Result<Vec<Incident>, Unavailable> {
        let held: Result<Vec<Incident>, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM incidents WHERE told = 0 ORDER BY created_at LIMIT $1"
            )))
            .bind(most).fetch_all(connection).await);
        Ok(held?)
    }

    /// Notes that the order tells of an incident as it was read: resolved, or not. One that was resolved meanwhile is told
    /// again.
    pub async fn told_incident(&self, incident: &Incident) -> Result<(), Unavailable> {
        let told: Result<(), sqlx::Error> = writing!(&self.inner.db, connection => {
            sqlx::query("UPDATE incidents SET told = 1 WHERE id = $1 AND (resolved_at IS NULL) = ($2 = 1)")
                .bind(&incident.id)
                .bind(i64::from(incident.resolved_at.is_none()))
                .execute(&mut *connection)
                .await?;
            Ok(())
        });
        Ok(told?)
    }
}

impl Incident {
    /// When it happened, in business time.
    pub fn occurred(&self) -> Timestamp {
        timestamp(self.at)
    }

    /// When it was told, in system time.
    pub fn created(&self) -> Timestamp {
        timestamp(self.created_at)
    }

    /// When it was resolved, in system time.
    pub fn resolved(&self) -> Option<Timestamp> {
        self.resolved_at.map(timestamp)
    }
}

fn timestamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
