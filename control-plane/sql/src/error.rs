//! Why a database could not be opened.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened or is not a database.
    #[error("cannot open the database {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The address cannot be read.
    #[error("--database-url is not of the form postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE")]
    Url {
        /// Why.
        source: sqlx::Error,
    },
    /// The database does not let us in.
    #[error("cannot connect to the database {database}")]
    Unreachable {
        /// Which, without the password.
        database: String,
        /// Why.
        source: sqlx::Error,
    },
    /// The database cannot hold all characters.
    #[error(
        "the database has the encoding {found}, but UTF8 is needed: make one with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
    )]
    Encoding {
        /// Its encoding.
        found: String,
    },
    /// The database has not been migrated.
    #[error(
        "the database schema {schema} lacks {pending} migrations: run `dropmate migrate` with the same --database-url"
    )]
    Older {
        /// The schema.
        schema: &'static str,
        /// How many.
        pending: usize,
    },
    /// A newer program has been here.
    #[error(
        "the database schema {schema} is at version {found}, but this program knows versions up to {known} only: \
         run the program that made it, or a newer one"
    )]
    Newer {
        /// The schema.
        schema: &'static str,
        /// The version that the database is at.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A migration failed or is not the one that was applied.
    #[error("cannot migrate the database schema {schema}")]
    Migrate {
        /// The schema.
        schema: &'static str,
        /// Why.
        source: MigrateError,
    },
}
