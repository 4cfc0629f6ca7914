//! What phones bring in, on both databases.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

#[path = "it/fixture.rs"]
mod fixture;
#[path = "it/outages.rs"]
mod outages;
#[path = "it/positions.rs"]
mod positions;
