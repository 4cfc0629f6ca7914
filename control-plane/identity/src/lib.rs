//! Who there is: users, sessions, invitations, keys, tokens, secrets. Owns the schema `identity`.
//!
//! Decides nothing about what anybody may do: that is the table of roles. Knows no HTTP and no kind.

#![warn(missing_docs)]

mod db;
mod jwt;
mod keys;
mod known;
mod login;
mod mails;
mod oidc;
mod one_time;
mod pairing;
mod password;
mod people;
mod seal;
mod secret;
mod secrets;
mod sessions;
mod throttle;
mod tickets;
mod totp;
mod users;

use std::{path::Path, sync::Arc};

use dropmate_sql::{Db, Plan};
use jiff::Timestamp;

use crate::{db::SCHEMA, known::Knowing, people::People};
pub use crate::{
    jwt::{
        ACCESS_LIFE, AUDIENCE, LIFE_MAX, Principal, TOKEN_BYTES_MAX, TokenError, UserClaims, Verified, claimed_issuer,
    },
    keys::Rotation,
    known::Subject,
    login::Proof,
    mails::{Letter, MAILS_MAX, Mail, MailLink, MailPage},
    oidc::{Outside, OutsideConfig, OutsideError, Stranger},
    one_time::{Invitation, OneTime},
    pairing::{Paired, PairedDriver},
    password::{BUSY_SECONDS, CHARACTERS_MAX, CHARACTERS_MIN, HASHES_AT_ONCE, HASHES_WAITING},
    seal::{SealError, Sealer},
    secrets::{SECRET_BYTES_MAX, SecretInfo},
    sessions::{ACCESS_SECONDS, Grant},
    tickets::TICKET_SECONDS,
    totp::Enrolment,
    users::{PAGE_MAX, User, UserPage, normalized_email},
};

/// A source of system time.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How an identity service is set up.
#[derive(Clone)]
pub struct Options {
    /// System time.
    pub now: Now,
    /// The public URL, which tokens name as their issuer (`iss`).
    pub issuer: String,
    /// Seals what the database keeps but must not tell.
    pub sealer: Sealer,
}

/// The identity service. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    options: Options,
    people: People,
    knowing: Knowing,
}

/// Why the service cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database cannot be opened or migrated.
    #[error(transparent)]
    Database(#[from] dropmate_sql::OpenError),
    /// The keys cannot be made or read: most likely they were sealed with another key.
    #[error("cannot read the signing keys")]
    Keys(#[source] Error),
}

/// Why the service cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer, or not as it should. Nothing was done, unless a commit was under way.
    #[error("the identity database is not available")]
    Unavailable(#[from] sqlx::Error),
    /// What was given cannot be taken.
    #[error("{field}: {why}")]
    Invalid {
        /// Which part of it.
        field: &'static str,
        /// Why, without repeating it where it is a secret.
        why: String,
    },
    /// There is no such user, or the password is not theirs, or they are kept out: nobody is told which.
    #[error("the e-mail address or the password is wrong")]
    Credentials,
    /// All but the code of the second factor is right.
    #[error("the code of the second factor is needed")]
    SecondFactor,
    /// Too many wrong tries; not looked at.
    #[error("too many tries; try again in {0} seconds")]
    Throttled(u32),
    /// Too many at once; not looked at.
    #[error("too many logins at once; try again in a moment")]
    Busy,
    /// A refresh token that is good for nothing.
    #[error("the session has ended; log in again")]
    BadToken,
    /// A link that is good for nothing.
    #[error("the link is not good: it has been used or replaced, or has expired; ask for a new one")]
    BadLink,
    /// No user has that address.
    #[error("there is no user {0}")]
    NoSuchUser(String),
    /// It cannot be done as things are.
    #[error("{0}")]
    Conflict(String),
    /// A fault of ours, or of the machine.
    #[error("{0}")]
    Internal(String),
    /// A value cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// There is no key that signs yet: the clock has been set back.
    #[error("no key may sign yet: this machine's clock is behind the time at which the keys were made")]
    NoKey,
    /// Enough keys verify already.
    #[error("too many keys were made lately; they go when the tokens they signed have expired")]
    TooManyKeys,
    /// The claims make no token that would be taken.
    #[error("the token would be too large")]
    TokenTooLarge,
}

/// What the service answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Identity {
    /// Over a SQLite file, which is made if it is not there, and migrated. Only one process may use it: keeping others
    /// away is the caller's part.
    pub async fn sqlite(path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::over(SCHEMA.open_sqlite(path).await?, options).await
    }

    /// Over a PostgreSQL database that has been migrated ([`migrate_postgres`](Self::migrate_postgres)). Any number of
    /// processes may share it.
    pub async fn postgres(url: &str, options: Options) -> Result<Self, OpenError> {
        Self::over(SCHEMA.open_postgres(url).await?, options).await
    }

    /// Makes the first key if there is none, and reads what is to be known.
    async fn over(db: Db, options: Options) -> Result<Self, OpenError> {
        let identity = Self { inner: Arc::new(Inner { db, options, knowing: Knowing::new(), people: People::new() }) };
        identity.make_first_key().await.map_err(OpenError::Keys)?;
        identity.look().await.map_err(OpenError::Keys)?;
        Ok(identity)
    }

    /// Brings a file up to date, makes it if it is not there, and tells what was done.
    pub async fn migrate_sqlite(path: &Path) -> Result<Plan, dropmate_sql::OpenError> {
        SCHEMA.migrate_sqlite(path).await
    }

    /// What [`migrate_sqlite`](Self::migrate_sqlite) would do.
    pub async fn pending_sqlite(path: &Path) -> Result<Plan, dropmate_sql::OpenError> {
        SCHEMA.pending_sqlite(path).await
    }

    /// Brings the schema of a PostgreSQL database up to date and tells what was done.
    pub async fn migrate_postgres(url: &str) -> Result<Plan, dropmate_sql::OpenError> {
        SCHEMA.migrate_postgres(url).await
    }

    /// What [`migrate_postgres`](Self::migrate_postgres) would do.
    pub async fn pending_postgres(url: &str) -> Result<Plan, dropmate_sql::OpenError> {
        SCHEMA.pending_postgres(url).await
    }

    /// Lets go of the database.
    pub async fn close(&self) {
        self.inner.db.close().await;
    }

    /// System time in microseconds, as the database keeps it.
    pub(crate) fn now(&self) -> i64 {
        (self.inner.options.now)().as_microsecond()
    }

    pub(crate) fn db(&self) -> &Db {
        &self.inner.db
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.inner.options.sealer
    }

    /// What its tokens name as their issuer.
    pub fn issuer(&self) -> &str {
        &self.inner.options.issuer
    }

    pub(crate) fn people(&self) -> &People {
        &self.inner.people
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("issuer", &self.inner.options.issuer).finish_non_exhaustive()
    }
}
