//! The hosts of a pool as machines: each has an address of its own, a certificate, connections, and is up or down.
//! The master answers; the others say HOST_IS_SLAVE and where it is.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::db::Ref;
use crate::http::{self, tls::Identity};

/// So long the other hosts of a pool with high availability wait for a silent one, at time scale 1.
const HA_NOTICES_SECONDS: f64 = 60.0;

/// A host of a pool, as a client may address it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The record of class `host`.
    pub host: Ref,
    /// Where it listens; none when only its record exists.
    pub address: Option<SocketAddr>,
    pub is_master: bool,
    /// False after [`crate::SimPool::power_off`].
    pub is_up: bool,
    /// SHA-256 of its certificate, lower-case hex pairs with colons; none without TLS.
    pub fingerprint_sha256: Option<String>,
}

#[derive(Default)]
pub struct Members(Mutex<Vec<Machine>>);

pub struct Machine {
    pub host: Ref,
    pub address: Option<SocketAddr>,
    pub up: bool,
    pub identity: Option<Arc<Identity>>,
    pub listener: Option<JoinHandle<()>>,
    pub connections: CancellationToken,
    /// The pool that this host had before it joined: its listener is there.
    pub origin: Weak<Shared>,
    /// Whom it was told to take for the master, whoever is.
    pub believes: Option<String>,
}

impl Machine {
    pub fn new(host: Ref, address: Option<SocketAddr>, identity: Option<Arc<Identity>>) -> Machine {
        Machine {
            host,
            address,
            up: true,
            identity,
            listener: None,
            connections: CancellationToken::new(),
            origin: Weak::new(),
            believes: None,
        }
    }
}

impl Members {
    pub fn lock(&self) -> MutexGuard<'_, Vec<Machine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The host record of that machine.
    pub fn member(&self, at: usize) -> Option<Ref> {
        self.members.lock().get(at).map(|machine| machine.host.clone())
    }

    /// Whom a host takes for the master, when it was told to.
    pub fn believed(&self, at: usize) -> Option<String> {
        self.members
            .lock()
            .get(at)
            .and_then(|machine| machine.believes.clone())
    }

    /// A host is told who the master is; `None`: it asks the pool again.
    pub fn believe(&self, host: &str, master: Option<String>) {
        let mut members = self.members.lock();
        if let Some(machine) = members.iter_mut().find(|machine| *machine.host == *host) {
            machine.believes = master;
        }
    }

    /// Where that machine listens.
    pub fn list_address(&self, at: usize) -> Option<SocketAddr> {
        self.members.lock().get(at).and_then(|machine| machine.address)
    }

    pub fn is_up(&self, host: &str) -> bool {
        let members = self.members.lock();
        let machine = members.iter().find(|machine| *machine.host == *host);
        machine.is_none_or(|machine| machine.up)
    }

    pub fn index_of(&self, host: &str) -> Option<usize> {
        self.members
            .lock()
            .iter()
            .position(|machine| *machine.host == *host)
    }

    /// The certificate that a host shows; none without TLS.
    pub fn identity_of(&self, host: &str) -> Option<Arc<Identity>> {
        let members = self.members.lock();
        let machine = members.iter().find(|machine| *machine.host == *host)?;
        machine.identity.clone()
    }

    /// New connections to that host see another certificate.
    pub fn set_identity(&self, host: &str, identity: Identity) {
        let mut members = self.members.lock();
        if let Some(machine) = members.iter_mut().find(|machine| *machine.host == *host) {
            machine.identity = Some(Arc::new(identity));
        }
    }

    pub fn list_members(&self) -> Vec<Member> {
        let master = self.db().master();
        let members = self.members.lock();
        let members = members.iter().map(|machine| Member {
            is_master: *machine.host == *master,
            host: machine.host.clone(),
            address: machine.address,
            is_up: machine.up,
            fingerprint_sha256: machine
                .identity
                .as_ref()
                .map(|identity| identity.fingerprint_sha256.clone()),
        });
        members.collect()
    }

    /// Cuts the connections to one machine.
    pub fn cut_member(&self, at: usize) {
        let (cut, origin) = {
            let mut members = self.members.lock();
            let Some(machine) = members.get_mut(at) else {
                return;
            };
            (std::mem::take(&mut machine.connections), machine.origin.upgrade())
        };
        cut.cancel();
        if let Some(origin) = origin {
            origin.cut_own();
        }
    }

    /// Cuts all connections to this pool.
    pub fn cut_all(&self) {
        let count = self.members.lock().len();
        (0..count).for_each(|at| self.cut_member(at));
    }

    /// Cuts what its own listeners accepted.
    fn cut_own(&self) {
        let cut: Vec<_> = self
            .members
            .lock()
            .iter_mut()
            .map(|machine| std::mem::take(&mut machine.connections))
            .collect();
        cut.into_iter().for_each(|token| token.cancel());
    }

    /// Listens for one machine, unless it is down, listens already, or the pool refuses connections.
    pub async fn open(self: &Arc<Shared>, at: usize) -> anyhow::Result<()> {
        if self.refusing.load(Ordering::Relaxed) {
            return Ok(());
        }
        let address = {
            let members = self.members.lock();
            let machine = members.get(at).context("no such host")?;
            match machine.address {
                Some(address) if machine.up && machine.listener.is_none() => address,
                _ => return Ok(()),
            }
        };
        if self.members.lock()[at].origin.upgrade().is_some() {
            return Ok(());
        }
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        self.attach(at, listener);
        Ok(())
    }

    /// Serves what a listener accepts as that machine.
    pub fn attach(self: &Arc<Shared>, at: usize, listener: TcpListener) {
        let accepting = tokio::spawn(accept(self.clone(), listener, at));
        if let Some(machine) = self.members.lock().get_mut(at) {
            machine.listener = Some(accepting);
        }
    }

    /// Closes the listener of one machine and cuts its connections.
    pub async fn close(&self, at: usize) {
        let listener = self
            .members
            .lock()
            .get_mut(at)
            .and_then(|machine| machine.listener.take());
        if let Some(listener) = listener {
            listener.abort();
            let _ = listener.await;
        }
        self.cut_member(at);
    }

    /// The machine is gone: it answers nobody, and the pool notices when its master lives.
    pub async fn power_off(self: &Arc<Shared>, at: usize) {
        let host = {
            let mut members = self.members.lock();
            let Some(machine) = members.get_mut(at) else {
                return;
            };
            machine.up = false;
            machine.host.clone()
        };
        self.close(at).await;
        let (is_master, protected) = {
            let db = self.db();
            let protected = db.get("pool", &db.pool(), "ha_enabled").bool();
            (*db.master() == *host, protected)
        };
        if protected {
            self.take_over(&host, is_master).await;
        } else if !is_master {
            self.set_live(&host, false);
        }
    }

    /// With high availability the others notice a death, elect a master, and restart the guests.
    async fn take_over(self: &Arc<Shared>, dead: &str, was_master: bool) {
        let pool = self.clone();
        let dead = dead.to_owned();
        let noticing = Duration::from_secs_f64(HA_NOTICES_SECONDS * self.config.time_scale);
        let work = async move {
            if !noticing.is_zero() {
                tokio::time::sleep(noticing).await;
            }
            if was_master {
                let next = pool
                    .members
                    .lock()
                    .iter()
                    .find(|machine| machine.up)
                    .map(|machine| machine.host.clone());
                let Some(next) = next else { return };
                pool.change_master(&next);
            }
            pool.set_live(&dead, false);
            pool.write(|db| crate::ops::membership::recover_guests(db, &dead));
        };
        match noticing.is_zero() {
            true => work.await,
            false => drop(self.spawn(work)),
        }
    }

    /// The machine is back, as a supporter of whoever is master now (or as the master that it still is).
    pub async fn power_on(self: &Arc<Shared>, at: usize) -> anyhow::Result<()> {
        let left = self
            .member(at)
            .is_some_and(|host| !self.db().exists("host", &host));
        anyhow::ensure!(!left, "that host has left the pool");
        let host = {
            let mut members = self.members.lock();
            let machine = members.get_mut(at).context("no such host")?;
            machine.up = true;
            machine.host.clone()
        };
        self.open(at).await?;
        self.set_live(&host, true);
        Ok(())
    }

    fn set_live(&self, host: &str, live: bool) {
        self.write(|db| {
            let metrics = db.text("host", host, "metrics");
            db.set("host_metrics", &metrics, "live", live);
            crate::ops::lifecycle::refresh(db, "host", host);
        });
    }

    /// Another host takes over: sessions, tasks under way for clients and the deletion history end with the old one.
    /// So do connections, but for those of machines that are frozen or do not know.
    pub fn change_master(&self, host: &str) {
        for machine in self.members.lock().iter_mut() {
            machine.believes = None;
        }
        let old = self.write(|db| {
            let (pool, old) = (db.pool(), db.master());
            db.set("pool", &pool, "master", host);
            old
        });
        if !self.is_up(&old) {
            self.set_live(&old, false);
        }
        self.forget();
        // A frozen machine says nothing, not even that a connection ends; nor does one that claims to be the master.
        let count = self.members.lock().len();
        let heard = (0..count).filter(|at| !self.met(*at).is_frozen() && !self.host_faults.claims(*at));
        heard.for_each(|at| self.cut_member(at));
    }

    /// What a toolstack restart leaves: no sessions, no deletion history, no connections; generations go on.
    pub fn restart(&self) {
        self.forget();
        self.cut_all();
    }

    fn forget(&self) {
        self.write(|db| {
            for session in db.refs("session") {
                db.destroy("session", &session);
            }
            db.forget_deletions();
        });
        self.registrations.clear();
        self.close_libraries();
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, at: usize) {
    let free = Arc::new(Semaphore::new(shared.config.limits.connections));
    loop {
        // As the real server: a connection that is one too many stays with the kernel until another one ends.
        let Ok(place) = free.clone().acquire_owned().await else {
            return;
        };
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
        shared.count_connection();
        let Some((cut, tls)) = shared.members.lock().get(at).map(|machine| {
            let tls = machine.identity.as_ref();
            (
                machine.connections.clone(),
                tls.map(|identity| identity.acceptor.clone()),
            )
        }) else {
            return;
        };
        let pool = shared.clone();
        tokio::spawn(async move {
            let serve = async {
                match tls {
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => http::serve(stream, &pool, at).await,
                        Err(error) => tracing::debug!(%error, "TLS handshake failed"),
                    },
                    None => http::serve(stream, &pool, at).await,
                }
            };
            let _ = cut.run_until_cancelled(serve).await;
            drop(place);
        });
    }
}
