//! The data dir: one process at a time, secrets readable by their owner only, files either whole or not there.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::folder::{FileError, Folder};

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
    /// A secret in it cannot be read or written.
    #[error("cannot use the data dir")]
    File(#[from] FileError),
}

fn holder(pid: &str) -> String {
    if pid.is_empty() { String::new() } else { format!(" (process {pid})") }
}

/// The locked data dir. The lock ends with the value, and with the process however that ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    /// Its secrets.
    pub(crate) folder: Folder,
    _lock: File,
}

impl DataDir {
    /// Makes what is missing and takes the lock.
    pub(crate) fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |at: &Path| {
            let path = at.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        let folder = Folder::private(path);
        folder.make()?;
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
        Ok(Self { folder, _lock: lock })
    }

    /// A database file inside; made empty and private if it is missing, as SQLite would make it readable by others.
    pub(crate) fn database(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let path = self.folder.join(name);
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(SECRET_MODE)
            .open(&path)
            .map_err(|source| DataDirError::Io { path: path.clone(), source })?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

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
        dir.folder.folder("tokens").write("operator.token", "secret").unwrap();
        let database = dir.database("control.db").unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("tokens")), 0o700);
        assert_eq!(mode(&path.join("tokens/operator.token")), 0o600);
        assert_eq!(mode(&database), 0o600);
    }
}
