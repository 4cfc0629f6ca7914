//! What no single field's schema can say of a NotificationPolicy. Each cause names the field and the way out: what is let
//! through here would fail when a customer waits for the message.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Audience, Channel, EmailChannel, HttpChannel, MessageTemplate, NotificationPolicySpec, NotificationRule,
    QuietHours, SmsChannel, address, builtin, condition, known, rules::DEFAULT_LOCALE, template,
};
use crate::validation::Cause;

/// What stands for the secret in a header.
const SECRET: &str = "{{ secret }}";

/// Headers that are the connection's own, or are said elsewhere.
const NOT_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Everything wrong with the policy.
pub(super) fn check(spec: &NotificationPolicySpec) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut names = BTreeSet::new();
    for (index, rule) in spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        if !names.insert(rule.name.as_str()) {
            causes.push(Cause::duplicate(format!("{field}.name"), &Value::from(rule.name.as_str())));
        }
        self::rule(&mut causes, &field, rule, spec);
    }
    let mut names = BTreeSet::new();
    for (index, one) in spec.templates.iter().enumerate() {
        let locale = one.locale.as_deref().unwrap_or(DEFAULT_LOCALE).to_ascii_lowercase();
        if !names.insert((one.name.as_str(), locale.clone())) {
            let twice = Value::from(format!("{} ({locale})", one.name));
            causes.push(Cause::duplicate(format!("spec.templates[{index}].name"), &twice));
        }
    }
    causes.extend(template::check(spec));
    if let Some(hours) = &spec.quiet_hours {
        quiet(&mut causes, "spec.quietHours", hours);
    }
    if let Some(channels) = &spec.channels {
        if let Some(email) = &channels.email {
            self::email(&mut causes, email);
        }
        if let Some(sms) = &channels.sms {
            self::sms(&mut causes, sms);
        }
        let mut names = BTreeSet::new();
        for (index, http) in channels.http.iter().enumerate() {
            let field = format!("spec.channels.http[{index}]");
            if !names.insert(http.name.as_str()) {
                causes.push(Cause::duplicate(format!("{field}.name"), &Value::from(http.name.as_str())));
            }
            request(&mut causes, &field, http);
        }
    }
    causes
}

fn rule(causes: &mut Vec<Cause>, field: &str, rule: &NotificationRule, spec: &NotificationPolicySpec) {
    let events = format!("{field}.events");
    known::check(causes, &events, &rule.events, &known::of_rules());
    if rule.audience == Audience::Recipient
        && let Some(index) = rule.events.iter().position(|event| event == "notification.failed")
    {
        let detail = "cannot be told to the recipient, who was not reached; name the audience Manager or Shop";
        causes.push(Cause::invalid(format!("{events}[{index}]"), &Value::from("notification.failed"), detail));
    }
    for (index, condition) in rule.when.iter().enumerate() {
        causes.extend(condition::check(condition, &format!("{field}.when[{index}]")));
    }
    if let Some(hours) = &rule.quiet_hours {
        quiet(causes, &format!("{field}.quietHours"), hours);
    }
    channel(causes, field, rule, spec);
    words(causes, field, rule, spec);
}

fn channel(causes: &mut Vec<Cause>, field: &str, rule: &NotificationRule, spec: &NotificationPolicySpec) {
    let field = format!("{field}.http");
    let requests = spec.channels.as_ref().map(|channels| channels.http.as_slice()).unwrap_or_default();
    match (&rule.http, rule.channel) {
        (None, Channel::Http) => {
            causes.push(Cause::required(field, "the channel Http must say which of spec.channels.http it is"));
        }
        (Some(name), Channel::Http) if !requests.iter().any(|request| request.name == *name) => {
            let known: Vec<&str> = requests.iter().map(|request| request.name.as_str()).collect();
            if known.is_empty() {
                let detail = "is not among spec.channels.http, which is empty; describe the request there";
                causes.push(Cause::invalid(field, &Value::from(name.as_str()), detail));
            } else {
                causes.push(Cause::not_supported(field, &Value::from(name.as_str()), &known));
            }
        }
        (Some(_), Channel::Email | Channel::Sms) => {
            causes.push(Cause::forbidden(field, "only the channel Http has it"));
        }
        _ => {}
    }
}

fn words(causes: &mut Vec<Cause>, field: &str, rule: &NotificationRule, spec: &NotificationPolicySpec) {
    let field = format!("{field}.template");
    let Some(name) = &rule.template else {
        let covered = |event: &&str| rule.events.iter().any(|pattern| known::covers(pattern, event));
        let untold: Vec<&str> =
            known::of_rules().filter(covered).filter(|event| !builtin::tells(rule.audience, event)).collect();
        // A rule that is off says nothing, whatever it would say.
        if rule.enabled
            && let Some(first) = untold.first()
        {
            let told: Vec<&str> = builtin::EVENTS.iter().map(|(_, event)| *event).collect();
            let others = if untold.len() > 1 { format!(" and {} more", untold.len() - 1) } else { String::new() };
            let detail = format!(
                "there are no built-in words that tell the recipient of {first}{others}, only of {}; name one of \
                 spec.templates",
                told.join(", ")
            );
            causes.push(Cause::required(field, &detail));
        }
        return;
    };
    let named: Vec<(usize, &MessageTemplate)> =
        spec.templates.iter().enumerate().filter(|(_, template)| template.name == *name).collect();
    if named.is_empty() {
        let known: BTreeSet<&str> = spec.templates.iter().map(|template| template.name.as_str()).collect();
        let known: Vec<&str> = known.into_iter().collect();
        if known.is_empty() {
            let detail =
                "is not among spec.templates, which is empty; write it there, or leave it out for the built-in words";
            causes.push(Cause::invalid(field, &Value::from(name.as_str()), detail));
        } else {
            causes.push(Cause::not_supported(field, &Value::from(name.as_str()), &known));
        }
        return;
    }
    for (index, template) in named {
        if rule.channel == Channel::Email && template.subject.as_deref().is_none_or(|subject| subject.trim().is_empty())
        {
            let detail = format!("the rule {:?} sends it by e-mail", rule.name);
            let cause = Cause::required(format!("spec.templates[{index}].subject"), &detail);
            if !causes.iter().any(|told| told.field == cause.field) {
                causes.push(cause);
            }
        }
        if rule.audience != Audience::Recipient
            && let [name, ..] = template::audiences(template)[..]
        {
            let detail = format!(
                "names {name}, which only the recipient is told; leave it out of spec.templates[{index}], or write another \
                 template for the audience {:?}",
                rule.audience
            );
            causes.push(Cause::invalid(field.clone(), &Value::from(template.name.as_str()), &detail));
        }
    }
}

fn quiet(causes: &mut Vec<Cause>, field: &str, hours: &QuietHours) {
    if hours.start == hours.end {
        let detail = "must differ from start: quiet hours have an end; suspend the policy to send nothing";
        causes.push(Cause::invalid(format!("{field}.end"), &Value::from(hours.end.as_str()), detail));
    }
}

fn email(causes: &mut Vec<Cause>, email: &EmailChannel) {
    for (name, mailbox) in [("from", &email.from), ("replyTo", &email.reply_to)] {
        if let Some(mailbox) = mailbox
            && let Err(detail) = address::mailbox(mailbox)
        {
            let field = format!("spec.channels.email.{name}");
            causes.push(Cause::invalid(field, &Value::from(mailbox.as_str()), &detail));
        }
    }
    let Some(server) = &email.server else { return };
    let field = "spec.channels.email.server";
    if server.host.parse::<std::net::IpAddr>().is_err()
        && let Err(detail) = address::host(&server.host)
    {
        let detail = format!("{detail}; no scheme, and the port stands in its own field");
        causes.push(Cause::invalid(format!("{field}.host"), &Value::from(server.host.as_str()), &detail));
    }
    if let Some(name) = &server.secret_name {
        address::secret(causes, &format!("{field}.secretName"), name);
    }
    if email.from.is_none() {
        let detail = "a server of one's own sends in one's own name: shop@example.org";
        causes.push(Cause::required("spec.channels.email.from", detail));
    }
}

fn sms(causes: &mut Vec<Cause>, sms: &SmsChannel) {
    let field = "spec.channels.sms";
    let number = |text: &str| {
        text.strip_prefix('+').is_some_and(|digits| {
            (7..=15).contains(&digits.len())
                && digits.bytes().all(|digit| digit.is_ascii_digit())
                && !digits.starts_with('0')
        })
    };
    let service =
        sms.from.len() == 34 && sms.from.starts_with("MG") && sms.from.bytes().all(|b| b.is_ascii_alphanumeric());
    let short_code = (3..=8).contains(&sms.from.len()) && sms.from.bytes().all(|digit| digit.is_ascii_digit());
    let name = (1..=11).contains(&sms.from.len())
        && sms.from.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ')
        && sms.from.bytes().any(|b| b.is_ascii_alphabetic());
    if !(number(&sms.from) || service || short_code || name) {
        let detail = "must be a number (+14165550100), a short code, a name of up to eleven letters and digits, or a \
                      messaging service (MG and 32 letters)";
        causes.push(Cause::invalid(format!("{field}.from"), &Value::from(sms.from.as_str()), detail));
    }
    if !sms.account.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        let detail = "must be the account's name as it stands in the URL: letters, digits, '-', '_', '.'";
        causes.push(Cause::invalid(format!("{field}.account"), &Value::from(sms.account.as_str()), detail));
    }
    if let Some(url) = &sms.url
        && let Err(detail) = address::url(url)
    {
        causes.push(Cause::invalid(format!("{field}.url"), &Value::from(url.as_str()), &detail));
    }
    address::secret(causes, &format!("{field}.secretName"), &sms.secret_name);
}

fn request(causes: &mut Vec<Cause>, field: &str, http: &HttpChannel) {
    if let Err(detail) = address::url(&http.url) {
        causes.push(Cause::invalid(format!("{field}.url"), &Value::from(http.url.as_str()), &detail));
    }
    if let Some(content_type) = &http.content_type {
        let odd = content_type.chars().any(char::is_control) || !content_type.is_ascii();
        if odd || !template::writes(content_type) {
            let known =
                ["application/json", "application/x-www-form-urlencoded", "application/xml", "text/xml", "text/plain"];
            causes.push(Cause::not_supported(
                format!("{field}.contentType"),
                &Value::from(content_type.as_str()),
                &known,
            ));
        }
    }
    let mut secrets = false;
    for (name, value) in &http.headers {
        let field = format!("{field}.headers[{name}]");
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let lower = name.to_ascii_lowercase();
        if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
            causes.push(Cause::invalid(
                &field,
                &Value::from(name.as_str()),
                "must be the name of a header, such as X-Api-Key",
            ));
        } else if NOT_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            let detail = "is said by the sender itself (the type of the body: contentType)";
            causes.push(Cause::forbidden(&field, detail));
        }
        if value.len() > 4_096 || value.chars().any(|letter| letter.is_control() || !letter.is_ascii()) {
            let detail = "must be one line of ASCII, of at most 4096 bytes";
            causes.push(Cause::invalid(&field, &Value::from(value.as_str()), detail));
        }
        let rest = value.replace(SECRET, "").replace("{{secret}}", "");
        secrets |= rest.len() != value.len();
        if rest.contains("{{") || rest.contains("{%") {
            let detail = "may have {{ secret }} in it and no other part of a template";
            causes.push(Cause::invalid(&field, &Value::from(value.as_str()), detail));
        }
    }
    match &http.secret_name {
        Some(name) => address::secret(causes, &format!("{field}.secretName"), name),
        None if secrets => {
            causes.push(Cause::required(format!("{field}.secretName"), "a header has {{ secret }} in it"));
        }
        None => {}
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
