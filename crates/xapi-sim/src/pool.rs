//! The life of one simulated pool: its configuration, what its parts share, its start and its end.

pub mod libraries;
pub mod members;
mod misbehave;
pub mod neighbours;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::libraries::Libraries;
use self::members::{Machine, Member, Members};
use crate::churn::{self, ChurnKind};
use crate::db::Db;
use crate::faults::{Faults, HostFaults, Met};
use crate::http::{Limits, tls::Identity};
use crate::model::model;
use crate::rpc::legacy_events::Registrations;
use crate::rpc::rbac::{self, User};
use crate::rpc::{sessions, tasks};
use crate::wire::Wire;
use crate::world;

/// So often a pool on any free port looks for one that is free at all its hosts' addresses.
const PORTS_TRIED: usize = 50;

/// So often old tasks and idle sessions are looked for.
const COLLECT_EVERY: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct PoolConfig {
    pub name: String,
    pub hosts: usize,
    pub vms: usize,
    /// Tasks that are there from the start: running ones that get no further, and ended ones.
    pub tasks: usize,
    /// The same seed gives the same world.
    pub seed: u64,
    /// Changes per second that the world makes by itself; 0 = it rests.
    pub churn_per_second: f64,
    pub churn_kind: ChurnKind,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub tls: bool,
    /// With `tls`: each host has a certificate of its own, as real ones have; else one serves all of a pool.
    pub own_certificates: bool,
    /// False = an old host: `POST /jsonrpc` is answered as XML-RPC.
    pub json_rpc: bool,
    pub user: String,
    pub password: String,
    /// People beside root, with roles.
    pub users: Vec<User>,
    /// A freshly installed host: no guests, no shared storage, no bonds - one that can join a pool.
    pub fresh: bool,
    /// Duration of operations: 1.0 = realistic seconds, 0.0 = immediate.
    pub time_scale: f64,
    /// How long `event.from` gathers changes before it answers.
    pub batch_ms: u64,
    /// What each host gives at most to those who connect.
    pub limits: Limits,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig {
            name: "Sim".to_owned(),
            hosts: 2,
            vms: 10,
            tasks: 0,
            seed: 1,
            churn_per_second: 0.0,
            churn_kind: ChurnKind::Mixed,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: false,
            own_certificates: false,
            json_rpc: true,
            user: "root".to_owned(),
            password: "password".to_owned(),
            users: Vec::new(),
            fresh: false,
            time_scale: 1.0,
            batch_ms: 50,
            limits: Limits::default(),
        }
    }
}

/// What all connections and operations of a pool share.
pub struct Shared {
    pub config: PoolConfig,
    pub registrations: Registrations,
    pub members: Members,
    address: SocketAddr,
    db: Mutex<Db>,
    changes: watch::Sender<u64>,
    faults: Faults,
    pub host_faults: HostFaults,
    /// Nobody listens, whichever hosts are up.
    refusing: AtomicBool,
    calls: Mutex<BTreeMap<String, u64>>,
    connections_accepted: AtomicU64,
    churn: watch::Sender<f64>,
    shutdown: CancellationToken,
    /// Work that must not begin before the answer of its call is written, such as cutting that connection.
    afterwards: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    /// The pool that the (only) host of this one has joined, and its number there.
    joined: RwLock<Option<(Arc<Shared>, usize)>>,
    /// Sessions of `slave_local_login`: for emergencies, known to no database.
    local_sessions: Mutex<BTreeSet<String>>,
    libraries: Libraries,
    /// The pools that hosts of this one became which were ejected.
    ejected: Mutex<Vec<SimPool>>,
}

/// What a pool was asked so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub connections: u64,
    /// Calls per method name.
    pub calls: BTreeMap<String, u64>,
}

impl Stats {
    pub fn calls_of(&self, method: &str) -> u64 {
        self.calls.get(method).copied().unwrap_or_default()
    }
}

impl Shared {
    fn new(config: PoolConfig, address: SocketAddr, db: Db, libraries: Libraries) -> Shared {
        Shared {
            registrations: Registrations::default(),
            members: Members::default(),
            address,
            changes: watch::Sender::new(db.generation()),
            db: Mutex::new(db),
            faults: Faults::new(config.seed),
            host_faults: HostFaults::default(),
            refusing: AtomicBool::new(false),
            calls: Mutex::default(),
            connections_accepted: AtomicU64::new(0),
            churn: watch::Sender::new(config.churn_per_second),
            shutdown: CancellationToken::new(),
            afterwards: Mutex::default(),
            joined: RwLock::default(),
            local_sessions: Mutex::default(),
            libraries,
            ejected: Mutex::default(),
            config,
        }
    }

    pub fn db(&self) -> MutexGuard<'_, Db> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the database, then wakes those who wait for events.
    pub fn write<T>(&self, change: impl FnOnce(&mut Db) -> T) -> T {
        let (result, generation) = {
            let mut db = self.db();
            let result = change(&mut db);
            (result, db.generation())
        };
        self.changes
            .send_if_modified(|known| std::mem::replace(known, generation) != generation);
        result
    }

    /// Removes old tasks and idle sessions.
    pub fn collect(&self) {
        self.write(|db| {
            tasks::collect(db);
            sessions::collect(db);
        });
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Follows the configured rate of the world's own changes.
    pub fn churn_rate(&self) -> watch::Receiver<f64> {
        self.churn.subscribe()
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What a request to that host meets.
    pub fn met(&self, host: usize) -> Met<'_> {
        Met::new(&self.faults, &self.host_faults, host)
    }

    /// Where the first host listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, address: SocketAddr) -> String {
        let scheme = if self.config.tls { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    pub fn count_call(&self, method: &str) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.get_mut(method) {
            Some(count) => *count += 1,
            None => drop(calls.insert(method.to_owned(), 1)),
        }
    }

    fn count_connection(&self) {
        self.connections_accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs something of the pool's own until it ends or the pool stops.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(work).await })
    }

    pub fn is_stopped(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    pub fn afterwards(&self, work: impl FnOnce() + Send + 'static) {
        self.afterwards
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(work));
    }

    /// An answer is written (or a task is finished): what waited for that.
    pub fn run_afterwards(&self) {
        let waiting = std::mem::take(&mut *self.afterwards.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(|work| work());
    }

    pub fn local_sessions(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.local_sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool that answers for what arrives at that machine, and the machine's number there.
    pub fn route(self: &Arc<Shared>, at: usize) -> (Arc<Shared>, usize) {
        let joined = self.joined.read().unwrap_or_else(PoisonError::into_inner);
        match &*joined {
            Some((pool, number)) => (pool.clone(), *number),
            None => (self.clone(), at),
        }
    }

    /// A host that was ejected begins again at its address, with an empty database of its own.
    pub async fn start_anew(&self, at: usize) {
        let address = {
            let mut members = self.members.lock();
            members.get_mut(at).and_then(|machine| machine.address.take())
        };
        let Some(listen) = address else { return };
        let config = PoolConfig {
            seed: self.config.seed.wrapping_mul(1000).wrapping_add(at as u64),
            listen,
            fresh: true,
            tasks: 0,
            churn_per_second: 0.0,
            users: Vec::new(),
            ..self.config.clone()
        };
        // Boxed, for a pool can eject what was ejected from another.
        let starting: Pin<Box<dyn Future<Output = anyhow::Result<SimPool>> + Send>> =
            Box::pin(SimPool::start(config));
        match starting.await {
            Ok(pool) => self
                .ejected
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(pool),
            Err(error) => tracing::warn!(%listen, %error, "an ejected host does not start"),
        }
    }

    /// From now on this pool's only host belongs to another pool.
    pub fn join(&self, joined: Option<(Arc<Shared>, usize)>) {
        *self.joined.write().unwrap_or_else(PoisonError::into_inner) = joined;
    }
}

/// A running pool. Dropping the handle leaves it running until [`SimPool::stop`] or the end of the runtime.
#[derive(Clone)]
pub struct SimPool {
    shared: Arc<Shared>,
}

impl SimPool {
    /// Builds the world and listens.
    pub async fn start(config: PoolConfig) -> anyhow::Result<SimPool> {
        SimPool::start_with(config, None).await
    }

    /// Starts from records instead of a made-up world: `{ref: {"class": "VM", field: value, ...}, ...}`, as
    /// [`SimPool::dump`] gives them or as other tools saved them from real pools; [`crate::parse_records`] reads a file.
    pub async fn start_from(config: PoolConfig, records: &serde_json::Value) -> anyhow::Result<SimPool> {
        SimPool::start_with(config, Some(records)).await
    }

    async fn start_with(config: PoolConfig, records: Option<&serde_json::Value>) -> anyhow::Result<SimPool> {
        let config = match config.fresh {
            true => PoolConfig {
                hosts: 1,
                vms: 0,
                ..config
            },
            false => config,
        };
        let hosts = match records {
            Some(records) => world::load::hosts(records)?,
            None => config.hosts.max(1),
        };
        let listeners = bind(config.listen, hosts).await?;
        let address = listeners[0].1.local_addr()?;
        let identities = identities(&config, address, hosts)?;
        let prints: Vec<&str> = identities
            .iter()
            .map(|identity| &*identity.fingerprint_sha256)
            .collect();
        let mut db = Db::new(config.seed);
        let hosts = match records {
            Some(records) => world::load::build(&mut db, records, address)?,
            None => world::build(&mut db, &config, address, &prints),
        };
        rbac::seed(&mut db, &config.users);
        let machines = hosts.into_iter().enumerate().map(|(at, host)| {
            let ip = match at {
                0 => Some(address.ip()),
                at => world::supporter_address(address.ip(), at),
            };
            let own = ip.map(|ip| SocketAddr::new(ip, address.port()));
            Machine::new(host, own, identities.get(at).or(identities.first()).cloned())
        });
        let shared = Arc::new(Shared::new(config, address, db, Libraries::default()));
        shared.members.lock().extend(machines);
        shared.spawn(churn::run(shared.clone()));
        warm(shared.clone());
        shared.spawn(collect(shared.clone()));
        for (at, listener) in listeners {
            shared.attach(at, listener);
        }
        neighbours::register(address, &shared);
        Ok(SimPool { shared })
    }

    /// Where the first host listens: the master, until another one takes over.
    pub fn addr(&self) -> SocketAddr {
        self.shared.address
    }

    pub fn url(&self) -> String {
        self.shared.url(self.shared.address)
    }

    /// All hosts, the first one first.
    pub fn members(&self) -> Vec<Member> {
        self.shared.list_members()
    }

    /// Where the master listens now, if it has an address of its own.
    pub fn master_url(&self) -> Option<String> {
        let master = self.members().into_iter().find(|member| member.is_master)?;
        Some(self.shared.url(master.address?))
    }

    /// SHA-256 of the certificate of the first host, lower-case hex pairs with colons; `None` without TLS.
    pub fn fingerprint_sha256(&self) -> Option<String> {
        self.members().first()?.fingerprint_sha256.clone()
    }

    pub fn config(&self) -> &PoolConfig {
        &self.shared.config
    }

    pub fn stats(&self) -> Stats {
        Stats {
            connections: self.shared.connections_accepted.load(Ordering::Relaxed),
            calls: self
                .shared
                .calls
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// Looks at the database. Do not block inside: the pool waits.
    pub fn read<T>(&self, look: impl FnOnce(&Db) -> T) -> T {
        look(&self.shared.db())
    }

    /// Changes the database directly; relations follow and clients get their events.
    pub fn write<T>(&self, change: impl FnOnce(&mut Db) -> T) -> T {
        self.shared.write(change)
    }

    /// All records, `{ref: {"class": "VM", field: value, ...}, ...}`; sessions are left out.
    pub fn dump(&self) -> serde_json::Value {
        world::load::dump(&self.shared.db())
    }

    /// Removes old tasks and idle sessions now, as happens every half minute.
    pub fn collect_garbage(&self) {
        self.shared.collect();
    }

    pub fn set_churn(&self, changes_per_second: f64) {
        self.shared.churn.send_replace(changes_per_second);
    }

    /// The pools that ejected hosts of this one are now, each alone at the address where it was. They end with it.
    pub fn ejected(&self) -> Vec<SimPool> {
        let ejected = self.shared.ejected.lock();
        ejected.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops listening, cuts all connections, ends all work.
    pub async fn stop(&self) {
        for pool in self.ejected() {
            Box::pin(pool.stop()).await;
        }
        // Closing an already closed listener cannot fail.
        let _ = self.set_listening(false).await;
        self.shared.shutdown.cancel();
        self.cut_connections();
    }
}

/// Listens for the first host, and for the others where the network has addresses for them: the loopback one.
async fn bind(wanted: SocketAddr, hosts: usize) -> anyhow::Result<Vec<(usize, TcpListener)>> {
    for _ in 1..PORTS_TRIED {
        let first = TcpListener::bind(wanted).await;
        let first = first.with_context(|| format!("cannot listen on {wanted}"))?;
        let address = first.local_addr()?;
        let mut listeners = vec![(0, first)];
        let mut complete = true;
        for at in 1..hosts {
            let Some(ip) = world::supporter_address(address.ip(), at) else {
                break;
            };
            match TcpListener::bind((ip, address.port())).await {
                Ok(listener) => listeners.push((at, listener)),
                Err(error) => {
                    complete = false;
                    // The pool is usable without: clients see a host that does not answer.
                    if wanted.port() != 0 {
                        tracing::warn!(%ip, %error, "a supporter does not listen");
                    }
                }
            }
        }
        if complete || wanted.port() != 0 {
            return Ok(listeners);
        }
    }
    anyhow::bail!("no port is free at the addresses of all hosts")
}

/// One certificate for all, or one for each; none without TLS.
fn identities(config: &PoolConfig, address: SocketAddr, hosts: usize) -> anyhow::Result<Vec<Arc<Identity>>> {
    let count = match (config.tls, config.own_certificates) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => hosts,
    };
    let ip = |at: usize| match at {
        0 => address.ip(),
        at => world::supporter_address(address.ip(), at).unwrap_or(address.ip()),
    };
    (0..count)
        .map(|at| Identity::new(&ip(at).to_string()).map(Arc::new))
        .collect()
}

/// Looks for what has to go, again and again.
async fn collect(pool: Arc<Shared>) {
    let mut every = tokio::time::interval(COLLECT_EVERY);
    every.tick().await;
    loop {
        every.tick().await;
        pool.collect();
    }
}

/// Renders all records ahead of the first client, a few at a time.
fn warm(pool: Arc<Shared>) {
    const AT_A_TIME: usize = 200;
    let wire = if pool.config.json_rpc {
        Wire::Json
    } else {
        Wire::Xml
    };
    tokio::task::spawn_blocking(move || {
        for class in &model().classes {
            // Bound first: in the loop's head the lock would be held all through the loop.
            let all = pool.db().refs(&class.name);
            for references in all.chunks(AT_A_TIME) {
                if pool.shutdown.is_cancelled() {
                    return;
                }
                let db = pool.db();
                for reference in references {
                    // It may have gone meanwhile.
                    let _ = db.row(class, reference).map(|row| row.render(class, wire));
                }
            }
        }
    });
}
