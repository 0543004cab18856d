//! JSON-RPC over WebSocket (`/api/`): one task per socket reads, calls, and writes.
//!
//! What is written has an order of rank: answers first, then notifications, chunk by chunk, so that an
//! answer never waits behind more than one chunk. A client that does not read makes nothing grow here: its
//! chunks are made when it can take them.

use super::{
    connection::{CALLS_AT_A_TIME, Connection, Notifications},
    dispatch::{self, Turn},
    feed::Audience,
    frame::Frame,
    views,
};
use crate::app::App;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};
use tokio_websockets::{CloseCode, Config, Limits, Message, ServerBuilder, WebSocketStream};

/// Longest message of a signed-in client, and of one that is not.
const MAX_MESSAGE: usize = 32 << 20;
const MAX_MESSAGE_BEFORE_SIGN_IN: usize = 64 << 10;
/// A client that takes nothing for so long is given up.
const STALLED: Duration = Duration::from_secs(60);
/// Pieces in which large frames are written, each with a time limit.
const PIECE: usize = 1 << 20;
/// `all` notifications begin at the latest so long after sign-in.
const HOLD: Duration = Duration::from_secs(2);
/// Time limit of a farewell.
const GOODBYE: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a socket is done.
enum End {
    Closed,
    /// Told to the client before the socket is closed.
    Because(CloseCode, &'static str),
}

/// Serves an upgraded connection until it ends.
pub async fn serve(
    app: &Arc<App>,
    io: Upgraded,
    connection: &Arc<Connection>,
    mut answers: tokio::sync::mpsc::UnboundedReceiver<Frame>,
) {
    let limits = Limits::default().max_payload_len(Some(MAX_MESSAGE_BEFORE_SIGN_IN));
    let mut socket = ServerBuilder::new()
        .limits(limits)
        .config(Config::default())
        .serve(TokioIo::new(io));
    let end = run(app, connection, &mut socket, &mut answers).await;
    app.connections.remove(connection.id);
    app.access.keep_watching(&app.connections.users());
    connection.closing.cancel();
    if tokio::time::timeout(GOODBYE, say_goodbye(&mut socket, end))
        .await
        .is_err()
    {
        tracing::debug!(connection = connection.id, "a close frame was not taken");
    }
}

/// Sends the close frame and reads on until the client hangs up: a socket that is closed with unread bytes
/// is reset, and the reason would be lost with it.
async fn say_goodbye(socket: &mut Socket, end: End) {
    let told = match end {
        End::Because(code, reason) => socket.send(Message::close(Some(code), reason)).await,
        End::Closed => SinkExt::flush(socket).await,
    };
    let told = match told {
        // The library has queued a close frame of its own: its answer to the client's, or what is wrong.
        Err(tokio_websockets::Error::AlreadyClosed) => SinkExt::flush(socket).await,
        told => told,
    };
    // The client may be gone already.
    if told.is_err() {
        return;
    }
    let io = socket.get_mut();
    if io.shutdown().await.is_err() {
        return;
    }
    let mut rest = vec![0; 16 << 10];
    while io.read(&mut rest).await.is_ok_and(|length| length > 0) {}
}

async fn run(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    socket: &mut Socket,
    answers: &mut tokio::sync::mpsc::UnboundedReceiver<Frame>,
) -> End {
    let mut pace = app.feed.subscribe();
    let turns = Arc::new(Semaphore::new(CALLS_AT_A_TIME));
    let mut more = false;
    let sign_in_time = tokio::time::sleep(app.limits.sign_in_time);
    tokio::pin!(sign_in_time);
    let mut greeted = false;
    loop {
        let signed_in = connection.signed_in().is_some();
        greeted |= signed_in;
        let limit = if signed_in {
            MAX_MESSAGE
        } else {
            MAX_MESSAGE_BEFORE_SIGN_IN
        };
        socket.limits_mut().set_max_payload_len(Some(limit));
        // Before sign-in one call at a time: a stranger gets no share of what the others need.
        let places = if signed_in { 1 } else { CALLS_AT_A_TIME };
        tokio::select! {
            biased;
            () = connection.closing.cancelled() => return End::Because(CloseCode::NORMAL_CLOSURE, "closed by the server"),
            Some(answer) = answers.recv() => {
                if write(app, socket, &answer).await.is_err() {
                    return End::Closed;
                }
            }
            message = next_message(socket, &turns, places) => match message {
                Ok(Some((message, turn))) => {
                    if connection.is_expired() {
                        return End::Because(CloseCode::POLICY_VIOLATION, "the token has expired");
                    }
                    call(app, connection, message, Turn { turns: turns.clone(), own: turn });
                }
                Ok(None) => return End::Closed,
                Err(tokio_websockets::Error::PayloadTooLong { .. }) => {
                    return End::Because(CloseCode::MESSAGE_TOO_BIG, "the message is too long");
                }
                Err(tokio_websockets::Error::Protocol(_)) => {
                    return End::Because(CloseCode::PROTOCOL_ERROR, "not the WebSocket protocol");
                }
                Err(_) => return End::Closed,
            },
            () = connection.attention.notified() => more = true,
            () = &mut sign_in_time, if !greeted => {
                return End::Because(CloseCode::POLICY_VIOLATION, "nobody signed in");
            }
            changed = pace.changed() => {
                if changed.is_err() {
                    return End::Because(CloseCode::GOING_AWAY, "the server stops");
                }
                more = true;
            }
            () = std::future::ready(()), if more => {
                if connection.is_expired() {
                    return End::Because(CloseCode::POLICY_VIOLATION, "the token has expired");
                }
                let upto = app.inventory.revision().min((*pace.borrow_and_update()).max(app.feed.opened()));
                match feed(app, connection, socket, upto).await {
                    Ok(again) => more = again,
                    Err(_) => return End::Closed,
                }
            }
        }
    }
}

/// The next message and a turn to answer it; without a free turn, nothing is read.
async fn next_message(
    socket: &mut Socket,
    turns: &Arc<Semaphore>,
    places: usize,
) -> Result<Option<(Message, tokio::sync::OwnedSemaphorePermit)>, tokio_websockets::Error> {
    // The semaphore is never closed.
    let places = u32::try_from(places).unwrap_or(u32::MAX);
    let Ok(turn) = turns.clone().acquire_many_owned(places).await else {
        return Ok(None);
    };
    loop {
        // The library queues a pong for each ping: it must be taken before the next one is read, or a client
        // that only sends would fill the memory.
        tokio::time::timeout(STALLED, SinkExt::flush(socket))
            .await
            .map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "the client does not read"))??;
        match socket.next().await {
            Some(Ok(message)) if message.is_text() || message.is_binary() => {
                return Ok(Some((message, turn)));
            }
            Some(Ok(message)) if message.is_close() => return Ok(None),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Ok(None),
        }
    }
}

fn call(app: &Arc<App>, connection: &Arc<Connection>, message: Message, turn: Turn) {
    let (app, connection) = (app.clone(), connection.clone());
    let was_signed_in = connection.signed_in().is_some();
    let closing = connection.closing.clone();
    let work = async move {
        let payload = message.into_payload();
        let opened = views::noting_opened(async {
            if let Some(frame) = dispatch::answer(&app, &connection, &payload, turn).await {
                connection.answer(frame);
            }
        });
        let opened = opened.await;
        if !opened.is_empty() {
            connection.views().release(&opened);
            connection.attention.notify_one();
        }
        match (was_signed_in, connection.signed_in().is_some()) {
            // The first call after the sign-in was answered.
            (true, true) => connection.release_notifications(),
            (false, true) => {
                connection.attention.notify_one();
                tokio::time::sleep(HOLD).await;
                connection.release_notifications();
            }
            _ => {}
        }
    };
    tokio::spawn(async move {
        if was_signed_in {
            // What an operator began goes on, whether or not the answer can be told.
            return work.await;
        }
        tokio::select! {
            () = work => {}
            () = closing.cancelled() => {}
        }
    });
}

/// Writes the next chunk of what the client watches; says whether more can be had at once.
async fn feed(app: &App, connection: &Connection, socket: &mut Socket, upto: u64) -> std::io::Result<bool> {
    let Some(caller) = connection.caller(app) else {
        return Ok(false);
    };
    let eye = app.access.eye(&caller);
    let (frames, mut more) = {
        let mut views = connection.views();
        if views.is_empty() {
            (Vec::new(), false)
        } else {
            views.next(&app.feed, &eye, &app.inventory, &app.pools, upto)
        }
    };
    let watches_views = !connection.views().is_empty();
    for frame in &frames {
        write(app, socket, frame).await?;
    }
    // Who has views is told through them.
    if let Notifications::On { since } = connection.notifications()
        && since < upto
        && !watches_views
    {
        let chunk = app.feed.chunk_for(&eye, Audience::All, since, upto);
        for frame in &chunk.frames {
            write(app, socket, frame).await?;
        }
        connection.told(chunk.to);
        more |= chunk.more;
    }
    Ok(more)
}

/// Writes a frame past the library: its bytes are shared with other clients.
async fn write(app: &App, socket: &mut Socket, frame: &Frame) -> std::io::Result<()> {
    let stalled = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "the client does not read");
    // What the library has queued (a pong, say) must be whole before our bytes.
    tokio::time::timeout(STALLED, SinkExt::flush(socket))
        .await
        .map_err(stalled)?
        .map_err(std::io::Error::other)?;
    let io = socket.get_mut();
    for part in frame.parts() {
        for piece in part.chunks(PIECE) {
            tokio::time::timeout(STALLED, io.write_all(piece))
                .await
                .map_err(stalled)??;
        }
    }
    tokio::time::timeout(STALLED, io.flush())
        .await
        .map_err(stalled)??;
    app.feed.count_sent(frame.len());
    Ok(())
}
