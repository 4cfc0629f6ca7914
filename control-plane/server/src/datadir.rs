//! The data dir: one process at a time, secrets readable by their owner only, files either whole or not there.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Only the owner may look inside.
const DIR_MODE: u32 = 0o700;
/// Only the owner may read.
const SECRET_MODE: u32 = 0o600;

/// Why the data dir cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error("the data dir {} is in use by another dropmate{}; stop that one, or name another --data-dir", path.display(), holder(pid))]
    Locked {
        /// The data dir.
        path: PathBuf,
        /// What the other process wrote into its lock file.
        pid: String,
    },
    /// It cannot be made, read or written.
    #[error("cannot use the data dir {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn holder(pid: &str) -> String {
    if pid.is_empty() { String::new() } else { format!(" (process {pid})") }
}

/// The locked data dir. The lock ends with the value, and with the process however that ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes what is missing and takes the lock.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |at: &Path| {
            let path = at.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        private_dir(path).map_err(failed(path))?;
        let lock_path = path.join("LOCK");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(SECRET_MODE)
            .open(&lock_path)
            .map_err(failed(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // Only for the message: a lock file that cannot be read still locks.
                let _ = (&lock).take(20).read_to_string(&mut pid);
                return Err(DataDirError::Locked { path: path.to_owned(), pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(&lock_path)(source)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed(&lock_path))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// A path inside.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A database file inside; made empty and private if it is missing, as SQLite would make it readable by others.
    pub(crate) fn database(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let path = self.join(name);
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(SECRET_MODE)
            .open(&path)
            .map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        Ok(path)
    }

    /// Reads a file, or makes it with what `make` gives. However a first start ends, the next one finds a file whole
    /// or makes it again.
    pub(crate) fn read_or_make<E>(&self, name: &str, make: impl FnOnce() -> Result<String, E>) -> Result<String, E>
    where
        E: From<DataDirError>,
    {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) if !text.is_empty() => Ok(text),
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(DataDirError::Io { path, source }.into()),
            _ => {
                let text = make()?;
                write_secret(&path, &text)?;
                Ok(text)
            }
        }
    }

    /// Writes a file, whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), DataDirError> {
        write_secret(&self.join(name), text)
    }
}

/// Writes a file that only its owner may read, whole or not at all, making its folder if needed.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), DataDirError> {
    let write = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        private_dir(folder)?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        // A leftover of an interrupted start may have another mode.
        let _ = fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(SECRET_MODE).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| DataDirError::Io { path: path.to_owned(), source })
}

/// Makes a folder that only its owner may enter. One that is there keeps its mode: it may be shared on purpose.
fn private_dir(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_second_user_of_a_data_dir_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).unwrap_err();
        assert!(matches!(&refused, DataDirError::Locked { pid, .. } if *pid == std::process::id().to_string()));
        assert!(refused.to_string().contains("in use by another dropmate"), "{refused}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn nobody_else_can_read_what_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/data");
        let dir = DataDir::open(&path).unwrap();
        dir.write("tokens/operator.token", "secret").unwrap();
        let database = dir.database("control.db").unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("tokens")), 0o700);
        assert_eq!(mode(&path.join("tokens/operator.token")), 0o600);
        assert_eq!(mode(&database), 0o600);
    }

    #[test]
    fn a_file_that_was_cut_short_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        fs::write(dir.join("ca.key.new"), "half of a k").unwrap();
        fs::write(dir.join("ca.key"), "").unwrap();
        let made = dir.read_or_make("ca.key", || Ok::<_, DataDirError>("whole".to_owned())).unwrap();
        let kept = dir.read_or_make("ca.key", || Ok::<_, DataDirError>("another".to_owned())).unwrap();
        assert_eq!((made.as_str(), kept.as_str()), ("whole", "whole"));
    }
}
