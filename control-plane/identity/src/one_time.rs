//! Links that are good once: invitations and resets.

use jiff::Timestamp;

use dropmate_sql::{reading, writing};

use crate::{
    Error, Identity, Result,
    secret::{digest, new_secret},
    sessions::{TOKEN_MAX, ending},
    users::{User, check_password, normalized_email, timestamp},
};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Invitation,
    Reset,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Reset => "reset",
        }
    }

    /// For how long it is good: an invitation over a week of holidays, a reset for as long as somebody waits for it.
    fn life(self) -> i64 {
        match self {
            Self::Invitation => 7 * 24 * HOUR,
            Self::Reset => HOUR,
        }
    }
}

/// A link's token, shown once.
#[derive(Clone)]
pub struct OneTime {
    /// What the link carries.
    pub token: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// The Member that somebody is invited to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Who.
    pub email: String,
    /// The Member's namespace.
    pub namespace: String,
    /// Its name.
    pub member: String,
    /// Its uid: another Member of that name is not meant.
    pub member_uid: String,
}

impl Identity {
    /// A link for somebody to become that Member. It takes the place of any before it.
    pub async fn invite(&self, invitation: &Invitation) -> Result<OneTime> {
        let email = normalized_email(&invitation.email)?;
        let subject = format!("{}/{}", invitation.namespace, invitation.member);
        self.issue_link(Purpose::Invitation, &subject, &email, Some(invitation)).await
    }

    /// A link for a user to set a new password. It takes the place of any before it.
    pub async fn reset_link(&self, email: &str) -> Result<OneTime> {
        let email = normalized_email(email)?;
        let user = self.user(&email).await?.ok_or_else(|| Error::NoSuchUser(email.clone()))?;
        if user.disabled {
            return Err(Error::Conflict(format!("the user {email} is disabled; enable it first")));
        }
        self.issue_link(Purpose::Reset, &email, &email, None).await
    }

    /// What an invitation's token is for, while it is good. [`Error::BadLink`] otherwise.
    pub async fn invitation(&self, token: &str) -> Result<Invitation> {
        if token.len() > TOKEN_MAX {
            return Err(Error::BadLink);
        }
        let (hash, now) = (digest(token), self.now());
        let found: Result<Option<(String, String, String, String)>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT email, namespace, member, member_uid FROM one_time
                 WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3",
            )
            .bind(&hash).bind(Purpose::Invitation.name()).bind(now).fetch_optional(connection).await);
        let (email, namespace, member, member_uid) = found?.ok_or(Error::BadLink)?;
        Ok(Invitation { email, namespace, member, member_uid })
    }

    /// Uses up an invitation's token. Of all who try, one does.
    pub async fn use_invitation(&self, token: &str) -> Result<()> {
        let (hash, now) = (digest(token), self.now());
        let used: Result<Option<String>, sqlx::Error> = writing!(self.db(), connection =>
            sqlx::query_scalar(USE)
                .bind(&hash).bind(Purpose::Invitation.name()).bind(now).fetch_optional(&mut *connection).await);
        used?.map(|_| ()).ok_or(Error::BadLink)
    }

    /// Sets a new password by a reset's token, which is used up, and ends all sessions.
    pub async fn reset(&self, token: &str, password: &str) -> Result<User> {
        if token.len() > TOKEN_MAX {
            return Err(Error::BadLink);
        }
        let (hash, purpose) = (digest(token), Purpose::Reset.name());
        // Before the work of hashing: who has no good link gets none of it.
        let email: Result<Option<String>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_scalar(
                "SELECT email FROM one_time WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3",
            )
            .bind(&hash).bind(purpose).bind(self.now()).fetch_optional(connection).await);
        let user = self.user(&email?.ok_or(Error::BadLink)?).await?.ok_or(Error::BadLink)?;
        check_password("password", password, &user.email, &user.name)?;
        let (password, now) = (self.hashed(password).await?, self.now());
        let set: Result<bool, sqlx::Error> = writing!(self.db(), connection => {
            let email: Option<String> =
                sqlx::query_scalar(USE).bind(&hash).bind(purpose).bind(now).fetch_optional(&mut *connection).await?;
            let set = "UPDATE users SET password = $2 WHERE uid = $1 AND disabled_at IS NULL RETURNING uid";
            let set: Option<String> = if email.is_some() {
                sqlx::query_scalar(set).bind(&user.uid).bind(&password).fetch_optional(&mut *connection).await?
            } else {
                None
            };
            if set.is_some() {
                ending!(connection, &user.uid, "", now, "reset");
            }
            Ok(set.is_some())
        });
        if !set? {
            return Err(Error::BadLink);
        }
        self.heard_of_changes().await;
        Ok(user)
    }

    async fn issue_link(
        &self,
        purpose: Purpose,
        subject: &str,
        email: &str,
        invitation: Option<&Invitation>,
    ) -> Result<OneTime> {
        let (token, now) = (new_secret()?, self.now());
        let (hash, expires_at) = (digest(&token), now + purpose.life());
        let issued: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query(
                "INSERT INTO one_time
                     (purpose, subject, hash, email, namespace, member, member_uid, created_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (purpose, subject) DO UPDATE SET
                     hash = excluded.hash, email = excluded.email, namespace = excluded.namespace,
                     member = excluded.member, member_uid = excluded.member_uid, created_at = excluded.created_at,
                     expires_at = excluded.expires_at, used_at = NULL",
            )
            .bind(purpose.name())
            .bind(subject)
            .bind(&hash)
            .bind(email)
            .bind(invitation.map(|invitation| &invitation.namespace))
            .bind(invitation.map(|invitation| &invitation.member))
            .bind(invitation.map(|invitation| &invitation.member_uid))
            .bind(now)
            .bind(expires_at)
            .execute(&mut *connection)
            .await?;
            Ok(())
        });
        issued?;
        Ok(OneTime { token, expires_at: timestamp(expires_at) })
    }
}

const USE: &str = "UPDATE one_time SET used_at = $3
    WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 RETURNING email";
