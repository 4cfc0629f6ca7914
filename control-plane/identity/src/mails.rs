//! Mails about people's accounts, as the notification agent reads them: in order, each once. The link is not among what it
//! reads; it asks for it when it sends.

use dropmate_sql::reading;
use jiff::Timestamp;
use sqlx::FromRow;

use crate::{Identity, Result, users::timestamp};

/// Mails of one page.
pub const MAILS_MAX: u32 = 500;

/// What a mail says besides its link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letter {
    /// In which language, as a BCP 47 tag, if that is known.
    pub locale: Option<String>,
    /// Of an invitation: as what.
    pub role: Option<String>,
    /// Of an invitation: by whom.
    pub by: Option<String>,
}

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its number: later ones have larger numbers.
    pub seq: i64,
    /// Its id, by which its link is asked for.
    pub id: String,
    /// `invitation`, `reset` or `verification`.
    pub kind: String,
    /// To whom.
    pub email: String,
    /// Of an invitation: into which namespace.
    pub namespace: Option<String>,
    /// What else it says.
    pub letter: Letter,
    /// When it was asked for.
    pub at: Timestamp,
    /// Until when its link is good.
    pub expires_at: Timestamp,
}

/// Mails in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailPage {
    /// Those whose link is not too old.
    pub mails: Vec<Mail>,
    /// The number to read on from. Less than what was asked for, if the numbers asked for are not from here.
    pub next: i64,
}

/// The link of a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct MailLink {
    /// What it is for.
    pub kind: String,
    /// What it carries.
    pub token: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    seq: i64,
    id: String,
    kind: String,
    email: String,
    locale: Option<String>,
    namespace: Option<String>,
    role: Option<String>,
    invited_by: Option<String>,
    created_at: i64,
    expires_at: i64,
}

impl From<Row> for Mail {
    fn from(row: Row) -> Self {
        let Row { seq, id, kind, email, locale, namespace, role, invited_by, created_at, expires_at } = row;
        Self {
            seq,
            id,
            kind,
            email,
            namespace,
            letter: Letter { locale, role, by: invited_by },
            at: timestamp(created_at),
            expires_at: timestamp(expires_at),
        }
    }
}

/// A token is sealed for its mail: nobody can move it to another.
pub(crate) fn context(id: &str) -> String {
    format!("mails/{id}")
}

impl Identity {
    /// Up to `limit` mails (at most [`MAILS_MAX`]) after a number.
    pub async fn mails_after(&self, after: i64, limit: u32) -> Result<MailPage> {
        let limit = i64::from(limit.clamp(1, MAILS_MAX));
        // First: what is written in between is on the next page.
        let newest: Result<i64, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_scalar("SELECT value FROM mail_counter").fetch_one(connection).await);
        let newest = newest?;
        let rows: Result<Vec<Row>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT seq, id, kind, email, locale, namespace, role, invited_by, created_at, expires_at FROM mails
                 WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
            )
            .bind(after).bind(newest).bind(limit).fetch_all(connection).await);
        let rows = rows?;
        let full = rows.len() as i64 == limit;
        let next = rows.last().filter(|_| full).map_or(newest, |row| row.seq);
        let now = self.now();
        Ok(MailPage { mails: rows.into_iter().filter(|row| row.expires_at > now).map(Mail::from).collect(), next })
    }

    /// The link of a mail, while it is good: not used, not replaced by a newer one, not too old.
    pub async fn mail_link(&self, id: &str) -> Result<Option<MailLink>> {
        let now = self.now();
        let held: Result<Option<(String, Vec<u8>, i64)>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT mails.kind, mails.sealed, mails.expires_at FROM mails
                 JOIN one_time ON one_time.hash = mails.hash AND one_time.purpose = mails.kind
                 WHERE mails.id = $1 AND one_time.used_at IS NULL AND one_time.expires_at > $2",
            )
            .bind(id).bind(now).fetch_optional(connection).await);
        let Some((kind, sealed, expires_at)) = held? else { return Ok(None) };
        let token = self.sealer().open(&context(id), &sealed)?;
        let token = String::from_utf8(token).ok();
        Ok(token.map(|token| MailLink { kind, token, expires_at: timestamp(expires_at) }))
    }
}
