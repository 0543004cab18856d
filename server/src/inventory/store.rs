//! The published objects of all pools, each with its JSON, written once, and its revision.
//!
//! Every change of an object gets the next revision, so "what changed since" is a range of a sorted map:
//! no client has a queue, each has a number. Readers get shared bytes.

use super::{convert::Converted, graph::Update};
use app::model::ObjectType;
use bytes::Bytes;
use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{BuildHasher, Hash},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::watch;
use xapi::{OpaqueRef, Uuid};

/// Removals that are remembered for clients that fall behind or come back; after more of them they begin anew. A
/// pool of 10,000 VMs that goes is 63,000 of them at once.
pub const REMEMBERED_REMOVALS: usize = 100_000;

/// Which connection an object came through.
pub type Source = u32;

/// A published object.
#[derive(Debug)]
pub struct Object {
    pub id: Arc<str>,
    pub kind: ObjectType,
    /// uuid of its pool.
    pub pool: Arc<str>,
    pub source: Source,
    pub reference: OpaqueRef,
    pub json: Bytes,
    pub light: Option<Bytes>,
    /// uuid of the object that a message is about.
    pub about: Option<Box<str>>,
    /// When anything of it changed last.
    pub revision: u64,
    /// When `json` changed last.
    pub full_revision: u64,
}

impl Object {
    /// A text property.
    pub fn json_text(&self, property: &str) -> Option<String> {
        let json: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&self.json).ok()?;
        json.get(property)?.as_str().map(str::to_owned)
    }
}

/// What changed after a revision.
#[derive(Debug, Default)]
pub struct Delta {
    /// The revision up to which this tells.
    pub revision: u64,
    pub changed: Vec<Arc<Object>>,
    pub gone: Vec<Arc<str>>,
    /// The removals since then are not all remembered.
    pub incomplete: bool,
}

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    /// By id, which stands in the object.
    objects: HashTable<Arc<Object>>,
    /// By reference, likewise.
    by_reference: HashTable<Arc<Object>>,
    by_revision: BTreeMap<u64, Arc<Object>>,
    /// Ids of the messages about an object.
    messages: FxHashMap<Box<str>, Vec<Arc<str>>>,
    /// Revisions and ids, in the least form: there are many.
    removals: VecDeque<(u64, Uuid)>,
    /// Removals up to this revision are forgotten.
    forgotten: u64,
    /// Removals that are remembered at most.
    remembered: usize,
    /// Objects whose id another source had published first; they take over when it goes.
    aside: FxHashMap<Arc<str>, Vec<Arc<Object>>>,
}

/// The inventory.
#[derive(Debug)]
pub struct Store {
    inner: RwLock<Inner>,
    revision: watch::Sender<u64>,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(REMEMBERED_REMOVALS)
    }
}

impl Store {
    /// One that remembers so many removals.
    pub fn new(remembered: usize) -> Self {
        // 0 is what a client has that knows nothing.
        let revision = 1;
        let inner = Inner {
            revision,
            remembered,
            // In one piece that never grows; what of it is not needed takes no memory.
            removals: VecDeque::with_capacity(remembered),
            ..Inner::default()
        };
        Self {
            inner: RwLock::new(inner),
            revision: watch::Sender::new(revision),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes when the revision grew.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    pub fn revision(&self) -> u64 {
        self.read().revision
    }

    /// Removals after this revision are not all remembered, or it is none of ours.
    pub fn has_forgotten(&self, revision: u64) -> bool {
        let inner = self.read();
        revision < inner.forgotten || revision > inner.revision
    }

    pub fn len(&self) -> usize {
        self.read().objects.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By XO id or by XAPI reference, as params of methods may name it.
    pub fn get(&self, id: &str) -> Option<Arc<Object>> {
        let inner = self.read();
        let object = inner.get(id).or_else(|| {
            let reference = OpaqueRef::parse(id);
            let same = |object: &Arc<Object>| object.reference == reference;
            inner.by_reference.find(hash(&reference), same)
        });
        object.cloned()
    }

    /// All objects, with the revision that they show, in the order of the first change.
    pub fn all(&self) -> (u64, Vec<Arc<Object>>) {
        let inner = self.read();
        (inner.revision, inner.objects.iter().cloned().collect())
    }

    /// Messages about the object of this uuid.
    pub fn messages(&self, about: &str) -> Vec<Arc<Object>> {
        let inner = self.read();
        let ids = inner.messages.get(about).into_iter().flatten();
        ids.filter_map(|id| inner.get(id).cloned()).collect()
    }

    pub fn since(&self, revision: u64) -> Delta {
        self.between(revision, u64::MAX, |_| 0, usize::MAX)
    }

    /// What changed after `from` and up to `upto`; stops early when the weights of the changed objects add
    /// up to `limit`. The delta's revision tells how far it came.
    pub fn between(&self, from: u64, upto: u64, weight: impl Fn(&Object) -> usize, limit: usize) -> Delta {
        let inner = self.read();
        let incomplete = from < inner.forgotten || from > inner.revision;
        let upto = upto.min(inner.revision);
        if from >= upto {
            return Delta {
                revision: upto,
                incomplete,
                ..Delta::default()
            };
        }
        let (mut changed, mut total, mut reached) = (Vec::new(), 0usize, upto);
        for (&revision, object) in inner.by_revision.range(from + 1..=upto) {
            if total >= limit {
                reached = revision - 1;
                break;
            }
            total = total.saturating_add(weight(object));
            changed.push(object.clone());
        }
        let first = inner.removals.partition_point(|(removed, _)| *removed <= from);
        let gone = inner
            .removals
            .range(first..)
            .take_while(|(removed, _)| *removed <= reached);
        let gone = gone
            .map(|(_, id)| id.to_string())
            .filter(|id| inner.get(id).is_none())
            .map(Arc::from)
            .collect();
        Delta {
            revision: reached,
            changed,
            gone,
            incomplete,
        }
    }

    /// The next revision, with which no object changed: somebody may see other objects now.
    pub fn bump(&self) {
        let mut inner = self.write();
        inner.revision += 1;
        let revision = inner.revision;
        drop(inner);
        self.tell(revision);
    }

    /// Two pools may get here in another order than that of their changes.
    fn tell(&self, revision: u64) {
        self.revision.send_if_modified(|told| {
            let newer = revision > *told;
            *told = revision.max(*told);
            newer
        });
    }

    /// Takes back everything that came through this connection, whatever its graph still knows of it.
    pub fn withdraw(&self, source: Source) {
        let mut inner = self.write();
        let before = inner.revision;
        let published = inner.objects.iter().filter(|object| object.source == source);
        let mut ids: Vec<Arc<str>> = published.map(|object| object.id.clone()).collect();
        let aside = inner.aside.iter();
        let aside = aside.filter(|(_, others)| others.iter().any(|other| other.source == source));
        ids.extend(aside.map(|(id, _)| id.clone()));
        for id in ids {
            inner.remove(source, &id, None);
        }
        let after = inner.revision;
        drop(inner);
        if after != before {
            self.tell(after);
        }
    }

    /// Publishes what a pool's graph computed. Objects of equal bytes stay as they are.
    pub fn apply(&self, source: Source, pool: &Arc<str>, update: Update) {
        if update.put.is_empty() && update.removed.is_empty() {
            return;
        }
        let mut inner = self.write();
        let before = inner.revision;
        let more = update.put.len().saturating_sub(inner.objects.len());
        inner.objects.reserve(more, |object| hash(&object.id));
        inner.by_reference.reserve(more, |object| hash(&object.reference));
        for (reference, id) in update.removed {
            inner.remove(source, &id, Some(&reference));
        }
        for (reference, converted) in update.put {
            inner.put(source, pool, reference, converted);
        }
        let after = inner.revision;
        drop(inner);
        if after != before {
            self.tell(after);
        }
    }
}

fn hash(key: &(impl Hash + ?Sized)) -> u64 {
    FxBuildHasher.hash_one(key)
}

impl Inner {
    fn get(&self, id: &str) -> Option<&Arc<Object>> {
        self.objects.find(hash(id), |object| *object.id == *id)
    }

    fn put(&mut self, source: Source, pool: &Arc<str>, reference: OpaqueRef, converted: Converted) {
        let old = self.get(&converted.id);
        let same_json = old.is_some_and(|old| old.json == converted.json);
        if let Some(old) = old {
            if old.source != source {
                let id = old.id.clone();
                let object = new_object(id.clone(), source, pool, reference, converted, 0, 0);
                let aside = self.aside.entry(id).or_default();
                aside.retain(|other| other.source != source);
                aside.push(object);
                return;
            }
            if same_json && old.light == converted.light && old.reference == reference {
                return;
            }
        }
        let id = converted.id.clone();
        let revision = self.revision + 1;
        let full_revision = old
            .filter(|_| same_json)
            .map_or(revision, |old| old.full_revision);
        self.publish(new_object(
            id,
            source,
            pool,
            reference,
            converted,
            revision,
            full_revision,
        ));
    }

    fn publish(&mut self, object: Arc<Object>) {
        self.revision = object.revision;
        self.take(&object.id);
        if let Some(about) = &object.about {
            let messages = self.messages.entry(about.clone()).or_default();
            messages.push(object.id.clone());
        }
        let by_id = |object: &Arc<Object>| hash(&object.id);
        self.objects
            .insert_unique(hash(&object.id), object.clone(), by_id);
        let by_reference = |object: &Arc<Object>| hash(&object.reference);
        self.by_reference
            .insert_unique(hash(&object.reference), object.clone(), by_reference);
        self.by_revision.insert(object.revision, object);
    }

    /// Takes an object out of every index.
    fn take(&mut self, id: &str) -> Option<Arc<Object>> {
        let found = self.objects.find_entry(hash(id), |object| *object.id == *id);
        let (object, _) = found.ok()?.remove();
        let same = |other: &Arc<Object>| Arc::ptr_eq(other, &object);
        if let Ok(found) = self.by_reference.find_entry(hash(&object.reference), same) {
            found.remove();
        }
        self.by_revision.remove(&object.revision);
        if let Some(about) = &object.about
            && let Some(messages) = self.messages.get_mut(about)
        {
            messages.retain(|message| **message != *id);
            if messages.is_empty() {
                self.messages.remove(about);
            }
        }
        Some(object)
    }

    /// Removes what a source publishes under this id, if it is what is behind the reference.
    fn remove(&mut self, source: Source, id: &Arc<str>, reference: Option<&OpaqueRef>) {
        let is_meant = |object: &Object| {
            object.source == source && reference.is_none_or(|reference| object.reference == *reference)
        };
        let published = self.get(id).is_some_and(|object| is_meant(object));
        let mut heir = None;
        if let Some(aside) = self.aside.get_mut(id) {
            let before = aside.len();
            aside.retain(|other| !is_meant(other));
            let was_aside = aside.len() != before;
            if published && !was_aside && !aside.is_empty() {
                heir = Some(aside.remove(0));
            }
            if aside.is_empty() {
                self.aside.remove(id);
            }
            if was_aside {
                return;
            }
        }
        if !published {
            return;
        }
        self.take(id);
        self.revision += 1;
        match heir {
            Some(heir) => {
                let revision = self.revision;
                self.publish(Arc::new(Object {
                    revision,
                    full_revision: revision,
                    id: heir.id.clone(),
                    kind: heir.kind,
                    pool: heir.pool.clone(),
                    source: heir.source,
                    reference: heir.reference.clone(),
                    json: heir.json.clone(),
                    light: heir.light.clone(),
                    about: heir.about.clone(),
                }));
            }
            None => self.remember(id),
        }
    }

    fn remember(&mut self, removed: &str) {
        if self.removals.len() >= self.remembered {
            let oldest = self.removals.pop_front();
            self.forgotten = oldest.map_or(self.revision, |(revision, _)| revision);
        }
        if self.remembered > 0 {
            self.removals.push_back((self.revision, Uuid::parse(removed)));
        }
    }
}

fn new_object(
    id: Arc<str>,
    source: Source,
    pool: &Arc<str>,
    reference: OpaqueRef,
    converted: Converted,
    revision: u64,
    full_revision: u64,
) -> Arc<Object> {
    Arc::new(Object {
        id,
        kind: converted.kind,
        pool: pool.clone(),
        source,
        reference,
        json: converted.json,
        light: converted.light,
        about: converted.about,
        revision,
        full_revision,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: &str, json: &str) -> Update {
        let converted = Converted {
            id: id.into(),
            kind: ObjectType::Vm,
            json: Bytes::copy_from_slice(json.as_bytes()),
            light: None,
            about: None,
        };
        Update {
            put: vec![(OpaqueRef::parse(&format!("OpaqueRef:{id}")), converted)],
            removed: Vec::new(),
        }
    }

    fn remove(id: &str) -> Update {
        Update {
            put: Vec::new(),
            removed: vec![(OpaqueRef::parse(&format!("OpaqueRef:{id}")), id.into())],
        }
    }

    #[test]
    fn a_delta_names_each_object_once_in_its_last_state() {
        let (store, pool) = (Store::default(), Arc::from("p"));
        store.apply(1, &pool, put("a", "1"));
        store.apply(1, &pool, put("b", "1"));
        let seen = store.revision();
        store.apply(1, &pool, put("a", "2"));
        store.apply(1, &pool, put("a", "3"));
        store.apply(1, &pool, put("b", "1"));
        let delta = store.since(seen);
        assert_eq!(delta.changed.len(), 1);
        assert_eq!(&delta.changed[0].json[..], b"3");
        assert!(delta.gone.is_empty() && !delta.incomplete);
        store.apply(1, &pool, remove("a"));
        assert_eq!(store.since(seen).gone, [Arc::<str>::from("a")]);
        store.apply(1, &pool, put("a", "4"));
        let delta = store.since(seen);
        assert!(
            delta.gone.is_empty() && delta.changed.len() == 1,
            "removed and added again is one enter"
        );
    }

    #[test]
    fn what_was_introduced_again_stays_when_what_was_before_goes() {
        let (store, pool) = (Store::default(), Arc::from("p"));
        store.apply(1, &pool, put("a", "1"));
        let mut again = put("a", "1");
        again.put[0].0 = OpaqueRef::parse("OpaqueRef:again");
        store.apply(1, &pool, again);
        store.apply(1, &pool, remove("a"));
        let there = store.get("a").expect("it stays");
        assert_eq!(there.reference, OpaqueRef::parse("OpaqueRef:again"));
    }

    #[test]
    fn the_first_source_of_an_id_wins_and_the_second_takes_over() {
        let (store, pool) = (Store::default(), Arc::from("p"));
        store.apply(1, &pool, put("a", "first"));
        store.apply(2, &pool, put("a", "second"));
        assert_eq!(&store.get("a").expect("there").json[..], b"first");
        store.apply(1, &pool, remove("a"));
        assert_eq!(&store.get("a").expect("there").json[..], b"second");
        store.apply(2, &pool, remove("a"));
        assert!(store.get("a").is_none());
    }
}
