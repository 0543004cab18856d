//! Streams beside the calls: what a host serves as a WebSocket.

use crate::{
    client::{CONNECT_TIMEOUT, Client},
    error::CallError,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{StatusCode, header};

pub use reqwest::Upgraded;

impl Client {
    /// Opens the WebSocket at this path (RFC 6455, subprotocol `binary`) with a session of the host's pool. What comes back
    /// is the bare stream: frames are the caller's matter.
    pub async fn open_websocket(&self, session: &str, path: &str) -> Result<Upgraded, CallError> {
        let request = self
            .http()
            .get(format!("{}{path}", self.endpoint().url))
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_PROTOCOL, "binary")
            .header(
                header::SEC_WEBSOCKET_KEY,
                STANDARD.encode(rand::random::<[u8; 16]>()),
            )
            .header(header::COOKIE, format!("session_id={session}"));
        let opening = async {
            let answer = request
                .send()
                .await
                .map_err(|error| self.transport_error(&error))?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                let reason = format!("the host opens no WebSocket: {}", answer.status());
                return Err(CallError::Protocol(reason));
            }
            let upgraded = answer.upgrade().await;
            upgraded.map_err(|error| self.transport_error(&error))
        };
        tokio::time::timeout(CONNECT_TIMEOUT, opening)
            .await
            .unwrap_or(Err(CallError::Timeout(CONNECT_TIMEOUT)))
    }
}
