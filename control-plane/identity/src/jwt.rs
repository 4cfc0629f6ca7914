//! Access tokens: JWTs that this service issues, and takes from nobody else.
//!
//! One algorithm, one type, one issuer, one audience, keys of ours only, and a header that says nothing more: whatever
//! else a token brings (`jku`, `jwk`, `x5u`, `crit`, another `alg`) is refused before anything is looked up.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use jiff::{SignedDuration, Timestamp};
use p256::ecdsa::{
    Signature,
    signature::{Signer, Verifier},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, Identity, Result, Subject, known};

/// For whom the tokens are.
pub const AUDIENCE: &str = "dropmate";
/// How long a person's token is good; then the session is asked for a new one.
pub const ACCESS_LIFE: SignedDuration = SignedDuration::from_mins(15);
/// The longest that a service account's token may be good.
pub const LIFE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Larger is no token of ours.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Replicas' clocks may differ by so much: a token from a little ahead is taken.
const AHEAD_SECONDS_MAX: i64 = 5;
/// What a service account's `sub` begins with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// What the `sub` of a driver's phone begins with.
pub(crate) const DRIVER: &str = "system:driver:";

/// Whom a person's token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserClaims {
    /// The user's uid.
    pub uid: String,
    /// The address, in lower case.
    pub email: String,
    /// How the user is called.
    pub name: String,
    /// Whether the address is known to be the user's.
    pub verified: bool,
    /// The session.
    pub sid: String,
}

/// Whose a good token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person.
    Person {
        /// The user's uid.
        uid: String,
        /// The address, in lower case.
        email: String,
        /// How the user is called.
        name: String,
        /// Whether the address is known to be the user's.
        verified: bool,
    },
    /// A phone of a driver, if the Driver of that uid is still there: that, this service cannot tell.
    Driver {
        /// The Driver's namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// A service account, if the one of that uid is still there: that, this service cannot tell.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub subject: Principal,
    /// The session (`sid`), or the token's id where there is none.
    pub session: String,
    /// The token's id.
    pub jti: String,
    /// When it was issued, in whole seconds.
    pub issued_at: Timestamp,
    /// From then on it is no longer good.
    pub expires_at: Timestamp,
}

/// Why a token is not good. For tests and logs: callers hear 401 and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Too large, not three parts of base64url, or no JSON of the right form.
    #[error("it is malformed")]
    Malformed,
    /// The header says something else than ours do.
    #[error("its header is not one of ours")]
    Header,
    /// No key of that name verifies.
    #[error("its key is not known")]
    Key,
    /// The signature is not the key's.
    #[error("its signature is wrong")]
    Signature,
    /// Another issuer or audience, or claims that do not fit together.
    #[error("its claims are not ours")]
    Claims,
    /// It is from the future, has expired, or lasts too long.
    #[error("it is not good at this time")]
    Time,
    /// It, its session or its subject has been revoked.
    #[error("it has been revoked")]
    Revoked,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Unknown claims are passed over: a replica of the next version may write more. None that we read may be there twice.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    jti: String,
    iat: i64,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sa_uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    driver_uid: Option<String>,
}

impl Identity {
    /// The token of a person, or of a driver's phone, good for [`ACCESS_LIFE`]. From the keys in memory.
    pub fn issue_access(&self, who: &UserClaims) -> Result<String> {
        let subjects = [Subject::Session(who.sid.clone()), Subject::User(who.uid.clone())];
        let claims = self.claims(&subjects, ACCESS_LIFE);
        if who.email.starts_with(DRIVER) {
            let (sub, sid, driver_uid) = (who.email.clone(), Some(who.sid.clone()), Some(who.uid.clone()));
            return self.sign(&Claims { sub, sid, driver_uid, ..claims });
        }
        let claims = Claims {
            sub: who.uid.clone(),
            sid: Some(who.sid.clone()),
            email: Some(who.email.clone()),
            name: Some(who.name.clone()),
            email_verified: Some(who.verified),
            ..claims
        };
        self.sign(&claims)
    }

    /// A service account's token, and when it expires: after `expires_in`, or [`LIFE_MAX`] if that is less.
    pub fn issue_service_account(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        expires_in: SignedDuration,
    ) -> Result<(String, Timestamp)> {
        let subject =
            Subject::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned() };
        let claims = Claims {
            sub: format!("{SERVICE_ACCOUNT}{namespace}:{name}"),
            sa_uid: Some(uid.to_owned()),
            ..self.claims(&[subject], expires_in.min(LIFE_MAX))
        };
        let expires_at = Timestamp::from_second(claims.exp).unwrap_or(Timestamp::MAX);
        Ok((self.sign(&claims)?, expires_at))
    }

    fn claims(&self, subjects: &[Subject], life: SignedDuration) -> Claims {
        let known = self.known();
        let now = self.now();
        let mut iat = now.div_euclid(1_000_000);
        // Times in tokens are whole seconds: what is issued in the second of a revocation, and after it, is dated to the
        // next one, or it would be taken for older.
        let revoked = subjects.iter().filter_map(|subject| known.revoked.get(&subject.to_string())).max();
        if revoked.is_some_and(|before| *before <= now && iat * 1_000_000 <= *before) {
            iat += 1;
        }
        Claims {
            iss: self.issuer().to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: String::new(),
            sid: None,
            jti: Uuid::new_v4().to_string(),
            iat,
            exp: iat + life.as_secs(),
            email: None,
            name: None,
            email_verified: None,
            sa_uid: None,
            driver_uid: None,
        }
    }

    fn sign(&self, claims: &Claims) -> Result<String> {
        let now = self.now();
        let known = self.known();
        let key = known.keys.values().filter(|key| key.signs_from <= now).max_by_key(|key| key.signs_from);
        let key = key.ok_or(Error::NoKey)?;
        let header = Header { alg: "ES256".to_owned(), typ: "at+jwt".to_owned(), kid: key.kid.clone() };
        let part = |json: serde_json::Result<Vec<u8>>| BASE64.encode(json.expect("texts and numbers are JSON"));
        let signed = format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(claims)));
        let signature: Signature = key.signing.sign(signed.as_bytes());
        let token = format!("{signed}.{}", BASE64.encode(signature.to_bytes()));
        // Names and addresses are bounded where they come in.
        if token.len() > TOKEN_BYTES_MAX { Err(Error::TokenTooLarge) } else { Ok(token) }
    }

    /// What a token says, if it is one of ours and good now. No I/O.
    pub fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| BASE64.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Header)?;
        if header.alg != "ES256" || header.typ != "at+jwt" {
            return Err(TokenError::Header);
        }
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        let known = self.known();
        let now = self.now();
        let key = known.keys.get(&header.kid).filter(|key| key.verifies(now)).ok_or(TokenError::Key)?;
        let signature = Signature::from_slice(&signature).map_err(|_| TokenError::Signature)?;
        key.verifying.verify(signed.as_bytes(), &signature).map_err(|_| TokenError::Signature)?;
        let verified = self.check(&claims, now.div_euclid(1_000_000))?;
        if known::is_revoked(&known, &verified) { Err(TokenError::Revoked) } else { Ok(verified) }
    }

    fn check(&self, claims: &[u8], now: i64) -> Result<Verified, TokenError> {
        let claims: Claims = serde_json::from_slice(claims).map_err(|_| TokenError::Claims)?;
        if claims.iss != self.issuer() || claims.aud != AUDIENCE || claims.jti.is_empty() {
            return Err(TokenError::Claims);
        }
        let subject = principal(&claims).ok_or(TokenError::Claims)?;
        let life = match subject {
            Principal::Person { .. } | Principal::Driver { .. } => ACCESS_LIFE,
            Principal::ServiceAccount { .. } => LIFE_MAX,
        };
        let lasts = claims.exp.checked_sub(claims.iat).ok_or(TokenError::Time)?;
        let good = claims.iat <= now + AHEAD_SECONDS_MAX && now < claims.exp && lasts > 0 && lasts <= life.as_secs();
        let at = |seconds| Timestamp::from_second(seconds).map_err(|_| TokenError::Time);
        let (issued_at, expires_at) = (at(claims.iat)?, at(claims.exp)?);
        if !good {
            return Err(TokenError::Time);
        }
        let session = claims.sid.unwrap_or_else(|| claims.jti.clone());
        Ok(Verified { subject, session, jti: claims.jti, issued_at, expires_at })
    }
}

fn principal(claims: &Claims) -> Option<Principal> {
    if let Some(account) = claims.sub.strip_prefix(SERVICE_ACCOUNT) {
        let (namespace, name) = account.split_once(':')?;
        let uid = claims.sa_uid.clone()?;
        let whole = ![namespace, name, &uid].contains(&"") && !name.contains(':') && claims.sid.is_none();
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        return (whole && claims.driver_uid.is_none()).then_some(Principal::ServiceAccount { namespace, name, uid });
    }
    let sid = claims.sid.as_deref()?;
    if let Some(driver) = claims.sub.strip_prefix(DRIVER) {
        let (namespace, name) = driver.split_once(':')?;
        let uid = claims.driver_uid.clone()?;
        let whole = ![namespace, name, &uid, sid].contains(&"") && !name.contains(':');
        let alone = claims.sa_uid.is_none() && claims.email.is_none();
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        return (whole && alone).then_some(Principal::Driver { namespace, name, uid });
    }
    let email = claims.email.clone()?;
    let whole = ![sid, &claims.sub].contains(&"")
        && email.contains('@')
        && !email.starts_with("system:")
        && claims.sa_uid.is_none()
        && claims.driver_uid.is_none();
    let (name, verified) = (claims.name.clone()?, claims.email_verified?);
    whole.then_some(Principal::Person { uid: claims.sub.clone(), email, name, verified })
}

/// The `iss` that a token claims, of whatever it is worth: it only says who is to check the rest.
pub fn claimed_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    if token.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let claims = BASE64.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Issuer>(&claims).ok().map(|claims| claims.iss)
}
