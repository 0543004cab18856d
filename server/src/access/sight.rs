//! What one user may see, followed through changes of the inventory and of the rights.
//!
//! As the inventory, it has no queue per client but numbers: an object that comes into sight or leaves it is
//! noted with the revision at that time, and a client asks for what happened after the one that it has.

use super::{
    guards,
    index::Index,
    rights::{Right, Rights},
};
use crate::inventory::{Object, Store};
use rustc_hash::{FxHashMap, FxHashSet};
use std::{collections::VecDeque, sync::Arc};

/// Objects that came or went, remembered for clients that fall behind.
const REMEMBERED: usize = 100_000;

#[derive(Default)]
pub struct Sight {
    /// Of the inventory, up to which this is; 0: nothing is known yet.
    revision: u64,
    /// Of the rights, likewise.
    entries: u64,
    visible: FxHashSet<Arc<str>>,
    came: Log,
    went: Log,
}

#[derive(Default)]
struct Log {
    notes: VecDeque<(u64, Arc<str>)>,
    /// Up to this revision nothing is known.
    forgotten: u64,
}

impl Log {
    fn note(&mut self, revision: u64, id: Arc<str>) {
        self.notes.push_back((revision, id));
        if self.notes.len() > REMEMBERED
            && let Some((revision, _)) = self.notes.pop_front()
        {
            self.forgotten = revision;
        }
    }

    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Arc<str>> {
        let first = self.notes.partition_point(|(at, _)| *at <= from);
        let until = self.notes.partition_point(|(at, _)| *at <= to);
        self.notes.range(first..until.max(first)).map(|(_, id)| id)
    }
}

/// What a client is to be told.
pub struct Seen {
    /// The revision up to which this tells.
    pub to: u64,
    pub changed: Vec<Arc<Object>>,
    /// Those of them that the client does not know, whether or not they changed.
    pub came: FxHashSet<Arc<str>>,
    pub gone: Vec<Arc<str>>,
}

impl Sight {
    /// Comes up to date. `entries` is the revision of the rights that `explicit` looks up.
    pub fn advance(&mut self, index: &Index, entries: u64, explicit: &impl Fn(&str) -> Rights) {
        let first = self.revision == 0;
        if !first && self.revision == index.revision() && self.entries == entries {
            return;
        }
        let at = index.revision();
        let sees = |id: &str| guards::rights(id, explicit, index).has(Right::View);
        let doubtful = index
            .doubtful_since(self.revision)
            .filter(|_| !first && self.entries == entries);
        match doubtful {
            Some(doubtful) => {
                for id in doubtful {
                    match (self.visible.contains(id), sees(id)) {
                        (false, true) => {
                            self.visible.insert(id.clone());
                            self.came.note(at, id.clone());
                        }
                        (true, false) => {
                            self.visible.remove(id);
                            self.went.note(at, id.clone());
                        }
                        _ => {}
                    }
                }
            }
            None => {
                let visible: FxHashSet<Arc<str>> = index.ids().filter(|id| sees(id)).cloned().collect();
                if first {
                    (self.came.forgotten, self.went.forgotten) = (at, at);
                } else {
                    for id in visible.difference(&self.visible) {
                        self.came.note(at, id.clone());
                    }
                    for id in self.visible.difference(&visible) {
                        self.went.note(at, id.clone());
                    }
                }
                self.visible = visible;
            }
        }
        (self.revision, self.entries) = (at, entries);
    }

    pub fn sees(&self, id: &str) -> bool {
        self.visible.contains(id)
    }

    /// All visible objects.
    pub fn all(&self, inventory: &Store) -> Vec<Arc<Object>> {
        self.visible.iter().filter_map(|id| inventory.get(id)).collect()
    }

    /// What a client that knows everything up to `from` is to be told, in pieces of about `limit`.
    pub fn between(
        &self,
        inventory: &Store,
        from: u64,
        weight: impl Fn(&Object) -> usize,
        limit: usize,
    ) -> Seen {
        let weight = |object: &Object| if self.sees(&object.id) { weight(object) } else { 0 };
        // Not past what the sight knows: what is newer is not judged yet.
        let mut delta = inventory.between(from, self.revision, weight, limit);
        delta.changed.retain(|object| self.sees(&object.id));
        let mut came: FxHashSet<Arc<str>> = FxHashSet::default();
        if from != 0 {
            let noted = self.came.between(from, delta.revision);
            came.extend(noted.filter(|id| self.sees(id)).cloned());
            let told: FxHashSet<Arc<str>> = delta.changed.iter().map(|object| object.id.clone()).collect();
            let untold = came.difference(&told);
            delta.changed.extend(untold.filter_map(|id| inventory.get(id)));
        }
        // A snapshot starts from nothing: there is nothing to take away.
        let went = (from != 0).then(|| self.went.between(from, delta.revision));
        let mut gone: Vec<Arc<str>> = went
            .into_iter()
            .flatten()
            .filter(|id| !self.sees(id))
            .cloned()
            .collect();
        gone.sort();
        gone.dedup();
        Seen {
            to: delta.revision,
            changed: delta.changed,
            came,
            gone,
        }
    }

    /// What came and went after this revision is not all remembered.
    pub fn has_forgotten(&self, revision: u64) -> bool {
        revision < self.came.forgotten.max(self.went.forgotten)
    }
}

/// The sights of the users who are there.
pub type Sights = FxHashMap<String, Sight>;
