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
const LIMIT: Duration = Duration::from_secs(60);
const SHORTEST_POSTPONEMENT: Duration = Duration::from_secs(30);
const LONGEST_POSTPONEMENT: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Messages {
    compared: Option<Instant>,
    /// The pool does not tell: it is asked later.
    postponed: Duration,
}

impl Messages {
    /// A listing was everything there is.
    pub(super) fn listed(&mut self) {
        self.compared = Some(Instant::now());
    }

    /// Whether it is time to compare again, with so many messages.
    pub(super) fn is_due(&self, count: usize, every: Duration) -> bool {
        let every = every.max(EVERY_PER_MESSAGE * u32::try_from(count).unwrap_or(u32::MAX));
        let every = every.max(self.postponed);
        let early = self.compared.is_some_and(|compared| compared.elapsed() < every);
        !early && count != 0
    }

    /// Comparing has begun: it is not due again for a while. Whoever fails to tell is asked ever more rarely.
    pub(super) fn began(&mut self) {
        self.compared = Some(Instant::now());
    }

    pub(super) fn ended(&mut self, well: bool) {
        self.postponed = if well {
            Duration::ZERO
        } else {
            (self.postponed * 2).clamp(SHORTEST_POSTPONEMENT, LONGEST_POSTPONEMENT)
        };
    }
}

/// Those of the known messages that are gone.
pub async fn gone(client: Arc<Client>, known: Vec<OpaqueRef>) -> Result<Vec<OpaqueRef>, CallError> {
    let answer = client.call_unqueued("message.get_all", &[], LIMIT).await?;
    let present: Vec<String> = answer.parse()?;
    let present: FxHashSet<OpaqueRef> = present.iter().map(|text| OpaqueRef::parse(text)).collect();
    // References are never used again: what is known and not there was deleted, whatever events are still to come.
    Ok(known
        .into_iter()
        .filter(|known| !present.contains(known))
        .collect())
}
