//! Phones of drivers: a code that is good once makes a phone the driver's.
//!
//! A paired phone has two things. An ingest token, which may do nothing but bring positions in, is what tracker apps keep in
//! their URL. And a session of the user `system:driver:NAMESPACE:NAME`, which ends as any other does, is what a page keeps.

use std::collections::{BTreeSet, HashMap};

use dropmate_sql::{reading, writing};
use uuid::Uuid;

use crate::{
    Error, Grant, Identity, OneTime, Result,
    jwt::DRIVER,
    secret::{digest, new_secret},
    sessions::{ISSUE, KEPT_FOR, REVOKE_ONE, REVOKED_FOR, TELL_REPLICAS, TOKEN_MAX, claims, end_of, ending, shortened},
    users::{User, timestamp},
};

const SECOND: i64 = 1_000_000;
/// How long a code is good: it is made in the evening for somebody who begins in the morning.
const CODE_LIFE: i64 = 24 * 3_600 * SECOND;
/// Phones of one driver: a page, a tracker, and those they have changed lately. The oldest ends when there are more.
const PHONES_MAX: i64 = 8;
/// A token that this replica does not know may have been made on another a moment ago: so often it looks, however many
/// such tokens come.
const LOOK_AGAIN_AFTER: i64 = SECOND / 4;

/// The driver whose a phone is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairedDriver {
    /// The Driver's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: another Driver of that name is not meant.
    pub uid: String,
}

impl PairedDriver {
    /// The user that the phone is: `system:driver:acme:sam`.
    pub fn user(&self) -> String {
        format!("{DRIVER}{}:{}", self.namespace, self.name)
    }
}

/// What a phone gets for its code, shown once.
#[derive(Clone)]
pub struct Paired {
    /// Whose it is.
    pub driver: PairedDriver,
    /// Brings positions in, and nothing else.
    pub ingest_token: String,
    /// A session.
    pub grant: Grant,
}

type Row = (String, String, String);
/// The same behind the hash of a token.
type HashedRow = (Vec<u8>, String, String, String);

fn driver_of((namespace, name, uid): Row) -> PairedDriver {
    PairedDriver { namespace, name, uid }
}

impl Identity {
    /// A code for a phone of the driver. It takes the place of any before it that was not used.
    pub async fn pairing_code(&self, driver: &PairedDriver) -> Result<OneTime> {
        let (token, id, now) = (new_secret()?, Uuid::new_v4().to_string(), self.now());
        let (hash, expires_at) = (digest(&token), now + CODE_LIFE);
        let made: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("DELETE FROM pairings WHERE namespace = $1 AND driver = $2 AND paired_at IS NULL")
                .bind(&driver.namespace).bind(&driver.name).execute(&mut *connection).await?;
            sqlx::query(
                "INSERT INTO pairings (id, namespace, driver, driver_uid, code_hash, code_expires_at, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(&id)
            .bind(&driver.namespace)
            .bind(&driver.name)
            .bind(&driver.uid)
            .bind(&hash)
            .bind(expires_at)
            .bind(now)
            .execute(&mut *connection)
            .await?;
            Ok(())
        });
        made?;
        Ok(OneTime { token, expires_at: timestamp(expires_at) })
    }

    /// Whose phone a code makes, while it is good. [`Error::BadLink`] otherwise.
    pub async fn pairing(&self, code: &str) -> Result<PairedDriver> {
        if code.len() > TOKEN_MAX {
            return Err(Error::BadLink);
        }
        let (hash, now) = (digest(code), self.now());
        let found: Result<Option<Row>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT namespace, driver, driver_uid FROM pairings WHERE code_hash = $1 AND code_expires_at > $2",
            )
            .bind(&hash).bind(now).fetch_optional(connection).await);
        found?.map(driver_of).ok_or(Error::BadLink)
    }

    /// Makes a phone the driver's, for a code, which is used up. Of all who try, one does.
    pub async fn pair(&self, code: &str, client: &str) -> Result<Paired> {
        if code.len() > TOKEN_MAX {
            return Err(Error::BadLink);
        }
        let (ingest_token, refresh_token, now) = (new_secret()?, new_secret()?, self.now());
        let (code, ingest, refresh) = (digest(code), digest(&ingest_token), digest(&refresh_token));
        let (sid, client, expires_at) = (Uuid::new_v4().to_string(), shortened(client), end_of(now, now));
        let paired: Result<Option<(PairedDriver, User, Result<String>)>, sqlx::Error> = writing!(self.db(), connection => {
            let redeem = "UPDATE pairings SET code_hash = NULL, ingest_hash = $2, sid = $3, paired_at = $4
                WHERE code_hash = $1 AND code_expires_at > $4 RETURNING namespace, driver, driver_uid";
            let redeemed: Option<Row> = sqlx::query_as(redeem)
                .bind(&code).bind(&ingest).bind(&sid).bind(now).fetch_optional(&mut *connection).await?;
            let Some(driver) = redeemed.map(driver_of) else { return Ok(None) };
            let email = driver.user();
            // Whoever had the name before has no rights any more, and goes.
            sqlx::query("DELETE FROM users WHERE email = $1 AND uid <> $2")
                .bind(&email).bind(&driver.uid).execute(&mut *connection).await?;
            sqlx::query(
                "INSERT INTO users (uid, email, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (uid) DO NOTHING",
            )
            .bind(&driver.uid).bind(&email).bind(&driver.name).bind(now).execute(&mut *connection).await?;
            // Of more phones than anybody has, the oldest end; and those of another Driver of the name.
            let surplus: Vec<(String, String)> = sqlx::query_as(
                "SELECT id, sid FROM pairings
                 WHERE namespace = $1 AND driver = $2 AND paired_at IS NOT NULL AND sid <> $4 AND (driver_uid <> $3
                     OR id NOT IN (SELECT id FROM pairings WHERE namespace = $1 AND driver = $2 AND driver_uid = $3
                         AND paired_at IS NOT NULL ORDER BY paired_at DESC, id LIMIT $5))",
            )
            .bind(&driver.namespace)
            .bind(&driver.name)
            .bind(&driver.uid)
            .bind(&sid)
            .bind(PHONES_MAX)
            .fetch_all(&mut *connection)
            .await?;
            for (id, sid) in &surplus {
                sqlx::query("DELETE FROM pairings WHERE id = $1").bind(id).execute(&mut *connection).await?;
                sqlx::query(REVOKE_ONE).bind(sid).bind(now + REVOKED_FOR).execute(&mut *connection).await?;
                sqlx::query(
                    "UPDATE sessions SET ended_at = $2, end_reason = 'too many' WHERE sid = $1 AND ended_at IS NULL",
                )
                .bind(sid).bind(now).execute(&mut *connection).await?;
            }
            sqlx::query(
                "INSERT INTO sessions (sid, user_uid, client, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(&sid).bind(&driver.uid).bind(client).bind(now).bind(expires_at).execute(&mut *connection).await?;
            sqlx::query(ISSUE)
                .bind(&refresh).bind(&sid).bind(now).bind(None::<Vec<u8>>).execute(&mut *connection).await?;
            sqlx::query(TELL_REPLICAS).execute(&mut *connection).await?;
            let user = User {
                uid: driver.uid.clone(),
                email,
                name: driver.name.clone(),
                verified: false,
                disabled: false,
                second_factor: false,
                created_at: timestamp(now),
            };
            let access = self.issue_access(&claims(&user, &sid));
            Ok(Some((driver, user, access)))
        });
        let (driver, user, access) = paired?.ok_or(Error::BadLink)?;
        self.heard_of_changes().await;
        let grant = Grant { access_token: access?, refresh_token, user, sid, expires_at: timestamp(expires_at) };
        Ok(Paired { driver, ingest_token, grant })
    }

    /// Ends every phone of a driver, and the code that was not used: here at once, on other replicas within two seconds.
    /// Whether there was any.
    pub async fn unpair(&self, namespace: &str, driver: &str) -> Result<bool> {
        self.end_phones(namespace, Some(driver)).await
    }

    /// Ends the phones of a namespace that goes: a later one of its name begins with none.
    pub async fn unpair_all_of(&self, namespace: &str) -> Result<()> {
        self.end_phones(namespace, None).await.map(|_| ())
    }

    async fn end_phones(&self, namespace: &str, driver: Option<&str>) -> Result<bool> {
        let now = self.now();
        let ended: Result<bool, sqlx::Error> = writing!(self.db(), connection => {
            let deleted: Vec<Row> = sqlx::query_as(
                "DELETE FROM pairings WHERE namespace = $1 AND ($2 IS NULL OR driver = $2)
                 RETURNING namespace, driver, driver_uid",
            )
            .bind(namespace).bind(driver).fetch_all(&mut *connection).await?;
            let mut users: Vec<String> = deleted.iter().map(|(_, _, uid)| uid.clone()).collect();
            users.sort_unstable();
            users.dedup();
            for uid in &users {
                // Locks the user: a refresh that is under way is done before, or comes after and finds no session.
                sqlx::query("UPDATE users SET name = name WHERE uid = $1").bind(uid).execute(&mut *connection).await?;
                ending!(connection, uid, "", now, "unpaired");
            }
            Ok(!deleted.is_empty())
        });
        let ended = ended?;
        if ended {
            self.heard_of_changes().await;
        }
        Ok(ended)
    }

    /// Whose phone has that ingest token. From memory; now and then a look for what another replica has just made.
    pub async fn paired(&self, token: &str) -> Option<PairedDriver> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let hash = digest(token);
        if let Some(driver) = self.known().paired.get(&hash) {
            return Some(driver.clone());
        }
        if self.may_look(LOOK_AGAIN_AFTER) {
            self.heard_of_changes().await;
        }
        self.known().paired.get(&hash).cloned()
    }

    /// The drivers who have phones, each once. From memory.
    pub fn paired_drivers(&self) -> BTreeSet<PairedDriver> {
        self.known().paired.values().cloned().collect()
    }

    /// All paired phones, by the hash of their token.
    pub(crate) async fn read_paired(&self) -> Result<HashMap<Vec<u8>, PairedDriver>> {
        let rows: Result<Vec<HashedRow>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT ingest_hash, namespace, driver, driver_uid FROM pairings WHERE ingest_hash IS NOT NULL",
            )
            .fetch_all(connection).await);
        let entry = |(hash, namespace, name, uid)| (hash, driver_of((namespace, name, uid)));
        Ok(rows?.into_iter().map(entry).collect())
    }

    /// Forgets codes that nobody has used.
    pub(crate) async fn sweep_pairings(&self) -> Result<()> {
        let before = self.now() - KEPT_FOR;
        let swept: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("DELETE FROM pairings WHERE paired_at IS NULL AND code_expires_at < $1")
                .bind(before).execute(&mut *connection).await?;
            Ok(())
        });
        Ok(swept?)
    }
}
