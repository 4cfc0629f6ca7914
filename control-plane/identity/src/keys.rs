//! The keys that tokens are signed with: ES256, in the database with the private part sealed, published before they sign
//! and kept for as long as anything they signed is good.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jiff::Timestamp;
use p256::{
    SecretKey,
    ecdsa::{SigningKey, VerifyingKey},
    elliptic_curve::sec1::ToEncodedPoint,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use dropmate_sql::{reading, writing};

use crate::{
    Error, Identity, Result,
    jwt::LIFE_MAX,
    seal::{SealError, Sealer},
};

/// For so long a new key is published before it signs: whoever keeps the set for a minute at most has it by then.
pub(crate) const PUBLISHED_BEFORE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// A replica that cannot read the database goes on with the key it knows; for so long after, what it signs is good.
const LATE: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// Keys at once, as a bound on what is published: each lives for a token's longest life, and one is made a minute at most.
const KEYS_MAX: i64 = 100;

/// A key.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) signing: SigningKey,
    pub(crate) verifying: VerifyingKey,
    /// As it is published.
    pub(crate) jwk: Value,
    /// Microseconds, as the database has them.
    pub(crate) signs_from: i64,
    pub(crate) verifies_until: Option<i64>,
}

/// What a rotation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The new key.
    pub kid: String,
    /// From then on it signs; until then it is only published.
    pub signs_from: Timestamp,
}

/// A key that is not in the database yet.
struct New {
    kid: String,
    private: Vec<u8>,
    jwk: Value,
}

type Row = (String, Vec<u8>, String, i64, Option<i64>);

impl Key {
    /// Whether a token it signed may still be good.
    pub(crate) fn verifies(&self, now: i64) -> bool {
        self.verifies_until.is_none_or(|until| now < until)
    }

    fn open(sealer: &Sealer, (kid, private, jwk, signs_from, verifies_until): Row) -> Result<Self, SealError> {
        let context = context(&kid);
        let pem = sealer.open(&context, &private)?;
        let damaged = || SealError::Damaged { context: context.clone() };
        let pem = std::str::from_utf8(&pem).map_err(|_| damaged())?;
        let signing = SigningKey::from(SecretKey::from_pkcs8_pem(pem).map_err(|_| damaged())?);
        let verifying = *signing.verifying_key();
        let jwk = serde_json::from_str(&jwk).map_err(|_| damaged())?;
        Ok(Self { kid, signing, verifying, jwk, signs_from, verifies_until })
    }
}

fn context(kid: &str) -> String {
    format!("the signing key {kid}")
}

fn new_key(sealer: &Sealer) -> Result<New, SealError> {
    let secret = loop {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| SealError::Random)?;
        // Zero and what is beyond the curve's order are no keys: one in 2^32.
        if let Ok(secret) = SecretKey::from_slice(&random) {
            break secret;
        }
    };
    let point = secret.public_key().to_encoded_point(false);
    let coordinate = |bytes: Option<&p256::FieldBytes>| BASE64.encode(bytes.map_or(&[][..], |bytes| &bytes[..]));
    let (x, y) = (coordinate(point.x()), coordinate(point.y()));
    // RFC 7638: the name follows from the key.
    let kid = BASE64.encode(Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)));
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256", "kid": kid});
    let damaged = |_| SealError::Damaged { context: context(&kid) };
    let pem = secret.to_pkcs8_pem(LineEnding::LF).map_err(damaged)?;
    let private = sealer.seal(&context(&kid), pem.as_bytes())?;
    Ok(New { kid, private, jwk })
}

impl Identity {
    /// Makes the first key unless there is one. Of replicas that start at once, one makes it.
    pub(crate) async fn make_first_key(&self) -> Result<()> {
        let new = new_key(self.sealer())?;
        let (now, jwk) = (self.now(), new.jwk.to_string());
        let made: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            // Whoever comes second waits for this row, and then sees the key.
            sqlx::query("UPDATE state SET version = version").execute(&mut *connection).await?;
            let made = sqlx::query(
                "INSERT INTO keys (kid, private, public_jwk, created_at, signs_from) SELECT $1, $2, $3, $4, $4 \
                 WHERE NOT EXISTS (SELECT 1 FROM keys)",
            );
            let made = made.bind(&new.kid).bind(&new.private[..]).bind(&jwk).bind(now);
            if made.execute(&mut *connection).await?.rows_affected() > 0 {
                sqlx::query("UPDATE state SET version = version + 1").execute(&mut *connection).await?;
            }
            Ok(())
        });
        Ok(made?)
    }

    /// Every key that is good for something.
    pub(crate) async fn read_keys(&self) -> Result<Vec<Key>> {
        let now = self.now();
        let rows: Result<Vec<Row>, sqlx::Error> = reading!(self.db(), connection => {
            let keys = "SELECT kid, private, public_jwk, signs_from, verifies_until FROM keys \
                        WHERE verifies_until IS NULL OR verifies_until > $1 ORDER BY signs_from, kid";
            sqlx::query_as(keys).bind(now).fetch_all(connection).await
        });
        rows?.into_iter().map(|row| Key::open(self.sealer(), row).map_err(Error::from)).collect()
    }

    /// Makes a new key. It is published at once and signs after a minute; the keys before it verify until the last token
    /// they may have signed has expired. While a new key waits to sign, that one is the answer.
    pub async fn rotate_keys(&self) -> Result<Rotation> {
        let new = new_key(self.sealer())?;
        let now = self.now();
        let signs_from = now + micros(PUBLISHED_BEFORE);
        let verifies_until = signs_from + micros(LIFE_MAX) + micros(LATE);
        let jwk = new.jwk.to_string();
        let rotated: Result<Option<(String, i64)>, sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("UPDATE state SET version = version + 1").execute(&mut *connection).await?;
            sqlx::query("DELETE FROM keys WHERE verifies_until <= $1").bind(now).execute(&mut *connection).await?;
            let waiting = sqlx::query_as("SELECT kid, signs_from FROM keys WHERE signs_from > $1").bind(now);
            let waiting: Option<(String, i64)> = waiting.fetch_optional(&mut *connection).await?;
            if waiting.is_some() {
                return Ok(waiting);
            }
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM keys").fetch_one(&mut *connection).await?;
            if count >= KEYS_MAX {
                return Ok(None);
            }
            let until = sqlx::query("UPDATE keys SET verifies_until = $1 WHERE verifies_until IS NULL");
            until.bind(verifies_until).execute(&mut *connection).await?;
            let insert = "INSERT INTO keys (kid, private, public_jwk, created_at, signs_from) VALUES ($1, $2, $3, $4, $5)";
            let insert = sqlx::query(insert).bind(&new.kid).bind(&new.private[..]).bind(&jwk).bind(now).bind(signs_from);
            insert.execute(&mut *connection).await?;
            Ok(Some((new.kid.clone(), signs_from)))
        });
        let (kid, signs_from) = rotated?.ok_or(Error::TooManyKeys)?;
        self.look().await?;
        let signs_from = Timestamp::from_microsecond(signs_from).unwrap_or(Timestamp::MAX);
        Ok(Rotation { kid, signs_from })
    }

    /// Deletes keys of which nothing is good any more.
    pub(crate) async fn delete_old_keys(&self) -> Result<()> {
        let now = self.now();
        let deleted: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("DELETE FROM keys WHERE verifies_until <= $1").bind(now).execute(&mut *connection).await?;
            sqlx::query("DELETE FROM revoked WHERE until <= $1").bind(now).execute(&mut *connection).await?;
            Ok(())
        });
        Ok(deleted?)
    }

    /// The public keys, as a JWK set: those that sign, will sign, or have signed something that may be good.
    pub fn public_keys(&self) -> Value {
        let now = self.now();
        let keys: Vec<Value> =
            self.known().keys.values().filter(|key| key.verifies(now)).map(|key| key.jwk.clone()).collect();
        json!({"keys": keys})
    }
}

pub(crate) fn micros(duration: jiff::SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
