//! One client: who it is, what it watches, and what waits to be sent to it.

use super::{frame::Frame, registry::Caller, views::Views};
use crate::{
    app::App,
    auth::{Accounts, SignedIn, tokens::now_ms},
    neighbours,
};
use rustc_hash::FxHashMap;
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// Calls of one client that run at a time; further messages are not read until one has ended.
pub const CALLS_AT_A_TIME: usize = 512;

/// Answers that a client has not read yet, in bytes; with more of them no call of it begins.
const UNREAD: usize = 1 << 20;

/// When `all` notifications begin: a client of old that never expected a frame before its first answer
/// must not meet one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notifications {
    /// Not signed in.
    Off,
    /// Signed in; they begin with the first answer, or a moment later.
    Held {
        since: u64,
    },
    On {
        since: u64,
    },
}

#[derive(Clone, Debug)]
struct Session {
    user: Option<SignedIn>,
    notifications: Notifications,
}

/// How a client came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    WebSocket,
    /// TCP.
    Lines,
    /// A page of ours: for one request.
    Page,
    /// The screen of a VM.
    Console,
}

impl Transport {
    /// Messages may be other bytes than text.
    pub fn takes_binary(self) -> bool {
        self == Self::WebSocket
    }
}

pub struct Connection {
    pub id: u64,
    pub address: String,
    neighbours: String,
    /// Secret of the `token` cookie of a same-origin upgrade.
    pub cookie: Option<String>,
    pub transport: Transport,
    session: Mutex<Session>,
    pub views: Mutex<Views>,
    answers: mpsc::UnboundedSender<Frame>,
    /// What is in the channel takes so much.
    unread: AtomicUsize,
    /// Something was read.
    read: Notify,
    /// Something besides the inventory wants attention: a view was opened, notifications begin.
    pub attention: Notify,
    pub closing: CancellationToken,
}

impl Connection {
    /// The connection and the answers that its transport has to send. The channel needs no bound of its
    /// own: see [`Self::until_answers_are_read`].
    pub fn new(
        id: u64,
        address: String,
        cookie: Option<String>,
        transport: Transport,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Frame>) {
        let (answers, receiver) = mpsc::unbounded_channel();
        let connection = Self {
            id,
            neighbours: neighbours::of_text(&address),
            address,
            cookie,
            transport,
            session: Mutex::new(Session {
                user: None,
                notifications: Notifications::Off,
            }),
            views: Mutex::default(),
            answers,
            unread: AtomicUsize::new(0),
            read: Notify::new(),
            attention: Notify::new(),
            closing: CancellationToken::new(),
        };
        (Arc::new(connection), receiver)
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn views(&self) -> MutexGuard<'_, Views> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn sign_in(&self, user: SignedIn, revision: u64) {
        *self.session() = Session {
            user: Some(user),
            notifications: Notifications::Held { since: revision },
        };
    }

    /// The client knows, or asks for, what was before this revision.
    pub fn begin_at(&self, revision: u64) {
        if let Notifications::Held { since } = &mut self.session().notifications {
            *since = revision;
        }
    }

    /// Forgets the user and what was watched; the socket stays.
    pub fn sign_out(&self) {
        *self.session() = Session {
            user: None,
            notifications: Notifications::Off,
        };
        self.views().clear();
    }

    /// The signed-in user, read anew: a change of permission counts at once.
    pub fn caller(&self, app: &App) -> Option<Caller> {
        let user = self.session().user.clone()?;
        let record = app.accounts.user(&user.user_id)?;
        Some(Caller {
            id: user.user_id,
            record,
        })
    }

    pub fn signed_in(&self) -> Option<SignedIn> {
        self.session().user.clone()
    }

    /// Its user has another password now, by this very session.
    pub fn renew(&self, accounts: &Accounts) {
        if let Some(user) = &mut self.session().user {
            accounts.renewed(user);
        }
    }

    /// The token that opened this session has run out.
    pub fn is_expired(&self) -> bool {
        let expires = self.session().user.as_ref().and_then(|user| user.expires);
        expires.is_some_and(|expires| expires <= now_ms())
    }

    pub fn notifications(&self) -> Notifications {
        self.session().notifications
    }

    /// Lets notifications begin, if somebody is signed in.
    pub fn release_notifications(&self) {
        let mut session = self.session();
        if let Notifications::Held { since } = session.notifications {
            session.notifications = Notifications::On { since };
            drop(session);
            self.attention.notify_one();
        }
    }

    /// Notes how far the client has been told.
    pub fn told(&self, revision: u64) {
        let mut session = self.session();
        if let Notifications::On { since } = &mut session.notifications {
            *since = revision;
        }
    }

    /// Waits while many answers are unread: who asks without reading makes no more of them. When the transport is
    /// gone, what was asked is done all the same, and nobody keeps the answers.
    pub async fn until_answers_are_read(&self) {
        loop {
            let read = self.read.notified();
            tokio::pin!(read);
            read.as_mut().enable();
            if self.unread.load(Ordering::Relaxed) < UNREAD {
                return;
            }
            tokio::select! {
                () = read => {}
                () = self.answers.closed() => return,
            }
        }
    }

    pub fn was_read(&self, answer: &Frame) {
        self.unread.fetch_sub(answer.memory(), Ordering::Relaxed);
        self.read.notify_waiters();
    }

    pub fn answer(&self, frame: Frame) {
        self.unread.fetch_add(frame.memory(), Ordering::Relaxed);
        // The transport is gone: so is whoever asked.
        if self.answers.send(frame).is_err() {
            tracing::trace!(connection = self.id, "an answer came too late");
        }
    }
}

/// The open connections.
#[derive(Default)]
pub struct Connections {
    open: Mutex<FxHashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    /// The last one has gone.
    emptied: Notify,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, FxHashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn len(&self) -> usize {
        self.open().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a new connection in, unless there are as many as there may be of its kind, or as many of its address
    /// on which nobody is signed in.
    pub fn admit(&self, connection: Arc<Connection>, most: usize, strangers: usize) -> bool {
        let mut open = self.open();
        let same = |other: &&Arc<Connection>| other.transport == connection.transport;
        let alike = open.values().filter(same).count();
        let strange = open
            .values()
            .filter(|other| other.neighbours == connection.neighbours && other.signed_in().is_none())
            .count();
        let admitted = alike < most && strange < strangers;
        if admitted {
            open.insert(connection.id, connection);
        }
        admitted
    }

    /// How many connections a user has.
    pub fn of_user(&self, user_id: &str) -> usize {
        let open = self.open();
        let own = open
            .values()
            .filter(|connection| connection.signed_in().is_some_and(|user| user.user_id == user_id));
        own.count()
    }

    /// Ends these sessions.
    pub fn end(&self, is_over: impl Fn(&SignedIn) -> bool) {
        let open = self.open();
        let over = |connection: &&Arc<Connection>| connection.signed_in().is_some_and(|user| is_over(&user));
        open.values()
            .filter(over)
            .for_each(|connection| connection.closing.cancel());
    }

    /// Ends the sessions that these tokens opened.
    pub fn end_sessions(&self, tokens: &[String]) {
        self.end(|user| user.token.as_ref().is_some_and(|token| tokens.contains(token)));
    }

    /// Ids of those who are signed in.
    pub fn users(&self) -> HashSet<String> {
        let open = self.open();
        let users = open.values().filter_map(|connection| connection.signed_in());
        users.map(|user| user.user_id).collect()
    }

    pub fn remove(&self, id: u64) {
        let mut open = self.open();
        open.remove(&id);
        if open.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// Waits until all have gone; no more are admitted by then.
    pub async fn gone(&self) {
        while !self.is_empty() {
            self.emptied.notified().await;
        }
    }

    pub fn list(&self) -> Vec<Arc<Connection>> {
        self.open().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn nothing_begins_while_answers_are_unread() {
        let (connection, mut answers) = Connection::new(1, "a".to_owned(), None, Transport::Lines);
        let large = || Frame::text(vec![vec![b'x'; UNREAD].into()]);
        assert!(connection.until_answers_are_read().now_or_never().is_some());
        connection.answer(large());
        let waiting = tokio::spawn({
            let connection = connection.clone();
            async move { connection.until_answers_are_read().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        connection.was_read(&answers.recv().await.expect("the answer"));
        waiting.await.expect("it may begin");
        connection.answer(large());
        drop(answers);
        assert!(
            connection.until_answers_are_read().now_or_never().is_some(),
            "nobody will read them"
        );
    }

    #[test]
    fn one_kind_of_connections_does_not_take_the_places_of_another() {
        let connections = Connections::default();
        let admit = |transport| {
            let (connection, _) = Connection::new(connections.next_id(), "a".to_owned(), None, transport);
            connections.admit(connection, 1, 10)
        };
        assert!(admit(Transport::WebSocket) && !admit(Transport::WebSocket));
        assert!(admit(Transport::Lines) && !admit(Transport::Lines));
    }
}
