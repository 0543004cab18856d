//! A server in this process, clients over real sockets, and waiting without sleeping blindly.

mod lists;
mod program;
mod proxy;
mod sim;

#[allow(unused_imports, reason = "each test program uses its part")]
pub use lists::Lists;
pub use program::{Program, command};
#[allow(unused_imports, reason = "each test program uses its part")]
pub use proxy::Proxy;
pub use sim::*;

use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};
use server::{
    app::App,
    config::{Config, LogFormat, RedisSettings},
    http::serve::serve,
    limits::Limits,
    persist::{Backend, embedded::Embedded, memory::Memory},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::Instant,
};
use tokio_websockets::{MaybeTlsStream, Message, WebSocketStream};
use xapi_sim::SimPool;

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);
pub const EMAIL: &str = "admin@example.net";
pub const PASSWORD: &str = "correct horse";

/// Polls until the condition holds.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A folder that is removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("xo-it-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub struct TestServer {
    pub app: Arc<App>,
    pub address: SocketAddr,
    /// Of JSON-RPC over TCP.
    pub lines: SocketAddr,
    serving: JoinHandle<()>,
    _folder: Option<Folder>,
}

impl TestServer {
    /// One that forgets.
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        let folder = Folder::new();
        let mut server = Self::on(Arc::new(Memory::default()), &folder.0, limits).await;
        server._folder = Some(folder);
        server
    }

    /// One that keeps its store in the folder.
    pub async fn start_in(folder: &Path) -> Self {
        // The server before may still be closing its store.
        let path = folder.join("xo.redb");
        let backend = eventually("the store opens", async || Embedded::open(&path).ok()).await;
        Self::on(Arc::new(backend), folder, Limits::default()).await
    }

    pub async fn on(backend: Arc<dyn Backend>, folder: &Path, limits: Limits) -> Self {
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tcp_listen: None,
            tcp_tls: false,
            tls: None,
            trusted_origins: vec!["https://intra.example".to_owned()],
            data_dir: folder.to_owned(),
            redis: RedisSettings::default(),
            admin_email: EMAIL.to_owned(),
            admin_password: Some(PASSWORD.to_owned()),
            trusted_proxies: Vec::new(),
            pool_pace: limits.pace,
            audit: server::audit::Keep::default(),
            site_dir: None,
            first_servers: Vec::new(),
            log: "warn".to_owned(),
            log_format: LogFormat::Text,
        };
        let (app, _) = App::with_backend(config, limits, backend).await.expect("an app");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        app.start();
        let over_tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let lines = over_tcp.local_addr().expect("an address");
        tokio::spawn(server::rpc::lines::serve(app.clone(), over_tcp, None));
        let serving = tokio::spawn(serve(app.clone(), listener, None));
        Self {
            app,
            address,
            lines,
            serving,
            _folder: None,
        }
    }

    pub async fn stop(self) {
        self.app.stop().await;
        self.serving.await.expect("serving ends well");
    }

    /// A client that nobody has signed in.
    pub async fn connect(&self) -> Client {
        self.connect_with(&[]).await
    }

    pub async fn connect_with(&self, headers: &[(&str, &str)]) -> Client {
        Client::connect(self.address, headers).await.expect("an upgrade")
    }

    /// The administrator.
    pub async fn admin(&self) -> Client {
        let mut client = self.connect().await;
        client
            .ok("session.signIn", json!({ "email": EMAIL, "password": PASSWORD }))
            .await;
        client
    }

    /// A user who is no administrator.
    pub async fn plain_user(&self) -> Client {
        let name = "reader@example.net";
        self.app
            .accounts
            .create(name, PASSWORD, "none")
            .await
            .expect("a user");
        let mut client = self.connect().await;
        client
            .ok("session.signIn", json!({ "email": name, "password": PASSWORD }))
            .await;
        client
    }

    /// An answer to raw HTTP: status, headers in lower case, body.
    pub async fn http(&self, request: &str) -> (u16, Vec<(String, String)>, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("taken");
        let mut answer = Vec::new();
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer))
            .await
            .expect("an answer in time")
            .expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        (status.expect("a status"), headers, body.to_owned())
    }

    pub async fn get(&self, path: &str, headers: &str) -> (u16, Vec<(String, String)>, String) {
        let host = self.address;
        self.http(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        ))
        .await
    }

    pub async fn post_form(
        &self,
        path: &str,
        headers: &str,
        form: &str,
    ) -> (u16, Vec<(String, String)>, String) {
        let host = self.address;
        self.http(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n{headers}\r\n{form}",
            form.len()
        ))
        .await
    }
}

/// What came over the socket.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    Text(Value),
    Binary(Vec<u8>),
    /// A close frame with its code, or 0 for an end without one.
    Closed(u16),
}

/// How a client is connected.
enum Socket {
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Lines(BufReader<TcpStream>),
}

pub struct Client {
    socket: Socket,
    next_id: u64,
    /// Notifications that no one has asked for yet, in their order.
    pub notifications: Vec<Value>,
    /// What the `all` notifications told, see [`Client::follow`].
    pub objects: BTreeMap<String, Value>,
}

impl Client {
    pub async fn connect(
        address: SocketAddr,
        headers: &[(&str, &str)],
    ) -> Result<Self, tokio_websockets::Error> {
        let mut builder = tokio_websockets::ClientBuilder::new()
            .uri(&format!("ws://{address}/api/"))
            .expect("a URI");
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a header");
            let value = http::HeaderValue::from_str(value).expect("a value");
            builder = builder.add_header(name, value).expect("an allowed header");
        }
        let (socket, _) = builder.connect().await?;
        Ok(Self::on(Socket::WebSocket(Box::new(socket))))
    }

    /// Over TCP, line by line.
    pub async fn connect_lines(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::on(Socket::Lines(BufReader::new(stream)))
    }

    fn on(socket: Socket) -> Self {
        Self {
            socket,
            next_id: 1,
            notifications: Vec::new(),
            objects: BTreeMap::new(),
        }
    }

    /// The answer; `None` when the connection ended before it came.
    pub async fn call_if_there(&mut self, method: &str, params: Value) -> Option<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 0, "method": method, "params": params });
        self.try_send(Message::text(request.to_string())).await.ok()?;
        loop {
            match self.next().await {
                Incoming::Text(message) if message.get("method").is_none() => return Some(message),
                Incoming::Text(_) | Incoming::Binary(_) => {}
                Incoming::Closed(_) => return None,
            }
        }
    }

    pub async fn send(&mut self, message: Message) {
        self.try_send(message).await.expect("a message is taken");
    }

    async fn try_send(&mut self, message: Message) -> Result<(), tokio_websockets::Error> {
        match &mut self.socket {
            Socket::WebSocket(socket) => socket.send(message).await,
            Socket::Lines(stream) => {
                let line = format!("{}\n", message.as_text().expect("a text"));
                Ok(stream.write_all(line.as_bytes()).await?)
            }
        }
    }

    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await;
    }

    pub async fn next(&mut self) -> Incoming {
        let socket = match &mut self.socket {
            Socket::WebSocket(socket) => socket,
            Socket::Lines(stream) => {
                let mut line = String::new();
                let read = tokio::time::timeout(DEADLINE, stream.read_line(&mut line)).await;
                return match read.expect("a line in time") {
                    Ok(1..) => Incoming::Text(serde_json::from_str(&line).expect("JSON")),
                    _ => Incoming::Closed(0),
                };
            }
        };
        loop {
            let next = tokio::time::timeout(DEADLINE, socket.next());
            return match next.await.expect("a message in time") {
                Some(Ok(message)) => {
                    if let Some(text) = message.as_text() {
                        Incoming::Text(serde_json::from_str(text).expect("JSON"))
                    } else if message.is_binary() {
                        Incoming::Binary(message.as_payload().to_vec())
                    } else if let Some((code, _)) = message.as_close() {
                        Incoming::Closed(u16::from(code))
                    } else {
                        continue;
                    }
                }
                Some(Err(_)) | None => Incoming::Closed(0),
            };
        }
    }

    /// The next text message, if one has come already.
    pub fn next_if_there(&mut self) -> Option<Value> {
        let Socket::WebSocket(socket) = &mut self.socket else {
            panic!("not over TCP");
        };
        let message = socket.next().now_or_never()??.expect("a message");
        message
            .as_text()
            .map(|text| serde_json::from_str(text).expect("JSON"))
    }

    /// The next text message.
    pub async fn text(&mut self) -> Value {
        match self.next().await {
            Incoming::Text(value) => value,
            other => panic!("a text is expected, not {other:?}"),
        }
    }

    /// The next answer; notifications before it are kept.
    pub async fn answer(&mut self) -> Value {
        loop {
            let message = self.message().await;
            if message.get("method").is_some() {
                self.notifications.push(message);
            } else {
                return message;
            }
        }
    }

    /// The next message, in clear or compressed.
    async fn message(&mut self) -> Value {
        match self.next().await {
            Incoming::Text(message) => message,
            Incoming::Binary(bytes) => {
                let text = miniz_oxide::inflate::decompress_to_vec_zlib(&bytes).expect("a zlib stream");
                let message: Value = serde_json::from_slice(&text).expect("JSON");
                assert_eq!(message["method"], "view", "only views come compressed");
                message
            }
            Incoming::Closed(code) => panic!("closed with {code}"),
        }
    }

    /// Sends a request and returns its id.
    pub async fn request(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send_text(request.to_string()).await;
        id
    }

    /// The result, or the error object.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.request(method, params).await;
        let mut answer = self.answer().await;
        assert_eq!(
            (&answer["id"], &answer["jsonrpc"]),
            (&json!(id), &json!("2.0")),
            "{answer}"
        );
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["result"].take()),
        }
    }

    pub async fn ok(&mut self, method: &str, params: Value) -> Value {
        let shown = params.to_string();
        self.call(method, params)
            .await
            .unwrap_or_else(|error| panic!("{method} {shown}: {error}"))
    }

    /// The error's code, message and data.
    pub async fn fails(&mut self, method: &str, params: Value) -> (i64, String, Value) {
        let shown = params.to_string();
        let mut error = match self.call(method, params).await {
            Err(error) => error,
            Ok(result) => panic!("{method} {shown} answers {result}"),
        };
        (
            error["code"].as_i64().expect("a code"),
            error["message"].as_str().expect("a message").to_owned(),
            error["data"].take(),
        )
    }

    pub async fn all_objects(&mut self) -> BTreeMap<String, Value> {
        match self.ok("xo.getAllObjects", json!({})).await {
            Value::Object(objects) => objects.into_iter().collect(),
            other => panic!("objects are expected, not {other}"),
        }
    }

    /// Takes the whole inventory, then follows the notifications.
    pub async fn follow(&mut self) {
        self.objects = self.all_objects().await;
    }

    /// Applies the notifications that have come until the condition holds.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&BTreeMap<String, Value>) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            for notification in std::mem::take(&mut self.notifications) {
                self.apply(&notification);
            }
            if condition(&self.objects) {
                return;
            }
            let next = tokio::time::timeout_at(deadline, self.next()).await;
            match next.unwrap_or_else(|_| panic!("in vain: {what}")) {
                Incoming::Text(message) => self.notifications.push(message),
                other => panic!("waiting for {what}: {other:?}"),
            }
        }
    }

    pub fn apply(&mut self, notification: &Value) {
        if notification["method"] != "all" {
            return;
        }
        let items = notification["params"]["items"].as_object().expect("items");
        match notification["params"]["type"].as_str() {
            Some("enter") => {
                let entered = items.iter().map(|(id, object)| (id.clone(), object.clone()));
                self.objects.extend(entered);
            }
            Some("exit") => {
                for (id, mark) in items {
                    assert_eq!(*mark, 0, "an exit is marked with 0");
                    self.objects.remove(id);
                }
            }
            other => panic!("an unknown notification: {other:?}"),
        }
    }

    /// The next `view` notification.
    pub async fn view(&mut self) -> Value {
        loop {
            let kept = self
                .notifications
                .iter()
                .position(|message| message["method"] == "view");
            if let Some(kept) = kept {
                return self.notifications.remove(kept)["params"].take();
            }
            let message = self.message().await;
            self.notifications.push(message);
        }
    }

    /// Registers a simulated pool and waits until its objects are there.
    pub async fn add_pool(&mut self, pool: &SimPool) -> String {
        let id = self.ok("server.add", registration(pool)).await;
        let id = id.as_str().expect("an id").to_owned();
        self.connected(&id).await;
        id
    }

    pub async fn server(&mut self, id: &str) -> Value {
        let servers = self.ok("server.getAll", json!({})).await;
        let servers = servers.as_array().expect("a list");
        servers
            .iter()
            .find(|server| server["id"] == *id)
            .unwrap_or_else(|| panic!("no server {id}"))
            .clone()
    }

    pub async fn connected(&mut self, id: &str) -> Value {
        self.server_until(id, "it is connected", |server| server["status"] == "connected")
            .await
    }

    pub async fn server_until(&mut self, id: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            last = self.server(id).await;
            if condition(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("in vain: {what}: {last}");
    }
}
