//! A kubeconfig whose user is whoever is logged in: kubectl asks `dropmate token` for the token.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Its names: of the cluster, the user and the context.
pub(crate) const NAME: &str = "dropmate";

/// A whole kubeconfig. `program` is how to call us.
pub(crate) fn whole(server: &str, ca: Option<&str>, namespace: &str, program: &str) -> Value {
    into(json!({}), server, ca, namespace, program)
}

/// Another kubeconfig with our context added or renewed, and made the current one. Everything else stays.
pub(crate) fn into(mut config: Value, server: &str, ca: Option<&str>, namespace: &str, program: &str) -> Value {
    let mut cluster = json!({"server": server});
    if let Some(ca) = ca {
        cluster["certificate-authority-data"] = STANDARD.encode(ca).into();
    }
    let exec = json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": program,
        "args": ["token", "--server", server],
        "interactiveMode": "Never",
        "provideClusterInfo": false,
        "installHint": "`dropmate token` gives the token of `dropmate login`.",
    });
    if !config.is_object() {
        config = json!({});
    }
    config["apiVersion"] = "v1".into();
    config["kind"] = "Config".into();
    config["current-context"] = NAME.into();
    put(&mut config, "clusters", "cluster", &cluster);
    put(&mut config, "users", "user", &json!({"exec": exec}));
    put(&mut config, "contexts", "context", &json!({"cluster": NAME, "user": NAME, "namespace": namespace}));
    config
}

/// Puts the named entry into a list of a kubeconfig, in the place of one of the same name.
fn put(config: &mut Value, list: &str, field: &str, value: &Value) {
    let entry = json!({"name": NAME, field: value});
    match config[list].as_array_mut() {
        Some(entries) => match entries.iter_mut().find(|entry| entry["name"] == NAME) {
            Some(known) => *known = entry,
            None => entries.push(entry),
        },
        None => config[list] = json!([entry]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_is_in_a_kubeconfig_stays_and_ours_is_renewed() {
        let before = json!({
            "clusters": [{"name": "work", "cluster": {"server": "https://work"}}],
            "users": null,
            "preferences": {"colors": true},
            "current-context": "work",
        });
        let once = into(before, "https://a", Some("PEM"), "acme", "dropmate");
        let twice = into(once, "https://b", None, "acme", "dropmate");
        assert_eq!(twice["clusters"][0]["cluster"]["server"], "https://work");
        assert_eq!(twice["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(twice["clusters"][1]["cluster"], json!({"server": "https://b"}));
        assert_eq!(twice["users"][0]["user"]["exec"]["args"], json!(["token", "--server", "https://b"]));
        assert_eq!((&twice["current-context"], &twice["preferences"]["colors"]), (&json!("dropmate"), &json!(true)));
    }
}
