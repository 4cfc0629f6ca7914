//! A message as it is planned: everything that is known before the first attempt, fixed from then on.

use std::time::Duration;

use dropmate_api::notification::{QuietHours, quiet};
use jiff::{Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};

use crate::channel::Channel;

/// Characters of an id after `msg_`: 130 bits, so that no two keys meet.
const ID_CHARACTERS: usize = 26;

/// The alphabet of ids: lower case, and nothing that has to be escaped in a header, a path or a file name.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A message as it is planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What makes it this one: event, audience, channel, recipient and rule. The same at every planning.
    pub key: String,
    /// Its namespace.
    pub namespace: String,
    /// The order it is about; empty if it is about none.
    pub order: String,
    /// The order's uid.
    pub uid: String,
    /// The event's type; empty for a mail of identity.
    pub event: String,
    /// The event's id.
    pub event_id: String,
    /// The revision that brought the event.
    pub revision: i64,
    /// The rule that asks for it.
    pub rule: String,
    /// The policy that the rule stands in; empty: built in.
    pub policy: String,
    /// `recipient`, `driver`, `manager`, `shop`, `webhook`, `person`.
    pub audience: &'static str,
    /// How it goes out.
    pub channel: Channel,
    /// The address.
    pub to: String,
    /// The locale it is written in.
    pub locale: String,
    /// Which of the policy's `channels.http`.
    pub http: String,
    /// What is sent side by side, a few at a time.
    pub queue: String,
    /// What is sent one after the other.
    pub lane: String,
    /// What makes it old; empty: nothing does.
    pub class: String,
    /// What it says.
    pub content: Content,
    /// The mail of identity that it is; empty otherwise.
    pub mail: String,
    /// Whether it is to be sent at all.
    pub birth: Birth,
    /// Not before (system time).
    pub not_before: Timestamp,
    /// When nobody wants to hear of it, as [`Quiet`] is written; empty: never.
    pub quiet: String,
    /// How long after that it is still worth sending.
    pub life: Duration,
    /// What limits it.
    pub quotas: Vec<Quota>,
}

/// Quiet hours in somebody's zone, in business time. They hold for retries as well, so that they go with the message.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    hours: QuietHours,
    zone: TimeZone,
}

impl Quiet {
    /// Those hours there.
    pub fn new(hours: &QuietHours, zone: &TimeZone) -> Self {
        Self { hours: hours.clone(), zone: zone.clone() }
    }

    /// As a row holds it: `22:00 07:00 Europe/Berlin`.
    pub fn written(&self) -> String {
        format!("{} {} {}", self.hours.start, self.hours.end, self.zone.iana_name().unwrap_or("UTC"))
    }

    /// What was written; `None` for nothing.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let (start, end) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let zone = TimeZone::get(parts.next()?).unwrap_or(TimeZone::UTC);
        Some(Self { hours: QuietHours { start, end }, zone })
    }

    /// Until when it is quiet, if it is at that moment.
    pub fn until(&self, at: Timestamp) -> Option<Timestamp> {
        quiet::until(&self.hours, &self.zone, at)
    }
}

/// What a message says, with marks where link and PIN go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The subject of an e-mail.
    pub subject: Option<String>,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// The body of a request.
    pub payload: Option<String>,
    /// Whether a link goes in.
    pub wants_link: bool,
    /// Whether the PIN goes in.
    pub wants_pin: bool,
}

/// Whether a planned message is to be sent at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Birth {
    /// It is.
    #[default]
    Planned,
    /// It is written down, and not sent: the reason.
    Suppressed(&'static str),
    /// It cannot be sent, which somebody has to look at: the reason, and what is known.
    Dead(&'static str, String),
}

/// So many in so long: more wait their turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Whose.
    pub key: String,
    /// How many may come at once.
    pub burst: i64,
    /// How long until there is room for another.
    pub every: Duration,
}

impl Draft {
    /// Its id.
    pub fn id(&self) -> String {
        id(&self.key)
    }
}

impl Quota {
    /// When something that wants to go at `at` may go, and what is to be remembered (microseconds): the moment at which
    /// the next would come if they came evenly.
    pub(crate) fn admit(&self, next_at: Option<i64>, at: i64) -> (i64, i64) {
        let every = i64::try_from(self.every.as_micros()).unwrap_or(i64::MAX);
        let even = next_at.unwrap_or(at).max(at);
        let slack = every.saturating_mul(self.burst.max(1) - 1);
        (at.max(even.saturating_sub(slack)), even.saturating_add(every))
    }
}

/// `msg_` and 26 characters: the same for the same key, and nobody comes to it by another.
pub fn id(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let mut id = String::from("msg_");
    let (mut held, mut bits) = (0_u32, 0);
    for byte in digest {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 && id.len() < 4 + ID_CHARACTERS {
            bits -= 5;
            id.push(char::from(ALPHABET[((held >> bits) & 31) as usize]));
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_come_back_as_they_were_written() {
        let hours = QuietHours { start: "22:00".to_owned(), end: "07:00".to_owned() };
        let quiet = Quiet::new(&hours, &TimeZone::get("Europe/Berlin").unwrap());
        assert_eq!(quiet.written(), "22:00 07:00 Europe/Berlin");
        let read = Quiet::read(&quiet.written()).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(read.until(at("2027-01-01T23:00:00Z")), Some(at("2027-01-02T06:00:00Z")));
        assert_eq!(read.until(at("2027-01-01T12:00:00Z")), None);
        assert_eq!(Quiet::read(""), None);
    }

    #[test]
    fn an_id_is_the_keys_and_no_other_keys() {
        let one = id("evt_e_7_0/recipient/email/ada@example.org/delivered");
        assert_eq!(one, id("evt_e_7_0/recipient/email/ada@example.org/delivered"));
        assert_ne!(one, id("evt_e_7_0/recipient/email/bob@example.org/delivered"));
        assert!(one.len() == 30 && one[4..].bytes().all(|byte| ALPHABET.contains(&byte)), "{one}");
        // By another implementation: base32 of the SHA-256 of nothing.
        assert_eq!(id(""), "msg_4oymiquy7qobjgx36tejs35zeq");
    }

    #[test]
    fn a_burst_goes_at_once_and_what_is_more_waits_its_turn() {
        let quota = Quota { key: String::new(), burst: 3, every: Duration::from_mins(2) };
        let mut next = None;
        let mut waits = Vec::new();
        for _ in 0..5 {
            let (at, remembered) = quota.admit(next, 1_000_000);
            next = Some(remembered);
            waits.push((at - 1_000_000) / 1_000_000);
        }
        assert_eq!(waits, [0, 0, 0, 120, 240]);
        // After a rest there is room for a burst again.
        let (at, _) = quota.admit(next, 10_000_000_000);
        assert_eq!(at, 10_000_000_000);
    }
}
