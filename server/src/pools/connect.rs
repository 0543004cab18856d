//! Logging in to the master of a pool, whichever of its hosts that is now.
//!
//! The host that led the pool last comes first, then the registered one: each is the master, or names the one
//! that it follows. When they say nothing, the other hosts of the pool are asked, all at once, as they were known
//! when the pool was heard last. Who lets us wait is not waited for before the next ones are asked.

use super::{LinkError, Shared, fingerprint::FIRST_USE};
use crate::persist::records::ServerRecord;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{runtime::Handle, time::Instant};
use tokio_util::task::TaskTracker;
use xapi::{Client, Endpoint, tls::Trust};

const ORIGINATOR: &str = "xen-orchestra";
/// A host that says nothing for so long may be dead: the next ones are asked as well.
const HEDGE: Duration = Duration::from_secs(2);

/// A client that has logged in. `led` is the URL of the host that was the master last.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    id: &str,
    led: Option<&str>,
) -> Result<Arc<Client>, LinkError> {
    let record = shared
        .links()
        .get(id)
        .map(|link| link.record.clone())
        .ok_or(LinkError::Stopped)?;
    let members = record.pool_members_fingerprints.clone().unwrap_or_default();
    let search = Search {
        shared,
        registered: endpoint(shared, id, record).await?,
        members: &members,
        asked: Mutex::default(),
    };
    let registered = search.registered.url.clone();
    let others = members
        .keys()
        .filter_map(|address| Endpoint::on_host(&registered, address));
    let led = led.filter(|led| *led != registered).map(str::to_owned);
    let mut stages = [
        led.into_iter().collect(),
        vec![registered.clone()],
        others.collect(),
    ]
    .into_iter()
    .filter(|stage: &Vec<String>| !stage.is_empty());
    let mut running = FuturesUnordered::new();
    let mut failed = BTreeMap::new();
    let hedge = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(hedge);
    let mut more = true;
    loop {
        tokio::select! {
            Some((url, result)) = running.next(), if !running.is_empty() => match result {
                Ok(client) => return Ok(client),
                Err(Failed::With(error)) => {
                    tracing::debug!(server = %id, %url, %error, "no help from this host");
                    // What the registered host says of ourselves counts, whatever others would say.
                    if url == registered && !matches!(error, LinkError::Unreachable(_) | LinkError::Fault(_)) {
                        return Err(error);
                    }
                    failed.insert(url, error);
                }
                Err(Failed::AskedAlready) => {}
            },
            () = &mut hedge, if more => {
                match stages.next() {
                    Some(urls) => running.extend(urls.into_iter().map(|url| async {
                        let result = search.log_in(&url).await;
                        (url, result)
                    })),
                    None => more = false,
                }
                hedge.as_mut().reset(Instant::now() + HEDGE);
                continue;
            }
            else => break,
        }
        if running.is_empty() && more {
            hedge.as_mut().reset(Instant::now());
        }
    }
    let first = failed.remove(&registered).or_else(|| failed.into_values().next());
    Err(first.unwrap_or_else(|| LinkError::Unreachable("no host of the pool answers".to_owned())))
}

struct Search<'a> {
    shared: &'a Shared,
    registered: Endpoint,
    /// Hosts of the pool, with the fingerprints of their certificates as the pool itself told them.
    members: &'a BTreeMap<String, String>,
    /// Hosts that were asked, with how that ended.
    asked: Mutex<BTreeMap<String, Option<LinkError>>>,
}

/// Why a host was of no help.
enum Failed {
    With(LinkError),
    /// Somebody else is told what it says.
    AskedAlready,
}

impl Search<'_> {
    /// Logs in to this host, or to the master that it names.
    async fn log_in(&self, url: &str) -> Result<Arc<Client>, Failed> {
        let mut url = url.to_owned();
        // A supporter names its master; a second answer of that kind is a pool in trouble.
        for _ in 0..2 {
            match self.asked().entry(url.clone()) {
                Entry::Vacant(place) => drop(place.insert(None)),
                Entry::Occupied(place) => {
                    let error = place.get().clone();
                    return Err(error.map_or(Failed::AskedAlready, Failed::With));
                }
            }
            let error = match self.ask(&url).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            self.asked().insert(url.clone(), Some(error.clone()));
            match error {
                LinkError::Fault(fault) if fault.is("HOST_IS_SLAVE") => {
                    let master = Endpoint::on_host(&url, fault.param(0));
                    url = master.ok_or(Failed::With(LinkError::Fault(fault)))?;
                }
                error => return Err(Failed::With(error)),
            }
        }
        Err(Failed::With(LinkError::Unreachable(
            "the host and its master each say that the other is the master".to_owned(),
        )))
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<String, Option<LinkError>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, url: &str) -> Result<Arc<Client>, LinkError> {
        let trust = self.trust(url).ok_or_else(|| LinkError::Untrusted {
            reason: format!(
                "this is not the master, and the certificate of {url} is not known: register that host"
            ),
            fingerprint: None,
        })?;
        let endpoint = Endpoint {
            url: url.to_owned(),
            trust,
            ..self.registered.clone()
        };
        let client = Client::new(endpoint).map_err(LinkError::from_call)?;
        let mut unwanted = Unwanted {
            client: Some(client.clone()),
            tracker: self.shared.tracker.clone(),
        };
        match client.login().await.map_err(LinkError::from_call) {
            Ok(()) => {
                unwanted.client = None;
                Ok(client)
            }
            // People look at the host that they registered: they must be told that it is another one.
            Err(LinkError::Untrusted { reason, fingerprint }) if url != self.registered.url => {
                Err(LinkError::Untrusted {
                    reason: format!("{url}, another host of the pool: {reason}"),
                    fingerprint,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Each host has a certificate of its own: a pin is good for one of them.
    fn trust(&self, url: &str) -> Option<Trust> {
        let registered = &self.registered;
        if url == registered.url || !matches!(registered.trust, Trust::Pinned(_)) {
            return Some(registered.trust.clone());
        }
        let known = self
            .members
            .iter()
            .find(|(address, _)| Endpoint::on_host(&registered.url, address).as_deref() == Some(url));
        let (_, fingerprint) = known.filter(|(_, fingerprint)| !fingerprint.is_empty())?;
        Some(Trust::Pinned(fingerprint.clone()))
    }
}

/// A client whose login nobody waits for any more: the session that it may have by then is ended.
struct Unwanted {
    client: Option<Arc<Client>>,
    tracker: TaskTracker,
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        // Without a runtime the program ends, and the session with its host's patience.
        if let (Some(client), Ok(runtime)) = (self.client.take(), Handle::try_current()) {
            self.tracker
                .spawn_on(async move { client.logout().await }, &runtime);
        }
    }
}

/// How the registered host is reached; learns its certificate where it is to be trusted at first use.
async fn endpoint(shared: &Arc<Shared>, id: &str, record: ServerRecord) -> Result<Endpoint, LinkError> {
    let invalid = |error: xapi::InvalidHost| LinkError::Unreachable(error.to_string());
    let mut endpoint = Endpoint {
        url: Endpoint::parse_url(&record.host).map_err(invalid)?,
        password: shared
            .secrets
            .unseal(&record.sealed_password)
            .ok_or(LinkError::Unsealable)?,
        user: record.username,
        trust: Trust::Authorities,
        proxy: match &record.sealed_http_proxy {
            Some(sealed) => Some(shared.secrets.unseal(sealed).ok_or(LinkError::Unsealable)?),
            None => None,
        },
        originator: ORIGINATOR.to_owned(),
    };
    endpoint.trust = match record.fingerprint.as_deref() {
        _ if record.allow_unauthorized => Trust::Anyone,
        None => Trust::Authorities,
        Some(FIRST_USE) if endpoint.url.starts_with("https") => {
            let met = Client::new(Endpoint {
                trust: Trust::Anyone,
                ..endpoint.clone()
            })
            .map_err(LinkError::from_call)?
            .meet()
            .await
            .map_err(LinkError::from_call)?;
            let kept = shared
                .amend(id, {
                    let met = met.clone();
                    move |record| record.fingerprint = Some(met)
                })
                .await;
            kept.map_err(|error| LinkError::Unreachable(error.to_string()))?;
            Trust::Pinned(met)
        }
        Some(FIRST_USE) => Trust::Authorities,
        Some(fingerprint) => Trust::Pinned(fingerprint.to_owned()),
    };
    Ok(endpoint)
}
