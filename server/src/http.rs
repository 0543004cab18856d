//! The HTTP edge: sign-in, the web client's files, one-time downloads, the upgrade to WebSocket.

// Where something is wrong, the error is the page that says so.
#[allow(clippy::result_large_err)]
pub mod admin;
pub mod assets;
pub mod consoles;
pub mod cookies;
pub mod downloads;
pub mod one_time;
pub mod pages;
pub mod peer;
pub mod serve;
pub mod tickets;
pub mod upgrade;
pub mod uploads;

use crate::app::App;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use std::sync::Arc;

/// Longest form that is read.
const MAX_FORM: usize = 16 << 10;

/// Our own scripts only, and WebAssembly; inline styles are needed for positions and sizes.
// The two hashes are the empty tables that Leptos' stream writes into every page; were they to change, the
// browser tests would find the refusal on the console (the client starts without them too).
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' \
    'sha256-2e+rGxtst+bbxdLf6Dp32aL0uyPdikvr0awq53hVU58=' 'sha256-PEoA+SZ6ZbFCusLsUEMftpXvTp6Abhw9kvgQnCC8l3U='; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; object-src 'none'; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/", any(upgrade::websocket))
        .route("/api/consoles/{id}", any(consoles::open))
        .route("/api/{token}", any(downloads::take))
        .route("/api/{token}/{name}", any(downloads::take))
        .route("/signin", get(pages::sign_in))
        .route(
            "/signin/local",
            post(pages::sign_in_local).layer(middleware::from_fn_with_state(app.clone(), in_time)),
        )
        .route(
            "/signin/otp",
            post(pages::sign_in_otp).layer(middleware::from_fn_with_state(app.clone(), in_time)),
        )
        .merge(admin::routes())
        .route("/signout", get(pages::sign_out_question).post(pages::sign_out))
        .fallback(pages::site)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(middleware::from_fn(security_headers))
        .with_state(app)
}

/// A form that does not arrive in time is not waited for.
async fn in_time(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(app.limits.form_time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the form did not arrive in time\n").into_response(),
    }
}

async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
