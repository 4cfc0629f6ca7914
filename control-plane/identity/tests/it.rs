//! Identity through its interface, on both databases.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

#[path = "it/people.rs"]
mod people;
