//! A JSON-RPC client over WebSocket that costs little itself.

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Limits, MaybeTlsStream, Message, WebSocketStream};

pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next: u64,
}

/// Where `"id":N` of an answer starts: answers begin with it, notifications do not.
const ANSWER: &[u8] = b"{\"id\":";

impl Client {
    pub async fn connect(address: &str) -> anyhow::Result<Self> {
        let uri = format!("ws://{address}/api/").parse().context("not an address")?;
        let (socket, _) = ClientBuilder::from_uri(uri)
            .limits(Limits::unlimited())
            .connect()
            .await?;
        Ok(Self { socket, next: 0 })
    }

    pub async fn signed_in(address: &str) -> anyhow::Result<Self> {
        let mut client = Self::connect(address).await?;
        let credentials = json!({ "email": super::process::USER, "password": super::process::PASSWORD });
        client.call("session.signIn", credentials).await?;
        Ok(client)
    }

    pub async fn send(&mut self, method: &str, params: Value) -> anyhow::Result<u64> {
        self.next += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.next, "method": method, "params": params });
        self.socket.send(Message::text(request.to_string())).await?;
        Ok(self.next)
    }

    /// The bytes of the next message.
    pub async fn receive(&mut self) -> anyhow::Result<bytes::Bytes> {
        loop {
            let message = self
                .socket
                .next()
                .await
                .context("the server closed the socket")??;
            if message.is_text() || message.is_binary() {
                return Ok(message.into_payload().into());
            }
        }
    }

    /// Sends, and receives up to the answer; notifications in between are passed over.
    pub async fn raw_call(&mut self, method: &str, params: Value) -> anyhow::Result<bytes::Bytes> {
        self.send(method, params).await?;
        loop {
            let message = self.receive().await?;
            if message.starts_with(ANSWER) || message.starts_with(b"{\"error\"") {
                return Ok(message);
            }
        }
    }

    pub async fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        let answer: Value = serde_json::from_slice(&self.raw_call(method, params).await?)?;
        match answer.get("error") {
            Some(error) if !error.is_null() => bail!("{method}: {error}"),
            _ => Ok(answer["result"].clone()),
        }
    }
}
