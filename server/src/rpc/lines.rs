//! JSON-RPC over TCP: one document per line, both ways. The same methods, checks, limits and notifications as
//! over WebSocket.

use super::{
    connection::{Connection, Transport},
    conversation::{self, End, STALLED, Wire, stalled},
    frame::Frame,
};
use crate::{
    app::App,
    listen::{self, Handshakes, Places},
};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// Connections at a time; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 1_000;
/// Of them, of one address.
const SHARE: usize = 500;
/// Time limit of a farewell.
const GOODBYE: Duration = Duration::from_secs(2);
/// Read at a time.
const CHUNK: usize = 16 << 10;

/// Serves until the app is cancelled.
pub async fn serve(app: Arc<App>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let cancel = app.cancelled();
    let handshakes = Handshakes::default();
    let serve = |stream: TcpStream, address| {
        let (app, tls, handshakes) = (app.clone(), tls.clone(), handshakes.clone());
        async move {
            let Some(tls) = tls else {
                return serve_connection(&app, stream, address).await;
            };
            if let Some(stream) = handshakes.accept(&tls, stream, address).await {
                serve_connection(&app, stream, address).await;
            }
        }
    };
    let places = Places {
        all: MAX_CONNECTIONS,
        share: SHARE,
        unlimited: Box::new(|_| false),
    };
    listen::accept(listener, places, cancel, serve).await;
}

async fn serve_connection(
    app: &Arc<App>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    address: SocketAddr,
) {
    let address = address.ip().to_string();
    let (connection, answers) = Connection::new(app.connections.next_id(), address, None, Transport::Lines);
    let mut lines = Lines {
        io: stream,
        read: BytesMut::new(),
        searched: 0,
        ended: false,
        begun: false,
    };
    let end = if app
        .connections
        .admit(connection.clone(), MAX_CONNECTIONS, app.limits.strangers)
    {
        conversation::converse(app, &connection, &mut lines, answers).await
    } else {
        End::Because(conversation::Reason::NotAllowed, "too many connections")
    };
    if tokio::time::timeout(GOODBYE, lines.say_goodbye(end))
        .await
        .is_err()
    {
        tracing::debug!(connection = connection.id, "a farewell was not taken");
    }
}

struct Lines<Io> {
    io: Io,
    read: BytesMut,
    /// Bytes at the start of `read` in which there is no end of a line.
    searched: usize,
    ended: bool,
    /// A line has come: the client speaks JSON.
    begun: bool,
}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send> Lines<Io> {
    /// A line that has come whole.
    fn line(&mut self) -> Option<Bytes> {
        loop {
            let end = self.read[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(end) = end else {
                self.searched = self.read.len();
                return None;
            };
            let mut line = self.read.split_to(self.searched + end);
            self.read.advance(1);
            self.searched = 0;
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            // A line with nothing on it asks nothing.
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(line.freeze());
            }
        }
    }

    /// Tells why, then reads on until the client hangs up: a socket that is closed with unread bytes is reset,
    /// and the reason would be lost with it.
    async fn say_goodbye(&mut self, end: End) {
        if let End::Because(_, text) = end {
            let farewell =
                json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32000, "message": text } });
            // The client may be gone already.
            if self
                .io
                .write_all(format!("{farewell}\n").as_bytes())
                .await
                .is_err()
            {
                return;
            }
        }
        if self.io.shutdown().await.is_err() || self.ended {
            return;
        }
        let mut rest = vec![0; CHUNK];
        while self.io.read(&mut rest).await.is_ok_and(|length| length > 0) {}
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send> Wire for Lines<Io> {
    const HALF_CLOSES: bool = true;

    async fn next(&mut self, longest: usize) -> Result<Option<Bytes>, End> {
        loop {
            if let Some(line) = self.line() {
                if line.len() > longest {
                    return Err(too_long());
                }
                // A page of some site may have its browser send us a request of HTTP, with calls in its body.
                if !std::mem::replace(&mut self.begun, true) && !looks_like_json(&line) {
                    return Err(End::Because(
                        conversation::Reason::NotTheProtocol,
                        "JSON-RPC is spoken here, a document per line",
                    ));
                }
                return Ok(Some(line));
            }
            if self.read.len() > longest {
                return Err(too_long());
            }
            if self.ended {
                // A last line may end with the connection.
                let rest = std::mem::take(&mut self.read);
                self.searched = 0;
                return Ok((!rest.iter().all(u8::is_ascii_whitespace)).then(|| rest.freeze()));
            }
            self.read.reserve(CHUNK);
            match self.io.read_buf(&mut self.read).await {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(_) => return Err(End::Closed),
            }
        }
    }

    async fn write(&mut self, frame: &Frame) -> std::io::Result<()> {
        let mut parts: Vec<Bytes> = frame.payload().collect();
        match parts.as_slice() {
            // A small message goes out in one write.
            [only] if only.len() <= CHUNK => {
                let line = [&only[..], b"\n"].concat();
                tokio::time::timeout(STALLED, self.io.write_all(&line))
                    .await
                    .map_err(|_| stalled())?
            }
            _ => {
                parts.push(Bytes::from_static(b"\n"));
                conversation::write_parts(&mut self.io, &parts).await
            }
        }
    }
}

fn looks_like_json(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), Some(b'{' | b'['))
}

fn too_long() -> End {
    End::Because(conversation::Reason::TooLong, "the message is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Lines<std::io::Cursor<Vec<u8>>> {
        Lines {
            io: std::io::Cursor::new(input.to_vec()),
            read: BytesMut::new(),
            searched: 0,
            ended: false,
            begun: false,
        }
    }

    #[tokio::test]
    async fn lines_end_with_a_line_feed_or_with_the_connection() {
        let mut wire = lines(b"\n{\"a\":1}\r\n\n  \n[2]\n3");
        let mut found = Vec::new();
        while let Some(line) = wire.next(100).await.expect("short enough") {
            found.push(line);
        }
        assert_eq!(found, [&b"{\"a\":1}"[..], b"[2]", b"3"]);
    }

    #[tokio::test]
    async fn a_request_of_a_browser_is_not_read_to_its_body() {
        let mut wire = lines(b"POST / HTTP/1.1\r\nOrigin: https://evil.example\r\n\r\n{\"id\":1}\n");
        let end = wire.next(100).await.expect_err("no JSON");
        assert!(matches!(
            end,
            End::Because(conversation::Reason::NotTheProtocol, _)
        ));
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_given_up() {
        let mut wire = lines(&[b'x'; 3 * CHUNK]);
        let end = wire.next(CHUNK).await.expect_err("too long");
        assert!(matches!(end, End::Because(conversation::Reason::TooLong, _)));
    }
}
