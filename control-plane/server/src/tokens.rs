//! Static callers: a file of `sha256(token),user` lines, re-read when it changes. Whoever loses their line loses their
//! open watches too.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use dropmate_api::roles::Role;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    caller::Caller,
    folder::{FileError, Folder},
};

/// How often the file is looked at: revoked access must end within 5 s, and a `stat` costs next to nothing.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Random bytes in a token we make: beyond guessing.
const TOKEN_BYTES: usize = 32;
/// The callers that a first start makes, with the names of their token files.
pub(crate) const FIRST_CALLERS: [(&str, Role); 4] = [
    ("operator", Role::Operator),
    ("dispatch", Role::Dispatch),
    ("tracking", Role::Tracking),
    ("notification", Role::Notification),
];

type Hash = [u8; 32];
type Table = HashMap<Hash, Caller>;

/// Makes the token file and `NAME.token` in `dir` unless the token file is there. A token file that is there is never
/// touched: a line taken out of it must stay out.
pub(crate) fn make_missing(dir: &Folder, file: &Path) -> Result<(), anyhow::Error> {
    match fs::metadata(file) {
        Ok(found) if found.len() > 0 => return Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::Read(file.to_owned(), error).into());
        }
        _ => {}
    }
    let mut lines = String::new();
    for (name, role) in FIRST_CALLERS {
        let token = dir.read_or_make(&token_file(name), new_token)?;
        lines.push_str(&line(&token, role));
    }
    // Last, so that a start which was interrupted before it goes on with the tokens it finds.
    let (folder, name) = (file.parent().unwrap_or(Path::new("")), file.file_name().unwrap_or_default());
    Folder::private(folder).write(&name.to_string_lossy(), &lines)?;
    Ok(())
}

/// The operator's token, if this folder of tokens has it.
pub(crate) fn operator_token(dir: &Folder) -> Result<Option<String>, FileError> {
    Ok(dir.read(&token_file("operator"))?.map(|token| token.trim().to_owned()))
}

/// A token that nobody can guess.
pub(crate) fn new_token() -> anyhow::Result<String> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random).context("cannot make a random token")?;
    Ok(hex::encode(random))
}

/// The line of a token file that makes whoever has the token that caller.
pub(crate) fn line(token: &str, role: Role) -> String {
    // Only a role that is a user's has callers here.
    role.user().map(|user| format!("{},{user}\n", hex::encode(hash(token.trim())))).unwrap_or_default()
}

pub(crate) fn token_file(name: &str) -> String {
    format!("{name}.token")
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// The callers of a token file, following its changes.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    file: Arc<Path>,
    table: Arc<watch::Sender<Arc<Table>>>,
}

/// A caller for as long as its token is good.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) caller: Caller,
    hash: Hash,
    table: watch::Receiver<Arc<Table>>,
}

impl Tokens {
    /// Reads the file.
    pub(crate) fn load(file: PathBuf) -> anyhow::Result<Self> {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let (table, _) = watch::channel(Arc::new(parse(&text)));
        Ok(Self { file: file.into(), table: Arc::new(table) })
    }

    /// No callers at all.
    pub(crate) fn none() -> Self {
        let (table, _) = watch::channel(Arc::default());
        Self { file: PathBuf::new().into(), table: Arc::new(table) }
    }

    /// The caller with that token.
    pub(crate) fn authenticate(&self, token: &str) -> Option<Session> {
        let hash = hash(token);
        let table = self.table.subscribe();
        let caller = table.borrow().get(&hash).cloned()?;
        Some(Session { caller, hash, table })
    }

    /// Follows the file until `stop`. While it cannot be read, the callers known last stay.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        // Unknown at first: a change between `load` and now must not be missed.
        let mut seen = None;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            let stamp = match tokio::fs::metadata(&self.file).await {
                Ok(found) => Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec())),
                Err(_) => None,
            };
            if stamp.is_none() || stamp == seen {
                continue;
            }
            match tokio::fs::read_to_string(&self.file).await {
                Ok(text) => {
                    seen = stamp;
                    let fresh = Arc::new(parse(&text));
                    self.table.send_if_modified(|table| {
                        let changed = *table != fresh;
                        *table = fresh;
                        changed
                    });
                }
                Err(error) => tracing::warn!(%error, "cannot re-read the token file; known callers stay"),
            }
        }
    }
}

impl Session {
    /// Waits until the token is no longer this caller's.
    pub(crate) async fn ended(mut self) {
        loop {
            if self.table.borrow_and_update().get(&self.hash) != Some(&self.caller) {
                return;
            }
            if self.table.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Lines that make no sense are left out: one bad line must not lock everybody out.
fn parse(text: &str) -> Table {
    let mut table = Table::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pair = line.split_once(',').and_then(|(hash, user)| {
            let hash: Hash = hex::decode(hash.trim()).ok()?.try_into().ok()?;
            let user = user.trim();
            (!user.is_empty()).then_some((hash, user))
        });
        if let Some((hash, user)) = pair {
            table.insert(hash, Caller::named(user));
        } else {
            tracing::warn!(line = number + 1, "a line of the token file is not `sha256(token),user`; left out");
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_start_makes_tokens_that_work_and_a_later_one_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Folder::private(&folder.path().join("tokens"));
        let file = folder.path().join("tokens.csv");
        make_missing(&dir, &file).unwrap();
        let token = operator_token(&dir).unwrap().unwrap();
        let before = fs::read_to_string(&file).unwrap();
        make_missing(&dir, &file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), before);
        let tokens = Tokens::load(file).unwrap();
        assert_eq!(tokens.authenticate(&token).unwrap().caller.user, "operator");
        assert!(!before.contains(&token), "the file holds hashes only");
    }

    #[test]
    fn a_first_start_that_was_interrupted_is_completed_with_the_tokens_found() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Folder::private(&folder.path().join("tokens"));
        let file = folder.path().join("tokens.csv");
        dir.write("operator.token", "handed-out").unwrap();
        make_missing(&dir, &file).unwrap();
        assert!(Tokens::load(file).unwrap().authenticate("handed-out").is_some());
    }

    #[test]
    fn a_token_file_that_cannot_be_looked_at_is_an_error_and_not_a_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Folder::private(&folder.path().join("tokens"));
        fs::write(folder.path().join("file"), "").unwrap();
        let refused = make_missing(&dir, &folder.path().join("file/tokens.csv")).unwrap_err();
        assert!(refused.to_string().starts_with("cannot read "), "{refused}");
        assert!(!dir.path().exists(), "no tokens that nobody knows");
    }

    #[test]
    fn a_bad_line_locks_nobody_else_out() {
        let table = parse(&format!("# callers\n\nnonsense\nabcd,short\n{}", line("t", Role::Operator)));
        assert_eq!(table.len(), 1);
    }

    #[tokio::test]
    async fn a_line_taken_out_ends_the_session_within_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens.csv");
        fs::write(&file, line("a", Role::Operator) + &line("b", Role::Dispatch)).unwrap();
        let tokens = Tokens::load(file.clone()).unwrap();
        let stop = CancellationToken::new();
        let following = tokio::spawn(tokens.clone().follow(stop.clone()));
        let kept = tokens.authenticate("a").unwrap();
        let revoked = tokens.authenticate("b").unwrap();
        fs::write(&file, line("a", Role::Operator)).unwrap();
        tokio::time::timeout(Duration::from_secs(5), revoked.ended()).await.expect("the session ends");
        assert!(tokens.authenticate("b").is_none());
        assert!(tokens.authenticate("a").is_some());
        assert!(tokio::time::timeout(Duration::from_millis(50), kept.ended()).await.is_err());
        stop.cancel();
        following.await.unwrap();
    }
}
