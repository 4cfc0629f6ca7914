//! Sessions: a login, and the family of refresh tokens that descend from it.
//!
//! A refresh token is good once. If its answer was lost, it may be asked again for a moment; after that, whoever comes
//! with a token that has been used holds a copy, and nobody knows who the owner is: the family ends.

use jiff::Timestamp;
use uuid::Uuid;

use dropmate_sql::writing;

use crate::{
    Error, Identity, Result,
    jwt::UserClaims,
    secret::{digest, new_secret},
    users::{Account, User, timestamp},
};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3_600 * SECOND;

/// Seconds that an access token is good for.
pub const ACCESS_SECONDS: u32 = 900;
/// A refresh token may be asked again for so long, when its answer was lost.
const GRACE: i64 = 10 * SECOND;
/// A session that is not used for so long ends.
const IDLE_MAX: i64 = 30 * DAY;
/// However much it is used, it ends after that.
const LIFE_MAX: i64 = 90 * DAY;
/// Sessions of one user: the oldest end when there are more. People have a handful of devices; scripts log in anew.
const SESSIONS_MAX: i64 = 100;
/// How long the access tokens of an ended session are remembered as revoked: for as long as any of them is good, with
/// something for clocks that differ.
pub(crate) const REVOKED_FOR: i64 = (ACCESS_SECONDS as i64 + 300) * SECOND;
/// Bytes kept of what a client calls itself.
const CLIENT_MAX: usize = 200;
/// Characters of a refresh token or a link's token: what is longer is none of ours.
pub(crate) const TOKEN_MAX: usize = 256;
/// How long what has ended is kept for whoever looks into what happened.
pub(crate) const KEPT_FOR: i64 = 7 * DAY;

/// What a login or a refresh gives.
#[derive(Clone)]
pub struct Grant {
    /// A JWT, good for [`ACCESS_SECONDS`].
    pub access_token: String,
    /// Good once, for the next grant.
    pub refresh_token: String,
    /// Whose they are.
    pub user: User,
    /// The session.
    pub sid: String,
    /// When the session ends unless it is used again.
    pub expires_at: Timestamp,
}

/// A refresh token as it was found, with what it belongs to.
#[derive(Clone, Copy, Debug)]
struct Seen {
    created_at: i64,
    expires_at: i64,
    ended: bool,
    disabled: bool,
    /// When it was used.
    rotated_at: Option<i64>,
    /// When another one that was issued for the same token was used, if it was.
    sibling_rotated_at: Option<i64>,
}

/// What is done about a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is used up, and the next one is issued.
    Rotate { expires_at: i64 },
    /// Its answer was lost: another one is issued.
    Again { expires_at: i64 },
    /// Somebody holds a copy: the family ends.
    Reuse,
    /// It is good for nothing.
    Refuse,
}

fn decide(seen: &Seen, now: i64) -> Verdict {
    if seen.ended || seen.disabled || seen.expires_at <= now {
        return Verdict::Refuse;
    }
    let long_ago = |at: Option<i64>| at.is_some_and(|at| now - at > GRACE);
    if long_ago(seen.rotated_at) || long_ago(seen.sibling_rotated_at) {
        return Verdict::Reuse;
    }
    let expires_at = end_of(seen.created_at, now);
    if seen.rotated_at.is_some() { Verdict::Again { expires_at } } else { Verdict::Rotate { expires_at } }
}

/// When a session ends that began at one time and was used last at another.
pub(crate) fn end_of(created_at: i64, used_at: i64) -> i64 {
    (used_at + IDLE_MAX).min(created_at + LIFE_MAX)
}

/// Ends all sessions of a user but one (none is called ``), and revokes their access tokens: those of the ones that ended
/// a moment ago too.
macro_rules! ending {
    ($connection:expr, $uid:expr, $keep:expr, $now:expr, $reason:expr) => {
        sqlx::query($crate::sessions::REVOKE_ALL)
            .bind($uid)
            .bind($keep)
            .bind($now + $crate::sessions::REVOKED_FOR)
            .bind($now - $crate::sessions::REVOKED_FOR)
            .execute(&mut *$connection)
            .await?;
        sqlx::query($crate::sessions::END_ALL)
            .bind($uid)
            .bind($keep)
            .bind($now)
            .bind($reason)
            .execute(&mut *$connection)
            .await?;
        sqlx::query($crate::sessions::TELL_REPLICAS).execute(&mut *$connection).await?;
    };
}
pub(crate) use ending;

// No token of an ended session is good, whenever it was issued: `issued_before` is as far ahead as `until`.
pub(crate) const REVOKE_ALL: &str = "
    INSERT INTO revoked (subject, issued_before, until)
    SELECT 'sid:' || sid, $3, $3 FROM sessions
    WHERE user_uid = $1 AND sid <> $2 AND (ended_at IS NULL OR ended_at > $4)
    ON CONFLICT (subject) DO UPDATE SET issued_before = excluded.issued_before, until = excluded.until";
pub(crate) const END_ALL: &str =
    "UPDATE sessions SET ended_at = $3, end_reason = $4 WHERE user_uid = $1 AND sid <> $2 AND ended_at IS NULL";
pub(crate) const REVOKE_ONE: &str = "
    INSERT INTO revoked (subject, issued_before, until) VALUES ('sid:' || $1, $2, $2)
    ON CONFLICT (subject) DO UPDATE SET issued_before = excluded.issued_before, until = excluded.until";
pub(crate) const TELL_REPLICAS: &str = "UPDATE state SET version = version + 1";

pub(crate) const ISSUE: &str = "INSERT INTO refresh_tokens (hash, sid, issued_at, parent) VALUES ($1, $2, $3, $4)";

/// What a refresh came to.
enum Refreshed {
    Granted { access: Result<String>, sid: String, user: User, expires_at: i64 },
    Reused { user_uid: String, sid: String },
    Refused,
}

impl Identity {
    /// Begins a session for an account as it was read: not if it has changed its password or was disabled since.
    pub(crate) async fn open(&self, account: &Account, client: &str) -> Result<Option<Grant>> {
        let (sid, refresh_token, now) = (Uuid::new_v4().to_string(), new_secret()?, self.now());
        let (hash, user) = (digest(&refresh_token), &account.user);
        let expires_at = end_of(now, now);
        let claims = claims(user, &sid);
        let client = shortened(client);
        let opened: Result<Option<Result<String>>, sqlx::Error> = writing!(self.db(), connection => {
            // Locks the user: whoever disables it comes after, and finds the session.
            let lock = "UPDATE users SET name = name
                WHERE uid = $1 AND disabled_at IS NULL AND password = $2 RETURNING uid";
            let locked: Option<String> = sqlx::query_scalar(lock)
                .bind(&user.uid).bind(account.password.as_deref()).fetch_optional(&mut *connection).await?;
            if locked.is_none() {
                return Ok(None);
            }
            sqlx::query(
                "UPDATE sessions SET ended_at = $2, end_reason = 'too many' WHERE user_uid = $1 AND ended_at IS NULL
                 AND sid NOT IN (SELECT sid FROM sessions WHERE user_uid = $1 AND ended_at IS NULL
                     ORDER BY created_at DESC, sid LIMIT $3)",
            )
            .bind(&user.uid).bind(now).bind(SESSIONS_MAX - 1).execute(&mut *connection).await?;
            sqlx::query(
                "INSERT INTO sessions (sid, user_uid, client, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(&sid).bind(&user.uid).bind(client).bind(now).bind(expires_at).execute(&mut *connection).await?;
            sqlx::query(ISSUE)
                .bind(&hash).bind(&sid).bind(now).bind(None::<Vec<u8>>).execute(&mut *connection).await?;
            // Before the commit: so that it is older than any revocation that comes after.
            Ok(Some(self.issue_access(&claims)))
        });
        let Some(access) = opened? else { return Ok(None) };
        let expires_at = timestamp(expires_at);
        Ok(Some(Grant { access_token: access?, refresh_token, user: user.clone(), sid, expires_at }))
    }

    /// The next grant of a session, for its refresh token. [`Error::BadToken`] if it is good for nothing, and if it has
    /// been used before: then the session is over on all replicas.
    pub async fn refresh(&self, token: &str) -> Result<Grant> {
        if token.len() > TOKEN_MAX {
            return Err(Error::BadToken);
        }
        let (old, refresh_token, now) = (digest(token), new_secret()?, self.now());
        let new = digest(&refresh_token);
        let refreshed: Result<Refreshed, sqlx::Error> = writing!(self.db(), connection => {
            // Locks the session, so that of two who come with one token, on whatever replica, one is first.
            let lock = "UPDATE sessions SET client = client
                WHERE sid = (SELECT sid FROM refresh_tokens WHERE hash = $1)
                RETURNING sid, user_uid, created_at, expires_at, ended_at";
            let session: Option<(String, String, i64, i64, Option<i64>)> =
                sqlx::query_as(lock).bind(&old).fetch_optional(&mut *connection).await?;
            let Some((sid, user_uid, created_at, expires_at, ended_at)) = session else {
                return Ok(Refreshed::Refused);
            };
            let account: Account = sqlx::query_as(crate::users::BY_UID)
                .bind(&user_uid).fetch_one(&mut *connection).await.map(crate::users::Row::into)?;
            let token = "SELECT rotated_at, (SELECT min(rotated_at) FROM refresh_tokens AS sibling
                    WHERE sibling.parent = token.parent AND sibling.hash <> token.hash)
                FROM refresh_tokens AS token WHERE hash = $1";
            let (rotated_at, sibling_rotated_at): (Option<i64>, Option<i64>) =
                sqlx::query_as(token).bind(&old).fetch_one(&mut *connection).await?;
            let ended = ended_at.is_some();
            let disabled = account.user.disabled;
            let seen = Seen { created_at, expires_at, ended, disabled, rotated_at, sibling_rotated_at };
            match decide(&seen, now) {
                Verdict::Refuse => Ok(Refreshed::Refused),
                Verdict::Reuse => {
                    sqlx::query("UPDATE sessions SET ended_at = $2, end_reason = 'reuse' WHERE sid = $1")
                        .bind(&sid).bind(now).execute(&mut *connection).await?;
                    sqlx::query(REVOKE_ONE).bind(&sid).bind(now + REVOKED_FOR).execute(&mut *connection).await?;
                    sqlx::query(TELL_REPLICAS).execute(&mut *connection).await?;
                    Ok(Refreshed::Reused { user_uid, sid })
                }
                Verdict::Rotate { expires_at } | Verdict::Again { expires_at } => {
                    // Its grace runs from its first use.
                    sqlx::query("UPDATE refresh_tokens SET rotated_at = COALESCE(rotated_at, $2) WHERE hash = $1")
                        .bind(&old).bind(now).execute(&mut *connection).await?;
                    sqlx::query(ISSUE)
                        .bind(&new).bind(&sid).bind(now).bind(Some(&old)).execute(&mut *connection).await?;
                    sqlx::query("UPDATE sessions SET expires_at = $2 WHERE sid = $1")
                        .bind(&sid).bind(expires_at).execute(&mut *connection).await?;
                    let access = self.issue_access(&claims(&account.user, &sid));
                    Ok(Refreshed::Granted { access, sid, user: account.user, expires_at })
                }
            }
        });
        match refreshed? {
            Refreshed::Granted { access, sid, user, expires_at } => {
                let expires_at = timestamp(expires_at);
                Ok(Grant { access_token: access?, refresh_token, user, sid, expires_at })
            }
            Refreshed::Reused { user_uid, sid } => {
                tracing::warn!(
                    user.uid = user_uid,
                    session = sid,
                    "a refresh token was used twice; its session is over"
                );
                self.heard_of_changes().await;
                Err(Error::BadToken)
            }
            Refreshed::Refused => Err(Error::BadToken),
        }
    }

    /// Ends the session of a refresh token, with its access tokens. What is no token is no session's: nothing happens.
    pub async fn logout(&self, token: &str) -> Result<()> {
        if token.len() > TOKEN_MAX {
            return Ok(());
        }
        let (hash, now) = (digest(token), self.now());
        let ended: Result<bool, sqlx::Error> = writing!(self.db(), connection => {
            let end = "UPDATE sessions SET ended_at = $2, end_reason = 'logout'
                WHERE sid = (SELECT sid FROM refresh_tokens WHERE hash = $1) AND ended_at IS NULL RETURNING sid";
            let sid: Option<String> =
                sqlx::query_scalar(end).bind(&hash).bind(now).fetch_optional(&mut *connection).await?;
            if let Some(sid) = &sid {
                sqlx::query(REVOKE_ONE).bind(sid).bind(now + REVOKED_FOR).execute(&mut *connection).await?;
                sqlx::query(TELL_REPLICAS).execute(&mut *connection).await?;
            }
            Ok(sid.is_some())
        });
        if ended? {
            self.heard_of_changes().await;
        }
        Ok(())
    }

    /// Forgets sessions and links that ended long ago, and refresh tokens that were used longer ago than a session may
    /// rest. To be called now and then, on any replica.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.now();
        let swept: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            for (statement, before) in [
                ("DELETE FROM sessions WHERE ended_at < $1 OR expires_at < $1", now - KEPT_FOR),
                ("DELETE FROM refresh_tokens WHERE rotated_at < $1", now - IDLE_MAX),
                ("DELETE FROM one_time WHERE expires_at < $1", now - KEPT_FOR),
                ("DELETE FROM mails WHERE expires_at < $1", now - KEPT_FOR),
                ("DELETE FROM tickets WHERE expires_at < $1", now),
            ] {
                sqlx::query(statement).bind(before).execute(&mut *connection).await?;
            }
            Ok(())
        });
        swept?;
        self.sweep_pairings().await
    }
}

impl Identity {
    /// Looks at what this replica has just revoked; the others look within a second, and so would this one.
    pub(crate) async fn heard_of_changes(&self) {
        if let Err(error) = self.look().await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "cannot look at what was revoked; trying again within a second");
        }
    }
}

pub(crate) fn claims(user: &User, sid: &str) -> UserClaims {
    UserClaims {
        uid: user.uid.clone(),
        email: user.email.clone(),
        name: user.name.clone(),
        verified: user.verified,
        sid: sid.to_owned(),
    }
}

pub(crate) fn shortened(client: &str) -> &str {
    &client[..client.floor_char_boundary(CLIENT_MAX)]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const FRESH: Seen = Seen {
        created_at: 0,
        expires_at: IDLE_MAX,
        ended: false,
        disabled: false,
        rotated_at: None,
        sibling_rotated_at: None,
    };

    #[rstest]
    #[case::fresh(FRESH, 5 * DAY, Verdict::Rotate { expires_at: 35 * DAY })]
    #[case::near_the_end(Seen { expires_at: 90 * DAY, ..FRESH }, 80 * DAY, Verdict::Rotate { expires_at: 90 * DAY })]
    #[case::idle_too_long(FRESH, 30 * DAY, Verdict::Refuse)]
    #[case::lost_answer(Seen { rotated_at: Some(DAY), ..FRESH }, DAY + GRACE, Verdict::Again { expires_at: 31 * DAY + GRACE })]
    #[case::copy(Seen { rotated_at: Some(DAY), ..FRESH }, DAY + GRACE + 1, Verdict::Reuse)]
    #[case::sibling_a_moment_ago(
        Seen { sibling_rotated_at: Some(DAY), ..FRESH }, DAY + GRACE, Verdict::Rotate { expires_at: 31 * DAY + GRACE }
    )]
    #[case::both_siblings_go_on(Seen { sibling_rotated_at: Some(DAY), ..FRESH }, DAY + GRACE + 1, Verdict::Reuse)]
    #[case::ended(Seen { ended: true, ..FRESH }, 1, Verdict::Refuse)]
    #[case::a_copy_of_an_ended_one(Seen { ended: true, rotated_at: Some(1), ..FRESH }, DAY, Verdict::Refuse)]
    #[case::disabled(Seen { disabled: true, ..FRESH }, 1, Verdict::Refuse)]
    fn a_refresh_token_is_judged(#[case] seen: Seen, #[case] now: i64, #[case] verdict: Verdict) {
        assert_eq!(decide(&seen, now), verdict);
    }

    #[test]
    fn a_client_that_calls_itself_much_is_cut_at_a_character() {
        assert_eq!(shortened(&"ä".repeat(300)), "ä".repeat(100));
        assert_eq!(shortened("curl/8"), "curl/8");
    }
}
