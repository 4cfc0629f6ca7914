//! Which rules count in a namespace, with what each takes from its policy.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    BuiltInRules, MessageTemplate, NotificationChannels, NotificationLimits, NotificationPolicy,
    NotificationPolicySpec, NotificationRule, QuietHours, ShopContact, builtin, condition, known,
};

/// The policy that the built-in rules follow, if there is one of that name; else the first by name.
pub const DEFAULT_POLICY: &str = "default";

/// The locale where nobody says one.
pub const DEFAULT_LOCALE: &str = "en";

/// To one recipient in an hour, where a policy does not say.
pub const PER_RECIPIENT_PER_HOUR: i32 = 30;

/// In a namespace in a minute, where a policy does not say.
pub const PER_MINUTE: i32 = 3_000;

/// A rule as it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    /// The NotificationPolicy whose channels, templates and limits count; empty: the operator's, and no others.
    pub policy: String,
    /// The rule.
    pub rule: NotificationRule,
    /// Whether it is a built-in one.
    pub built_in: bool,
    /// The words it names, in each locale; none: the built-in ones.
    pub templates: Vec<MessageTemplate>,
    /// How messages leave.
    pub channels: NotificationChannels,
    /// When recipients are left alone.
    pub quiet_hours: Option<QuietHours>,
    /// To one recipient in an hour.
    pub per_recipient_per_hour: i32,
    /// In the namespace in a minute: the strictest policy counts for all.
    pub per_minute: i32,
    /// The locale of who has said none.
    pub default_locale: String,
    /// The shop.
    pub shop: ShopContact,
}

/// The rules that count, by name. What is suspended or not enabled does not; of two rules with one name that of the
/// policy that comes first does (`default`, then by name), so that nobody is told twice.
pub fn effective(policies: &[NotificationPolicy]) -> Vec<Effective> {
    let name = |policy: &NotificationPolicy| policy.metadata.name.clone().unwrap_or_default();
    let mut policies: Vec<(String, &NotificationPolicySpec)> =
        policies.iter().map(|policy| (name(policy), &policy.spec)).filter(|(_, spec)| !spec.suspended).collect();
    policies.sort_by(|(one, _), (other, _)| {
        (one != DEFAULT_POLICY, one.as_str()).cmp(&(other != DEFAULT_POLICY, other.as_str()))
    });
    let blank = NotificationPolicySpec::default();
    let per_minute = |spec: &NotificationPolicySpec| spec.limits.as_ref().and_then(|limits| limits.per_minute);
    let per_minute = policies.iter().filter_map(|(_, spec)| per_minute(spec)).min().unwrap_or(PER_MINUTE);
    let keep = policies.iter().all(|(_, spec)| spec.built_in_rules == BuiltInRules::Keep);
    let mut rules: BTreeMap<String, Effective> = BTreeMap::new();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for (policy, spec) in &policies {
        for rule in &spec.rules {
            // Turned off is taken as well: so a built-in rule is turned off.
            if taken.insert(&rule.name) && rule.enabled {
                rules.insert(rule.name.clone(), one(policy, spec, rule.clone(), false, per_minute));
            }
        }
    }
    if keep {
        let (policy, spec) = policies.first().map_or(("", &blank), |(policy, spec)| (policy.as_str(), *spec));
        for rule in builtin::rules() {
            if !taken.contains(rule.name.as_str()) {
                rules.insert(rule.name.clone(), one(policy, spec, rule, true, per_minute));
            }
        }
    }
    rules.into_values().collect()
}

fn one(
    policy: &str,
    spec: &NotificationPolicySpec,
    rule: NotificationRule,
    built_in: bool,
    per_minute: i32,
) -> Effective {
    let named = |template: &&MessageTemplate| Some(&template.name) == rule.template.as_ref();
    let NotificationLimits { per_recipient_per_hour, .. } = spec.limits.clone().unwrap_or_default();
    Effective {
        policy: policy.to_owned(),
        built_in,
        templates: spec.templates.iter().filter(named).cloned().collect(),
        channels: spec.channels.clone().unwrap_or_default(),
        quiet_hours: rule.quiet_hours.clone().or_else(|| spec.quiet_hours.clone()),
        per_recipient_per_hour: per_recipient_per_hour.unwrap_or(PER_RECIPIENT_PER_HOUR),
        per_minute,
        default_locale: spec.default_locale.clone().unwrap_or_else(|| DEFAULT_LOCALE.to_owned()),
        shop: spec.shop.clone().unwrap_or_default(),
        rule,
    }
}

/// Whether the rule means this event of this order, which is the whole of it as JSON.
pub fn matches(effective: &Effective, event: &str, order: &Value) -> bool {
    let rule = &effective.rule;
    rule.events.iter().any(|pattern| known::covers(pattern, event))
        && rule.when.iter().all(|condition| condition::holds(condition, order))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::notification::{Audience, Channel};

    fn policy(name: &str, spec: Value) -> NotificationPolicy {
        NotificationPolicy::new(name, serde_json::from_value(spec).unwrap())
    }

    fn names(rules: &[Effective]) -> Vec<&str> {
        rules.iter().map(|effective| effective.rule.name.as_str()).collect()
    }

    fn find<'a>(rules: &'a [Effective], name: &str) -> &'a Effective {
        rules.iter().find(|effective| effective.rule.name == name).unwrap()
    }

    #[test]
    fn an_empty_namespace_already_notifies() {
        let rules = effective(&[]);
        assert_eq!(
            names(&rules),
            [
                "arriving-email",
                "arriving-sms",
                "assigned-email",
                "assigned-sms",
                "delayed-email",
                "delayed-sms",
                "delivered-email",
                "delivered-sms",
                "failed-email",
                "failed-sms",
                "out-for-delivery-email",
                "out-for-delivery-sms",
            ]
        );
        for effective in &rules {
            assert_eq!((effective.policy.as_str(), effective.rule.audience), ("", Audience::Recipient));
            assert!(effective.built_in && effective.rule.enabled);
        }
        let failed = find(&rules, "failed-sms");
        assert_eq!(
            (failed.rule.channel, failed.rule.events.as_slice()),
            (Channel::Sms, &["order.attempt_failed".to_owned()][..])
        );
        assert!(matches(failed, "order.attempt_failed", &json!({})));
        assert!(!matches(failed, "order.delivered", &json!({})));
    }

    #[test]
    fn a_rule_with_the_name_of_a_built_in_one_takes_its_place_or_ends_it() {
        let rule = json!({"name": "delivered-sms", "events": ["order.returned"], "channel": "Sms"});
        let rules = effective(&[policy(
            "p",
            json!({"rules": [
                rule, {"name": "arriving-sms", "events": ["order.arriving"], "channel": "Sms", "enabled": false},
            ]}),
        )]);
        assert_eq!(rules.len(), 11);
        assert!(!names(&rules).contains(&"arriving-sms"));
        assert!(!find(&rules, "delivered-sms").built_in);
        assert!(matches(find(&rules, "delivered-sms"), "order.returned", &json!({})));
        // What is suspended counts for nothing, and what is off for the namespace is off whoever says it.
        assert_eq!(effective(&[policy("p", json!({"suspended": true, "builtInRules": "Off"}))]).len(), 12);
        let off = [policy("a", json!({})), policy("b", json!({"builtInRules": "Off"}))];
        assert!(effective(&off).is_empty());
    }

    #[test]
    fn policies_count_in_one_order_however_they_come() {
        let rule = |to: &str| json!([{"name": "mine", "events": ["order.ready"], "channel": "Email", "template": to}]);
        let a = policy("a", json!({"rules": rule("x"), "shop": {"name": "A"}, "limits": {"perMinute": 10}}));
        let default = policy(
            "default",
            json!({
                "rules": rule("y"), "templates": [{"name": "y", "subject": "s", "text": "t"}, {"name": "z", "text": "z"}],
                "quietHours": {"start": "22:00", "end": "07:00"}, "defaultLocale": "de", "shop": {"name": "D"},
                "limits": {"perRecipientPerHour": 3, "perMinute": 20},
            }),
        );
        let rules = effective(&[a.clone(), default.clone()]);
        assert_eq!(rules, effective(&[default, a]));
        let mine = find(&rules, "mine");
        assert_eq!((mine.policy.as_str(), mine.templates.len(), mine.per_recipient_per_hour), ("default", 1, 3));
        let built_in = find(&rules, "delivered-email");
        assert_eq!((built_in.policy.as_str(), built_in.shop.name.as_deref()), ("default", Some("D")));
        assert_eq!((built_in.default_locale.as_str(), built_in.per_minute), ("de", 10));
        assert_eq!(built_in.quiet_hours.as_ref().map(|quiet| quiet.start.as_str()), Some("22:00"));
    }

    #[test]
    fn all_conditions_must_hold() {
        let rules = effective(&[policy(
            "p",
            json!({"rules": [{"name": "big", "events": ["order.*"], "channel": "Email",
            "when": [{"field": "spec.priority", "operator": "GreaterThan", "values": ["5"]},
                     {"field": "metadata.labels.channel", "operator": "In", "values": ["web"]}]}]}),
        )]);
        let big = find(&rules, "big");
        assert!(matches(
            big,
            "order.ready",
            &json!({"spec": {"priority": 6}, "metadata": {"labels": {"channel": "web"}}})
        ));
        assert!(!matches(big, "order.ready", &json!({"spec": {"priority": 6}})));
        assert!(!matches(
            big,
            "driver.silent",
            &json!({"spec": {"priority": 6}, "metadata": {"labels": {"channel": "web"}}})
        ));
    }
}
