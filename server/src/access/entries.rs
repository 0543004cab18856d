//! The entries: who has which rights on which object, as an administrator said.

use super::rights::{Right, Rights};
use crate::persist::{Store, StoreError, records::AclRecord};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// They are kept in memory, and read at every call of those who are no administrators.
pub const MOST_ENTRIES: usize = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("there can be {MOST_ENTRIES} rights")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) struct Entries {
    /// Grows with each change.
    revision: u64,
    all: BTreeMap<String, AclRecord>,
    /// By subject, then by object.
    given: FxHashMap<String, FxHashMap<String, Given>>,
}

impl Entries {
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        let mut entries = Self {
            revision: 1,
            all: BTreeMap::new(),
            given: FxHashMap::default(),
        };
        for (id, entry) in store.list::<AclRecord>().await? {
            entries.insert(id, entry);
        }
        Ok(entries)
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Others in place of these; the revision goes on.
    pub(super) fn replace(&mut self, other: Self) {
        (self.all, self.given) = (other.all, other.given);
    }

    pub(super) fn touch(&mut self) {
        self.revision += 1;
    }

    pub(super) fn has_room(&self, entry: &AclRecord) -> bool {
        self.all.len() < MOST_ENTRIES || self.all.contains_key(&entry.id())
    }

    /// What entries give these subjects on the object itself.
    pub(super) fn explicit<'a>(&self, subjects: impl Iterator<Item = &'a str>, object: &str) -> Rights {
        let mut rights = Rights::NONE;
        for subject in subjects {
            let given = self.given.get(subject).and_then(|objects| objects.get(object));
            rights |= given.map(|given| given.rights).unwrap_or_default();
        }
        rights
    }

    pub(super) fn explicit_all<'a>(&self, subjects: impl Iterator<Item = &'a str>) -> Vec<(String, Rights)> {
        let mut found: BTreeMap<&str, Rights> = BTreeMap::new();
        for (object, given) in subjects.filter_map(|subject| self.given.get(subject)).flatten() {
            *found.entry(object).or_default() |= given.rights;
        }
        let found = found.into_iter().filter(|(_, rights)| !rights.is_none());
        found
            .map(|(object, rights)| (object.to_owned(), rights))
            .collect()
    }

    /// Entries of a subject on an object that give this right.
    pub(super) fn giving(
        &self,
        subject: &str,
        object: &str,
        right: Right,
    ) -> impl Iterator<Item = (&String, &AclRecord)> {
        let given = self.given.get(subject).and_then(|objects| objects.get(object));
        let entries = given.into_iter().flat_map(|given| &given.entries);
        entries
            .filter_map(|id| self.all.get_key_value(id))
            .filter(move |(_, entry)| Rights::of_action(&entry.action).has(right))
    }

    pub(super) fn list(&self) -> Vec<(String, AclRecord)> {
        self.all
            .iter()
            .map(|(id, entry)| (id.clone(), entry.clone()))
            .collect()
    }

    pub(super) fn ids(&self, wanted: impl Fn(&AclRecord) -> bool) -> Vec<String> {
        let found = self.all.iter().filter(|(_, entry)| wanted(entry));
        found.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn insert(&mut self, id: String, entry: AclRecord) {
        let given = self.given(&entry);
        given.rights |= Rights::of_action(&entry.action);
        if !given.entries.contains(&id) {
            given.entries.push(id.clone());
        }
        self.all.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: &str) {
        let Some(entry) = self.all.remove(id) else { return };
        let mut left = std::mem::take(&mut self.given(&entry).entries);
        left.retain(|other| other != id);
        let mut rights = Rights::NONE;
        for other in left.iter().filter_map(|id| self.all.get(id)) {
            rights |= Rights::of_action(&other.action);
        }
        let is_empty = left.is_empty();
        *self.given(&entry) = Given {
            rights,
            entries: left,
        };
        if is_empty && let Some(objects) = self.given.get_mut(&entry.subject) {
            objects.remove(&entry.object);
            if objects.is_empty() {
                self.given.remove(&entry.subject);
            }
        }
    }

    /// What entries say of a subject and an object.
    fn given(&mut self, entry: &AclRecord) -> &mut Given {
        let objects = self.given.entry(entry.subject.clone()).or_default();
        objects.entry(entry.object.clone()).or_default()
    }
}

#[derive(Default)]
struct Given {
    rights: Rights,
    entries: Vec<String>,
}
