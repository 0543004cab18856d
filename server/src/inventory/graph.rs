//! Which object was computed from which records, and what to recompute when records change.
//!
//! Edges are noted while an object is converted, so they are right by construction; a new conversion needs
//! no list of dependencies to be kept true by hand. A pool of 100,000 records has about half a million
//! edges: they are numbers, not references.

use super::convert::{Asked, Context, Converted, DiskIndex, Need, PoolFacts, convert, parent_of_disk};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use xapi::{Cache, Change, Class, OpaqueRef, Record, Slot, Uuid};

/// What became of the objects of a pool.
#[derive(Debug, Default)]
pub struct Update {
    pub put: Vec<(OpaqueRef, Converted)>,
    /// With the reference behind which it was: something that was forgotten and introduced again has the same id
    /// behind another one, which is to stay.
    pub removed: Vec<(OpaqueRef, Arc<str>)>,
}

/// A slot and how it is needed, in one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge(u32);

impl Edge {
    fn new(slot: Slot, need: Need) -> Self {
        Self(slot.0 << 1 | u32::from(need == Need::Content))
    }

    fn slot(self) -> Slot {
        Slot(self.0 >> 1)
    }

    fn is_content(self) -> bool {
        self.0 & 1 == 1
    }
}

/// The dependencies of one pool's objects.
#[derive(Debug, Default)]
pub struct Graph {
    facts: Option<PoolFacts>,
    nodes: Vec<Node>,
    disks: Disks,
}

#[derive(Debug, Default)]
struct Node {
    /// Id under which the record of this slot is published.
    published: Option<Arc<str>>,
    /// What its object was computed from.
    needs: Box<[Edge]>,
    /// Whose objects were computed from it; the slot in each edge is the other's.
    needed_by: Vec<Edge>,
}

/// Disks by uuid, and the disks that name a parent by uuid.
#[derive(Debug, Default)]
struct Disks {
    by_uuid: FxHashMap<Uuid, Slot>,
    uuid_of: FxHashMap<Slot, Uuid>,
    children: FxHashMap<Uuid, FxHashSet<Slot>>,
    parent_of: FxHashMap<Slot, Uuid>,
}

impl DiskIndex for Disks {
    fn disk(&self, uuid: &str) -> Option<Slot> {
        self.by_uuid.get(&Uuid::parse(uuid)).copied()
    }
}

impl Graph {
    /// Id of the pool, once its record was seen.
    pub fn pool_id(&self) -> Option<&str> {
        self.facts.as_ref().map(|facts| facts.id.as_str())
    }

    /// Recomputes what `changes`, just applied to `cache`, concern.
    pub fn update(&mut self, cache: &mut Cache, changes: &[Change]) -> Update {
        let mut dirty = FxHashSet::default();
        for change in changes {
            self.touch(*change, &mut dirty);
            if change.class == Class::Vdi {
                self.disks.follow(cache, *change, &mut dirty);
            }
        }
        if changes
            .iter()
            .any(|change| matches!(change.class, Class::Pool | Class::Host))
        {
            let facts = PoolFacts::read(cache);
            if facts != self.facts {
                self.facts = facts;
                dirty = cache.iter().map(|(slot, ..)| slot).chain(dirty).collect();
            }
        }
        let mut update = Update {
            put: Vec::with_capacity(dirty.len()),
            removed: Vec::new(),
        };
        self.nodes
            .reserve_exact(cache.slots().saturating_sub(self.nodes.len()));
        let mut idle = Vec::new();
        let mut dirty: Vec<Slot> = dirty.into_iter().collect();
        dirty.sort_unstable();
        for slot in dirty {
            self.recompute(cache, slot, &mut update, &mut idle);
        }
        for slot in idle {
            if self.node(slot).needed_by.is_empty() && cache.record(slot).is_none() {
                cache.release(slot);
            }
        }
        update
    }

    /// Ids of everything that is published.
    pub fn published(&self) -> Vec<Arc<str>> {
        self.nodes
            .iter()
            .filter_map(|node| node.published.clone())
            .collect()
    }

    fn node(&mut self, slot: Slot) -> &mut Node {
        let index = slot.0 as usize;
        if index >= self.nodes.len() {
            self.nodes.resize_with(index + 1, Node::default);
        }
        &mut self.nodes[index]
    }

    fn touch(&mut self, change: Change, dirty: &mut FxHashSet<Slot>) {
        dirty.insert(change.slot);
        let concerned = self.node(change.slot).needed_by.iter();
        dirty.extend(
            concerned
                .filter(|edge| change.identity || edge.is_content())
                .map(|edge| edge.slot()),
        );
    }

    fn recompute(&mut self, cache: &mut Cache, slot: Slot, update: &mut Update, idle: &mut Vec<Slot>) {
        let mut asked = Vec::new();
        let mut converted = None;
        if let (Some(facts), Some(record)) = (&self.facts, cache.record(slot)) {
            let context = Context::new(cache, facts, &self.disks);
            converted = convert(&context, cache.reference(slot), record);
            asked = context.take_asked();
        }
        self.set_needs(cache, slot, asked, idle);
        let id = converted.as_ref().map(|converted| converted.id.clone());
        let node = self.node(slot);
        if node.published != id {
            let gone = std::mem::replace(&mut node.published, id);
            update
                .removed
                .extend(gone.map(|gone| (cache.reference(slot).clone(), gone)));
        }
        match converted {
            Some(converted) => update.put.push((cache.reference(slot).clone(), converted)),
            None => idle.push(slot),
        }
    }

    fn set_needs(&mut self, cache: &mut Cache, slot: Slot, asked: Vec<Asked>, idle: &mut Vec<Slot>) {
        let mut needs: Vec<Edge> = asked
            .into_iter()
            .map(|asked| match asked {
                Asked::Known(needed, need) => Edge::new(needed, need),
                Asked::Dangling(reference) => Edge::new(cache.intern(&reference), Need::Link),
            })
            .filter(|edge| edge.slot() != slot)
            .collect();
        // Content sorts last among the edges to one slot, and includes the link.
        needs.sort_unstable_by(|left, right| right.cmp(left));
        needs.dedup_by_key(|edge| edge.slot());
        let needs: Box<[Edge]> = needs.into();
        if self.node(slot).needs == needs {
            return;
        }
        let old = std::mem::take(&mut self.node(slot).needs);
        for edge in &old {
            let node = self.node(edge.slot());
            if let Some(position) = node.needed_by.iter().position(|other| other.slot() == slot) {
                node.needed_by.swap_remove(position);
            }
            if node.needed_by.is_empty() {
                idle.push(edge.slot());
            }
        }
        for edge in &needs {
            let need = if edge.is_content() {
                Need::Content
            } else {
                Need::Link
            };
            self.node(edge.slot()).needed_by.push(Edge::new(slot, need));
        }
        self.node(slot).needs = needs;
    }
}

impl Disks {
    /// Keeps the index true, and marks the disks whose chain a coming or going parent completes or breaks.
    fn follow(&mut self, cache: &Cache, change: Change, dirty: &mut FxHashSet<Slot>) {
        let slot = change.slot;
        let disk = match cache.record(slot) {
            Some(Record::Vdi(disk)) => Some(disk),
            _ => None,
        };
        let uuid = disk.and_then(|disk| disk.uuid.as_deref()).map(Uuid::parse);
        if self.uuid_of.get(&slot) != uuid.as_ref() {
            if let Some(old) = self.uuid_of.remove(&slot) {
                // A disk that was forgotten and introduced again has the same uuid behind another reference.
                if self.by_uuid.get(&old) == Some(&slot) {
                    self.by_uuid.remove(&old);
                }
                self.mark_descendants(&old, dirty);
            }
            if let Some(uuid) = uuid {
                self.mark_descendants(&uuid, dirty);
                self.by_uuid.insert(uuid.clone(), slot);
                self.uuid_of.insert(slot, uuid);
            }
        }
        let parent = disk.and_then(|disk| parent_of_disk(disk)).map(Uuid::parse);
        if self.parent_of.get(&slot) != parent.as_ref() {
            if let Some(old) = self.parent_of.remove(&slot)
                && let Some(siblings) = self.children.get_mut(&old)
            {
                siblings.remove(&slot);
                if siblings.is_empty() {
                    self.children.remove(&old);
                }
            }
            if let Some(parent) = parent {
                self.children.entry(parent.clone()).or_default().insert(slot);
                self.parent_of.insert(slot, parent);
            }
        }
    }

    fn mark_descendants(&self, uuid: &Uuid, dirty: &mut FxHashSet<Slot>) {
        let mut waiting = vec![uuid];
        let mut seen = FxHashSet::default();
        while let Some(uuid) = waiting.pop() {
            for &child in self.children.get(uuid).into_iter().flatten() {
                if seen.insert(child) {
                    dirty.insert(child);
                    waiting.extend(self.uuid_of.get(&child));
                }
            }
        }
    }
}
