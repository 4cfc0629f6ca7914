//! The authorization walk: every route, as every role, in their own business and in another, against a table in a file
//! that people review (`authorization.txt`; `UPDATE=1` writes it). A route that is not in the file fails, and so does a
//! cell that answers otherwise.

use std::{collections::BTreeSet, fmt::Write, fs};

use axum::body::Body;
use http::{Method, Request};
use regex::Regex;
use serde_json::{Value, json};

use crate::{
    client::{Answer, Api, DISPATCH, driver, order},
    tenants::{ROLES, Town, member, person},
};

/// The one page on which all routes of the task API stand.
const TASKS: &str = include_str!("../../src/admin.rs");
const EXPECTED: &str = "tests/it/authorization.txt";

/// A request: its row in the table, and how it is made for a namespace and an object.
struct Row {
    title: String,
    method: Method,
    path: String,
    body: Value,
}

/// Everything the discovery documents name.
async fn resource_rows(operator: &Api) -> Vec<Row> {
    let mut rows = Vec::new();
    let groups = operator.get("/apis").await.ok();
    let versions = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| format!("/apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap()));
    for root in std::iter::once("/api/v1".to_owned()).chain(versions) {
        let list = operator.get(&root).await.ok();
        for resource in list["resources"].as_array().unwrap() {
            let (name, part) = match resource["name"].as_str().unwrap().split_once('/') {
                Some((name, part)) => (name, format!("/{part}")),
                None => (resource["name"].as_str().unwrap(), String::new()),
            };
            let namespaced = resource["namespaced"] == true;
            let collection = if namespaced { format!("{root}/namespaces/NS/{name}") } else { format!("{root}/{name}") };
            let object = format!("{collection}/{}{part}", if name == "namespaces" { "NS" } else { "NAME" });
            for verb in resource["verbs"].as_array().unwrap().iter().filter_map(Value::as_str) {
                let whole = part.is_empty();
                let (method, path) = match verb {
                    "list" => (Method::GET, collection.clone()),
                    "watch" => (Method::GET, format!("{collection}?watch=true&timeoutSeconds=1")),
                    "create" if whole => (Method::POST, format!("{collection}?dryRun=All")),
                    "create" => (Method::POST, format!("{object}?dryRun=All")),
                    "get" => (Method::GET, object.clone()),
                    "update" => (Method::PUT, format!("{object}?dryRun=All")),
                    "patch" => (Method::PATCH, format!("{object}?dryRun=All")),
                    "delete" => (Method::DELETE, format!("{object}?dryRun=All")),
                    "deletecollection" => (Method::DELETE, format!("{collection}?dryRun=All")),
                    other => panic!("no request for the verb {other}"),
                };
                let title = format!("{verb} {}", path.split('?').next().unwrap());
                rows.push(Row { title, method, path, body: body_of(name, &part, verb) });
                if verb == "list" && namespaced {
                    let path = format!("{root}/{name}");
                    rows.push(Row { title: format!("list {path}"), method: Method::GET, path, body: Value::Null });
                }
            }
        }
    }
    rows
}

/// Everything that stands on the page of the task API.
fn task_rows() -> Vec<Row> {
    let route = Regex::new(r#"\.route\(\s*"(/[^"]*)",\s*((?:[^()]|\([^()]*\))*)\)"#).unwrap();
    let method = Regex::new(r"\b(get|post|put|patch|delete)\(").unwrap();
    let variable = Regex::new(r"\{[^}]*\}").unwrap();
    let page = TASKS.split("fn tasks(").nth(1).expect("the page of the task API");
    let page = &page[..page.find("\n}").unwrap()];
    let mut rows = Vec::new();
    for found in route.captures_iter(page) {
        for verb in method.captures_iter(&found[2]) {
            let path = format!("/v1{}", &found[1])
                .replace("{namespace}", "NS")
                .replace("{ns}", "NS")
                .replace("{resource}", "orders");
            let named = variable.replace_all(&path, "NAME").into_owned();
            let title = format!("{} {named}", &verb[1]);
            let verb = verb[1].to_uppercase().parse().unwrap();
            rows.push(Row { title, method: verb, path: named, body: json!({}) });
        }
    }
    assert_eq!(rows.len(), method.find_iter(page).count(), "every method on the page is a row");
    rows
}

/// A body that is good enough to get past the table.
fn body_of(resource: &str, part: &str, verb: &str) -> Value {
    match (verb, resource, part) {
        ("create", "orders", "") => order("new"),
        ("create", "drivers", "") => driver("new"),
        ("create", "members", "") => member("new", "new@acme.test", "viewer"),
        _ => json!({}),
    }
}

/// What the table said, as far as an answer tells: yes, 403, or that there is no such thing.
fn said(answer: &Answer) -> &'static str {
    let message = answer.body["message"].as_str().or(answer.body["detail"].as_str()).unwrap_or_default();
    match answer.code.as_u16() {
        401 => "401",
        403 => "403",
        404 if message.starts_with("namespaces \"") => "no-ns",
        404 if message.contains("not found") => "none",
        _ => "yes",
    }
}

async fn ask(caller: &Api, row: &Row, namespace: &str, name: &str) -> &'static str {
    // An object is replaced by what is there: that changes nothing.
    let path = row.path.replace("NS", namespace).replace("NAME", name);
    let body = match row.method {
        Method::PUT if !path.starts_with("/v1/") => caller.get(path.split('?').next().unwrap()).await.body.to_string(),
        Method::GET => String::new(),
        _ => row.body.to_string(),
    };
    let media = if row.method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder().method(row.method.clone()).uri(path).header("content-type", media);
    said(&caller.begin(request.body(Body::from(body)).unwrap()).await)
}

#[tokio::test]
async fn every_route_answers_every_role_as_the_reviewed_table_says() {
    let town = Town::build().await;
    let mut rows = resource_rows(&town.operator).await;
    rows.extend(task_rows());
    let titles: BTreeSet<&str> = rows.iter().map(|row| row.title.as_str()).collect();
    assert_eq!(titles.len(), rows.len(), "no two rows are the same");

    let agents = ["dispatch", "tracking", "notification", "simulation"];
    let mut callers: Vec<(&str, Api)> = vec![("operator", town.operator.as_user("operator"))];
    callers.extend(ROLES.map(|role| (role, town.of_acme(role))));
    callers.push(("stranger", town.operator.as_caller(person("stranger@nowhere.test"))));
    callers.extend(agents.map(|agent| (agent, town.operator.as_user(&DISPATCH.replace("dispatch", agent)))));

    let mut cells = 0;
    let mut lines = Vec::new();
    for row in &rows {
        let mut line = format!("{:<84}", row.title);
        for (role, caller) in &callers {
            // The caller's own object and somebody else's in the own business, and one in another business.
            let (own, other) = match row.path.as_str() {
                path if path.contains("/drivers") => ("sam", "kim"),
                _ => ("own-1", "other-1"),
            };
            let mut told = vec![ask(caller, row, "acme", own).await];
            if row.path.contains("NAME") {
                told.push(ask(caller, row, "acme", other).await);
            }
            if row.path.contains("NS") {
                told.push(ask(caller, row, "bolt", own).await);
            }
            cells += told.len();
            write!(line, " {role}={}", told.join("/")).unwrap();
        }
        lines.push(line);
    }
    println!("{} routes, {} roles, {cells} cells", rows.len(), callers.len());
    let head = "# What each role gets: in its own business the own object / somebody else's, then in another business.\n\
                # yes: the table lets it through; none: no such object for them; no-ns: no such namespace for them.\n";
    let walked = format!("{head}{}\n", lines.join("\n"));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(EXPECTED, &walked).unwrap();
    }
    let expected = fs::read_to_string(EXPECTED).unwrap_or_default();
    for (line, expected) in walked.lines().zip(expected.lines()) {
        assert_eq!(line, expected, "a cell is not as {EXPECTED} says");
    }
    assert_eq!(walked.lines().count(), expected.lines().count(), "a route is missing in {EXPECTED}, or gone");
}
