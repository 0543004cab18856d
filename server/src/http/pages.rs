//! Pages that the server renders: sign-in, and the frame of the web client, behind the sign-in.

use super::{assets, cookies, peer::Peer};
use crate::{
    app::App,
    auth::{
        SignInError,
        tokens::{DEFAULT_VALIDITY_MS, NewToken, SESSION_VALIDITY_MS, TokenError},
    },
};
use axum::{
    Extension, Form,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use leptos::prelude::{Owner, RenderHtml};
use std::sync::Arc;

const MAX_USER_AGENT: usize = 200;

pub async fn sign_in() -> Response {
    sign_in_page(StatusCode::OK, None, "")
}

fn sign_in_page(status: StatusCode, error: Option<&str>, username: &str) -> Response {
    let owner = Owner::new();
    let html = owner.with(|| {
        use app::pages::sign_in::{SignInPage, SignInPageProps};
        let props = SignInPageProps::builder().username(username);
        match error {
            Some(error) => SignInPage(props.error(error).build()).to_html(),
            None => SignInPage(props.build()).to_html(),
        }
    });
    (status, [(header::CACHE_CONTROL, "no-store")], Html(html)).into_response()
}

#[derive(serde::Deserialize)]
pub struct SignInForm {
    username: String,
    password: String,
    #[serde(rename = "remember-me")]
    remember_me: Option<String>,
}

pub async fn sign_in_local(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    form: Result<Form<SignInForm>, axum::extract::rejection::FormRejection>,
) -> Response {
    if !cookies::is_same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "the form comes from another site\n").into_response();
    }
    let Ok(Form(form)) = form else {
        return sign_in_page(
            StatusCode::BAD_REQUEST,
            Some("Enter a user name and a password."),
            "",
        );
    };
    let address = peer.address.to_string();
    let result = app
        .accounts
        .sign_in_with_password(&form.username, &form.password, None, &address)
        .await;
    app.note_sign_in(Some(&form.username), &address, "form", &result)
        .await;
    let user_id = match result {
        Ok(signed_in) => signed_in.user_id,
        Err(error) => {
            let (status, text) = match error {
                SignInError::InvalidCredentials | SignInError::EmptyPassword => (
                    StatusCode::UNAUTHORIZED,
                    "The user name or the password is not right.",
                ),
                SignInError::OtpNeeded => (
                    StatusCode::UNAUTHORIZED,
                    "Enter the password together with a one-time code.",
                ),
                SignInError::TooFast => (
                    StatusCode::TOO_MANY_REQUESTS,
                    "Too many attempts for this user name. Wait a moment, then try again.",
                ),
                SignInError::Store(error) => {
                    tracing::error!(%error, "a sign-in failed for want of the store");
                    (
                        StatusCode::SERVICE_UNAVAILABLE,
                        "The server cannot read its accounts at the moment.",
                    )
                }
            };
            tracing::info!(address = %peer.address, user = %form.username, %status, "sign-in refused");
            return sign_in_page(status, Some(text), &form.username);
        }
    };
    let validity_ms = if form.remember_me.is_some() {
        DEFAULT_VALIDITY_MS
    } else {
        SESSION_VALIDITY_MS
    };
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let token = NewToken {
        user_id,
        validity_ms: Some(validity_ms),
        description: Some(agent.chars().take(MAX_USER_AGENT).collect()),
        client_id: None,
    };
    let secret = match app.accounts.tokens.create(token).await {
        Ok(secret) => secret,
        Err(error @ TokenError::TooMany(_)) => {
            tracing::info!(address = %peer.address, user = %form.username, %error, "sign-in refused");
            return sign_in_page(
                StatusCode::FORBIDDEN,
                Some("This user is signed in in too many places. Delete some of its tokens first."),
                &form.username,
            );
        }
        Err(TokenError::Store(error)) => {
            tracing::error!(%error, "a token could not be kept");
            return sign_in_page(
                StatusCode::SERVICE_UNAVAILABLE,
                Some("The server cannot keep your sign-in at the moment."),
                &form.username,
            );
        }
    };
    let age = form.remember_me.is_some().then_some(validity_ms / 1000);
    let target = cookies::get(&headers, cookies::RETURN_TO)
        .filter(|path| is_local(path))
        .unwrap_or_else(|| "/".to_owned());
    let mut response = Redirect::to(&target).into_response();
    append(
        &mut response,
        [
            cookies::set(cookies::TOKEN, &secret, age, peer.secure),
            cookies::clear(cookies::RETURN_TO, peer.secure),
        ],
    );
    response
}

/// A path on this server, not another server in disguise.
fn is_local(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte > b' ')
}

/// A link, from wherever, only asks.
pub async fn sign_out_question() -> Response {
    use leptos::prelude::*;
    let html = Owner::new().with(|| {
        view! {
            <!DOCTYPE html>
            <html lang="en">
                <head>
                    <app::shell::Head />
                    <title>"Sign out · Xen Orchestra"</title>
                </head>
                <body class="sign-in">
                    <main class="sign-in__card">
                        <h1>"Sign out?"</h1>
                        <form method="post" action=app::routes::SIGN_OUT class="form">
                            <button type="submit" class="button button--primary button--large" autofocus>
                                "Sign out"
                            </button>
                        </form>
                        <a href="/">"Stay signed in"</a>
                    </main>
                </body>
            </html>
        }
        .to_html()
    });
    ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response()
}

pub async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    // A form on another site must not sign anybody out.
    if !cookies::is_same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "the request comes from another site\n").into_response();
    }
    if let Some(secret) = cookies::get(&headers, cookies::TOKEN) {
        match app.accounts.tokens.remove(&[secret], None).await {
            Ok(removed) => app.connections.end_sessions(&removed),
            Err(error) => tracing::error!(%error, "a token could not be removed"),
        }
    }
    let mut response = Redirect::to("/signin").into_response();
    append(&mut response, [cookies::clear(cookies::TOKEN, peer.secure)]);
    response
}

fn append<const N: usize>(response: &mut Response, cookies: [Option<HeaderValue>; N]) {
    for cookie in cookies.into_iter().flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// Strangers sign in first, and come back.
pub fn to_sign_in(uri: &Uri, peer: Peer) -> Response {
    let wanted = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut response = (StatusCode::FOUND, [(header::LOCATION, "/signin")]).into_response();
    let remembered = (wanted != "/" && is_local(wanted) && !wanted.contains(';')).then_some(wanted);
    append(
        &mut response,
        [remembered.and_then(|path| cookies::set(cookies::RETURN_TO, path, Some(600), peer.secure))],
    );
    response
}

/// A file of the web client, or the page of a route for whoever is signed in.
pub async fn site(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = request.uri().path();
    if let Some(file) = assets::serve(path, request.headers(), app.config.site_dir.as_deref()) {
        return file;
    }
    if path.rsplit('/').next().is_some_and(|name| name.contains('.')) {
        return (StatusCode::NOT_FOUND, "not found\n").into_response();
    }
    let signed_in = match cookies::get(request.headers(), cookies::TOKEN) {
        Some(secret) => app
            .accounts
            .sign_in_with_token(&secret, &peer.address.to_string())
            .await
            .is_ok(),
        None => false,
    };
    if !signed_in {
        return to_sign_in(request.uri(), peer);
    }
    // Leptos spawns on this; only the first call does something.
    let _ = any_spawner::Executor::init_tokio();
    let options = leptos::prelude::LeptosOptions::builder()
        .output_name("xo")
        .build();
    let render = leptos_axum::render_app_to_stream(move || app::shell::shell(options.clone()));
    let mut response = render(request).await;
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_returned_to() {
        assert!(is_local("/vms?s=power_state:Running"));
        for path in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/a\r\nb",
            "",
        ] {
            assert!(!is_local(path), "{path}");
        }
    }
}
