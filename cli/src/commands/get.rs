//! `dropmate get`.

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

mod at;
mod watch;

use self::at::At;
use crate::{
    connection::{Connection, ConnectionArgs, Refusal, escape},
    failure::{Failure, Outcome},
    kinds::{Kinds, Resource},
    output,
    pages::{PAGE, following},
};

/// List objects, or watch them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate get orders -n acme
  dropmate get order o-1 -o yaml
  dropmate get orders -A -w                             # follow every change; survives a restart of the server
  dropmate get orders --field-selector status.phase=Ready -o name
  dropmate get drivers,depots -l team=north -o wide
  dropmate get order/o-1 driver/sam
  dropmate get orders --at 10m                          # as they were ten minutes ago
  dropmate get order o-1 --at 2026-11-23T12:00:00Z -o yaml")]
pub(crate) struct GetArgs {
    /// Kind and names: `orders`, `order o-1 o-2`, `order/o-1 driver/sam`, `orders,drivers`.
    #[arg(value_name = "KIND NAME", required = true)]
    targets: Vec<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// Follow the changes.
    #[arg(short, long)]
    watch: bool,
    /// In every namespace.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only objects with these labels: `team=north,zone!=b`.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Only objects with these fields: `status.phase=Ready`.
    #[arg(long)]
    field_selector: Option<String>,
    /// As it was: at a time (RFC 3339), so long ago (`10m`), or at a resourceVersion (`dropmate history` tells them).
    #[arg(long, value_name = "TIME", conflicts_with = "watch")]
    at: Option<At>,
    /// Leave the headings out.
    #[arg(long)]
    no_headers: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table.
    #[default]
    Text,
    /// A table with more columns.
    Wide,
    /// The objects as YAML.
    Yaml,
    /// The objects as JSON.
    Json,
    /// Only kind and name.
    Name,
}

/// A kind, and the names meant; none means all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: Resource,
    pub(super) names: Vec<String>,
}

/// What the words of a command line mean: `KIND[,KIND] [NAME…]` or `KIND/NAME…`.
pub(super) async fn targets(connection: &Connection, kinds: &Kinds, words: &[String]) -> Outcome<Vec<Target>> {
    let mut found: Vec<Target> = Vec::new();
    if words.iter().any(|word| word.contains('/')) {
        for word in words {
            let Some((kind, name)) = word.split_once('/') else {
                return Err(anyhow!("{word:?} stands beside KIND/NAME: write it so as well").into());
            };
            for resource in kinds.by_word(connection, kind).await? {
                match found.iter_mut().find(|target| target.resource == resource) {
                    Some(target) => target.names.push(name.to_owned()),
                    None => found.push(Target { resource, names: vec![name.to_owned()] }),
                }
            }
        }
        return Ok(found);
    }
    let Some((first, names)) = words.split_first() else { return Ok(found) };
    for kind in first.split(',').filter(|kind| !kind.is_empty()) {
        for resource in kinds.by_word(connection, kind).await? {
            found.push(Target { resource, names: names.to_vec() });
        }
    }
    Ok(found)
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: GetArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let kinds = Kinds::default();
    let targets = targets(&connection, &kinds, &args.targets).await?;
    if args.watch {
        let [target] = &targets[..] else { return Err(anyhow!("-w follows one kind at a time").into()) };
        return watch::run(&connection, target, &args).await;
    }
    let mut missing = Vec::new();
    match args.output {
        Form::Text | Form::Wide => tables(&connection, &targets, &args, &mut missing).await?,
        Form::Name => {
            for target in &targets {
                for object in objects(&connection, target, &args, &mut missing).await? {
                    output::line(target.resource.object(name(&object)));
                }
            }
        }
        Form::Json | Form::Yaml => {
            let mut all = Vec::new();
            for target in &targets {
                all.extend(objects(&connection, target, &args, &mut missing).await?);
            }
            let single = targets.len() == 1 && targets[0].names.len() == 1;
            if !(single && all.is_empty()) {
                all.iter_mut().for_each(hide_owners);
                let value = match all.pop() {
                    Some(object) if single => object,
                    last => {
                        all.extend(last);
                        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": all})
                    }
                };
                if args.output == Form::Json { output::json(&value) } else { output::yaml(&value) }
            }
        }
    }
    not_found(&missing)
}

/// Takes out who owns which field: pages of it, for tools alone. `kubectl get --show-managed-fields` shows it.
fn hide_owners(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}

/// Refusals of single objects, told together after what was found.
fn not_found(missing: &[Refusal]) -> Outcome {
    match missing {
        [] => Ok(()),
        [one] => Err(one.clone().into()),
        several => Err(Failure::No(several.iter().map(Refusal::to_string).collect::<Vec<_>>().join("; "))),
    }
}

fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

impl GetArgs {
    fn namespace<'a>(&self, connection: &'a Connection) -> Option<&'a str> {
        (!self.all_namespaces).then_some(connection.namespace.as_str())
    }

    /// The selectors as query parameters, each with a leading `&`.
    fn selectors(&self) -> String {
        let selectors = [("labelSelector", &self.selector), ("fieldSelector", &self.field_selector)];
        let given = selectors.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        given.map(|(name, value)| ["&", name, "=", &escape(value)].concat()).collect()
    }
}

/// Prints one table a kind, pages and named objects joined.
async fn tables(connection: &Connection, targets: &[Target], args: &GetArgs, missing: &mut Vec<Refusal>) -> Outcome {
    let mut printed = false;
    for target in targets {
        let prefix = if targets.len() > 1 { target.resource.object("") } else { String::new() };
        let mut widths = Vec::new();
        let mut columns = Value::Null;
        let mut first = true;
        for query in queries(connection, target, args).await? {
            let mut next = Some(query);
            while let Some(path) = next.take() {
                let table = match connection.get_table(&path).await?.accepted() {
                    Ok(table) => table,
                    Err(refusal) if refusal.code == 404 && !target.names.is_empty() => {
                        missing.push(refusal);
                        continue;
                    }
                    Err(refusal) => return Err(refused(connection, target, args, refusal).await),
                };
                if absent(&table, "rows", target, args) {
                    missing.push(not_there(&path, target));
                    continue;
                }
                if table["columnDefinitions"].is_array() {
                    columns = table["columnDefinitions"].clone();
                }
                next = following(&table, &path);
                let with_namespace = args.all_namespaces && target.resource.namespaced;
                let grid = output::grid_of(&table, &columns, args.output == Form::Wide, with_namespace, &prefix);
                if grid.rows.is_empty() {
                    continue;
                }
                if first && printed {
                    output::line("");
                }
                for line in grid.lines(&mut widths, first && !args.no_headers) {
                    output::line(line);
                }
                (first, printed) = (false, true);
            }
        }
    }
    if !printed && missing.is_empty() {
        match args.namespace(connection) {
            Some(namespace) if targets.iter().all(|target| target.resource.namespaced) => {
                output::note(format!("No resources found in {namespace} namespace."));
            }
            _ => output::note("No resources found"),
        }
    }
    Ok(())
}

/// The objects themselves, all pages.
async fn objects(
    connection: &Connection,
    target: &Target,
    args: &GetArgs,
    missing: &mut Vec<Refusal>,
) -> Outcome<Vec<Value>> {
    let mut found = Vec::new();
    for query in queries(connection, target, args).await? {
        let mut next = Some(query);
        while let Some(path) = next.take() {
            match connection.get(&path).await?.accepted() {
                Ok(list) if absent(&list, "items", target, args) => missing.push(not_there(&path, target)),
                Ok(mut list) if list["items"].is_array() && (target.names.is_empty() || args.at.is_some()) => {
                    next = following(&list, &path);
                    if let Value::Array(items) = list["items"].take() {
                        // The items of a list leave out what the list says once.
                        found.extend(items.into_iter().map(|mut item| {
                            item["apiVersion"] = json!(target.resource.api_version);
                            item["kind"] = json!(target.resource.kind);
                            item
                        }));
                    }
                }
                Ok(object) => found.push(object),
                Err(refusal) if refusal.code == 404 && !target.names.is_empty() => missing.push(refusal),
                Err(refusal) => return Err(refused(connection, target, args, refusal).await),
            }
        }
    }
    Ok(found)
}

/// A refusal of a list; of one at a moment that is gone, with the oldest that is there.
async fn refused(connection: &Connection, target: &Target, args: &GetArgs, refusal: Refusal) -> Failure {
    match &args.at {
        Some(at) if refusal.code == 410 => at.gone(connection, &target.resource).await,
        _ => refusal.into(),
    }
}

/// Whether an object that was asked for by name was not there at the moment asked for.
fn absent(list: &Value, items: &str, target: &Target, args: &GetArgs) -> bool {
    args.at.is_some() && !target.names.is_empty() && list[items].as_array().is_none_or(Vec::is_empty)
}

/// As the server would have said it then. The name stands in the path.
fn not_there(path: &str, target: &Target) -> Refusal {
    let name = target.names.iter().find(|name| path.contains(&field_of(name))).map_or("", String::as_str);
    let message = format!("{} {name:?} not found at that time", target.resource.plural);
    Refusal { code: 404, message, ..Refusal::default() }
}

fn field_of(name: &str) -> String {
    format!("fieldSelector={}&", escape(&format!("metadata.name={name}")))
}

/// One path for the whole list, or one for each name.
async fn queries(connection: &Connection, target: &Target, args: &GetArgs) -> Outcome<Vec<String>> {
    let collection = target.resource.path(args.namespace(connection));
    let at = match &args.at {
        Some(at) => at.query(connection, &target.resource).await?,
        None => String::new(),
    };
    if target.names.is_empty() {
        return Ok(vec![format!("{collection}?limit={PAGE}{}{at}", args.selectors())]);
    }
    if args.all_namespaces && target.resource.namespaced {
        return Err(anyhow!("an object cannot be named across all namespaces: leave out -A or the name").into());
    }
    if !args.selectors().is_empty() {
        return Err(anyhow!("names and selectors do not go together").into());
    }
    let path = |name: &String| match at.as_str() {
        "" => format!("{collection}/{}", escape(name)),
        // Only lists can be read at a revision.
        at => format!("{collection}?{}{}", field_of(name), at.trim_start_matches('&')),
    };
    Ok(target.names.iter().map(path).collect())
}
