//! The built-in rules and words: an empty namespace already notifies, in the recipient's language.
//!
//! Words are data, a file for each language; the layout is one for all. Each SMS keeps to the small alphabet, so that it is
//! one message, or two where the link is long.

mod de;
mod en;
mod es;
mod fr;

use minijinja::value::Value;

use super::{
    Audience, Channel, NotificationRule,
    facts::Facts,
    template::{self, Context, Escape, Mail, RenderError, Rendered, context},
};

/// The events that recipients hear of without anybody having said so, with the names of the rules.
pub const EVENTS: [(&str, &str); 6] = [
    ("assigned", "order.assigned"),
    ("out-for-delivery", "order.out_for_delivery"),
    ("arriving", "order.arriving"),
    ("delivered", "order.delivered"),
    ("failed", "order.attempt_failed"),
    ("delayed", "order.delayed"),
];

/// The events that tell the PIN: when it will be asked for soon.
const WITH_PIN: [&str; 2] = ["order.out_for_delivery", "order.arriving"];

/// The languages there are words in.
pub const LANGUAGES: [&str; 4] = ["en", "de", "fr", "es"];

/// Items that a mail lists; of more it says how many.
const ITEMS_SHOWN: usize = 20;

const TEXT: &str = include_str!("builtin/message.txt");
const HTML: &str = include_str!("builtin/message.html");

/// The words of one language.
pub(crate) struct Language {
    /// `en`.
    pub(crate) code: &'static str,
    /// As it stands after a word.
    colon: &'static str,
    /// `Hello Ada,`.
    hello: &'static str,
    /// For the recipient, in the order of [`EVENTS`].
    recipient: [Words; 6],
    /// For everybody else.
    staff: Words,
    /// What each event is called.
    titles: &'static [(&'static str, &'static str)],
    labels: Labels,
    invitation: Words,
    reset: Words,
    verification: Words,
    /// Under a mail that somebody gets without having asked.
    expires: &'static str,
    unasked: &'static str,
    /// What each role is called.
    roles: &'static [(&'static str, &'static str)],
}

/// Words for one event: templates themselves.
struct Words {
    subject: &'static str,
    /// One paragraph.
    lead: &'static str,
    /// What the link is called.
    button: &'static str,
    /// The whole SMS.
    sms: &'static str,
}

struct Labels {
    pin: &'static str,
    order: &'static str,
    items: &'static str,
    more: &'static str,
    to: &'static str,
    from: &'static str,
    recipient: &'static str,
    due: &'static str,
    eta: &'static str,
    driver: &'static str,
    reason: &'static str,
    contact: &'static str,
}

/// The rules.
pub fn rules() -> Vec<NotificationRule> {
    let channels = [(Channel::Email, "email"), (Channel::Sms, "sms")];
    let rule = |name: &str, event: &str, channel: Channel, of: &str| NotificationRule {
        name: format!("{name}-{of}"),
        events: vec![event.to_owned()],
        when: Vec::new(),
        audience: Audience::Recipient,
        channel,
        http: None,
        template: None,
        delay_seconds: None,
        quiet_hours: None,
        enabled: true,
    };
    EVENTS.iter().flat_map(|(name, event)| channels.map(|(channel, of)| rule(name, event, channel, of))).collect()
}

/// Whether there are built-in words that tell this audience of the event.
pub fn tells(audience: Audience, event: &str) -> bool {
    audience != Audience::Recipient || EVENTS.iter().any(|(_, known)| *known == event)
}

/// Whether there are words in the locale's language.
pub(crate) fn speaks(locale: &str) -> bool {
    LANGUAGES.contains(&template::language(locale).as_str())
}

/// The words of the locale's language; English where there are none.
pub(crate) fn language(locale: &str) -> &'static Language {
    match template::language(locale).as_str() {
        "de" => &de::WORDS,
        "fr" => &fr::WORDS,
        "es" => &es::WORDS,
        _ => &en::WORDS,
    }
}

/// What the event is called.
pub(crate) fn title(locale: &str, event: &str) -> String {
    let titles = language(locale).titles;
    titles.iter().find(|(name, _)| *name == event).map_or(event, |(_, title)| title).to_owned()
}

/// The message in built-in words.
pub(crate) fn message(
    audience: Audience,
    channel: Channel,
    locale: &str,
    facts: &Facts,
) -> Result<Rendered, RenderError> {
    let language = language(locale);
    let words = if audience == Audience::Recipient {
        let place = EVENTS.iter().position(|(_, event)| *event == facts.event);
        &language.recipient[place.ok_or_else(|| RenderError::NoWords { event: facts.event.clone() })?]
    } else {
        &language.staff
    };
    let told = context(facts);
    let line = |source: &str| template::line("the built-in words", source, told.clone());
    let subject = line(words.subject)?;
    if channel != Channel::Email {
        return Ok(Rendered { subject: Some(subject), text: line(words.sms)?, ..Rendered::default() });
    }
    let labels = &language.labels;
    let recipient = audience == Audience::Recipient;
    let mut rows = vec![(labels.order, facts.order.name.as_str())];
    if !recipient {
        rows.extend([
            (labels.recipient, facts.order.recipient.name.as_str()),
            (labels.from, facts.order.pickup.address.as_str()),
        ]);
    }
    rows.extend([
        (labels.to, facts.order.dropoff.address.as_str()),
        (labels.driver, facts.driver.name.as_str()),
        (labels.eta, facts.order.eta.as_str()),
        (labels.due, facts.order.due_by.as_str()),
    ]);
    if !recipient {
        rows.push((labels.reason, facts.attempt.reason.as_str()));
    }
    // What was promised before it went otherwise would read like mockery.
    if recipient && (facts.event == "order.delivered" || facts.event == "order.attempt_failed") {
        rows.retain(|(label, _)| *label != labels.eta && *label != labels.due);
    }
    let pin = if WITH_PIN.contains(&facts.event.as_str()) { facts.pin.as_str() } else { "" };
    let mut items: Vec<String> =
        facts.order.items.iter().take(ITEMS_SHOWN).map(|item| format!("{} × {}", item.quantity, item.name)).collect();
    if let Some(more) = facts.order.items.len().checked_sub(ITEMS_SHOWN).filter(|more| *more > 0) {
        items.push(labels.more.replace("{}", &more.to_string()));
    }
    let contact: Vec<&str> =
        [facts.shop.phone.as_str(), facts.shop.email.as_str()].into_iter().filter(|way| !way.is_empty()).collect();
    layout(&Letter {
        language,
        from: &facts.shop.name,
        hello: if recipient && !facts.order.recipient.name.is_empty() { line(language.hello)? } else { String::new() },
        lead: line(words.lead)?,
        pin,
        link: &facts.tracking_url,
        button: words.button,
        rows: &rows,
        items: &items,
        notes: &[if recipient && !contact.is_empty() {
            format!("{} {}", labels.contact, contact.join(", "))
        } else {
            String::new()
        }],
        subject,
    })
}

/// The mail about somebody's account.
pub(crate) fn mail(mail: &Mail<'_>, expires: &str) -> Result<Rendered, RenderError> {
    let language = language(mail.locale);
    let words = match mail.kind {
        "invitation" => &language.invitation,
        "reset" => &language.reset,
        "verification" => &language.verification,
        other => return Err(RenderError::NoWords { event: format!("mail/{other}") }),
    };
    let clean = |text: Option<&str>| super::facts::clean(text.unwrap_or_default());
    let role = clean(mail.role);
    let role = language.roles.iter().find(|(name, _)| *name == role).map_or(role.as_str(), |(_, word)| *word);
    let told = Value::from_pairs([
        ("namespace", clean(mail.namespace)),
        ("role", role.to_owned()),
        ("by", clean(mail.by)),
        ("expires", expires.to_owned()),
    ]);
    let line = |source: &str| template::line("the built-in words", source, told.clone());
    layout(&Letter {
        language,
        from: "DropMate",
        hello: String::new(),
        lead: line(words.lead)?,
        pin: "",
        link: template::MARK_LINK,
        button: words.button,
        rows: &[],
        items: &[],
        notes: &[line(language.expires)?, language.unasked.to_owned()],
        subject: line(words.subject)?,
    })
}

/// The parts of an e-mail.
struct Letter<'a> {
    language: &'static Language,
    from: &'a str,
    subject: String,
    hello: String,
    lead: String,
    pin: &'a str,
    link: &'a str,
    button: &'a str,
    rows: &'a [(&'a str, &'a str)],
    items: &'a [String],
    notes: &'a [String],
}

fn layout(letter: &Letter<'_>) -> Result<Rendered, RenderError> {
    let rows = letter.rows.iter().filter(|(_, value)| !value.is_empty());
    let rows = rows.map(|(label, value)| Value::from_pairs([("label", *label), ("value", *value)]));
    let notes = letter.notes.iter().filter(|note| !note.is_empty());
    let told: Context = Value::from_pairs([
        ("language", Value::from(letter.language.code)),
        ("colon", Value::from(letter.language.colon)),
        ("from", Value::from(letter.from)),
        ("subject", Value::from(letter.subject.as_str())),
        ("hello", Value::from(letter.hello.as_str())),
        ("lead", Value::from(letter.lead.as_str())),
        ("pinLabel", Value::from(letter.language.labels.pin)),
        ("pin", Value::from(letter.pin)),
        ("link", Value::from(letter.link)),
        ("button", Value::from(letter.button)),
        ("rows", rows.collect::<Value>()),
        ("itemsLabel", Value::from(letter.language.labels.items)),
        ("items", letter.items.iter().map(String::as_str).collect::<Value>()),
        ("notes", notes.map(String::as_str).collect::<Value>()),
    ]);
    Ok(Rendered {
        subject: Some(letter.subject.clone()),
        text: template::whole("the built-in text", TEXT, Escape::None, told.clone())?,
        html: Some(template::whole("the built-in HTML", HTML, Escape::Html, told)?),
        ..Rendered::default()
    })
}

#[cfg(test)]
mod tests;
