//! One failed sign-in per name and two seconds, also for attempts that overlap.

use rustc_hash::FxHashMap;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const DELAY: Duration = Duration::from_secs(2);
/// Names that are remembered; beyond, the oldest failures are forgotten first.
const REMEMBERED: usize = 10_000;

#[derive(Clone, Default)]
pub struct Throttle {
    failures: Arc<Mutex<FxHashMap<String, Instant>>>,
}

/// An attempt that may be made; without an outcome it counts as failed.
pub struct Attempt {
    throttle: Throttle,
    name: String,
}

impl Throttle {
    fn failures(&self) -> MutexGuard<'_, FxHashMap<String, Instant>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when the last failure of this name is too fresh. The attempt counts as a failure until it
    /// has succeeded: otherwise a hundred at once would all be let through.
    pub fn attempt(&self, name: &str) -> Option<Attempt> {
        let name = name.to_lowercase();
        let mut failures = self.failures();
        let now = Instant::now();
        if failures
            .get(&name)
            .is_some_and(|&failed| now.duration_since(failed) < DELAY)
        {
            return None;
        }
        if failures.len() >= REMEMBERED {
            failures.retain(|_, failed| now.duration_since(*failed) < DELAY);
        }
        if failures.len() >= REMEMBERED {
            let oldest = failures
                .iter()
                .min_by_key(|(_, failed)| **failed)
                .map(|(name, _)| name.clone());
            oldest.and_then(|name| failures.remove(&name));
        }
        failures.insert(name.clone(), now);
        drop(failures);
        Some(Attempt {
            throttle: self.clone(),
            name,
        })
    }
}

impl Attempt {
    pub fn succeeded(self) {
        self.throttle.failures().remove(&self.name);
    }

    pub fn failed(self) {
        self.throttle.failures().insert(self.name, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_delays_its_own_name_only() {
        let throttle = Throttle::default();
        throttle.attempt("Ann").expect("first").failed();
        assert!(throttle.attempt("ann").is_none());
        throttle.attempt("bob").expect("another name").succeeded();
        assert!(throttle.attempt("bob").is_some(), "a success leaves no mark");
    }
}
