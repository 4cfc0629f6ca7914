//! Messages from templates: which words, filled with which facts, and the secrets that come in last.
//!
//! Templates are a shop's own and facts are anybody's: a template has fuel, a fact is never compiled, and neither makes a
//! header, a second line of a subject or the mark of a secret.

mod check;
mod engine;
mod sms;

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Audience, Channel, HttpChannel, MessageTemplate, builtin,
    facts::{Facts, clean},
    local,
    rules::{DEFAULT_LOCALE, Effective},
};

pub(crate) use check::audiences;
pub use check::check;
pub(crate) use engine::{Escape, context};
#[cfg(test)]
pub(crate) use sms::is_small;
pub use sms::segments;

/// Stands for the recipient's link, or for that of a mail of identity, until the message is sent.
pub const MARK_LINK: &str = "\u{F0D00}";
/// The same where it stands in HTML.
pub const MARK_LINK_HTML: &str = "\u{F0D01}";
/// The same where it stands in the body of a form.
pub const MARK_LINK_FORM: &str = "\u{F0D02}";
/// Stands for the PIN until the message is sent.
pub const MARK_PIN: &str = "\u{F0D10}";

/// What stands where nothing may be told: in lists, previews and logs of messages.
const MASKED_LINK: &str = "[link]";
const MASKED_PIN: &str = "******";

/// Letters of a subject: mail programs show far fewer.
const SUBJECT_MAX: usize = 255;
/// Letters of an SMS, marks counted as one: providers take 1,600, and the link has to fit.
const SMS_MAX: usize = 1_400;
/// Bytes of a text, and of a body: a thousand times what anybody reads.
const TEXT_MAX: usize = 64 * 1024;
/// Bytes of the HTML: what mail programs cut off is far less.
const HTML_MAX: usize = 256 * 1024;

/// A message in its words. Where a secret belongs there is a mark; [`fill`] puts it in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Of an e-mail: one line.
    pub subject: Option<String>,
    /// Plain text.
    pub text: String,
    /// The same as HTML, of an e-mail.
    pub html: Option<String>,
    /// The body of a request.
    pub payload: Option<String>,
    /// Whether the link has to be put in.
    pub wants_link: bool,
    /// Whether the PIN has to be put in.
    pub wants_pin: bool,
    /// Why the shop's own template was not used, and the built-in words were.
    pub warning: Option<String>,
}

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The template does not work out.
    #[error("{place}{}: {detail}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Template {
        /// Which one.
        place: String,
        /// Where in it, from 1.
        line: Option<usize>,
        /// What is wrong.
        detail: String,
    },
    /// Nobody wrote words for it.
    #[error("there are no built-in words that tell the recipient of {event}: the rule must name a template")]
    NoWords {
        /// The event.
        event: String,
    },
    /// It is longer than it may be.
    #[error("{place} comes to {length} {unit}, more than {max}")]
    TooLong {
        /// Which one.
        place: String,
        /// How long.
        length: usize,
        /// Of what.
        unit: &'static str,
        /// How long it may be.
        max: usize,
    },
    /// The policy does not describe the request.
    #[error("the policy has no channels.http named {name:?}")]
    NoRequest {
        /// The name that the rule says.
        name: String,
    },
}

/// The locale in which the rule's message is written, of those there are words in: the wanted one or one of its language,
/// else the policy's default, else English, else whatever there is.
pub fn locale(effective: &Effective, _event: &str, wanted: Option<&str>) -> String {
    let candidates = [wanted, Some(&effective.default_locale), Some(DEFAULT_LOCALE)];
    let mut candidates = candidates.into_iter().flatten();
    if effective.rule.template.is_none() {
        return candidates.find(|locale| builtin::speaks(locale)).unwrap_or(DEFAULT_LOCALE).to_owned();
    }
    let own = |template: &MessageTemplate| template.locale.clone().unwrap_or_else(|| DEFAULT_LOCALE.to_owned());
    let speaks =
        |locale: &&str| effective.templates.iter().any(|template| language(&own(template)) == language(locale));
    candidates
        .find(speaks)
        .map(str::to_owned)
        .or_else(|| effective.templates.first().map(own))
        .unwrap_or_else(|| DEFAULT_LOCALE.to_owned())
}

/// The rule's message in that locale. A template that fails at an order nobody thought of does not cost the message: the
/// built-in words stand in, where there are any, with a warning.
pub fn render(effective: &Effective, channel: Channel, locale: &str, facts: &Facts) -> Result<Rendered, RenderError> {
    let own = pick(&effective.templates, locale);
    let words = match own.map(|template| in_own_words(template, channel, facts)) {
        Some(Ok(words)) => words,
        Some(Err(error)) => {
            let words =
                in_built_in_words(effective.rule.audience, channel, locale, facts).map_err(|_| error.clone())?;
            Rendered { warning: Some(error.to_string()), ..words }
        }
        None => in_built_in_words(effective.rule.audience, channel, locale, facts)?,
    };
    let mut words = within(words, channel)?;
    if channel == Channel::Http {
        let name = effective.rule.http.clone().unwrap_or_default();
        let request = effective.channels.http.iter().find(|request| request.name == name);
        let request = request.ok_or(RenderError::NoRequest { name })?;
        words.payload = Some(payload(request, facts, &words)?);
    }
    Ok(marked(words))
}

/// A mail about somebody's account, which belongs to no order and no policy.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'a> {
    /// `invitation`, `reset` or `verification`.
    pub kind: &'a str,
    /// The business into which somebody is invited.
    pub namespace: Option<&'a str>,
    /// As what.
    pub role: Option<&'a str>,
    /// By whom.
    pub by: Option<&'a str>,
    /// When the mail was asked for.
    pub at: Timestamp,
    /// Until when its link is good.
    pub expires_at: Timestamp,
    /// In which locale; English where there are no words in it.
    pub locale: &'a str,
    /// In which zone the time is told.
    pub zone: &'a TimeZone,
}

/// The mail in its words.
pub fn mail(mail: &Mail<'_>) -> Result<Rendered, RenderError> {
    let expires = local::moment(mail.expires_at, mail.at, mail.zone, mail.locale);
    let words = builtin::mail(mail, &expires)?;
    Ok(marked(within(words, Channel::Email)?))
}

/// Puts the secrets in. Where one is absent it is masked.
pub fn fill(text: &str, link: Option<&str>, pin: Option<&str>) -> String {
    if !text.contains(engine::is_mark) {
        return text.to_owned();
    }
    let (plain, html, form) = match link {
        None => (MASKED_LINK.to_owned(), MASKED_LINK.to_owned(), MASKED_LINK.to_owned()),
        Some(link) => {
            let plain = engine::as_url(link);
            (plain.clone(), plain.replace('&', "&amp;"), engine::as_form(&plain))
        }
    };
    // Digits only, whatever comes: it stands in HTML and in JSON as it is.
    let pin =
        pin.map_or_else(|| MASKED_PIN.to_owned(), |pin| pin.chars().filter(char::is_ascii_alphanumeric).collect());
    text.replace(MARK_LINK, &plain)
        .replace(MARK_LINK_HTML, &html)
        .replace(MARK_LINK_FORM, &form)
        .replace(MARK_PIN, &pin)
}

/// The template in the locale, or in its language, or in the one nobody named.
fn pick<'a>(templates: &'a [MessageTemplate], locale: &str) -> Option<&'a MessageTemplate> {
    let of = |template: &'a MessageTemplate| template.locale.as_deref().unwrap_or(DEFAULT_LOCALE);
    let find = |test: &dyn Fn(&str) -> bool| templates.iter().find(|template| test(of(template)));
    find(&|own| own.eq_ignore_ascii_case(locale))
        .or_else(|| find(&|own| own.eq_ignore_ascii_case(&language(locale))))
        .or_else(|| find(&|own| language(own) == language(locale)))
        .or_else(|| templates.first())
}

/// `de` of `de-AT`.
pub(crate) fn language(locale: &str) -> String {
    locale.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

fn in_own_words(template: &MessageTemplate, channel: Channel, facts: &Facts) -> Result<Rendered, RenderError> {
    let place = |part: &str| match &template.locale {
        Some(locale) => format!("template {:?} ({locale}), {part}", template.name),
        None => format!("template {:?}, {part}", template.name),
    };
    let told = context(facts);
    let text = engine::render(&place("text"), &template.text, Escape::None, told.clone())?;
    let subject = template.subject.as_deref();
    let subject = subject.map(|subject| engine::render(&place("subject"), subject, Escape::None, told.clone()));
    let html = template.html.as_deref().filter(|_| channel == Channel::Email);
    let html = html.map(|html| engine::render(&place("html"), html, Escape::Html, told));
    let rendered = Rendered { subject: subject.transpose()?, text, html: html.transpose()?, ..Rendered::default() };
    within(rendered, channel)
}

fn in_built_in_words(
    audience: Audience,
    channel: Channel,
    locale: &str,
    facts: &Facts,
) -> Result<Rendered, RenderError> {
    builtin::message(audience, channel, locale, facts)
}

/// As the channel takes it: a subject is one line, an SMS has its letters, and nothing is endless.
fn within(words: Rendered, channel: Channel) -> Result<Rendered, RenderError> {
    let too_long = |place: &str, length: usize, unit: &'static str, max: usize| {
        if length > max { Err(RenderError::TooLong { place: place.to_owned(), length, unit, max }) } else { Ok(()) }
    };
    let subject = words.subject.map(|subject| short(&one_line(&subject)));
    let text = match channel {
        Channel::Sms => {
            let text = sms::plain(&words.text);
            too_long("the text", text.chars().count(), "letters", SMS_MAX)?;
            text
        }
        Channel::Email | Channel::Http => tidy(&words.text),
    };
    too_long("the text", text.len(), "bytes", TEXT_MAX)?;
    too_long("the HTML", words.html.as_deref().map_or(0, str::len), "bytes", HTML_MAX)?;
    let subject = subject.filter(|_| channel != Channel::Sms);
    Ok(Rendered { subject, text, ..words })
}

/// No letter of it ends a header.
fn one_line(subject: &str) -> String {
    let line: String = subject.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect::<String>();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn short(line: &str) -> String {
    if line.chars().count() <= SUBJECT_MAX {
        return line.to_owned();
    }
    line.chars().take(SUBJECT_MAX - 1).chain(['…']).collect()
}

/// Without what is no letter, and without more than one empty line where a template left out a part.
fn tidy(text: &str) -> String {
    let mut tidied = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let line: String = line.chars().filter(|letter| *letter == '\t' || !letter.is_control()).collect();
        let line = line.trim_end();
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty <= 1 {
            tidied.push_str(line);
            tidied.push('\n');
        }
    }
    tidied.trim_matches('\n').to_owned()
}

fn payload(request: &HttpChannel, facts: &Facts, words: &Rendered) -> Result<String, RenderError> {
    let place = format!("channels.http {:?}, body", request.name);
    let told = engine::with_message(facts, &clean(&facts.to), &clean(&facts.key), words);
    let escape = engine::escape_of(request.content_type.as_deref()).unwrap_or(Escape::Json);
    let body = engine::render(&place, &request.body, escape, told)?;
    if body.len() > TEXT_MAX {
        return Err(RenderError::TooLong { place, length: body.len(), unit: "bytes", max: TEXT_MAX });
    }
    Ok(body)
}

/// What it wants before it is sent.
fn marked(words: Rendered) -> Rendered {
    let parts = [words.subject.as_deref(), Some(&words.text), words.html.as_deref(), words.payload.as_deref()];
    let any = |marks: &[&str]| parts.iter().flatten().any(|part| marks.iter().any(|mark| part.contains(mark)));
    let wants_link = any(&[MARK_LINK, MARK_LINK_HTML, MARK_LINK_FORM]);
    let wants_pin = any(&[MARK_PIN]);
    Rendered { wants_link, wants_pin, ..words }
}

/// What templates see.
pub(crate) type Context = minijinja::value::Value;

/// Whether bodies of that type can be written: nobody knows how values stand in another one.
pub(crate) fn writes(content_type: &str) -> bool {
    engine::escape_of(Some(content_type)).is_some()
}

/// Built-in words: one line.
pub(crate) fn line(place: &str, source: &str, told: Context) -> Result<String, RenderError> {
    engine::render(place, source, Escape::None, told).map(|text| one_line(&text))
}

/// A built-in layout.
pub(crate) fn whole(place: &str, source: &str, escape: Escape, told: Context) -> Result<String, RenderError> {
    engine::render(place, source, escape, told)
}

#[cfg(test)]
mod tests;
