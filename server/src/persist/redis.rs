//! Redis as the store: for those who back it up, or keep it, on another machine.
//!
//! One server at a time may write: it holds a lease, and every change says in the name of which lease and on
//! top of which revision it is made. So a change that was sent over a connection that is lost is either found
//! to be made, or can no longer be made; and a Redis that comes back without what it had acknowledged, or
//! that somebody else has written to meanwhile, is noticed and not believed.

mod address;
mod durability;
mod lease;
mod link;
mod owner;
mod scripts;

pub use address::{Address, Place, has_password};
pub use owner::Owner;

use super::{Backend, Change, Pending, Status, StoreError};
use link::{Asked, Link, Outcome};
use redis::{Cmd, FromRedisValue};
use scripts::{COMMIT, GET, HEAD, LIST, OWNER, RECORDS};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long is waited for what. Tests shorten it.
#[derive(Clone, Debug)]
pub struct Waits {
    /// At the start, for a Redis that is not there yet.
    pub start: Duration,
    /// For a connection, and for an answer.
    pub answer: Duration,
    /// After that the writer's name is free for another server. It is renewed three times meanwhile.
    pub lease: Duration,
    /// For a lost connection to come back and tell whether a change was made.
    pub outcome: Duration,
    /// Longest pause between two attempts to connect.
    pub pause: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            lease: Duration::from_secs(12),
            outcome: Duration::from_secs(5),
            pause: Duration::from_secs(1),
        }
    }
}

/// A large change takes longer: this many bytes a second are taken for slow, but working.
const SLOW: u64 = 4 << 20;

pub struct Redis {
    link: Arc<Link>,
    warnings: Vec<String>,
    _keeper: DropGuard,
}

impl Redis {
    /// Connects, takes the lease, and checks that it is a store of ours that is there, or none.
    pub async fn open(address: Address, owner: Owner, waits: Waits) -> Result<Self, StoreError> {
        let link = Arc::new(Link::open(address, owner, waits).await?);
        let warnings = durability::warnings(&link).await;
        for warning in &warnings {
            tracing::warn!("{}: {warning}", link.address);
        }
        let cancel = CancellationToken::new();
        tokio::spawn(link::keep(link.clone(), cancel.clone()));
        Ok(Self {
            link,
            warnings,
            _keeper: cancel.drop_guard(),
        })
    }
}

fn key(collection: &str) -> String {
    format!("{RECORDS}{collection}")
}

impl Link {
    /// Reads from the store that we know and from no other.
    async fn read<T: FromRedisValue>(&self, script: &str, key: String, id: &str) -> Result<T, StoreError> {
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(2).arg(HEAD).arg(key).arg(id);
        for last in [false, true] {
            let session = self.ready().await?;
            let mut connection = session.connection();
            let query = command.query_async::<(Option<String>, T)>(&mut connection);
            match self.ask(&session, self.waits.answer, query).await {
                Ok((store, value)) if store.as_deref() == Some(session.store()) => return Ok(value),
                Ok(_) => return Err(self.lost_store(&session)),
                // A connection that was lost while nobody used it is found out by the first who does.
                Err(Asked::Unanswered(_)) if !last => {}
                Err(asked) => return Err(asked.error()),
            }
        }
        Err(StoreError::Away("the connection was lost again".to_owned()))
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let turn = tokio::time::timeout(self.waits.answer * 2, self.committing.lock());
        let turn = tokio::select! {
            turn = turn => turn,
            // Who has a turn may wait for the outcome of a change: nobody else need wait with it.
            error = self.down() => return Err(error),
        };
        let Ok(_turn) = turn else {
            return Err(StoreError::Away(
                "too many changes wait for their turn".to_owned(),
            ));
        };
        if self.is_stale() {
            // What is to be written was made from what was before.
            return Err(StoreError::Away(
                "what was changed last is being read again".to_owned(),
            ));
        }
        let commit = uuid::Uuid::new_v4().to_string();
        // A connection that was lost without us noticing is found out by the first change: it gets a second.
        for _ in 0..2 {
            let session = self.ready().await?;
            let (command, size) = self.command(&session, &commit, &changes);
            self.begin(&commit);
            let limit = self.waits.answer + Duration::from_secs(size / SLOW);
            let mut connection = session.connection();
            let query = command.query_async::<String>(&mut connection);
            match self.ask(&session, limit, query).await {
                Ok(word) if word == "done" => {
                    self.finished(&session, commit);
                    return Ok(());
                }
                Ok(word) if word != "expired" && self.is_current(&session) => {
                    self.abandoned();
                    return Err(self.refused(&session, &word));
                }
                Err(Asked::Refused(error)) => {
                    self.abandoned();
                    return Err(error);
                }
                // Nothing was heard, or our lease is no more: the next connection tells.
                Ok(_) | Err(Asked::Unanswered(_) | Asked::Late(_)) => {
                    self.expired(&session);
                    match self.outcome(&session, &commit).await {
                        Outcome::Made => return Ok(()),
                        Outcome::NotMade => tracing::debug!("a change is sent again"),
                        Outcome::Unknown(error) => return Err(error),
                    }
                }
            }
        }
        Err(StoreError::Away(
            "the connection was lost again; the change was not made".to_owned(),
        ))
    }

    fn command(&self, session: &link::Session, commit: &str, changes: &[Change]) -> (Cmd, u64) {
        let mut collections: Vec<&str> = changes.iter().map(|change| change.collection).collect();
        collections.sort_unstable();
        collections.dedup();
        let mut command = redis::cmd("EVAL");
        command
            .arg(COMMIT)
            .arg(2 + collections.len())
            .arg(OWNER)
            .arg(HEAD);
        for collection in &collections {
            command.arg(key(collection));
        }
        command
            .arg(session.token())
            .arg(session.store())
            .arg(session.revision())
            .arg(session.revision() + 1)
            .arg(commit)
            .arg(self.lease());
        let mut size = 0;
        for change in changes {
            let place = collections.partition_point(|name| *name < change.collection);
            let (mark, value) = match &change.value {
                Some(value) => ("=", value.as_slice()),
                None => ("-", [].as_slice()),
            };
            size += value.len() as u64;
            // Lua counts from one, and owner and head come first.
            command.arg(place + 3).arg(&change.id).arg(mark).arg(value);
        }
        (command, size)
    }
}

impl Backend for Redis {
    fn get(&self, collection: &'static str, id: &str) -> Pending<'_, Option<Vec<u8>>> {
        let id = id.to_owned();
        Box::pin(async move { self.link.read(GET, key(collection), &id).await })
    }

    fn list(&self, collection: &'static str) -> Pending<'_, Vec<(String, Vec<u8>)>> {
        Box::pin(async move {
            let mut records: Vec<(String, Vec<u8>)> = self.link.read(LIST, key(collection), "").await?;
            records.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            Ok(records)
        })
    }

    /// Once begun it is finished, even if the caller is cancelled.
    fn commit(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        let link = self.link.clone();
        Box::pin(async move {
            let work = tokio::spawn(async move { link.commit(changes).await });
            work.await
                .unwrap_or_else(|error| Err(StoreError::Unusable(error.to_string())))
        })
    }

    fn scrub(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            durability::rewrite(&self.link).await;
            Ok(())
        })
    }

    fn surprise(&self) -> Pending<'_, ()> {
        Box::pin(async {
            self.link.stale().await;
            Ok(())
        })
    }

    fn has_read_anew(&self) {
        self.link.set_stale(false);
    }

    fn status(&self) -> Status {
        Status {
            kind: "redis",
            place: self.link.address.to_string(),
            problem: self.link.session().err().map(|error| error.to_string()),
            warnings: self.warnings.clone(),
        }
    }

    /// Gives the lease back, so that another server need not wait until it runs out.
    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            self.link.release().await;
            Ok(())
        })
    }
}
