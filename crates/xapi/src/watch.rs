//! Follows a pool through `event.from`.
//!
//! ```text
//!  Unknown --(poll "" : everything)--> Following(token) --(poll token : deltas)--> Following(token')
//!     ^                                    |
//!     +---- a doubt that a second poll confirmed, an unusable token, a new connection
//! ```
//! A doubt is a difference between XAPI's own row counts and ours: deletions beyond the bounded history of
//! a pool are lost without a word, and this is how they are found out.

use crate::{
    cache::Cache,
    client::Client,
    error::CallError,
    events::{EventReader, Tail},
    records::Class,
};
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use std::time::Duration;

pub use crate::events::{Event, Operation};

/// How long XAPI may keep a poll open without news: how old "last heard" gets on an idle pool, and how long a
/// deletion that was lost from the pool's history may go unnoticed.
pub const POLL: Duration = Duration::from_secs(5);
/// A doubt is confirmed by a short poll: counts and events of a busy pool may differ for a moment.
const CONFIRMATION_POLL: Duration = Duration::from_secs(1);
/// The client waits this much longer than the server.
const GRACE: Duration = Duration::from_secs(10);
/// Time limit of the first listing.
const LISTING: Duration = Duration::from_secs(120);
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
}

impl Watch {
    /// Without news, polls last as long as `poll`.
    pub fn new(poll: Duration) -> Self {
        Self {
            poll,
            state: State::default(),
            tolerated: FxHashMap::default(),
            listed: false,
        }
    }

    /// Waits for news. An error leaves the state as it was: the next call asks for the same.
    pub async fn poll(&mut self, client: &Client) -> Result<Batch, CallError> {
        let (token, wait, limit) = match &self.state {
            State::Unknown => ("", Duration::ZERO, LISTING),
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
            other => other?,
        };
        let doubted = matches!(self.state, State::Following { doubted: true, .. });
        self.state = State::Following {
            token: tail.token,
            doubted,
        };
        self.listed = full;
        Ok(Batch {
            full,
            events,
            counts: tail.counts,
        })
    }

    /// Compares counts after a batch was applied; a confirmed doubt makes the next poll a full listing.
    /// Returns the classes in doubt.
    pub fn check(&mut self, counts: &Counts, cache: &Cache) -> Vec<Class> {
        let mut differing = Vec::new();
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
    client: &Client,
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

async fn events(client: &Client, params: &[Value], limit: Duration) -> Result<(Vec<Event>, Tail), CallError> {
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
