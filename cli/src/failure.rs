//! How a command ends when it does not end well.

use std::fmt;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The answer is no: the server refused, an object is not there, a document is wrong. Exit code 1.
    No(String),
    /// The answer is no, and what was printed says all of it. Exit code 1.
    Different,
    /// It could not be told: no server, no permission to read a file, a deadline passed. Exit code 2.
    Unknown(anyhow::Error),
}

impl Failure {
    /// The process's exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::No(_) | Self::Different => 1,
            Self::Unknown(_) => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No(message) => f.write_str(message),
            Self::Different => f.write_str("there are differences"),
            Self::Unknown(error) => write!(f, "{error:#}"),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Unknown(error.into())
    }
}

/// What every command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;
