//! The client through which a pool is called: another one after each reconnection, none while the link is down.

use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use xapi::{CallError, Client};

/// Before a call is made again on a link that was not renewed meanwhile.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Default)]
pub(super) struct Line {
    client: watch::Sender<Option<Arc<Client>>>,
}

impl Line {
    pub(super) fn set(&self, client: Option<Arc<Client>>) {
        self.client.send_replace(client);
    }

    /// The client; waits for one while the link is being renewed.
    pub(super) async fn client(&self, until: Instant) -> Result<Arc<Client>, CallError> {
        let mut changes = self.client.subscribe();
        let there = changes.wait_for(Option::is_some);
        match timeout_at(until, there).await {
            Ok(Ok(client)) => client.clone().ok_or_else(down),
            _ => Err(down()),
        }
    }

    /// Waits until this is the link no more.
    pub(super) async fn given_up(&self, client: &Arc<Client>) {
        let mut changes = self.client.subscribe();
        let other = changes.wait_for(|now| now.as_ref().is_none_or(|now| !Arc::ptr_eq(now, client)));
        // It is never closed while somebody waits.
        drop(other.await);
    }

    /// Waits until the link is another one than this, but not for long: one broken connection does not break a link.
    pub(super) async fn renewal(&self, of: &Arc<Client>) {
        let mut changes = self.client.subscribe();
        let renewed =
            changes.wait_for(|client| client.as_ref().is_some_and(|client| !Arc::ptr_eq(client, of)));
        // Either way the caller tries again.
        drop(timeout(PAUSE, renewed).await);
    }
}

pub(super) fn down() -> CallError {
    CallError::Transport {
        reason: "the link to the pool is down".to_owned(),
        sent: false,
    }
}
