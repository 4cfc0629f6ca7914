//! The database's password, and the URL that has it.

use std::str::FromStr;

use anyhow::Context;
use http::{Uri, uri::PathAndQuery};

use super::{Fate, Pieces};
use crate::{folder::Folder, tokens::new_token};

/// Read by the database's container through its group.
const PASSWORD: &str = "postgres.password";
const URL: &str = "database.url";

/// A PostgreSQL database, as its user reaches it: everything but the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    user: String,
    /// `HOST[:PORT]/DATABASE[?…]`.
    rest: String,
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || "must be postgres://USER@HOST[:PORT]/DATABASE".to_owned();
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let postgres = matches!(uri.scheme_str(), Some("postgres" | "postgresql"));
        let (user, address) = uri.authority().and_then(|all| all.as_str().split_once('@')).ok_or_else(refused)?;
        if user.contains(':') {
            // Without the text: it would show what should not be there.
            return Err(format!("must not hold a password: one is made, in {PASSWORD}"));
        }
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let database = uri.path().strip_prefix('/').is_some_and(|name| !name.is_empty() && !name.contains('/'));
        if !(postgres && host && database && !user.is_empty()) {
            return Err(refused());
        }
        let rest = uri.path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
        Ok(Self { user: user.to_owned(), rest: format!("{address}{rest}") })
    }
}

impl Database {
    /// Makes what is missing of password and URL; one is enough to find the other.
    pub(super) fn make_missing(&self, folder: &Folder, pieces: &mut Pieces) -> anyhow::Result<()> {
        let (password, url) = (folder.read(PASSWORD)?, folder.read(URL)?);
        let fates = (Fate::new(password.is_some()), Fate::new(url.is_some()));
        let password = match (password, &url) {
            (Some(password), _) => password,
            (None, Some(url)) => {
                let known = password_of(url).with_context(|| {
                    format!("{} holds no password; remove it for a new one", folder.join(URL).display())
                })?;
                folder.for_the_group().write(PASSWORD, known)?;
                known.to_owned()
            }
            (None, None) => {
                let password = new_token()?;
                folder.for_the_group().write(PASSWORD, &password)?;
                password
            }
        };
        if url.is_none() {
            folder.write(URL, &self.with(password.trim()))?;
        }
        pieces.add(PASSWORD, fates.0)?;
        pieces.add(URL, fates.1)
    }

    /// Letters and digits: what we make needs no escaping.
    fn with(&self, password: &str) -> String {
        format!("postgres://{}:{password}@{}", self.user, self.rest)
    }
}

fn password_of(url: &str) -> Option<&str> {
    let (authority, _) = url.trim().split_once("://")?.1.rsplit_once('@')?;
    authority.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_the_address_with_the_password() {
        let database: Database = "postgres://dropmate@db:5432/dropmate?sslmode=disable".parse().unwrap();
        let url = database.with("secret");
        assert_eq!(url, "postgres://dropmate:secret@db:5432/dropmate?sslmode=disable");
        assert_eq!(password_of(&url), Some("secret"));
    }

    #[test]
    fn an_address_with_a_password_or_without_a_part_is_refused() {
        let with_password = "postgres://dropmate:geheim@db/dropmate".parse::<Database>().unwrap_err();
        assert!(with_password.contains("password") && !with_password.contains("geheim"), "{with_password}");
        for wrong in ["postgres://db/dropmate", "postgres://u@db", "postgres://u@db/", "mysql://u@db/d", "u@db/d"] {
            assert!(wrong.parse::<Database>().is_err(), "{wrong}");
        }
    }
}
