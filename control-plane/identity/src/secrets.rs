//! Secrets of a namespace: written by people, sealed, read back by nobody but the agent that uses them.

use jiff::Timestamp;

use dropmate_sql::{reading, writing};

use crate::{Identity, Result};

/// Largest value, in bytes: a private key or a service's credentials, with room.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

/// What may be told of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretInfo {
    /// Its name.
    pub name: String,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was written last.
    pub updated_at: Timestamp,
    /// Who wrote it last.
    pub updated_by: String,
}

/// A value is sealed for its place: nobody can move it to another.
fn context(namespace: &str, name: &str) -> String {
    format!("secrets/{namespace}/{name}")
}

impl Identity {
    /// Writes a secret; whether it is a new one.
    pub async fn put_secret(&self, namespace: &str, name: &str, value: &str, by: &str) -> Result<bool> {
        let sealed = self.sealer().seal(&context(namespace, name), value.as_bytes())?;
        let now = self.now();
        let new: Result<bool, sqlx::Error> = writing!(self.db(), connection => {
            let update = "UPDATE secrets SET sealed = $3, updated_at = $4, updated_by = $5 WHERE namespace = $1 AND name = $2";
            let update = sqlx::query(update).bind(namespace).bind(name).bind(&sealed[..]).bind(now).bind(by);
            if update.execute(&mut *connection).await?.rows_affected() > 0 {
                return Ok(false);
            }
            // Where two make it at once, one of them has made it.
            let insert = "INSERT INTO secrets (namespace, name, sealed, created_at, updated_at, updated_by) \
                          VALUES ($1, $2, $3, $4, $4, $5) ON CONFLICT (namespace, name) DO UPDATE SET \
                          sealed = excluded.sealed, updated_at = excluded.updated_at, updated_by = excluded.updated_by";
            let insert = sqlx::query(insert).bind(namespace).bind(name).bind(&sealed[..]).bind(now).bind(by);
            insert.execute(&mut *connection).await?;
            Ok(true)
        });
        Ok(new?)
    }

    /// Deletes a secret; whether there was one.
    pub async fn delete_secret(&self, namespace: &str, name: &str) -> Result<bool> {
        let deleted: Result<u64, sqlx::Error> = writing!(self.db(), connection => {
            let delete = sqlx::query("DELETE FROM secrets WHERE namespace = $1 AND name = $2").bind(namespace).bind(name);
            Ok(delete.execute(&mut *connection).await?.rows_affected())
        });
        Ok(deleted? > 0)
    }

    /// Deletes all secrets of a namespace that goes: a later one of its name begins with none.
    pub async fn delete_secrets_of(&self, namespace: &str) -> Result<()> {
        let deleted: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("DELETE FROM secrets WHERE namespace = $1").bind(namespace).execute(&mut *connection).await?;
            Ok(())
        });
        Ok(deleted?)
    }

    /// The secrets of a namespace, by name, without their values.
    pub async fn secrets(&self, namespace: &str) -> Result<Vec<SecretInfo>> {
        let rows: Result<Vec<(String, i64, i64, String)>, sqlx::Error> = reading!(self.db(), connection => {
            let list = "SELECT name, created_at, updated_at, updated_by FROM secrets WHERE namespace = $1 ORDER BY name";
            sqlx::query_as(list).bind(namespace).fetch_all(connection).await
        });
        let at = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        let info = |(name, created, updated, updated_by)| SecretInfo {
            name,
            created_at: at(created),
            updated_at: at(updated),
            updated_by,
        };
        Ok(rows?.into_iter().map(info).collect())
    }

    /// The value of a secret, for whoever uses it on behalf of the namespace.
    pub async fn resolve_secret(&self, namespace: &str, name: &str) -> Result<Option<String>> {
        let sealed: Result<Option<Vec<u8>>, sqlx::Error> = reading!(self.db(), connection => {
            let value = sqlx::query_scalar("SELECT sealed FROM secrets WHERE namespace = $1 AND name = $2");
            value.bind(namespace).bind(name).fetch_optional(connection).await
        });
        let Some(sealed) = sealed? else { return Ok(None) };
        let context = context(namespace, name);
        let plain = self.sealer().open(&context, &sealed)?;
        Ok(Some(String::from_utf8(plain).map_err(|_| crate::SealError::Damaged { context })?))
    }
}
