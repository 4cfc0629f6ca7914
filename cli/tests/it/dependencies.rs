//! Who may depend on whom: the table of ARCHITECTURE.md, over what cargo says.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// Each of our crates, and which of ours it may name as a normal dependency.
const ALLOWED: &[(&str, &[&str])] = &[
    ("dropmate-api", &[]),
    ("dropmate-sql", &[]),
    ("dropmate-agent", &[]),
    ("dropmate-store", &["dropmate-sql"]),
    ("dropmate-identity", &["dropmate-outbound", "dropmate-sql"]),
    ("dropmate-ingest", &["dropmate-sql"]),
    ("dropmate-live", &[]),
    ("dropmate-outbound", &[]),
    ("dropmate-planning", &["dropmate-api"]),
    (
        "dropmate-control-plane",
        &[
            "dropmate-api",
            "dropmate-identity",
            "dropmate-ingest",
            "dropmate-live",
            "dropmate-outbound",
            "dropmate-sql",
            "dropmate-store",
        ],
    ),
    // For tests: nobody names it as a normal dependency.
    ("dropmate-testing", &[]),
    ("dropmate-dispatch", &["dropmate-api", "dropmate-planning", "dropmate-agent", "dropmate-sql"]),
    (
        "dropmate-tracking",
        &["dropmate-api", "dropmate-planning", "dropmate-agent", "dropmate-outbound", "dropmate-sql"],
    ),
    ("dropmate-notification", &["dropmate-api", "dropmate-agent", "dropmate-outbound", "dropmate-sql"]),
    ("dropmate-simulation", &["dropmate-api", "dropmate-planning", "dropmate-agent"]),
    (
        "dropmate",
        &[
            "dropmate-api",
            "dropmate-sql",
            "dropmate-planning",
            "dropmate-agent",
            "dropmate-control-plane",
            "dropmate-dispatch",
            "dropmate-notification",
            "dropmate-simulation",
            "dropmate-tracking",
        ],
    ),
];

/// Crates of others that only some of ours may name.
const RESERVED: &[(&str, &[&str])] = &[
    // The client belongs to those who talk to the API; the server is the API.
    (
        "kube",
        &[
            "dropmate-agent",
            "dropmate-dispatch",
            "dropmate-notification",
            "dropmate-tracking",
            "dropmate-simulation",
            "dropmate",
        ],
    ),
    // The database belongs to those who own a schema.
    (
        "sqlx",
        &[
            "dropmate-sql",
            "dropmate-store",
            "dropmate-identity",
            "dropmate-ingest",
            "dropmate-notification",
            "dropmate-tracking",
            "dropmate-testing",
        ],
    ),
    ("redis", &["dropmate-live"]),
    // Decisions are plain functions.
    (
        "tokio",
        &[
            "dropmate-sql",
            "dropmate-store",
            "dropmate-identity",
            "dropmate-ingest",
            "dropmate-live",
            "dropmate-outbound",
            "dropmate-control-plane",
            "dropmate-testing",
            "dropmate-agent",
            "dropmate-dispatch",
            "dropmate-notification",
            "dropmate-tracking",
            "dropmate-simulation",
            "dropmate",
        ],
    ),
];

/// Crates that may not be in the tree at all: ring is the one crypto provider, and nothing needs cmake.
const BANNED: &[&str] = &["aws-lc-sys", "aws-lc-rs", "openssl-sys", "openssl"];

fn metadata() -> Value {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        // Without other people's crates nothing has to be fetched.
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path", manifest])
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Our crates with the names of their normal dependencies.
fn ours(metadata: &Value) -> Vec<(String, BTreeSet<String>)> {
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let own = packages.iter().filter(|package| members.contains(package["id"].as_str().unwrap()));
    own.map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap();
        let normal = dependencies.iter().filter(|dependency| dependency["kind"].is_null());
        let names = normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned());
        (package["name"].as_str().unwrap().to_owned(), names.collect())
    })
    .collect()
}

#[test]
fn our_crates_depend_on_each_other_only_as_the_table_allows() {
    for (name, dependencies) in ours(&metadata()) {
        let allowed = ALLOWED.iter().find(|(crate_, _)| *crate_ == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{name} is not in the table"));
        let own = dependencies.iter().filter(|dependency| dependency.starts_with("dropmate"));
        let forbidden: Vec<_> = own.filter(|dependency| !allowed.contains(&dependency.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} may not depend on {forbidden:?}");
    }
}

#[test]
fn clients_databases_and_runtimes_stay_where_they_belong() {
    for (name, dependencies) in ours(&metadata()) {
        for (reserved, owners) in RESERVED {
            let named = dependencies.contains(*reserved);
            assert!(!named || owners.contains(&name.as_str()), "{name} may not depend on {reserved}");
        }
    }
}

#[test]
fn ring_is_the_only_crypto_provider_in_the_tree() {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    let lock = std::fs::read_to_string(lock).expect("the workspace has a lock file");
    let names: BTreeSet<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(names.contains("ring"), "this test looks at the wrong file");
    let found: Vec<_> = BANNED.iter().filter(|name| names.contains(*name)).collect();
    assert!(found.is_empty(), "{found:?}");
}
