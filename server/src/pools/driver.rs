//! The driver of one pool.
//!
//! ```text
//!  Connecting --login, first listing--> Following --poll fails--> Waiting --time--> Connecting
//!      |                                                            ^
//!      +--- refused for good (credentials) --> Stopped
//! ```
//! A pool that another link follows is waited for: the two may have changed places.
//! The pool's records and dependencies outlive a broken link: a new listing is compared with them, and only
//! what really changed is published. Objects of a pool that stays silent are withdrawn.

use super::{
    LinkError,
    backoff::Backoff,
    call::Pool,
    connect::connect,
    links::{Links, Shared},
    records::Records,
};
use crate::{auth::tokens::now_ms, inventory::convert::essence_changed, inventory::store::Source};
use app::model::light::LinkStatus;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use xapi::{
    Client,
    client::CALL_TIMEOUT,
    watch::{Batch, Watch},
};

/// "Last heard" is told to watchers at most this often; the value itself is always current.
const HEARD_EVERY_MS: i64 = 5_000;
/// A pool that another link follows is asked for again that often, and at once when that link lets it go.
const RELEASE: Duration = Duration::from_secs(30);

struct Driver {
    shared: Arc<Shared>,
    id: String,
    source: Source,
    cancel: CancellationToken,
    records: Arc<Records>,
    pool: Arc<Pool>,
    /// URL of the host through which the pool was followed last.
    led: Option<String>,
    /// Tells whoever enabled the server how the first login ended.
    outcome: Option<oneshot::Sender<Result<(), LinkError>>>,
    /// `None` while none of the pool's objects are published.
    heard: Option<Instant>,
    told_heard: i64,
}

pub(super) async fn run(
    shared: Arc<Shared>,
    id: String,
    source: Source,
    cancel: CancellationToken,
    outcome: oneshot::Sender<Result<(), LinkError>>,
) {
    let records = Arc::<Records>::default();
    let mut driver = Driver {
        shared,
        source,
        cancel: cancel.clone(),
        pool: Arc::new(Pool::new(records.clone())),
        records,
        led: None,
        outcome: Some(outcome),
        heard: None,
        told_heard: 0,
        id,
    };
    let mut backoff = Backoff::new(driver.shared.pace.longest_wait);
    let mut watch = Watch::new(driver.shared.pace.poll);
    while !cancel.is_cancelled() {
        let error = driver.connect_and_follow(&mut watch, &mut backoff).await;
        if let Some(outcome) = driver.outcome.take() {
            // Nobody listens when the server was added in the background.
            drop(outcome.send(Err(error.clone())));
        }
        if cancel.is_cancelled() {
            break;
        }
        let held = match &error {
            LinkError::PoolAlreadyConnected { pool_id } => Some(pool_id.clone()),
            _ => None,
        };
        let wait = match &held {
            Some(_) => Some(RELEASE),
            None => (!error.is_final()).then(|| backoff.next()),
        };
        tracing::warn!(server = %driver.id, %error, retry_in_ms = wait.map(|wait| wait.as_millis() as u64), "no link to the pool");
        driver.shared.set_state(&driver.id, |state| {
            state.status = LinkStatus::Disconnected;
            state.error = Some(error);
            state.next_attempt = wait.map(|wait| now_ms().saturating_add(wait.as_millis() as i64));
        });
        match wait {
            Some(wait) => driver.wait(wait, held.as_deref()).await,
            None => {
                driver.withdraw();
                return;
            }
        }
    }
    driver.withdraw();
}

impl Driver {
    /// Waits for the next attempt; not longer than another link holds the pool that this one leads to.
    async fn wait(&mut self, wait: Duration, held: Option<&str>) {
        let (cancel, shared, id) = (self.cancel.clone(), self.shared.clone(), self.id.clone());
        let released = async {
            let mut changes = shared.changed.subscribe();
            match held {
                // It is never closed while somebody waits.
                Some(pool_id) => {
                    drop(
                        changes
                            .wait_for(|_| !is_taken(&shared.links(), &id, pool_id))
                            .await,
                    );
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => {}
            () = released => {}
            () = self.meanwhile_withdraw(tokio::time::sleep(wait)) => {}
        }
    }

    /// Waits until the pool has been silent for too long since it was last heard.
    fn silence(&self) -> impl Future<Output = ()> + use<> {
        let ends = self.heard.map(|heard| heard + self.shared.pace.silence);
        async move {
            match ends {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Does the work to its end; if the silence becomes too long meanwhile, withdraws the objects.
    async fn meanwhile_withdraw<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = self.silence() => {}
        }
        self.withdraw();
        work.await
    }

    /// Takes all objects of this pool back.
    fn withdraw(&mut self) {
        self.heard = None;
        self.records.clear();
        self.shared.inventory.withdraw(self.source);
        let mut links = self.shared.links();
        if let Some(link) = links.get_mut(&self.id) {
            link.pool = None;
        }
    }

    /// Connects and follows the pool; returns why that ended.
    async fn connect_and_follow(&mut self, watch: &mut Watch, backoff: &mut Backoff) -> LinkError {
        self.shared.set_state(&self.id, |state| {
            state.status = LinkStatus::Connecting;
            state.next_attempt = None;
        });
        let (cancel, shared, id) = (self.cancel.clone(), self.shared.clone(), self.id.clone());
        let led = self.led.clone();
        let connected = tokio::select! {
            () = cancel.cancelled() => return LinkError::Stopped,
            connected = self.meanwhile_withdraw(connect(&shared, &id, led.as_deref())) => connected,
        };
        let client = match connected {
            Ok(client) => client,
            Err(error) => return error,
        };
        self.led = Some(client.endpoint().url.clone());
        if let Some(outcome) = self.outcome.take() {
            drop(outcome.send(Ok(())));
        }
        let error = tokio::select! {
            () = cancel.cancelled() => LinkError::Stopped,
            followed = self.follow(&client, watch, backoff) => {
                let Err(error) = followed;
                error
            }
        };
        self.pool.set_client(None);
        client.logout().await;
        error
    }

    /// Keeps the inventory equal to the pool until that fails.
    async fn follow(
        &mut self,
        client: &Arc<Client>,
        watch: &mut Watch,
        backoff: &mut Backoff,
    ) -> Result<Infallible, LinkError> {
        // A listing is expensive, for the pool too: not for one that is followed through another link.
        if let Some(pool_id) = pool_of(client).await?
            && is_taken(&self.shared.links(), &self.id, &pool_id)
        {
            self.withdraw();
            return Err(LinkError::PoolAlreadyConnected { pool_id });
        }
        watch.reconnected();
        let mut listing = true;
        loop {
            let batch = if std::mem::take(&mut listing) {
                self.meanwhile_withdraw(watch.poll(client)).await
            } else {
                // What comes after a withdrawal must be everything, not what changed.
                tokio::select! {
                    polled = watch.poll(client) => polled,
                    () = self.silence() => return Err(LinkError::Unreachable("the pool says nothing".to_owned())),
                }
            };
            let batch = batch.map_err(LinkError::from_call)?;
            self.take(batch, client, watch, backoff).await?;
            if watch.compares_messages(self.records.messages_count()) {
                let gone = watch.compare_messages(client, self.records.messages()).await;
                let gone = gone.map_err(LinkError::from_call)?;
                self.take(gone, client, watch, backoff).await?;
            }
        }
    }

    /// Applies and publishes what was heard of the pool.
    async fn take(
        &mut self,
        mut batch: Batch,
        client: &Arc<Client>,
        watch: &mut Watch,
        backoff: &mut Backoff,
    ) -> Result<(), LinkError> {
        self.heard = Some(Instant::now());
        let counts = batch.take_counts();
        let records = self.records.clone();
        let (full, large) = (batch.full, batch.events.len() > 2_000);
        let work = move || records.apply(batch, essence_changed);
        // A first listing takes a good part of a second: off the threads that answer people.
        let applied = if large {
            tokio::task::spawn_blocking(work).await
        } else {
            Ok(work())
        };
        let applied = applied.map_err(|error| LinkError::Unreachable(format!("internal error: {error}")))?;
        let differing = watch.check(&counts, &self.records.read().cache);
        if !differing.is_empty() {
            tracing::debug!(server = %self.id, ?differing, "counts differ from the pool's");
        }
        if full {
            let claimed = match &applied.pool_id {
                Some(pool_id) => self.claim(pool_id, client),
                None => Ok(()),
            };
            if let Err(error) = claimed {
                // What was published before is another pool's, and what came now is not to be published.
                self.withdraw();
                return Err(error);
            }
            backoff.reset();
        }
        let Some(pool_id) = &applied.pool_id else {
            self.withdraw();
            return Err(LinkError::Unreachable("the host shows no pool".to_owned()));
        };
        self.shared.inventory.apply(self.source, pool_id, applied.update);
        self.records.announce();
        if applied.pool_changed {
            self.note_pool(pool_id).await;
        }
        self.note_heard(pool_id);
        Ok(())
    }

    /// Makes this link the one of its pool, unless another has it.
    fn claim(&self, pool_id: &Arc<str>, client: &Arc<Client>) -> Result<(), LinkError> {
        let mut links = self.shared.links();
        if is_taken(&links, &self.id, pool_id) {
            return Err(LinkError::PoolAlreadyConnected {
                pool_id: pool_id.to_string(),
            });
        }
        // Removed meanwhile: nobody would ever end this driver again.
        let link = links.get_mut(&self.id).ok_or(LinkError::Stopped)?;
        link.state.pool_id = Some(pool_id.clone());
        self.pool.set_read_only(link.record.read_only);
        self.pool.set_client(Some(client.clone()));
        link.pool = Some(self.pool.clone());
        Ok(())
    }

    fn note_heard(&mut self, pool_id: &Arc<str>) {
        let now = now_ms();
        let quiet = now - self.told_heard < HEARD_EVERY_MS;
        let mut links = self.shared.links();
        let Some(link) = links.get_mut(&self.id) else {
            return;
        };
        link.state.last_event = Some(now);
        if quiet && link.state.status == LinkStatus::Connected && link.state.pool_id.as_ref() == Some(pool_id)
        {
            return;
        }
        drop(links);
        self.told_heard = now;
        self.shared.set_state(&self.id, |state| {
            if state.status != LinkStatus::Connected {
                tracing::info!(server = %self.id, pool = %pool_id, "connected");
            }
            state.status = LinkStatus::Connected;
            state.error = None;
            state.next_attempt = None;
            state.pool_id = Some(pool_id.clone());
        });
    }

    /// Keeps with the registration the pool's name, to be shown while the pool is away, and its hosts, of
    /// which another may be master by then.
    async fn note_pool(&self, pool_id: &Arc<str>) {
        let (label, description, master) = self.records.pool_name();
        let members = self.records.members();
        self.shared.set_state(&self.id, |state| state.master = master);
        let kept = self
            .shared
            .amend(&self.id, move |record| {
                record.pool_name_label = label;
                record.pool_name_description = description;
                record.pool_members_addresses = Some(members.keys().cloned().collect());
                record.pool_members_fingerprints = Some(members);
            })
            .await;
        if let Err(error) = kept {
            tracing::error!(server = %self.id, pool = %pool_id, %error, "the name of the pool could not be kept");
        }
    }
}

/// Whether another link than `id` follows this pool. One that only remembers it, because it was cut off or refused,
/// holds it no more.
fn is_taken(links: &Links, id: &str, pool_id: &str) -> bool {
    links.iter().any(|(other, link)| {
        other != id && link.state.pool_id.as_deref() == Some(pool_id) && link.pool.is_some()
    })
}

/// The pool that a host belongs to; `None` where that is not clear before everything is listed.
async fn pool_of(client: &Arc<Client>) -> Result<Option<String>, LinkError> {
    let answer = client
        .call_unqueued("pool.get_all_records", &[], CALL_TIMEOUT)
        .await;
    let answer = answer.map_err(LinkError::from_call)?;
    let pools: BTreeMap<String, Value> = answer.parse().map_err(LinkError::from_call)?;
    let uuid = pools
        .into_values()
        .next()
        .map(|pool| pool["uuid"].as_str().map(str::to_owned));
    Ok(uuid.flatten())
}
