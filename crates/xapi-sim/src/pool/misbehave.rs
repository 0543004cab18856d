//! What a test (or a person at the control port) can do to a running pool. `trouble` has the same by name.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{Shared, SimPool};
use crate::db::{Db, class};
use crate::faults::Faults;
use crate::http::tls::Identity;
use crate::value::Value;

impl SimPool {
    // ---- connections and answers

    /// Cuts every open connection, whatever it is doing.
    pub fn cut_connections(&self) {
        self.shared.cut_all();
    }

    /// `false` closes the listeners (new connections are refused) and cuts the open ones; `true` listens again.
    pub async fn set_listening(&self, listening: bool) -> anyhow::Result<()> {
        self.shared.refusing.store(!listening, Ordering::Relaxed);
        let count = self.shared.members.lock().len();
        for at in 0..count {
            match listening {
                // The pool is usable without its supporters' addresses; the first host must listen.
                true => match self.shared.open(at).await {
                    Err(error) if at > 0 => tracing::warn!(%error, "a supporter does not listen"),
                    opened => opened?,
                },
                false => self.shared.close(at).await,
            }
        }
        Ok(())
    }

    /// Every answer waits that long.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.faults.set_latency(latency);
    }

    /// Every answer waits up to that long, each a different time.
    pub fn set_jitter(&self, jitter: Duration) {
        self.shared.faults.set_jitter(jitter);
    }

    /// The pool reads and writes no faster than that; 0 = as fast as it goes.
    pub fn set_speed(&self, bytes_per_second: u64) {
        self.shared.faults.set_speed(bytes_per_second);
    }

    /// A black hole: connections are accepted, requests are read, answers never come - until switched off.
    pub fn set_black_hole(&self, frozen: bool) {
        self.shared.faults.freeze(frozen);
    }

    /// The answers to all that is asked from now on, and to what waits now, are lost until [`SimPool::set_black_hole`]
    /// ends it. Their connections are neither answered nor closed, also not afterwards.
    pub fn swallow_answers(&self) {
        self.shared.faults.swallow();
    }

    /// The next `count` requests are answered with HTTP 500.
    pub fn fail_requests(&self, count: usize) {
        self.shared.faults.failing.set(count);
    }

    /// The next `count` answers stop in the middle of their body and the connection is closed.
    pub fn truncate_answers(&self, count: usize) {
        self.shared.faults.truncated.set(count);
    }

    /// The next `count` answers have a body that is neither JSON nor XML nor UTF-8.
    pub fn garble_answers(&self, count: usize) {
        self.shared.faults.malformed.set(count);
    }

    /// The next `count` answers are right, but say that they are HTML.
    pub fn mislabel_answers(&self, count: usize) {
        self.shared.faults.mislabelled.set(count);
    }

    /// The faults of the connections and answers of one host alone, beside those of the pool.
    pub fn faults_of(&self, host: usize) -> anyhow::Result<Arc<Faults>> {
        ensure!(host < self.members().len(), "no such host");
        Ok(self.shared.host_faults.of(host))
    }

    pub(crate) fn pool_faults(&self) -> &Faults {
        self.shared.faults()
    }

    pub(crate) fn end_faults(&self) {
        self.shared.faults().end();
        self.shared.host_faults.end();
    }

    /// Cuts the open connections to one host.
    pub fn cut_host(&self, host: usize) {
        self.shared.cut_member(host);
    }

    // ---- sessions and events

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
        self.shared.restart();
    }

    /// The next `count` deletions make no `del` event, as if the history had been pruned.
    pub fn drop_deletions(&self, count: usize) {
        self.shared.write(|db| db.silence_deletions(count));
    }

    /// The next `count` answers of `event.from` lack one of the objects that they should tell of (a task, if there is
    /// one): it is deleted when the others were collected and counted, before it was looked at.
    pub fn vanish(&self, count: usize) {
        self.shared.faults.vanishing.set(count);
    }

    /// The clocks of all hosts go wrong by that much.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.shared.write(|db| db.set_clock_skew(seconds));
    }

    /// Shows an object as a later release would: a field more and new members in its enums. False: no such object.
    pub fn set_strange(&self, class: &str, reference: &str, strange: bool) -> bool {
        self.shared.write(|db| db.set_strange(class, reference, strange))
    }

    // ---- hosts

    /// While set, logins answer HOST_IS_SLAVE with this address.
    pub fn set_slave_of(&self, master: Option<String>) {
        self.shared.faults.set_slave_of(master);
    }

    /// Another host becomes master: `pool.designate_new_master`, or `pool.emergency_transition_to_master` when the
    /// old one is dead. All sessions end, and all connections but those of hosts that are frozen (a black hole) now;
    /// the others say HOST_IS_SLAVE with its address.
    pub fn change_master(&self, host: usize) -> anyhow::Result<()> {
        let new = self.members().into_iter().nth(host).context("no such host")?;
        ensure!(new.is_up, "that host is down");
        self.shared.change_master(&new.host);
        Ok(())
    }

    /// The master's machine dies: it refuses connections, and the supporters still name it in HOST_IS_SLAVE until
    /// one of them takes over. Gives its number, for [`SimPool::power_on`].
    pub async fn kill_master(&self) -> anyhow::Result<usize> {
        let members = self.members();
        let master = members.iter().position(|member| member.is_master);
        let master = master.context("this pool has no master")?;
        self.shared.power_off(master).await;
        Ok(master)
    }

    /// A host's machine dies.
    pub async fn power_off(&self, host: usize) -> anyhow::Result<()> {
        ensure!(host < self.members().len(), "no such host");
        self.shared.power_off(host).await;
        Ok(())
    }

    /// A dead machine comes back, as a supporter when another host has become master.
    pub async fn power_on(&self, host: usize) -> anyhow::Result<()> {
        self.shared.power_on(host).await
    }

    /// All hosts get new certificates (one for all, unless each has its own); connections are cut, as by the
    /// restart of the TLS proxy. Gives the new fingerprint of the first host.
    pub fn change_certificate(&self) -> anyhow::Result<String> {
        self.shared.change_certificate()
    }

    /// What is switched on now, by the names of [`crate::TROUBLES`].
    pub fn active_troubles(&self) -> Vec<(&'static str, String)> {
        let mut active = self.shared.faults.active();
        active.extend(self.shared.host_faults.active());
        let dead = self.members().into_iter().enumerate();
        // Who has left is alive elsewhere.
        let dead =
            dead.filter(|(_, member)| !member.is_up && self.read(|db| db.exists("host", &member.host)));
        let dead: Vec<String> = dead.map(|(at, _)| at.to_string()).collect();
        if !dead.is_empty() {
            active.push(("power-off", dead.join(",")));
        }
        if self.shared.refusing.load(Ordering::Relaxed) {
            active.push(("refuse", "on".to_owned()));
        }
        active.extend(self.read(Db::active_troubles));
        // A world that moves as it was started is no fault.
        let churn = *self.shared.churn.borrow();
        if churn != self.config().churn_per_second {
            active.push(("churn", churn.to_string()));
        }
        active
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections_accepted.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub fn change_certificate(&self) -> anyhow::Result<String> {
        ensure!(self.config.tls, "this pool speaks plain HTTP");
        let members = self.list_members();
        let mut made: Vec<Arc<Identity>> = Vec::new();
        for member in &members {
            if made.is_empty() || self.config.own_certificates {
                let address = member.address.unwrap_or(self.address).ip().to_string();
                made.push(Arc::new(Identity::new(&address)?));
            }
        }
        let identity = |at: usize| made.get(at).or(made.first()).cloned();
        self.write(|db| {
            for (at, member) in members.iter().enumerate() {
                let print = identity(at).map_or_else(String::new, |made| made.fingerprint_sha256.clone());
                renew_certificate(db, &member.host, &print);
            }
        });
        for (at, machine) in self.members.lock().iter_mut().enumerate() {
            machine.identity = identity(at);
        }
        self.cut_all();
        made.first()
            .map(|identity| identity.fingerprint_sha256.clone())
            .context("no certificate")
    }
}

/// A new certificate is a new object.
fn renew_certificate(db: &mut Db, host: &str, fingerprint: &str) {
    let now = db.now();
    let at = class("Certificate").field("host").unwrap_or_default();
    let old = db.rows(class("Certificate"));
    let old = old.filter(|(_, row)| row.at(at).str() == host);
    let old: Vec<_> = old.map(|(reference, _)| reference.clone()).collect();
    for reference in old {
        db.destroy("Certificate", &reference);
    }
    db.create(
        "Certificate",
        [
            ("host", Value::from(host)),
            ("type", Value::from("host")),
            ("not_before", Value::Date(now)),
            ("not_after", Value::Date(now + 3_650 * 86_400)),
            ("fingerprint", Value::from(fingerprint)),
            ("fingerprint_sha256", Value::from(fingerprint)),
        ],
    );
}
