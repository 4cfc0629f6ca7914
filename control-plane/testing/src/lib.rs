//! What tests of several crates need: a PostgreSQL database or server of their own, a Redis, and a network that can be paused and
//! cut. Knows nothing of DropMate; nothing but tests may depend on it.

#![warn(missing_docs)]

mod database;
mod proxy;
mod redis;
mod server;
mod sqlite;

pub use database::Database;
pub use proxy::Proxy;
pub use redis::{RedisServer, redis_url};
pub use server::{PostgresServer, signal};
pub use sqlite::sqlite_row;
