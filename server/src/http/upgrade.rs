//! `GET /api/` with an upgrade: a WebSocket for JSON-RPC.

use super::{cookies, peer::Peer};
use crate::{
    app::App,
    rpc::{
        connection::{Connection, Transport},
        websocket,
    },
};
use axum::{
    Extension,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};
use std::sync::Arc;

/// Open WebSockets that are served; one more is refused.
const MAX_CONNECTIONS: usize = 5_000;
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

pub async fn websocket(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    // No query, as in today's product: whoever adds one means something that we do not do.
    let key = accept_key(request.headers()).filter(|_| request.uri().query().is_none());
    let Some(accept) = key else {
        return (
            StatusCode::UPGRADE_REQUIRED,
            [(header::UPGRADE, "websocket")],
            "a WebSocket is served here\n",
        )
            .into_response();
    };
    // Pages of other sites open sockets only if they are trusted, and never with this browser's sign-in.
    let same_origin = cookies::is_same_origin(request.headers());
    if !same_origin && !is_trusted(request.headers(), &app.config.trusted_origins) {
        let text = "pages of other sites may not open sockets here; see the setting trusted_origins\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let cookie = cookies::get(request.headers(), cookies::TOKEN).filter(|_| same_origin);
    let address = peer.address.to_string();
    let (connection, answers) =
        Connection::new(app.connections.next_id(), address, cookie, Transport::WebSocket);
    // It has its place from now on: of a hundred that ask together, not all may find the last one free.
    if !app
        .connections
        .admit(connection.clone(), MAX_CONNECTIONS, app.limits.strangers)
    {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many connections\n").into_response();
    }
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(io) => websocket::serve(&app, io, &connection, answers).await,
            Err(error) => tracing::debug!(%error, "an upgrade was not completed"),
        }
        app.connections.remove(connection.id);
    });
    let headers = [
        (header::UPGRADE, "websocket".to_owned()),
        (header::CONNECTION, "Upgrade".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn is_trusted(headers: &HeaderMap, origins: &[String]) -> bool {
    let origin = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    origin.is_some_and(|origin| origins.iter().any(|trusted| trusted.eq_ignore_ascii_case(origin)))
}

/// The answer to a valid handshake (RFC 6455 section 4.2).
pub fn accept_key(headers: &HeaderMap) -> Option<String> {
    let has = |name, wanted: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .any(|token| token.trim().eq_ignore_ascii_case(wanted))
            })
    };
    let valid = has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && has(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| valid)?;
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(MAGIC);
    Some(STANDARD.encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_handshake_of_the_standard() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(
            accept_key(&headers).as_deref(),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        headers.remove(header::UPGRADE);
        assert_eq!(accept_key(&headers), None);
    }
}
