//! JSON-RPC over WebSocket (`/api/`).

use super::{
    connection::Connection,
    conversation::{self, End, MAX_MESSAGE_BEFORE_SIGN_IN, Reason, STALLED, Wire, stalled},
    frame::Frame,
};
use crate::app::App;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_websockets::{CloseCode, Config, Limits, Message, ServerBuilder, WebSocketStream};

/// Time limit of a farewell.
const GOODBYE: Duration = Duration::from_secs(2);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Serves an upgraded connection until it ends.
pub async fn serve(
    app: &Arc<App>,
    io: Upgraded,
    connection: &Arc<Connection>,
    answers: tokio::sync::mpsc::UnboundedReceiver<Frame>,
) {
    let limits = Limits::default().max_payload_len(Some(MAX_MESSAGE_BEFORE_SIGN_IN));
    let mut socket = ServerBuilder::new()
        .limits(limits)
        .config(Config::default())
        .serve(TokioIo::new(io));
    let end = conversation::converse(app, connection, &mut socket, answers).await;
    if tokio::time::timeout(GOODBYE, say_goodbye(&mut socket, end))
        .await
        .is_err()
    {
        tracing::debug!(connection = connection.id, "a close frame was not taken");
    }
}

impl Wire for Socket {
    const HALF_CLOSES: bool = false;

    async fn next(&mut self, longest: usize) -> Result<Option<Bytes>, End> {
        self.limits_mut().set_max_payload_len(Some(longest));
        loop {
            // The library queues a pong for each ping: it must be taken before the next one is read, or a client
            // that only sends would fill the memory.
            match tokio::time::timeout(STALLED, SinkExt::flush(self)).await {
                Ok(Ok(())) => {}
                _ => return Err(End::Closed),
            }
            match StreamExt::next(self).await {
                Some(Ok(message)) if message.is_text() || message.is_binary() => {
                    return Ok(Some(message.into_payload().into()));
                }
                Some(Ok(message)) if message.is_close() => return Ok(None),
                Some(Ok(_)) => {}
                Some(Err(tokio_websockets::Error::PayloadTooLong { .. })) => {
                    return Err(End::Because(Reason::TooLong, "the message is too long"));
                }
                Some(Err(tokio_websockets::Error::Protocol(_))) => {
                    return Err(End::Because(Reason::NotTheProtocol, "not the WebSocket protocol"));
                }
                Some(Err(_)) => return Err(End::Closed),
                None => return Ok(None),
            }
        }
    }

    /// Past the library: the bytes are shared with other clients.
    async fn write(&mut self, frame: &Frame) -> std::io::Result<()> {
        // What the library has queued (a pong, say) must be whole before our bytes.
        tokio::time::timeout(STALLED, SinkExt::flush(self))
            .await
            .map_err(|_| stalled())?
            .map_err(std::io::Error::other)?;
        conversation::write_parts(self.get_mut(), frame.parts()).await
    }
}

fn close_code(reason: Reason) -> CloseCode {
    match reason {
        Reason::Closed => CloseCode::NORMAL_CLOSURE,
        Reason::GoingAway => CloseCode::GOING_AWAY,
        Reason::NotAllowed => CloseCode::POLICY_VIOLATION,
        Reason::TooLong => CloseCode::MESSAGE_TOO_BIG,
        Reason::NotTheProtocol => CloseCode::PROTOCOL_ERROR,
    }
}

/// Sends the close frame and reads on until the client hangs up: a socket that is closed with unread bytes
/// is reset, and the reason would be lost with it.
async fn say_goodbye(socket: &mut Socket, end: End) {
    let told = match end {
        End::Because(reason, text) => {
            let farewell = Message::close(Some(close_code(reason)), text);
            socket.send(farewell).await
        }
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
