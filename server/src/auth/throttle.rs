//! One failed sign-in per name and two seconds, also for attempts that overlap; and few passwords of one
//! address checked at a time, so that a flood from there does not fill the queue in which others wait.

use rustc_hash::FxHashMap;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::OwnedMutexGuard;

const DELAY: Duration = Duration::from_secs(2);
/// Names that are remembered; beyond, the oldest failures are forgotten first.
const REMEMBERED: usize = 10_000;

/// Passwords of one address that are being checked or wait for it.
const CHECKS: usize = 16;

/// When the last attempt of a name failed; whoever holds it makes the next one.
type LastFailure = Arc<tokio::sync::Mutex<Option<Instant>>>;

#[derive(Clone, Default)]
pub struct Throttle {
    names: Arc<Mutex<FxHashMap<String, LastFailure>>>,
}

/// An attempt that may be made; without an outcome it counts as failed.
pub struct Attempt {
    last: OwnedMutexGuard<Option<Instant>>,
}

fn is_fresh(last: Option<Instant>) -> bool {
    last.is_some_and(|failed| failed.elapsed() < DELAY)
}

impl Throttle {
    /// Waits for the attempts of this name that came before. `None` when the last failure is too fresh: of
    /// a hundred guesses at once one is looked at, of a hundred right passwords all are.
    pub async fn attempt(&self, name: &str) -> Option<Attempt> {
        let mut last = self.of(name).lock_owned().await;
        if is_fresh(*last) {
            return None;
        }
        *last = Some(Instant::now());
        Some(Attempt { last })
    }

    fn of(&self, name: &str) -> LastFailure {
        let name = name.to_lowercase();
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
                    .map(|(name, _)| name.clone());
                oldest.and_then(|name| names.remove(&name));
            }
        }
        names.entry(name).or_default().clone()
    }
}

impl Attempt {
    pub fn succeeded(mut self) {
        *self.last = None;
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
        let mut running = self.running();
        let count = running.entry(address.to_owned()).or_default();
        if *count >= CHECKS {
            return None;
        }
        *count += 1;
        drop(running);
        Some(Check {
            checks: self.clone(),
            address: address.to_owned(),
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
        throttle.attempt("Ann").await.expect("first").failed();
        assert!(throttle.attempt("ann").await.is_none());
        throttle.attempt("bob").await.expect("another name").succeeded();
        assert!(
            throttle.attempt("bob").await.is_some(),
            "a success leaves no mark"
        );
        assert!(
            throttle.attempt("bob").await.is_none(),
            "what has no outcome has failed"
        );
    }

    #[tokio::test]
    async fn who_comes_together_is_looked_at_in_turn() {
        let throttle = Throttle::default();
        let first = throttle.attempt("ann").await.expect("first");
        let (second, third) = (throttle.attempt("ann"), throttle.attempt("ann"));
        let outcome = async {
            first.succeeded();
        };
        let second = async { second.await.map(Attempt::failed) };
        let (second, third, ()) = futures_util::future::join3(second, third, outcome).await;
        assert!(second.is_some() && third.is_none());
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
