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
