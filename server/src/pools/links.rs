//! What is known of each link, and how that is changed: in memory at once, in the store one change at a time.

use super::{LinkError, Pool};
use crate::{
    auth::tokens::now_ms,
    inventory,
    limits::Pace,
    persist::{Store, StoreError, records::ServerRecord, secrets::Secrets},
};
use app::model::light::LinkStatus;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What is known of one link, apart from its registration.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkState {
    pub(super) status: LinkStatus,
    pub(super) error: Option<LinkError>,
    pub(super) since: i64,
    pub(super) last_event: Option<i64>,
    pub(super) next_attempt: Option<i64>,
    pub(super) pool_id: Option<Arc<str>>,
    pub(super) master: Option<String>,
}

pub(super) struct Link {
    pub(super) record: ServerRecord,
    pub(super) state: LinkState,
    pub(super) source: inventory::store::Source,
    pub(super) pool: Option<Arc<Pool>>,
    pub(super) driver: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
    /// It is steered by one at a time: a driver that has to be waited for holds up nobody but those who want the same link.
    pub(super) steering: Arc<tokio::sync::Mutex<()>>,
}

pub(super) type Links = BTreeMap<String, Link>;

/// What drivers share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) secrets: Secrets,
    pub(super) inventory: Arc<inventory::Store>,
    pub(super) pace: Pace,
    pub(super) links: Mutex<Links>,
    /// Grows when a row of [`Pools::rows`] changed in more than its age.
    pub(super) changed: watch::Sender<u64>,
    pub(super) tracker: TaskTracker,
    pub(super) next_source: AtomicU32,
    /// One change of the kept registrations at a time, on disk and in memory alike.
    pub(super) writing: Arc<tokio::sync::Mutex<()>>,
}

impl Shared {
    pub(super) fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a link and tells those who watch.
    pub(super) fn set_state(&self, id: &str, change: impl FnOnce(&mut LinkState)) {
        if let Some(link) = self.links().get_mut(id) {
            let status = link.state.status;
            change(&mut link.state);
            if link.state.status != status {
                link.state.since = now_ms();
            }
        }
        self.changed.send_modify(|revision| *revision += 1);
    }

    /// Changes and keeps the registration. Once begun it is finished, even if the caller is cancelled: a
    /// write that is left behind would bring a removed server back.
    pub(super) async fn amend(
        self: &Arc<Self>,
        id: &str,
        change: impl FnOnce(&mut ServerRecord) + Send + 'static,
    ) -> Result<(), StoreError> {
        let change = |_: &Links, record: &mut ServerRecord| {
            change(record);
            Ok(())
        };
        self.try_amend(id, change).await
    }

    /// As [`Shared::amend`], for a change that may be refused for the sake of the others.
    pub(super) async fn try_amend<E: From<StoreError> + Send + 'static>(
        self: &Arc<Self>,
        id: &str,
        change: impl FnOnce(&Links, &mut ServerRecord) -> Result<(), E> + Send + 'static,
    ) -> Result<(), E> {
        let (shared, id) = (self.clone(), id.to_owned());
        let writing = self.tracker.spawn(async move {
            let _turn = shared.writing.lock().await;
            let record = {
                let links = shared.links();
                let Some(link) = links.get(&id) else {
                    return Ok(());
                };
                let mut record = link.record.clone();
                change(&links, &mut record)?;
                if record == link.record {
                    return Ok(());
                }
                record
            };
            shared.store.put(&id, &record).await?;
            if let Some(link) = shared.links().get_mut(&id) {
                link.record = record;
            }
            shared.changed.send_modify(|revision| *revision += 1);
            Ok(())
        });
        writing
            .await
            .unwrap_or_else(|error| Err(StoreError::Unusable(error.to_string()).into()))
    }
}
