//! What holds of the collector's decisions for any owners and dependents, on a world of values.

use std::collections::BTreeMap;

use dropmate_store::Key;
use proptest::prelude::*;

use super::{
    graph::Graph,
    observed::{Life, Observed, Reference},
    step::{Action, OwnerState, step},
};

/// All objects, and the graph that hears of every change.
#[derive(Default)]
struct World {
    objects: BTreeMap<String, Observed>,
    graph: Graph,
    /// Who was deleted in the foreground, and who blocked it when it went all the same.
    went_before: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Background,
    Foreground,
    Orphan,
}

fn key(uid: &str) -> Key {
    Key { resource: "orders".into(), namespace: "shop".into(), name: uid.into() }
}

impl World {
    /// Objects with their owners and whether each is blocked by them.
    fn of(owners: &[Vec<(usize, bool)>]) -> Self {
        let mut world = Self::default();
        for (index, owners) in owners.iter().enumerate() {
            let reference = |(owner, blocks): &(usize, bool)| Reference {
                uid: owner.to_string(),
                block_owner_deletion: *blocks,
                ..Reference::default()
            };
            let object = Observed { owners: owners.iter().map(reference).collect(), life: Life::Alive };
            world.put(&index.to_string(), object);
        }
        world
    }

    fn put(&mut self, uid: &str, object: Observed) {
        self.graph.note_observed(uid, &key(uid), &object);
        self.objects.insert(uid.to_owned(), object);
    }

    fn remove(&mut self, uid: &str) {
        let Some(object) = self.objects.remove(uid) else { return };
        if object.life == Life::AwaitsDependents {
            let blocks = |other: &Observed| other.owners.iter().any(|of| of.uid == uid && of.block_owner_deletion);
            let blocking = self.objects.iter().filter(|(_, other)| blocks(other));
            self.went_before.extend(blocking.map(|(other, _)| (uid.to_owned(), other.clone())));
        }
        self.graph.forget(uid);
    }

    fn delete(&mut self, uid: &str, way: Way) {
        let Some(object) = self.objects.get(uid).filter(|object| object.life == Life::Alive).cloned() else { return };
        match way {
            Way::Background => self.remove(uid),
            Way::Foreground => self.put(uid, Observed { life: Life::AwaitsDependents, ..object }),
            Way::Orphan => self.put(uid, Observed { life: Life::LetsGo, ..object }),
        }
    }

    fn dereference(&mut self, uid: &str, lost: impl Fn(&str) -> bool) {
        let Some(mut object) = self.objects.get(uid).cloned() else { return };
        object.owners.retain(|reference| !lost(&reference.uid));
        self.put(uid, object);
    }

    /// Looks at one object, as the shell does.
    fn look(&mut self, uid: &str) {
        let Some(object) = self.objects.get(uid).cloned() else { return };
        let state = |reference: &Reference| match self.objects.get(&reference.uid) {
            None => OwnerState::Absent,
            Some(owner) if owner.life == Life::AwaitsDependents => OwnerState::Waits,
            Some(_) => OwnerState::Solid,
        };
        let owners: Vec<OwnerState> = object.owners.iter().map(state).collect();
        for action in step(&self.graph, uid, &object, &owners) {
            match action {
                Action::Report(_) => {}
                Action::Delete { foreground } => {
                    self.delete(uid, if foreground { Way::Foreground } else { Way::Background });
                }
                Action::Dereference(owners) => self.dereference(uid, |owner| owners.contains(owner)),
                Action::LetGo(dependents) => {
                    for dependent in dependents {
                        self.dereference(&dependent, |owner| owner == uid);
                    }
                }
                Action::Finish(_) => self.remove(uid),
            }
        }
    }

    /// Looks until there is nothing to look at, at so many objects at once; how many looks that took.
    fn settle(&mut self, at_once: usize) -> usize {
        let mut looks = 0;
        loop {
            let touched = self.graph.take_touched(at_once);
            if touched.is_empty() {
                return looks;
            }
            for uid in touched {
                looks += 1;
                assert!(looks < 10_000, "it does not come to an end");
                self.look(&uid);
            }
        }
    }
}

const OBJECTS: usize = 9;

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Background), Just(Way::Foreground), Just(Way::Orphan)]
}

/// Owners of each object among `of(index)` many; the last of them may not exist.
fn owners(of: fn(usize) -> usize) -> impl Strategy<Value = Vec<Vec<(usize, bool)>>> {
    let lists: Vec<_> = (0..OBJECTS).map(|n| prop::collection::vec((0..of(n).max(1), any::<bool>()), 0..3)).collect();
    lists.prop_map(move |mut lists: Vec<Vec<(usize, bool)>>| {
        for (index, list) in lists.iter_mut().enumerate() {
            list.retain(|(owner, _)| *owner < of(index));
            list.sort_unstable();
            list.dedup_by_key(|(owner, _)| *owner);
        }
        lists
    })
}

proptest! {
    #[test]
    fn whatever_owns_what_it_ends_and_nobody_is_left_without_an_owner(
        owners in owners(|_| OBJECTS + 2),
        deletes in prop::collection::vec((0..OBJECTS, way(), any::<bool>()), 0..6),
        at_once in 1_usize..5,
    ) {
        let mut world = World::of(&owners);
        for (uid, way, settled) in deletes {
            if settled {
                world.settle(at_once);
            }
            world.delete(&uid.to_string(), way);
        }
        world.settle(at_once);
        for (uid, object) in &world.objects {
            prop_assert_eq!(object.life, Life::Alive, "{} goes on waiting", uid);
            for reference in &object.owners {
                prop_assert!(world.objects.contains_key(&reference.uid), "{} names one that is gone", uid);
            }
        }
        prop_assert!(world.graph.len() <= world.objects.len());
        let before = world.objects.clone();
        for uid in before.keys() {
            world.look(uid);
        }
        prop_assert_eq!(world.objects, before, "looking again changes nothing");
    }

    #[test]
    fn in_the_foreground_dependents_go_before_their_owner(
        owners in owners(|index| index),
        deletes in prop::collection::vec((0..OBJECTS, way()), 1..4),
        at_once in 1_usize..5,
    ) {
        let mut world = World::of(&owners);
        world.settle(at_once);
        for (uid, way) in deletes {
            world.delete(&uid.to_string(), way);
        }
        world.settle(at_once);
        prop_assert_eq!(world.went_before, vec![]);
    }

    #[test]
    fn who_is_let_go_stays(owners in owners(|index| index), uid in 0..OBJECTS, at_once in 1_usize..5) {
        let mut world = World::of(&owners);
        world.settle(at_once);
        let uid = uid.to_string();
        world.delete(&uid, Way::Orphan);
        world.settle(at_once);
        prop_assert_eq!(world.objects.len(), OBJECTS - 1, "it alone went");
        prop_assert!(world.objects.values().all(|object| object.owners.iter().all(|owner| owner.uid != uid)));
    }
}
