//! One-time URLs: a method answers `{"$getFrom": "/api/<token>"}` and the token alone is the right to it,
//! once (contract/protocol.md section 5). Unlike today's, they do not wait forever, and end with the rights and
//! the session of whoever asked for them.

use super::{
    one_time::{OneTime, Owner},
    peer::Peer,
};
use crate::{access::Right, app::App, auth::SignedIn, inventory::Object};
use axum::{
    Extension,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};

/// Something to fetch.
pub struct Download {
    pub content_type: &'static str,
    pub name: Option<String>,
    pub content: Content,
    /// The audit log tells that it was fetched, under the name of this method.
    pub noted: Option<&'static str>,
}

pub enum Content {
    Whole(Bytes),
    /// A line for each; they are looked at again when they are fetched, since rights may have changed.
    Objects(Vec<Arc<Object>>),
    /// Read while it is sent, on a thread of its own.
    Read(Box<dyn FnOnce(Sender) + Send>),
}

/// Takes pieces of a content. Waits for whoever fetches it.
pub struct Sender(mpsc::Sender<std::io::Result<Bytes>>);

impl Sender {
    /// False when nobody wants more.
    pub fn send(&self, piece: std::io::Result<Bytes>) -> bool {
        self.0.blocking_send(piece).is_ok()
    }
}

/// Pieces that are ready to be sent.
const AHEAD: usize = 64;
/// Files that are read while they are sent, at a time.
static READING: Semaphore = Semaphore::const_new(4);
/// In which something whole is sent.
const PIECE: usize = 256 << 10;

impl Content {
    /// The bytes, and how many there are if that is known.
    fn into_body(self, app: &Arc<App>, owner: &Owner) -> (Option<usize>, Body) {
        let whole = match self {
            Self::Whole(bytes) => bytes,
            Self::Objects(objects) => {
                let caller = owner.caller(app);
                let seen = |object: &Arc<Object>| {
                    let rights = caller
                        .as_ref()
                        .map(|caller| app.access.rights(caller, &object.id));
                    rights.is_some_and(|rights| rights.has(Right::View))
                };
                let objects: Vec<Arc<Object>> = objects.into_iter().filter(seen).collect();
                let length = objects.iter().map(|object| object.json.len() + 1).sum();
                let lines = objects
                    .into_iter()
                    .flat_map(|object| [object.json.clone(), Bytes::from_static(b"\n")]);
                return (Some(length), as_long_as(app, owner, stream::iter(lines.map(Ok))));
            }
            Self::Read(read) => {
                let (sender, mut pieces) = mpsc::channel(AHEAD);
                tokio::spawn(async move {
                    // One thread each, for as long as the reader is slow: they are not many.
                    if let Ok(_turn) = READING.acquire().await {
                        let reading = tokio::task::spawn_blocking(move || read(Sender(sender)));
                        drop(reading.await);
                    }
                });
                let pieces = stream::poll_fn(move |context| pieces.poll_recv(context));
                return (None, as_long_as(app, owner, pieces));
            }
        };
        let length = whole.len();
        let pieces = (0..length)
            .step_by(PIECE)
            .map(move |start| Ok(whole.slice(start..length.min(start + PIECE))));
        (Some(length), as_long_as(app, owner, stream::iter(pieces)))
    }
}

/// Sends these pieces as long as whoever asked for them may have them.
fn as_long_as(
    app: &Arc<App>,
    owner: &Owner,
    pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
) -> Body {
    let sending = Sending {
        app: app.clone(),
        signed_in: owner.signed_in(),
        sent: 0,
    };
    let pieces = (Box::pin(pieces), sending);
    Body::from_stream(stream::unfold(pieces, async |(mut pieces, mut sending)| {
        let piece = match pieces.next().await? {
            Ok(piece) => sending.may_have(piece).await,
            Err(error) => Err(error),
        };
        Some((piece, (pieces, sending)))
    }))
}

struct Sending {
    app: Arc<App>,
    signed_in: Option<SignedIn>,
    /// Bytes since the store was asked.
    sent: usize,
}

impl Sending {
    async fn may_have(&mut self, piece: Bytes) -> std::io::Result<Bytes> {
        let accounts = &self.app.accounts;
        let known = self
            .signed_in
            .as_ref()
            .filter(|signed_in| accounts.knows(signed_in));
        self.sent += piece.len();
        let opens = match known {
            None => false,
            Some(signed_in) if self.sent >= PIECE => {
                self.sent = 0;
                // Without the store nobody can tell: what is known decides.
                accounts.still_opens(signed_in).await.unwrap_or(true)
            }
            Some(_) => true,
        };
        opens
            .then_some(piece)
            .ok_or_else(|| std::io::Error::other("whoever asked for it may have it no more"))
    }
}

/// What waits to be fetched.
pub struct Downloads {
    offers: OneTime<Download>,
}

impl Downloads {
    /// `most`: of one user.
    pub fn new(most: usize) -> Self {
        Self {
            offers: OneTime::new(most),
        }
    }

    /// Offers the bytes; answers the path to fetch them from.
    pub fn offer(&self, owner: Owner, download: Download) -> String {
        let name = download
            .name
            .as_ref()
            .map(|name| format!("/{name}"))
            .unwrap_or_default();
        let token = self.offers.issue(owner, download);
        format!("/api/{token}{name}")
    }

    /// With the session in which they were asked for.
    pub fn end_session(&self, connection: u64) {
        self.offers.end_session(connection);
    }
}

#[derive(serde::Deserialize)]
pub struct Token {
    token: String,
}

pub async fn take(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Path(path): Path<Token>,
    request: Request,
) -> Response {
    // It would use the link up, and bring nothing.
    if *request.method() == Method::HEAD {
        return (
            StatusCode::METHOD_NOT_ALLOWED,
            [(header::ALLOW, "GET, POST, PUT")],
        )
            .into_response();
    }
    let address = peer.address.to_string();
    if let Some(expected) = app.uploads.take(&path.token) {
        return expected.receive(&app, address, request.into_body()).await;
    }
    let Some((owner, offer)) = app.downloads.offers.take(&path.token) else {
        return (StatusCode::NOT_FOUND, "this link was used, or has expired\n").into_response();
    };
    let may = owner.may_still(&app).await;
    if let Some(method) = offer.noted {
        let outcome = may
            .as_ref()
            .map(drop)
            .map_err(|reason| json!({ "message": reason }));
        let said = [("stage", "download")].map(|(name, value)| (name.to_owned(), value.into()));
        let said = said.into_iter().collect();
        app.audit
            .call(owner.subject(&app, address), method, said, outcome)
            .await;
    }
    if let Err(reason) = may {
        return (StatusCode::FORBIDDEN, format!("{reason}\n")).into_response();
    }
    let (length, body) = offer.content.into_body(&app, &owner);
    let mut response = ([(header::CONTENT_TYPE, offer.content_type)], body).into_response();
    if let Some(length) = length {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length.into());
    }
    // Names are ours, and of plain characters.
    let disposition = offer.name.map(|name| format!("attachment; filename=\"{name}\""));
    if let Some(Ok(disposition)) = disposition.map(HeaderValue::try_from) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}
