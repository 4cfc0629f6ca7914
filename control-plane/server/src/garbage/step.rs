//! What is to be done about an object, as a plain function of what is known.

use std::collections::BTreeSet;

use super::{
    graph::{Graph, Uid},
    observed::{Life, Observed},
};
use crate::resources::{FOREGROUND, ORPHAN};

/// Dependents that are let go of side by side; the watches have to keep up with what comes of it.
const LET_GO_AT_ONCE: usize = 64;

/// How an owner that an object names was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// There, and staying, or going without regard to its dependents.
    Solid,
    /// There, and waiting for its dependents to go.
    Waits,
    /// Not there, or another object by the same name.
    Absent,
    /// Absent, for it is in another namespace, where nobody may have dependents here.
    Elsewhere,
    /// A namespaced owner of what is in no namespace: it makes no sense, and nothing is done about it.
    Misplaced,
    /// The same, and it is known to be in a namespace.
    MisplacedElsewhere,
    /// Of a kind that is not served here, so that nothing can be said.
    Unknown,
}

/// Something to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Tells people that the owner by that index is in another namespace.
    Report(usize),
    /// Deletes the object as it was read; in the foreground, or as its finalizers say.
    Delete { foreground: bool },
    /// Takes the references to these owners out of the object.
    Dereference(BTreeSet<String>),
    /// Takes the references to the object out of these dependents.
    LetGo(Vec<Uid>),
    /// Takes the finalizer out of the object.
    Finish(&'static str),
}

impl Action {
    /// What metrics call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Report(_) => "report",
            Self::Delete { .. } => "delete",
            Self::Dereference(_) => "dereference",
            Self::LetGo(_) => "let_go",
            Self::Finish(_) => "finish",
        }
    }
}

/// What to do about an object as it was read, whose owners were found so. Doing it twice does nothing more.
pub(super) fn step(graph: &Graph, uid: &str, observed: &Observed, owners: &[OwnerState]) -> Vec<Action> {
    match observed.life {
        Life::Going => Vec::new(),
        Life::AwaitsDependents if graph.is_blocked(uid) => Vec::new(),
        Life::AwaitsDependents => vec![Action::Finish(FOREGROUND)],
        Life::LetsGo => {
            // It is looked at again when they have gone from the graph.
            let others = graph.dependents(uid).filter(|dependent| ***dependent != *uid);
            let dependents: Vec<Uid> = others.take(LET_GO_AT_ONCE).cloned().collect();
            vec![if dependents.is_empty() { Action::Finish(ORPHAN) } else { Action::LetGo(dependents) }]
        }
        Life::Alive => look_at_owners(graph, uid, observed, owners),
    }
}

fn look_at_owners(graph: &Graph, uid: &str, observed: &Observed, owners: &[OwnerState]) -> Vec<Action> {
    use OwnerState::{Absent, Elsewhere, Misplaced, MisplacedElsewhere, Solid, Unknown, Waits};
    let has = |wanted: &[OwnerState]| owners.iter().any(|owner| wanted.contains(owner));
    let reported = |(index, owner): (usize, &OwnerState)| {
        matches!(owner, Elsewhere | MisplacedElsewhere).then_some(Action::Report(index))
    };
    let mut actions: Vec<Action> = owners.iter().enumerate().filter_map(reported).collect();
    if owners.is_empty() || has(&[Unknown, Misplaced, MisplacedElsewhere]) {
        return actions;
    }
    if has(&[Solid]) {
        let lost = observed.owners.iter().zip(owners).filter(|(_, owner)| matches!(owner, Absent | Elsewhere | Waits));
        let lost: BTreeSet<String> = lost.map(|(reference, _)| reference.uid.clone()).collect();
        if !lost.is_empty() {
            actions.push(Action::Dereference(lost));
        }
        return actions;
    }
    // Who waits for this one has it wait in turn for those that it owns.
    let foreground = has(&[Waits]) && graph.dependents(uid).next().is_some();
    actions.push(Action::Delete { foreground });
    actions
}

#[cfg(test)]
mod tests {
    use OwnerState::{Absent, Elsewhere, Misplaced, MisplacedElsewhere, Solid, Unknown, Waits};
    use dropmate_store::Key;

    use super::{super::observed::Reference, *};

    fn object(owners: &[&str], life: Life) -> Observed {
        let reference =
            |uid: &&str| Reference { uid: (*uid).to_owned(), block_owner_deletion: true, ..Reference::default() };
        Observed { owners: owners.iter().map(reference).collect(), life }
    }

    fn graph(objects: &[(&str, &[&str], Life)]) -> Graph {
        let mut graph = Graph::default();
        for (uid, owners, life) in objects {
            let key = Key { resource: "orders".into(), namespace: "shop".into(), name: (*uid).to_owned() };
            graph.note_observed(uid, &key, &object(owners, *life));
        }
        graph
    }

    #[test]
    fn what_has_lost_all_owners_goes_and_what_has_one_left_forgets_the_others() {
        let nobody = Graph::default();
        let two = object(&["a", "b"], Life::Alive);
        let delete = [Action::Delete { foreground: false }];
        let forget = |owner: &str| [Action::Dereference(BTreeSet::from([owner.to_owned()]))];
        for (owners, expected) in [
            ([Absent, Absent], &delete[..]),
            ([Absent, Waits], &delete),
            ([Solid, Solid], &[]),
            ([Absent, Solid], &forget("a")),
            ([Solid, Waits], &forget("b")),
            ([Absent, Unknown], &[]),
            ([Absent, Misplaced], &[]),
            ([Absent, MisplacedElsewhere], &[Action::Report(1)]),
            ([Absent, Elsewhere], &[Action::Report(1), delete[0].clone()]),
        ] {
            assert_eq!(step(&nobody, "x", &two, &owners), expected, "{owners:?}");
        }
        assert_eq!(step(&nobody, "x", &object(&[], Life::Alive), &[]), []);
        assert_eq!(step(&nobody, "x", &object(&["a"], Life::Going), &[Absent]), []);
    }

    #[test]
    fn what_is_waited_for_waits_for_its_own_dependents() {
        let graph = graph(&[
            ("owner", &[], Life::AwaitsDependents),
            ("x", &["owner"], Life::Alive),
            ("y", &["x"], Life::Alive),
        ]);
        let delete = |foreground| [Action::Delete { foreground }];
        assert_eq!(step(&graph, "x", &object(&["owner"], Life::Alive), &[Waits]), delete(true));
        assert_eq!(step(&graph, "x", &object(&["owner"], Life::Alive), &[Absent]), delete(false));
        assert_eq!(step(&graph, "owner", &object(&[], Life::AwaitsDependents), &[]), []);
        assert_eq!(step(&graph, "y", &object(&["x"], Life::AwaitsDependents), &[]), [Action::Finish(FOREGROUND)]);
    }

    #[test]
    fn who_lets_go_lets_go_of_all_before_it_goes() {
        let mut graph = graph(&[("a", &["owner"], Life::Alive), ("b", &["owner", "other"], Life::Alive)]);
        let owner = object(&[], Life::LetsGo);
        assert_eq!(step(&graph, "owner", &owner, &[]), [Action::LetGo(vec!["a".into(), "b".into()])]);
        graph.forget("a");
        assert_eq!(step(&graph, "owner", &owner, &[]), [Action::LetGo(vec!["b".into()])]);
        graph.forget("b");
        assert_eq!(step(&graph, "owner", &owner, &[]), [Action::Finish(ORPHAN)]);
    }
}
