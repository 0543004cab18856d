//! One-time URLs: a method answers `{"$getFrom": "/api/<token>"}` and the token alone is the right to it,
//! once (contract/protocol.md section 5). Unlike today's, they do not wait forever.

use crate::app::App;
use axum::{
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustc_hash::FxHashMap;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

pub(super) const KEPT: Duration = Duration::from_secs(300);
const MAX_OFFERS: usize = 1_000;

struct Offer {
    content_type: &'static str,
    name: Option<String>,
    parts: Vec<Bytes>,
    until: Instant,
}

/// What waits to be fetched.
#[derive(Default)]
pub struct Downloads {
    offers: Mutex<FxHashMap<String, Offer>>,
}

impl Downloads {
    /// Offers the bytes; answers the path to fetch them from.
    pub fn offer(&self, content_type: &'static str, name: Option<&str>, parts: Vec<Bytes>) -> String {
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let mut offers = self.offers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        offers.retain(|_, offer| offer.until > now);
        if offers.len() >= MAX_OFFERS {
            let oldest = offers
                .iter()
                .min_by_key(|(_, offer)| offer.until)
                .map(|(token, _)| token.clone());
            oldest.and_then(|token| offers.remove(&token));
        }
        let path = match name {
            Some(name) => format!("/api/{token}/{name}"),
            None => format!("/api/{token}"),
        };
        offers.insert(
            token,
            Offer {
                content_type,
                name: name.map(str::to_owned),
                parts,
                until: now + KEPT,
            },
        );
        path
    }

    fn take(&self, token: &str) -> Option<Offer> {
        let offer = self
            .offers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(token)?;
        (offer.until > Instant::now()).then_some(offer)
    }
}

#[derive(serde::Deserialize)]
pub struct Token {
    token: String,
}

pub async fn take(State(app): State<Arc<App>>, Path(path): Path<Token>, request: Request) -> Response {
    if let Some(expected) = app.uploads.take(&path.token) {
        return expected.receive(request.into_body()).await;
    }
    match app.downloads.take(&path.token) {
        Some(offer) => {
            let length: usize = offer.parts.iter().map(Bytes::len).sum();
            let parts = offer.parts.into_iter().map(Ok::<_, std::convert::Infallible>);
            let headers = [
                (header::CONTENT_TYPE, offer.content_type.to_owned()),
                (header::CONTENT_LENGTH, length.to_string()),
            ];
            let mut response =
                (headers, Body::from_stream(futures_util::stream::iter(parts))).into_response();
            // Names are ours, and of plain characters.
            let disposition = offer.name.map(|name| format!("attachment; filename=\"{name}\""));
            if let Some(Ok(disposition)) = disposition.map(HeaderValue::try_from) {
                response
                    .headers_mut()
                    .insert(header::CONTENT_DISPOSITION, disposition);
            }
            response
        }
        None => (StatusCode::NOT_FOUND, "this link was used, or has expired\n").into_response(),
    }
}
