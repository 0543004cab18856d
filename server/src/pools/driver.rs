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
    connect::{Expected, Found, Silent, another_master, connect},
    links::{Link, Links, Shared},
    records::Records,
};
use crate::{auth::tokens::now_ms, inventory::convert::essence_changed, inventory::store::Source};
use app::model::light::LinkStatus;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use xapi::{
    CallError, Client, OpaqueRef,
    watch::{Batch, Watch, gone_messages},
};

/// "Last heard" is told to watchers at most this often; the value itself is always current.
const HEARD_EVERY_MS: i64 = 5_000;
/// A pool that another link follows is asked for again that often, and at once when that link lets it go.
const RELEASE: Duration = Duration::from_secs(10);
/// A link that has been down for longer does not hold its pool against one that reaches it.
const HOLDS_MS: i64 = 10_000;
/// Credentials that worked before and are refused now are tried again so rarely that no account is locked: a host whose
/// directory is away for a moment says the same.
const REFUSED: &[Duration] = &[
    Duration::from_secs(5),
    Duration::from_secs(60),
    Duration::from_secs(300),
];
/// How long a login is waited for, at first; twice as long after each attempt that was too short, a few times.
const LOGIN_PATIENCE: Duration = Duration::from_secs(15);

/// References of messages that are gone.
type Gone = Result<Vec<OpaqueRef>, CallError>;
/// What a poll and a comparison have brought.
type News = (Option<Result<Batch, CallError>>, Option<Gone>);

struct Driver {
    shared: Arc<Shared>,
    id: String,
    source: Source,
    cancel: CancellationToken,
    records: Arc<Records>,
    pool: Arc<Pool>,
    /// The registered host, and the URL of the one through which the pool was followed last: it is asked first as long as
    /// the registration is the same.
    led: Option<(String, String)>,
    /// Tells whoever enabled the server how the first login ended.
    outcome: Option<oneshot::Sender<Result<(), LinkError>>>,
    /// `None` while none of the pool's objects are published.
    heard: Option<Instant>,
    told_heard: i64,
    /// Attempts in a row that ended because a login took too long.
    slow_logins: u32,
    /// Attempts in a row that ended with refused credentials.
    refusals: usize,
    /// Messages are compared with the pool's beside the polls.
    comparing: Option<JoinHandle<Gone>>,
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
        slow_logins: 0,
        refusals: 0,
        comparing: None,
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
        let wait = match &error {
            LinkError::PoolAlreadyConnected { .. } => Some(RELEASE),
            LinkError::AuthenticationFailed { .. } if driver.has_worked() => Some(driver.next_refusal()),
            error => (!error.is_final()).then(|| backoff.next()),
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
    /// The present credentials have opened this pool before.
    fn has_worked(&self) -> bool {
        let links = self.shared.links();
        links
            .get(&self.id)
            .is_some_and(|link| link.record.pool_id.is_some())
    }

    fn registered_host(&self) -> String {
        let links = self.shared.links();
        links
            .get(&self.id)
            .map(|link| link.record.host.clone())
            .unwrap_or_default()
    }

    fn next_refusal(&mut self) -> Duration {
        let wait = REFUSED[self.refusals.min(REFUSED.len() - 1)];
        self.refusals += 1;
        wait
    }

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
        let registered = self.registered_host();
        let led = self.led.clone().filter(|(of, _)| *of == registered);
        let expected = Expected {
            led: led.as_ref().map(|(_, url)| url.as_str()),
            is_published: self.heard.is_some(),
            patience: LOGIN_PATIENCE * (1 << self.slow_logins.min(2)),
            silent: None,
        };
        let begun = Instant::now();
        let connected = tokio::select! {
            () = cancel.cancelled() => return LinkError::Stopped,
            connected = self.meanwhile_withdraw(connect(&shared, &id, expected)) => connected,
        };
        let (mut client, mut found) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                if begun.elapsed() >= LOGIN_PATIENCE {
                    self.slow_logins += 1;
                }
                return error;
            }
        };
        (self.slow_logins, self.refusals) = (0, 0);
        // A listing is expensive, for the pool too: not for one that is followed through another link.
        if let Some(pool_id) = found.pool.take()
            && is_taken(&shared.links(), &id, &pool_id)
        {
            self.withdraw();
            client.logout().await;
            return LinkError::PoolAlreadyConnected { pool_id };
        }
        if let Some(outcome) = self.outcome.take() {
            drop(outcome.send(Ok(())));
        }
        loop {
            tracing::debug!(server = %self.id, url = %client.endpoint().url, "signed in to the pool");
            self.led = Some((registered.clone(), client.endpoint().url.clone()));
            let followed = tokio::select! {
                () = cancel.cancelled() => Err(LinkError::Stopped),
                followed = self.follow(&client, &found, watch, backoff) => followed,
            };
            self.pool.set_client(None);
            if cancel.is_cancelled() {
                if let Ok((leads_now, _)) = followed {
                    leads_now.logout().await;
                }
                client.logout().await;
                return LinkError::Stopped;
            }
            // A host that lets us wait does so with this, too.
            let left = client.clone();
            self.shared.tracker.spawn(async move { left.logout().await });
            match followed {
                Ok(leads_now) => (client, found) = leads_now,
                Err(error) => return error,
            }
            // Until everything is listed there, nothing is known of it.
            self.shared
                .set_state(&self.id, |state| state.status = LinkStatus::Connecting);
        }
    }

    /// Keeps the inventory equal to the pool until that fails, or another host turns out to lead it.
    async fn follow(
        &mut self,
        client: &Arc<Client>,
        found: &Found,
        watch: &mut Watch,
        backoff: &mut Backoff,
    ) -> Result<(Arc<Client>, Found), LinkError> {
        if let Some(comparing) = self.comparing.take() {
            comparing.abort();
        }
        watch.reconnected();
        let mut listing = true;
        loop {
            let silent = Silent {
                url: client.endpoint().url.clone(),
                host: found.master.clone(),
            };
            let another = another_master(self.shared.clone(), self.id.clone(), silent, watch.overdue());
            let is_listing = std::mem::take(&mut listing);
            let news = async {
                if is_listing {
                    let polled = self.meanwhile_withdraw(watch.poll(client)).await;
                    return Ok((Some(polled), None));
                }
                self.next(client, watch).await
            };
            let (polled, gone) = tokio::select! {
                news = news => news?,
                leads_now = another => {
                    tracing::warn!(server = %self.id, url = %leads_now.0.endpoint().url, "another host leads the pool, and the one before says nothing");
                    return Ok(leads_now);
                }
            };
            for batch in [gone.map(|gone| Ok(watch.compared(gone))), polled]
                .into_iter()
                .flatten()
            {
                let batch = batch.map_err(LinkError::from_call)?;
                self.take(batch, client, watch, backoff).await?;
            }
            if self.comparing.is_none() && watch.compares_messages(self.records.messages_count()) {
                watch.began_to_compare();
                let comparison = gone_messages(client.clone(), self.records.messages());
                self.comparing = Some(self.shared.tracker.spawn(comparison));
            }
        }
    }

    /// Waits for the poll, or for a comparison that has found something: that one is not worth waiting any longer.
    async fn next(&mut self, client: &Arc<Client>, watch: &mut Watch) -> Result<News, LinkError> {
        // What comes after a withdrawal must be everything, not what changed.
        let (silence, poll) = (self.silence(), watch.poll(client));
        tokio::pin!(silence, poll);
        let mut compared = None;
        loop {
            tokio::select! {
                polled = &mut poll => return Ok((Some(polled), compared)),
                gone = finished(&mut self.comparing) => {
                    self.comparing = None;
                    let found = gone.as_ref().is_ok_and(|gone| !gone.is_empty());
                    compared = Some(gone);
                    if found {
                        // The poll is made again, with the same token.
                        return Ok((None, compared));
                    }
                }
                () = &mut silence => return Err(LinkError::Unreachable("the pool says nothing".to_owned())),
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
        if applied.pool_changed || full {
            self.note_pool(pool_id);
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
        // One that is down does not hold it any more: what it has published is ours from here on.
        for (other, link) in links.iter_mut() {
            if *other != self.id && link.pool.is_some() && link.state.pool_id.as_ref() == Some(pool_id) {
                tracing::warn!(server = %self.id, %other, pool = %pool_id, "takes the pool over from a link that is down");
                link.pool = None;
                self.shared.inventory.withdraw(link.source);
            }
        }
        // Removed meanwhile: nobody would ever end this driver again.
        let link = links.get_mut(&self.id).ok_or(LinkError::Stopped)?;
        link.state.pool_id = Some(pool_id.clone());
        link.state.last_event = Some(now_ms());
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
    fn note_pool(&self, pool_id: &Arc<str>) {
        let (label, description, master) = self.records.pool_name();
        let members = self.records.members();
        self.shared.set_state(&self.id, |state| state.master = master);
        let (shared, id, pool_id) = (self.shared.clone(), self.id.clone(), pool_id.to_string());
        // Beside the pool's events: a store that hangs does not hold them up.
        self.shared.tracker.spawn(async move {
            let noted = pool_id.clone();
            let kept = shared
                .amend(&id, move |record| {
                    record.pool_id = Some(noted);
                    record.pool_name_label = label;
                    record.pool_name_description = description;
                    record.pool_members_addresses = Some(members.keys().cloned().collect());
                    record.pool_members_fingerprints = Some(members);
                })
                .await;
            if let Err(error) = kept {
                tracing::error!(server = %id, pool = %pool_id, %error, "the name of the pool could not be kept");
            }
        });
    }
}

/// What the comparison of messages has found, when there is one.
async fn finished(comparing: &mut Option<JoinHandle<Gone>>) -> Gone {
    match comparing {
        Some(comparing) => comparing
            .await
            .unwrap_or_else(|error| Err(CallError::Protocol(error.to_string()))),
        None => std::future::pending().await,
    }
}

/// Whether another link than `id` follows this pool. One that only remembers it, because it is down or was refused,
/// holds it no more after a while.
fn is_taken(links: &Links, id: &str, pool_id: &str) -> bool {
    links
        .iter()
        .any(|(other, link)| other != id && holds(link, pool_id))
}

fn holds(link: &Link, pool_id: &str) -> bool {
    let heard = link
        .state
        .last_event
        .is_some_and(|heard| now_ms() - heard < HOLDS_MS);
    let is_there = link.state.status == LinkStatus::Connected || heard;
    link.state.pool_id.as_deref() == Some(pool_id) && link.pool.is_some() && is_there
}
