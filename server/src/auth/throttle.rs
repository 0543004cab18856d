//! One failed sign-in per name, address and two seconds, also for attempts that overlap; a number of failures per
//! name and minute from wherever, except for addresses from which that name has signed in: whoever guesses a
//! name's password from elsewhere does not lock its owner out. And few passwords of one address checked at a
//! time, so that a flood from there does not fill the queue in which others wait.
//!
//! Names come from anybody: what is kept of them is a hash, and of a bounded number.

use crate::neighbours;
use rustc_hash::{FxHashMap, FxHashSet};
use sha2::{Digest, Sha256};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OwnedMutexGuard;

const DELAY: Duration = Duration::from_secs(2);
/// Names that are remembered; beyond, the oldest failures are forgotten first.
const REMEMBERED: usize = 10_000;

/// Failures of one name in a minute, from all addresses that are not known for it.
const FAILURES_PER_MINUTE: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);

/// Passwords of one address that are being checked or wait for it.
const CHECKS: usize = 16;

/// When the last attempt of a name failed; whoever holds it makes the next one.
type LastFailure = Arc<tokio::sync::Mutex<Option<Instant>>>;

#[derive(Clone, Default)]
pub struct Throttle {
    /// By name and address.
    names: Arc<Mutex<FxHashMap<Key, LastFailure>>>,
    guesses: Arc<Mutex<Guesses>>,
}

#[derive(Default)]
struct Guesses {
    /// Since when, and how many, by name.
    failures: FxHashMap<Key, (Instant, u32)>,
    /// The same names, the oldest first.
    order: VecDeque<(Instant, Key)>,
    /// Names and addresses that belong together.
    known: FxHashSet<Key>,
}

/// A name, or a name and an address, of which only whether they are the same is of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key([u8; 16]);

impl Key {
    fn of(name: &str, address: &str) -> Self {
        let digest = Sha256::digest(format!(
            "{}\n{}",
            name.to_lowercase(),
            neighbours::of_text(address)
        ));
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Self(key)
    }
}

/// An attempt that may be made; without an outcome it counts as failed.
pub struct Attempt {
    last: OwnedMutexGuard<Option<Instant>>,
    throttle: Throttle,
    name: Key,
    key: Key,
}

fn is_fresh(last: Option<Instant>) -> bool {
    last.is_some_and(|failed| failed.elapsed() < DELAY)
}

impl Guesses {
    /// Counts an attempt as failed until it is known better; false when there were too many.
    fn begin(&mut self, name: Key, key: Key) -> bool {
        if self.known.contains(&key) {
            return true;
        }
        let now = Instant::now();
        while let Some(&(since, oldest)) = self.order.front()
            && (since + MINUTE <= now || self.failures.len() > REMEMBERED)
        {
            self.order.pop_front();
            // It may have been counted anew since.
            if self
                .failures
                .get(&oldest)
                .is_some_and(|(begun, _)| *begun == since)
            {
                self.failures.remove(&oldest);
            }
        }
        if self.order.len() > 2 * REMEMBERED {
            // Those that were taken back leave their place in the order: it is theirs no more.
            let failures = &self.failures;
            self.order
                .retain(|(since, name)| failures.get(name).is_some_and(|(begun, _)| begun == since));
        }
        let (_, count) = self.failures.entry(name).or_insert_with(|| {
            self.order.push_back((now, name));
            (now, 0)
        });
        *count += 1;
        *count <= FAILURES_PER_MINUTE
    }

    /// One less; of a name without failures nothing is kept, or others could push the counted ones out.
    fn take_back(&mut self, name: Key) {
        if let Some((_, count)) = self.failures.get_mut(&name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.failures.remove(&name);
            }
        }
    }

    fn know(&mut self, key: Key) {
        if self.known.len() >= REMEMBERED && !self.known.contains(&key) {
            let some = self.known.iter().next().copied();
            some.map(|some| self.known.remove(&some));
        }
        self.known.insert(key);
    }
}

impl Throttle {
    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the attempts of this name from there that came before. `None` when the last failure is too
    /// fresh: of a hundred guesses at once one is looked at, of a hundred right passwords all are.
    pub async fn attempt(&self, name: &str, address: &str) -> Option<Attempt> {
        let (name, key) = (Key::of(name, ""), Key::of(name, address));
        let mut last = self.of(key).lock_owned().await;
        if is_fresh(*last) || !self.guesses().begin(name, key) {
            return None;
        }
        *last = Some(Instant::now());
        Some(Attempt {
            last,
            throttle: self.clone(),
            name,
            key,
        })
    }

    /// This name has proved itself from there.
    pub fn know(&self, name: &str, address: &str) {
        self.guesses().know(Key::of(name, address));
    }

    fn of(&self, name: Key) -> LastFailure {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= REMEMBERED && !names.contains_key(&name) {
            let failed = |last: &LastFailure| last.try_lock().ok().and_then(|last| *last);
            let is_idle = |last: &LastFailure| Arc::strong_count(last) == 1;
            names.retain(|_, last| !is_idle(last) || is_fresh(failed(last)));
            if names.len() >= REMEMBERED {
                let oldest = names
                    .iter()
                    .filter(|(_, last)| is_idle(last))
                    .min_by_key(|(_, last)| failed(last))
                    .map(|(name, _)| *name);
                oldest.and_then(|name| names.remove(&name));
            }
        }
        names.entry(name).or_default().clone()
    }
}

impl Attempt {
    pub fn succeeded(mut self) {
        *self.last = None;
        let mut guesses = self.throttle.guesses();
        guesses.take_back(self.name);
        guesses.know(self.key);
    }

    /// Nothing was tried: neither a success nor a failure.
    pub fn untried(mut self) {
        *self.last = None;
        self.throttle.guesses().take_back(self.name);
    }

    pub fn failed(mut self) {
        *self.last = Some(Instant::now());
    }
}

/// How many passwords of which address are being checked.
#[derive(Clone, Default)]
pub struct Checks {
    running: Arc<Mutex<FxHashMap<String, usize>>>,
}

/// A check that runs until this is dropped.
pub struct Check {
    checks: Checks,
    address: String,
}

impl Checks {
    fn running(&self) -> MutexGuard<'_, FxHashMap<String, usize>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when the address has its share already.
    pub fn begin(&self, address: &str) -> Option<Check> {
        let address = neighbours::of_text(address);
        let mut running = self.running();
        let count = running.entry(address.clone()).or_default();
        if *count >= CHECKS {
            return None;
        }
        *count += 1;
        drop(running);
        Some(Check {
            checks: self.clone(),
            address,
        })
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        let mut running = self.checks.running();
        if let Some(count) = running.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_delays_its_own_name_only() {
        let throttle = Throttle::default();
        throttle.attempt("Ann", "a").await.expect("first").failed();
        assert!(throttle.attempt("ann", "a").await.is_none());
        throttle
            .attempt("bob", "a")
            .await
            .expect("another name")
            .succeeded();
        assert!(
            throttle.attempt("bob", "a").await.is_some(),
            "a success leaves no mark"
        );
        assert!(
            throttle.attempt("bob", "a").await.is_none(),
            "what has no outcome has failed"
        );
    }

    #[tokio::test]
    async fn who_comes_together_is_looked_at_in_turn() {
        let throttle = Throttle::default();
        let first = throttle.attempt("ann", "a").await.expect("first");
        let (second, third) = (throttle.attempt("ann", "a"), throttle.attempt("ann", "a"));
        let outcome = async {
            first.succeeded();
        };
        let second = async { second.await.map(Attempt::failed) };
        let (second, third, ()) = futures_util::future::join3(second, third, outcome).await;
        assert!(second.is_some() && third.is_none());
    }

    #[tokio::test]
    async fn guesses_from_elsewhere_do_not_lock_the_owner_out() {
        let throttle = Throttle::default();
        throttle
            .attempt("ann", "home")
            .await
            .expect("the owner")
            .succeeded();
        for number in 0..FAILURES_PER_MINUTE {
            let attempt = throttle.attempt("ann", &format!("elsewhere {number}")).await;
            attempt.expect("not yet too many").failed();
        }
        assert!(throttle.attempt("ann", "another one").await.is_none());
        throttle
            .attempt("bob", "another one")
            .await
            .expect("another name")
            .failed();
        throttle
            .attempt("ann", "home")
            .await
            .expect("the owner")
            .succeeded();
    }

    #[tokio::test]
    async fn names_without_end_do_not_fill_the_memory() {
        let throttle = Throttle::default();
        for number in 0..REMEMBERED + 100 {
            let attempt = throttle.attempt(&format!("name {number}"), "a").await;
            attempt.expect("a new name").failed();
        }
        let guesses = throttle.guesses();
        let names = throttle.names.lock().expect("no panic").len();
        for kept in [guesses.failures.len(), guesses.order.len(), names] {
            assert!(kept <= REMEMBERED + 1, "{kept}");
        }
    }

    #[tokio::test]
    async fn what_was_not_tried_pushes_nobody_out() {
        let throttle = Throttle::default();
        for number in 0..FAILURES_PER_MINUTE {
            let attempt = throttle.attempt("ann", &format!("elsewhere {number}")).await;
            attempt.expect("not yet too many").failed();
        }
        for number in 0..3 * REMEMBERED {
            let attempt = throttle.attempt(&format!("name {number}"), "a").await;
            attempt.expect("a new name").untried();
        }
        assert!(throttle.attempt("ann", "another one").await.is_none());
        assert!(throttle.guesses().order.len() <= 2 * REMEMBERED + 1);
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let checks = Checks::default();
        let mut running: Vec<Check> = (0..CHECKS)
            .map(|_| checks.begin("a").expect("its share"))
            .collect();
        assert!(checks.begin("a").is_none() && checks.begin("b").is_some());
        running.pop();
        assert!(checks.begin("a").is_some());
        running.clear();
        assert!(
            checks.running().is_empty(),
            "nothing is remembered of who is gone"
        );
    }
}
