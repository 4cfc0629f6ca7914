//! The second factor: codes by time (RFC 6238, SHA-1, 30 s, six digits), each good once.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha1::Sha1;

use dropmate_sql::writing;

use crate::{
    Error, Identity, Result,
    users::{Account, User},
};

const SECOND: i64 = 1_000_000;
/// Seconds of a code.
const STEP: i64 = 30;
/// Bytes of a secret: what the RFC recommends, and what every app takes.
const SECRET_BYTES: usize = 20;
/// How long an enrolment may take.
const ENROLMENT_LIFE: i64 = 10 * 60 * SECOND;
/// Characters of what an enrolment hands out; more is none of ours.
const ENROLMENT_MAX: usize = 1_024;

/// A second factor as it is kept, sealed.
#[derive(Serialize, Deserialize)]
struct Factor {
    secret: [u8; SECRET_BYTES],
    /// The newest step whose code was used: it and those before are good no more.
    used_step: i64,
}

/// A second factor that is being set up: kept by the client alone, sealed.
#[derive(Serialize, Deserialize)]
struct Pending {
    secret: [u8; SECRET_BYTES],
    until: i64,
}

/// What a user needs to set up a second factor.
#[derive(Clone)]
pub struct Enrolment {
    /// For an app that takes a picture or a link: `otpauth://…`.
    pub url: String,
    /// For one that takes letters.
    pub secret: String,
    /// To be given back with the first code.
    pub enrolment: String,
}

/// The code of a step.
fn code(secret: &[u8], step: i64) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(&step.to_be_bytes());
    let hash: [u8; 20] = mac.finalize().into_bytes().into();
    let at = usize::from(hash[19] & 0xf);
    let number = u32::from_be_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// The step that a code is of, if it is of now or one beside it, and newer than the newest that was used.
fn step_of(secret: &[u8], given: &str, used_step: i64, now: i64) -> Option<i64> {
    let current = now.div_euclid(STEP * SECOND);
    (current - 1..=current + 1).find(|step| *step > used_step && code(secret, *step) == given.trim())
}

/// RFC 4648, without padding.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    let digit = |at: usize| (0..5).fold(0, |digit, offset| digit << 1 | usize::from(bit(at * 5 + offset)));
    (0..(bytes.len() * 8).div_ceil(5)).map(|at| char::from(LETTERS[digit(at)])).collect()
}

impl Identity {
    /// Begins to set up a second factor. Nothing changes until [`confirm_second_factor`](Self::confirm_second_factor).
    pub fn enrol_second_factor(&self, user: &User) -> Result<Enrolment> {
        if user.second_factor {
            return Err(Error::Conflict("there is a second factor already; remove it first".to_owned()));
        }
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(|error| Error::Internal(format!("no random bytes: {error}")))?;
        let pending = Pending { secret, until: self.now() + ENROLMENT_LIFE };
        let text = base32(&secret);
        Ok(Enrolment {
            url: format!(
                "otpauth://totp/DropMate:{}?secret={text}&issuer=DropMate",
                user.email.replace('%', "%25").replace('?', "%3F").replace('#', "%23").replace('/', "%2F")
            ),
            secret: text,
            enrolment: hex::encode(self.sealed(&enrolment_context(user), &pending)?),
        })
    }

    /// Sets up the second factor of an enrolment, for who can make its codes.
    pub async fn confirm_second_factor(&self, user: &User, enrolment: &str, given: &str) -> Result<()> {
        let wrong = |field, why: &str| Err(Error::Invalid { field, why: why.to_owned() });
        let sealed = if enrolment.len() <= ENROLMENT_MAX { hex::decode(enrolment).ok() } else { None };
        let pending: Option<Pending> = sealed.and_then(|sealed| self.opened(&enrolment_context(user), &sealed).ok());
        let now = self.now();
        let Some(pending) = pending.filter(|pending| pending.until > now) else {
            return wrong("enrolment", "is not one of this user's, or is older than ten minutes; begin again");
        };
        let Some(used_step) = step_of(&pending.secret, given, 0, now) else {
            return wrong("code", "is not the code of now; check the clock of the device");
        };
        let factor = self.sealed(&factor_context(user), &Factor { secret: pending.secret, used_step })?;
        let set: Result<Option<String>, sqlx::Error> = writing!(self.db(), connection =>
            sqlx::query_scalar("UPDATE users SET totp = $2 WHERE uid = $1 AND totp IS NULL RETURNING uid")
                .bind(&user.uid).bind(&factor).fetch_optional(&mut *connection).await);
        let already = || Error::Conflict("there is a second factor already; remove it first".to_owned());
        set?.map(|_| ()).ok_or_else(already)
    }

    /// Takes a user's second factor away.
    pub async fn remove_second_factor(&self, user: &User) -> Result<()> {
        let removed: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("UPDATE users SET totp = NULL WHERE uid = $1").bind(&user.uid).execute(&mut *connection).await?;
            Ok(())
        });
        Ok(removed?)
    }

    /// Checks the code of an account's second factor, if it has one, and uses it up.
    pub(crate) async fn prove_second_factor(&self, account: &Account, given: Option<&str>) -> Result<()> {
        let Some(kept) = &account.totp else { return Ok(()) };
        let given = given.ok_or(Error::SecondFactor)?;
        let uid = &account.user.uid;
        let context = factor_context(&account.user);
        let mut factor: Factor = self.opened(&context, kept)?;
        factor.used_step = step_of(&factor.secret, given, factor.used_step, self.now()).ok_or(Error::Credentials)?;
        let next = self.sealed(&context, &factor)?;
        // Of two who come with one code, one finds it as it was read.
        let used: Result<Option<String>, sqlx::Error> = writing!(self.db(), connection =>
            sqlx::query_scalar("UPDATE users SET totp = $3 WHERE uid = $1 AND totp = $2 RETURNING uid")
                .bind(uid).bind(kept).bind(&next).fetch_optional(&mut *connection).await);
        used?.map(|_| ()).ok_or(Error::Credentials)
    }

    fn sealed(&self, context: &str, value: &impl Serialize) -> Result<Vec<u8>> {
        let plain = serde_json::to_vec(value).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(self.sealer().seal(context, &plain)?)
    }

    fn opened<T: for<'de> Deserialize<'de>>(&self, context: &str, sealed: &[u8]) -> Result<T> {
        let plain = self.sealer().open(context, sealed)?;
        serde_json::from_slice(&plain).map_err(|error| Error::Internal(error.to_string()))
    }
}

fn factor_context(user: &User) -> String {
    format!("totp/{}", user.uid)
}

fn enrolment_context(user: &User) -> String {
    format!("totp-enrolment/{}", user.uid)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const SECRET: &[u8] = b"12345678901234567890";

    /// The vectors of RFC 6238 for SHA-1, of which six digits are kept.
    #[rstest]
    #[case(59, "287082")]
    #[case(1_111_111_109, "081804")]
    #[case(1_111_111_111, "050471")]
    #[case(1_234_567_890, "005924")]
    #[case(2_000_000_000, "279037")]
    #[case(20_000_000_000, "353130")]
    fn codes_are_those_of_the_rfc(#[case] seconds: i64, #[case] expected: &str) {
        assert_eq!(code(SECRET, seconds / STEP), expected);
    }

    #[test]
    fn a_code_is_good_a_step_before_and_after_and_once() {
        let at = |seconds: i64| seconds * SECOND;
        let given = code(SECRET, 100);
        let good = |now| step_of(SECRET, &given, 0, now);
        assert_eq!(
            [at(2_969), at(2_970), at(3_000), at(3_059), at(3_060)].map(good),
            [None, Some(100), Some(100), Some(100), None]
        );
        assert_eq!(step_of(SECRET, &given, 100, at(3_000)), None, "used up");
        assert_eq!(step_of(SECRET, &given, 101, at(3_000)), None, "older than what was used");
        assert_eq!(step_of(SECRET, &format!(" {given}"), 99, at(3_000)), Some(100));
        for wrong in ["", "12345", "1234567", "abcdef"] {
            assert_eq!(step_of(SECRET, wrong, 0, at(3_000)), None, "{wrong}");
        }
    }

    #[rstest]
    #[case(b"", "")]
    #[case(b"f", "MY")]
    #[case(b"foob", "MZXW6YQ")]
    #[case(b"foobar", "MZXW6YTBOI")]
    fn letters_are_those_of_the_rfc(#[case] bytes: &[u8], #[case] expected: &str) {
        assert_eq!(base32(bytes), expected);
    }
}
