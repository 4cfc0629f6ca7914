//! A folder of secrets: each file whole or not there, readable by those it is for only.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    str::FromStr,
};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is there, but cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It cannot be made.
    #[error("cannot write {}", .0.display())]
    Write(PathBuf, #[source] io::Error),
    /// It cannot be given away.
    #[error("--owner: cannot give {} to {}", .0.display(), .1)]
    Own(PathBuf, Owner, #[source] io::Error),
}

/// Whose files they are, by numbers: the names are those of another machine or container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        let (uid, gid) = numbers.ok_or("must be UID:GID, two numbers")?;
        Ok(Self { uid, gid })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}

/// The folder. It is made with its first file; one that is there keeps its mode and owner, as it may be shared on
/// purpose.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    own_mode: u32,
    file_mode: u32,
    owner: Option<Owner>,
}

impl Folder {
    /// One that only this process's user may enter.
    pub(crate) fn private(path: &Path) -> Self {
        Self { path: path.to_owned(), own_mode: 0o700, file_mode: 0o600, owner: None }
    }

    /// One through which others may reach what is theirs; its files are for `owner`, to read.
    pub(crate) fn handed_out(path: &Path, owner: Option<Owner>) -> Self {
        Self { path: path.to_owned(), own_mode: 0o711, file_mode: 0o400, owner }
    }

    /// The same for a folder inside.
    pub(crate) fn folder(&self, name: &str) -> Self {
        Self { path: self.join(name), ..self.clone() }
    }

    /// The same, with files that the owner's group may read too.
    pub(crate) fn for_the_group(&self) -> Self {
        Self { file_mode: self.file_mode | 0o040, ..self.clone() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A path inside.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the folder if it is missing.
    pub(crate) fn make(&self) -> Result<(), FileError> {
        if self.path.as_os_str().is_empty() || self.path.is_dir() {
            return Ok(());
        }
        let make = || {
            DirBuilder::new().recursive(true).mode(self.own_mode).create(&self.path)?;
            // The umask may have taken away what others need.
            fs::set_permissions(&self.path, Permissions::from_mode(self.own_mode))
        };
        make().map_err(|error| FileError::Write(self.path.clone(), error))?;
        self.own(&self.path)
    }

    /// What a file holds; `None` if it is not there, or empty as only an interrupted start leaves it.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, FileError> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::Read(path, error)),
        }
    }

    /// Reads a file, or makes it with what `make` gives. However a first start ends, the next one finds a file whole
    /// or makes it again.
    pub(crate) fn read_or_make<E>(&self, name: &str, make: impl FnOnce() -> Result<String, E>) -> Result<String, E>
    where
        E: From<FileError>,
    {
        if let Some(text) = self.read(name)? {
            return Ok(text);
        }
        let text = make()?;
        self.write(name, &text)?;
        Ok(text)
    }

    /// Writes a file, whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), FileError> {
        self.make()?;
        let path = self.join(name);
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let failed = |error| FileError::Write(path.clone(), error);
        let written = || -> io::Result<()> {
            // A leftover of an interrupted start may have another mode.
            let _ = fs::remove_file(&temporary);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(self.file_mode).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            // The umask may have taken away what the group needs.
            file.set_permissions(Permissions::from_mode(self.file_mode))?;
            file.sync_all()
        };
        written().map_err(failed)?;
        self.own(&temporary)?;
        let moved = || {
            fs::rename(&temporary, &path)?;
            File::open(&self.path)?.sync_all()
        };
        moved().map_err(failed)
    }

    /// Gives a file or folder to the owner.
    pub(crate) fn own(&self, path: &Path) -> Result<(), FileError> {
        let Some(owner) = self.owner else { return Ok(()) };
        let failed = |error| FileError::Own(path.to_owned(), owner, error);
        let now = fs::metadata(path).map_err(failed)?;
        if (now.uid(), now.gid()) == (owner.uid, owner.gid) {
            return Ok(());
        }
        chown(path, Some(owner.uid), Some(owner.gid)).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_that_was_cut_short_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::private(dir.path());
        fs::write(folder.join("ca.key.new"), "half of a k").unwrap();
        fs::write(folder.join("ca.key"), "").unwrap();
        let made = folder.read_or_make("ca.key", || Ok::<_, FileError>("whole".to_owned())).unwrap();
        let kept = folder.read_or_make("ca.key", || Ok::<_, FileError>("another".to_owned())).unwrap();
        assert_eq!((made.as_str(), kept.as_str()), ("whole", "whole"));
    }

    #[test]
    fn what_is_handed_out_is_for_its_owner_and_a_group_only_where_it_must() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::handed_out(&dir.path().join("a/b"), None);
        folder.write("secret", "s").unwrap();
        folder.for_the_group().write("shared", "s").unwrap();
        assert_eq!(mode(folder.path()), 0o711);
        assert_eq!(mode(&folder.join("secret")), 0o400);
        assert_eq!(mode(&folder.join("shared")), 0o440);
        // A file that cannot be written to is replaced.
        folder.write("secret", "t").unwrap();
        assert_eq!(folder.read("secret").unwrap().as_deref(), Some("t"));
    }

    #[test]
    fn an_owner_is_two_numbers() {
        assert_eq!("1000:100".parse(), Ok(Owner { uid: 1000, gid: 100 }));
        for wrong in ["1000", "dropmate:dropmate", "-1:0", "1:2:3"] {
            assert!(wrong.parse::<Owner>().is_err(), "{wrong}");
        }
    }
}
