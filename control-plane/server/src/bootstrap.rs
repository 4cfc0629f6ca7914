//! What an installation of several processes shares, in one folder: certificates, tokens, the operator's kubeconfig, the
//! key that seals secrets, and the database's password.
//!
//! Made once and kept: run again, it only makes what is missing or no longer good. Interrupted anywhere, it goes on the
//! next time with what it finds; two at once wait for each other.

mod callers;
mod database;

use std::{
    fmt,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context;
pub use database::Database;
use http::Uri;
use jiff::Timestamp;

pub use crate::folder::Owner;
use crate::{args::is_name, edge::SECRETS_KEY, folder::Folder, tls::Authority, tokens::new_token};

/// How long another one may take that works in the same folder: it makes a few keys.
const LOCKED_MAX: Duration = Duration::from_secs(30);
/// How often to look whether it is done.
const LOCKED_POLL: Duration = Duration::from_millis(50);

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The folder.
    pub out: PathBuf,
    /// How the control plane is reached: `https://HOST[:PORT]`.
    pub server: Uri,
    /// Further names the server certificate must be good for.
    pub sans: Vec<String>,
    /// Whose the files are; of this process's user if nobody's.
    pub owner: Option<Owner>,
    /// The database to make a password for.
    pub database: Option<Database>,
}

/// A file, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its path in the folder.
    pub name: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was there.
    Kept,
    /// It is new.
    Made,
    /// It is new although there was one, for this reason.
    MadeAnew(String),
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fate {
            Fate::Kept => write!(f, "kept {}", self.name),
            Fate::Made => write!(f, "made {}", self.name),
            Fate::MadeAnew(why) => write!(f, "made {} ({why})", self.name),
        }
    }
}

impl Fate {
    fn new(was_there: bool) -> Self {
        if was_there { Self::Kept } else { Self::Made }
    }
}

/// Makes what is missing, keeps what is there, and says which.
pub fn bootstrap(wanted: &Wanted, now: Timestamp) -> anyhow::Result<Vec<Piece>> {
    let sans = sans(wanted)?;
    let folder = Folder::handed_out(&wanted.out, wanted.owner);
    folder.make()?;
    let _lock = lock(folder.path())?;
    let mut pieces = Pieces { folder: folder.clone(), pieces: Vec::new() };

    let was_there = (folder.read("ca.crt")?.is_some(), folder.read("ca.key")?.is_some());
    let authority = Authority::open(&folder, now)?;
    pieces.add("ca.crt", Fate::new(was_there.0))?;
    pieces.add("ca.key", Fate::new(was_there.1))?;

    let fate = server_certificate(&folder, &authority, &sans, now)?;
    pieces.add("tls.crt", fate.clone())?;
    pieces.add("tls.key", fate)?;

    let server = wanted.server.to_string();
    callers::make_missing(&folder, server.trim_end_matches('/'), &authority.cert, &mut pieces)?;
    let fate = Fate::new(folder.read(SECRETS_KEY)?.is_some());
    folder.read_or_make(SECRETS_KEY, new_token)?;
    pieces.add(SECRETS_KEY, fate)?;
    if let Some(database) = &wanted.database {
        database.make_missing(&folder, &mut pieces)?;
    }
    Ok(pieces.pieces)
}

/// What has been looked after.
struct Pieces {
    folder: Folder,
    pieces: Vec<Piece>,
}

impl Pieces {
    /// Notes a file. One that was kept may have been another's.
    fn add(&mut self, name: &str, fate: Fate) -> anyhow::Result<()> {
        self.folder.own(&self.folder.join(name))?;
        self.pieces.push(Piece { name: name.to_owned(), fate });
        Ok(())
    }
}

/// Every name the certificate has to be good for, each once.
fn sans(wanted: &Wanted) -> anyhow::Result<Vec<String>> {
    let host = wanted.server.host().map(|host| host.trim_matches(['[', ']'])).filter(|host| !host.is_empty());
    let bare = wanted.server.path() == "/" && wanted.server.query().is_none();
    let Some(host) = host.filter(|_| wanted.server.scheme_str() == Some("https") && bare) else {
        anyhow::bail!("--server: {} is not of the form https://HOST[:PORT]", wanted.server)
    };
    let mut sans = ["localhost", "127.0.0.1", "::1", host].map(str::to_owned).to_vec();
    for san in wanted.sans.iter().filter(|san| !san.is_empty()) {
        anyhow::ensure!(is_name(san), "--san: {san:?} is neither a host name nor an address");
        sans.push(san.clone());
    }
    sans.sort();
    sans.dedup();
    Ok(sans)
}

/// Only one at a time works in the folder. The lock ends with the value, and with the process however that ends.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let failed = || format!("--out: cannot lock {}", folder.display());
    let lock = File::open(folder).with_context(failed)?;
    let deadline = Instant::now() + LOCKED_MAX;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCKED_POLL),
            Err(TryLockError::WouldBlock) => {
                anyhow::bail!("--out: another process has been working in {} for too long", folder.display())
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
    }
}

/// The certificate all servers share, made if there is none that is good for every name.
fn server_certificate(folder: &Folder, authority: &Authority, sans: &[String], now: Timestamp) -> anyhow::Result<Fate> {
    let fate = match (folder.read("tls.crt")?, folder.read("tls.key")?) {
        (Some(certs), Some(key)) => match authority.lacks(&certs, &key, sans, now) {
            None => return Ok(Fate::Kept),
            Some(why) => Fate::MadeAnew(why),
        },
        _ => Fate::Made,
    };
    let (certs, key) = authority.leaf(sans, now)?;
    // Interrupted between the two they do not fit together, which the next run sees.
    folder.write("tls.key", &key)?;
    folder.write("tls.crt", &certs)?;
    Ok(fate)
}
