//! Logging in to the master of a pool, whichever of its hosts that is now.
//!
//! The host that led the pool last comes first, then the registered one: each is the master, or names the one
//! that it follows. When they say nothing, the other hosts of the pool are asked, all at once, as they were known
//! when the pool was heard last. Who lets us wait is not waited for before the next ones are asked.

use super::{
    LinkError, Shared,
    fingerprint::{self, FIRST_USE},
};
use crate::persist::records::ServerRecord;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::Value;
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
/// Hosts that named one that lets us wait are asked again after so long.
const AGAIN: Duration = Duration::from_secs(3);
/// A login without an answer is made again beside the first so often in the time that it is waited for: the answer may be lost,
/// and the connection not know it.
const OFTEN: u32 = 4;
/// A host that says that it leads the pool, and that no other host names, is believed after so much more silence.
const CLAIM: Duration = Duration::from_millis(1_500);
/// For the question which pool it is.
const ASKING: Duration = Duration::from_secs(15);

/// What is expected to be found.
pub(super) struct Expected<'a> {
    /// URL of the host that was the master last.
    pub(super) led: Option<&'a str>,
    /// Objects of the pool are published: it is not given up for another one before its silence is too long.
    pub(super) is_published: bool,
    /// A login that takes longer is not waited for.
    pub(super) patience: Duration,
    /// The host that leads the pool as far as is known, and lets us wait. It is not asked: the others are, until one of
    /// them is the master.
    pub(super) silent: Option<&'a Silent>,
}

/// A host of which nothing is heard.
pub(super) struct Silent {
    pub(super) url: String,
    /// Its reference: it may have other addresses, under which it is still the same.
    pub(super) host: Option<String>,
}

/// To whom a host leads, as far as that is clear before everything is listed.
pub(super) struct Found {
    pub(super) pool: Option<String>,
    /// Reference of the master.
    pub(super) master: Option<String>,
}

/// A client that has logged in, and its pool: the one that is expected; or, when no host leads there any more, to the one to
/// which the hosts lead now.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    id: &str,
    expected: Expected<'_>,
) -> Result<(Arc<Client>, Found), LinkError> {
    let record = shared
        .links()
        .get(id)
        .map(|link| link.record.clone())
        .ok_or(LinkError::Stopped)?;
    let members = record.pool_members_fingerprints.clone().unwrap_or_default();
    let pool_id = record.pool_id.clone();
    let search = Search {
        shared,
        registered: endpoint(shared, id, record).await?,
        members: &members,
        patience: expected.patience,
        asked: Mutex::default(),
        named: Mutex::default(),
    };
    let registered = search.registered.url.clone();
    let led = expected.led.filter(|led| *led != registered).map(str::to_owned);
    let mut others: Vec<String> = members
        .keys()
        .filter_map(|address| Endpoint::on_host(&registered, address))
        .collect();
    others.retain(|url| *url != registered && Some(url) != led.as_ref());
    let mut stages = [led.into_iter().collect(), vec![registered.clone()], others];
    for stage in &mut stages {
        stage.retain(|url| expected.silent.is_none_or(|silent| *url != silent.url));
    }
    let mut stages = stages.into_iter().filter(|stage: &Vec<String>| !stage.is_empty());
    let ask = |url: String, first: bool| -> BoxFuture<(String, bool, LoggedIn)> {
        let search = &search;
        Box::pin(async move {
            let result = search.log_in(&url).await;
            (url, first, result)
        })
    };
    let mut running: FuturesUnordered<BoxFuture<(String, bool, LoggedIn)>> = FuturesUnordered::new();
    // Of those that are asked for the first time. When they have all answered, or not, the others are not waited for:
    // beside a silent master, they always are.
    let mut first_asked = 0;
    if let Some(silent) = expected.silent {
        search.asked().insert(silent.url.clone(), None);
        running.push(Box::pin(std::future::pending()));
        first_asked += 1;
    }
    // Who says that it leads in place of the silent one, until it is believed.
    let mut claimant: Option<(Unwanted, Found)> = None;
    let claimed = tokio::time::sleep(CLAIM);
    tokio::pin!(claimed);
    let (mut failed, mut stranger, mut supporters) = (BTreeMap::new(), None, Vec::new());
    let (hedge, again) = (tokio::time::sleep(Duration::ZERO), tokio::time::sleep(AGAIN));
    tokio::pin!(hedge, again);
    let mut more = true;
    loop {
        tokio::select! {
            Some((url, first, result)) = running.next(), if first_asked > 0 => {
                first_asked -= usize::from(first);
                match result {
                    Ok((client, found)) if let Some(silent) = expected.silent => {
                        // The same host under another address is as silent as it was, whatever it says to this.
                        let other = found.master.is_some() && found.master != silent.host;
                        if other && found.pool == pool_id {
                            claimed.as_mut().reset(Instant::now() + CLAIM);
                            claimant = Some((client, found));
                        }
                    }
                    Ok((client, found))
                        if pool_id.is_none() || found.pool.is_none() || found.pool == pool_id =>
                    {
                        return Ok((client.take(), found));
                    }
                    Ok((client, found)) => {
                        tracing::warn!(server = %id, %url, "this host belongs to another pool now");
                        // The others that come log out.
                        stranger.get_or_insert((url, client, found));
                    }
                    Err(Failed::With(error)) => {
                        tracing::debug!(server = %id, %url, %error, "no help from this host");
                        // What the registered host says of ourselves, others need not be asked; those that are may know better.
                        more &= url != registered || !is_about_us(&error);
                        failed.insert(url, error);
                    }
                    Err(Failed::AskedAlready) => supporters.push(url),
                }
            }
            () = &mut hedge, if more => {
                match stages.next() {
                    Some(urls) => {
                        first_asked += urls.len();
                        running.extend(urls.into_iter().map(|url| ask(url, true)));
                    }
                    None => more = false,
                }
                hedge.as_mut().reset(Instant::now() + HEDGE);
                continue;
            }
            // Somebody lets us wait: by now, those who named it may know of another master; and what kept one from
            // answering, the restart of its toolstack above all, may be over.
            () = &mut again, if first_asked > 0 => {
                let mut urls = std::mem::take(&mut supporters);
                let passing = failed.extract_if(.., |_, error| !is_definite(error));
                urls.extend(passing.map(|(url, _)| url));
                search.asked().retain(|_, outcome| outcome.is_none());
                for url in urls {
                    search.forget(&url);
                    running.push(ask(url, false));
                }
                again.as_mut().reset(Instant::now() + AGAIN);
                continue;
            }
            () = &mut claimed, if claimant.is_some() => {
                claimed.as_mut().reset(Instant::now() + CLAIM);
                let unopposed = |(client, _): &(Unwanted, Found)| search.vote(client).is_none();
                if let Some((client, found)) = claimant.take_if(|claimant| unopposed(claimant)) {
                    return Ok((client.take(), found));
                }
            }
            else => break,
        }
        let elected = |(client, _): &(Unwanted, Found)| search.vote(client) == Some(true);
        if let Some((client, found)) = claimant.take_if(|claimant| elected(claimant)) {
            return Ok((client.take(), found));
        }
        if first_asked == 0 && more {
            hedge.as_mut().reset(Instant::now());
        }
    }
    if let Some((url, client, found)) = stranger {
        // What is known of the pool is not given up because one of its hosts has left it while the others are away.
        if !expected.is_published || failed.is_empty() {
            return Ok((client.take(), found));
        }
        return Err(LinkError::Unreachable(format!(
            "{url} belongs to another pool now, and no host of the pool before answers"
        )));
    }
    let mut errors = failed.remove(&registered).into_iter().chain(failed.into_values());
    let first = errors.next();
    // People can do something about a certificate, not about a host that is down.
    let telling = match &first {
        Some(error) if is_definite(error) => None,
        _ => errors.find(|error| matches!(error, LinkError::Untrusted { .. })),
    };
    let unanswered = || LinkError::Unreachable("no host of the pool answers".to_owned());
    Err(telling.or(first).unwrap_or_else(unanswered))
}

/// Looks for another master beside a link whose host lets us wait, until that is given up.
pub(super) async fn another_master(
    shared: Arc<Shared>,
    id: String,
    silent: Silent,
    overdue: Duration,
) -> (Arc<Client>, Found) {
    tokio::time::sleep(overdue).await;
    let expected = Expected {
        led: None,
        is_published: true,
        patience: ASKING,
        silent: Some(&silent),
    };
    match connect(&shared, &id, expected).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(server = %id, %error, "no other master can be looked for");
            std::future::pending().await
        }
    }
}

/// Whether any other host would say the same.
fn is_about_us(error: &LinkError) -> bool {
    is_definite(error) && !matches!(error, LinkError::Untrusted { .. })
}

/// Whether it is about us or the registration, and not about the host of the moment.
fn is_definite(error: &LinkError) -> bool {
    !matches!(error, LinkError::Unreachable(_) | LinkError::Fault(_))
}

async fn pool_of(client: &Arc<Client>) -> Result<Found, LinkError> {
    let answer = client.call_unqueued("pool.get_all_records", &[], ASKING).await;
    let answer = answer.map_err(LinkError::from_call)?;
    let pools: BTreeMap<String, Value> = answer.parse().map_err(LinkError::from_call)?;
    let first = pools.into_values().next().unwrap_or_default();
    let text = |field: &str| first[field].as_str().map(str::to_owned);
    Ok(Found {
        pool: text("uuid"),
        master: text("master"),
    })
}

struct Search<'a> {
    shared: &'a Shared,
    registered: Endpoint,
    /// Hosts of the pool, with the fingerprints of their certificates as the pool itself told them.
    members: &'a BTreeMap<String, String>,
    patience: Duration,
    /// Hosts that were asked, with how that ended.
    asked: Mutex<BTreeMap<String, Option<LinkError>>>,
    /// Which host each of them named as its master.
    named: Mutex<BTreeMap<String, String>>,
}

/// A client and to whom it leads.
type LoggedIn = Result<(Unwanted, Found), Failed>;

/// Why a host was of no help.
enum Failed {
    With(LinkError),
    /// Somebody else is told what it says.
    AskedAlready,
}

impl Search<'_> {
    /// Logs in to this host, or to the master that it names; tells the pool, too.
    async fn log_in(&self, url: &str) -> LoggedIn {
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
                Ok(client) => {
                    self.named().remove(&url);
                    return Ok(client);
                }
                Err(error) => error,
            };
            self.asked().insert(url.clone(), Some(error.clone()));
            match error {
                LinkError::Fault(fault) if fault.is("HOST_IS_SLAVE") => {
                    let master = Endpoint::on_host(&url, fault.param(0));
                    let master = master.ok_or(Failed::With(LinkError::Fault(fault)))?;
                    self.named().insert(url, master.clone());
                    url = master;
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

    fn named(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It may be asked again; what it said holds until then.
    fn forget(&self, url: &str) {
        self.asked().remove(url);
    }

    /// Whether the other hosts say that this one leads; `None` when they say nothing.
    fn vote(&self, client: &Unwanted) -> Option<bool> {
        let named = self.named();
        let its = &client.client.endpoint().url;
        let leads = named.values().any(|url| url == its);
        (!named.is_empty()).then_some(leads)
    }

    async fn ask(&self, url: &str) -> Result<(Unwanted, Found), LinkError> {
        let first = self.ask_once(url);
        tokio::pin!(first);
        // Each of them is a session, once the host goes on; where logins were too slow before, it may be that it does them
        // one after the other.
        let lost = self.patience / if self.patience > ASKING { 2 } else { OFTEN };
        loop {
            let again = async {
                tokio::time::sleep(lost).await;
                tokio::time::timeout(lost, self.ask_once(url)).await
            };
            tokio::select! {
                // A refusal within that time is one.
                answer = &mut first => return answer,
                answer = again => match answer {
                    Ok(Err(LinkError::Unreachable(_))) | Err(_) => {}
                    Ok(answer) => return answer,
                },
            }
        }
    }

    async fn ask_once(&self, url: &str) -> Result<(Unwanted, Found), LinkError> {
        let mut trusts = self.trusts(url).into_iter();
        let trust = trusts.next().ok_or_else(|| LinkError::Untrusted {
            reason: format!(
                "this is not the master, and the certificate of {url} is not known: register that host"
            ),
            fingerprint: None,
        })?;
        match (self.log_in_with(url, trust).await, trusts.next()) {
            (Err(LinkError::Untrusted { .. }), Some(renewed)) => self.log_in_with(url, renewed).await,
            (answer, _) => answer,
        }
    }

    async fn log_in_with(&self, url: &str, trust: Trust) -> Result<(Unwanted, Found), LinkError> {
        let endpoint = Endpoint {
            url: url.to_owned(),
            trust,
            ..self.registered.clone()
        };
        let client = Client::new(endpoint).map_err(LinkError::from_call)?;
        let unwanted = Unwanted {
            client: client.clone(),
            tracker: self.shared.tracker.clone(),
            is_wanted: false,
        };
        match client.login(self.patience).await.map_err(LinkError::from_call) {
            Ok(()) => {
                let pool = pool_of(&client).await?;
                Ok((unwanted, pool))
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

    /// Each host has a certificate of its own: a pin is good for one of them. The registered one may have got another since
    /// it was pinned, and its pool may have told so.
    fn trusts(&self, url: &str) -> Vec<Trust> {
        let registered = &self.registered;
        if !matches!(registered.trust, Trust::Pinned(_)) {
            return vec![registered.trust.clone()];
        }
        let pinned = (url == registered.url).then(|| registered.trust.clone());
        let told = fingerprint::of_member(self.members, &registered.url, url).map(Trust::Pinned);
        let told = told.filter(|told| Some(told) != pinned.as_ref());
        pinned.into_iter().chain(told).collect()
    }
}

/// A client that nobody wants yet, or any more: the session that it has, or may have by then, is ended.
struct Unwanted {
    client: Arc<Client>,
    tracker: TaskTracker,
    is_wanted: bool,
}

impl Unwanted {
    /// Somebody wants it.
    fn take(mut self) -> Arc<Client> {
        self.is_wanted = true;
        self.client.clone()
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        // Without a runtime the program ends, and the session with its host's patience.
        if !self.is_wanted
            && let Ok(runtime) = Handle::try_current()
        {
            let client = self.client.clone();
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
