//! The sessions of `dropmate login`, kept in a file of the user's own, one for each server.

pub(crate) mod ask;
pub(crate) mod kubeconfig;

use std::{
    collections::BTreeMap,
    env, fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    connection::Connection,
    failure::{Failure, Outcome},
};

/// An access token is renewed this long before it ends: a request on a slow line must still find it good.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_secs(60);
/// How long one process waits for another that renews: a renewal is one request.
const LOCKED_WITHIN: Duration = Duration::from_secs(70);
const LOCK_LOOK: Duration = Duration::from_millis(50);

/// All sessions.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Sessions {
    /// The server of the last login: what is meant where none is named.
    pub(crate) current: Option<String>,
    pub(crate) servers: BTreeMap<String, Session>,
}

/// A login on one server.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) email: String,
    pub(crate) access_token: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) refresh_token: String,
    /// The authority to trust, as PEM; the system's if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
}

/// The sessions, while no other process changes them.
pub(crate) struct Locked {
    folder: PathBuf,
    pub(crate) sessions: Sessions,
    _lock: File,
}

impl fmt::Debug for Session {
    /// Without the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("email", &self.email)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// From what a login or a renewal answers.
    pub(crate) fn granted(grant: &Value, email: &str, ca: Option<String>) -> Outcome<Self> {
        let text = |name: &str| {
            let found = grant[name].as_str().map(str::to_owned);
            found.with_context(|| format!("the server's answer has no {name}"))
        };
        let seconds = grant["expiresIn"].as_i64().context("the server's answer has no expiresIn")?;
        Ok(Self {
            email: email.to_owned(),
            access_token: text("accessToken")?,
            expires_at: now() + SignedDuration::from_secs(seconds.clamp(0, 86_400)),
            refresh_token: text("refreshToken")?,
            ca,
        })
    }

    /// Whether the access token is good for a while yet.
    fn is_fresh(&self, now: Timestamp) -> bool {
        now + RENEWED_BEFORE < self.expires_at
    }
}

impl Sessions {
    /// As they are, without waiting for anybody.
    pub(crate) fn read() -> anyhow::Result<Self> {
        read(&folder()?)
    }

    /// Takes them for a change.
    pub(crate) async fn lock() -> anyhow::Result<Locked> {
        let folder = folder()?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("sessions.lock");
        let lock = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.with_context(|| format!("cannot open {}", path.display()))?;
        let wait = async {
            loop {
                match lock.try_lock() {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_LOOK).await,
                    Err(TryLockError::Error(error)) => return Err(error),
                }
            }
        };
        match tokio::time::timeout(LOCKED_WITHIN, wait).await {
            Ok(locked) => locked.with_context(|| format!("cannot lock {}", path.display()))?,
            Err(_) => return Err(anyhow!("another dropmate holds {} for too long", path.display())),
        }
        Ok(Locked { sessions: read(&folder)?, folder, _lock: lock })
    }
}

impl Locked {
    /// Writes them: whole or not at all, for nobody else to read.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        write_private(&self.folder.join("sessions.json"), &serde_json::to_string_pretty(&self.sessions)?)
    }
}

/// An access token for that server that is good now, renewed if it must be. Of several processes one renews, and the
/// others take what it got: a refresh token is good once.
pub(crate) async fn fresh(server: &str) -> Outcome<Session> {
    let missing = || Failure::No(format!("not logged in at {server}: run `dropmate login --server {server}`"));
    let known = Sessions::read()?.servers.remove(server).ok_or_else(missing)?;
    if known.is_fresh(now()) {
        return Ok(known);
    }
    let mut locked = Sessions::lock().await?;
    let known = locked.sessions.servers.get(server).cloned().ok_or_else(missing)?;
    if known.is_fresh(now()) {
        return Ok(known);
    }
    let connection = Connection::anonymous(server, known.ca.as_deref())?;
    let body = json!({"refreshToken": known.refresh_token});
    let grant = match connection.post("/v1/auth/refresh", &body).await?.accepted() {
        Ok(grant) => grant,
        Err(refusal) if refusal.code == 401 => {
            locked.sessions.servers.remove(server);
            locked.save()?;
            return Err(Failure::No(format!(
                "the session at {server} has ended: run `dropmate login --server {server}`"
            )));
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let renewed = Session::granted(&grant, &known.email, known.ca)?;
    locked.sessions.servers.insert(server.to_owned(), renewed.clone());
    locked.save()?;
    Ok(renewed)
}

/// A server's address as sessions are kept by: without a slash at the end.
pub(crate) fn normal(server: &http::Uri) -> String {
    server.to_string().trim_end_matches('/').to_owned()
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    let next = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&next);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&next).with_context(context)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&next, path));
    if written.is_err() {
        let _ = fs::remove_file(&next);
    }
    written.with_context(context)
}

fn read(folder: &Path) -> anyhow::Result<Sessions> {
    let path = folder.join("sessions.json");
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged: remove it and log in again", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Sessions::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// `$XDG_CONFIG_HOME/dropmate`, else `~/.config/dropmate`.
fn folder() -> anyhow::Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    Ok(base.context("there is no home folder to keep the session in: set HOME or XDG_CONFIG_HOME")?.join("dropmate"))
}

#[expect(clippy::disallowed_methods, reason = "whether a token is still good is a question about now")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
