//! The life of one simulated pool: its configuration, its listener, its connections, its end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::churn::{self, ChurnKind};
use crate::db::Db;
use crate::faults::Faults;
use crate::http;
use crate::http::tls::Identity;
use crate::model::model;
use crate::rpc::legacy_events::Registrations;
use crate::wire::Wire;
use crate::world;

#[derive(Clone, Debug)]
pub struct PoolConfig {
    pub name: String,
    pub hosts: usize,
    pub vms: usize,
    /// The same seed gives the same world.
    pub seed: u64,
    /// Changes per second that the world makes by itself; 0 = it rests.
    pub churn_per_second: f64,
    pub churn_kind: ChurnKind,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub tls: bool,
    /// False = an old host: `POST /jsonrpc` is answered as XML-RPC.
    pub json_rpc: bool,
    pub user: String,
    pub password: String,
    /// Duration of operations: 1.0 = realistic seconds, 0.0 = immediate.
    pub time_scale: f64,
    /// How long `event.from` gathers changes before it answers.
    pub batch_ms: u64,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig {
            name: "Sim".to_owned(),
            hosts: 2,
            vms: 10,
            seed: 1,
            churn_per_second: 0.0,
            churn_kind: ChurnKind::Mixed,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: false,
            json_rpc: true,
            user: "root".to_owned(),
            password: "password".to_owned(),
            time_scale: 1.0,
            batch_ms: 50,
        }
    }
}

/// What all connections and operations of a pool share.
pub struct Shared {
    pub config: PoolConfig,
    pub registrations: Registrations,
    db: Mutex<Db>,
    changes: watch::Sender<u64>,
    faults: Faults,
    calls: Mutex<BTreeMap<String, u64>>,
    connections_accepted: AtomicU64,
    connections: Mutex<CancellationToken>,
    churn: watch::Sender<f64>,
    shutdown: CancellationToken,
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

    pub fn count_call(&self, method: &str) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.get_mut(method) {
            Some(count) => *count += 1,
            None => drop(calls.insert(method.to_owned(), 1)),
        }
    }

    /// Runs something of the pool's own until it ends or the pool stops.
    pub fn spawn<F>(&self, work: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(work).await })
    }

    fn connection_token(&self) -> CancellationToken {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A running pool. Dropping the handle leaves it running until [`SimPool::stop`] or the end of the runtime.
pub struct SimPool {
    shared: Arc<Shared>,
    address: SocketAddr,
    identity: Option<Identity>,
    /// One per host that has an address of its own; none while the pool does not listen.
    listeners: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl SimPool {
    /// Builds the world and listens.
    pub async fn start(config: PoolConfig) -> anyhow::Result<SimPool> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let address = listener.local_addr()?;
        let identity = if config.tls {
            Some(Identity::new(&address.ip().to_string())?)
        } else {
            None
        };
        let mut db = Db::new(config.seed);
        world::build(
            &mut db,
            &config,
            address,
            identity.as_ref().map(|identity| &*identity.fingerprint_sha256),
        );
        let shared = Arc::new(Shared {
            registrations: Registrations::default(),
            changes: watch::Sender::new(db.generation()),
            db: Mutex::new(db),
            faults: Faults::default(),
            calls: Mutex::default(),
            connections_accepted: AtomicU64::new(0),
            connections: Mutex::default(),
            churn: watch::Sender::new(config.churn_per_second),
            shutdown: CancellationToken::new(),
            config,
        });
        shared.spawn(churn::run(shared.clone()));
        warm(shared.clone());
        let pool = SimPool {
            shared,
            address,
            identity,
            listeners: tokio::sync::Mutex::default(),
        };
        let mut running = vec![pool.listen(listener, 0)];
        running.extend(pool.listen_for_supporters().await);
        *pool.listeners.lock().await = running;
        Ok(pool)
    }

    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!(
            "{}://{}",
            if self.identity.is_some() { "https" } else { "http" },
            self.address
        )
    }

    /// SHA-256 of the certificate, lower-case hex pairs with colons; `None` without TLS.
    pub fn fingerprint_sha256(&self) -> Option<&str> {
        self.identity
            .as_ref()
            .map(|identity| &*identity.fingerprint_sha256)
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

    pub fn set_churn(&self, changes_per_second: f64) {
        self.shared.churn.send_replace(changes_per_second);
    }

    // ---- faults

    /// Cuts every open connection, whatever it is doing.
    pub fn cut_connections(&self) {
        let mut connections = self
            .shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *connections).cancel();
    }

    /// Ends all sessions: every caller, also a blocked `event.from`, gets SESSION_INVALID.
    pub fn expire_sessions(&self) {
        self.shared.write(|db| {
            for session in db.refs("session") {
                db.destroy("session", &session);
            }
        });
    }

    /// What a toolstack restart leaves: no sessions, no deletion history, no connections; generations go on.
    pub fn restart_toolstack(&self) {
        self.expire_sessions();
        self.shared.registrations.clear();
        self.shared.write(Db::forget_deletions);
        self.cut_connections();
    }

    /// `false` closes the listener (new connections are refused) and cuts the open ones; `true` listens again.
    pub async fn set_listening(&self, listening: bool) -> anyhow::Result<()> {
        let mut running = self.listeners.lock().await;
        if listening && running.is_empty() {
            let listener = TcpListener::bind(self.address).await?;
            running.push(self.listen(listener, 0));
            running.extend(self.listen_for_supporters().await);
        } else if !listening {
            for listener in running.drain(..) {
                listener.abort();
                let _ = listener.await;
            }
            self.cut_connections();
        }
        Ok(())
    }

    /// The next `count` deletions make no `del` event, as if the history had been pruned.
    pub fn drop_deletions(&self, count: usize) {
        self.shared.write(|db| db.silence_deletions(count));
    }

    /// Every answer waits that long.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.faults.set_latency(latency);
    }

    /// A black hole: connections are accepted, requests are read, answers never come - until switched off.
    pub fn set_black_hole(&self, frozen: bool) {
        self.shared.faults.freeze(frozen);
    }

    /// The next `count` requests are answered with HTTP 500.
    pub fn fail_requests(&self, count: usize) {
        self.shared.faults.fail_requests(count);
    }

    /// The next `count` answers stop in the middle of their body and the connection is closed.
    pub fn truncate_answers(&self, count: usize) {
        self.shared.faults.truncate_answers(count);
    }

    /// While set, logins answer HOST_IS_SLAVE with this address.
    pub fn set_slave_of(&self, master: Option<String>) {
        self.shared.faults.set_slave_of(master);
    }

    /// Stops listening, cuts all connections, ends all work.
    pub async fn stop(&self) {
        // Closing an already closed listener cannot fail.
        let _ = self.set_listening(false).await;
        self.shared.shutdown.cancel();
        self.cut_connections();
    }

    fn listen(&self, listener: TcpListener, host: usize) -> JoinHandle<()> {
        let shared = self.shared.clone();
        let tls = self.identity.as_ref().map(|identity| identity.acceptor.clone());
        tokio::spawn(accept(shared, listener, tls, host))
    }

    /// On the loopback network every host has an address, and answers there as a supporter does.
    async fn listen_for_supporters(&self) -> Vec<JoinHandle<()>> {
        let mut running = Vec::new();
        for host in 1..self.shared.config.hosts {
            let Some(ip) = world::supporter_address(self.address.ip(), host) else {
                break;
            };
            match TcpListener::bind((ip, self.address.port())).await {
                Ok(listener) => running.push(self.listen(listener, host)),
                // The pool is usable without: clients see a host that does not answer.
                Err(error) => tracing::warn!(%ip, %error, "a supporter does not listen"),
            }
        }
        running
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

async fn accept(shared: Arc<Shared>, listener: TcpListener, tls: Option<TlsAcceptor>, host: usize) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: waiting frees some.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Answers are written whole; waiting for more bytes only delays them.
        let _ = stream.set_nodelay(true);
        shared.connections_accepted.fetch_add(1, Ordering::Relaxed);
        let (cut, tls, pool) = (shared.connection_token(), tls.clone(), shared.clone());
        tokio::spawn(async move {
            let serve = async {
                match tls {
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => http::serve(stream, &pool, host).await,
                        Err(error) => tracing::debug!(%error, "TLS handshake failed"),
                    },
                    None => http::serve(stream, &pool, host).await,
                }
            };
            let _ = cut.run_until_cancelled(serve).await;
        });
    }
}
