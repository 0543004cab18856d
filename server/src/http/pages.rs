//! Pages that the server renders: sign-in, and the frame of the web client, behind the sign-in.

use super::{assets, cookies, peer::Peer};
use crate::{
    app::App,
    auth::{
        HalfSignedIn, SignInError, SignedIn,
        tokens::{DEFAULT_VALIDITY_MS, NewToken, SESSION_VALIDITY_MS, TokenError},
    },
    persist::StoreError,
};
use axum::{
    Extension, Form,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use leptos::prelude::*;
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
    let remember = form.remember_me.is_some();
    match result {
        Ok(signed_in) => welcome(&app, peer, &headers, signed_in, remember).await,
        Err(SignInError::OtpNeeded(half)) => {
            let ticket = app.waiting.sign_ins.issue(HalfWay {
                half,
                name: form.username,
                remember,
                tries: 0,
            });
            otp_page(StatusCode::OK, None, &ticket)
        }
        Err(error) => {
            let (status, text) = refusal(error, "The user name or the password is not right.");
            tracing::info!(address = %peer.address, %status, "sign-in refused");
            sign_in_page(status, Some(text), &form.username)
        }
    }
}

fn refusal(error: SignInError, wrong: &'static str) -> (StatusCode, &'static str) {
    match error {
        SignInError::InvalidCredentials | SignInError::EmptyPassword | SignInError::OtpNeeded(_) => {
            (StatusCode::UNAUTHORIZED, wrong)
        }
        SignInError::TooFast | SignInError::TooManySessions(_) => (
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
    }
}

/// A sign-in whose password was right, until the one-time code comes. The password is not kept.
pub struct HalfWay {
    half: HalfSignedIn,
    name: String,
    remember: bool,
    tries: u32,
}

/// Wrong codes after which the password is asked for again.
const MOST_TRIES: u32 = 5;

fn otp_page(status: StatusCode, error: Option<&str>, ticket: &str) -> Response {
    let html = Owner::new().with(|| {
        use app::pages::sign_in::{OtpPage, OtpPageProps};
        let props = OtpPageProps::builder().ticket(ticket);
        match error {
            Some(error) => OtpPage(props.error(error).build()).to_html(),
            None => OtpPage(props.build()).to_html(),
        }
    });
    (status, [(header::CACHE_CONTROL, "no-store")], Html(html)).into_response()
}

#[derive(serde::Deserialize)]
pub struct OtpForm {
    ticket: String,
    otp: String,
}

pub async fn sign_in_otp(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    form: Result<Form<OtpForm>, axum::extract::rejection::FormRejection>,
) -> Response {
    if !cookies::is_same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "the form comes from another site\n").into_response();
    }
    let late = || {
        let text = "This took too long, or too many codes were wrong: begin again.";
        sign_in_page(StatusCode::UNAUTHORIZED, Some(text), "")
    };
    let Ok(Form(form)) = form else { return late() };
    let sign_ins = &app.waiting.sign_ins;
    // Counted before the code is looked at: many at once are as many tries.
    let tried = sign_ins.look(&form.ticket, |waiting| {
        waiting.tries += 1;
        (waiting.tries <= MOST_TRIES).then(|| (waiting.half.clone(), waiting.name.clone()))
    });
    let Some(Some((half, name))) = tried else {
        drop(sign_ins.take(&form.ticket));
        return late();
    };
    let address = peer.address.to_string();
    let result = app.accounts.sign_in_with_otp(&half, &form.otp, &address).await;
    app.note_sign_in(Some(&name), &address, "one-time code", &result)
        .await;
    match result {
        Ok(signed_in) => match sign_ins.take(&form.ticket) {
            Some(waiting) => welcome(&app, peer, &headers, signed_in, waiting.remember).await,
            None => late(),
        },
        Err(error) => {
            if matches!(error, SignInError::TooFast) {
                // Nothing was tried.
                sign_ins.look(&form.ticket, |waiting| {
                    waiting.tries = waiting.tries.saturating_sub(1);
                });
            }
            let (status, text) = refusal(
                error,
                "This is not the code of now. Wait for the next one, then try again.",
            );
            tracing::info!(address = %peer.address, user = %name, %status, "one-time code refused");
            otp_page(status, Some(text), &form.ticket)
        }
    }
}

/// Opens the session of this browser, and leads to where it wanted to go.
async fn welcome(
    app: &App,
    peer: Peer,
    headers: &HeaderMap,
    signed_in: SignedIn,
    remember: bool,
) -> Response {
    let user_id = signed_in.user_id.clone();
    let validity_ms = if remember {
        DEFAULT_VALIDITY_MS
    } else {
        SESSION_VALIDITY_MS
    };
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let name = app
        .accounts
        .user(&user_id)
        .map(|user| user.email.clone())
        .unwrap_or_default();
    let token = NewToken {
        user_id,
        validity_ms: Some(validity_ms),
        description: Some(agent.chars().take(MAX_USER_AGENT).collect()),
        client_id: None,
        of_browser: true,
    };
    let secret = match app.accounts.create_token(token).await {
        Ok(secret) => secret,
        Err(error @ TokenError::TooMany(_)) => {
            tracing::info!(address = %peer.address, user = %name, %error, "sign-in refused");
            return sign_in_page(
                StatusCode::FORBIDDEN,
                Some("This user is signed in in too many places. Delete some of its tokens first."),
                &name,
            );
        }
        Err(TokenError::NoUser) => {
            let text = "This user was deleted meanwhile.";
            return sign_in_page(StatusCode::UNAUTHORIZED, Some(text), &name);
        }
        Err(TokenError::Store(error)) => {
            tracing::error!(%error, "a token could not be kept");
            return sign_in_page(
                StatusCode::SERVICE_UNAVAILABLE,
                Some("The server cannot keep your sign-in at the moment."),
                &name,
            );
        }
    };
    // Whoever changed the password meanwhile did not find this token, or finds it now.
    if !app.accounts.still_opens(&signed_in).await.unwrap_or(false) {
        if let Err(error) = app.accounts.tokens.remove(&[secret], None).await {
            tracing::error!(%error, "a token could not be removed");
        }
        let text = "The password was changed meanwhile. Sign in with the new one.";
        return sign_in_page(StatusCode::UNAUTHORIZED, Some(text), &name);
    }
    let age = remember.then_some(validity_ms / 1000);
    let target = cookies::get(headers, cookies::RETURN_TO)
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

/// A small page of one card.
fn card(status: StatusCode, title: &'static str, body: impl FnOnce() -> AnyView) -> Response {
    let html = Owner::new().with(|| {
        view! {
            <!DOCTYPE html>
            <html lang="en">
                <head>
                    <app::shell::Head />
                    <title>{format!("{title} · Xen Orchestra")}</title>
                </head>
                <body class="sign-in">
                    <main class="sign-in__card">{body()}</main>
                </body>
            </html>
        }
        .to_html()
    });
    (status, [(header::CACHE_CONTROL, "no-store")], Html(html)).into_response()
}

/// A link, from wherever, only asks.
pub async fn sign_out_question() -> Response {
    card(StatusCode::OK, "Sign out", || {
        view! {
            <h1>"Sign out?"</h1>
            <form method="post" action=app::routes::SIGN_OUT class="form">
                <button type="submit" class="button button--primary button--large" autofocus>
                    "Sign out"
                </button>
            </form>
            <a href="/">"Stay signed in"</a>
        }
        .into_any()
    })
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
        let app = app.clone();
        // To its end, also when the browser closes meanwhile: the sessions end with the token.
        let leaving = tokio::spawn(async move {
            let whose = app.accounts.tokens.get(&secret).await.ok().flatten();
            let removed = app.accounts.tokens.remove(&[secret], None).await?;
            app.connections.end_sessions(&removed);
            if let Some(token) = whose {
                app.note_sign_out(token.user_id, peer.address.to_string()).await;
            }
            Ok::<_, StoreError>(())
        });
        let left = leaving
            .await
            .unwrap_or_else(|error| Err(StoreError::Unusable(error.to_string())));
        if let Err(error) = left {
            // Who is told to be signed out, is: the cookie stays until then.
            return no_store(&error);
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

/// Who somebody is cannot be found out for the moment: that is no reason to sign in again.
pub fn no_store(error: &StoreError) -> Response {
    tracing::debug!(%error, "a page cannot be shown without the store");
    let mut page = card(StatusCode::SERVICE_UNAVAILABLE, "Not now", || {
        view! {
            <h1>"Not now"</h1>
            <p>
                "The server cannot reach the store in which it keeps who is who. You are still signed in: try again in a \
                 moment."
            </p>
            <a href="" class="button button--primary button--large">
                "Try again"
            </a>
        }
        .into_any()
    });
    let headers = page.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    page
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
    let secret = cookies::get(request.headers(), cookies::TOKEN).unwrap_or_default();
    let address = peer.address.to_string();
    match app.accounts.sign_in_with_token(&secret, &address).await {
        Ok(_) => {}
        Err(SignInError::Store(error)) => return no_store(&error),
        Err(_) => return to_sign_in(request.uri(), peer),
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
