//! `NotificationPolicy`: who hears of what in a business, over which channel and in which words.
//!
//! Beside the kind stands all that is decided about messages without sending any: which rules count ([`rules`]), of which
//! orders ([`condition`]), when ([`quiet`]) and in which words ([`template`], [`builtin`]).

pub(crate) mod address;
pub mod builtin;
pub mod condition;
pub mod facts;
pub mod known;
mod local;
pub mod quiet;
pub mod rules;
pub mod sample;
pub mod template;
mod validate;

use std::collections::BTreeMap;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{common::Condition, cross, registry::Strategy, validation::Cause};

/// Who hears of what. All policies of a namespace count together; without any, the built-in rules do.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(crates(kube_core = "::kube_core"))]
#[kube(
    group = "dropmate.dev",
    version = "v1",
    kind = "NotificationPolicy",
    plural = "notificationpolicies",
    singular = "notificationpolicy",
    shortname = "np"
)]
#[kube(category = "dropmate", category = "all")]
#[kube(namespaced, status = "NotificationPolicyStatus", derive = "PartialEq")]
#[serde(rename_all = "camelCase")]
pub struct NotificationPolicySpec {
    /// The policy counts for nothing while true.
    #[serde(default)]
    pub suspended: bool,
    /// Whether the built-in rules count beside those here. A rule here with the name of a built-in one takes its place.
    #[serde(default)]
    pub built_in_rules: BuiltInRules,
    /// What is told to whom.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub rules: Vec<NotificationRule>,
    /// Words of one's own, by name and locale.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub templates: Vec<MessageTemplate>,
    /// How messages leave; absent: as the operator has set up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<NotificationChannels>,
    /// When recipients are left alone, for rules that say nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// The locale of who has said none, as in BCP 47; `en` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"))]
    pub default_locale: Option<String>,
    /// How the shop itself is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shop: Option<ShopContact>,
    /// How much may be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<NotificationLimits>,
}

/// Whether the built-in rules count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BuiltInRules {
    /// They count.
    #[default]
    Keep,
    /// They do not.
    Off,
}

/// What is told to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationRule {
    /// Its name, once in the namespace; one of a built-in rule takes its place.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The events: `order.delivered`, …; `order.*` is every event of an order.
    #[schemars(length(min = 1, max = 50))]
    pub events: Vec<String>,
    /// Only for orders of which all of this holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub when: Vec<FieldCondition>,
    /// Who is told.
    #[serde(default)]
    pub audience: Audience,
    /// How.
    pub channel: Channel,
    /// Which of `spec.channels.http`, with the channel `Http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// The template's name; absent: the built-in one of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Told so many seconds later, unless it is no longer true by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 604_800))]
    pub delay_seconds: Option<i64>,
    /// When recipients are left alone; absent: as the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<QuietHours>,
    /// Nothing is told while false: so a built-in rule is turned off.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn yes() -> bool {
    true
}

/// Something that must hold of a field of the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldCondition {
    /// The field: `spec.priority`, `status.phase`, `metadata.labels.channel`.
    #[schemars(length(min = 1, max = 256))]
    pub field: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; none for `Exists` and `DoesNotExist`, one for `GreaterThan` and `LessThan`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub values: Vec<String>,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// It is one of the values.
    In,
    /// It is none of the values, or not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
    /// It is a number or a time above the value.
    GreaterThan,
    /// It is a number or a time below the value.
    LessThan,
}

/// Who is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Audience {
    /// Who gets the goods: `spec.recipient`.
    #[default]
    Recipient,
    /// The driver to whom the order is bound.
    Driver,
    /// Every Member with the role `manager`.
    Manager,
    /// The shop: `spec.shop` of the policy, else the contact at the pickup.
    Shop,
}

/// How a message goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Channel {
    /// By e-mail.
    Email,
    /// By SMS.
    Sms,
    /// By a request that the policy describes.
    Http,
}

/// Words for an event, in one locale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageTemplate {
    /// Its name, as rules say it; the same name may stand once for each locale.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The locale, as in BCP 47; `en` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"))]
    pub locale: Option<String>,
    /// Of an e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub subject: Option<String>,
    /// Plain text: of an SMS, and of an e-mail.
    #[schemars(length(min = 1, max = 16_384))]
    pub text: String,
    /// The same as HTML, of an e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub html: Option<String>,
}

/// How messages leave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationChannels {
    /// E-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailChannel>,
    /// SMS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms: Option<SmsChannel>,
    /// Requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub http: Vec<HttpChannel>,
}

/// How e-mail leaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmailChannel {
    /// The sender: `shop@example.org` or `Corner Shop <shop@example.org>`; absent: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 320))]
    pub from: Option<String>,
    /// Where answers go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 320))]
    pub reply_to: Option<String>,
    /// The shop's own mail server; absent: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<MailServer>,
}

/// A mail server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MailServer {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Its port; 465 with `Tls`, else 587, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<i32>,
    /// How the connection is protected.
    #[serde(default)]
    pub security: MailSecurity,
    /// The secret of the namespace with `{"username": …, "password": …}`; absent: no login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MailSecurity {
    /// TLS from the first byte.
    #[default]
    Tls,
    /// TLS after `STARTTLS`, or nothing is sent.
    StartTls,
    /// Not at all.
    None,
}

/// How SMS leave: as Twilio takes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SmsChannel {
    /// The sender: a number, a name of up to eleven letters, or a messaging service (`MG…`).
    #[schemars(length(min = 2, max = 64))]
    pub from: String,
    /// The account (`AC…`).
    #[schemars(length(min = 1, max = 128))]
    pub account: String,
    /// The secret of the namespace with the account's token.
    pub secret_name: String,
    /// Where the API is; `https://api.twilio.com` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub url: Option<String>,
}

/// A request that carries a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpChannel {
    /// Its name, as rules say it.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Where to.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// `POST` or `PUT`; `POST` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<HttpMethod>,
    /// Headers; `{{ secret }}` in a value is the secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body as a template over `to`, `text`, `subject`, `key` and what other templates name. Each value is written as
    /// `contentType` wants it: as JSON with its quotes, percent-encoded in a form, escaped in XML.
    #[schemars(length(min = 1, max = 16_384))]
    pub body: String,
    /// `application/json` when absent; `application/x-www-form-urlencoded`, `application/xml`, `text/xml`, `text/plain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What `to` is.
    #[serde(default)]
    pub to: HttpAddress,
    /// The secret of the namespace that `{{ secret }}` stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
}

/// What a recipient is called in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpAddress {
    /// The phone number.
    #[default]
    Phone,
    /// The e-mail address.
    Email,
}

/// When people are left alone. What comes up then waits for the end of it, unless it is no longer true by then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuietHours {
    /// `22:00`, in the recipient's time zone.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// `07:00`; the next day if it is not after `start`.
    #[schemars(regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub end: String,
}

/// How the shop is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShopContact {
    /// Its name, as messages tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
    /// E-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: Option<String>,
    /// Phone number (E.164).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^\+[1-9][0-9]{6,14}$"))]
    pub phone: Option<String>,
    /// The locale, as in BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"))]
    pub locale: Option<String>,
}

/// How much may be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationLimits {
    /// To one recipient in an hour; 30 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub per_recipient_per_hour: Option<i32>,
    /// In the namespace in a minute; 3000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub per_minute: Option<i32>,
}

/// What was observed of a policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationPolicyStatus {
    /// Messages of this policy that were taken by a provider.
    #[serde(default)]
    pub sent: i64,
    /// Messages of this policy that were given up.
    #[serde(default)]
    pub failed: i64,
    /// The generation that the counts and conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// The strategy of [`NotificationPolicy`].
#[derive(Debug)]
pub struct NotificationPolicyStrategy;

impl Strategy for NotificationPolicyStrategy {
    fn validate(&self, new: &Value, _old: Option<&Value>) -> Vec<Cause> {
        let mut causes = Vec::new();
        // What has a wrong type is told by the schema; the rest can be looked at once it is right.
        if let Some(spec) = new.get("spec").and_then(|spec| NotificationPolicySpec::deserialize(spec).ok()) {
            causes = validate::check(&spec);
        }
        cross::readable::<NotificationPolicy>(&mut causes, new, "notificationpolicies");
        causes
    }
}
