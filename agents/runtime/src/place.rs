//! Where an agent keeps what it keeps: a database that many share, or a file that is one process's alone.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;

use crate::Args;

/// Where an agent keeps what it keeps.
#[derive(Debug)]
pub enum Place {
    /// This PostgreSQL database.
    Postgres(String),
    /// This file, which nobody else may read, as long as the lock is held.
    File(PathBuf, File),
}

impl Place {
    /// As the flags say: the database if there is one, else `file` in the data dir, with the lock file `lock` beside it.
    /// `keeps` says what for, to who gave neither.
    pub fn of(args: &Args, data_dir: Option<&Path>, file: &str, lock: &str, keeps: &str) -> anyhow::Result<Self> {
        let url = match (&args.database_url, &args.database_url_file) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("--database-url-file: cannot read {}", file.display()))?;
                Some(text.trim().to_owned())
            }
            (None, None) => None,
        };
        if let Some(url) = url.filter(|url| !url.is_empty()) {
            return Ok(Self::Postgres(url));
        }
        let dir = data_dir.with_context(|| format!("--database-url or --data-dir is needed: {keeps}"))?;
        std::fs::create_dir_all(dir).with_context(|| format!("--data-dir: cannot make {}", dir.display()))?;
        let path = dir.join(lock);
        let lock = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("--data-dir: cannot open {}", path.display()))?;
        lock.try_lock().with_context(|| format!("--data-dir: another process has {}", dir.display()))?;
        // SQLite would make the file readable by others.
        let file = dir.join(file);
        File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&file)
            .with_context(|| format!("--data-dir: cannot make {}", file.display()))?;
        Ok(Self::File(file, lock))
    }
}
