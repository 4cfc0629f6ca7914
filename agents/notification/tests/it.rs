//! The notification agent: its storage on both databases, its pipeline with providers that fail in every way, and the
//! agent against the real API.

#![expect(clippy::needless_pass_by_value, reason = "literals are handed over as they stand")]

#[cfg(test)]
mod it {
    mod agent;
    mod kept;
    mod pipeline;
    mod plans;
    mod storage;
    mod town;
}
