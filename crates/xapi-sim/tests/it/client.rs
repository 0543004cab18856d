//! The smallest HTTP/1.1 client that can do what these tests need: one kept connection, JSON-RPC and raw requests.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use xapi_sim::{PoolConfig, SimPool};

pub const DEADLINE: Duration = Duration::from_secs(20);

/// Plain or over TLS.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub struct Client {
    stream: Box<dyn Stream>,
    pub session: String,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// A small pool whose operations take no time.
pub async fn pool() -> SimPool {
    pool_with(PoolConfig::default()).await
}

pub async fn pool_with(config: PoolConfig) -> SimPool {
    SimPool::start(PoolConfig {
        time_scale: 0.0,
        batch_ms: config.batch_ms.min(5),
        ..config
    })
    .await
    .expect("the pool starts")
}

impl Client {
    pub async fn connect(pool: &SimPool) -> Client {
        Client::connect_to(&pool.addr().to_string()).await
    }

    pub async fn connect_to(address: &str) -> Client {
        let stream = TcpStream::connect(address).await.expect("connects");
        Client::over(Box::new(stream))
    }

    pub fn over(stream: Box<dyn Stream>) -> Client {
        Client {
            stream,
            session: String::new(),
        }
    }

    /// Connected and logged in.
    pub async fn login(pool: &SimPool) -> Client {
        Client::connect(pool).await.log_in().await
    }

    pub async fn log_in(mut self) -> Client {
        let session = self
            .rpc("session.login_with_password", json!(["root", "password"]))
            .await
            .expect("logs in");
        self.session = session.as_str().expect("a reference").to_owned();
        self
    }

    pub async fn request(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        let (head, body) = self.exchange(method, path, body).await?;
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        Ok(Answer {
            status,
            head,
            body: String::from_utf8(body).expect("UTF-8"),
        })
    }

    async fn exchange(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(String, Vec<u8>)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: sim\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        tokio::time::timeout(DEADLINE, async {
            self.stream
                .write_all(&[head.as_bytes(), body.as_bytes()].concat())
                .await?;
            self.answer().await
        })
        .await
        .expect("an answer in time")
    }

    async fn answer(&mut self) -> std::io::Result<(String, Vec<u8>)> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if self.stream.read_buf(&mut bytes).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length
            .expect("every answer has a length")
            .parse()
            .expect("a number");
        let mut body = bytes.split_off(end + 4);
        while body.len() < length {
            if self.stream.read_buf(&mut body).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok((head, body))
    }

    /// The body of an answer, whatever it is.
    pub async fn bytes(&mut self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let answer = self.exchange(method, path, body).await;
        answer.expect("an answer").1
    }

    /// A JSON-RPC 2.0 call as given; `Err` is the error object.
    pub async fn rpc(&mut self, method: &str, params: Json) -> Result<Json, Json> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
        let answer = self.request("POST", "/jsonrpc", &body).await.expect("an answer");
        let answer: Json = serde_json::from_str(&answer.body).expect("JSON");
        match answer.get("error") {
            Some(error) => Err(error.clone()),
            None => Ok(answer["result"].clone()),
        }
    }

    /// The same with the session in front.
    pub async fn call(&mut self, method: &str, params: Json) -> Result<Json, Json> {
        let mut all = vec![Json::from(self.session.clone())];
        all.extend(params.as_array().expect("an array").iter().cloned());
        self.rpc(method, Json::from(all)).await
    }

    /// A call that must succeed.
    pub async fn ok(&mut self, method: &str, params: Json) -> Json {
        self.call(method, params)
            .await
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// A call that must fail: its code and parameters in one list.
    pub async fn fault(&mut self, method: &str, params: Json) -> Vec<String> {
        let error = self.call(method, params).await.expect_err(method);
        let data = error["data"].as_array().cloned().unwrap_or_default();
        std::iter::once(&error["message"])
            .chain(&data)
            .map(|text| text.as_str().unwrap_or("?").to_owned())
            .collect()
    }

    /// Events since a token.
    pub async fn events(&mut self, classes: Json, token: &str, timeout: f64) -> Batch {
        let answer = self.ok("event.from", json!([classes, token, timeout])).await;
        Batch {
            token: answer["token"].as_str().expect("a token").to_owned(),
            events: answer["events"].as_array().expect("events").clone(),
            counts: answer["valid_ref_counts"].clone(),
        }
    }
}

pub struct Batch {
    pub token: String,
    pub events: Vec<Json>,
    pub counts: Json,
}

impl Batch {
    /// `(class, operation, ref)` of every event, in order.
    pub fn summary(&self) -> Vec<(&str, &str, &str)> {
        let text = |event: &'_ Json, key: &str| -> &'static str {
            String::leak(event[key].as_str().unwrap_or_default().to_owned())
        };
        self.events
            .iter()
            .map(|event| (text(event, "class"), text(event, "operation"), text(event, "ref")))
            .collect()
    }
}

/// A virtual machine in a power state.
pub fn vm_in(pool: &SimPool, state: &str) -> String {
    pool.read(|db| {
        let is = |vm: &str, field: &str| db.get("VM", vm, field).bool();
        let vm = db.refs("VM").into_iter().find(|vm| {
            db.get("VM", vm, "power_state").str() == state
                && !is(vm, "is_a_template")
                && !is(vm, "is_control_domain")
                && (state != "Running" || db.get("VM", vm, "allowed_operations").contains("clean_shutdown"))
        });
        vm.unwrap_or_else(|| panic!("no VM is {state}")).to_string()
    })
}
