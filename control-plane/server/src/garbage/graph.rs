//! Who owns whom: a node for each object that names an owner, is named as one, or waits for its dependents. All other
//! objects leave no trace here.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use dropmate_store::{Key, Object};

use super::observed::{Life, Observed};

/// Of an object; never used twice.
pub(super) type Uid = Arc<str>;

/// The graph, and which of its objects have to be looked at.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Node>,
    touched: BTreeSet<Uid>,
}

#[derive(Debug, Default)]
struct Node {
    /// Where it is stored; unknown of owners that only others have named so far.
    key: Option<Key>,
    owners: Vec<Owner>,
    dependents: BTreeSet<Uid>,
    life: Life,
    /// Its deletion was seen.
    gone: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    uid: Uid,
    blocks: bool,
}

impl Graph {
    /// Takes in the present state of an object.
    pub(super) fn note(&mut self, object: &Object) {
        let observed = Observed::read(&object.body);
        self.note_observed(&object.uid, &object.key, &observed);
    }

    /// The same, of a body that was read already.
    pub(super) fn note_observed(&mut self, uid: &str, key: &Key, observed: &Observed) {
        if !observed.matters() && !self.nodes.contains_key(uid) {
            return;
        }
        let uid = self.uid(uid);
        let owners: Vec<Owner> = observed
            .owners
            .iter()
            .map(|reference| Owner { uid: self.uid(&reference.uid), blocks: reference.block_owner_deletion })
            .collect();
        let node = self.nodes.entry(uid.clone()).or_default();
        node.key.get_or_insert_with(|| key.clone());
        // Most writes change neither.
        if node.owners == owners && node.life == observed.life {
            return;
        }
        let before = std::mem::replace(&mut node.owners, owners.clone());
        let begins = node.life != observed.life && observed.life == Life::AwaitsDependents;
        node.life = observed.life;
        if begins {
            self.touched.extend(node.dependents.iter().cloned());
        }
        if observed.matters() {
            self.touched.insert(uid.clone());
        }
        for owner in &owners {
            self.nodes.entry(owner.uid.clone()).or_default().dependents.insert(uid.clone());
            self.touch_waiting(&owner.uid);
        }
        for owner in before {
            self.touch_waiting(&owner.uid);
            if owners.iter().all(|kept| kept.uid != owner.uid) {
                self.part(&owner.uid, &uid);
            }
        }
        self.drop_idle(&uid);
    }

    /// Takes in that an object is gone.
    pub(super) fn forget(&mut self, uid: &str) {
        let Some((uid, _)) = self.nodes.get_key_value(uid) else { return };
        let uid = uid.clone();
        self.touched.remove(&uid);
        let Some(node) = self.nodes.get_mut(&uid) else { return };
        node.gone = true;
        node.life = Life::Alive;
        self.touched.extend(node.dependents.iter().filter(|dependent| **dependent != uid).cloned());
        for owner in std::mem::take(&mut node.owners) {
            self.part(&owner.uid, &uid);
            self.touch_waiting(&owner.uid);
        }
        self.drop_idle(&uid);
    }

    /// Takes out some objects that have to be looked at, at most so many.
    pub(super) fn take_touched(&mut self, most: usize) -> Vec<Uid> {
        std::iter::from_fn(|| self.touched.pop_first()).take(most).collect()
    }

    /// How many have to be looked at.
    pub(super) fn touched(&self) -> usize {
        self.touched.len()
    }

    /// How many nodes it has.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where an object is stored, if it was seen and is not gone.
    pub(super) fn key(&self, uid: &str) -> Option<&Key> {
        self.nodes.get(uid).filter(|node| !node.gone)?.key.as_ref()
    }

    /// Whether an object's deletion was seen. A `false` says nothing.
    pub(super) fn is_gone(&self, uid: &str) -> bool {
        self.nodes.get(uid).is_some_and(|node| node.gone)
    }

    /// Who names an object as its owner.
    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Uid> {
        self.nodes.get(uid).into_iter().flat_map(|node| &node.dependents)
    }

    /// Whether an object that waits for its dependents has to go on waiting: one that blocks it is still there. In a
    /// circle of objects that wait for each other nobody would ever be first, so that none waits for another there.
    pub(super) fn is_blocked(&self, uid: &str) -> bool {
        let mut waiting_for_it: Option<HashSet<&str>> = None;
        self.dependents(uid).any(|dependent| {
            self.blocks(dependent, uid)
                && !waiting_for_it.get_or_insert_with(|| self.waiting_for(uid)).contains(&**dependent)
        })
    }

    fn blocks(&self, dependent: &str, owner: &str) -> bool {
        let node = self.nodes.get(dependent);
        node.is_some_and(|node| node.owners.iter().any(|of| of.blocks && *of.uid == *owner))
    }

    /// Who waits for an object, directly or through others; itself if it is part of a circle.
    fn waiting_for<'a>(&'a self, uid: &'a str) -> HashSet<&'a str> {
        let mut found = HashSet::new();
        let mut ahead = vec![uid];
        while let Some(uid) = ahead.pop() {
            for owner in self.nodes.get(uid).into_iter().flat_map(|node| &node.owners) {
                let waits = self.nodes.get(&owner.uid).is_some_and(|node| node.life == Life::AwaitsDependents);
                if owner.blocks && waits && found.insert(&*owner.uid) {
                    ahead.push(&owner.uid);
                }
            }
        }
        found
    }

    /// The uid as the graph holds it already, so that each is kept once.
    fn uid(&self, uid: &str) -> Uid {
        self.nodes.get_key_value(uid).map_or_else(|| Uid::from(uid), |(uid, _)| uid.clone())
    }

    /// An owner that waits is looked at again when something about its dependents changes.
    fn touch_waiting(&mut self, uid: &Uid) {
        if self.nodes.get(uid).is_some_and(|node| matches!(node.life, Life::AwaitsDependents | Life::LetsGo)) {
            self.touched.insert(uid.clone());
        }
    }

    fn part(&mut self, owner: &Uid, dependent: &Uid) {
        if let Some(node) = self.nodes.get_mut(owner) {
            node.dependents.remove(dependent);
        }
        self.drop_idle(owner);
    }

    /// Drops a node that nothing speaks for any more.
    fn drop_idle(&mut self, uid: &Uid) {
        let idle = |node: &Node| {
            node.owners.is_empty()
                && node.dependents.is_empty()
                && !matches!(node.life, Life::AwaitsDependents | Life::LetsGo)
        };
        if self.nodes.get(uid).is_some_and(idle) {
            self.nodes.remove(uid);
            self.touched.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::observed::Reference, *};

    fn key(name: &str) -> Key {
        Key { resource: "orders".into(), namespace: "shop".into(), name: name.into() }
    }

    fn note(graph: &mut Graph, uid: &str, owners: &[&str], life: Life) {
        let owners = owners
            .iter()
            .map(|uid| Reference { uid: (*uid).to_owned(), block_owner_deletion: true, ..Reference::default() })
            .collect();
        graph.note_observed(uid, &key(uid), &Observed { owners, life });
    }

    fn touched(graph: &mut Graph) -> Vec<String> {
        graph.take_touched(usize::MAX).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_owners_and_dependents_are_kept() {
        let mut graph = Graph::default();
        note(&mut graph, "lone", &[], Life::Alive);
        assert_eq!(graph.len(), 0);
        note(&mut graph, "child", &["parent"], Life::Alive);
        assert_eq!(graph.len(), 2);
        note(&mut graph, "child", &[], Life::Alive);
        assert_eq!(graph.len(), 0);
        assert_eq!(touched(&mut graph), [""; 0]);
    }

    #[test]
    fn dependents_are_looked_at_when_their_owner_goes_and_owners_that_wait_when_a_dependent_does() {
        let mut graph = Graph::default();
        note(&mut graph, "child", &["parent"], Life::Alive);
        assert_eq!(touched(&mut graph), ["child"]);
        note(&mut graph, "child", &["parent"], Life::Alive);
        assert_eq!(touched(&mut graph), [""; 0], "nothing about it has changed");
        note(&mut graph, "parent", &[], Life::AwaitsDependents);
        assert_eq!(touched(&mut graph), ["child", "parent"]);
        assert!(graph.is_blocked("parent"));
        graph.forget("child");
        assert_eq!(touched(&mut graph), ["parent"]);
        assert!(!graph.is_blocked("parent"));
        note(&mut graph, "child2", &["parent"], Life::Alive);
        touched(&mut graph);
        graph.forget("parent");
        assert_eq!(touched(&mut graph), ["child2"]);
        assert!(graph.is_gone("parent"));
        graph.forget("child2");
        assert_eq!(graph.len(), 0);
    }

    #[test]
    fn nobody_waits_in_a_circle() {
        let mut graph = Graph::default();
        note(&mut graph, "a", &["c"], Life::AwaitsDependents);
        note(&mut graph, "b", &["a"], Life::AwaitsDependents);
        note(&mut graph, "c", &["b"], Life::Alive);
        assert!(graph.is_blocked("a") && graph.is_blocked("b"), "c may still go by itself");
        note(&mut graph, "c", &["b"], Life::AwaitsDependents);
        assert!(!graph.is_blocked("a") && !graph.is_blocked("b") && !graph.is_blocked("c"));
        note(&mut graph, "d", &["b"], Life::Going);
        assert!(graph.is_blocked("b"), "what is not part of the circle is waited for");
        note(&mut graph, "self", &["self"], Life::AwaitsDependents);
        assert!(!graph.is_blocked("self"));
    }
}
