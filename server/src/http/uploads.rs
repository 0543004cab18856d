//! One-time URLs that take something: a method answers `{"$sendTo": "/api/<token>"}`, and what is sent there
//! goes to what the method prepared, once (contract/protocol.md section 5).

use super::downloads::KEPT;
use axum::{
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustc_hash::FxHashMap;
use std::{
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const MAX_WAITING: usize = 100;
/// What does not arrive in that time is not waited for.
const ARRIVAL: Duration = Duration::from_secs(600);

pub type Taken = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;
/// What becomes of the bytes; answers a text for whoever sent them, or why they are of no use.
pub type Take = Box<dyn FnOnce(Bytes) -> Taken + Send>;

struct Waiting {
    longest: usize,
    take: Take,
    until: Instant,
}

/// What waits to be sent.
#[derive(Default)]
pub struct Uploads {
    waiting: Mutex<FxHashMap<String, Waiting>>,
}

impl Uploads {
    /// Waits for at most so many bytes; answers the path to send them to.
    pub fn expect(&self, longest: usize, take: Take) -> String {
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        waiting.retain(|_, one| one.until > now);
        if waiting.len() >= MAX_WAITING {
            let oldest = waiting.iter().min_by_key(|(_, one)| one.until);
            oldest
                .map(|(token, _)| token.clone())
                .and_then(|token| waiting.remove(&token));
        }
        let path = format!("/api/{token}");
        let until = now + KEPT;
        waiting.insert(token, Waiting { longest, take, until });
        path
    }

    /// What was prepared for this token, if anything was.
    pub fn take(&self, token: &str) -> Option<Expected> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let one = waiting.remove(token)?;
        (one.until > Instant::now()).then_some(Expected(one))
    }
}

/// An upload that may come now.
pub struct Expected(Waiting);

impl Expected {
    pub async fn receive(self, body: Body) -> Response {
        let Waiting { longest, take, .. } = self.0;
        let body = match tokio::time::timeout(ARRIVAL, axum::body::to_bytes(body, longest)).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => {
                let text = format!("the upload broke, or is longer than {longest} bytes\n");
                return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
            }
            Err(_) => {
                return (StatusCode::REQUEST_TIMEOUT, "the upload did not arrive in time\n").into_response();
            }
        };
        // What was begun is finished, whether or not the answer can be told.
        let taken = tokio::spawn(take(body)).await;
        match taken.unwrap_or_else(|_| Err("internal error".to_owned())) {
            Ok(text) => (StatusCode::OK, text).into_response(),
            Err(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
        }
    }
}
