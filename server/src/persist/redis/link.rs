//! The connection: taken, kept, lost, found again, and what is believed of the store behind it.

use super::{
    Address, Owner, Waits,
    lease::Refusal,
    scripts::{FOUND, HEAD, LAYOUT, OWNER, RELEASE, RENEW},
};
use crate::persist::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind, aio::MultiplexedConnection};
use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// A lost connection that is back so soon is not told to anybody.
const BLIP: Duration = Duration::from_millis(500);

/// What we know to be in the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) store: String,
    pub(super) revision: u64,
    pub(super) commit: String,
    /// Sent, and not answered yet.
    pub(super) pending: Option<String>,
}

struct State {
    known: Known,
    /// The number tells one connection from the next.
    number: u64,
    /// Whether somebody was told that the outcome of the pending change is not known.
    given_up: bool,
    /// To connect, since the connection was lost.
    attempts: u32,
    connection: Result<(MultiplexedConnection, String), StoreError>,
}

/// A connection, and what was known when it was asked for.
pub(super) struct Session {
    connection: MultiplexedConnection,
    token: String,
    number: u64,
    known: Known,
}

impl Session {
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// The lease's value.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn store(&self) -> &str {
        &self.known.store
    }

    pub(super) fn revision(&self) -> u64 {
        self.known.revision
    }
}

/// Why a question has no useful answer.
pub(super) enum Asked {
    /// Redis said no: nothing was done.
    Refused(StoreError),
    /// The connection was lost: it may have been done.
    Unanswered(StoreError),
    /// Nothing was heard for too long: it may have been done, or be done yet.
    Late(StoreError),
}

impl Asked {
    pub(super) fn error(self) -> StoreError {
        match self {
            Self::Refused(error) | Self::Unanswered(error) | Self::Late(error) => error,
        }
    }
}

/// What became of a change whose answer did not come.
pub(super) enum Outcome {
    Made,
    NotMade,
    Unknown(StoreError),
}

pub(super) struct Link {
    pub(super) address: Address,
    pub(super) waits: Waits,
    pub(super) owner: Owner,
    /// One change at a time: each builds on the revision of the one before.
    pub(super) committing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    /// A change was made of which somebody was told that its outcome is not known, and who reads from memory does not know it.
    stale: watch::Sender<bool>,
    /// Grows when the state changed.
    changed: watch::Sender<u64>,
    /// Wakes the keeper.
    lost: Notify,
}

/// Whether what failed is the connection, or a Redis that is not itself for a while.
pub(super) fn is_away(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || matches!(
            error.kind(),
            ErrorKind::Parse
                | ErrorKind::Server(
                    ServerErrorKind::BusyLoading
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::ReadOnly
                        | ServerErrorKind::TryAgain
                        | ServerErrorKind::ClusterDown
                )
        )
}

/// Whether Redis itself said it: then nothing was done.
fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

impl Link {
    pub(super) async fn open(address: Address, owner: Owner, waits: Waits) -> Result<Self, StoreError> {
        let nothing = State {
            known: Known::default(),
            number: 0,
            given_up: false,
            attempts: 0,
            connection: Err(StoreError::Away("not connected yet".to_owned())),
        };
        let link = Self {
            address,
            waits,
            owner,
            committing: tokio::sync::Mutex::default(),
            state: Mutex::new(nothing),
            stale: watch::Sender::new(false),
            changed: watch::Sender::new(0),
            lost: Notify::new(),
        };
        // Somebody who died keeps the lease for as long as it lasts.
        let deadline = Instant::now() + link.waits.start.max(link.waits.lease);
        let mut said = false;
        let (connection, value, head) = loop {
            match link.attempt("").await {
                Ok(found) => break found,
                Err(Refusal::Later(error)) if Instant::now() < deadline => {
                    if !said {
                        tracing::warn!("{}: {error}; waiting for it", link.address);
                        said = true;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(refusal) => return Err(link.about(refusal.error())),
            }
        };
        let known = match &head.layout {
            Some(layout) if layout == LAYOUT => head.known,
            Some(layout) => {
                return Err(link.about(StoreError::Unusable(format!(
                    "its layout is {layout:?}, this program knows {LAYOUT:?}"
                ))));
            }
            None if head.known.store.is_empty() => link.found(&connection, &value).await?,
            None => {
                return Err(link.about(StoreError::Unusable(format!(
                    "{HEAD} is damaged: it names no layout"
                ))));
            }
        };
        link.set(known, Ok((connection, value)));
        Ok(link)
    }

    fn about(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Unusable(text) => StoreError::Unusable(format!("{}: {text}", self.address)),
            StoreError::Away(text) => StoreError::Away(format!("{}: {text}", self.address)),
            StoreError::InUse(text) => StoreError::InUse(format!("{}: {text}", self.address)),
            other => other,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, known: Known, connection: Result<(MultiplexedConnection, String), StoreError>) {
        let mut state = self.state();
        state.known = known;
        state.number += 1;
        state.connection = connection;
        drop(state);
        self.changed.send_modify(|revision| *revision += 1);
    }

    /// A new store.
    async fn found(&self, connection: &MultiplexedConnection, value: &str) -> Result<Known, StoreError> {
        let store = uuid::Uuid::new_v4().to_string();
        let mut command = redis::cmd("EVAL");
        command.arg(FOUND).arg(2).arg(OWNER).arg(HEAD);
        command.arg(value).arg(LAYOUT).arg(&store);
        let mut connection = connection.clone();
        match timeout(self.waits.answer, command.query_async::<String>(&mut connection)).await {
            Ok(Ok(word)) if word == "done" => Ok(Known {
                store,
                ..Known::default()
            }),
            Ok(Ok(_)) => Err(self.about(StoreError::InUse("another server came first".to_owned()))),
            Ok(Err(error)) => Err(self.about(StoreError::Unusable(error.to_string()))),
            Err(_) => Err(self.about(StoreError::Away("no answer in time".to_owned()))),
        }
    }

    /// The connection, or at once why there is none.
    pub(super) fn session(&self) -> Result<Session, StoreError> {
        let state = self.state();
        let (connection, token) = state.connection.as_ref().map_err(StoreError::again)?;
        Ok(Session {
            connection: connection.clone(),
            token: token.clone(),
            number: state.number,
            known: state.known.clone(),
        })
    }

    /// Waits for an answer; what shows that the connection is no more ends it.
    pub(super) async fn ask<T>(
        &self,
        session: &Session,
        within: Duration,
        query: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Asked> {
        let answer = timeout(within, query).await;
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if is_answer(&error) => {
                let text = error.to_string();
                if is_away(&error) {
                    self.drop_connection(session, StoreError::Away(text.clone()));
                    return Err(Asked::Refused(StoreError::Away(text)));
                }
                return Err(Asked::Refused(StoreError::Unusable(format!(
                    "Redis refused: {text}"
                ))));
            }
            Ok(Err(error)) => {
                let error = StoreError::Away(error.to_string());
                self.drop_connection(session, error.again());
                return Err(Asked::Unanswered(error));
            }
            Err(_) => StoreError::Away("no answer in time".to_owned()),
        };
        // One that hangs will not be back in a moment.
        self.drop_connection(session, error.again());
        self.state().attempts = 1;
        Err(Asked::Late(error))
    }

    fn drop_connection(&self, session: &Session, why: StoreError) {
        let mut state = self.state();
        if state.number != session.number || state.connection.is_err() {
            return;
        }
        tracing::error!("{}: {why}", self.address);
        state.connection = Err(why);
        state.attempts = 0;
        drop(state);
        self.changed.send_modify(|revision| *revision += 1);
        self.lost.notify_one();
    }

    /// In ms.
    pub(super) fn lease(&self) -> u64 {
        u64::try_from(self.waits.lease.as_millis()).unwrap_or(u64::MAX)
    }

    /// The lease has to be taken again.
    pub(super) fn expired(&self, session: &Session) {
        self.drop_connection(session, StoreError::Away("our lease has run out".to_owned()));
    }

    /// The store is not the one that we know.
    pub(super) fn lost_store(&self, session: &Session) -> StoreError {
        let error = StoreError::Lost("its records were removed while we used it".to_owned());
        self.drop_connection(session, error.again());
        error
    }

    /// What a script said in place of `done`.
    pub(super) fn refused(&self, session: &Session, word: &str) -> StoreError {
        let error = match word {
            "owner" => StoreError::InUse("another server has taken our lease".to_owned()),
            "head" => StoreError::Lost("it is not as we left it".to_owned()),
            other => {
                return StoreError::Unusable(format!("{other} is not of ours: it has the wrong type"));
            }
        };
        self.drop_connection(session, error.again());
        error
    }

    pub(super) fn begin(&self, commit: &str) {
        self.state().known.pending = Some(commit.to_owned());
    }

    pub(super) fn abandoned(&self) {
        self.state().known.pending = None;
    }

    /// Also when a new connection has found it out before.
    pub(super) fn finished(&self, session: &Session, commit: String) {
        self.state().known = Known {
            store: session.known.store.clone(),
            revision: session.known.revision + 1,
            commit,
            pending: None,
        };
    }

    pub(super) fn is_current(&self, session: &Session) -> bool {
        let state = self.state();
        state.number == session.number && state.connection.is_ok()
    }

    /// Waits for the next connection to tell what became of a change.
    pub(super) async fn outcome(&self, session: &Session, commit: &str) -> Outcome {
        let mut changed = self.changed.subscribe();
        let known = async {
            loop {
                {
                    let state = self.state();
                    match &state.connection {
                        Ok(_) if state.number > session.number => {
                            return if state.known.commit == commit {
                                Outcome::Made
                            } else {
                                Outcome::NotMade
                            };
                        }
                        Err(error @ (StoreError::Lost(_) | StoreError::InUse(_))) => {
                            return Outcome::Unknown(error.again());
                        }
                        _ => {}
                    }
                }
                // The sender is ours: it does not go.
                let _ = changed.changed().await;
            }
        };
        match timeout(self.waits.outcome, known).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.state().given_up = true;
                Outcome::Unknown(StoreError::Unknown)
            }
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        *self.stale.borrow()
    }

    pub(super) fn set_stale(&self, stale: bool) {
        self.stale.send_replace(stale);
    }

    /// Waits until what is in memory is out of date.
    pub(super) async fn stale(&self) {
        // The sender is ours: it does not go.
        let _ = self.stale.subscribe().wait_for(|stale| *stale).await;
    }

    /// As [`Link::session`], but a connection that was lost just now is given one attempt to come back.
    pub(super) async fn ready(&self) -> Result<Session, StoreError> {
        let mut changed = self.changed.subscribe();
        let deadline = Instant::now() + BLIP;
        loop {
            if !self.is_coming_back() || Instant::now() >= deadline {
                return self.session();
            }
            // The sender is ours: it does not go.
            let _ = timeout_at(deadline, changed.changed()).await;
        }
    }

    fn is_coming_back(&self) -> bool {
        let state = self.state();
        state.connection.is_err() && state.attempts == 0
    }

    /// Waits until Redis is away, and not for a moment only.
    pub(super) async fn down(&self) -> StoreError {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let state = self.state();
                if let Err(error) = &state.connection
                    && state.attempts > 0
                {
                    return error.again();
                }
            }
            let _ = changed.changed().await;
        }
    }

    /// One step of the keeper: what is there is kept, what is not is looked for.
    async fn tend(&self) {
        match self.session() {
            Ok(session) => self.renew(&session).await,
            Err(_) => self.reconnect().await,
        }
    }

    async fn renew(&self, session: &Session) {
        // Changes move the revision, and renew the lease themselves.
        let Ok(_turn) = timeout(self.waits.lease / 3, self.committing.lock()).await else {
            return;
        };
        let known = self.state().known.clone();
        let mut command = redis::cmd("EVAL");
        command.arg(RENEW).arg(2).arg(OWNER).arg(HEAD);
        command.arg(session.token()).arg(self.lease());
        command.arg(&known.store).arg(known.revision);
        let mut connection = session.connection();
        let query = command.query_async::<String>(&mut connection);
        match self.ask(session, self.waits.answer, query).await {
            Ok(word) if word == "done" => {}
            Ok(word) if word == "expired" => self.expired(session),
            Ok(word) => {
                self.refused(session, &word);
            }
            // It has been noted where it matters.
            Err(asked) => tracing::debug!(error = %asked.error(), "the lease was not renewed"),
        }
    }

    async fn reconnect(&self) {
        let known = self.state().known.clone();
        let found = self.attempt(&known.store).await;
        let compared = found.map_err(Refusal::error).and_then(|found| {
            let there = compare(&known, &found.2.known)?;
            Ok((there, found.0, found.1))
        });
        match compared {
            Ok((there, connection, value)) => {
                tracing::info!("{}: connected again", self.address);
                let made = there.revision > known.revision;
                if std::mem::take(&mut self.state().given_up) && made {
                    tracing::warn!(
                        "{}: the change whose outcome was not known was made",
                        self.address
                    );
                    self.set_stale(true);
                }
                self.set(there, Ok((connection, value)));
            }
            Err(error) => {
                let mut state = self.state();
                let news =
                    state.connection.as_ref().err().map(ToString::to_string) != Some(error.to_string());
                if news {
                    tracing::error!("{}: {error}", self.address);
                }
                state.connection = Err(error);
                state.attempts = state.attempts.saturating_add(1);
                drop(state);
                self.changed.send_modify(|revision| *revision += 1);
            }
        }
    }

    pub(super) async fn release(&self) {
        let Ok(session) = self.session() else {
            return;
        };
        let mut command = redis::cmd("EVAL");
        command.arg(RELEASE).arg(1).arg(OWNER).arg(session.token());
        let mut connection = session.connection();
        let query = command.query_async::<String>(&mut connection);
        if let Err(asked) = self.ask(&session, self.waits.answer, query).await {
            tracing::debug!(error = %asked.error(), "the lease was not given back");
        }
    }
}

/// Whether the store that is there is the one that we left, perhaps with the change that was on its way.
fn compare(known: &Known, there: &Known) -> Result<Known, StoreError> {
    if there.store != known.store {
        return Err(StoreError::Lost("Redis came back with another store".to_owned()));
    }
    let same = there.revision == known.revision && there.commit == known.commit;
    let pending = there.revision == known.revision + 1 && Some(&there.commit) == known.pending.as_ref();
    if same || pending {
        return Ok(there.clone());
    }
    Err(if there.revision < known.revision {
        StoreError::Lost(format!(
            "Redis came back in an earlier state: {} acknowledged changes are missing",
            known.revision - there.revision
        ))
    } else {
        StoreError::InUse("another server has changed it meanwhile".to_owned())
    })
}

/// Keeps the lease and finds lost connections again, until it is cancelled.
pub(super) async fn keep(link: Arc<Link>, cancel: CancellationToken) {
    const FIRST_PAUSE: Duration = Duration::from_millis(20);
    let mut pause = FIRST_PAUSE;
    loop {
        let wait = if link.session().is_ok() {
            pause = FIRST_PAUSE;
            link.waits.lease / 3
        } else {
            let wait = pause;
            pause = (pause * 2).min(link.waits.pause);
            wait
        };
        tokio::select! {
            () = cancel.cancelled() => return,
            () = link.lost.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = link.tend() => {}
        }
    }
}
