//! The records of one pool: one writer, many readers.
//!
//! Every reference that was met has a slot, a small number that stays the same as long as somebody needs
//! it: dependency graphs over a hundred thousand records can then be made of numbers. A reference that
//! leads nowhere has a slot too, so that its arrival is noticed by those who asked for it.

use crate::{
    records::{Class, Record, XapiRecord},
    reference::{OpaqueRef, Ref},
    watch::{Batch, Operation},
};
use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};
use std::hash::BuildHasher;

/// Number of a reference in a [`Cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub slot: Slot,
    pub class: Class,
    /// The record came, went, or changed in a way that concerns whoever merely links to it.
    pub identity: bool,
    pub removed: bool,
}

#[derive(Debug)]
struct Entry {
    reference: OpaqueRef,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Nothing is known behind this reference.
    Dangling,
    Known(Record),
    /// It exists, but could not be read; counted, or deletions would be suspected forever.
    Unreadable(Class),
}

/// All kept records of one pool.
#[derive(Debug, Default)]
pub struct Cache {
    /// Slots by the reference of their entry, which is not repeated here.
    index: HashTable<Slot>,
    entries: Vec<Entry>,
    free: Vec<Slot>,
    counts: FxHashMap<Class, usize>,
}

impl Cache {
    /// The record behind a reference, if it is of class `T`.
    pub fn get<T: XapiRecord>(&self, reference: &Ref<T>) -> Option<&T> {
        self.record(self.slot(reference)?).and_then(T::from_record)
    }

    /// The record of any class behind a reference.
    pub fn find(&self, reference: &OpaqueRef) -> Option<&Record> {
        self.record(self.slot(reference)?)
    }

    pub fn slot(&self, reference: &OpaqueRef) -> Option<Slot> {
        let same = |slot: &Slot| self.entries[slot.0 as usize].reference == *reference;
        self.index.find(hash(reference), same).copied()
    }

    pub fn record(&self, slot: Slot) -> Option<&Record> {
        match &self.entries.get(slot.0 as usize)?.content {
            Content::Known(record) => Some(record),
            Content::Dangling | Content::Unreadable(_) => None,
        }
    }

    pub fn reference(&self, slot: Slot) -> &OpaqueRef {
        &self.entries[slot.0 as usize].reference
    }

    /// Every known record.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &OpaqueRef, &Record)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| match &entry.content {
                Content::Known(record) => Some((Slot(index as u32), &entry.reference, record)),
                Content::Dangling | Content::Unreadable(_) => None,
            })
    }

    /// Every known record of class `T`.
    pub fn all<T: XapiRecord + 'static>(&self) -> impl Iterator<Item = (&OpaqueRef, &T)> {
        self.iter()
            .filter_map(|(_, reference, record)| Some((reference, T::from_record(record)?)))
    }

    /// References of all records of a class, readable or not.
    pub fn references(&self, class: Class) -> impl Iterator<Item = &OpaqueRef> {
        let of_class = move |entry: &&Entry| match &entry.content {
            Content::Known(record) => record.class() == class,
            Content::Unreadable(unreadable) => *unreadable == class,
            Content::Dangling => false,
        };
        self.entries.iter().filter(of_class).map(|entry| &entry.reference)
    }

    /// Rows of a class as XAPI counts them.
    pub fn count(&self, class: Class) -> usize {
        self.counts.get(&class).copied().unwrap_or(0)
    }

    pub fn len(&self) -> usize {
        self.counts.values().sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// References that have a slot, known or dangling: what a leak would make grow.
    pub fn slots(&self) -> usize {
        self.index.len()
    }

    /// The slot of a reference, made if it is new.
    pub fn intern(&mut self, reference: &OpaqueRef) -> Slot {
        if let Some(slot) = self.slot(reference) {
            return slot;
        }
        let entry = Entry {
            reference: reference.clone(),
            content: Content::Dangling,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot.0 as usize] = entry;
                slot
            }
            None => {
                let slot = Slot(self.entries.len() as u32);
                self.entries.push(entry);
                slot
            }
        };
        let Self { index, entries, .. } = self;
        index.insert_unique(hash(reference), slot, |slot| {
            hash(&entries[slot.0 as usize].reference)
        });
        slot
    }

    /// Forgets a slot behind which nothing is and of which nobody holds the number any more.
    pub fn release(&mut self, slot: Slot) {
        let entry = &self.entries[slot.0 as usize];
        if matches!(entry.content, Content::Dangling)
            && let Ok(indexed) = self
                .index
                .find_entry(hash(&entry.reference), |other| *other == slot)
        {
            indexed.remove();
            self.free.push(slot);
        }
    }

    /// Applies what a poll brought. A full listing replaces everything in one step: what it does not
    /// name is gone. Equal records make no change.
    ///
    /// `essence_changed` tells whether a change of a record concerns those who merely link to it.
    pub fn apply(&mut self, batch: Batch, essence_changed: fn(&Record, &Record) -> bool) -> Vec<Change> {
        let mut changes = Vec::with_capacity(batch.events.len());
        let mut listed = FxHashSet::default();
        if batch.full {
            // One growth instead of many: the peak of a first listing is what memory is judged by.
            let more = batch.events.len().saturating_sub(self.entries.len());
            let Self { index, entries, .. } = self;
            index.reserve(more, |slot| hash(&entries[slot.0 as usize].reference));
            entries.reserve_exact(more);
        }
        for event in batch.events {
            // A record that came and went between two polls: a slot for it would never be freed.
            if matches!(event.operation, Operation::Delete) && self.slot(&event.reference).is_none() {
                continue;
            }
            let slot = self.intern(&event.reference);
            if batch.full {
                listed.insert(slot);
            }
            changes.extend(match event.operation {
                Operation::Put(record) => {
                    self.put(slot, event.class, Content::Known(record), essence_changed)
                }
                Operation::Unreadable => self.put(
                    slot,
                    event.class,
                    Content::Unreadable(event.class),
                    essence_changed,
                ),
                Operation::Delete => self.remove(slot),
            });
        }
        if batch.full {
            let stale: Vec<Slot> = (0..self.entries.len() as u32)
                .map(Slot)
                .filter(|slot| {
                    !matches!(self.entries[slot.0 as usize].content, Content::Dangling)
                        && !listed.contains(slot)
                })
                .collect();
            changes.extend(stale.into_iter().filter_map(|slot| self.remove(slot)));
        }
        changes
    }

    /// Empties the cache, reporting every record as removed.
    pub fn clear(&mut self) -> Vec<Change> {
        (0..self.entries.len() as u32)
            .filter_map(|index| self.remove(Slot(index)))
            .collect()
    }

    fn put(
        &mut self,
        slot: Slot,
        class: Class,
        new: Content,
        essence_changed: fn(&Record, &Record) -> bool,
    ) -> Option<Change> {
        let old = std::mem::replace(&mut self.entries[slot.0 as usize].content, new);
        let old_class = class_of(&old);
        if old_class != Some(class) {
            self.count_down(old_class);
            *self.counts.entry(class).or_default() += 1;
        }
        let new = &self.entries[slot.0 as usize].content;
        let identity = match (&old, new) {
            (Content::Known(old), Content::Known(new)) if old == new => return None,
            (Content::Unreadable(_), Content::Unreadable(_)) => return None,
            (Content::Known(old), Content::Known(new)) => {
                old.uuid() != new.uuid() || old.class() != new.class() || essence_changed(old, new)
            }
            _ => true,
        };
        Some(Change {
            slot,
            class,
            identity,
            removed: matches!(new, Content::Unreadable(_)),
        })
    }

    fn remove(&mut self, slot: Slot) -> Option<Change> {
        let old = std::mem::replace(&mut self.entries[slot.0 as usize].content, Content::Dangling);
        let class = class_of(&old)?;
        self.count_down(Some(class));
        Some(Change {
            slot,
            class,
            identity: true,
            removed: true,
        })
    }

    fn count_down(&mut self, class: Option<Class>) {
        if let Some(count) = class.and_then(|class| self.counts.get_mut(&class)) {
            *count -= 1;
        }
    }
}

fn hash(reference: &OpaqueRef) -> u64 {
    FxBuildHasher.hash_one(reference)
}

fn class_of(content: &Content) -> Option<Class> {
    match content {
        Content::Dangling => None,
        Content::Known(record) => Some(record.class()),
        Content::Unreadable(class) => Some(*class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{records::Vm, watch::Event};

    fn put(reference: &str, json: &str) -> Event {
        let record = Record::parse(Class::Vm, json).expect("readable");
        Event {
            class: Class::Vm,
            reference: OpaqueRef::parse(reference),
            operation: Operation::Put(record),
        }
    }

    fn batch(full: bool, events: Vec<Event>) -> Batch {
        Batch::new(full, events)
    }

    #[test]
    fn equal_records_make_no_change_and_listings_remove_the_rest() {
        let mut cache = Cache::default();
        let first = cache.apply(
            batch(
                true,
                vec![put("a", r#"{"uuid":"1"}"#), put("b", r#"{"uuid":"2"}"#)],
            ),
            |_, _| false,
        );
        assert!(first.len() == 2 && first.iter().all(|change| change.identity && !change.removed));
        assert!(
            cache
                .apply(batch(false, vec![put("a", r#"{"uuid":"1"}"#)]), |_, _| false)
                .is_empty()
        );
        let renamed = cache.apply(
            batch(false, vec![put("a", r#"{"uuid":"1","name_label":"x"}"#)]),
            |_, _| false,
        );
        assert!(renamed.len() == 1 && !renamed[0].identity);
        let relisted = cache.apply(
            batch(true, vec![put("a", r#"{"uuid":"1","name_label":"x"}"#)]),
            |_, _| false,
        );
        assert_eq!(relisted.len(), 1);
        assert!(relisted[0].removed && cache.reference(relisted[0].slot) == &OpaqueRef::parse("b"));
        assert_eq!((cache.count(Class::Vm), cache.all::<Vm>().count()), (1, 1));
    }

    #[test]
    fn released_slots_are_used_again() {
        let mut cache = Cache::default();
        let dangling = cache.intern(&OpaqueRef::parse("x"));
        assert_eq!(cache.intern(&OpaqueRef::parse("x")), dangling);
        cache.release(dangling);
        assert_eq!(cache.intern(&OpaqueRef::parse("y")), dangling);
        assert_eq!(cache.slot(&OpaqueRef::parse("x")), None);
    }

    #[test]
    fn deletions_of_what_was_never_seen_leave_nothing() {
        let mut cache = Cache::default();
        for n in 0..100 {
            let event = Event {
                class: Class::Task,
                reference: OpaqueRef::parse(&format!("t{n}")),
                operation: Operation::Delete,
            };
            assert!(cache.apply(batch(false, vec![event]), |_, _| false).is_empty());
        }
        assert_eq!((cache.slots(), cache.entries.len()), (0, 0));
    }

    #[test]
    fn a_record_that_became_unreadable_leaves_but_counts() {
        let mut cache = Cache::default();
        cache.apply(batch(true, vec![put("a", r#"{"uuid":"1"}"#)]), |_, _| false);
        let event = Event {
            class: Class::Vm,
            reference: OpaqueRef::parse("a"),
            operation: Operation::Unreadable,
        };
        let changes = cache.apply(batch(false, vec![event]), |_, _| false);
        assert!(changes[0].removed && changes[0].identity);
        assert_eq!((cache.count(Class::Vm), cache.all::<Vm>().count()), (1, 0));
    }
}
