//! Identity over its two databases: one suite that both pass.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

#[path = "it/fixture.rs"]
mod fixture;
#[path = "it/people.rs"]
mod people;
