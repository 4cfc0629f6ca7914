//! `dropmate get -w`: a list and then every change, once and in order, over restarts of the server.

use std::time::Duration;

use anyhow::anyhow;
use serde_json::Value;

use super::{Form, GetArgs, Target, name};
use crate::{
    connection::{Connection, escape},
    failure::Outcome,
    follow::{Follow, Seen, Source},
    output,
};

/// After this long without a server the watch gives up: whoever reads the pipe shall hear of it.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

struct Printer<'a> {
    args: &'a GetArgs,
    target: &'a Target,
    columns: Value,
    widths: Vec<usize>,
    headings_due: bool,
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
    let mut printer =
        Printer { args, target, columns: Value::Null, widths: Vec::new(), headings_due: !args.no_headers };
    let source = Source {
        collection: target.resource.path(args.namespace(connection)),
        selectors,
        table: printer.table(),
        // Not in pages: begun anew in the middle, it would have printed half of it twice.
        page: None,
        give_up_after: Some(GIVE_UP_AFTER),
    };
    let mut follow = Follow::new(connection.clone(), source);
    let mut listed = false;
    loop {
        match follow.next().await? {
            Seen::Listed { list, .. } => {
                if listed {
                    output::note("The history since the last change is gone; listing again.");
                }
                listed = true;
                printer.list(&list);
            }
            Seen::Changed { object, .. } if printer.table() => printer.rows(&object),
            Seen::Changed { object, .. } => printer.object(&object),
            Seen::Live | Seen::Cut(_) => {}
        }
    }
}

impl Printer<'_> {
    fn table(&self) -> bool {
        matches!(self.args.output, Form::Text | Form::Wide)
    }

    fn list(&mut self, list: &Value) {
        if self.table() {
            self.rows(list);
        } else {
            for item in list["items"].as_array().into_iter().flatten() {
                self.object(item);
            }
        }
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
        super::hide_owners(&mut object);
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
