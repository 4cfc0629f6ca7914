//! The customers' links: found by the hash of their token, which lies sealed beside it so that every message about an order
//! carries the same one.

use dropmate_sql::{reading, writing};
use sqlx::FromRow;

use crate::{Ingest, unavailable::Unavailable};

/// How long a link is kept, good or not: orders leave for the archive long before.
const LIFE_MICROS: i64 = 400 * 24 * 3_600 * 1_000_000;

/// The order that a link leads to.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct LinkedOrder {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub order_name: String,
    /// Its uid: another order of that name is not meant.
    pub order_uid: String,
}

/// A link as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct SealedLink {
    /// SHA-256 of the token.
    pub hash: Vec<u8>,
    /// The token, as the caller sealed it.
    pub sealed: Vec<u8>,
}

/// How far revocations have come: it differs whenever another link was revoked.
pub type Revocations = (i64, i64);

impl Ingest {
    /// The link to an order, if there is one that was not revoked.
    pub async fn link_of(&self, order_uid: &str) -> Result<Option<SealedLink>, Unavailable> {
        let held: Result<Option<SealedLink>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as("SELECT hash, sealed FROM tracking_links WHERE order_uid = $1 AND revoked_at IS NULL")
                .bind(order_uid).fetch_optional(connection).await);
        Ok(held?)
    }

    /// Keeps a link to an order, unless there is one; the one that is kept.
    pub async fn put_link(&self, order: &LinkedOrder, link: &SealedLink) -> Result<SealedLink, Unavailable> {
        let now = self.now();
        let kept: Result<SealedLink, sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query(
                "INSERT INTO tracking_links (hash, namespace, order_name, order_uid, sealed, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .bind(&link.hash)
            .bind(&order.namespace)
            .bind(&order.order_name)
            .bind(&order.order_uid)
            .bind(&link.sealed)
            .bind(now)
            .execute(&mut *connection)
            .await?;
            sqlx::query_as("SELECT hash, sealed FROM tracking_links WHERE order_uid = $1 AND revoked_at IS NULL")
                .bind(&order.order_uid).fetch_one(&mut *connection).await
        });
        Ok(kept?)
    }

    /// The order that a token leads to, unless the link was revoked.
    pub async fn linked_order(&self, hash: &[u8]) -> Result<Option<LinkedOrder>, Unavailable> {
        let held: Result<Option<LinkedOrder>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT namespace, order_name, order_uid FROM tracking_links WHERE hash = $1 AND revoked_at IS NULL",
            )
            .bind(hash).fetch_optional(connection).await);
        Ok(held?)
    }

    /// Revokes the links to an order; the hashes of those that were good until then.
    pub async fn revoke_links(&self, order_uid: &str) -> Result<Vec<Vec<u8>>, Unavailable> {
        let now = self.now();
        let revoked: Result<Vec<Vec<u8>>, sqlx::Error> = writing!(self.db(), connection =>
            sqlx::query_scalar(
                "UPDATE tracking_links SET revoked_at = $2 WHERE order_uid = $1 AND revoked_at IS NULL RETURNING hash",
            )
            .bind(order_uid).bind(now).fetch_all(&mut *connection).await);
        Ok(revoked?)
    }

    /// How far revocations have come, over all processes.
    pub async fn revocations(&self) -> Result<Revocations, Unavailable> {
        let held: Result<Revocations, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT count(*), COALESCE(max(revoked_at), 0) FROM tracking_links WHERE revoked_at IS NOT NULL",
            )
            .fetch_one(connection).await);
        Ok(held?)
    }

    /// Forgets the links to orders that ended long ago.
    pub async fn forget_old_links(&self) -> Result<(), Unavailable> {
        let before = self.now() - LIFE_MICROS;
        let gone: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("DELETE FROM tracking_links WHERE created_at < $1")
                .bind(before).execute(&mut *connection).await?;
            Ok(())
        });
        Ok(gone?)
    }
}
