//! The registered servers, one supervised driver each, and what is known of each link.
//!
//! A driver owns its pool's records and alone publishes its objects; everyone else has a [`Pool`] handle to
//! read records and to call XAPI. Results of calls come back through the event stream.

mod backoff;
mod call;
mod connect;
mod console;
mod driver;
mod failure;
mod fingerprint;
mod line;
mod links;
mod records;
mod registration;
mod shown;

pub use call::Pool;
pub use console::ConsoleError;
pub use failure::LinkError;
pub use registration::{Amendment, Registration, RegistryError};

use crate::{
    auth::tokens::now_ms,
    inventory,
    limits::Pace,
    persist::{Store, StoreError, records::ServerRecord, secrets::Secrets},
};
use app::{
    model::light::{LinkRow, LinkStatus},
    rpc::methods::Server,
};
use fingerprint::normal_fingerprint;
use links::{Link, LinkState, Shared};
use shown::{row, server};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::sync::{oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Registered servers that are accepted; each costs a connection and a cache.
pub const MAX_SERVERS: usize = 200;

/// At the end, links and what they left are waited for so long.
const STOPPING: Duration = Duration::from_secs(5);

/// The registry of servers.
#[derive(Clone)]
pub struct Pools {
    shared: Arc<Shared>,
}

impl Pools {
    /// Reads the registrations; starts nothing.
    pub async fn open(
        store: Store,
        secrets: Secrets,
        inventory: Arc<inventory::Store>,
        pace: Pace,
    ) -> Result<Self, StoreError> {
        let pools = Self {
            shared: Arc::new(Shared {
                secrets,
                inventory,
                pace,
                links: Mutex::default(),
                changed: watch::Sender::new(0),
                tracker: TaskTracker::new(),
                next_source: AtomicU32::new(1),
                writing: Arc::default(),
                store: store.clone(),
            }),
        };
        for (id, record) in store.list::<ServerRecord>().await? {
            pools.insert(id, record);
        }
        Ok(pools)
    }

    fn insert(&self, id: String, record: ServerRecord) {
        let source = self.shared.next_source.fetch_add(1, Ordering::Relaxed);
        let state = LinkState {
            since: now_ms(),
            ..LinkState::default()
        };
        self.shared.links().insert(
            id,
            Link {
                record,
                state,
                source,
                pool: None,
                driver: None,
                steering: Arc::default(),
            },
        );
        self.shared.changed.send_modify(|revision| *revision += 1);
    }

    /// No registration is changed while this is held.
    pub async fn hold(&self) -> impl Sized + use<> {
        let shared = self.shared.clone();
        shared.writing.clone().lock_owned().await
    }

    /// Takes up what became of registrations in the store by another way than ours.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let kept = self.shared.store.list::<ServerRecord>().await?;
        let mut ids: BTreeSet<String> = kept.into_iter().map(|(id, _)| id).collect();
        ids.extend(self.shared.links().keys().cloned());
        for id in ids {
            // One that is not there yet is not steered by anybody.
            let _steering = self.steer(&id).await;
            let record = {
                let _turn = self.shared.writing.lock().await;
                let record = self.shared.store.get::<ServerRecord>(&id).await?;
                match (self.shared.links().get_mut(&id), &record) {
                    (Some(link), Some(record)) if link.record == *record => continue,
                    (Some(link), Some(record)) => link.record = record.clone(),
                    _ => {}
                }
                record
            };
            self.stop_driver(&id).await;
            match record {
                Some(record) => {
                    if !self.shared.links().contains_key(&id) {
                        self.insert(id.clone(), record.clone());
                    }
                    if record.enabled {
                        self.spawn_driver(&id);
                    }
                }
                None => {
                    self.shared.links().remove(&id);
                    self.shared.changed.send_modify(|revision| *revision += 1);
                }
            }
        }
        Ok(())
    }

    /// Starts the drivers of all enabled servers.
    pub fn start(&self) {
        let enabled: Vec<String> = {
            let links = self.shared.links();
            links
                .iter()
                .filter(|(_, link)| link.record.enabled)
                .map(|(id, _)| id.clone())
                .collect()
        };
        for id in enabled {
            self.spawn_driver(&id);
        }
    }

    /// Ends all drivers: sessions are logged out, as far as that takes no more than a few seconds.
    pub async fn stop(&self) {
        let drivers: Vec<_> = self
            .shared
            .links()
            .values_mut()
            .filter_map(|link| link.driver.take())
            .collect();
        for (cancel, _) in &drivers {
            cancel.cancel();
        }
        for (_, handle) in drivers {
            if let Err(error) = handle.await {
                tracing::error!(%error, "a driver did not end well");
            }
        }
        // Farewells and writes that are under way.
        self.shared.tracker.close();
        if tokio::time::timeout(STOPPING, self.shared.tracker.wait())
            .await
            .is_err()
        {
            tracing::warn!("some sessions of hosts could not be ended in time");
        }
    }

    /// Wakes when a link changed.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Grows with every change of a link's row.
    pub fn revision(&self) -> u64 {
        *self.shared.changed.borrow()
    }

    fn spawn_driver(&self, id: &str) -> Option<oneshot::Receiver<Result<(), LinkError>>> {
        let mut links = self.shared.links();
        let link = links.get_mut(id)?;
        if link.driver.is_some() {
            return None;
        }
        let (sender, outcome) = oneshot::channel();
        let cancel = CancellationToken::new();
        link.state.status = LinkStatus::Connecting;
        link.state.since = now_ms();
        let run = driver::run(
            self.shared.clone(),
            id.to_owned(),
            link.source,
            cancel.clone(),
            sender,
        );
        link.driver = Some((cancel, self.shared.tracker.spawn(run)));
        drop(links);
        self.shared.changed.send_modify(|revision| *revision += 1);
        Some(outcome)
    }

    async fn stop_driver(&self, id: &str) {
        let driver = self
            .shared
            .links()
            .get_mut(id)
            .and_then(|link| link.driver.take());
        if let Some((cancel, handle)) = driver {
            cancel.cancel();
            if let Err(error) = handle.await {
                tracing::error!(server = id, %error, "the driver did not end well");
            }
        }
        self.shared.set_state(id, |state| *state = LinkState::default());
    }

    /// Registers a server; with `connect`, its driver starts in the background.
    pub async fn add(&self, registration: Registration, connect: bool) -> Result<String, RegistryError> {
        xapi::Endpoint::parse_url(&registration.host)?;
        let fingerprint = registration
            .fingerprint
            .as_deref()
            .map(normal_fingerprint)
            .transpose()?
            .flatten();
        let _turn = self.shared.writing.lock().await;
        {
            let links = self.shared.links();
            if let Some((id, _)) = links
                .iter()
                .find(|(_, link)| link.record.host == registration.host)
            {
                return Err(RegistryError::AlreadyExists { id: id.clone() });
            }
            if links.len() >= MAX_SERVERS {
                return Err(RegistryError::TooMany);
            }
        }
        let id = uuid::Uuid::new_v4().to_string();
        let record = ServerRecord {
            host: registration.host,
            label: registration.label.filter(|label| !label.is_empty()),
            username: registration.username,
            sealed_password: self.shared.secrets.seal(&registration.password),
            allow_unauthorized: registration.allow_unauthorized,
            enabled: true,
            sealed_http_proxy: registration
                .http_proxy
                .filter(|proxy| !proxy.is_empty())
                .map(|proxy| self.shared.secrets.seal(&proxy)),
            fingerprint,
            ..ServerRecord::default()
        };
        self.shared.store.put(&id, &record).await?;
        self.insert(id.clone(), record);
        if connect {
            self.spawn_driver(&id);
        }
        Ok(id)
    }

    pub async fn remove(&self, id: &str) -> Result<(), RegistryError> {
        let _steering = self.steer(id).await?;
        self.record(id)?;
        self.stop_driver(id).await;
        let _turn = self.shared.writing.lock().await;
        self.shared.store.remove::<ServerRecord>(id).await?;
        self.shared.links().remove(id);
        self.shared.changed.send_modify(|revision| *revision += 1);
        Ok(())
    }

    /// Changes a registration. How to connect can be changed only while disconnected.
    pub async fn set(&self, id: &str, amendment: Amendment) -> Result<(), RegistryError> {
        let _steering = self.steer(id).await?;
        self.record(id)?;
        let read_only = amendment.read_only;
        let fingerprint = match amendment.fingerprint {
            Some(Some(text)) => Some(normal_fingerprint(&text)?),
            other => other,
        };
        let concerns_connection = amendment.host.is_some()
            || amendment.username.is_some()
            || amendment.password.is_some()
            || amendment.http_proxy.is_some()
            || amendment.allow_unauthorized.is_some()
            || fingerprint.is_some();
        if concerns_connection {
            self.expect_disconnected(id)?;
        }
        if let Some(host) = &amendment.host {
            xapi::Endpoint::parse_url(host)?;
        }
        let sealed = amendment
            .password
            .map(|password| self.shared.secrets.seal(&password));
        let sealed_proxy = amendment.http_proxy.map(|proxy| {
            let proxy = proxy.filter(|proxy| !proxy.is_empty());
            proxy.map(|proxy| self.shared.secrets.seal(&proxy))
        });
        let own_id = id.to_owned();
        self.shared
            .try_amend(id, move |links, record| {
                if let Some(host) = &amendment.host
                    && let Some((other, _)) = links
                        .iter()
                        .find(|(other, link)| **other != own_id && link.record.host == *host)
                {
                    return Err(RegistryError::AlreadyExists { id: other.clone() });
                }
                let erase = |value: Option<String>| value.filter(|value| !value.is_empty());
                if let Some(label) = amendment.label {
                    record.label = erase(label);
                }
                if let Some(host) = amendment.host.filter(|host| *host != record.host) {
                    record.host = host;
                    // Another address is another pool until the contrary is known: the hosts of the old one are not asked.
                    record.pool_id = None;
                    record.pool_members_addresses = None;
                    record.pool_members_fingerprints = None;
                }
                if let Some(username) = amendment.username {
                    record.username = username;
                    record.pool_id = None;
                }
                if let Some(sealed) = sealed {
                    record.sealed_password = sealed;
                    record.pool_id = None;
                }
                if let Some(allow) = amendment.allow_unauthorized {
                    record.allow_unauthorized = allow;
                }
                if let Some(read_only) = amendment.read_only {
                    record.read_only = read_only;
                }
                if let Some(sealed) = sealed_proxy {
                    record.sealed_http_proxy = sealed;
                }
                if let Some(fingerprint) = fingerprint {
                    record.fingerprint = erase(fingerprint);
                }
                Ok(())
            })
            .await?;
        if let (Some(read_only), Some(pool)) = (read_only, self.pool_of_server(id)) {
            pool.set_read_only(read_only);
        }
        Ok(())
    }

    /// Enables and connects; answers when the login has succeeded or failed.
    pub async fn enable(&self, id: &str) -> Result<(), RegistryError> {
        let outcome = {
            let _steering = self.steer(id).await?;
            self.record(id)?;
            self.expect_disconnected(id)?;
            self.stop_driver(id).await;
            self.shared.amend(id, |record| record.enabled = true).await?;
            self.spawn_driver(id)
        };
        match outcome {
            Some(outcome) => Ok(outcome.await.unwrap_or(Err(LinkError::Stopped))?),
            None => Ok(()),
        }
    }

    pub async fn disable(&self, id: &str) -> Result<(), RegistryError> {
        let _steering = self.steer(id).await?;
        self.record(id)?;
        self.shared.amend(id, |record| record.enabled = false).await?;
        self.stop_driver(id).await;
        Ok(())
    }

    /// Waits until nobody else changes whether and how this link is driven.
    async fn steer(&self, id: &str) -> Result<tokio::sync::OwnedMutexGuard<()>, RegistryError> {
        let steering = self.shared.links().get(id).map(|link| link.steering.clone());
        let steering = steering.ok_or_else(|| RegistryError::NoSuchServer(id.to_owned()))?;
        Ok(steering.lock_owned().await)
    }

    fn record(&self, id: &str) -> Result<ServerRecord, RegistryError> {
        let links = self.shared.links();
        links
            .get(id)
            .map(|link| link.record.clone())
            .ok_or_else(|| RegistryError::NoSuchServer(id.to_owned()))
    }

    fn expect_disconnected(&self, id: &str) -> Result<(), RegistryError> {
        let actual = self
            .shared
            .links()
            .get(id)
            .map_or(LinkStatus::Disconnected, |link| link.state.status);
        match actual {
            LinkStatus::Disconnected => Ok(()),
            actual => Err(RegistryError::IncorrectState {
                id: id.to_owned(),
                actual,
                expected: LinkStatus::Disconnected,
            }),
        }
    }

    /// The pool of a registered server, while it is connected.
    pub fn pool_of_server(&self, id: &str) -> Option<Arc<Pool>> {
        self.shared.links().get(id)?.pool.clone()
    }

    /// The pool through which an object came.
    pub fn pool_of(&self, object: &inventory::Object) -> Option<Arc<Pool>> {
        let links = self.shared.links();
        links
            .values()
            .find(|link| link.source == object.source)?
            .pool
            .clone()
    }

    /// Whether an object's pool is there, and not only to be read.
    pub fn takes_changes(&self, object: &inventory::Object) -> bool {
        let links = self.shared.links();
        let link = links.values().find(|link| link.source == object.source);
        link.is_some_and(|link| link.pool.is_some() && !link.record.read_only)
    }

    /// As `server.getAll` answers.
    pub fn servers(&self) -> Vec<Server> {
        let links = self.shared.links();
        links
            .iter()
            .map(|(id, link)| server(id, link, &self.shared.secrets))
            .collect()
    }

    /// As the `lists` view carries them.
    pub fn rows(&self) -> Vec<LinkRow> {
        let links = self.shared.links();
        links.iter().map(|(id, link)| row(id, link)).collect()
    }
}
