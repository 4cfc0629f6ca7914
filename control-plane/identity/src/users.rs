//! People who can log in: who they are, and whether they still may.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use dropmate_sql::{reading, writing};

use crate::{
    Error, Identity, Result,
    mails::Letter,
    one_time::{NEXT_MAIL, Purpose, issuing},
    password,
    sessions::ending,
};

/// Bytes of an e-mail address: what a mail server takes.
const EMAIL_MAX: usize = 254;
/// Characters of a name.
const NAME_MAX: usize = 100;
/// Users of one page.
pub const PAGE_MAX: u32 = 500;

/// Somebody who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Never given twice.
    pub uid: String,
    /// In lower case.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// Whether the address is known to be theirs.
    pub verified: bool,
    /// Whether they are kept out.
    pub disabled: bool,
    /// Whether they log in with a second factor.
    pub second_factor: bool,
    /// Since when they are known.
    pub created_at: Timestamp,
}

/// Users in the order of their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPage {
    /// Each with the number of its sessions that go on.
    pub items: Vec<(User, u32)>,
    /// The address to go on after; none at the end.
    pub next: Option<String>,
}

/// A user's row: with what nobody outside sees.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password: Option<String>,
    pub(crate) totp: Option<Vec<u8>>,
}

/// The columns of an [`Account`], in its order.
pub(crate) type Row = (String, String, String, Option<String>, Option<i64>, Option<i64>, Option<Vec<u8>>, i64);

const BY_EMAIL: &str =
    "SELECT uid, email, name, password, verified_at, disabled_at, totp, created_at FROM users WHERE email = $1";
pub(crate) const BY_UID: &str =
    "SELECT uid, email, name, password, verified_at, disabled_at, totp, created_at FROM users WHERE uid = $1";

const CREATE: &str = "INSERT INTO users (uid, email, name, password, created_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (email) DO NOTHING
    RETURNING uid, email, name, password, verified_at, disabled_at, totp, created_at";

impl From<Row> for Account {
    fn from((uid, email, name, password, verified_at, disabled_at, totp, created_at): Row) -> Self {
        let user = User {
            uid,
            email,
            name,
            verified: verified_at.is_some(),
            disabled: disabled_at.is_some(),
            second_factor: totp.is_some(),
            created_at: timestamp(created_at),
        };
        Self { user, password, totp }
    }
}

/// A time as the database keeps it.
pub(crate) fn timestamp(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MAX)
}

/// The address in lower case, if it is one.
pub fn normalized_email(email: &str) -> Result<String> {
    let wrong = |why: &str| Err(Error::Invalid { field: "email", why: why.to_owned() });
    let email = email.trim().to_ascii_lowercase();
    if email.len() > EMAIL_MAX {
        return wrong("must have at most 254 bytes");
    }
    let Some((local, domain)) = email.split_once('@') else {
        return wrong("must be of the form NAME@DOMAIN");
    };
    // Without a colon: no address may look like a user name of another sort (`system:…`).
    let letter = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b);
    let dots = local.split('.').all(|part| !part.is_empty());
    if local.len() > 64 || !dots || !local.bytes().all(letter) {
        return wrong("must begin with letters, digits and signs like . _ + - before the @");
    }
    let label = |label: &str| {
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    if domain.split('.').all(label) { Ok(email) } else { wrong("must end with a domain after the @") }
}

/// The name without space around it, if it can be shown.
pub(crate) fn checked_name(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        let why = format!("must have between 1 and {NAME_MAX} characters, none of them a control character");
        return Err(Error::Invalid { field: "name", why });
    }
    Ok(name.to_owned())
}

/// Refuses a weak password, naming the field it came in.
pub(crate) fn check_password(field: &'static str, password: &str, email: &str, name: &str) -> Result<()> {
    password::weakness(password, email, name).map_or(Ok(()), |why| Err(Error::Invalid { field, why }))
}

impl Identity {
    /// The user with that address, in whatever case.
    pub async fn user(&self, email: &str) -> Result<Option<User>> {
        Ok(self.account(email).await?.map(|account| account.user))
    }

    /// The user with that uid.
    pub async fn user_by_uid(&self, uid: &str) -> Result<Option<User>> {
        Ok(self.account_by_uid(uid).await?.map(|account| account.user))
    }

    /// Up to `limit` users (at most [`PAGE_MAX`]) whose addresses come after that one. Phones of drivers are no people.
    pub async fn users(&self, after: &str, limit: u32) -> Result<UserPage> {
        let limit = limit.clamp(1, PAGE_MAX);
        let now = self.now();
        let rows: Result<Vec<(String, i64)>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT email, (SELECT count(*) FROM sessions
                     WHERE user_uid = users.uid AND ended_at IS NULL AND expires_at > $1)
                 FROM users WHERE email > $2 AND email NOT LIKE 'system:%' ORDER BY email LIMIT $3",
            )
            .bind(now)
            .bind(after)
            .bind(i64::from(limit) + 1)
            .fetch_all(connection)
            .await);
        let mut emails = rows?;
        let more = emails.len() > limit as usize;
        emails.truncate(limit as usize);
        let next = emails.last().filter(|_| more).map(|(email, _)| email.clone());
        let rows: Result<Vec<Row>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(
                "SELECT uid, email, name, password, verified_at, disabled_at, totp, created_at
                 FROM users WHERE email > $1 AND email <= $2 AND email NOT LIKE 'system:%' ORDER BY email",
            )
            .bind(after)
            .bind(emails.last().map_or(after, |(email, _)| email))
            .fetch_all(connection)
            .await);
        let mut items = Vec::with_capacity(emails.len());
        for row in rows? {
            let user = Account::from(row).user;
            // One that came between the two reads is on nobody's page yet.
            if let Ok(at) = emails.binary_search_by(|(email, _)| email.cmp(&user.email)) {
                items.push((user, u32::try_from(emails[at].1).unwrap_or(u32::MAX)));
            }
        }
        Ok(UserPage { items, next })
    }

    /// Keeps a user out: no login, and every session ends at once.
    pub async fn disable(&self, email: &str) -> Result<User> {
        let (email, now) = (normalized_email(email)?, self.now());
        let disabled: Result<Option<String>, sqlx::Error> = writing!(self.db(), connection => {
            // First: a login or refresh that is under way has locked the user and is done before, or comes after.
            let disable = "UPDATE users SET disabled_at = COALESCE(disabled_at, $2) WHERE email = $1 RETURNING uid";
            let uid: Option<String> =
                sqlx::query_scalar(disable).bind(&email).bind(now).fetch_optional(&mut *connection).await?;
            if let Some(uid) = &uid {
                ending!(connection, uid, "", now, "disabled");
            }
            Ok(uid)
        });
        let disabled = disabled?;
        self.heard_of_changes().await;
        self.found(&email, disabled).await
    }

    /// Lets a user log in again.
    pub async fn enable(&self, email: &str) -> Result<User> {
        let email = normalized_email(email)?;
        let enabled: Result<Option<String>, sqlx::Error> = writing!(self.db(), connection =>
            sqlx::query_scalar("UPDATE users SET disabled_at = NULL WHERE email = $1 RETURNING uid")
                .bind(&email).fetch_optional(&mut *connection).await);
        self.found(&email, enabled?).await
    }

    /// Notes that the address is known to be the user's. Tokens say so from the next refresh on.
    pub async fn mark_verified(&self, email: &str) -> Result<User> {
        let (email, now) = (normalized_email(email)?, self.now());
        let verify = "UPDATE users SET verified_at = COALESCE(verified_at, $2) WHERE email = $1 RETURNING uid";
        let verified: Result<Option<String>, sqlx::Error> = writing!(self.db(), connection =>
            sqlx::query_scalar(verify).bind(&email).bind(now).fetch_optional(&mut *connection).await);
        self.found(&email, verified?).await
    }

    /// Ends every session of a user, with its access tokens.
    pub async fn end_sessions(&self, email: &str) -> Result<User> {
        let (email, now) = (normalized_email(email)?, self.now());
        let ended: Result<Option<String>, sqlx::Error> = writing!(self.db(), connection => {
            let lock = "UPDATE users SET email = email WHERE email = $1 RETURNING uid";
            let uid: Option<String> = sqlx::query_scalar(lock).bind(&email).fetch_optional(&mut *connection).await?;
            if let Some(uid) = &uid {
                ending!(connection, uid, "", now, "ended by the operator");
            }
            Ok(uid)
        });
        let ended = ended?;
        self.heard_of_changes().await;
        self.found(&email, ended).await
    }

    /// Makes a user whose address nobody has shown to be theirs, and sends them a link to show it, unless there is one with
    /// it: which of the two, nobody is told. Whether there is a mail to send.
    pub async fn register(
        &self,
        email: &str,
        password: &str,
        name: &str,
        letter: &Letter,
        address: IpAddr,
    ) -> Result<bool> {
        let (email, name) = (normalized_email(email)?, checked_name(name)?);
        check_password("password", password, &email, &name)?;
        self.count_registration(address)?;
        // Before it is known whether there is one: it takes as long either way.
        let hash = self.hashed(password).await?;
        let link = self.link(Purpose::Verification, &email, &email, None, letter)?;
        let (uid, now) = (Uuid::new_v4().to_string(), link.now);
        let created: Result<bool, sqlx::Error> = writing!(self.db(), connection => {
            let seq: i64 = sqlx::query_scalar(NEXT_MAIL).fetch_one(&mut *connection).await?;
            let created: Option<Row> = sqlx::query_as(CREATE)
                .bind(&uid).bind(&email).bind(&name).bind(&hash).bind(now).fetch_optional(&mut *connection).await?;
            if created.is_some() {
                issuing!(connection, link, seq);
            }
            Ok(created.is_some())
        });
        Ok(created?)
    }

    /// Makes a user; `None` if there is one with that address.
    pub(crate) async fn create(&self, email: &str, name: &str, hash: &str) -> Result<Option<Account>> {
        let (uid, now) = (Uuid::new_v4().to_string(), self.now());
        let created: Result<Option<Row>, sqlx::Error> = writing!(self.db(), connection =>
            sqlx::query_as(CREATE)
            .bind(&uid)
            .bind(email)
            .bind(name)
            .bind(hash)
            .bind(now)
            .fetch_optional(&mut *connection)
            .await);
        Ok(created?.map(Account::from))
    }

    pub(crate) async fn account(&self, email: &str) -> Result<Option<Account>> {
        let Ok(email) = normalized_email(email) else { return Ok(None) };
        let row: Result<Option<Row>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(BY_EMAIL).bind(&email).fetch_optional(connection).await);
        Ok(row?.map(Account::from))
    }

    pub(crate) async fn account_by_uid(&self, uid: &str) -> Result<Option<Account>> {
        let row: Result<Option<Row>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as(BY_UID).bind(uid).fetch_optional(connection).await);
        Ok(row?.map(Account::from))
    }

    async fn found(&self, email: &str, uid: Option<String>) -> Result<User> {
        let missing = || Error::NoSuchUser(email.to_owned());
        self.user_by_uid(&uid.ok_or_else(missing)?).await?.ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Ada@Example.COM ", "ada@example.com")]
    #[case("o'brien+dm@mail.shop.example", "o'brien+dm@mail.shop.example")]
    #[case("root@localhost", "root@localhost")]
    fn an_address_is_kept_in_lower_case(#[case] given: &str, #[case] kept: &str) {
        assert_eq!(normalized_email(given).unwrap(), kept);
    }

    #[rstest]
    #[case("")]
    #[case("operator")]
    #[case("@example.com")]
    #[case("ada@")]
    #[case("ada@example..com")]
    #[case("ada@@example.com")]
    #[case("a da@example.com")]
    #[case("a..da@example.com")]
    #[case("ada@-example.com")]
    #[case("system:serviceaccount:acme:gitops@example.com")]
    #[case("adä@example.com")]
    #[case("ada@example.com\nx")]
    fn what_is_no_address_is_refused(#[case] given: &str) {
        assert!(matches!(normalized_email(given), Err(Error::Invalid { field: "email", .. })), "{given}");
    }

    #[test]
    fn an_address_has_at_most_254_bytes() {
        let of =
            |length: usize| format!("ada@{}com", "example.".repeat(40).chars().take(length - 7).collect::<String>());
        assert!(normalized_email(&of(254)).is_ok());
        assert!(normalized_email(&of(255)).is_err());
    }
}
