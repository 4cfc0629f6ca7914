//! Pools, timeouts and migrations of the SQL databases. Knows no kind and no table of its users.

#![warn(missing_docs)]

mod database;
mod error;
mod migrate;
pub mod postgres;
pub mod sqlite;

pub use database::{Db, Schema};
pub use error::OpenError;
pub use migrate::Plan;
