//! What is refused, and in which words.

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    notification::NotificationPolicyStrategy,
    registry::{self, Strategy},
    validation::Cause,
};

fn causes(spec: &Value) -> Vec<Cause> {
    let object =
        json!({"apiVersion": "dropmate.dev/v1", "kind": "NotificationPolicy", "metadata": {"name": "p"}, "spec": spec});
    // What is tried here must come past the schema first.
    let kind = registry::by_resource("dropmate.dev", "v1", "notificationpolicies").unwrap();
    assert_eq!((kind.schema)().validate(&object), []);
    NotificationPolicyStrategy.validate(&object, None)
}

#[expect(clippy::needless_pass_by_value, reason = "a literal reads better without a reference")]
fn rule(more: Value) -> Value {
    let mut rule = json!({"name": "r", "events": ["order.delivered"], "channel": "Email"});
    for (field, value) in more.as_object().unwrap() {
        rule[field] = value.clone();
    }
    rule
}

#[test]
fn a_policy_with_everything_in_it_is_taken() {
    let spec = json!({
        "rules": [
            {"name": "late-vip", "events": ["order.delayed", "order.attempt_failed"], "audience": "Manager", "channel": "Email",
             "when": [{"field": "metadata.labels.tier", "operator": "In", "values": ["gold"]}], "delaySeconds": 60},
            {"name": "picked-up", "events": ["order.picked_up"], "channel": "Sms", "template": "picked-up",
             "quietHours": {"start": "21:00", "end": "08:00"}},
            {"name": "push", "events": ["order.*"], "channel": "Http", "http": "push", "template": "picked-up"},
            {"name": "driver", "events": ["order.assigned"], "audience": "Driver", "channel": "Sms"},
            {"name": "lost", "events": ["notification.failed"], "audience": "Shop", "channel": "Email"},
            {"name": "arriving-sms", "events": ["order.*"], "channel": "Sms", "enabled": false},
        ],
        "templates": [
            {"name": "picked-up", "text": "{{ driver.name }} has {{ order.itemCount }} pieces{% for item in order.items %}, {{ item.name }}{% endfor %}. {{ order.labels.channel }} {{ trackingUrl }}"},
            {"name": "picked-up", "locale": "de", "subject": "Abgeholt", "text": "{% if order.eta %}{{ order.eta }}{% endif %}", "html": "<p>{{ order.eta|upper }}</p>"},
        ],
        "channels": {
            "email": {"from": "Corner Shop <shop@example.org>", "replyTo": "desk@example.org",
                      "server": {"host": "mail.example.org", "security": "StartTls", "secretName": "smtp"}},
            "sms": {"from": "+14165550100", "account": "AC0123", "secretName": "sms", "url": "https://sms.example.org"},
            "http": [{"name": "push", "url": "https://push.example.org/v1", "headers": {"Authorization": "Bearer {{ secret }}"},
                      "secretName": "push", "body": "{\"to\": {{ to }}, \"body\": {{ text }}, \"order\": {{ order.name }}, \"id\": {{ key }}}"}],
        },
        "quietHours": {"start": "22:00", "end": "07:00"}, "defaultLocale": "de-AT",
        "shop": {"name": "Corner Shop", "email": "shop@example.org"},
    });
    assert_eq!(causes(&spec), []);
}

#[rstest]
#[case(json!({"rules": [rule(json!({})), rule(json!({}))]}), "spec.rules[1].name", "Duplicate value: \"r\"")]
#[case(json!({"rules": [rule(json!({"events": ["order.deliverd"]}))]}), "spec.rules[0].events[0]", "\"order.delivered\"")]
#[case(json!({"rules": [rule(json!({"events": ["driver.silent"], "audience": "Manager"}))]}), "spec.rules[0].events[0]", "supported values")]
#[case(json!({"rules": [rule(json!({"events": ["order.picked_up"]}))]}), "spec.rules[0].template", "name one of spec.templates")]
#[case(json!({"rules": [rule(json!({"template": "x"}))]}), "spec.rules[0].template", "write it there")]
#[case(json!({"rules": [rule(json!({"template": "x"}))], "templates": [{"name": "y", "text": "t"}]}), "spec.rules[0].template", "supported values: \"y\"")]
#[case(json!({"rules": [rule(json!({"template": "x"}))], "templates": [{"name": "x", "text": "t"}]}), "spec.templates[0].subject", "sends it by e-mail")]
#[case(json!({"rules": [rule(json!({"audience": "Driver", "channel": "Sms", "template": "x"}))], "templates": [{"name": "x", "text": "{{ pin }}"}]}), "spec.rules[0].template", "only the recipient is told")]
#[case(json!({"rules": [rule(json!({"channel": "Http"}))]}), "spec.rules[0].http", "must say which")]
#[case(json!({"rules": [rule(json!({"channel": "Http", "http": "x"}))]}), "spec.rules[0].http", "describe the request there")]
#[case(json!({"rules": [rule(json!({"http": "x"}))]}), "spec.rules[0].http", "only the channel Http")]
#[case(json!({"rules": [rule(json!({"when": [{"field": "spec.prio", "operator": "Exists"}]}))]}), "spec.rules[0].when[0].field", "priority")]
#[case(json!({"rules": [rule(json!({"quietHours": {"start": "08:00", "end": "08:00"}}))]}), "spec.rules[0].quietHours.end", "must differ")]
#[case(json!({"rules": [rule(json!({"events": ["notification.failed"], "audience": "Recipient", "channel": "Sms", "template": "x"}))], "templates": [{"name": "x", "text": "t"}]}), "spec.rules[0].events[0]", "not reached")]
#[case(json!({"templates": [{"name": "x", "text": "a"}, {"name": "x", "locale": "EN", "text": "b"}]}), "spec.templates[1].name", "Duplicate")]
#[case(json!({"quietHours": {"start": "08:00", "end": "08:00"}}), "spec.quietHours.end", "suspend the policy")]
#[case(json!({"channels": {"email": {"from": "Shop <shop@example.org>\r\nBcc: all@example.org"}}}), "spec.channels.email.from", "one line")]
#[case(json!({"channels": {"email": {"server": {"host": "mail.example.org"}}}}), "spec.channels.email.from", "one's own name")]
#[case(json!({"channels": {"email": {"from": "a@b.c", "server": {"host": "smtps://mail.example.org"}}}}), "spec.channels.email.server.host", "no scheme")]
#[case(json!({"channels": {"email": {"from": "a@b.c", "server": {"host": "m", "secretName": "hunter2 !"}}}}), "spec.channels.email.server.secretName", "dropmate secret set")]
#[case(json!({"channels": {"sms": {"from": "14165550100000", "account": "AC1", "secretName": "s"}}}), "spec.channels.sms.from", "+14165550100")]
#[case(json!({"channels": {"sms": {"from": "Shop", "account": "AC1/../x", "secretName": "s"}}}), "spec.channels.sms.account", "as it stands in the URL")]
#[case(json!({"channels": {"sms": {"from": "Shop", "account": "AC1", "secretName": "s", "url": "sms.example.org"}}}), "spec.channels.sms.url", "https://")]
#[case(json!({"channels": {"http": [{"name": "x", "url": "https://x.example", "body": "{\"t\": \"{{ text }}\"}"}]}}), "spec.channels.http[0].body", "its own quotes")]
#[case(json!({"channels": {"http": [{"name": "x", "url": "https://x.example", "body": "{{ texxt }}"}]}}), "spec.channels.http[0].body", "text, ")]
#[case(json!({"channels": {"http": [{"name": "x", "url": "https://x.example", "body": "{}", "contentType": "image/png"}]}}), "spec.channels.http[0].contentType", "application/json")]
#[case(json!({"channels": {"http": [{"name": "x", "url": "https://x.example", "body": "{}", "headers": {"Host": "y"}}]}}), "spec.channels.http[0].headers[Host]", "sender itself")]
#[case(json!({"channels": {"http": [{"name": "x", "url": "https://x.example", "body": "{}", "headers": {"X-A": "a\r\nX-B: b"}}]}}), "spec.channels.http[0].headers[X-A]", "one line")]
#[case(json!({"channels": {"http": [{"name": "x", "url": "https://x.example", "body": "{}", "headers": {"X-A": "{{ order.name }}"}}]}}), "spec.channels.http[0].headers[X-A]", "{{ secret }}")]
#[case(json!({"channels": {"http": [{"name": "x", "url": "https://x.example", "body": "{}", "headers": {"X-A": "{{ secret }}"}}]}}), "spec.channels.http[0].secretName", "Required")]
fn what_would_fail_later_is_refused_now(#[case] spec: Value, #[case] field: &str, #[case] way_out: &str) {
    let causes = causes(&spec);
    assert_eq!(causes.iter().map(|cause| cause.field.as_str()).collect::<Vec<_>>(), [field], "{causes:?}");
    assert!(causes[0].message.contains(way_out), "{}", causes[0].message);
}

#[rstest]
// An error tells the line, and what there is.
#[case("Hello\n{{ order.bogus }}", "line 2: there is no order.bogus; order has delivered")]
#[case("{{ nobody }}", "there is no \"nobody\"; there are attempt")]
#[case("{{ order.name.first }}", "order.name is a text")]
// Also where no order that is tried comes by.
#[case("{% if order.priority > 1000 %}{{ order.bogus }}{% endif %}", "there is no order.bogus")]
#[case("{% if order.priority > 1000 %}\n{{ order.name|shout }}{% endif %}", "line 2: there is no filter \"shout\"")]
#[case("{% for item in order.items %}{{ item.weight }}{% endfor %}", "names what is not there")]
#[case("\n\n{% if order.eta %}", "line 3: ")]
#[case("{{ order.eta | nope }}", "nope")]
#[case("{% include 'other' %}", "templates cannot include others")]
#[case("{{ order.items[0].name }}", "in an order without items")]
#[case("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", "takes too long")]
#[case("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "line 1")]
#[case("{{ \"x\" * 100000000 }}", "takes too long")]
#[case("a\u{F0D10}b", "private areas")]
fn templates_are_refused_with_line_and_reason(#[case] text: &str, #[case] detail: &str) {
    let causes = causes(&json!({"templates": [{"name": "fine", "text": "t"}, {"name": "x", "text": text}]}));
    assert_eq!(
        causes.iter().map(|cause| cause.field.as_str()).collect::<Vec<_>>(),
        ["spec.templates[1].text"],
        "{causes:?}"
    );
    assert!(causes[0].message.contains(detail), "{}", causes[0].message);
}

#[test]
fn each_part_of_a_template_is_looked_at() {
    let templates = json!([{"name": "x", "subject": "{{ a }}", "text": "{{ b }}", "html": "{{ c }}"}]);
    let fields: Vec<String> = causes(&json!({"templates": templates})).into_iter().map(|cause| cause.field).collect();
    assert_eq!(fields, ["spec.templates[0].subject", "spec.templates[0].text", "spec.templates[0].html"]);
}

#[test]
fn what_the_schema_refuses_is_not_judged_twice() {
    let object = json!({"spec": {"rules": [{"name": 7}]}});
    assert_eq!(NotificationPolicyStrategy.validate(&object, None), []);
}
