//! One session with one host: login, calls, one new login when the session is gone.

use crate::{
    endpoint::Endpoint,
    error::CallError,
    tls::{self, Seen},
    wire::{Answer, Protocol},
};
use arc_swap::ArcSwapOption;
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Mutex, Semaphore, mpsc};

/// Largest answer that is read; a pool of 20,000 VMs lists in about 80 MB.
const MAX_ANSWER: usize = 512 << 20;
/// Calls at a time on one pool; more wait (as today's product does).
const CALLS_AT_A_TIME: usize = 20;
/// A short read; long operations give their own.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A machine that acknowledges nothing for twice that long is gone, whatever is asked of it.
const SILENCE_OF_MACHINE: Duration = Duration::from_secs(5);
/// An answer that has begun to arrive and then stops for that long does not go on.
const GAP: Duration = Duration::from_secs(10);
/// For the whole of an answer.
const STREAM_LIMIT: Duration = Duration::from_secs(600);
/// Memory that is made ready for an answer because it says that it will be so long.
const FORESEEN: u64 = 4 << 20;
/// For the farewell; the host ends idle sessions itself, if late.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(3);
/// A host that takes longer to let us in is not there. Whoever waits may be less patient.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(90);

/// Pieces of a streamed answer that wait for their reader.
const CHUNKS_WAITING: usize = 8;

/// Reads an answer while it arrives.
pub trait BodyReader: Default + Send + 'static {
    fn push(&mut self, bytes: &[u8]) -> Result<(), CallError>;
    /// The answer without what was taken out of it.
    fn finish(&mut self) -> Result<Bytes, CallError>;
}

/// A client of one host, shared by all who call it.
pub struct Client {
    endpoint: Endpoint,
    http: reqwest::Client,
    /// 0 unknown, 1 JSON-RPC, 2 XML-RPC.
    protocol: AtomicU8,
    session: ArcSwapOption<String>,
    /// Logged out: a call that comes late must not open a session that nobody ends.
    closed: AtomicBool,
    login: Mutex<()>,
    calls: Semaphore,
    seen: Seen,
}

impl Client {
    pub fn new(endpoint: Endpoint) -> Result<Arc<Self>, CallError> {
        let seen = Seen::default();
        let unusable = |reason: String| CallError::Transport { reason, sent: false };
        let tls = tls::client_config(endpoint.trust.clone(), seen.clone())
            .map_err(|error| unusable(error.to_string()))?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(SILENCE_OF_MACHINE)
            .tcp_keepalive_interval(SILENCE_OF_MACHINE / 4)
            .tcp_keepalive_retries(4)
            .tcp_user_timeout(SILENCE_OF_MACHINE * 2)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        if let Some(proxy) = &endpoint.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| unusable(chain(&error)))?);
        }
        let http = builder.build().map_err(|error| unusable(chain(&error)))?;
        Ok(Arc::new(Self {
            endpoint,
            http,
            protocol: AtomicU8::new(0),
            session: ArcSwapOption::empty(),
            closed: AtomicBool::new(false),
            login: Mutex::new(()),
            calls: Semaphore::new(CALLS_AT_A_TIME),
            seen,
        }))
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Fingerprint of the certificate that the host showed last.
    pub fn fingerprint(&self) -> Option<String> {
        self.seen.fingerprint()
    }

    pub fn session(&self) -> Option<Arc<String>> {
        self.session.load_full()
    }

    /// Shakes hands without credentials, to learn the host's certificate.
    pub async fn meet(&self) -> Result<String, CallError> {
        let request = self.http.get(&self.endpoint.url).timeout(CONNECT_TIMEOUT);
        request
            .send()
            .await
            .map_err(|error| self.transport_error(&error))?;
        self.fingerprint()
            .ok_or_else(|| CallError::Protocol("the host showed no certificate".to_owned()))
    }

    /// Opens a session; waits for it only so long, while the login itself goes on to its end.
    pub async fn login(self: &Arc<Self>, patience: Duration) -> Result<(), CallError> {
        match tokio::time::timeout(patience, self.open_session(None)).await {
            Ok(opened) => opened.map(drop),
            Err(_) => Err(CallError::Timeout(patience)),
        }
    }

    /// The session that came after `dead`: one new login for all callers that met the same dead session. A login
    /// that was begun is seen to its end, even if who wanted it goes away: nobody else knows the session that it opens.
    async fn open_session(self: &Arc<Self>, dead: Option<Arc<String>>) -> Result<Arc<String>, CallError> {
        let this = self.clone();
        let opening = tokio::spawn(async move {
            let _turn = this.login.lock().await;
            if this.is_closed() {
                return Err(CallError::NoSession);
            }
            let current = this.session.load_full();
            if let Some(current) = current.filter(|current| dead.as_ref() != Some(current)) {
                return Ok(current);
            }
            let session = Arc::new(this.request_session().await?);
            this.session.store(Some(session.clone()));
            if this.is_closed() {
                // It came too late for the farewell.
                this.end_session().await;
                return Err(CallError::NoSession);
            }
            Ok(session)
        });
        let opened = opening.await;
        opened.unwrap_or_else(|error| {
            Err(CallError::Protocol(format!(
                "the login did not end well: {error}"
            )))
        })
    }

    async fn request_session(&self) -> Result<String, CallError> {
        let params = [
            json!(self.endpoint.user),
            json!(self.endpoint.password),
            json!("2.0"),
            json!(self.endpoint.originator),
        ];
        let answer = match self
            .send("session.login_with_password", &params, LOGIN_TIMEOUT)
            .await
        {
            // The first releases knew neither version nor originator.
            Err(error) if error.is_fault("MESSAGE_PARAMETER_COUNT_MISMATCH") => {
                self.send("session.login_with_password", &params[..2], LOGIN_TIMEOUT)
                    .await?
            }
            other => other?,
        };
        answer.parse()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends the session for good, also one that is being opened, as well as that can be done in a few seconds.
    pub async fn logout(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // A login under way that takes longer finds out by itself that nobody wants it any more.
        let _turn = tokio::time::timeout(LOGOUT_TIMEOUT, self.login.lock()).await;
        self.end_session().await;
    }

    async fn end_session(&self) {
        if let Some(session) = self.session.swap(None) {
            let farewell = self
                .send("session.logout", &[json!(*session)], LOGOUT_TIMEOUT)
                .await;
            if let Err(error) = farewell {
                tracing::debug!(host = %self.endpoint.url, %error, "the session could not be ended");
            }
        }
    }

    /// Calls `method` with the session prepended to `params`.
    pub async fn call(self: &Arc<Self>, method: &str, params: &[Value]) -> Result<Answer, CallError> {
        self.call_within(method, params, CALL_TIMEOUT).await
    }

    /// As [`Client::call`], with a time limit of its own. At most [`CALLS_AT_A_TIME`] run.
    pub async fn call_within(
        self: &Arc<Self>,
        method: &str,
        params: &[Value],
        limit: Duration,
    ) -> Result<Answer, CallError> {
        // The semaphore is never closed.
        let _turn = self.calls.acquire().await.map_err(|_| CallError::NoSession)?;
        self.call_unqueued(method, params, limit).await
    }

    /// As [`Client::call_within`], outside of the queue: for the event poll, which always has one running.
    pub async fn call_unqueued(
        self: &Arc<Self>,
        method: &str,
        params: &[Value],
        limit: Duration,
    ) -> Result<Answer, CallError> {
        let session = self.session.load_full().ok_or(CallError::NoSession)?;
        match self.send(method, &with_session(&session, params), limit).await {
            Err(error) if error.is_fault("SESSION_INVALID") => {
                let session = self.open_session(Some(session)).await?;
                self.send(method, &with_session(&session, params), limit).await
            }
            other => other,
        }
    }

    /// As [`Client::call_unqueued`], for an answer too large to hold: it is read while it arrives, on a
    /// thread of its own. The limit is for its beginning: it may take long, as long as it goes on.
    /// Only where the host [speaks JSON](Client::speaks_json).
    pub async fn call_streamed<R: BodyReader>(
        self: &Arc<Self>,
        method: &str,
        params: &[Value],
        limit: Duration,
        begun: &AtomicBool,
    ) -> Result<(R, Answer), CallError> {
        let session = self.session.load_full().ok_or(CallError::NoSession)?;
        let send = async |session: &str| {
            let params = with_session(session, params);
            tokio::time::timeout(
                STREAM_LIMIT,
                self.exchange_streamed(method, &params, limit, begun),
            )
            .await
            .unwrap_or(Err(CallError::Timeout(STREAM_LIMIT)))
        };
        match send(&session).await {
            Err(error) if error.is_fault("SESSION_INVALID") => {
                let session = self.open_session(Some(session)).await?;
                send(&session).await
            }
            other => other,
        }
    }

    /// Whether the last login found a host with JSON-RPC.
    pub fn speaks_json(&self) -> bool {
        self.protocol.load(Ordering::Relaxed) == 1
    }

    /// Sends one request; the first one finds out which protocol the host speaks. The limit is for the beginning of
    /// the answer: what arrives, arrives, also over a slow line.
    async fn send(&self, method: &str, params: &[Value], limit: Duration) -> Result<Answer, CallError> {
        let exchange = async {
            match self.protocol.load(Ordering::Relaxed) {
                1 => self.exchange(Protocol::JsonRpc, method, params, limit).await?.1,
                2 => self.exchange(Protocol::XmlRpc, method, params, limit).await?.1,
                _ => {
                    let (is_json, answer) = self.exchange(Protocol::JsonRpc, method, params, limit).await?;
                    if is_json {
                        self.protocol.store(1, Ordering::Relaxed);
                        answer
                    } else {
                        // A host without /jsonrpc takes the request for broken XML-RPC.
                        let (_, answer) = self.exchange(Protocol::XmlRpc, method, params, limit).await?;
                        if !matches!(answer, Err(CallError::Protocol(_))) {
                            self.protocol.store(2, Ordering::Relaxed);
                        }
                        answer
                    }
                }
            }
        };
        tokio::time::timeout(STREAM_LIMIT, exchange)
            .await
            .unwrap_or(Err(CallError::Timeout(STREAM_LIMIT)))
    }

    /// The answer, and whether it was declared as JSON.
    async fn exchange(
        &self,
        protocol: Protocol,
        method: &str,
        params: &[Value],
        limit: Duration,
    ) -> Result<(bool, Result<Answer, CallError>), CallError> {
        let response = self.post(protocol, method, params, limit).await?;
        let status = response.status();
        let declared = declares_json(&response);
        let body = self.body(response).await?;
        // Mislabelled on the way: what a login has opened must not be forgotten.
        let is_json = declared || (status.is_success() && body.trim_ascii_start().starts_with(b"{"));
        if protocol == Protocol::JsonRpc && !is_json {
            let reason = format!("HTTP status {} and no JSON", status.as_u16());
            return Ok((false, Err(CallError::Protocol(reason))));
        }
        if !status.is_success() {
            return Ok((
                is_json,
                Err(CallError::Protocol(format!("HTTP status {}", status.as_u16()))),
            ));
        }
        Ok((is_json, protocol.decode(body)))
    }

    async fn exchange_streamed<R: BodyReader>(
        &self,
        method: &str,
        params: &[Value],
        limit: Duration,
        begun: &AtomicBool,
    ) -> Result<(R, Answer), CallError> {
        let mut response = self.post(Protocol::JsonRpc, method, params, limit).await?;
        begun.store(true, Ordering::Relaxed);
        let status = response.status();
        if !status.is_success() || !declares_json(&response) {
            let reason = format!("HTTP status {} and no JSON", status.as_u16());
            return Err(CallError::Protocol(reason));
        }
        let (sender, mut chunks) = mpsc::channel::<Bytes>(CHUNKS_WAITING);
        let reading = tokio::task::spawn_blocking(move || {
            let mut reader = R::default();
            while let Some(chunk) = chunks.blocking_recv() {
                reader.push(&chunk)?;
            }
            let rest = reader.finish()?;
            Ok::<_, CallError>((reader, rest))
        });
        let mut length = 0;
        while let Some(chunk) = self.next_chunk(&mut response).await? {
            length += chunk.len();
            if length > MAX_ANSWER {
                return Err(too_large());
            }
            // The reader gave up: it says why below.
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        drop(sender);
        let read = reading.await;
        let (reader, rest) =
            read.map_err(|error| CallError::Protocol(format!("the answer could not be read: {error}")))??;
        Ok((reader, Protocol::JsonRpc.decode(rest)?))
    }

    async fn post(
        &self,
        protocol: Protocol,
        method: &str,
        params: &[Value],
        limit: Duration,
    ) -> Result<reqwest::Response, CallError> {
        let response = self
            .http
            .post(format!("{}{}", self.endpoint.url, protocol.path()))
            .header(reqwest::header::CONTENT_TYPE, protocol.content_type())
            .body(protocol.encode(method, params))
            .send();
        match tokio::time::timeout(limit, response).await {
            Ok(response) => response.map_err(|error| self.transport_error(&error)),
            Err(_) => Err(CallError::Timeout(limit)),
        }
    }

    /// The next piece of an answer that has begun.
    async fn next_chunk(&self, response: &mut reqwest::Response) -> Result<Option<Bytes>, CallError> {
        match tokio::time::timeout(GAP, response.chunk()).await {
            Ok(chunk) => chunk.map_err(|error| self.transport_error(&error)),
            Err(_) => Err(CallError::Timeout(GAP)),
        }
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Bytes, CallError> {
        let length = response
            .content_length()
            .map_or(0, |length| length.min(FORESEEN) as usize);
        let mut body = BytesMut::with_capacity(length);
        while let Some(chunk) = self.next_chunk(&mut response).await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    pub(crate) fn transport_error(&self, error: &reqwest::Error) -> CallError {
        let reason = chain(error);
        if reason.contains("certificate") {
            return CallError::Untrusted {
                reason,
                fingerprint: self.fingerprint(),
            };
        }
        CallError::Transport {
            reason,
            sent: !error.is_connect(),
        }
    }
}

fn declares_json(response: &reqwest::Response) -> bool {
    response
        .headers()
        .get(reqwest::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"))
}

fn too_large() -> CallError {
    CallError::Protocol(format!("an answer of more than {MAX_ANSWER} bytes"))
}

fn with_session(session: &str, params: &[Value]) -> Vec<Value> {
    std::iter::once(json!(session))
        .chain(params.iter().cloned())
        .collect()
}

/// The most telling part of an error's chain of causes: its last.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
