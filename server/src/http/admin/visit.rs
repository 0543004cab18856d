//! Who asks for a page, what with, and how the page is answered.

use super::{failure, notices};
use crate::{
    app::App,
    auth::SignInError,
    http::{cookies, pages, peer::Peer},
    rpc::{
        connection::{Connection, Transport},
        dispatch,
        registry::Caller,
    },
};
use ::app::{
    pages::admin::{
        Document, Entered, Notice, Part,
        document::document,
        message::{MessagePage, MessagePageProps},
        parts::PART,
    },
    rpc::RpcError,
};
use axum::{
    Form,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Response},
};
use leptos::prelude::{IntoView, Owner, RenderHtml};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A page, or what is answered in its place.
pub type Page = Result<Response, Instead>;

pub struct Instead(Box<Response>);

impl From<Response> for Instead {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Instead {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Pairs of a query or a form.
#[derive(Clone, Debug, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// Empty when it is not there.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// As it was typed, spaces and all.
    pub fn raw(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// These as params of a call; with `optional`, those that are empty are left out.
    pub fn params(&self, required: &[&str], optional: &[&str]) -> Map<String, Value> {
        let pair = |name: &&str| ((*name).to_owned(), Value::from(self.get(name)));
        let given = optional.iter().filter(|name| !self.get(name).is_empty());
        required.iter().map(pair).chain(given.map(pair)).collect()
    }
}

/// Somebody who is signed in asks for a page.
pub struct Visit {
    pub app: Arc<App>,
    pub peer: Peer,
    pub caller: Caller,
    pub query: Fields,
    connection: Arc<Connection>,
    cookies: axum::http::HeaderMap,
    notice: Option<Notice>,
}

impl Visit {
    /// Strangers are sent to sign in, and come back.
    async fn enter(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let peer = parts.extensions.get::<Peer>().copied().ok_or_else(|| {
            tracing::error!("a request without an address");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })?;
        let posted = parts.method == axum::http::Method::POST;
        // Before anything is looked at or waited for.
        if posted && !cookies::is_same_origin(&parts.headers) {
            return Err((StatusCode::FORBIDDEN, "the form comes from another site\n").into_response());
        }
        let secret = cookies::get(&parts.headers, cookies::TOKEN).unwrap_or_default();
        let address = peer.address.to_string();
        let signed_in = app.accounts.sign_in_with_token(&secret, &address).await;
        let signed_in = signed_in.map_err(|error| match error {
            SignInError::Store(error) => pages::no_store(&error),
            _ => pages::to_sign_in(&parts.uri, peer),
        })?;
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let query = Fields(query.map(|Query(pairs)| pairs).unwrap_or_default());
        // Its calls are those of a client that comes for this page only.
        let (connection, _) = Connection::new(app.connections.next_id(), address, None, Transport::Page);
        connection.sign_in(signed_in, app.inventory.revision());
        let Some(caller) = connection.caller(app) else {
            return Err(pages::to_sign_in(&parts.uri, peer));
        };
        let notice = cookies::get(&parts.headers, notices::COOKIE).and_then(|code| notices::said(&code));
        Ok(Self {
            app: app.clone(),
            peer,
            caller,
            query,
            connection,
            cookies: parts.headers.clone(),
            notice: notice.map(Notice::Done),
        })
    }

    /// A form may have been long on its way: what it came with must still be good for it.
    async fn still_may(&self, uri: &axum::http::Uri) -> Result<(), Response> {
        let signed_in = self.connection.signed_in();
        match &signed_in {
            Some(signed_in) => match self.app.accounts.still_opens(signed_in).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(pages::to_sign_in(uri, self.peer)),
                Err(error) => Err(pages::no_store(&error)),
            },
            None => Err(pages::to_sign_in(uri, self.peer)),
        }
    }

    async fn enter_as_admin(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let visit = Self::enter(parts, app).await?;
        if visit.caller.is_admin() {
            return Ok(visit);
        }
        let text = "Only administrators may see this page.";
        Err(visit.says(StatusCode::FORBIDDEN, "Not for you", text))
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        cookies::get(&self.cookies, name)
    }

    /// Id of the token that opened this session.
    pub fn own_token(&self) -> Option<String> {
        self.connection.signed_in().and_then(|user| user.token)
    }

    /// Runs a method of the API for this user. It goes on to its end, with its record in the audit log, also
    /// when the browser goes away meanwhile.
    pub async fn call(&self, method: &'static str, params: impl Into<Value>) -> Result<Value, RpcError> {
        let (app, connection) = (self.app.clone(), self.connection.clone());
        let params = match params.into() {
            Value::Object(params) => params,
            _ => Map::new(),
        };
        let running = tokio::spawn(async move { dispatch::call(&app, &connection, method, params).await });
        running
            .await
            .unwrap_or_else(|_| Err(failure::internal("the call was not finished")))
    }

    /// The answer of a method that only reads; a page that says what went wrong.
    pub async fn read<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Into<Value>,
    ) -> Result<T, Response> {
        let result = self.call(method, params).await;
        let read = result.and_then(|value| {
            serde_json::from_value(value).map_err(|error| failure::internal(&error.to_string()))
        });
        read.map_err(|error| self.broken(&error))
    }

    /// What is said of an error that is no fault of what was entered.
    pub fn broken(&self, error: &RpcError) -> Response {
        let title = if failure::status(error) == StatusCode::NOT_FOUND {
            "Not found"
        } else {
            "This did not work"
        };
        self.says(failure::status(error), title, &failure::words(error))
    }

    pub fn not_found(&self, what: &str) -> Response {
        self.says(StatusCode::NOT_FOUND, "Not found", what)
    }

    /// A form that none of our pages has.
    pub fn unknown_form(&self) -> Page {
        Err(self
            .says(
                StatusCode::BAD_REQUEST,
                "This form is not known",
                "Open the page again, and try once more.",
            )
            .into())
    }

    pub fn says(&self, status: StatusCode, title: &str, text: &str) -> Response {
        let props = MessagePageProps::builder().title(title).text(text).build();
        let mut response = self.render(title, "", None, || MessagePage(props));
        *response.status_mut() = status;
        response
    }

    /// After a change: the page at `path`, which says that it was made.
    pub fn done(&self, path: &str, notice: &str) -> Page {
        let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response();
        self.set_cookie(&mut response, notices::COOKIE, notice, 60);
        Ok(response)
    }

    pub fn set_cookie(&self, response: &mut Response, name: &str, value: &str, age_s: i64) {
        if let Some(cookie) = cookies::set(name, value, Some(age_s), self.peer.secure) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }

    pub fn page<V: IntoView + 'static>(
        &self,
        title: &str,
        here: &'static str,
        wrong: &Wrong,
        content: impl FnOnce() -> V,
    ) -> Page {
        let notice = wrong.notice.clone().map(Notice::Failed);
        let mut response = self.render(title, here, notice, content);
        *response.status_mut() = wrong.status;
        Ok(response)
    }

    fn render<V: IntoView + 'static>(
        &self,
        title: &str,
        here: &'static str,
        notice: Option<Notice>,
        content: impl FnOnce() -> V,
    ) -> Response {
        let about = Document {
            title: title.to_owned(),
            user: self.caller.record.email.clone(),
            is_admin: self.caller.is_admin(),
            here,
            notice: notice.or_else(|| self.notice.clone()),
        };
        let html = Owner::new().with(|| document(about, content()).to_html());
        let mut response = ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response();
        if self.notice.is_some() {
            let gone = cookies::clear(notices::COOKIE, self.peer.secure);
            let gone: Option<HeaderValue> = gone;
            if let Some(gone) = gone {
                response.headers_mut().append(header::SET_COOKIE, gone);
            }
        }
        response
    }

    /// The part of a list that the query asks for.
    pub fn part<T>(&self, mut all: Vec<T>, path: &str, has: impl Fn(&T, &str) -> bool) -> Part<T> {
        let filter = self.query.get("q").to_owned();
        let wanted = filter.to_lowercase();
        if !wanted.is_empty() {
            all.retain(|one| has(one, &wanted));
        }
        let total = all.len();
        let from = self.query.get("from").parse().unwrap_or(0).min(total);
        Part {
            shown: all.into_iter().skip(from).take(PART).collect(),
            total,
            from,
            filter,
            path: path.to_owned(),
        }
    }
}

/// What is wrong with what was entered: nothing, at first.
#[derive(Clone, Debug, Default)]
pub struct Wrong {
    pub entered: Entered,
    pub notice: Option<String>,
    pub status: StatusCode,
}

/// An administrator asks for a page.
pub struct Admin(pub Visit);
/// An administrator sends a form.
pub struct AdminForm(pub Visit, pub Fields);
/// Anybody who is signed in asks for a page.
pub struct Own(pub Visit);
pub struct OwnForm(pub Visit, pub Fields);

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        Visit::enter_as_admin(parts, app).await.map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Own {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        Visit::enter(parts, app).await.map(Self)
    }
}

/// A form that does not arrive in time is not waited for.
async fn fields(parts: Parts, body: axum::body::Body, app: &Arc<App>) -> Result<Fields, Response> {
    let request = Request::from_parts(parts, body);
    let form = Form::<Vec<(String, String)>>::from_request(request, app);
    match tokio::time::timeout(app.limits.form_time, form).await {
        Ok(Ok(Form(pairs))) => Ok(Fields(pairs)),
        Ok(Err(rejection)) => Err(rejection.into_response()),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the form did not arrive in time\n").into_response()),
    }
}

impl FromRequest<Arc<App>> for AdminForm {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::enter_as_admin(&mut parts, app).await?;
        let uri = parts.uri.clone();
        let form = fields(parts, body, app).await?;
        visit.still_may(&uri).await?;
        Ok(Self(visit, form))
    }
}

impl FromRequest<Arc<App>> for OwnForm {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::enter(&mut parts, app).await?;
        let uri = parts.uri.clone();
        let form = fields(parts, body, app).await?;
        visit.still_may(&uri).await?;
        Ok(Self(visit, form))
    }
}
