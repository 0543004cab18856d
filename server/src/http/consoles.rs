//! `GET /api/consoles/<id>` with an upgrade: the screen and the keyboard of a VM, or of a host's control domain, for whoever
//! may operate it, as long as that is so (contract/protocol.md). Frames are carried, not looked into.

use super::{cookies, peer::Peer, upgrade::accept_key};
use crate::{
    access::Right,
    app::App,
    audit::Subject,
    auth::{SignInError, SignedIn, tokens::now_ms},
    inventory::Object,
    pools::ConsoleError,
    rpc::{
        connection::{Connection, Transport},
        conversation::STALLED,
    },
};
use app::model::ObjectType;
use axum::{
    Extension,
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_websockets::{ClientBuilder, CloseCode, Limits, Message, ServerBuilder};

/// Screens that are shown at a time.
const MOST: usize = 1_000;
/// The longest message, either way. A screen comes in pieces.
const LONGEST: usize = 4 << 20;
/// Time limit of a farewell.
const GOODBYE: Duration = Duration::from_secs(2);

type Refusal = (StatusCode, String);

fn refusal(status: StatusCode, text: &str) -> Refusal {
    (status, format!("{text}\n"))
}

/// A screen that is shown: it has its place among the connections until it is dropped.
struct Showing {
    app: Arc<App>,
    connection: Arc<Connection>,
    signed_in: SignedIn,
    object: Arc<Object>,
}

impl Drop for Showing {
    fn drop(&mut self) {
        self.app.connections.remove(self.connection.id);
    }
}

pub async fn open(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    mut request: Request,
) -> Response {
    let Some(accept) = accept_key(request.headers()) else {
        let headers = [(header::UPGRADE, "websocket")];
        return (
            StatusCode::UPGRADE_REQUIRED,
            headers,
            "a WebSocket is served here\n",
        )
            .into_response();
    };
    let showing = match admit(&app, peer, &id, request.headers()).await {
        Ok(showing) => showing,
        Err(refusal) => return refusal.into_response(),
    };
    let far = match app.pools.open_console(&showing.object).await {
        Ok(far) => far,
        Err(error) => {
            showing
                .note("consoleRefused", json!({ "reason": error.to_string() }))
                .await;
            let status = match error {
                ConsoleError::None(_) => StatusCode::CONFLICT,
                ConsoleError::NotConnected => StatusCode::SERVICE_UNAVAILABLE,
                ConsoleError::Host(_) => StatusCode::BAD_GATEWAY,
            };
            return refusal(status, &error.to_string()).into_response();
        }
    };
    showing.note("consoleOpened", json!({})).await;
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let why = showing.show(upgrade, far).await;
        showing.note("consoleClosed", json!({ "reason": why })).await;
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = accept.try_into() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if offers_binary(request.headers()) {
        let binary = header::HeaderValue::from_static("binary");
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, binary);
    }
    response
}

fn offers_binary(headers: &HeaderMap) -> bool {
    let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offers = offers
        .filter_map(|offer| offer.to_str().ok())
        .flat_map(|offer| offer.split(','));
    offers.any(|offer| offer.trim() == "binary")
}

/// Lets those in who may operate the VM. Whoever may not is not told whether it exists.
async fn admit(app: &Arc<App>, peer: Peer, id: &str, headers: &HeaderMap) -> Result<Showing, Refusal> {
    // A page of another site never comes with this browser's sign-in.
    let cookie = cookies::get(headers, cookies::TOKEN).filter(|_| cookies::is_same_origin(headers));
    let address = peer.address.to_string();
    let signed_in = app
        .accounts
        .sign_in_with_token(&cookie.unwrap_or_default(), &address)
        .await;
    let signed_in = signed_in.map_err(|error| match error {
        SignInError::Store(error) => refusal(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
        _ => refusal(StatusCode::UNAUTHORIZED, "sign in first"),
    })?;
    let (connection, _) = Connection::new(app.connections.next_id(), address, None, Transport::Console);
    connection.sign_in(signed_in.clone(), app.inventory.revision());
    let caller = connection.caller(app);
    let object = app
        .inventory
        .get(id)
        .filter(|object| matches!(object.kind, ObjectType::Vm | ObjectType::VmController));
    if !app
        .access
        .allows(caller.as_ref(), object.as_deref(), Right::Operate)
    {
        let text = "opening this console needs the right to operate the VM";
        return Err(refusal(StatusCode::FORBIDDEN, text));
    }
    let object = object.ok_or_else(|| refusal(StatusCode::NOT_FOUND, "there is no such VM"))?;
    let is_one_too_many = app.connections.of_user(&signed_in.user_id) >= app.limits.sessions;
    if is_one_too_many || !app.connections.admit(connection.clone(), MOST, usize::MAX) {
        return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "too many connections"));
    }
    Ok(Showing {
        app: app.clone(),
        connection,
        signed_in,
        object,
    })
}

impl Showing {
    async fn note(&self, event: &'static str, mut data: serde_json::Value) {
        data["objectId"] = (*self.object.id).into();
        if let Some(name) = self.object.json_text("name_label") {
            data["objectName"] = crate::rpc::error::shortened(&name, 200).into();
        }
        let user = self.app.accounts.user(&self.signed_in.user_id);
        let subject = Subject {
            user_id: Some(self.signed_in.user_id.clone()),
            user_name: user.map(|user| user.email.clone()),
            pseudonym: None,
            address: self.connection.address.clone(),
        };
        self.app.audit.write(event, subject, data).await;
    }

    /// Carries what both sides say until one of them, or the right to it, is gone; says why it ended.
    async fn show(&self, upgrade: OnUpgrade, far: xapi::stream::Upgraded) -> &'static str {
        let near: Upgraded = match upgrade.await {
            Ok(near) => near,
            Err(error) => {
                tracing::debug!(%error, "an upgrade was not completed");
                return "the client did not come";
            }
        };
        let limits = Limits::default().max_payload_len(Some(LONGEST));
        let near = ServerBuilder::new().limits(limits).serve(TokioIo::new(near));
        let far = ClientBuilder::new().limits(limits).take_over(far);
        let ((mut to_near, mut from_near), (mut to_far, mut from_far)) = (near.split(), far.split());
        let (near_pings, near_pinged) = mpsc::channel(1);
        let (far_pings, far_pinged) = mpsc::channel(1);
        let (code, why) = tokio::select! {
            () = carry(&mut from_near, &mut to_far, near_pings, far_pinged) => {
                (CloseCode::NORMAL_CLOSURE, "the client went")
            }
            () = carry(&mut from_far, &mut to_near, far_pings, near_pinged) => {
                (CloseCode::NORMAL_CLOSURE, "the host ended it")
            }
            () = self.connection.closing.cancelled() => {
                (CloseCode::POLICY_VIOLATION, "the session was ended")
            }
            () = self.right_is_gone() => {
                (CloseCode::POLICY_VIOLATION, "the right to it is gone")
            }
            () = self.app.cancelled().cancelled_owned() => (CloseCode::GOING_AWAY, "the server stops"),
        };
        let farewell = async {
            // Either may be gone already.
            drop(to_near.send(Message::close(Some(code), why)).await);
            drop(
                to_far
                    .send(Message::close(Some(CloseCode::NORMAL_CLOSURE), ""))
                    .await,
            );
        };
        drop(tokio::time::timeout(GOODBYE, farewell).await);
        why
    }

    /// Waits until whoever looks may do so no more, or the pool is to be left alone.
    async fn right_is_gone(&self) {
        let mut pace = self.app.feed.subscribe();
        let left = self.signed_in.expires.map(|expires| expires - now_ms());
        let expiry = async {
            match left {
                Some(left) => {
                    let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
                    tokio::time::sleep(left).await;
                }
                None => std::future::pending().await,
            }
        };
        let mut expiry = pin!(expiry);
        loop {
            let caller = self.connection.caller(&self.app);
            let object = self.app.inventory.get(&self.object.id);
            let (access, pools) = (&self.app.access, &self.app.pools);
            let allowed = access.allows(caller.as_ref(), object.as_deref(), Right::Operate);
            if !allowed || !pools.takes_changes(&self.object) {
                return;
            }
            tokio::select! {
                () = &mut expiry => return,
                // Without a pacer the server stops.
                changed = pace.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Carries messages one way. The library queues a pong for each ping: it is sent by whoever writes to where the ping
/// came from, before more is read.
async fn carry<E>(
    from: &mut (impl Stream<Item = Result<Message, tokio_websockets::Error>> + Unpin),
    to: &mut (impl Sink<Message, Error = E> + Unpin),
    pings: mpsc::Sender<()>,
    mut pinged: mpsc::Receiver<()>,
) {
    loop {
        let message = tokio::select! {
            Some(()) = pinged.recv() => {
                match tokio::time::timeout(STALLED, to.flush()).await {
                    Ok(Ok(())) => continue,
                    _ => return,
                }
            }
            message = from.next() => message,
        };
        match message {
            Some(Ok(message)) if message.is_binary() || message.is_text() => {
                let message = Message::binary(message.into_payload());
                if !matches!(tokio::time::timeout(STALLED, to.send(message)).await, Ok(Ok(()))) {
                    return;
                }
            }
            Some(Ok(message)) if message.is_ping() => {
                if pings.send(()).await.is_err() {
                    return;
                }
            }
            Some(Ok(message)) if message.is_pong() => {}
            _ => return,
        }
    }
}
