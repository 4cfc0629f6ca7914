//! The tracking agent: its decisions as plain functions, its storage on both databases, and the agent against the real API.

#![expect(clippy::needless_pass_by_value, reason = "literals are handed over as they stand")]

#[cfg(test)]
mod it {
    mod agent;
    mod core;
    mod program;
    mod storage;
    mod town;
    mod travel;
}
