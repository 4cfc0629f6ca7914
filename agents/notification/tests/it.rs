//! The notification agent: its channels against real servers, its storage on both databases, its pipeline with providers
//! that fail in every way, its planning, and the agent against the real API.

#[cfg(test)]
mod it {
    mod agent;
    mod kept;
    mod mail;
    mod pipeline;
    mod plans;
    mod program;
    mod requests;
    mod services;
    mod shop;
    mod sms;
    mod storage;
    mod town;
    mod webhooks;
}
