//! Connects, signs in with the session's cookie, keeps the calls under way, and connects again after a
//! cut. One machine: every event of the socket or of a timer goes through this file.

use super::{
    CallError, Phase, backoff,
    frame::{self, Incoming},
    socket::{Message, Socket},
    views,
};
use crate::{
    routes,
    rpc::{
        ErrorCode, Method,
        methods::{Empty, SignInWithCookie, User},
    },
};
use futures_channel::oneshot;
use leptos::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{cell::RefCell, collections::HashMap, time::Duration};

/// Beyond this something is wrong; the browser should not be the one to find out how much memory it has.
const MOST_PENDING: usize = 5_000;
/// Actions answer when they end (a migration may take long); this only keeps a lost one from staying.
const CALL_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);
/// A sign-in or subscription that takes this long means that nobody is there.
const HELLO_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) type Reply = Box<dyn FnOnce(Result<Box<RawValue>, CallError>)>;

#[derive(Default)]
struct Connection {
    socket: Option<Socket>,
    ready: bool,
    /// Counts sockets, so that a late event of an old one is told apart.
    generation: u64,
    last_id: u64,
    pending: HashMap<u64, Reply>,
    attempts: u32,
    broken_since: Option<f64>,
    phase: Option<RwSignal<Phase>>,
    user: Option<RwSignal<Option<User>>>,
}

thread_local! {
    static CONNECTION: RefCell<Connection> = RefCell::default();
}

/// Connects, and stays connected as long as the page lives.
pub fn start(phase: RwSignal<Phase>, user: RwSignal<Option<User>>) {
    CONNECTION.with_borrow_mut(|connection| {
        connection.phase = Some(phase);
        connection.user = Some(user);
    });
    open();
}

/// The user does not want to wait for the timer.
pub fn reconnect_now() {
    if !is_ready() {
        open();
    }
}

pub(super) fn is_ready() -> bool {
    CONNECTION.with_borrow(|connection| connection.ready)
}

/// Calls a method. Resolves when the server answers, the connection breaks, or the time is over.
pub async fn call<M: Method>(params: M::Params) -> Result<M::Output, CallError> {
    if !is_ready() {
        return Err(CallError::Offline);
    }
    let (sender, receiver) = oneshot::channel();
    send(
        M::NAME,
        &params,
        Box::new(move |answer| {
            let _ = sender.send(answer);
        }),
    );
    let raw = receiver.await.unwrap_or(Err(CallError::Lost))?;
    serde_json::from_str(raw.get()).map_err(|error| CallError::Shape(error.to_string()))
}

#[derive(Serialize)]
struct Request<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

/// Sends a call; `reply` is called exactly once, never before this returns unless nothing was sent.
pub(super) fn send<P: Serialize>(method: &str, params: &P, reply: Reply) {
    send_for(method, params, CALL_TIMEOUT, reply);
}

fn send_for<P: Serialize>(method: &str, params: &P, timeout: Duration, reply: Reply) {
    let refused = CONNECTION.with_borrow_mut(|connection| {
        let Some(socket) = &connection.socket else {
            return Some((reply, CallError::Offline));
        };
        if connection.pending.len() >= MOST_PENDING {
            return Some((reply, CallError::TooMany));
        }
        connection.last_id += 1;
        let id = connection.last_id;
        let request = Request {
            jsonrpc: "2.0",
            id,
            method,
            params,
        };
        match serde_json::to_string(&request) {
            Err(error) => return Some((reply, CallError::Shape(error.to_string()))),
            Ok(text) if !socket.send(&text) => return Some((reply, CallError::Offline)),
            Ok(_) => {}
        }
        connection.pending.insert(id, reply);
        set_timeout(move || expire(id), timeout);
        None
    });
    if let Some((reply, error)) = refused {
        reply(Err(error));
    }
}

fn expire(id: u64) {
    let reply = CONNECTION.with_borrow_mut(|connection| connection.pending.remove(&id));
    if let Some(reply) = reply {
        reply(Err(CallError::TimedOut));
    }
}

fn open() {
    let url = endpoint();
    CONNECTION.with_borrow_mut(|connection| {
        connection.generation += 1;
        let generation = connection.generation;
        if let (Some(phase), Some(since)) = (connection.phase, connection.broken_since) {
            phase.set(Phase::Broken {
                since,
                next: None,
                attempts: connection.attempts,
            });
        }
        connection.socket = Socket::open(&url, sign_in, receive, move |code| closed(generation, code));
        if connection.socket.is_none() {
            set_timeout(move || closed(generation, 0), Duration::ZERO);
        }
    });
}

fn endpoint() -> String {
    let location = window().location();
    let scheme = if location.protocol().is_ok_and(|protocol| protocol == "https:") {
        "wss"
    } else {
        "ws"
    };
    format!(
        "{scheme}://{}{}",
        location.host().unwrap_or_default(),
        routes::API
    )
}

fn sign_in() {
    send_for(
        SignInWithCookie::NAME,
        &Empty {},
        HELLO_TIMEOUT,
        Box::new(|answer| match answer {
            Ok(raw) => welcome(serde_json::from_str(raw.get()).ok()),
            Err(CallError::Refused(error))
                if error.is(ErrorCode::INVALID_CREDENTIALS) || error.is(ErrorCode::UNAUTHORIZED) =>
            {
                signed_out();
            }
            Err(_) => give_up(),
        }),
    );
}

fn welcome(user: Option<User>) {
    CONNECTION.with_borrow_mut(|connection| {
        connection.ready = true;
        connection.attempts = 0;
        connection.broken_since = None;
        if let Some(signal) = connection.user {
            signal.set(user);
        }
        if let Some(phase) = connection.phase {
            phase.set(Phase::Ready);
        }
    });
    views::subscribe_all();
}

fn signed_out() {
    CONNECTION.with_borrow_mut(|connection| {
        // A new generation: the close of this socket must not start another attempt.
        connection.generation += 1;
        connection.ready = false;
        if let Some(phase) = connection.phase {
            phase.set(Phase::SignedOut);
        }
    });
    let _ = window().location().set_href(routes::SIGN_IN);
}

/// The server does not answer: drop the socket from outside its own listener.
fn give_up() {
    let generation = CONNECTION.with_borrow(|connection| connection.generation);
    set_timeout(move || closed(generation, 0), Duration::ZERO);
}

fn receive(message: Message) {
    let incoming = match &message {
        Message::Text(text) => frame::read_text(text),
        Message::Binary(bytes) => frame::read_binary(bytes),
    };
    match incoming {
        Ok(Incoming::Answer { id, result }) => {
            let reply = CONNECTION.with_borrow_mut(|connection| connection.pending.remove(&id));
            if let Some(reply) = reply {
                reply(result.map_err(CallError::Refused));
            }
        }
        Ok(Incoming::View(update)) => views::deliver(update),
        Ok(Incoming::Other) => {}
        Err(error) => leptos::logging::error!("unreadable message from the server: {error}"),
    }
}

fn closed(generation: u64, _code: u16) {
    let lost = CONNECTION.with_borrow_mut(|connection| {
        if connection.generation != generation {
            return None;
        }
        let now = js_sys::Date::now();
        let since = *connection.broken_since.get_or_insert(now);
        let delay = backoff::delay_ms(connection.attempts, js_sys::Math::random());
        connection.attempts += 1;
        connection.ready = false;
        if let Some(phase) = connection.phase {
            phase.set(Phase::Broken {
                since,
                next: Some(now + delay),
                attempts: connection.attempts,
            });
        }
        set_timeout(
            move || {
                // Not inside a listener of the old socket, so `open` may drop it.
                if CONNECTION.with_borrow(|connection| connection.generation == generation) {
                    open();
                }
            },
            Duration::from_millis(delay as u64),
        );
        Some(std::mem::take(&mut connection.pending))
    });
    views::forget_numbers();
    for reply in lost.into_iter().flat_map(HashMap::into_values) {
        reply(Err(CallError::Lost));
    }
}
