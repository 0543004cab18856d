//! One client, whatever its transport: one task reads, calls, and writes.
//!
//! What is written has an order of rank: answers first, then notifications, chunk by chunk, so that an
//! answer never waits behind more than one chunk. A client that does not read makes nothing grow here: its
//! chunks are made when it can take them.

use super::{
    connection::{CALLS_AT_A_TIME, Connection, Notifications},
    dispatch::{self, Turn},
    feed::Audience,
    frame::Frame,
    room, views,
};
use crate::app::App;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::task::TaskTracker;

/// Longest message of a client that is not signed in; see also [`crate::limits::Limits::message`].
pub const MAX_MESSAGE_BEFORE_SIGN_IN: usize = 64 << 10;
/// A client that takes nothing for so long is given up.
pub const STALLED: Duration = Duration::from_secs(60);
/// News that are under way when the server stops are taken within that time, or not.
const TAKEN: Duration = Duration::from_secs(2);
/// Pieces in which large frames are written, each with a time limit.
const PIECE: usize = 1 << 20;
/// `all` notifications begin at the latest so long after sign-in.
const HOLD: Duration = Duration::from_secs(2);
/// A client that has said all it wants waits so long for its answers.
const LAST_ANSWERS: Duration = Duration::from_secs(600);

/// How messages come and go.
pub trait Wire: Send {
    /// A client that has ended its side may still be waiting for answers.
    const HALF_CLOSES: bool;

    /// The next message, no longer than that; `None` at the end. Can be given up and asked again.
    fn next(&mut self, longest: usize) -> impl Future<Output = Result<Option<Bytes>, End>> + Send;
    fn write(&mut self, frame: &Frame) -> impl Future<Output = std::io::Result<()>> + Send;
}

/// Why a conversation is over.
#[derive(Debug)]
pub enum End {
    Closed,
    /// Told to the client before its connection is closed.
    Because(Reason, &'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Closed,
    GoingAway,
    NotAllowed,
    TooLong,
    NotTheProtocol,
}

/// Converses until the connection is over. The caller has admitted it.
pub async fn converse<W: Wire>(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    wire: &mut W,
    mut answers: mpsc::UnboundedReceiver<Frame>,
) -> End {
    let end = run(app, connection, wire, &mut answers).await;
    app.connections.remove(connection.id);
    app.access.keep_watching(|| app.connections.users());
    connection.closing.cancel();
    end
}

async fn run<W: Wire>(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    wire: &mut W,
    answers: &mut mpsc::UnboundedReceiver<Frame>,
) -> End {
    let mut pace = app.feed.subscribe();
    let turns = Arc::new(Semaphore::new(CALLS_AT_A_TIME));
    let calls = TaskTracker::new();
    let mut more = false;
    let sign_in_time = tokio::time::sleep(app.limits.sign_in_time);
    tokio::pin!(sign_in_time);
    let mut greeted = false;
    let mut came = None;
    let stopping = app.cancelled();
    loop {
        let signed_in = connection.signed_in().is_some();
        if greeted && !signed_in {
            // Signed out: a stranger again, with a stranger's time.
            sign_in_time
                .as_mut()
                .reset(Instant::now() + app.limits.sign_in_time);
        }
        greeted = signed_in;
        let limit = if signed_in {
            app.limits.message
        } else {
            MAX_MESSAGE_BEFORE_SIGN_IN
        };
        // Before sign-in one call at a time: a stranger gets no share of what the others need.
        let places = if signed_in { 1 } else { CALLS_AT_A_TIME };
        tokio::select! {
            biased;
            () = connection.closing.cancelled() => return End::Because(Reason::Closed, "closed by the server"),
            () = stopping.cancelled() => {
                // What was begun is answered, as far as that does not take too long.
                return match last_answers(app, connection, wire, answers, &calls).await {
                    End::Closed => End::Because(Reason::GoingAway, "the server stops"),
                    end @ End::Because(..) => end,
                };
            }
            Some(answer) = answers.recv() => {
                if write_answer(app, connection, wire, &answer).await.is_err() {
                    return End::Closed;
                }
            }
            message = next_message(app, connection, wire, limit, &turns, places, &mut came) => match message {
                Ok(Some((message, turn))) => {
                    if connection.is_expired() {
                        return End::Because(Reason::NotAllowed, "the token has expired");
                    }
                    call(app, connection, &calls, message, turn);
                }
                Ok(None) if W::HALF_CLOSES => return last_answers(app, connection, wire, answers, &calls).await,
                Ok(None) => return End::Closed,
                Err(end) => return end,
            },
            () = connection.attention.notified() => more = true,
            () = &mut sign_in_time, if !greeted => {
                return End::Because(Reason::NotAllowed, "nobody signed in");
            }
            changed = pace.changed() => {
                if changed.is_err() {
                    return End::Because(Reason::GoingAway, "the server stops");
                }
                more = true;
            }
            () = std::future::ready(()), if more => {
                if connection.is_expired() {
                    return End::Because(Reason::NotAllowed, "the token has expired");
                }
                let upto = app.inventory.revision().min((*pace.borrow_and_update()).max(app.feed.opened()));
                match feed(app, connection, wire, upto).await {
                    Ok(again) => more = again,
                    Err(end) => return end,
                }
            }
        }
    }
}

/// Writes the answers of the calls that run, for a client that asks nothing more.
async fn last_answers<W: Wire>(
    app: &App,
    connection: &Connection,
    wire: &mut W,
    answers: &mut mpsc::UnboundedReceiver<Frame>,
    calls: &TaskTracker,
) -> End {
    calls.close();
    let patience = tokio::time::sleep(LAST_ANSWERS);
    tokio::pin!(patience);
    let mut done = false;
    while !done {
        tokio::select! {
            biased;
            () = connection.closing.cancelled() => return End::Closed,
            Some(answer) = answers.recv() => {
                if write_answer(app, connection, wire, &answer).await.is_err() {
                    return End::Closed;
                }
            }
            () = calls.wait() => done = true,
            () = &mut patience => done = true,
        }
    }
    while let Ok(answer) = answers.try_recv() {
        if write_answer(app, connection, wire, &answer).await.is_err() {
            break;
        }
    }
    End::Closed
}

/// A message that waits for room.
struct Came {
    message: Bytes,
    cost: usize,
    own: OwnedSemaphorePermit,
    /// It is not kept waiting any longer.
    until: Instant,
}

/// The next message, a turn to answer it and room for it; without them nothing more is read. Can be given up
/// and asked again: a message that waits for room stays in `came`.
async fn next_message<W: Wire>(
    app: &Arc<App>,
    connection: &Connection,
    wire: &mut W,
    longest: usize,
    turns: &Arc<Semaphore>,
    places: usize,
    came: &mut Option<Came>,
) -> Result<Option<(Bytes, Turn)>, End> {
    if came.is_none() {
        // The semaphore is never closed.
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let Ok(own) = turns.clone().acquire_many_owned(places).await else {
            return Ok(None);
        };
        let message = wire.next(longest).await?;
        *came = message.map(|message| Came {
            cost: room::cost(&message),
            message,
            own,
            until: Instant::now() + app.limits.room_patience,
        });
    }
    let Some(waiting) = came.as_ref() else {
        return Ok(None);
    };
    let room = dispatch::room_for(app, connection, waiting.cost, waiting.until).await;
    Ok(came.take().map(|came| {
        let turn = Turn {
            turns: turns.clone(),
            own: came.own,
            cost: came.cost,
            room,
        };
        (came.message, turn)
    }))
}

fn call(app: &Arc<App>, connection: &Arc<Connection>, calls: &TaskTracker, message: Bytes, turn: Turn) {
    let (app, connection) = (app.clone(), connection.clone());
    let was_signed_in = connection.signed_in().is_some();
    let closing = connection.closing.clone();
    let work = async move {
        connection.until_answers_are_read().await;
        let opened = views::noting_opened(async {
            if let Some(frame) = dispatch::answer(&app, &connection, &message, turn).await {
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
                tokio::spawn(async move {
                    tokio::time::sleep(HOLD).await;
                    connection.release_notifications();
                });
            }
            _ => {}
        }
    };
    calls.spawn(async move {
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
async fn feed<W: Wire>(app: &App, connection: &Connection, wire: &mut W, upto: u64) -> Result<bool, End> {
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
        tell(app, connection, wire, frame)
            .await
            .map_err(|_| End::Closed)?;
    }
    // Who has views is told through them.
    if let Notifications::On { since } = connection.notifications()
        && since < upto
        && !watches_views
    {
        let chunk = app.feed.chunk_for(&eye, Audience::All, since, upto);
        if eye.has_forgotten(since) {
            // There is no word for it in these notifications: who connects again asks for everything.
            return Err(End::Because(Reason::GoingAway, "too far behind: connect again"));
        }
        for frame in &chunk.frames {
            tell(app, connection, wire, frame)
                .await
                .map_err(|_| End::Closed)?;
        }
        connection.told(chunk.to);
        more |= chunk.more;
    }
    Ok(more)
}

/// Writes news. Who does not take them does not hold up the stop of the server.
async fn tell<W: Wire>(
    app: &App,
    connection: &Connection,
    wire: &mut W,
    frame: &Frame,
) -> std::io::Result<()> {
    let stopping = app.cancelled();
    let stopped = async {
        stopping.cancelled().await;
        tokio::time::sleep(TAKEN).await;
    };
    tokio::select! {
        biased;
        written = write(app, connection, wire, frame) => written,
        () = stopped => Err(stalled()),
    }
}

async fn write_answer<W: Wire>(
    app: &App,
    connection: &Connection,
    wire: &mut W,
    answer: &Frame,
) -> std::io::Result<()> {
    write(app, connection, wire, answer).await?;
    connection.was_read(answer);
    Ok(())
}

/// Who may see nothing more is not sent the rest of what was begun, however slowly it is taken.
async fn write<W: Wire>(
    app: &App,
    connection: &Connection,
    wire: &mut W,
    frame: &Frame,
) -> std::io::Result<()> {
    tokio::select! {
        biased;
        written = wire.write(frame) => written?,
        () = connection.closing.cancelled() => return Err(std::io::ErrorKind::ConnectionAborted.into()),
    }
    app.feed.count_sent(frame.len());
    Ok(())
}

/// Writes the pieces of a frame, each within a time limit.
pub async fn write_parts(io: &mut (impl AsyncWrite + Unpin), parts: &[Bytes]) -> std::io::Result<()> {
    for part in parts {
        for piece in part.chunks(PIECE) {
            tokio::time::timeout(STALLED, io.write_all(piece))
                .await
                .map_err(|_| stalled())??;
        }
    }
    tokio::time::timeout(STALLED, io.flush())
        .await
        .map_err(|_| stalled())?
}

pub fn stalled() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "the client does not read")
}
