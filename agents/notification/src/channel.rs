//! What the pipeline hands to a channel, and what comes back.

use std::time::Duration;

use async_trait::async_trait;

/// How a message goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// By e-mail.
    Email,
    /// By SMS.
    Sms,
    /// By a request that a NotificationPolicy describes.
    Http,
    /// To a Webhook.
    Webhook,
}

impl Channel {
    /// In metrics, in the database and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
            Self::Http => "http",
            Self::Webhook => "webhook",
        }
    }

    /// The channel of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Email, Self::Sms, Self::Http, Self::Webhook].into_iter().find(|channel| channel.name() == name)
    }
}

/// A message as it goes out: everything is filled in, the same at every attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// `msg_…`: the same at every attempt, and for whoever plans it anew. The other side drops doubles by it: it is the
    /// `Message-ID` of an e-mail, the `Idempotency-Key` of a request, the `webhook-id` of a webhook.
    pub id: String,
    /// Its namespace.
    pub namespace: String,
    /// The address: e-mail, phone number, or the name of the Webhook.
    pub to: String,
    /// The uid of the Webhook that it is for: another of that name gets nothing. Empty: whoever has the name.
    pub endpoint: String,
    /// The subject of an e-mail.
    pub subject: Option<String>,
    /// Plain text; empty for a webhook.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// The locale it is written in.
    pub locale: String,
    /// The body of a request: of the channel `Http` and of a webhook. Bytes as they are sent.
    pub payload: Option<String>,
    /// Which of a policy's `channels.http`; empty otherwise.
    pub http: String,
    /// The NotificationPolicy whose channels count; empty: the operator's.
    pub policy: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
}

/// What became of an attempt. Answers are told to managers: no secret, at most a few hundred characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it.
    Sent {
        /// The provider's name for it.
        provider_id: Option<String>,
        /// What it said.
        answer: String,
    },
    /// It did not take it and may later: try again, not before `after` if the provider said so.
    Again {
        /// What it said.
        answer: String,
        /// `Retry-After`.
        after: Option<Duration>,
    },
    /// The provider works, and cannot reach the recipient at the moment (a full mailbox, a greylist): try again.
    Unreachable {
        /// What it said.
        answer: String,
    },
    /// It may have taken it: the connection was lost after everything was sent. To be sent again with the same id.
    InDoubt {
        /// What is known.
        answer: String,
    },
    /// It will never take it.
    Refused {
        /// What it said.
        answer: String,
        /// Whether the recipient wants nothing more over this channel.
        opted_out: bool,
    },
    /// The endpoint wants nothing any more (410), which ends the endpoint and not only the message.
    Gone {
        /// What it said.
        answer: String,
    },
}

/// What takes messages of one kind: a mail server, an SMS API, an endpoint.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it is called in breakers, metrics and answers: no secret, no address of a person; `smtp:mail.example.org:465`.
    fn name(&self) -> &str;

    /// Hands a message over, within the channel's timeout.
    async fn send(&self, message: &Outgoing) -> Outcome;
}
