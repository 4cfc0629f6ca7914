//! A day in a city from a seed: drivers who act as phones would, customers who order, how the day went, and the
//! invariants that must hold whatever happens in between.
//!
//! Everything goes through the same API as everybody else's work, and by the business clock: a day runs in seconds
//! under paused time, and at any speed in a running system. It decides nothing about who drives what.

pub mod drivers;
mod geo;
pub mod invariants;
pub mod summary;
pub mod town;
