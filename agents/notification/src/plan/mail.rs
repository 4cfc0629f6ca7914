//! Mails about accounts: invitations, resets, verifications. The control plane asks for them; their links come last.

use dropmate_api::{Clock, SYSTEM_NAMESPACE, notification::template};
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

use crate::{
    channel::Channel,
    draft::{Birth, Content, Draft},
};

/// The queue of these mails.
const ACCOUNTS: &str = "accounts";

/// A mail that the control plane asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// Its number.
    pub seq: i64,
    /// Its id.
    pub id: String,
    /// `invitation`, `reset` or `verification`.
    pub kind: String,
    /// To whom.
    pub email: String,
    /// In which locale.
    #[serde(default)]
    pub locale: Option<String>,
    /// Into which business somebody is invited.
    #[serde(default)]
    pub namespace: Option<String>,
    /// As what.
    #[serde(default)]
    pub role: Option<String>,
    /// By whom.
    #[serde(default)]
    pub by: Option<String>,
    /// When it was asked for.
    pub at: Timestamp,
    /// Until when its link is good.
    pub expires_at: Timestamp,
}

/// Plans a mail. These times are system time.
pub fn plan(mail: &Mail, clock: &Clock) -> Draft {
    let now = clock.system_now();
    let locale = mail.locale.as_deref().unwrap_or("en");
    let words = template::mail(&template::Mail {
        kind: &mail.kind,
        namespace: mail.namespace.as_deref(),
        role: mail.role.as_deref(),
        by: mail.by.as_deref(),
        at: mail.at,
        expires_at: mail.expires_at,
        locale,
        zone: &TimeZone::UTC,
    });
    let life = mail.expires_at.duration_since(now);
    let (content, birth) = match words {
        _ if life.is_negative() || life.is_zero() => (Content::default(), Birth::Suppressed("expired")),
        Ok(words) => (super::content(words), Birth::Planned),
        Err(error) => (Content::default(), Birth::Dead("template", error.to_string())),
    };
    let key = format!("mail/{}", mail.id);
    Draft {
        // What is about no business is the operator's to look at.
        namespace: mail.namespace.clone().unwrap_or_else(|| SYSTEM_NAMESPACE.to_owned()),
        order: String::new(),
        uid: String::new(),
        event: String::new(),
        event_id: String::new(),
        revision: 0,
        rule: mail.kind.clone(),
        policy: String::new(),
        audience: "person",
        channel: Channel::Email,
        to: mail.email.clone(),
        locale: locale.to_owned(),
        http: String::new(),
        // No business's thousand messages stand before somebody's way back into an account.
        queue: ACCOUNTS.to_owned(),
        lane: key.clone(),
        class: String::new(),
        content,
        mail: mail.id.clone(),
        birth,
        not_before: now,
        quiet: String::new(),
        life: life.unsigned_abs(),
        quotas: Vec::new(),
        key,
    }
}
