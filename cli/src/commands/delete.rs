//! `dropmate delete`.

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use jiff::SignedDuration;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    commands::get::{Target, targets},
    connection::{Connection, ConnectionArgs, escape},
    failure::{Failure, Outcome},
    kinds::{Kinds, Resource},
    manifest::{self, Documents, Manifest, Problem, manifests},
    output::{self, Format},
    pages::{PAGE, following},
};

/// How often it is looked whether an object has gone.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Delete objects and wait until they are gone.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(after_help = "\
Examples:
  dropmate delete order o-1 o-2 -n acme
  dropmate delete orders -l batch=monday -n acme
  dropmate delete -f manifests/examples/")]
pub(crate) struct DeleteArgs {
    /// Kind and names: `order o-1 o-2`, or `order/o-1 driver/sam`.
    #[arg(value_name = "KIND NAME", required_unless_present = "filename")]
    targets: Vec<String>,
    /// The objects of these manifests.
    #[arg(short, long = "filename", value_name = "FILE|DIR|-", conflicts_with = "targets")]
    filename: Vec<String>,
    /// Also read the directories below.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// The objects with these labels.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Every object of the kind in the namespace.
    #[arg(long, conflicts_with = "selector")]
    all: bool,
    /// A missing object is fine.
    #[arg(long)]
    ignore_not_found: bool,
    /// Whether to wait until the objects are gone.
    #[arg(long, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    wait: bool,
    /// How long to wait at most, for each object: 30s, 5m.
    #[arg(long, default_value = "60s")]
    timeout: SignedDuration,
    /// How to print what was done.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

struct Doomed {
    resource: Resource,
    path: String,
    name: String,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: DeleteArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let kinds = Kinds::default();
    let mut problems = Vec::new();
    let doomed = if args.filename.is_empty() {
        by_name(&connection, &kinds, &args).await?
    } else {
        by_manifest(&connection, &kinds, &args, &mut problems).await?
    };
    let mut failed = problems.len();
    for problem in &problems {
        output::error(problem.to_string());
    }
    let mut gone = Vec::new();
    for Doomed { resource, path, name } in doomed {
        match connection.delete(&path).await?.accepted() {
            Ok(answer) => {
                let object = resource.object(&name);
                if args.wait {
                    wait_until_gone(&connection, &path, &object, uid(&answer), args.timeout).await?;
                }
                if args.output == Format::Text {
                    output::line(format!("{object} deleted"));
                }
                gone.push(object);
            }
            Err(refusal) if refusal.code == 404 && args.ignore_not_found => {}
            Err(refusal) if (400..500).contains(&refusal.code) && refusal.code != 401 => {
                output::error(refusal.to_string());
                failed += 1;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    if args.output == Format::Json {
        output::json(&serde_json::json!({"deleted": gone}));
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::No(format!("{failed} of the objects were not deleted"))),
    }
}

async fn by_name(connection: &Connection, kinds: &Kinds, args: &DeleteArgs) -> Outcome<Vec<Doomed>> {
    let mut doomed = Vec::new();
    for Target { resource, names } in targets(connection, kinds, &args.targets).await? {
        let collection = resource.path(Some(&connection.namespace));
        let names = if !names.is_empty() {
            names
        } else if args.all || args.selector.is_some() {
            selected(connection, &collection, args.selector.as_deref()).await?
        } else {
            return Err(anyhow!("name the {} to delete, or say which by -l, --all or -f", resource.plural).into());
        };
        doomed.extend(names.into_iter().map(|name| Doomed {
            resource: resource.clone(),
            path: format!("{collection}/{}", escape(&name)),
            name,
        }));
    }
    Ok(doomed)
}

/// The names of the objects with these labels; of all without any.
pub(super) async fn selected(
    connection: &Connection,
    collection: &str,
    selector: Option<&str>,
) -> Outcome<Vec<String>> {
    let selector = selector.map(|selector| format!("&labelSelector={}", escape(selector))).unwrap_or_default();
    let mut names = Vec::new();
    let mut next = Some(format!("{collection}?limit={PAGE}{selector}"));
    while let Some(path) = next {
        let list = connection.get(&path).await?.accepted()?;
        let items = list["items"].as_array().into_iter().flatten();
        names.extend(items.filter_map(|item| Some(item.pointer("/metadata/name")?.as_str()?.to_owned())));
        next = following(&list, &path);
    }
    Ok(names)
}

/// The objects of the manifests, last first, and namespaces after everything that lives in them.
async fn by_manifest(
    connection: &Connection,
    kinds: &Kinds,
    args: &DeleteArgs,
    problems: &mut Vec<Problem>,
) -> Outcome<Vec<Doomed>> {
    let mut found: Vec<Manifest> = Vec::new();
    for input in manifest::inputs(&args.filename, args.recursive, false)? {
        for document in Documents::new(&input.name(), input.open()?) {
            let objects = document.map_or_else(|problem| vec![Err(problem)], manifests);
            for object in objects {
                match object {
                    Ok(mut manifest) => {
                        // Only names are needed from here on.
                        if let Some(object) = manifest.object.as_object_mut() {
                            object.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
                        }
                        found.push(manifest);
                    }
                    Err(problem) => problems.push(problem),
                }
            }
        }
    }
    let mut doomed = Vec::new();
    found.reverse();
    found.sort_by_key(|manifest| manifest.kind() == "Namespace");
    for manifest in found {
        match kinds.of(connection, manifest.api_version(), manifest.kind()).await? {
            None => problems.push(manifest.problem_at("kind", format!("the server has no kind {:?}", manifest.kind()))),
            Some(resource) => {
                let namespace = manifest.namespace().unwrap_or(&connection.namespace);
                let path = format!("{}/{}", resource.path(Some(namespace)), escape(manifest.name()));
                doomed.push(Doomed { resource, path, name: manifest.name().to_owned() });
            }
        }
    }
    Ok(doomed)
}

/// The uid of what was deleted: in the Status, or in the object where finalizers hold it.
fn uid(answer: &Value) -> Option<String> {
    let uid = answer.pointer("/details/uid").or_else(|| answer.pointer("/metadata/uid"))?;
    uid.as_str().map(str::to_owned)
}

async fn wait_until_gone(
    connection: &Connection,
    path: &str,
    object: &str,
    uid: Option<String>,
    timeout: SignedDuration,
) -> Outcome {
    let deadline = Instant::now() + timeout.unsigned_abs();
    loop {
        match connection.get(path).await?.accepted() {
            Err(refusal) if refusal.code == 404 => return Ok(()),
            // Another object has taken the name.
            Ok(live) if uid.is_some() && live.pointer("/metadata/uid").and_then(Value::as_str) != uid.as_deref() => {
                return Ok(());
            }
            Ok(_) => {}
            Err(refusal) => return Err(refusal.into()),
        }
        if Instant::now() >= deadline {
            return Err(anyhow!("{object} is marked for deletion and still there after {timeout:#}").into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
