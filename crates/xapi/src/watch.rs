//! Follows a pool through `event.from`.
//!
//! ```text
//!  Unknown --(poll "" : everything)--> Following(token) --(poll token : deltas)--> Following(token')
//!     ^                                    |
//!     +---- a doubt that a second poll confirmed, an unusable token, a new connection
//! ```
//! A doubt is a difference between XAPI's own row counts and ours: deletions beyond the bounded history of
//! a pool are lost without a word, and this is how they are found out. Messages are not counted: see [`messages`].

mod messages;

use crate::{
    cache::Cache,
    client::Client,
    error::CallError,
    events::{EventReader, Tail},
    records::Class,
    reference::OpaqueRef,
};
use messages::Messages;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub use crate::events::{Event, Operation};

/// How long XAPI may keep a poll open without news: how old "last heard" gets on an idle pool, and how long a
/// deletion that was lost from the pool's history may go unnoticed.
pub const POLL: Duration = Duration::from_secs(5);
/// A doubt is confirmed by a short poll: counts and events of a busy pool may differ for a moment.
const CONFIRMATION_POLL: Duration = Duration::from_secs(1);
/// The client waits this much longer than the server.
const GRACE: Duration = Duration::from_secs(10);
/// How long a listing may let itself be waited for, at first and at most. A large pool thinks for a while before it
/// answers; one that is frozen never does. Who was too impatient waits twice as long the next time.
const PATIENCE: Duration = Duration::from_secs(15);
const MOST_PATIENCE: Duration = Duration::from_secs(240);
/// Answers above this size are parsed off the asynchronous threads.
const LARGE: usize = 256 << 10;

/// What one poll brought.
#[derive(Debug, Default)]
pub struct Batch {
    /// The events are everything there is, not a delta.
    pub full: bool,
    pub events: Vec<Event>,
    /// Rows by class, as XAPI counts them.
    counts: FxHashMap<Class, i64>,
}

/// Where we are in a pool's history.
#[derive(Debug, Default)]
enum State {
    #[default]
    Unknown,
    Following {
        token: String,
        doubted: bool,
    },
}

/// The follower of one pool.
#[derive(Debug)]
pub struct Watch {
    poll: Duration,
    state: State,
    /// Differences in count that a fresh listing could not remove: rows that XAPI counts but does not
    /// show. Only what deviates from these is a doubt.
    tolerated: FxHashMap<Class, i64>,
    listed: bool,
    patience: Duration,
    messages: Messages,
}

impl Watch {
    /// Without news, polls last as long as `poll`.
    pub fn new(poll: Duration) -> Self {
        Self {
            poll,
            state: State::default(),
            tolerated: FxHashMap::default(),
            listed: false,
            patience: PATIENCE,
            messages: Messages::default(),
        }
    }

    /// On a new connection: what was known of the pool's history is not to be relied on.
    pub fn reconnected(&mut self) {
        let Self { poll, patience, .. } = *self;
        *self = Self {
            patience,
            ..Self::new(poll)
        };
    }

    /// Waits for news. An error leaves the state as it was: the next call asks for the same.
    pub async fn poll(&mut self, client: &Arc<Client>) -> Result<Batch, CallError> {
        let (token, wait, limit) = match &self.state {
            State::Unknown => ("", Duration::ZERO, self.patience),
            State::Following {
                token,
                doubted: false,
            } => (token.as_str(), self.poll, self.poll + GRACE),
            State::Following { token, doubted: true } => {
                let wait = CONFIRMATION_POLL.min(self.poll);
                (token.as_str(), wait, wait + GRACE)
            }
        };
        let full = token.is_empty();
        let classes: Vec<&str> = Class::ALL.iter().map(|class| class.name()).collect();
        let params = [json!(classes), json!(token), json!(wait.as_secs_f64())];
        let answer = if full {
            listing(client, &params, limit).await
        } else {
            events(client, &params, limit).await
        };
        let (events, tail) = match answer {
            Err(error) if error.is_fault("EVENT_FROM_TOKEN_PARSE_FAILURE") => {
                self.restart();
                return Err(error);
            }
            Err(error @ CallError::Timeout(_)) if full => {
                self.patience = (self.patience * 2).min(MOST_PATIENCE);
                return Err(error);
            }
            other => other?,
        };
        let doubted = matches!(self.state, State::Following { doubted: true, .. });
        self.state = State::Following {
            token: tail.token,
            doubted,
        };
        self.listed = full;
        if full {
            self.messages.listed();
        }
        Ok(Batch {
            full,
            events,
            counts: tail.counts,
        })
    }

    /// Whether [`Watch::compare_messages`] is due, with so many of them.
    pub fn compares_messages(&self, count: usize) -> bool {
        self.messages.is_due(count, self.poll)
    }

    /// Which of these messages are gone without a word, as a batch to be applied.
    pub async fn compare_messages(
        &mut self,
        client: &Arc<Client>,
        known: Vec<OpaqueRef>,
    ) -> Result<Batch, CallError> {
        let gone = self.messages.gone(client, known).await?;
        let deletions = gone.into_iter().map(|reference| Event {
            class: Class::Message,
            reference,
            operation: Operation::Delete,
        });
        Ok(Batch::new(false, deletions.collect()))
    }

    /// Compares counts after a batch was applied; a confirmed doubt makes the next poll a full listing.
    /// Returns the classes in doubt.
    pub fn check(&mut self, counts: &Counts, cache: &Cache) -> Vec<Class> {
        let mut differing = Vec::new();
        if counts.0.is_empty() {
            return differing;
        }
        for (&class, &counted) in &counts.0 {
            let difference = counted - cache.count(class) as i64;
            if self.listed {
                self.tolerated.insert(class, difference);
            } else if difference != self.tolerated.get(&class).copied().unwrap_or(0) {
                differing.push(class);
            }
        }
        if let State::Following { doubted, .. } = &mut self.state {
            if differing.is_empty() {
                *doubted = false;
            } else if !std::mem::replace(doubted, true) {
                tracing::debug!(?differing, "row counts differ, looking again");
            } else {
                self.restart();
            }
        }
        differing
    }

    /// The next poll lists everything anew.
    pub fn restart(&mut self) {
        self.state = State::Unknown;
    }
}

/// Row counts that came with a batch.
pub struct Counts(FxHashMap<Class, i64>);

impl Batch {
    pub fn new(full: bool, events: Vec<Event>) -> Self {
        Self {
            full,
            events,
            counts: FxHashMap::default(),
        }
    }

    /// Takes the counts out, for [`Watch::check`] after the events were applied.
    pub fn take_counts(&mut self) -> Counts {
        Counts(std::mem::take(&mut self.counts))
    }
}

/// Everything there is; read while it arrives where the host speaks JSON.
async fn listing(
    client: &Arc<Client>,
    params: &[Value],
    limit: Duration,
) -> Result<(Vec<Event>, Tail), CallError> {
    if !client.speaks_json() {
        return events(client, params, limit).await;
    }
    let (reader, answer) = client
        .call_streamed::<EventReader>("event.from", params, limit)
        .await?;
    Ok((reader.events, Tail::read(&answer)?))
}

async fn events(
    client: &Arc<Client>,
    params: &[Value],
    limit: Duration,
) -> Result<(Vec<Event>, Tail), CallError> {
    let answer = client.call_unqueued("event.from", params, limit).await?;
    let large = answer.len() > LARGE;
    let read = move || EventReader::of_result(answer.json());
    if large {
        return tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| CallError::Protocol(format!("the events could not be read: {error}")))?;
    }
    read()
}
