//! The planner as its callers see it.

#![expect(clippy::unwrap_used, reason = "a test ends on the first surprise")]

mod it {
    mod build;
    #[allow(dead_code, reason = "shared with an example, which uses other parts")]
    mod day;
    mod days;
    mod decisions;
    mod duty;
    mod properties;
}
