//! Drivers' phones: what they may ask, what they report, and where they were.

#[path = "phones/events.rs"]
mod events;
#[path = "phones/fixture.rs"]
mod fixture;
#[path = "phones/killed.rs"]
mod killed;
#[path = "phones/paired.rs"]
mod paired;
#[path = "phones/positions.rs"]
mod positions;
#[path = "phones/route.rs"]
mod route;
#[path = "phones/trackers.rs"]
mod trackers;
