//! The manifests of a run, read as they are sent.

use std::thread;

use tokio::sync::mpsc;

use crate::manifest::{Documents, Input, Manifest, Problem, manifests};

/// How many objects are read ahead. With [`crate::manifest::MAX_DOCUMENT_BYTES`] it bounds the memory.
const READ_AHEAD: usize = 16;

/// Which objects a pass over the inputs is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Namespaces, wherever they stand: others may wait for them. Standard input comes only once, so there they go in as
    /// they come.
    Namespaces,
    /// All others.
    Rest {
        /// Whether a file without objects is fine.
        empty: bool,
    },
}

/// Reads the inputs on a thread of its own, since files and standard input block.
pub(super) fn read(inputs: &[Input], pass: Pass) -> mpsc::Receiver<Result<Manifest, Problem>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let inputs: Vec<Input> =
        inputs.iter().filter(|input| pass != Pass::Namespaces || !comes_once(input)).cloned().collect();
    thread::spawn(move || {
        for input in inputs {
            if read_one(&input, pass, &sender).is_none() {
                return;
            }
        }
    });
    receiver
}

/// Reads one input; `None` when nobody listens any more.
fn read_one(input: &Input, pass: Pass, sender: &mpsc::Sender<Result<Manifest, Problem>>) -> Option<()> {
    let name = input.name();
    let send = |item| sender.blocking_send(item).ok();
    let whole = |message: String| Problem { file: name.as_str().into(), line: None, message };
    let reader = match input.open() {
        Ok(reader) => reader,
        Err(_) if pass == Pass::Namespaces => return Some(()),
        Err(error) => return send(Err(whole(format!("cannot be read: {error}")))),
    };
    let mut empty = true;
    for document in Documents::new(&name, reader) {
        empty = false;
        let objects = match document {
            Ok(document) if pass == Pass::Namespaces && !document.text.contains("Namespace") => continue,
            Ok(document) => manifests(document),
            Err(problem) => vec![Err(problem)],
        };
        for object in objects {
            let is_namespace = object.as_ref().is_ok_and(|object| object.kind() == "Namespace");
            let wanted = match pass {
                Pass::Namespaces => is_namespace,
                Pass::Rest { .. } => !is_namespace || comes_once(input),
            };
            if wanted {
                send(object)?;
            }
        }
    }
    if empty && pass == (Pass::Rest { empty: false }) {
        send(Err(whole("holds no objects; is it empty?".to_owned())))?;
    }
    Some(())
}

/// Only a plain file can be read twice; a pipe under a name (`<(…)`) comes once, like standard input.
fn comes_once(input: &Input) -> bool {
    !matches!(input, Input::File(path) if path.is_file())
}
