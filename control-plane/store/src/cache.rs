//! The current objects and the newest events, in memory, fed by the log in its order.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, btree_map},
    iter::Peekable,
    ops::Bound,
    sync::Arc,
};

use crate::{Event, Floors, Key, Object, Page, ReadError, Revision, Scope, Snapshot};

/// What every read but those of old history is answered from.
#[derive(Debug)]
pub(crate) struct Cache {
    /// Everything up to here is applied.
    pub(crate) revision: Revision,
    /// The window holds every event after this revision.
    pub(crate) window_start: Revision,
    objects: HashMap<String, BTreeMap<Key, Arc<Object>>>,
    window: VecDeque<Arc<Event>>,
    window_bytes: usize,
    max_events: usize,
    max_bytes: usize,
    floors: Floors,
}

/// Objects as they were at an older revision, for the keys that changed since.
pub(crate) type Overlay = BTreeMap<Key, Option<Arc<Object>>>;

impl Cache {
    pub(crate) fn new(snapshot: Snapshot, max_events: usize, max_bytes: usize) -> Self {
        let mut objects = HashMap::<String, BTreeMap<_, _>>::new();
        for object in snapshot.objects {
            objects.entry(object.key.resource.clone()).or_default().insert(object.key.clone(), object);
        }
        Self {
            revision: snapshot.revision,
            window_start: snapshot.revision,
            objects,
            window: VecDeque::new(),
            window_bytes: 0,
            max_events,
            max_bytes,
            floors: snapshot.floors,
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(&key.resource)?.get(key)
    }

    /// How many objects a resource has.
    pub(crate) fn count(&self, resource: &str) -> usize {
        self.objects.get(resource).map_or(0, BTreeMap::len)
    }

    /// The resources that have or had objects.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &String> {
        self.objects.keys()
    }

    /// Takes in the next event of the log.
    pub(crate) fn apply(&mut self, event: Arc<Event>) {
        let key = &event.object.key;
        if event.deleted {
            if let Some(objects) = self.objects.get_mut(&key.resource) {
                objects.remove(key);
            }
        } else if let Some(objects) = self.objects.get_mut(&key.resource) {
            objects.insert(key.clone(), event.object.clone());
        } else {
            self.objects.insert(key.resource.clone(), BTreeMap::from([(key.clone(), event.object.clone())]));
        }
        self.revision = event.revision;
        self.window_bytes += event.bytes();
        self.window.push_back(event);
        while self.window.len() > self.max_events || self.window_bytes > self.max_bytes {
            let Some(oldest) = self.window.pop_front() else { break };
            self.window_bytes -= oldest.bytes();
            self.window_start = oldest.revision;
        }
    }

    /// The events in `after < revision <= upto`; `after` is not before the window's start.
    pub(crate) fn events(&self, after: Revision, upto: Revision) -> impl Iterator<Item = &Arc<Event>> {
        let first = self.window.partition_point(|event| event.revision <= after);
        self.window.range(first..).take_while(move |event| event.revision <= upto)
    }

    pub(crate) fn raise_floors(&mut self, floors: &Floors) {
        for (resource, &floor) in floors {
            let known = self.floors.entry(resource.clone()).or_default();
            *known = floor.max(*known);
        }
    }

    /// The oldest revision at which a resource's state can be told.
    pub(crate) fn floor(&self, resource: &str) -> Revision {
        self.floors.get(resource).copied().unwrap_or(0)
    }

    /// Whether a resource's state at a revision, and what changed after it, can still be told.
    pub(crate) fn check_floor(&self, resource: &str, asked: Revision) -> Result<(), ReadError> {
        match self.floors.get(resource) {
            Some(&floor) if asked < floor => Err(ReadError::Expired { asked, floor }),
            _ => Ok(()),
        }
    }

    /// Adds to an overlay that reaches from an older revision up to `upto` what the window knows of the time since.
    pub(crate) fn extend_overlay(&self, overlay: &mut Overlay, scope: &Scope, upto: Revision) {
        for event in self.events(upto, self.revision) {
            note_previous(overlay, scope, event);
        }
    }

    /// A page of the objects as they are, save where `overlay` says how they were.
    pub(crate) fn page(
        &self,
        scope: &Scope,
        overlay: &Overlay,
        after: Option<&Key>,
        limit: usize,
        revision: Revision,
    ) -> Page {
        let start = match after {
            Some(key) => Bound::Excluded(key.clone()),
            None => Bound::Included(Key {
                resource: scope.resource.clone(),
                namespace: scope.namespace.clone().unwrap_or_default(),
                name: String::new(),
            }),
        };
        let nothing = BTreeMap::new();
        let current = self.objects.get(&scope.resource).unwrap_or(&nothing);
        let range = (start, Bound::Unbounded);
        let mut rest =
            Merged { current: current.range(range.clone()).peekable(), overlay: overlay.range(range).peekable() }
                .take_while(|object| scope.contains(&object.key));
        let objects: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        let remaining = rest.count();
        let next = if remaining == 0 { None } else { objects.last().map(|object| object.key.clone()) };
        Page { objects, revision, next, remaining }
    }
}

/// Keeps the state before the first change of each key: the oldest event must come first.
pub(crate) fn note_previous(overlay: &mut Overlay, scope: &Scope, event: &Event) {
    let key = &event.object.key;
    if scope.contains(key) && !overlay.contains_key(key) {
        overlay.insert(key.clone(), event.previous.clone());
    }
}

/// Current objects and overlay in key order; the overlay's word counts.
struct Merged<'a> {
    current: Peekable<btree_map::Range<'a, Key, Arc<Object>>>,
    overlay: Peekable<btree_map::Range<'a, Key, Option<Arc<Object>>>>,
}

impl<'a> Iterator for Merged<'a> {
    type Item = &'a Arc<Object>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((changed, _)) = self.overlay.peek() else { return self.current.next().map(|(_, object)| object) };
            match self.current.peek() {
                Some((key, _)) if key < changed => return self.current.next().map(|(_, object)| object),
                Some((key, _)) if key == changed => {
                    self.current.next();
                }
                _ => {}
            }
            if let Some((_, Some(object))) = self.overlay.next() {
                return Some(object);
            }
        }
    }
}
