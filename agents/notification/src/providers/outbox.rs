//! Where messages stay if nothing is set up to send them: what would have gone out can be read, and is said to have gone
//! nowhere.

use async_trait::async_trait;

use crate::channel::{Channel, Outcome, Outgoing, Provider};

/// Its name, as messages tell it.
pub const OUTBOX: &str = "outbox";

/// Keeps messages: they are kept already.
pub(super) struct Outbox(Channel);

impl Outbox {
    pub(super) fn new(channel: Channel) -> Self {
        Self(channel)
    }
}

#[async_trait]
impl Provider for Outbox {
    fn name(&self) -> &str {
        OUTBOX
    }

    async fn send(&self, _message: &Outgoing) -> Outcome {
        let (what, flag) = match self.0 {
            Channel::Sms => ("SMS", "--sms-account"),
            _ => ("e-mail", "--smtp-url"),
        };
        let answer = format!("kept in the outbox and sent to nobody: nothing is set up for {what} ({flag})");
        Outcome::Sent { provider_id: None, answer }
    }
}
