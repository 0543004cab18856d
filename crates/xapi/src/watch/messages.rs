//! Messages are files of the pool, not rows: XAPI does not count them, and a deletion that it forgot to tell of
//! is only found by comparing what there is.

use crate::{CallError, Client, OpaqueRef};
use rustc_hash::FxHashSet;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Comparing costs the pool the time to read a folder: the more messages there are, the rarer it is. XAPI keeps
/// 10,000 at most, which makes ten seconds.
const EVERY_PER_MESSAGE: Duration = Duration::from_millis(1);
const LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, Default)]
pub(super) struct Messages {
    compared: Option<Instant>,
    /// The pool does not let us ask.
    refused: bool,
}

impl Messages {
    /// A listing was everything there is.
    pub(super) fn listed(&mut self) {
        self.compared = Some(Instant::now());
    }

    /// Whether it is time to compare again, with so many messages.
    pub(super) fn is_due(&self, count: usize, every: Duration) -> bool {
        let every = every.max(EVERY_PER_MESSAGE * u32::try_from(count).unwrap_or(u32::MAX));
        let early = self.compared.is_some_and(|compared| compared.elapsed() < every);
        !self.refused && !early && count != 0
    }

    /// Those of the known messages that are gone.
    pub(super) async fn gone(
        &mut self,
        client: &Arc<Client>,
        known: Vec<OpaqueRef>,
    ) -> Result<Vec<OpaqueRef>, CallError> {
        let answer = match client.call_unqueued("message.get_all", &[], LIMIT).await {
            Err(error) if error.is_fault("RBAC_PERMISSION_DENIED") => {
                self.refused = true;
                return Ok(Vec::new());
            }
            other => other?,
        };
        let present: Vec<String> = answer.parse()?;
        self.listed();
        let present: FxHashSet<OpaqueRef> = present.iter().map(|text| OpaqueRef::parse(text)).collect();
        // References are never used again: what is known and not there was deleted, whatever events are still to come.
        Ok(known
            .into_iter()
            .filter(|known| !present.contains(known))
            .collect())
    }
}
