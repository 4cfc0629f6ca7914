//! Integration tests of the hints: one contract on memory and Redis, and what happens when Redis goes away.

#[cfg(test)]
mod it {
    mod append;
    mod contract;
    mod redis_away;
    mod support;
}
