//! The guards of all objects, and what hangs on what: kept while somebody is there who does not see everything.

use super::guards::{Guards, Nodes};
use crate::inventory::{Object, Store};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{collections::VecDeque, sync::Arc};

/// Objects whose rights may have changed, remembered for those who follow; older ones look at everything anew.
const REMEMBERED: usize = 50_000;

#[derive(Default)]
pub struct Index {
    /// Of the inventory, up to which this is.
    revision: u64,
    guards: FxHashMap<Arc<str>, Guards>,
    /// From an object to those whose guards name it.
    dependents: FxHashMap<Arc<str>, Vec<Arc<str>>>,
    /// Objects whose rights may have changed with a revision, for another reason than an entry.
    doubtful: VecDeque<(u64, Arc<str>)>,
    /// Doubts up to this revision are forgotten.
    forgotten: u64,
}

impl Nodes for Index {
    fn guards<T>(&self, id: &str, look: impl FnOnce(&Guards) -> T) -> Option<T> {
        self.guards.get(id).map(look)
    }
}

impl Index {
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.guards.keys()
    }

    /// Takes in what changed in the inventory.
    pub fn advance(&mut self, inventory: &Store) {
        let delta = inventory.since(self.revision);
        if delta.incomplete {
            let (revision, all) = inventory.all();
            *self = Self {
                revision,
                forgotten: revision,
                ..Self::default()
            };
            for object in &all {
                self.place(object);
            }
            return;
        }
        let before = self.revision;
        self.revision = delta.revision;
        let mut moved = Vec::new();
        for object in delta
            .changed
            .iter()
            .filter(|object| object.full_revision > before)
        {
            if self.place(object) {
                moved.push(object.id.clone());
            }
        }
        for id in &delta.gone {
            if self.remove(id) {
                moved.push(id.clone());
            }
        }
        self.doubt(moved);
    }

    /// Notes the guards of an object; false if they are as before.
    fn place(&mut self, object: &Object) -> bool {
        let guards = Guards::of(object);
        if self.guards.get(&object.id) == Some(&guards) {
            return false;
        }
        self.remove(&object.id);
        for other in guards.links() {
            self.dependents
                .entry(other.clone())
                .or_default()
                .push(object.id.clone());
        }
        self.guards.insert(object.id.clone(), guards);
        true
    }

    fn remove(&mut self, id: &Arc<str>) -> bool {
        let Some(guards) = self.guards.remove(id) else {
            return false;
        };
        for other in guards.links() {
            if let Some(dependents) = self.dependents.get_mut(other) {
                dependents.retain(|dependent| dependent != id);
                if dependents.is_empty() {
                    self.dependents.remove(other);
                }
            }
        }
        true
    }

    /// These objects and whatever hangs on them may have other rights now.
    fn doubt(&mut self, moved: Vec<Arc<str>>) {
        let mut seen: FxHashSet<Arc<str>> = moved.iter().cloned().collect();
        let mut waiting = moved;
        while let Some(id) = waiting.pop() {
            for dependent in self.dependents.get(&id).into_iter().flatten() {
                if seen.insert(dependent.clone()) {
                    waiting.push(dependent.clone());
                }
            }
            self.doubtful.push_back((self.revision, id));
        }
        while self.doubtful.len() > REMEMBERED {
            if let Some((revision, _)) = self.doubtful.pop_front() {
                self.forgotten = revision;
            }
        }
    }

    /// The objects whose rights may have changed after that revision; `None` when that is not known.
    pub fn doubtful_since(&self, revision: u64) -> Option<impl Iterator<Item = &Arc<str>>> {
        if revision < self.forgotten {
            return None;
        }
        let first = self.doubtful.partition_point(|(at, _)| *at <= revision);
        Some(self.doubtful.range(first..).map(|(_, id)| id))
    }
}
