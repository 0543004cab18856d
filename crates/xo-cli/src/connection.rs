//! A connection to the server's JSON-RPC API, over WebSocket or over TCP line by line.

use crate::{
    address::{Address, Interface},
    failure::Failure,
    stream::{Heard, Stream},
};
use app::rpc::{
    Method, RpcError,
    methods::{Credentials, Empty, GetServerVersion, SignIn, User},
};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};
use xapi::tls::{self, Seen, Trust};

/// For the connection, its TLS handshake and the upgrade, each.
const CONNECT: Duration = Duration::from_secs(15);
/// A password is checked by then, also in a queue.
const SIGN_IN: Duration = Duration::from_secs(60);
/// A request that the server does not take is given up.
const SEND: Duration = Duration::from_secs(300);
/// After so much silence we ask for a sign of life; after as much again the server is gone. Shorter than the
/// patience of proxies with silent connections.
const SILENCE: Duration = Duration::from_secs(25);
/// Longest message that is read: the whole inventory comes in one.
const MAX_MESSAGE: usize = 512 << 20;
/// The server reads no longer ones.
const MAX_REQUEST: usize = 1 << 20;

#[derive(Debug)]
pub struct DialError {
    pub failure: Failure,
    /// Of a certificate that is not trusted.
    pub fingerprint: Option<String>,
}

impl From<Failure> for DialError {
    fn from(failure: Failure) -> Self {
        let fingerprint = None;
        Self { failure, fingerprint }
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        let (Some(fingerprint), Failure::Connection(text)) = (&error.fingerprint, &error.failure) else {
            return error.failure;
        };
        Failure::Connection(format!(
            "{text}\n  its fingerprint (SHA-256) is {fingerprint}\n  \
             if it is the right one, register with --fingerprint {fingerprint}"
        ))
    }
}

enum Wire {
    WebSocket(Box<WebSocketStream<Stream>>),
    Lines(Box<Framed<Stream, LinesCodec>>),
}

pub struct Connection {
    wire: Wire,
    heard: Heard,
    address: Address,
    next_id: u64,
    /// Of the certificate, over TLS.
    pub fingerprint: Option<String>,
}

/// What the server sends: an answer, or a notification.
#[derive(Deserialize)]
struct Incoming {
    #[serde(default)]
    id: Value,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    result: Option<Value>,
    error: Option<RpcError>,
}

pub struct Notification {
    pub method: String,
    pub params: Value,
}

impl Connection {
    pub async fn open(address: &Address, trust: &Trust) -> Result<Self, DialError> {
        let failed = |reason: &str| Failure::Connection(format!("no connection to {address}: {reason}"));
        let connect = TcpStream::connect((address.host(), address.port()));
        let tcp = match timeout(CONNECT, connect).await {
            Ok(connected) => connected.map_err(|error| failed(&error.to_string()))?,
            Err(_) => return Err(failed("nobody answers").into()),
        };
        // Requests are small and wanted at once.
        tcp.set_nodelay(true)
            .map_err(|error| failed(&error.to_string()))?;
        let seen = Seen::default();
        let (stream, heard) = if address.is_encrypted() {
            let config = tls::client_config(trust.clone(), seen.clone())
                .map_err(|error| failed(&error.to_string()))?;
            let handshake = TlsConnector::from(Arc::new(config)).connect(address.server_name()?, tcp);
            match timeout(CONNECT, handshake).await {
                Ok(Ok(stream)) => Stream::new(stream),
                Ok(Err(error)) => {
                    return Err(DialError {
                        failure: failed(&error.to_string()),
                        fingerprint: seen.fingerprint(),
                    });
                }
                Err(_) => return Err(failed("the TLS handshake takes too long").into()),
            }
        } else {
            Stream::new(tcp)
        };
        let wire = match address.interface() {
            Interface::Lines => {
                let codec = LinesCodec::new_with_max_length(MAX_MESSAGE);
                Wire::Lines(Box::new(Framed::new(stream, codec)))
            }
            Interface::Web => {
                let builder = ClientBuilder::new()
                    .limits(Limits::default().max_payload_len(Some(MAX_MESSAGE)))
                    .uri(&address.websocket())
                    .map_err(|error| failed(&error.to_string()))?;
                match timeout(CONNECT, builder.connect_on(stream)).await {
                    Ok(Ok((socket, _))) => Wire::WebSocket(Box::new(socket)),
                    Ok(Err(error)) => {
                        return Err(failed(&format!("Xen Orchestra does not answer there ({error})")).into());
                    }
                    Err(_) => {
                        return Err(failed("the server takes the connection but does not answer").into());
                    }
                }
            }
        };
        Ok(Self {
            wire,
            heard,
            address: address.clone(),
            next_id: 1,
            fingerprint: seen.fingerprint(),
        })
    }

    pub async fn sign_in(&mut self, credentials: Credentials) -> Result<User, Failure> {
        match timeout(SIGN_IN, self.typed::<SignIn>(credentials)).await {
            Ok(user) => user,
            Err(_) => Err(self.lost("the sign-in takes too long")),
        }
    }

    pub async fn typed<M: Method>(&mut self, params: M::Params) -> Result<M::Output, Failure> {
        let unreadable =
            |what: &str, error| Failure::Connection(format!("{}: {what} cannot be read: {error}", M::NAME));
        let params = serde_json::to_value(params).map_err(|error| unreadable("what is asked", error))?;
        let result = self.call(M::NAME, params).await?;
        serde_json::from_value(result).map_err(|error| unreadable("the answer", error))
    }

    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let id = self.send(method, params).await?;
        loop {
            let message = self.receive().await?;
            if message.method.is_some() || message.id != id {
                continue;
            }
            return match (message.error, message.result) {
                (Some(error), _) => Err(Failure::refused(method, error)),
                (None, Some(result)) => Ok(result),
                (None, None) => Ok(Value::Null),
            };
        }
    }

    pub async fn notification(&mut self) -> Result<Notification, Failure> {
        loop {
            let message = self.receive().await?;
            if let Some(method) = message.method {
                let params = message.params;
                return Ok(Notification { method, params });
            }
        }
    }

    /// Says good-bye; what the server thinks of it does not matter any more.
    pub async fn close(mut self) {
        let _ = timeout(Duration::from_secs(2), async {
            match &mut self.wire {
                Wire::WebSocket(socket) => socket.close().await.is_ok(),
                Wire::Lines(lines) => SinkExt::<String>::close(lines).await.is_ok(),
            }
        })
        .await;
    }

    async fn send(&mut self, method: &str, params: Value) -> Result<u64, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        if request.len() > MAX_REQUEST {
            let most = MAX_REQUEST >> 20;
            return Err(Failure::Usage(format!(
                "{method}: the parameters are longer than {most} MiB"
            )));
        }
        let sent = timeout(SEND, async {
            match &mut self.wire {
                Wire::WebSocket(socket) => socket
                    .send(Message::text(request))
                    .await
                    .map_err(|error| error.to_string()),
                Wire::Lines(lines) => lines.send(request).await.map_err(|error| error.to_string()),
            }
        });
        match sent.await {
            Ok(sent) => sent.map_err(|error| self.lost(&error))?,
            Err(_) => return Err(self.lost("the server does not take the request")),
        }
        Ok(id)
    }

    async fn receive(&mut self) -> Result<Incoming, Failure> {
        let mut known = self.heard.bytes();
        let mut asked = false;
        loop {
            match timeout(SILENCE, self.next()).await {
                Ok(text) => {
                    let message: Incoming = serde_json::from_str(&text?)
                        .map_err(|error| self.lost(&format!("the server speaks no JSON-RPC: {error}")))?;
                    return match message {
                        // A farewell: it answers no request.
                        Incoming {
                            id: Value::Null,
                            method: None,
                            error: Some(error),
                            ..
                        } => Err(self.lost(&error.message)),
                        message => Ok(message),
                    };
                }
                // A long message may be on its way.
                Err(_) if self.heard.bytes() != known => {
                    known = self.heard.bytes();
                    asked = false;
                }
                Err(_) if asked => return Err(self.lost("the server is silent")),
                Err(_) => {
                    asked = true;
                    let nothing = serde_json::to_value(Empty {}).unwrap_or_default();
                    // Boxed: `send` is a part of every call.
                    Box::pin(self.send(GetServerVersion::NAME, nothing)).await?;
                }
            }
        }
    }

    /// The next text. Nothing is lost when it is not waited for to the end.
    async fn next(&mut self) -> Result<String, Failure> {
        let ended = "the server ended the connection";
        loop {
            let reason = match &mut self.wire {
                Wire::WebSocket(socket) => match socket.next().await {
                    Some(Ok(message)) => match (message.as_text(), message.as_close()) {
                        (Some(text), _) => return Ok(text.to_owned()),
                        (None, Some((_, reason))) if !reason.is_empty() => format!("{ended}: {reason}"),
                        (None, Some(_)) => ended.to_owned(),
                        (None, None) => continue,
                    },
                    Some(Err(error)) => error.to_string(),
                    None => ended.to_owned(),
                },
                Wire::Lines(lines) => match lines.next().await {
                    Some(Ok(line)) if line.trim().is_empty() => continue,
                    Some(Ok(line)) => return Ok(line),
                    Some(Err(LinesCodecError::MaxLineLengthExceeded)) => "the answer is too long".to_owned(),
                    Some(Err(LinesCodecError::Io(error))) => error.to_string(),
                    None => ended.to_owned(),
                },
            };
            return Err(self.lost(&reason));
        }
    }

    fn lost(&self, reason: &str) -> Failure {
        Failure::Connection(format!("the connection to {} is lost: {reason}", self.address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{
        AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, split,
    };

    struct Server {
        lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
        out: WriteHalf<DuplexStream>,
    }

    impl Server {
        async fn asked(&mut self) -> Value {
            let line = self.lines.next_line().await.expect("readable").expect("a line");
            serde_json::from_str(&line).expect("JSON")
        }

        async fn say(&mut self, text: &str) {
            self.out.write_all(text.as_bytes()).await.expect("taken");
        }
    }

    fn connected(longest: usize) -> (Connection, Server) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (stream, heard) = Stream::new(ours);
        let connection = Connection {
            wire: Wire::Lines(Box::new(Framed::new(
                stream,
                LinesCodec::new_with_max_length(longest),
            ))),
            heard,
            address: Address::parse("tcp://host:1").expect("an address"),
            next_id: 1,
            fingerprint: None,
        };
        let (read, out) = split(theirs);
        let lines = BufReader::new(read).lines();
        (connection, Server { lines, out })
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_asked_for_a_sign_of_life_and_given_up() {
        let (mut connection, mut server) = connected(1_000);
        let call = tokio::spawn(async move { connection.call("vm.migrate", json!({})).await });
        assert_eq!(server.asked().await["method"], "vm.migrate");
        // Two signs of life, one of them half a message.
        let asked = server.asked().await;
        assert_eq!(asked["method"], "system.getServerVersion");
        server
            .say(&format!(
                "{}\n",
                json!({ "jsonrpc": "2.0", "id": asked["id"], "result": "1" })
            ))
            .await;
        server.asked().await;
        server.say("{\"id\":").await;
        server.asked().await;
        let failure = call.await.expect("it ran").expect_err("nobody is there");
        assert!(failure.to_string().contains("silent"), "{failure}");
        assert_eq!(failure.exit_code(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_as_long_as_the_server_lives() {
        let (mut connection, mut server) = connected(1_000);
        let call = tokio::spawn(async move { connection.call("vm.migrate", json!({})).await });
        let id = server.asked().await["id"].clone();
        for _ in 0..100 {
            let asked = server.asked().await["id"].clone();
            server
                .say(&format!(
                    "{}\n",
                    json!({ "jsonrpc": "2.0", "id": asked, "result": "1" })
                ))
                .await;
        }
        server.say("{\"method\":\"all\",\"params\":{}}\n\n").await;
        server
            .say(&format!(
                "{}\n",
                json!({ "jsonrpc": "2.0", "id": id, "result": null })
            ))
            .await;
        assert_eq!(call.await.expect("it ran").expect("an answer"), Value::Null);
    }

    #[tokio::test]
    async fn what_no_server_says_ends_the_connection() {
        for (said, reason) in [
            ("x".repeat(2_000), "too long"),
            ("hello\n".to_owned(), "no JSON-RPC"),
            (
                r#"{"id":null,"error":{"code":-32000,"message":"too many connections"}}"#.to_owned() + "\n",
                "too many",
            ),
        ] {
            let (mut connection, mut server) = connected(1_000);
            server.say(&said).await;
            let failure = connection.call("a.b", json!({})).await.expect_err("no answer");
            assert!(failure.to_string().contains(reason), "{failure}");
        }
        let (mut connection, server) = connected(1_000);
        drop(server);
        connection.call("a.b", json!({})).await.expect_err("nobody");
        let (mut connection, _server) = connected(1_000);
        let failure = connection
            .call("a.b", json!({ "a": "x".repeat(MAX_REQUEST) }))
            .await;
        assert_eq!(failure.expect_err("too long").exit_code(), 2);
    }
}
