//! A browser WebSocket: what comes in is handed on, what goes out is queued until it is open. Dropping it
//! closes it and silences it.

use futures_channel::mpsc::{self, UnboundedSender};
use futures_util::{SinkExt, StreamExt, future::Either};
use gloo_net::websocket::{Message as Frame, WebSocketError, futures::WebSocket};
use leptos::task::spawn_local;

pub enum Message {
    Text(String),
    Binary(Vec<u8>),
}

/// The code of a connection that ended without a close frame.
const ABNORMAL: u16 = 1006;

pub struct Socket {
    outgoing: UnboundedSender<String>,
}

impl Socket {
    /// `on_open` may send at once: the frame leaves when the connection is there.
    pub fn open(
        url: &str,
        mut on_open: impl FnMut() + 'static,
        mut on_message: impl FnMut(Message) + 'static,
        mut on_close: impl FnMut(u16) + 'static,
    ) -> Option<Self> {
        let (mut sink, mut stream) = WebSocket::open(url).ok()?.split();
        let (outgoing, mut queue) = mpsc::unbounded::<String>();
        spawn_local(async move {
            on_open();
            loop {
                let next = futures_util::future::select(queue.next(), stream.next()).await;
                let received = match next {
                    // The socket was dropped: nobody wants to hear of it any more.
                    Either::Left((None, _)) => return,
                    Either::Left((Some(text), _)) => {
                        if sink.send(Frame::Text(text)).await.is_err() {
                            return on_close(ABNORMAL);
                        }
                        continue;
                    }
                    Either::Right((received, _)) => received,
                };
                match received {
                    Some(Ok(Frame::Text(text))) => on_message(Message::Text(text)),
                    Some(Ok(Frame::Bytes(bytes))) => on_message(Message::Binary(bytes)),
                    Some(Err(WebSocketError::ConnectionClose(event))) => return on_close(event.code),
                    Some(Err(_)) | None => return on_close(ABNORMAL),
                }
            }
        });
        Some(Self { outgoing })
    }

    pub fn send(&self, text: &str) -> bool {
        self.outgoing.unbounded_send(text.to_owned()).is_ok()
    }
}
