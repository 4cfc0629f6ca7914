//! The notification agent: its channels against real servers, its pipeline, its storage, and the agent against the real API.

#[cfg(test)]
mod it {
    mod mail;
    mod requests;
    mod services;
    mod shop;
    mod sms;
    mod webhooks;
}
