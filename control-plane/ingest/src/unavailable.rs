//! Why something could not be kept or read.

/// The database does not answer, or not as it should. Nothing was done, unless a commit was under way.
#[derive(Debug, thiserror::Error)]
#[error("the database of what phones bring in is not available")]
pub struct Unavailable(#[from] sqlx::Error);
