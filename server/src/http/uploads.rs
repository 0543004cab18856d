//! One-time URLs that take something: a method answers `{"$sendTo": "/api/<token>"}`, and what is sent there
//! goes to what the method prepared, once (contract/protocol.md section 5).

use super::one_time::{OneTime, Owner};
use crate::app::App;
use axum::{
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::{pin::Pin, sync::Arc, time::Duration};

/// What does not arrive in that time is not waited for.
const ARRIVAL: Duration = Duration::from_secs(600);

pub type Taken = Pin<Box<dyn Future<Output = Result<Done, String>> + Send>>;
/// What becomes of the bytes; or why they are of no use.
pub type Take = Box<dyn FnOnce(Bytes) -> Taken + Send>;

/// The bytes were of use.
pub struct Done {
    /// For whoever sent them.
    pub text: String,
    /// For the audit log.
    pub summary: Value,
}

pub struct Upload {
    /// The method that asked for it.
    pub method: &'static str,
    /// In bytes.
    pub longest: usize,
    pub take: Take,
}

/// What waits to be sent.
pub struct Uploads {
    waiting: OneTime<Upload>,
}

impl Uploads {
    /// `most`: of one user.
    pub fn new(most: usize) -> Self {
        Self {
            waiting: OneTime::new(most),
        }
    }

    /// Answers the path to send it to.
    pub fn expect(&self, owner: Owner, upload: Upload) -> String {
        format!("/api/{}", self.waiting.issue(owner, upload))
    }

    /// What was prepared for this token, if anything was.
    pub fn take(&self, token: &str) -> Option<Expected> {
        let (owner, upload) = self.waiting.take(token)?;
        Some(Expected { owner, upload })
    }

    /// With the session in which they were asked for.
    pub fn end_session(&self, connection: u64) {
        self.waiting.end_session(connection);
    }
}

/// An upload that may come now.
pub struct Expected {
    owner: Owner,
    upload: Upload,
}

impl Expected {
    /// Takes it, if whoever asked for it may still do so, and writes down what came of it.
    pub async fn receive(self, app: &Arc<App>, address: String, body: Body) -> Response {
        let Self { owner, upload } = self;
        let Upload {
            method,
            longest,
            take,
        } = upload;
        let mut said = Map::from_iter([
            ("stage".to_owned(), json!("upload")),
            ("askedFrom".to_owned(), json!(owner.address())),
        ]);
        let arrived = async {
            owner
                .may_still(app)
                .await
                .map_err(|reason| (StatusCode::FORBIDDEN, reason))?;
            let body = tokio::time::timeout(ARRIVAL, axum::body::to_bytes(body, longest)).await;
            let body = body.map_err(|_| {
                let reason = "the upload did not arrive in time".to_owned();
                (StatusCode::REQUEST_TIMEOUT, reason)
            })?;
            let body = body.map_err(|_| {
                let reason = format!("the upload broke, or is longer than {longest} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, reason)
            })?;
            // It may have taken minutes.
            owner
                .may_still(app)
                .await
                .map_err(|reason| (StatusCode::FORBIDDEN, reason))?;
            Ok(body)
        };
        let arrived: Result<Bytes, (StatusCode, String)> = arrived.await;
        let app = app.clone();
        // What was begun is finished and written down, whether or not the answer can be told.
        let taking = tokio::spawn(async move {
            let subject = owner.subject(&app, address);
            let result = match arrived {
                Ok(body) => {
                    said.insert("bytes".to_owned(), body.len().into());
                    let taken = tokio::spawn(take(body)).await;
                    let taken = taken.unwrap_or_else(|_| Err("internal error".to_owned()));
                    taken.map_err(|reason| (StatusCode::BAD_REQUEST, reason))
                }
                Err(refused) => Err(refused),
            };
            let outcome = match &result {
                Ok(done) => {
                    said.insert("summary".to_owned(), done.summary.clone());
                    Ok(())
                }
                Err((_, reason)) => Err(json!({ "message": crate::rpc::error::said(reason) })),
            };
            app.audit.call(subject, method, said, outcome).await;
            result
        });
        let internal = |_| {
            let reason = "internal error".to_owned();
            Err((StatusCode::INTERNAL_SERVER_ERROR, reason))
        };
        match taking.await.unwrap_or_else(internal) {
            Ok(done) => (StatusCode::OK, done.text).into_response(),
            Err((status, reason)) => (status, format!("{reason}\n")).into_response(),
        }
    }
}
