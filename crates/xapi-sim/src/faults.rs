//! Faults that can be switched while a pool runs: what a client must survive. This is the state that connections
//! look at; the names that people use are in `trouble`, what concerns whole hosts is in `pool::members`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::seed::Seed;

/// This many answers is all of them.
pub const ALL: usize = usize::MAX;

/// What is wrong with the connections and answers of a pool, or of one of its hosts.
pub struct Faults {
    hold: watch::Sender<Hold>,
    bytes_per_second: AtomicU64,
    dice: Mutex<Seed>,
    pub failing: Countdown,
    pub truncated: Countdown,
    pub malformed: Countdown,
    pub mislabelled: Countdown,
    /// Of a whole pool only: event answers that lack an object which goes while they are made.
    pub vanishing: Countdown,
    slave_of: Mutex<Option<String>>,
    /// Of one host only: it answers as a master, whoever is.
    claims: AtomicBool,
    frozen: watch::Sender<Frozen>,
}

/// Whether answers come.
#[derive(Clone, Copy, Default)]
struct Frozen {
    hole: Hole,
    /// How often answers were swallowed so far: who asked before the last time and is not answered yet never is.
    swallowed: u64,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Hole {
    /// They come.
    #[default]
    None,
    /// They wait.
    Holds,
    /// They are lost.
    Swallows,
}

/// How long answers are held back, in milliseconds.
#[derive(Clone, Copy, Default, PartialEq)]
struct Hold {
    latency: u64,
    jitter: u64,
}

/// The next so many answers.
#[derive(Default)]
pub struct Countdown(AtomicUsize);

impl Countdown {
    pub fn set(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }

    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// In the words of `trouble`; `None` when nothing is left.
    pub fn shown(&self) -> Option<String> {
        match self.left() {
            0 => None,
            ALL => Some("all".to_owned()),
            left => Some(left.to_string()),
        }
    }

    /// Does it concern this answer?
    pub fn take(&self) -> bool {
        let one = |left: usize| match left {
            0 => None,
            ALL => Some(ALL),
            left => Some(left - 1),
        };
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one)
            .is_ok()
    }
}

/// The faults of single hosts, by their numbers.
#[derive(Default)]
pub struct HostFaults(Mutex<BTreeMap<usize, Arc<Faults>>>);

impl HostFaults {
    /// Those of a host, made when they are first asked for.
    pub fn of(&self, host: usize) -> Arc<Faults> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Faults::new(host as u64));
        all.entry(host).or_insert_with(made).clone()
    }

    fn known(&self, host: usize) -> Option<Arc<Faults>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&host).cloned()
    }

    /// Whether that host answers as a master, whoever is.
    pub fn claims(&self, host: usize) -> bool {
        self.known(host).is_some_and(|faults| faults.claims())
    }

    /// What is switched on, with the host's number behind an `@`.
    pub fn active(&self) -> Vec<(&'static str, String)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let active = all.iter().flat_map(|(host, faults)| {
            let active = faults.active().into_iter();
            active.map(move |(name, value)| (name, format!("{value}@{host}")))
        });
        active.collect()
    }

    pub fn end(&self) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().for_each(|faults| faults.end());
    }
}

/// How many times answers were swallowed before a request.
#[derive(Clone, Copy)]
pub struct Asked {
    pool: u64,
    host: u64,
}

/// What a request meets: the pool's faults and its host's, as they are at each moment.
pub struct Met<'a> {
    pool: &'a Faults,
    hosts: &'a HostFaults,
    host: usize,
}

impl<'a> Met<'a> {
    pub fn new(pool: &'a Faults, hosts: &'a HostFaults, host: usize) -> Met<'a> {
        Met { pool, hosts, host }
    }

    /// Does either countdown concern this answer?
    pub fn takes(&self, countdown: impl Fn(&Faults) -> &Countdown) -> bool {
        let own = self.hosts.known(self.host);
        countdown(self.pool).take() || own.is_some_and(|faults| countdown(&faults).take())
    }

    /// When a request was read, for [`Met::delay`] of its answer.
    pub fn asked(&self) -> Asked {
        Asked {
            pool: self.pool.asked(),
            host: self.hosts.known(self.host).map_or(0, |host| host.asked()),
        }
    }

    /// Holds an answer back. False when it is lost.
    #[must_use]
    pub async fn delay(&self, asked: Asked) -> bool {
        let comes = self.pool.delay(asked.pool).await;
        match self.hosts.known(self.host) {
            Some(host) => host.delay(asked.host).await && comes,
            None => comes,
        }
    }

    /// Nothing is heard of that machine.
    pub fn is_frozen(&self) -> bool {
        let own = self.hosts.known(self.host);
        self.pool.is_frozen() || own.is_some_and(|host| host.is_frozen())
    }

    pub fn portion(&self, bytes: usize) -> usize {
        let bytes = self.pool.portion(bytes);
        self.hosts
            .known(self.host)
            .map_or(bytes, |host| host.portion(bytes))
    }

    pub async fn pace(&self, bytes: usize) {
        self.pool.pace(bytes).await;
        if let Some(host) = self.hosts.known(self.host) {
            host.pace(bytes).await;
        }
    }
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Faults {
        Faults {
            hold: watch::Sender::default(),
            bytes_per_second: AtomicU64::new(0),
            dice: Mutex::new(Seed::new(seed)),
            failing: Countdown::default(),
            truncated: Countdown::default(),
            malformed: Countdown::default(),
            mislabelled: Countdown::default(),
            vanishing: Countdown::default(),
            slave_of: Mutex::new(None),
            claims: AtomicBool::new(false),
            frozen: watch::Sender::default(),
        }
    }

    pub fn set_latency(&self, latency: Duration) {
        self.hold
            .send_modify(|hold| hold.latency = latency.as_millis() as u64);
    }

    pub fn set_jitter(&self, jitter: Duration) {
        self.hold
            .send_modify(|hold| hold.jitter = jitter.as_millis() as u64);
    }

    /// 0 = as fast as it goes.
    pub fn set_speed(&self, bytes_per_second: u64) {
        self.bytes_per_second.store(bytes_per_second, Ordering::Relaxed);
    }

    pub fn set_slave_of(&self, master: Option<String>) {
        *self.slave_of.lock().unwrap_or_else(PoisonError::into_inner) = master;
    }

    /// The host behind this answers as the master that it is not, as one that does not know yet that another one leads.
    /// For [`crate::SimPool::faults_of`]: a pool as a whole claims nothing.
    pub fn claim_master(&self, claims: bool) {
        self.claims.store(claims, Ordering::Relaxed);
    }

    fn claims(&self) -> bool {
        self.claims.load(Ordering::Relaxed)
    }

    /// Answers wait until this ends.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_modify(|now| {
            now.hole = match frozen {
                true => Hole::Holds,
                false => Hole::None,
            }
        });
    }

    /// The answers to what is asked, and to what was asked before, are lost; their connections stay open.
    pub fn swallow(&self) {
        self.frozen.send_modify(|now| {
            now.swallowed += u64::from(now.hole != Hole::Swallows);
            now.hole = Hole::Swallows;
        });
    }

    /// Nothing is heard of who is behind this.
    pub fn is_frozen(&self) -> bool {
        self.frozen.borrow().hole != Hole::None
    }

    fn asked(&self) -> u64 {
        let now = *self.frozen.borrow();
        now.swallowed - u64::from(now.hole == Hole::Swallows)
    }

    /// The master's address while this pool plays a supporter.
    pub fn slave_of(&self) -> Option<String> {
        self.slave_of
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Everything is as it should be again.
    pub fn end(&self) {
        self.freeze(false);
        self.set_latency(Duration::ZERO);
        self.set_jitter(Duration::ZERO);
        self.set_speed(0);
        for countdown in [
            &self.failing,
            &self.truncated,
            &self.malformed,
            &self.mislabelled,
            &self.vanishing,
        ] {
            countdown.set(0);
        }
        self.set_slave_of(None);
        self.claim_master(false);
    }

    /// The time that an answer is held back; for ever while the pool is frozen. When the fault ends, what waits goes,
    /// but for what was swallowed: then this is false.
    pub(crate) async fn delay(&self, asked: u64) -> bool {
        let mut hold = self.hold.subscribe();
        let Hold { latency, jitter } = *hold.borrow_and_update();
        if latency + jitter > 0 {
            let jitter = {
                let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
                dice.between(0, jitter as i64) as u64
            };
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(latency + jitter)) => {}
                _ = hold.wait_for(|hold| *hold == Hold::default()) => {}
            }
        }
        let mut frozen = self.frozen.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let waited = frozen.wait_for(|frozen| frozen.hole != Hole::Holds).await;
        waited.is_ok_and(|frozen| frozen.swallowed == asked)
    }

    /// How many bytes may pass at once, of so many; the time for them is spent in [`Faults::pace`].
    pub fn portion(&self, bytes: usize) -> usize {
        match self.bytes_per_second.load(Ordering::Relaxed) {
            0 => bytes,
            speed => bytes.min((speed as usize / 20).max(1)),
        }
    }

    /// Spends the time that so many bytes take.
    pub async fn pace(&self, bytes: usize) {
        let speed = self.bytes_per_second.load(Ordering::Relaxed);
        if speed > 0 {
            tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / speed as f64)).await;
        }
    }

    /// What is switched on now, in the words of `trouble`.
    pub fn active(&self) -> Vec<(&'static str, String)> {
        let mut active = Vec::new();
        let mut number = |name, value: u64| {
            if value > 0 {
                active.push((name, value.to_string()));
            }
        };
        let hold = *self.hold.borrow();
        number("latency", hold.latency);
        number("jitter", hold.jitter);
        number("slow", self.bytes_per_second.load(Ordering::Relaxed));
        for (name, countdown) in [
            ("http-500", &self.failing),
            ("truncate", &self.truncated),
            ("malformed", &self.malformed),
            ("content-type", &self.mislabelled),
            ("vanish", &self.vanishing),
        ] {
            active.extend(countdown.shown().map(|left| (name, left)));
        }
        match self.frozen.borrow().hole {
            Hole::None => {}
            Hole::Holds => active.push(("black-hole", "on".to_owned())),
            Hole::Swallows => active.push(("black-hole", "swallow".to_owned())),
        }
        active.extend(self.slave_of().map(|master| ("slave-of", master)));
        if self.claims() {
            active.push(("claim", "on".to_owned()));
        }
        active
    }
}
