//! Identity through its interface, on both databases.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

#[path = "it/fixture.rs"]
mod fixture;
#[path = "it/people.rs"]
mod people;
#[path = "it/secrets.rs"]
mod secrets;
#[path = "it/tokens.rs"]
mod tokens;
