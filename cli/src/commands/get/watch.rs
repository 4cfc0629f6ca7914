//! `dropmate get -w`: a list and then every change, once and in order, over restarts of the server.

use std::time::Duration;

use anyhow::anyhow;
use futures::{AsyncBufReadExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;

use super::{Form, GetArgs, Target, name};
use crate::{
    connection::{Connection, escape},
    failure::{Failure, Outcome},
    output,
};

/// After this long without a server the watch gives up.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);
/// First pause before connecting again; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The server ends a watch after this long, and it is resumed: no connection lives for ever.
const WATCH_SECONDS: u32 = 600;

struct Watch<'a> {
    connection: &'a Connection,
    args: &'a GetArgs,
    target: &'a Target,
    collection: String,
    selectors: String,
    version: String,
    columns: Value,
    widths: Vec<usize>,
    headings_due: bool,
}

/// How a stretch of watching ended.
enum End {
    /// Resume from the last version.
    Resume,
    /// The history is gone: list again.
    Relist,
}

pub(super) async fn run(connection: &Connection, target: &Target, args: &GetArgs) -> Outcome {
    let mut selectors = args.selectors();
    match &target.names[..] {
        [] => {}
        [one] if args.field_selector.is_none() => {
            selectors.push_str("&fieldSelector=");
            selectors.push_str(&escape(&format!("metadata.name={one}")));
        }
        _ => return Err(anyhow!("-w follows one object or a selection").into()),
    }
    let mut watch = Watch {
        connection,
        args,
        target,
        collection: target.resource.path(args.namespace(connection)),
        selectors,
        version: String::new(),
        columns: Value::Null,
        widths: Vec::new(),
        headings_due: !args.no_headers,
    };
    watch.list().await?;
    watch.follow().await
}

impl Watch<'_> {
    fn table(&self) -> bool {
        matches!(self.args.output, Form::Text | Form::Wide)
    }

    /// Prints what is there and remembers the version from which to follow.
    async fn list(&mut self) -> Outcome {
        // Not in pages: a page expires when the reader is slow, and the watch starts at the list's version anyway.
        let path = format!("{}?{}", self.collection, self.selectors.trim_start_matches('&'));
        let answer =
            if self.table() { self.connection.get_table(&path).await? } else { self.connection.get(&path).await? };
        let list = answer.accepted()?;
        self.version = version(&list).unwrap_or_default();
        if self.table() {
            self.rows(&list);
        } else {
            for item in list["items"].as_array().into_iter().flatten() {
                self.object(item);
            }
        }
        Ok(())
    }

    async fn follow(&mut self) -> Outcome {
        let mut pause = FIRST_PAUSE;
        let mut alive_at = Instant::now();
        loop {
            let before = self.version.clone();
            match self.stretch().await {
                Ok(End::Resume) => alive_at = Instant::now(),
                Ok(End::Relist) => {
                    output::note("The history since the last change is gone; listing again.");
                    self.list().await?;
                    alive_at = Instant::now();
                }
                // No server: it may come back.
                Err(Failure::Unknown(error)) if alive_at.elapsed() > GIVE_UP_AFTER => {
                    return Err(error.context("gave the watch up").into());
                }
                Err(Failure::Unknown(_)) => {}
                Err(no) => return Err(no),
            }
            pause = if before == self.version { (pause * 2).min(MAX_PAUSE) } else { FIRST_PAUSE };
            tokio::time::sleep(pause).await;
        }
    }

    /// Follows until the connection ends.
    async fn stretch(&mut self) -> Outcome<End> {
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}{}",
            self.collection, self.version, self.selectors
        );
        let stream = match self.connection.watch(&path, self.table()).await? {
            Ok(stream) => stream,
            Err(refusal) if refusal.code == 410 => return Ok(End::Relist),
            Err(refusal) => return Err(refusal.into()),
        };
        let mut lines = stream.lines();
        // A cut connection is no loss: the next stretch resumes after the last version.
        while let Some(Ok(line)) = lines.next().await {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { break };
            let object = &event["object"];
            match event["type"].as_str() {
                Some("ERROR") if object["code"] == 410 => return Ok(End::Relist),
                Some("ERROR") => return Ok(End::Resume),
                Some("BOOKMARK") => {}
                _ if self.table() => self.rows(object),
                _ => self.object(object),
            }
            if let Some(version) = version(object) {
                self.version = version;
            }
        }
        Ok(End::Resume)
    }

    fn rows(&mut self, table: &Value) {
        if table["columnDefinitions"].as_array().is_some_and(|columns| !columns.is_empty()) {
            self.columns = table["columnDefinitions"].clone();
        }
        let with_namespace = self.args.all_namespaces && self.target.resource.namespaced;
        let wide = self.args.output == Form::Wide;
        let grid = output::grid_of(table, &self.columns, wide, with_namespace, "");
        if grid.rows.is_empty() {
            return;
        }
        for line in grid.lines(&mut self.widths, self.headings_due) {
            output::line(line);
        }
        self.headings_due = false;
    }

    fn object(&self, object: &Value) {
        let mut object = object.clone();
        object["apiVersion"] = self.target.resource.api_version.clone().into();
        object["kind"] = self.target.resource.kind.clone().into();
        match self.args.output {
            // One line an object, so that a program can read it line by line.
            Form::Json => output::line(object.to_string()),
            Form::Yaml => {
                output::line("---");
                output::yaml(&object);
            }
            _ => output::line(self.target.resource.object(name(&object))),
        }
    }
}

/// The version of a list, an object, or a table of one row.
fn version(object: &Value) -> Option<String> {
    let own = object.pointer("/metadata/resourceVersion");
    let row = object.pointer("/rows/0/object/metadata/resourceVersion");
    [own, row].into_iter().flatten().filter_map(Value::as_str).find(|version| !version.is_empty()).map(str::to_owned)
}
