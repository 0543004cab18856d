//! Who may do what with which object, and who sees what.
//!
//! This is the one place that decides, for methods, listings, notifications, views and pages. Entries give a
//! user or a group rights on an object (`entries`); objects inherit rights from others (`guards`); what
//! somebody sees is followed through all changes (`index`, `sight`). Administrators may do everything.
//!
//! Roles with selectors (contract/acl.md section 3) will be another source of the rights that `guards` asks for.

mod entries;
pub mod explain;
mod guards;
mod index;
mod rights;
mod sight;

pub use entries::{EntryError, MOST_ENTRIES};
pub use rights::{Right, Rights};
pub use sight::Seen;

use crate::{
    auth::Directory,
    inventory::{Object, Store as Inventory},
    persist::{Change, Store, StoreError, records::AclRecord},
    rpc::registry::Caller,
};
use entries::Entries;
use guards::{Guards, Nodes};
use index::Index;
use sight::Sights;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};

pub struct Access {
    store: Store,
    inventory: Arc<Inventory>,
    people: Directory,
    entries: RwLock<Entries>,
    watching: Mutex<Watching>,
    /// One change of the entries at a time, on disk and in memory alike.
    writing: tokio::sync::Mutex<()>,
}

/// What is kept for those who do not see everything.
#[derive(Default)]
struct Watching {
    index: Index,
    sights: Sights,
}

/// Guards read from the objects themselves: for single questions.
impl Nodes for Inventory {
    fn guards<T>(&self, id: &str, look: impl FnOnce(&Guards) -> T) -> Option<T> {
        Some(look(&Guards::of(&*self.get(id)?)))
    }
}

/// The user and its groups.
fn subjects(user: &Caller) -> impl Iterator<Item = &str> {
    std::iter::once(user.id.as_str()).chain(user.record.groups.iter().map(String::as_str))
}

impl Access {
    pub async fn open(
        store: Store,
        inventory: Arc<Inventory>,
        people: Directory,
    ) -> Result<Self, StoreError> {
        let entries = Entries::read(&store).await?;
        Ok(Self {
            store,
            inventory,
            people,
            entries: RwLock::new(entries),
            watching: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        })
    }

    fn entries(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn watching(&self) -> MutexGuard<'_, Watching> {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `user` has `right` on `object`; an object that does not exist is answered like one that
    /// may not be seen, but for those who may see all.
    pub fn allows(&self, user: Option<&Caller>, object: Option<&Object>, right: Right) -> bool {
        match (user, object) {
            (None, _) => false,
            (Some(user), _) if user.is_admin() => true,
            (Some(user), Some(object)) => self.rights(user, &object.id).has(right),
            (Some(_), None) => false,
        }
    }

    pub fn rights(&self, user: &Caller, id: &str) -> Rights {
        if user.is_admin() {
            return Rights::ALL;
        }
        let (entries, now) = (self.entries(), self.now(user));
        guards::rights(id, &|id| entries.explicit(subjects(&now), id), &*self.inventory)
    }

    /// Who this is at this moment; nobody has the groups of somebody who is gone.
    fn now(&self, user: &Caller) -> Caller {
        Caller {
            id: user.id.clone(),
            record: self.people.user(&user.id).unwrap_or_default(),
        }
    }

    /// Whether `user` sees the whole inventory.
    pub fn sees_everything(&self, user: &Caller) -> bool {
        user.is_admin()
    }

    /// What the user sees, brought up to date.
    fn sight<T>(&self, user: &Caller, look: impl FnOnce(&sight::Sight) -> T) -> T {
        let mut watching = self.watching();
        let Watching { index, sights } = &mut *watching;
        index.advance(&self.inventory);
        let entries = self.entries();
        let sight = sights.entry(user.id.clone()).or_default();
        // Of now, not of when the caller's call began: what is judged here is taken for current by others.
        let now = self.now(user);
        sight.advance(index, entries.revision(), &|id| {
            entries.explicit(subjects(&now), id)
        });
        look(sight)
    }

    /// From now on it is noted what comes into the user's sight and what leaves it.
    pub fn watch(&self, user: &Caller) {
        if !user.is_admin() {
            self.sight(user, |_| ());
        }
    }

    /// Forgets what users saw who are not there any more. They are counted while nobody can begin to watch.
    pub fn keep_watching(&self, present: impl FnOnce() -> HashSet<String>) {
        let mut watching = self.watching();
        let present = present();
        watching.sights.retain(|user, _| present.contains(user));
        if watching.sights.is_empty() {
            watching.index = Index::default();
        }
    }

    /// All objects that the user sees.
    pub fn visible(&self, user: &Caller) -> Vec<Arc<Object>> {
        if user.is_admin() {
            return self.inventory.all().1;
        }
        self.sight(user, |sight| sight.all(&self.inventory))
    }

    pub fn eye<'a>(&'a self, user: &'a Caller) -> Eye<'a> {
        Eye { access: self, user }
    }

    /// Rights that entries give the user, object by object; nothing inherited.
    pub fn explicit(&self, user: &Caller) -> Vec<(String, Rights)> {
        self.entries().explicit_all(subjects(&self.now(user)))
    }

    pub fn list(&self) -> Vec<(String, AclRecord)> {
        self.entries().list()
    }

    /// Adds an entry; one that is there already is no error.
    pub async fn add(&self, entry: AclRecord) -> Result<(), EntryError> {
        let _turn = self.writing.lock().await;
        if !self.entries().has_room(&entry) {
            return Err(EntryError::TooMany);
        }
        let id = entry.id();
        self.store.put(&id, &entry).await?;
        self.change(|entries| entries.insert(id, entry));
        Ok(())
    }

    /// Removes an entry; false when it was not there.
    pub async fn remove(&self, entry: &AclRecord) -> Result<bool, StoreError> {
        let _turn = self.writing.lock().await;
        let ids = self.entries().ids(|known| known == entry);
        self.remove_ids(ids, Vec::new()).await
    }

    /// Whether entries say something of an object.
    pub fn speaks_of(&self, object: &str) -> bool {
        !self.entries().ids(|entry| entry.object == object).is_empty()
    }

    /// Removes what entries say of an object that is gone for good.
    pub async fn forget_object(&self, object: &str) -> Result<bool, StoreError> {
        let _turn = self.writing.lock().await;
        let ids = self.entries().ids(|entry| entry.object == object);
        self.remove_ids(ids, Vec::new()).await
    }

    /// Removes what entries say of a user or group, together with other changes: all or nothing.
    pub async fn forget_subject(&self, subject: &str, with: Vec<Change>) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let ids = self.entries().ids(|entry| entry.subject == subject);
        self.remove_ids(ids, with).await.map(drop)
    }

    /// Removes entries of users and groups that are unknown, and says how many there were.
    pub async fn forget_strangers(&self, is_known: impl Fn(&str) -> bool) -> Result<usize, StoreError> {
        let _turn = self.writing.lock().await;
        let ids = self.entries().ids(|entry| !is_known(&entry.subject));
        let count = ids.len();
        self.remove_ids(ids, Vec::new()).await?;
        Ok(count)
    }

    async fn remove_ids(&self, ids: Vec<String>, mut changes: Vec<Change>) -> Result<bool, StoreError> {
        changes.extend(ids.iter().map(|id| Change::remove::<AclRecord>(id)));
        if changes.is_empty() {
            return Ok(false);
        }
        self.store.commit(changes).await?;
        if !ids.is_empty() {
            self.change(|entries| ids.iter().for_each(|id| entries.remove(id)));
        }
        Ok(!ids.is_empty())
    }

    /// No entry is changed while this is held.
    pub async fn hold(&self) -> impl Sized {
        self.writing.lock().await
    }

    /// Reads the entries anew. Whoever calls it holds them.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let read = Entries::read(&self.store).await?;
        self.change(|entries| entries.replace(read));
        Ok(())
    }

    /// Somebody has other groups now: what they see is judged anew.
    pub fn groups_changed(&self) {
        self.change(|_| ());
    }

    /// Changes entries, and lets everybody look anew. Sights are brought up to date under the same lock: what
    /// comes and goes with this change is noted with a revision that no client has yet.
    fn change(&self, change: impl FnOnce(&mut Entries)) {
        let _watching = self.watching();
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut entries);
        entries.touch();
        self.inventory.bump();
    }
}

/// The inventory as one user sees it.
pub struct Eye<'a> {
    access: &'a Access,
    user: &'a Caller,
}

impl Eye<'_> {
    pub fn sees_everything(&self) -> bool {
        self.access.sees_everything(self.user)
    }

    pub fn sees(&self, object: &Object) -> bool {
        self.sees_everything() || self.access.sight(self.user, |sight| sight.sees(&object.id))
    }

    /// What a client of this user that knows everything up to `from` is to be told, in pieces of about `limit`.
    pub fn since(&self, from: u64, weight: impl Fn(&Object) -> usize, limit: usize) -> Seen {
        let inventory = &self.access.inventory;
        self.access
            .sight(self.user, |sight| sight.between(inventory, from, weight, limit))
    }

    /// What went after this revision is not all remembered, or the revision is none of ours: a client that has
    /// nothing newer must begin anew.
    pub fn has_forgotten(&self, revision: u64) -> bool {
        self.access.inventory.has_forgotten(revision)
            || (!self.sees_everything()
                && self
                    .access
                    .sight(self.user, |sight| sight.has_forgotten(revision)))
    }
}
