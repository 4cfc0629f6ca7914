//! Links that are good once: invitations, resets and verifications. Each is mailed as well.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use dropmate_sql::{reading, writing};

use crate::{
    Error, Identity, Result,
    mails::{self, Letter},
    secret::{digest, new_secret},
    sessions::{TOKEN_MAX, ending},
    users::{User, check_password, normalized_email, timestamp},
};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// What somebody who shows nothing may have sent to an address: one mail in so much time, …
const MAILS_APART: i64 = 300 * SECOND;
/// … and so many in a day. More help nobody who waits for one, and bother who did not ask.
const MAILS_A_DAY: i64 = 6;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Invitation,
    Reset,
    Verification,
}

impl Purpose {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Reset => "reset",
            Self::Verification => "verification",
        }
    }

    /// For how long it is good: an invitation over a week of holidays, a reset for as long as somebody waits for it, a
    /// verification over a night.
    fn life(self) -> i64 {
        match self {
            Self::Invitation => 7 * 24 * HOUR,
            Self::Reset => HOUR,
            Self::Verification => 24 * HOUR,
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

/// A link on its way into the database, with its mail.
pub(crate) struct Issued {
    pub(crate) purpose: Purpose,
    pub(crate) subject: String,
    pub(crate) email: String,
    pub(crate) invitation: Option<Invitation>,
    pub(crate) letter: Letter,
    pub(crate) token: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) id: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) mailed_only: bool,
    pub(crate) now: i64,
    pub(crate) expires_at: i64,
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
    pub async fn invite(&self, invitation: &Invitation, letter: &Letter) -> Result<OneTime> {
        let email = normalized_email(&invitation.email)?;
        let subject = format!("{}/{}", invitation.namespace, invitation.member);
        self.issue_link(Purpose::Invitation, &subject, &email, Some(invitation), letter).await
    }

    /// A link for a user to set a new password. It takes the place of any before it.
    pub async fn reset_link(&self, email: &str, letter: &Letter) -> Result<OneTime> {
        let email = normalized_email(email)?;
        let user = self.user(&email).await?.ok_or_else(|| Error::NoSuchUser(email.clone()))?;
        if user.disabled {
            return Err(Error::Conflict(format!("the user {email} is disabled; enable it first")));
        }
        self.issue_link(Purpose::Reset, &email, &email, None, letter).await
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
            let mailed: Option<i64> = sqlx::query_scalar(
                "SELECT mailed_only FROM one_time WHERE hash = $1 AND purpose = $2",
            )
            .bind(&hash).bind(purpose).fetch_optional(&mut *connection).await?;
            let email: Option<String> =
                sqlx::query_scalar(USE).bind(&hash).bind(purpose).bind(now).fetch_optional(&mut *connection).await?;
            // What only the mailbox got shows that the mailbox is theirs.
            let shown = mailed.filter(|mailed| *mailed != 0).map(|_| now);
            let set = "UPDATE users SET password = $2, verified_at = COALESCE(verified_at, $3)
                WHERE uid = $1 AND disabled_at IS NULL RETURNING uid";
            let set: Option<String> = if email.is_some() {
                sqlx::query_scalar(set)
                    .bind(&user.uid).bind(&password).bind(shown).fetch_optional(&mut *connection).await?
            } else {
                None
            };
            if set.is_some() {
                ending!(connection, &user.uid, "", now, "reset");
                // Others that are on their way have nothing left to do.
                let rest = "UPDATE one_time SET used_at = $3 WHERE email = $1 AND purpose = $2 AND used_at IS NULL";
                sqlx::query(rest).bind(&user.email).bind(purpose).bind(now).execute(&mut *connection).await?;
            }
            Ok(set.is_some())
        });
        if !set? {
            return Err(Error::BadLink);
        }
        self.heard_of_changes().await;
        Ok(user)
    }

    /// Shows that an address is the user's: by the token of a verification, which is used up, and by the password. The
    /// mailbox alone does not do: whoever registered somebody else's address would be known as them.
    pub async fn verify_email(&self, token: &str, password: &str, address: IpAddr) -> Result<User> {
        if token.len() > TOKEN_MAX {
            return Err(Error::BadLink);
        }
        let (hash, now) = (digest(token), self.now());
        let purpose = Purpose::Verification.name();
        let email: Result<Option<String>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_scalar(
                "SELECT email FROM one_time WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3",
            )
            .bind(&hash).bind(purpose).bind(now).fetch_optional(connection).await);
        let (tried, account) = self.prove_password(&email?.ok_or(Error::BadLink)?, password, address).await?;
        self.right(tried);
        let verified: Result<Option<String>, sqlx::Error> = writing!(self.db(), connection => {
            let email: Option<String> = sqlx::query_scalar(USE)
                .bind(&hash).bind(purpose).bind(now).fetch_optional(&mut *connection).await?;
            // Another password meanwhile is another person's, perhaps.
            sqlx::query_scalar(VERIFY)
                .bind(email).bind(now).bind(account.password.as_deref()).fetch_optional(&mut *connection).await
        });
        self.user_by_uid(&verified?.ok_or(Error::BadLink)?).await?.ok_or(Error::BadLink)
    }

    /// Sends a user who has forgotten the password a link to set a new one; whether there is a mail to send. Nobody else is
    /// told whether there is such a user, and it takes as long either way. Whoever uses the link has the mailbox: the
    /// address is known to be theirs from then on.
    pub async fn forgot(&self, email: &str, letter: &Letter, address: IpAddr) -> Result<bool> {
        let email = normalized_email(email)?;
        self.count_mail(address)?;
        // Beside the others: who is slow with a mail, or was given a link by the operator, still gets in.
        let link = self.link(Purpose::Reset, &email, &email, None, letter)?;
        let link = Issued { mailed_only: true, subject: format!("{email}/{}", link.id), ..link };
        let (lately, day) = (link.now - MAILS_APART, link.now - 24 * HOUR);
        let sent: Result<bool, sqlx::Error> = writing!(self.db(), connection => {
            // First, and whoever it is: the commit is what takes time.
            let seq: i64 = sqlx::query_scalar(NEXT_MAIL).fetch_one(&mut *connection).await?;
            let known: Option<String> = sqlx::query_scalar(
                "SELECT uid FROM users WHERE email = $1 AND disabled_at IS NULL AND email NOT LIKE 'system:%'
                     AND NOT EXISTS (SELECT 1 FROM mails WHERE kind = $2 AND email = $1 AND created_at > $3)
                     AND (SELECT count(*) FROM mails WHERE kind = $2 AND email = $1 AND created_at > $4) < $5",
            )
            .bind(&email).bind(link.purpose.name()).bind(lately).bind(day).bind(MAILS_A_DAY).fetch_optional(&mut *connection).await?;
            if known.is_some() {
                issuing!(connection, link, seq);
            }
            Ok(known.is_some())
        });
        Ok(sent?)
    }

    async fn issue_link(
        &self,
        purpose: Purpose,
        subject: &str,
        email: &str,
        invitation: Option<&Invitation>,
        letter: &Letter,
    ) -> Result<OneTime> {
        let link = self.link(purpose, subject, email, invitation, letter)?;
        let issued: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            let seq: i64 = sqlx::query_scalar(NEXT_MAIL).fetch_one(&mut *connection).await?;
            issuing!(connection, link, seq);
            Ok(())
        });
        issued?;
        Ok(OneTime { token: link.token, expires_at: timestamp(link.expires_at) })
    }

    /// A link that is not kept yet, with its mail.
    pub(crate) fn link(
        &self,
        purpose: Purpose,
        subject: &str,
        email: &str,
        invitation: Option<&Invitation>,
        letter: &Letter,
    ) -> Result<Issued> {
        let (token, id, now) = (new_secret()?, format!("mail_{}", Uuid::new_v4().simple()), self.now());
        let sealed = self.sealer().seal(&mails::context(&id), token.as_bytes())?;
        Ok(Issued {
            purpose,
            subject: subject.to_owned(),
            email: email.to_owned(),
            invitation: invitation.cloned(),
            letter: letter.clone(),
            hash: digest(&token),
            token,
            id,
            sealed,
            mailed_only: false,
            now,
            expires_at: now + purpose.life(),
        })
    }
}

/// Keeps a link and its mail, in the transaction of whoever asks. A macro because both databases run it.
macro_rules! issuing {
    ($connection:expr, $link:expr, $seq:expr) => {{
        let link: &$crate::one_time::Issued = &$link;
        let invitation = link.invitation.as_ref();
        sqlx::query($crate::one_time::PUT_LINK)
            .bind(link.purpose.name())
            .bind(&link.subject)
            .bind(&link.hash)
            .bind(&link.email)
            .bind(invitation.map(|invitation| &invitation.namespace))
            .bind(invitation.map(|invitation| &invitation.member))
            .bind(invitation.map(|invitation| &invitation.member_uid))
            .bind(link.now)
            .bind(link.expires_at)
            .bind(i64::from(link.mailed_only))
            .execute(&mut *$connection)
            .await?;
        sqlx::query($crate::one_time::PUT_MAIL)
            .bind($seq)
            .bind(&link.id)
            .bind(link.purpose.name())
            .bind(&link.hash)
            .bind(&link.sealed)
            .bind(&link.email)
            .bind(link.letter.locale.as_deref())
            .bind(invitation.map(|invitation| &invitation.namespace))
            .bind(link.letter.role.as_deref())
            .bind(link.letter.by.as_deref())
            .bind(link.now)
            .bind(link.expires_at)
            .execute(&mut *$connection)
            .await?;
    }};
}
pub(crate) use issuing;

/// The number of the next mail. It locks the row: mails come to be seen in the order of their numbers.
pub(crate) const NEXT_MAIL: &str = "UPDATE mail_counter SET value = value + 1 RETURNING value";
pub(crate) const PUT_LINK: &str = "INSERT INTO one_time
        (purpose, subject, hash, email, namespace, member, member_uid, created_at, expires_at, mailed_only)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (purpose, subject) DO UPDATE SET
        hash = excluded.hash, email = excluded.email, namespace = excluded.namespace,
        member = excluded.member, member_uid = excluded.member_uid, created_at = excluded.created_at,
        expires_at = excluded.expires_at, mailed_only = excluded.mailed_only, used_at = NULL";
pub(crate) const PUT_MAIL: &str = "INSERT INTO mails
        (seq, id, kind, hash, sealed, email, locale, namespace, role, invited_by, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
const VERIFY: &str = "UPDATE users SET verified_at = COALESCE(verified_at, $2)
    WHERE email = $1 AND password = $3 AND disabled_at IS NULL RETURNING uid";
const USE: &str = "UPDATE one_time SET used_at = $3
    WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 RETURNING email";
