//! What is known of the pictures that prove a delivery. Their bytes lie in a store of files, which the caller keeps:
//! a row is written after its file, so that whatever a row names is there.

use jiff::Timestamp;
use sqlx::FromRow;

use dropmate_sql::{reading, writing};

use crate::{Ingest, unavailable::Unavailable};

/// How long a picture is kept: a year in which an invoice is disputed, and a month for the slow.
const LIFE_MICROS: i64 = 400 * 24 * 3_600 * 1_000_000;
/// Rows deleted in one statement, so that others get their turn.
const DELETED_AT_ONCE: i64 = 1_000;

/// What is known of a picture.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ProofRow {
    /// Its id, which nobody can guess.
    pub id: String,
    /// The namespace of its order.
    pub namespace: String,
    /// The order's name.
    pub order_name: String,
    /// The order's uid: one made anew under the name is another.
    pub order_uid: String,
    /// The driver who gave it.
    pub driver: String,
    /// `photo` or `signature`.
    #[sqlx(rename = "type")]
    pub type_: String,
    /// The phone's name for it.
    pub client_event_id: String,
    /// SHA-256 of the file as it was sent.
    pub sent: Vec<u8>,
    /// Of the file as it is kept.
    pub media_type: String,
    /// Of the file as it is kept.
    pub bytes: i64,
    /// When it came, in microseconds of system time.
    pub created_at: i64,
}

const COLUMNS: &str =
    "id, namespace, order_name, order_uid, driver, type, client_event_id, sent, media_type, bytes, created_at";

impl Ingest {
    /// The name of this installation where it shares a store of files with others.
    pub async fn installation(&self) -> Result<String, Unavailable> {
        let id: Result<String, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_scalar("SELECT id FROM installation").fetch_one(connection).await);
        Ok(id?)
    }

    /// Keeps a proof, and returns the one that is kept: this one, or the one that the phone sent before under that name.
    pub async fn add_proof(&self, proof: &ProofRow) -> Result<ProofRow, Unavailable> {
        let held: Result<ProofRow, sqlx::Error> = writing!(&self.inner.db, connection => {
            sqlx::query(
                "INSERT INTO proofs (id, namespace, order_name, order_uid, driver, type, client_event_id, sent, media_type,
                     bytes, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                 ON CONFLICT (namespace, driver, client_event_id) DO NOTHING",
            )
            .bind(&proof.id)
            .bind(&proof.namespace)
            .bind(&proof.order_name)
            .bind(&proof.order_uid)
            .bind(&proof.driver)
            .bind(&proof.type_)
            .bind(&proof.client_event_id)
            .bind(&proof.sent)
            .bind(&proof.media_type)
            .bind(proof.bytes)
            .bind(proof.created_at)
            .execute(&mut *connection)
            .await?;
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM proofs WHERE namespace = $1 AND driver = $2 AND client_event_id = $3"
            )))
            .bind(&proof.namespace)
            .bind(&proof.driver)
            .bind(&proof.client_event_id)
            .fetch_one(&mut *connection)
            .await
        });
        Ok(held?)
    }

    /// The proof that a driver's phone sent under that name.
    pub async fn proof_sent(
        &self,
        namespace: &str,
        driver: &str,
        client_event_id: &str,
    ) -> Result<Option<ProofRow>, Unavailable> {
        let held: Result<Option<ProofRow>, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM proofs WHERE namespace = $1 AND driver = $2 AND client_event_id = $3"
            )))
            .bind(namespace).bind(driver).bind(client_event_id).fetch_optional(connection).await);
        Ok(held?)
    }

    /// A proof by its id.
    pub async fn proof(&self, namespace: &str, id: &str) -> Result<Option<ProofRow>, Unavailable> {
        let held: Result<Option<ProofRow>, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM proofs WHERE namespace = $1 AND id = $2"
            )))
            .bind(namespace).bind(id).fetch_optional(connection).await);
        Ok(held?)
    }

    /// The proofs that are kept of an order, at most `most`.
    pub async fn proofs_of(&self, order_uid: &str, most: i64) -> Result<Vec<ProofRow>, Unavailable> {
        let held: Result<Vec<ProofRow>, sqlx::Error> = reading!(&self.inner.db, connection =>
            sqlx::query_as(sqlx::AssertSqlSafe(format!(
                "SELECT {COLUMNS} FROM proofs WHERE order_uid = $1 ORDER BY created_at, id LIMIT $2"
            )))
            .bind(order_uid).bind(most).fetch_all(connection).await);
        Ok(held?)
    }

    /// Which of these ids are those of proofs.
    pub async fn proofs_named(&self, ids: &[String]) -> Result<Vec<String>, Unavailable> {
        let mut named = Vec::new();
        for id in ids {
            let held: Result<Option<String>, sqlx::Error> = reading!(&self.inner.db, connection =>
                sqlx::query_scalar("SELECT id FROM proofs WHERE id = $1").bind(id).fetch_optional(connection).await);
            named.extend(held?);
        }
        Ok(named)
    }

    /// Forgets the rows of what is older than anybody asks for; their files are then nobody's. Says how many went.
    pub async fn forget_old_proofs(&self) -> Result<u64, Unavailable> {
        let before = self.now() - LIFE_MICROS;
        let mut gone = 0;
        for table in ["proofs", "incidents"] {
            loop {
                let deleted: Result<u64, sqlx::Error> = writing!(&self.inner.db, connection => {
                    let delete = sqlx::AssertSqlSafe(format!(
                        "DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE created_at < $1 LIMIT $2)"
                    ));
                    Ok(sqlx::query(delete).bind(before).bind(DELETED_AT_ONCE).execute(&mut *connection).await?.rows_affected())
                });
                let deleted = deleted?;
                gone += deleted;
                if deleted < DELETED_AT_ONCE as u64 {
                    break;
                }
            }
        }
        Ok(gone)
    }

    /// Forgets all that is kept of a namespace's deliveries: a later one of its name begins with nothing.
    pub async fn forget_namespace(&self, namespace: &str) -> Result<(), Unavailable> {
        let gone: Result<(), sqlx::Error> = writing!(&self.inner.db, connection => {
            for statement in [
                "DELETE FROM pin_tries WHERE order_uid IN (SELECT order_uid FROM pins WHERE namespace = $1)",
                "DELETE FROM pins WHERE namespace = $1",
                "DELETE FROM incidents WHERE namespace = $1",
                "DELETE FROM proofs WHERE namespace = $1",
                "DELETE FROM tracking_links WHERE namespace = $1",
                "DELETE FROM ratings WHERE namespace = $1",
            ] {
                sqlx::query(statement).bind(namespace).execute(&mut *connection).await?;
            }
            Ok(())
        });
        Ok(gone?)
    }
}

impl ProofRow {
    /// When it came.
    pub fn created(&self) -> Timestamp {
        Timestamp::from_microsecond(self.created_at).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
