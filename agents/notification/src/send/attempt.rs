//! One attempt: what only now may be known is filled in, the provider is asked, and what follows is decided.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use dropmate_api::{Clock, notification::template::fill};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout};

use super::verdict::{Health, verdict};
use crate::{
    Metrics,
    channel::{Channel, Outcome, Outgoing},
    draft::Quiet,
    providers::{NoProvider, SEND_MAX},
    seam::{Ask, Revealed, Route, Unrevealed, Vault},
    store::{Claimed, End, Finished},
};

/// How long an attempt may take in all: providers end theirs before.
const ATTEMPT_MAX: Duration = SEND_MAX.saturating_add(Duration::from_secs(5));

/// How long a message waits for a control plane that does not answer.
const REVEAL_AGAIN: SignedDuration = SignedDuration::from_secs(2);

/// How long messages of a newer version's channel wait for a process of that version.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(30);

/// Between claim and provider at most: later another sender may think that we are dead.
const START_WITHIN: Duration = Duration::from_secs(12);

/// The audience whose own word counts.
const RECIPIENT: &str = "recipient";

/// What an attempt needs.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) clock: Clock,
    pub(super) route: Arc<dyn Route>,
    pub(super) vault: Arc<dyn Vault>,
    pub(super) metrics: Metrics,
}

/// What came of an attempt.
pub(super) struct Made {
    pub(super) finished: Finished,
    pub(super) health: Health,
    /// The whole queue has to wait for so long.
    pub(super) pause: Option<Duration>,
}

impl Desk {
    /// Makes an attempt with a message claimed at `claimed_at`. One that breaks down in our own hands is in doubt as well.
    pub(super) async fn attempt(&self, message: &Claimed, claimed_at: Instant) -> Made {
        let made = AssertUnwindSafe(self.try_attempt(message, claimed_at)).catch_unwind().await;
        made.unwrap_or_else(|_| {
            tracing::error!(id = message.id, channel = message.channel, "an attempt panicked");
            let channel = Channel::named(&message.channel).unwrap_or(Channel::Email);
            let outcome = Outcome::InDoubt { answer: "the attempt broke down within DropMate".to_owned() };
            let (end, health) = verdict(message, channel, outcome, self.clock.system_now());
            self.made(message, "", end, health, None)
        })
    }

    async fn try_attempt(&self, message: &Claimed, claimed_at: Instant) -> Made {
        let Some(channel) = Channel::named(&message.channel) else {
            let answer = format!("this version knows no channel {:?}", message.channel);
            return self.made(
                message,
                "",
                End::Deferred { answer, until: self.later(UNKNOWN_AGAIN) },
                Health::Unknown,
                Some(UNKNOWN_AGAIN),
            );
        };
        // It was planned for another hour, and tried in vain until now.
        let quiet = Quiet::read(&message.quiet).and_then(|quiet| quiet.until(self.clock.business_now()));
        if let Some(until) = quiet {
            let end = End::Deferred {
                answer: "it waits for the end of quiet hours".to_owned(),
                until: self.clock.to_system(until),
            };
            return self.made(message, "", end, Health::Unknown, None);
        }
        let revealed = match self.reveal(message).await {
            Ok(revealed) => revealed,
            Err(Unrevealed::Gone) => {
                let answer = "what it is about is gone".to_owned();
                return self.made(message, "", End::Suppressed { reason: "gone", answer }, Health::Unknown, None);
            }
            Err(Unrevealed::Later(why)) => {
                let until = self.clock.system_now() + REVEAL_AGAIN;
                return self.made(message, "", End::Deferred { answer: why, until }, Health::Unknown, None);
            }
        };
        if revealed.unwanted && message.audience == RECIPIENT {
            let answer = "the recipient wants no messages".to_owned();
            return self.made(message, "", End::Suppressed { reason: "optedOut", answer }, Health::Unknown, None);
        }
        let outgoing = outgoing(message, &revealed);
        let provider = match self.route.provider(channel, &outgoing).await {
            Ok(provider) => provider,
            Err(NoProvider { why, wait: Some(wait) }) => {
                let end = End::Deferred { answer: why, until: self.later(wait) };
                return self.made(message, "", end, Health::Unknown, Some(wait));
            }
            Err(NoProvider { why, wait: None }) => {
                return self.made(message, "", End::Suppressed { reason: "gone", answer: why }, Health::Unknown, None);
            }
        };
        if claimed_at.elapsed() > START_WITHIN {
            let answer = "it took too long to prepare".to_owned();
            let until = self.clock.system_now();
            return self.made(message, "", End::Deferred { answer, until }, Health::Unknown, None);
        }
        let began = Instant::now();
        let outcome = timeout(ATTEMPT_MAX, provider.send(&outgoing))
            .await
            .unwrap_or_else(|_| Outcome::InDoubt { answer: format!("no answer within {} s", ATTEMPT_MAX.as_secs()) });
        self.metrics.attempted(channel, &outcome, began.elapsed());
        let now = self.clock.system_now();
        let (end, health) = verdict(message, channel, outcome, now);
        if let End::Sent { .. } = end {
            self.metrics.sent(channel, message.created_at.max(message.not_before), now);
        }
        self.made(message, provider.name(), end, health, None)
    }

    async fn reveal(&self, message: &Claimed) -> Result<Revealed, Unrevealed> {
        let (link, pin) = (message.wants_link != 0, message.wants_pin != 0);
        let ask = match message.mail.as_str() {
            "" if message.order_uid.is_empty() || message.channel == Channel::Webhook.name() => {
                return Ok(Revealed::default());
            }
            // Also where neither goes in: of an order that is gone, or is another's of its name, nothing is told.
            "" => Ask::Order {
                namespace: message.namespace.clone(),
                order: message.order_name.clone(),
                uid: message.order_uid.clone(),
                link,
                pin,
            },
            mail => Ask::Mail(mail.to_owned()),
        };
        self.vault.reveal(&ask).await
    }

    fn later(&self, wait: Duration) -> Timestamp {
        let now = self.clock.system_now();
        SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok()).unwrap_or(now)
    }

    fn made(&self, message: &Claimed, provider: &str, end: End, health: Health, pause: Option<Duration>) -> Made {
        let finished = Finished {
            seq: message.seq,
            number: message.attempts,
            lane: (message.lane.clone(), message.not_before),
            endpoint: message.channel == Channel::Webhook.name() && health != Health::Unknown,
            at: self.clock.system_now(),
            provider: provider.to_owned(),
            end,
        };
        Made { finished, health, pause }
    }
}

/// The message as it goes out: the same at every attempt, unless link or PIN were revoked.
fn outgoing(message: &Claimed, revealed: &Revealed) -> Outgoing {
    // What asks for nothing goes out as it stands: a webhook's body to the byte.
    let asks = message.wants_link != 0 || message.wants_pin != 0 || !message.mail.is_empty();
    let fill =
        |text: &str| if asks { fill(text, revealed.link.as_deref(), revealed.pin.as_deref()) } else { text.to_owned() };
    let filled = |text: &Option<String>| text.as_deref().map(fill);
    Outgoing {
        id: message.id.clone(),
        namespace: message.namespace.clone(),
        to: message.recipient.clone(),
        endpoint: message.queue.strip_prefix("webhook/").unwrap_or_default().to_owned(),
        subject: filled(&message.subject),
        text: fill(&message.text),
        html: filled(&message.html),
        locale: message.locale.clone(),
        payload: filled(&message.payload),
        http: message.http.clone(),
        policy: message.policy.clone(),
        attempt: u32::try_from(message.attempts).unwrap_or(u32::MAX),
    }
}
