//! What is known in memory, so that a token is checked without asking anybody: the keys and what has been revoked. The
//! database's `state.version` says when to read them again; every replica looks every second.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::SignedDuration;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use dropmate_sql::{reading, writing};

use crate::{
    Identity, PairedDriver, Principal, Result, Verified,
    jwt::{ACCESS_LIFE, LIFE_MAX},
    keys::{Key, micros},
};

/// How often the version is looked at: revoked access ends within 5 s, and the look costs one small query.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often keys and revocations that mean nothing any more are deleted.
const DELETE_EVERY: Duration = Duration::from_hours(1);
/// A revocation is kept for so long after the last token it is about: clocks differ a little.
const MARGIN: SignedDuration = SignedDuration::from_mins(1);

/// Whose tokens end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Of a session.
    Session(String),
    /// Of a user, by uid.
    User(String),
    /// Of a service account.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
    /// One token, by its `jti`.
    Token(String),
}

/// As the database has it.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(sid) => write!(f, "sid:{sid}"),
            Self::User(uid) => write!(f, "user:{uid}"),
            Self::ServiceAccount { namespace, name, uid } => write!(f, "serviceaccount:{namespace}/{name}/{uid}"),
            Self::Token(jti) => write!(f, "jti:{jti}"),
        }
    }
}

impl Subject {
    /// The longest that a token of it may be good.
    fn life(&self) -> SignedDuration {
        match self {
            Self::Session(_) | Self::User(_) => ACCESS_LIFE,
            Self::ServiceAccount { .. } | Self::Token(_) => LIFE_MAX,
        }
    }
}

/// What is known at a moment.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) keys: BTreeMap<String, Key>,
    /// By subject: tokens issued at or before then have ended.
    pub(crate) revoked: HashMap<String, i64>,
    /// Phones, by the hash of their ingest token.
    pub(crate) paired: HashMap<Vec<u8>, PairedDriver>,
    version: i64,
}

/// What is known now.
pub(crate) struct Knowing {
    now: RwLock<Arc<Known>>,
    /// Counts up with every change.
    changes: watch::Sender<u64>,
    /// One reads at a time, so that what is older never comes last.
    reading: Mutex<()>,
    /// When somebody looked last out of turn.
    looked_at: AtomicI64,
}

impl Knowing {
    pub(crate) fn new() -> Self {
        let looked_at = AtomicI64::new(0);
        Self { now: RwLock::default(), changes: watch::Sender::new(0), reading: Mutex::new(()), looked_at }
    }
}

/// Whether that has been revoked.
pub(crate) fn is_revoked(known: &Known, verified: &Verified) -> bool {
    let issued_at = verified.issued_at.as_microsecond();
    let ended = |subject: &Subject| known.revoked.get(&subject.to_string()).is_some_and(|before| issued_at <= *before);
    let holder = match &verified.subject {
        Principal::Person { uid, .. } | Principal::Driver { uid, .. } => {
            ended(&Subject::Session(verified.session.clone())) || ended(&Subject::User(uid.clone()))
        }
        Principal::ServiceAccount { namespace, name, uid } => {
            let (namespace, name, uid) = (namespace.clone(), name.clone(), uid.clone());
            ended(&Subject::ServiceAccount { namespace, name, uid })
        }
    };
    holder || ended(&Subject::Token(verified.jti.clone()))
}

impl Identity {
    pub(crate) fn known(&self) -> Arc<Known> {
        self.inner.knowing.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether what was good when it was verified has been revoked since.
    pub fn is_revoked(&self, verified: &Verified) -> bool {
        is_revoked(&self.known(), verified)
    }

    /// Changes whenever keys or revocations do.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.knowing.changes.subscribe()
    }

    /// Ends every token of the subject that has been issued until now: here at once, on other replicas within two
    /// seconds.
    pub async fn revoke(&self, subject: Subject) -> Result<()> {
        let now = self.now();
        let until = now + micros(subject.life()) + micros(MARGIN);
        let subject = subject.to_string();
        let revoked: Result<(), sqlx::Error> = writing!(self.db(), connection => {
            sqlx::query("UPDATE state SET version = version + 1").execute(&mut *connection).await?;
            let revoke = "INSERT INTO revoked (subject, issued_before, until) VALUES ($1, $2, $3) \
                          ON CONFLICT (subject) DO UPDATE SET issued_before = excluded.issued_before, until = excluded.until \
                          WHERE revoked.issued_before < excluded.issued_before";
            let revoke = sqlx::query(revoke).bind(&subject).bind(now).bind(until);
            revoke.execute(&mut *connection).await?;
            Ok(())
        });
        revoked?;
        self.look().await
    }

    /// Whether nobody has looked out of turn for that many microseconds; then the caller may.
    pub(crate) fn may_look(&self, after: i64) -> bool {
        let (now, looked_at) = (self.now(), &self.inner.knowing.looked_at);
        let before = looked_at.load(Ordering::Relaxed);
        let rested = !(before..before.saturating_add(after)).contains(&now);
        rested && looked_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Reads keys and revocations again if somebody has changed them.
    pub(crate) async fn look(&self) -> Result<()> {
        let _one = self.inner.knowing.reading.lock().await;
        let version: Result<i64, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_scalar("SELECT version FROM state").fetch_one(connection).await);
        let version = version?;
        if version == self.known().version {
            return Ok(());
        }
        // After the version: what comes in between is read now, and once more with the next look.
        let keys = self.read_keys().await?.into_iter().map(|key| (key.kid.clone(), key)).collect();
        let now = self.now();
        let revoked: Result<Vec<(String, i64)>, sqlx::Error> = reading!(self.db(), connection =>
            sqlx::query_as("SELECT subject, issued_before FROM revoked WHERE until > $1").bind(now).fetch_all(connection).await);
        let paired = self.read_paired().await?;
        let known = Known { keys, revoked: revoked?.into_iter().collect(), paired, version };
        *self.inner.knowing.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        self.inner.knowing.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Follows the changes that other replicas make, and deletes what has had its time, until `stop`. While the database
    /// is away, what was known last stays.
    pub async fn follow(self, stop: CancellationToken) {
        let mut away = false;
        // Also at the start: what had its time while nobody ran.
        let mut delete_at = tokio::time::Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let mut looked = self.look().await;
            if looked.is_ok() && delete_at <= tokio::time::Instant::now() {
                looked = self.delete_old_keys().await;
                delete_at += DELETE_EVERY;
            }
            match looked {
                Ok(()) => away = false,
                Err(error) if !away => {
                    away = true;
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "cannot look for new keys and revocations; what is known stays");
                }
                Err(_) => {}
            }
        }
    }
}
