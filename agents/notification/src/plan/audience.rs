//! Who is told, and how each of them is reached.

use dropmate_api::{
    member::MemberRole,
    notification::{Audience, Channel, HttpAddress, rules::Effective},
};
use serde_json::Value;

use super::{Happened, Scene, by_name};

/// Managers that are told of one event: more is a list, and lists have servers of their own.
const MANAGERS_MAX: usize = 50;

/// Somebody who is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Person {
    /// The address over the rule's channel.
    pub(super) to: String,
    /// The locale they said.
    pub(super) locale: Option<String>,
    /// The zone they said.
    pub(super) time_zone: Option<String>,
}

/// How somebody is reached.
#[derive(Default)]
struct Contact<'a> {
    email: Option<&'a str>,
    phone: Option<&'a str>,
    locale: Option<&'a str>,
    time_zone: Option<&'a str>,
}

/// In keys and in answers.
pub(super) fn name(audience: Audience) -> &'static str {
    match audience {
        Audience::Recipient => "recipient",
        Audience::Driver => "driver",
        Audience::Manager => "manager",
        Audience::Shop => "shop",
    }
}

/// Those whom a rule tells of it, each once.
pub(super) fn of(rule: &Effective, happened: &Happened<'_>, order: &Value, scene: &Scene) -> Vec<Person> {
    let text = |path: &str| order.pointer(path).and_then(Value::as_str);
    let contacts: Vec<Contact<'_>> = match rule.rule.audience {
        Audience::Recipient if order.pointer("/spec/recipient/notify") == Some(&Value::Bool(false)) => Vec::new(),
        Audience::Recipient => vec![Contact {
            email: text("/spec/recipient/email"),
            phone: text("/spec/recipient/phone"),
            locale: text("/spec/recipient/locale"),
            time_zone: text("/spec/recipient/timeZone"),
        }],
        Audience::Driver => driver(happened, scene).into_iter().collect(),
        Audience::Manager => {
            let managers = scene.members.iter().filter(|member| member.spec.role == MemberRole::Manager);
            // An address that nobody has confirmed may be anybody's.
            let accepted =
                managers.filter(|member| member.status.as_ref().is_some_and(|status| status.accepted_at.is_some()));
            let reached = accepted.map(|member| Contact { email: Some(&member.spec.user), ..Contact::default() });
            reached.take(MANAGERS_MAX).collect()
        }
        Audience::Shop => vec![Contact {
            email: rule.shop.email.as_deref(),
            phone: rule.shop.phone.as_deref().or_else(|| text("/spec/pickup/contact/phone")),
            locale: rule.shop.locale.as_deref(),
            time_zone: None,
        }],
    };
    let mut people = Vec::new();
    for contact in contacts {
        let Some(to) = address(rule, &contact) else { continue };
        let person = Person {
            to: to.to_owned(),
            locale: contact.locale.map(str::to_owned),
            time_zone: contact.time_zone.map(str::to_owned),
        };
        if !people.contains(&person) {
            people.push(person);
        }
    }
    people
}

fn driver<'a>(happened: &Happened<'_>, scene: &'a Scene) -> Option<Contact<'a>> {
    let name = happened.driver()?;
    let driver = by_name(&scene.drivers, name)?;
    let member = scene.members.iter().find(|member| {
        member.spec.role == MemberRole::Driver
            && member.spec.driver_name.as_deref() == Some(name)
            && member.status.as_ref().is_some_and(|status| status.accepted_at.is_some())
    });
    Some(Contact {
        email: member.map(|member| member.spec.user.as_str()),
        phone: driver.spec.phone.as_deref(),
        locale: None,
        time_zone: driver.spec.time_zone.as_deref(),
    })
}

fn address<'a>(rule: &Effective, contact: &Contact<'a>) -> Option<&'a str> {
    let email = contact.email.filter(|email| email.contains('@'));
    match rule.rule.channel {
        Channel::Email => email,
        Channel::Sms => contact.phone,
        Channel::Http => {
            let name = rule.rule.http.as_deref()?;
            // Without the request nothing can be sent, which the message then says.
            match rule.channels.http.iter().find(|request| request.name == name).map(|request| request.to) {
                Some(HttpAddress::Phone) => contact.phone,
                Some(HttpAddress::Email) => email,
                None => contact.phone.or(email),
            }
        }
    }
}
