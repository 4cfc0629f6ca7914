//! A day in a city from a seed.

pub mod summary;
