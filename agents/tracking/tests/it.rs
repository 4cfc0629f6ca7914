//! The tracking agent: its decisions as plain functions, its storage on both databases, and the agent against the real API.

#[cfg(test)]
mod it {
    mod agent;
    mod core;
    mod program;
    mod storage;
    mod town;
    mod travel;
}
