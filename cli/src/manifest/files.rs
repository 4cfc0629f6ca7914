//! Which files `-f` means.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// How deep `-R` goes, so that a loop of links ends.
const MAX_DIRECTORY_DEPTH: usize = 32;

/// One input: a file or standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Input {
    /// The name as the user would write it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Opens it.
    pub(crate) fn open(&self) -> io::Result<Box<dyn BufRead + Send>> {
        Ok(match self {
            Self::Stdin => Box::new(BufReader::new(io::stdin())),
            Self::File(path) => Box::new(BufReader::new(File::open(path)?)),
        })
    }
}

/// The inputs that `-f` names, directories taken apart in the order of their file names. `empty`: a directory without
/// manifests is fine.
pub(crate) fn inputs(names: &[String], recursive: bool, empty: bool) -> anyhow::Result<Vec<Input>> {
    let mut found = Vec::new();
    for name in names {
        if name == "-" {
            found.push(Input::Stdin);
            continue;
        }
        if name.starts_with("http://") || name.starts_with("https://") {
            bail!(
                "{name}: only files, directories and - can be read; fetch it first (curl {name} | dropmate apply -f -)"
            );
        }
        let path = Path::new(name);
        let metadata = path.metadata().with_context(|| format!("cannot read {name}"))?;
        if metadata.is_dir() {
            let before = found.len();
            directory(path, recursive, 0, &mut found)?;
            if found.len() == before && !empty {
                bail!("{name}: no .yaml, .yml or .json files in this directory");
            }
        } else {
            found.push(Input::File(path.to_owned()));
        }
    }
    Ok(found)
}

fn directory(path: &Path, recursive: bool, depth: usize, found: &mut Vec<Input>) -> anyhow::Result<()> {
    let entries = path.read_dir().and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.with_context(|| format!("cannot read {}", path.display()))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            if recursive && depth < MAX_DIRECTORY_DEPTH {
                directory(&path, recursive, depth + 1, found)?;
            }
        } else if path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
        {
            found.push(Input::File(path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_in_the_order_of_its_names_and_only_its_manifests() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "c.json", "README.md"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/d.yaml"), "").unwrap();
        let root = dir.path().display().to_string();
        let names = |recursive| -> Vec<String> {
            let found = inputs(std::slice::from_ref(&root), recursive, false).unwrap();
            found.iter().map(|input| input.name().replace(&root, "")).collect()
        };
        assert_eq!(names(false), ["/a.yml", "/b.yaml", "/c.json"]);
        assert_eq!(names(true), ["/a.yml", "/b.yaml", "/c.json", "/sub/d.yaml"]);
    }
}
