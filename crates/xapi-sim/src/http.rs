//! HTTP/1.1 as XAPI's own server speaks it: small header block, `Content-Length` only, keep-alive, HTML error pages.
//! Written by hand so that tests can cut, freeze and truncate at will.

pub mod tls;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::fault::Fault;
use crate::faults::Met;
use crate::pool::Shared;
use crate::rpc::{self, Reply};
use crate::streams;
use crate::value::Value;
use crate::wire::{Wire, json, xml};

/// XAPI's limit for the header block on TCP.
const MAX_HEADER: usize = 1024;
/// XAPI's `http_limit_max_rpc_size`.
const MAX_BODY: usize = 300 * 1024;
/// What is not streamed and not XML-RPC, by method and beginning of the path.
const ROUTES: [(&str, &str); 7] = [
    ("POST", "/jsonrpc"),
    ("GET", "/rrd_updates"),
    ("GET", "/host_rrd"),
    ("GET", "/host_rrds"),
    ("GET", "/vm_rrd"),
    ("GET", "/vm_rrds"),
    ("GET", "/sr_rrd"),
];

/// How much of itself a host lends to those who connect.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections to one host at a time. More are accepted when others end; until then nothing is read from them.
    pub connections: usize,
    /// The first request of a connection has so much time between two readings of its header, ...
    pub header_pause: Duration,
    /// ... and so much for all of it. Who needs more gets HTTP 408 and the end of the connection.
    pub header_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 800,
            header_pause: Duration::from_secs(10),
            header_time: Duration::from_secs(60),
        }
    }
}

pub struct Request {
    pub method: String,
    pub path: String,
    /// Path and query as they came.
    pub target: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    keep_alive: bool,
}

pub struct Response {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Request {
    /// One that came over no connection.
    pub fn made<const N: usize>(method: &str, path: &str, query: [(&str, String); N]) -> Request {
        let query = query.into_iter().map(|(name, value)| (name.to_owned(), value));
        Request {
            method: method.to_owned(),
            path: path.to_owned(),
            target: path.to_owned(),
            query: query.collect(),
            headers: Vec::new(),
            body: Vec::new(),
            keep_alive: false,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The session of a stream handler.
    pub fn session(&self) -> Option<&str> {
        self.cookie_or_parameter("session_id")
    }

    /// Cookie first, then query.
    pub fn cookie_or_parameter(&self, wanted: &str) -> Option<&str> {
        let cookies = self.header("cookie").unwrap_or_default().split([';', '&']);
        let mut cookies = cookies.filter_map(|cookie| cookie.trim().split_once('='));
        let cookie = cookies.find(|(name, _)| *name == wanted).map(|(_, value)| value);
        cookie.or_else(|| self.parameter(wanted))
    }
}

impl Response {
    pub fn new(content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response {
            status: 200,
            content_type,
            headers: vec![],
            body: body.into(),
        }
    }

    /// The small HTML documents that XAPI answers errors with.
    pub fn error(status: u16, text: &str) -> Response {
        let title = reason(status);
        let body = format!(
            "<html><body><h1>HTTP {status} {}</h1>{text}</body></html>",
            title.to_lowercase()
        );
        let mut response = Response {
            status,
            ..Response::new("text/html", body)
        };
        if status == 401 {
            response
                .headers
                .push(("WWW-Authenticate", "Basic realm=\"xapi\"".to_owned()));
        }
        response
    }

    /// Elsewhere.
    pub fn redirect(to: String) -> Response {
        let mut response = Response {
            status: 302,
            ..Response::new("text/html", "")
        };
        response.headers.push(("Location", to));
        response
    }

    /// The answer as it goes on a connection that ends with it.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.head(false).as_bytes(), &self.body].concat()
    }

    fn head(&self, keep_alive: bool) -> String {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut add = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        add("Content-Type", self.content_type);
        add("Content-Length", &self.body.len().to_string());
        add("Connection", if keep_alive { "keep-alive" } else { "close" });
        add("Cache-Control", "no-cache, no-store");
        for (name, value) in &self.headers {
            add(name, value);
        }
        head.push_str("\r\n");
        head
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorised",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        501 => "Method Not Implemented",
        503 => "Service Unavailable",
        _ => "Internal Error",
    }
}

/// Serves one connection to a host (0 is the first) until either side closes it.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, own: &Arc<Shared>, at: usize) {
    let mut buffer = Vec::new();
    let mut first = Some(own.config.limits.clone());
    loop {
        let (pool, host) = own.route(at);
        let met = pool.met(host);
        let mut read = read(&mut stream, &mut buffer, Some(&met), first.take().as_ref()).await;
        if let Ok(Some(request)) = &mut read
            && let Some(path) = route(request)
        {
            request.path = path.to_owned();
        }
        let asked = met.asked();
        let (mut response, keep_alive, is_rpc) = match read {
            Ok(Some(request)) => {
                let failing = met.takes(|faults| &faults.failing);
                let streams = streams::takes(&request);
                if streams && !failing {
                    streams::serve(&mut stream, buffer, &request, &pool, &met).await;
                    pool.run_afterwards();
                    return;
                }
                let response = if failing {
                    Response::error(500, "Internal Error")
                } else {
                    answer(&request, &pool, host).await
                };
                (response, request.keep_alive && !streams, request.method == "POST")
            }
            Ok(None) => return,
            Err(response) => (response, false, false),
        };
        if !met.delay(asked).await {
            pool.run_afterwards();
            return keep_silent(&mut stream).await;
        }
        if is_rpc && met.takes(|faults| &faults.malformed) {
            response.body.truncate(response.body.len() / 2);
            response.body.extend_from_slice(b"\xff<}\xfe");
        }
        if is_rpc && met.takes(|faults| &faults.mislabelled) {
            response.content_type = "text/html";
        }
        let truncated = is_rpc && met.takes(|faults| &faults.truncated);
        let head = response.head(keep_alive);
        if truncated {
            response.body.truncate(response.body.len() / 2);
        }
        let written = write(&mut stream, &met, head.as_bytes(), &response.body).await;
        if truncated || !keep_alive {
            let _ = stream.shutdown().await;
        }
        pool.run_afterwards();
        if truncated || !keep_alive || written.is_err() {
            return;
        }
    }
}

/// The answer is lost: nothing more is said, whatever comes, until the client closes.
pub async fn keep_silent<S: AsyncRead + Unpin>(stream: &mut S) {
    let _ = tokio::io::copy(stream, &mut tokio::io::sink()).await;
}

async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    met: &Met<'_>,
    head: &[u8],
    body: &[u8],
) -> std::io::Result<()> {
    // One write for small answers: one packet, one TLS record.
    let small = [head, if body.len() < 16 * 1024 { body } else { &[] }].concat();
    for part in [&small[..], if body.len() < 16 * 1024 { &[] } else { body }] {
        let mut rest = part;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(met.portion(rest.len()));
            stream.write_all(now).await?;
            if !later.is_empty() {
                stream.flush().await?;
            }
            met.pace(now.len()).await;
            rest = later;
        }
    }
    stream.flush().await
}

/// The longest path with a handler that a request's path begins with.
fn route(request: &Request) -> Option<&'static str> {
    let mine = ROUTES.iter().filter(|(method, _)| request.method == *method);
    let mine = mine.map(|(_, path)| *path).chain(streams::route(request));
    mine.filter(|path| request.path.starts_with(path))
        .max_by_key(|path| path.len())
}

async fn answer(request: &Request, pool: &Arc<Shared>, host: usize) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/jsonrpc") if pool.config.json_rpc => json_rpc(request, pool, host).await,
        // Every unknown POST path ends at the XML-RPC handler.
        ("POST", _) => xml_rpc(request, pool, host).await,
        // Every path begins with `/`.
        ("OPTIONS", _) => preflight(request),
        ("GET", "/rrd_updates") => crate::rrd::updates(request, pool, host),
        ("GET", "/host_rrd" | "/host_rrds" | "/vm_rrd" | "/vm_rrds" | "/sr_rrd") => {
            crate::rrd::dump(request, pool, host)
        }
        ("GET", "/") => Response::new("text/html", "<html><body>Simulated XenServer</body></html>"),
        ("GET", _) => Response::error(404, "not found"),
        ("PUT", _) => Response::error(403, "forbidden"),
        _ => Response::error(501, "not implemented"),
    }
}

async fn json_rpc(request: &Request, pool: &Arc<Shared>, host: usize) -> Response {
    let call = match json::parse(&request.body) {
        Ok(call) => call,
        Err(text) => return Response::error(500, &text),
    };
    let result = match call.invalid {
        Some(text) => Err(Fault::new("INVALID_VALUE", [text])),
        None => run(pool, host, Wire::Json, call.method, call.params).await,
    };
    let body = match result {
        Ok(reply) => json::success(call.version, &call.id, &reply.render(Wire::Json)),
        Err(fault) => json::failure(call.version, &call.id, &fault),
    };
    rpc_response("application/json", body)
}

async fn xml_rpc(request: &Request, pool: &Arc<Shared>, host: usize) -> Response {
    let call = match xml::parse(&request.body) {
        Ok(call) => call,
        Err(text) => return Response::error(500, &text),
    };
    let result = match call.invalid {
        Some(text) => Err(Fault::new("INVALID_VALUE", [text])),
        None => run(pool, host, Wire::Xml, call.method, call.params).await,
    };
    let body = match result {
        Ok(reply @ Reply::Bare(_)) => xml::bare(&reply.render(Wire::Xml)),
        Ok(reply) => xml::success(&reply.render(Wire::Xml)),
        Err(fault) => xml::failure(&fault),
    };
    rpc_response("text/xml", body)
}

/// A call goes on when its connection is lost, as on a real host; waiting for events ends with the connection.
async fn run(
    pool: &Arc<Shared>,
    host: usize,
    wire: Wire,
    method: String,
    params: Vec<Value>,
) -> Result<Reply, Fault> {
    pool.count_call(&method);
    if let Some(answer) = crate::rpc::supporter::answer(pool, host, &method, &params)? {
        return Ok(answer);
    }
    if method.starts_with("event.") || method.starts_with("event_") {
        return rpc::call(pool, wire, &method, params).await;
    }
    let shared = pool.clone();
    match pool
        .spawn(async move { rpc::call(&shared, wire, &method, params).await })
        .await
    {
        Ok(Some(result)) => result,
        Ok(None) => Err(Fault::bare("HOST_STILL_BOOTING")),
        Err(panic) => Err(Fault::internal(format!("the simulator failed: {panic}"))),
    }
}

/// What this pool's first host answers to an XML-RPC body that another program has sent.
/// Boxed, for an answer may itself come from here.
pub fn posted<'a>(pool: &'a Arc<Shared>, body: &str) -> Pin<Box<dyn Future<Output = String> + Send + 'a>> {
    let request = Request {
        body: body.as_bytes().to_vec(),
        ..Request::made("POST", "/", [])
    };
    Box::pin(async move {
        let response = xml_rpc(&request, pool, 0).await;
        String::from_utf8_lossy(&response.body).into_owned()
    })
}

fn rpc_response(content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(content_type, body);
    response
        .headers
        .push(("Access-Control-Allow-Origin", "*".to_owned()));
    response
}

fn preflight(request: &Request) -> Response {
    let mut allowed = request
        .header("access-control-request-headers")
        .unwrap_or_default()
        .to_owned();
    allowed.push_str(if allowed.is_empty() {
        "X-Requested-With"
    } else {
        ", X-Requested-With"
    });
    let mut response = rpc_response("text/plain", String::new());
    response.headers.push(("Access-Control-Allow-Headers", allowed));
    response
        .headers
        .push(("Access-Control-Allow-Methods", "PUT".to_owned()));
    response
}

/// The next request; `None` when the client closed; `Err` is the answer to what cannot be read. With `limits` its
/// header has only so much time.
pub async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    met: Option<&Met<'_>>,
    limits: Option<&Limits>,
) -> Result<Option<Request>, Response> {
    let begun = Instant::now();
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > MAX_HEADER {
            return Err(Response::error(431, "header too large"));
        }
        let reading = stream.read_buf(buffer);
        let read = match limits {
            None => Ok(reading.await),
            Some(limits) => {
                let deadline = (Instant::now() + limits.header_pause).min(begun + limits.header_time);
                timeout_at(deadline, reading).await
            }
        };
        match read {
            Err(_) => return Err(Response::error(408, "the header took too long")),
            Ok(Ok(0) | Err(_)) => return Ok(None),
            Ok(Ok(_)) => {}
        }
    };
    if end > MAX_HEADER {
        return Err(Response::error(431, "header too large"));
    }
    let mut request = parse_head(&buffer[..end]).ok_or_else(|| Response::error(400, "bad request"))?;
    buffer.drain(..end + 4);
    // Who streams reads the body itself.
    if streams::takes(&request) {
        return Ok(Some(request));
    }
    if request.header("transfer-encoding").is_some() {
        return Err(Response::error(500, "Cannot handle Transfer-Encoding"));
    }
    let length = match request.header("content-length").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(length)) => length,
        Some(Err(_)) => return Err(Response::error(400, "bad content-length")),
    };
    if length > MAX_BODY {
        return Err(Response::error(500, "body too large"));
    }
    if request
        .header("expect")
        .is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"))
        && stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
    {
        return Ok(None);
    }
    while buffer.len() < length {
        let missing = length - buffer.len();
        let portion = met.map_or(missing, |met| met.portion(missing));
        match (&mut *stream).take(portion as u64).read_buf(buffer).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(read) => {
                if let Some(met) = met {
                    met.pace(read).await;
                }
            }
        }
    }
    request.body = buffer.drain(..length).collect();
    Ok(Some(request))
}

fn parse_head(head: &[u8]) -> Option<Request> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target, version) = (first.next()?, first.next()?, first.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(String, String)> = lines
        .map(|line| {
            line.split_once(':')
                .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    let connection = headers
        .iter()
        .find(|(name, _)| name == "connection")
        .map(|(_, value)| value.to_lowercase());
    Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        target: target.to_owned(),
        query: query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (percent_decoded(name), percent_decoded(value)))
            .collect(),
        headers,
        body: Vec::new(),
        keep_alive: version == "HTTP/1.1" && connection.as_deref() != Some("close"),
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex
            .filter(|_| *byte == b'%')
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(if *byte == b'+' { b' ' } else { *byte });
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_request_line_query_and_cookies() {
        let head = b"GET /rrd_updates?start=5&session_id=OpaqueRef%3Ax HTTP/1.1\r\nCookie: a=b; session_id=y";
        let request = parse_head(head).expect("valid");
        assert_eq!(
            (request.path.as_str(), request.parameter("start")),
            ("/rrd_updates", Some("5"))
        );
        assert_eq!(request.parameter("session_id"), Some("OpaqueRef:x"));
        assert_eq!(request.session(), Some("y"));
        assert!(request.keep_alive);
        assert!(!parse_head(b"GET / HTTP/1.0").expect("valid").keep_alive);
        assert!(parse_head(b"nonsense").is_none());
    }
}
