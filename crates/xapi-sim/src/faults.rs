//! Faults that a test can switch on: what a client must survive. Connections are cut in `pool`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

pub struct Faults {
    latency_ms: AtomicU64,
    failing_requests: AtomicUsize,
    truncated_answers: AtomicUsize,
    slave_of: Mutex<Option<String>>,
    frozen: watch::Sender<bool>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults {
            latency_ms: AtomicU64::new(0),
            failing_requests: AtomicUsize::new(0),
            truncated_answers: AtomicUsize::new(0),
            slave_of: Mutex::new(None),
            frozen: watch::Sender::new(false),
        }
    }
}

impl Faults {
    pub fn set_latency(&self, latency: Duration) {
        self.latency_ms
            .store(latency.as_millis() as u64, Ordering::Relaxed);
    }

    pub fn fail_requests(&self, count: usize) {
        self.failing_requests.store(count, Ordering::Relaxed);
    }

    pub fn truncate_answers(&self, count: usize) {
        self.truncated_answers.store(count, Ordering::Relaxed);
    }

    pub fn set_slave_of(&self, master: Option<String>) {
        *self
            .slave_of
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = master;
    }

    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// The master's address while this pool plays a supporter.
    pub fn slave_of(&self) -> Option<String> {
        self.slave_of
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// Should this request be answered with HTTP 500?
    pub fn take_failure(&self) -> bool {
        take(&self.failing_requests)
    }

    /// Should this answer end in its middle?
    pub fn take_truncation(&self) -> bool {
        take(&self.truncated_answers)
    }

    /// The time that an answer is held back; for ever while the pool is frozen.
    pub async fn delay(&self) {
        let latency = self.latency_ms.load(Ordering::Relaxed);
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
        let mut frozen = self.frozen.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = frozen.wait_for(|frozen| !frozen).await;
    }
}

fn take(counter: &AtomicUsize) -> bool {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        .is_ok()
}
