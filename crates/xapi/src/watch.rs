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
pub use messages::gone as gone_messages;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

pub use crate::events::{Event, Operation};

/// How long XAPI may keep a poll open without news: how old "last heard" gets on an idle pool, and how long a
/// deletion that was lost from the pool's history may go unnoticed.
pub const POLL: Duration = Duration::from_secs(5);
/// A doubt is confirmed by a short poll: counts and events of a busy pool may differ for a moment.
const CONFIRMATION_POLL: Duration = Duration::from_secs(1);
/// The client waits this much longer than the server.
const GRACE: Duration = Duration::from_secs(10);
/// A poll that is late by so much may have been answered, and the answer lost on the way.
const LATE: Duration = Duration::from_secs(1);
/// As much of it as is taken for the distance of a host.
const MOST_LATE: Duration = Duration::from_secs(5);
/// How long a listing may let itself be waited for, at first and at most. A large pool thinks for a while before it
/// answers; one that is frozen never does. Who was too impatient waits twice as long the next time.
const PATIENCE: Duration = Duration::from_secs(15);
const MOST_PATIENCE: Duration = Duration::from_secs(240);
/// A listing that takes longer than three times the usual is made again beside itself: its answer may be lost. Not sooner,
/// and not later.
const SOONEST_LOST: Duration = Duration::from_secs(4);
const LATEST_LOST: Duration = Duration::from_secs(120);
/// After a doubt has led to a listing, the next one may not for so long; twice as long each time that it was in vain.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const MOST_LOOK_AGAIN: Duration = Duration::from_secs(600);
/// What is in between may end connections that are quiet for longer than this, and polls get as short; not shorter.
const SHORTEST_POLL: Duration = Duration::from_millis(500);
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
    /// As long as connections without news are let live on the way; no longer than `poll`.
    quiet: Duration,
    state: State,
    /// Differences in count that a fresh listing could not remove: rows that XAPI counts but does not
    /// show. Only what deviates from these is a doubt.
    tolerated: FxHashMap<Class, i64>,
    listed: bool,
    patience: Duration,
    /// What a listing of this pool takes when nothing is in its way.
    usual: Option<Duration>,
    /// The last listing was not waited for to its end.
    too_impatient: bool,
    /// How late polls without news are answered: far or busy hosts are not suspected all the time.
    lateness: Duration,
    /// When a doubt led to a listing, and how long nothing is doubted after it: one row that XAPI itself is wrong about
    /// must not make us list a pool without end.
    looked_again: Option<Instant>,
    look_again_after: Duration,
    messages: Messages,
}

impl Watch {
    /// Without news, polls last as long as `poll`.
    pub fn new(poll: Duration) -> Self {
        Self {
            poll,
            quiet: poll,
            state: State::default(),
            tolerated: FxHashMap::default(),
            listed: false,
            patience: PATIENCE,
            usual: None,
            too_impatient: false,
            lateness: Duration::ZERO,
            looked_again: None,
            look_again_after: LOOK_AGAIN,
            messages: Messages::default(),
        }
    }

    /// On a new connection: what was known of the pool's history is not to be relied on.
    pub fn reconnected(&mut self) {
        let Self {
            poll,
            quiet,
            patience,
            usual,
            too_impatient,
            lateness,
            looked_again,
            look_again_after,
            ..
        } = *self;
        *self = Self {
            quiet,
            patience,
            usual,
            too_impatient,
            lateness,
            looked_again,
            look_again_after,
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
            } => (token.as_str(), self.quiet, self.quiet + GRACE),
            State::Following { token, doubted: true } => {
                let wait = CONFIRMATION_POLL.min(self.quiet);
                (token.as_str(), wait, wait + GRACE)
            }
        };
        let full = token.is_empty();
        let classes: Vec<&str> = Class::ALL.iter().map(|class| class.name()).collect();
        let params = [json!(classes), json!(token), json!(wait.as_secs_f64())];
        let asked = Instant::now();
        let mut took = None;
        let answer = if full {
            let listed = self.listing(client, &params, limit).await;
            listed.map(|(listed, time)| {
                took = Some(time);
                listed
            })
        } else {
            let late = self.late();
            match insistent(client, &params, wait + late, limit).await {
                // One broken connection does not break a link: the same is asked again, and if it was the silence that
                // broke it, with less of it.
                Err(CallError::Transport { reason, .. }) => {
                    let waited = asked.elapsed();
                    if waited >= SHORTEST_POLL {
                        self.quiet = (waited / 2).clamp(SHORTEST_POLL.min(self.poll), self.poll);
                    }
                    tracing::debug!(reason, quiet = ?self.quiet, "asked again for events");
                    let wait = self.quiet.min(wait);
                    let params = [params[0].clone(), params[1].clone(), json!(wait.as_secs_f64())];
                    insistent(client, &params, wait + late, limit).await
                }
                other => other,
            }
        };
        let (events, tail) = match answer {
            Err(error) if error.is_fault("EVENT_FROM_TOKEN_PARSE_FAILURE") => {
                self.restart();
                return Err(error);
            }
            Err(error @ CallError::Timeout(_)) if full => {
                self.patience = (self.patience * 2).min(MOST_PATIENCE);
                self.too_impatient = true;
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
        let waited = asked.elapsed();
        if !full {
            // What came sooner was news, and tells nothing of the distance.
            let late = waited.saturating_sub(wait).min(MOST_LATE);
            self.lateness = late.max(self.lateness * 3 / 4);
        }
        if full {
            self.messages.listed();
            // As patient as it takes, with room; what once took long need not take long for ever.
            let took = took.unwrap_or(waited);
            self.patience = (took * 3).clamp(PATIENCE, MOST_PATIENCE);
            self.usual = Some(self.usual.map_or(took, |usual| took.min(usual * 2)));
            self.too_impatient = false;
        }
        Ok(Batch {
            full,
            events,
            counts: tail.counts,
        })
    }

    /// Everything there is, and how long that took. While nothing of it arrives for too long, it is made again beside
    /// itself: what the pool usually needs says how often. Where that is not known, or was not enough, once: a host that has
    /// much to do has more to do by that.
    async fn listing(
        &self,
        client: &Arc<Client>,
        params: &[Value],
        limit: Duration,
    ) -> Result<(Listed, Duration), CallError> {
        let (mut lost, once) = match self.usual {
            Some(usual) if !self.too_impatient => ((usual * 3).clamp(SOONEST_LOST, LATEST_LOST), false),
            _ => (limit / 2, true),
        };
        let begun = AtomicBool::new(false);
        let first = listing(client, params, limit, &begun);
        tokio::pin!(first);
        if let Ok(listed) = tokio::time::timeout(lost, &mut first).await {
            return listed;
        }
        loop {
            if begun.load(Ordering::Relaxed) {
                return first.await;
            }
            tracing::debug!(host = %client.endpoint().url, "a listing is late: it is made again");
            lost = lost * 3 / 2;
            let (arrives, mut refused) = (AtomicBool::new(false), false);
            let again = listing(client, params, limit, &arrives);
            let pause = tokio::time::sleep(lost);
            tokio::pin!(again, pause);
            loop {
                tokio::select! {
                    listed = &mut first => {
                        let is_late = matches!(listed, Err(CallError::Timeout(_)));
                        if is_late && !refused && arrives.load(Ordering::Relaxed) {
                            return again.await;
                        }
                        return listed;
                    }
                    listed = &mut again, if !refused => match listed {
                        Ok(listed) => return Ok(listed),
                        Err(_) => refused = true,
                    },
                    () = &mut pause, if !once => {
                        if refused || !arrives.load(Ordering::Relaxed) {
                            break;
                        }
                        pause.as_mut().reset(tokio::time::Instant::now() + lost);
                    }
                }
            }
        }
    }

    /// From when on a poll is late.
    fn late(&self) -> Duration {
        LATE + self.lateness * 2
    }

    /// So long after its beginning a poll, or a listing, may be one of a host that is frozen.
    pub fn overdue(&self) -> Duration {
        self.poll + self.late()
    }

    /// Whether [`Watch::compare_messages`] is due, with so many of them.
    pub fn compares_messages(&self, count: usize) -> bool {
        self.messages.is_due(count, self.poll)
    }

    /// The comparison has begun; it may go on beside the polls.
    pub fn began_to_compare(&mut self) {
        self.messages.began();
    }

    /// What the comparison has found, as a batch to be applied. One that failed is made again, later.
    pub fn compared(&mut self, gone: Result<Vec<OpaqueRef>, CallError>) -> Batch {
        self.messages.ended(gone.is_ok());
        let gone = gone.unwrap_or_else(|error| {
            tracing::debug!(%error, "the messages could not be compared");
            Vec::new()
        });
        let deletions = gone.into_iter().map(|reference| Event {
            class: Class::Message,
            reference,
            operation: Operation::Delete,
        });
        Batch::new(false, deletions.collect())
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
            } else if difference == 0 {
                // What was wrong has gone by itself: a row that was counted and not shown.
                self.tolerated.remove(&class);
            } else if difference != self.tolerated.get(&class).copied().unwrap_or(0) {
                differing.push(class);
            }
        }
        if self.listed {
            // A listing that left the counts as different as before was in vain: the next one has to wait longer.
            let in_vain =
                self.looked_again.is_some() && self.tolerated.values().any(|&difference| difference != 0);
            self.look_again_after = if in_vain {
                (self.look_again_after * 2).min(MOST_LOOK_AGAIN)
            } else {
                LOOK_AGAIN
            };
        }
        if let State::Following { doubted, .. } = &mut self.state {
            if differing.is_empty() {
                *doubted = false;
            } else if !std::mem::replace(doubted, true) {
                tracing::debug!(?differing, "row counts differ, looking again");
            } else if self.may_look_again() {
                self.restart();
            }
        }
        differing
    }

    /// Whether a confirmed doubt leads to a listing now.
    fn may_look_again(&mut self) -> bool {
        let early = self
            .looked_again
            .is_some_and(|at| at.elapsed() < self.look_again_after);
        if !early {
            self.looked_again = Some(Instant::now());
        }
        !early
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

type Listed = (Vec<Event>, Tail);

/// It is read while it arrives where the host speaks JSON; `begun` tells when it does.
async fn listing(
    client: &Arc<Client>,
    params: &[Value],
    limit: Duration,
    begun: &AtomicBool,
) -> Result<(Listed, Duration), CallError> {
    let asked = Instant::now();
    let listed = if client.speaks_json() {
        let answer = client.call_streamed::<EventReader>("event.from", params, limit, begun);
        let (reader, answer) = answer.await?;
        (reader.events, Tail::read(&answer)?)
    } else {
        events(client, params, limit).await?
    };
    Ok((listed, asked.elapsed()))
}

/// A poll. When it is late, the same is asked beside it, without waiting for news: a connection need not know that it
/// has lost an answer.
async fn insistent(
    client: &Arc<Client>,
    params: &[Value; 3],
    mut patience: Duration,
    limit: Duration,
) -> Result<Listed, CallError> {
    let polling = events(client, params, limit);
    tokio::pin!(polling);
    let at_once = [params[0].clone(), params[1].clone(), json!(0.0)];
    loop {
        let beside = async {
            tokio::time::sleep(patience).await;
            events(client, &at_once, limit.min(4 * LATE)).await
        };
        tokio::select! {
            polled = &mut polling => return polled,
            answer = beside => match answer {
                Ok(answer) => {
                    tracing::debug!(host = %client.endpoint().url, "a poll is late; another one was answered");
                    return Ok(answer);
                }
                Err(_) => patience = LATE,
            },
        }
    }
}

async fn events(client: &Arc<Client>, params: &[Value], limit: Duration) -> Result<Listed, CallError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(class: Class, count: i64) -> Counts {
        Counts(FxHashMap::from_iter([(class, count)]))
    }

    /// Following, after a listing in which so many tasks were counted and none shown.
    fn listed(counted_tasks: i64) -> Watch {
        let mut watch = Watch::new(POLL);
        watch.state = State::Following {
            token: "1,1".to_owned(),
            doubted: false,
        };
        watch.listed = true;
        assert!(
            watch
                .check(&counted(Class::Task, counted_tasks), &Cache::default())
                .is_empty()
        );
        watch.listed = false;
        watch
    }

    #[test]
    fn a_row_that_was_counted_and_not_shown_and_goes_is_no_doubt() {
        let mut watch = listed(1);
        let cache = Cache::default();
        assert!(
            watch.check(&counted(Class::Task, 1), &cache).is_empty(),
            "as it was"
        );
        assert!(
            watch.check(&counted(Class::Task, 0), &cache).is_empty(),
            "right now"
        );
        assert_eq!(watch.check(&counted(Class::Task, 1), &cache), [Class::Task]);
    }

    #[test]
    fn a_confirmed_doubt_leads_to_one_listing_and_not_at_once_to_the_next() {
        let (mut watch, cache) = (listed(0), Cache::default());
        let doubt = |watch: &mut Watch| {
            for _ in 0..2 {
                watch.check(&counted(Class::Vm, 1), &cache);
            }
            matches!(watch.state, State::Unknown)
        };
        assert!(doubt(&mut watch), "a doubt, and its confirmation");
        watch.state = State::Following {
            token: "2,2".to_owned(),
            doubted: false,
        };
        assert!(!doubt(&mut watch), "too early");
    }
}
