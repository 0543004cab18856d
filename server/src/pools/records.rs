//! The records of one pool and the objects that were computed from them.

use super::normal_fingerprint;
use crate::inventory::{Graph, graph::Update};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};
use tokio::sync::watch;
use xapi::{
    Cache, Change, Class, OpaqueRef, Record,
    records::{Certificate, Host, Pool as PoolRecord, XapiRecord},
    watch::Batch,
};

/// The records of a pool and what was computed from them.
#[derive(Default)]
pub(super) struct Records {
    inner: RwLock<Inner>,
    /// Grows with each batch, after its objects were published.
    applied: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) cache: Cache,
    graph: Graph,
}

/// What one batch did.
pub(super) struct Applied {
    pub(super) update: Update,
    pub(super) pool_id: Option<Arc<str>>,
    /// The pool's own record was touched, or what tells its hosts apart.
    pub(super) pool_changed: bool,
}

impl Records {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn apply(&self, batch: Batch, essence_changed: fn(&Record, &Record) -> bool) -> Applied {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Inner { cache, graph } = &mut *inner;
        let changes = cache.apply(batch, essence_changed);
        let update = graph.update(cache, &changes);
        // Hosts that came, went or moved, and how they are told; what else happens to hosts is too frequent to look
        // each time.
        let concerns_pool = |change: &Change| match change.class {
            Class::Pool | Class::Certificate => true,
            Class::Host => change.identity,
            _ => false,
        };
        let pool_changed = changes.iter().any(concerns_pool);
        Applied {
            update,
            pool_id: graph.pool_id().map(Arc::from),
            pool_changed,
        }
    }

    pub(super) fn clear(&self) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        *inner = Inner::default();
    }

    /// Addresses of the pool's hosts, with the fingerprints of their certificates as far as it tells them.
    pub(super) fn members(&self) -> BTreeMap<String, String> {
        let inner = self.read();
        let hosts = inner.cache.all::<Host>();
        let mut members: BTreeMap<String, String> = hosts
            .filter_map(|(_, host)| host.address.as_deref())
            .filter(|address| !address.is_empty())
            .map(|address| (address.to_owned(), String::new()))
            .collect();
        for (_, certificate) in inner.cache.all::<Certificate>() {
            // Other types are for the hosts among themselves, or authorities.
            if certificate.r#type.as_deref().is_some_and(|kind| kind != "host") {
                continue;
            }
            let host = certificate.host.as_ref().and_then(|host| inner.cache.get(host));
            let address = host.and_then(|host| host.address.as_deref());
            let known = [&certificate.fingerprint_sha256, &certificate.fingerprint];
            let told = known.into_iter().flatten().find(|text| !text.is_empty());
            if let (Some(member), Some(told)) = (address.and_then(|address| members.get_mut(address)), told)
                && let Ok(Some(fingerprint)) = normal_fingerprint(told)
            {
                *member = fingerprint;
            }
        }
        members
    }

    pub(super) fn messages_count(&self) -> usize {
        self.read().cache.count(Class::Message)
    }

    /// References of all messages.
    pub(super) fn messages(&self) -> Vec<OpaqueRef> {
        self.read().cache.references(Class::Message).cloned().collect()
    }

    /// Wakes after each batch.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub(super) fn announce(&self) {
        self.applied.send_modify(|count| *count += 1);
    }

    /// Name, description and master's id of the pool.
    pub(super) fn pool_name(&self) -> (Option<String>, Option<String>, Option<String>) {
        let inner = self.read();
        let Some((_, pool)) = inner.cache.all::<PoolRecord>().next() else {
            return (None, None, None);
        };
        let master = pool
            .master
            .as_ref()
            .and_then(|master| inner.cache.get::<Host>(master));
        let own = pool.name_label.as_deref().filter(|name| !name.is_empty());
        let label = own.or_else(|| master?.name_label.as_deref());
        let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        (
            owned(label),
            owned(pool.name_description.as_deref()),
            owned(master.and_then(|master| master.uuid())),
        )
    }
}
