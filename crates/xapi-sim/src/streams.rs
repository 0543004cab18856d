//! Handlers that stream: virtual machines and disks in and out, consoles. The frame that they share is here: who
//! asks, which task tells how it goes, and how bytes come and go under the pool's faults.

mod console;
pub mod fetch;
mod frames;
mod packed;
mod raw;
mod tar;
mod vhd;
mod xva;
mod xva_in;

use std::sync::Arc;

use self::frames::Frames;
use self::packed::Unpacker;
use base64::Engine;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::fault::Fault;
use crate::faults::Met;
use crate::http::{self, Request, Response};
use crate::pool::Shared;
use crate::rpc::{rbac, sessions, tasks};
use crate::value::Value;

/// Method, path, name of the task, the role that is needed, and the permission.
const HANDLERS: [(&str, &str, &str, &str, &str); 8] = [
    ("GET", "/export", "VM.export", "vm-admin", "http/get_export"),
    (
        "GET",
        "/export_metadata",
        "VM.export_metadata",
        "vm-admin",
        "http/get_export_metadata",
    ),
    ("PUT", "/import", "VM.import", "vm-admin", "http/put_import"),
    (
        "PUT",
        "/import_metadata",
        "VM.metadata_import",
        "vm-admin",
        "http/put_import_metadata",
    ),
    (
        "GET",
        "/export_raw_vdi",
        "VDI.export",
        "vm-admin",
        "http/get_export_raw_vdi",
    ),
    (
        "PUT",
        "/import_raw_vdi",
        "VDI.import",
        "vm-admin",
        "http/put_import_raw_vdi",
    ),
    ("CONNECT", "/console", "", "vm-operator", "http/connect_console"),
    // With the head of a WebSocket.
    ("GET", "/console", "", "vm-operator", "http/get_console"),
];

/// The path of the handler that a request is for.
pub fn route(request: &Request) -> Option<&'static str> {
    handler(request).map(|(_, path, ..)| *path)
}

/// Whether a request is for a handler here; its body is not read then.
pub fn takes(request: &Request) -> bool {
    handler(request).is_some()
}

type Handler = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

fn handler(request: &Request) -> Option<&'static Handler> {
    let mine = HANDLERS.iter().filter(|(method, ..)| request.method == *method);
    let mine = mine.filter(|(_, path, ..)| request.path.starts_with(path));
    mine.max_by_key(|(_, path, ..)| path.len())
}

/// One exchange: bytes of the body that are there already, the connection, and what the handlers ask for.
pub struct Exchange<'a, S> {
    pub request: &'a Request,
    pub pool: &'a Arc<Shared>,
    pub session: String,
    pub task: String,
    stream: &'a mut S,
    met: &'a Met<'a>,
    buffer: Vec<u8>,
    /// What is left of the body; unknown without Content-Length.
    left: Option<u64>,
    /// Whether the head of an answer was sent: later errors are told by the task alone.
    answered: bool,
    /// What is packed on its way in, and what of it is unpacked already.
    unpacker: Option<Unpacker>,
    plain: Vec<u8>,
    /// Bytes go in frames, of text if that is so.
    framed: Option<bool>,
}

/// Why an exchange ended before its time.
pub enum Broken {
    Fault(Fault),
    /// An answer of another status than 500.
    Refused(u16, Fault),
    /// The client is gone.
    Lost,
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Broken {
        Broken::Fault(fault)
    }
}

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Broken {
        Broken::Lost
    }
}

pub type Flow<T> = Result<T, Broken>;

/// Serves one request; the connection ends with it.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: Vec<u8>,
    request: &Request,
    pool: &Arc<Shared>,
    met: &Met<'_>,
) {
    let Some(&(_, path, name, role, permission)) = handler(request) else {
        return;
    };
    if !met.delay(met.asked()).await {
        return http::keep_silent(stream).await;
    }
    let given = request.cookie_or_parameter("task_id").map(str::to_owned);
    let given = given.filter(|task| pool.db().exists("task", task));
    let refuse = async |stream: &mut S, status: u16, fault: Fault| {
        if let Some(task) = &given {
            pool.write(|db| tasks::finish(db, task, &Err(fault.clone())));
        }
        let response = Response::error(status, &fault.to_string());
        let _ = stream.write_all(&response.to_bytes()).await;
        let _ = stream.shutdown().await;
    };
    let (session, temporary) = match session(request, pool) {
        Ok(found) => found,
        Err(fault) => return refuse(stream, 401, fault).await,
    };
    let allowed = rbac::need(&pool.db(), &session, permission, role);
    if let Err(fault) = allowed {
        return refuse(stream, 403, fault).await;
    }
    let task = match (&given, name) {
        (Some(task), _) => task.clone(),
        (None, "") => String::new(),
        (None, name) => pool.write(|db| tasks::create(db, &session, name)).to_string(),
    };
    let left = request
        .header("content-length")
        .and_then(|length| length.parse::<u64>().ok());
    let mut buffer = buffer;
    buffer.truncate(left.map_or(buffer.len(), |left| left.min(buffer.len() as u64) as usize));
    let mut exchange = Exchange {
        request,
        pool,
        session: session.clone(),
        task: task.clone(),
        stream,
        met,
        buffer,
        left,
        answered: false,
        unpacker: None,
        plain: Vec::new(),
        framed: None,
    };
    let result = match path {
        "/export" => xva::export(&mut exchange, true).await,
        "/export_metadata" => xva::export(&mut exchange, false).await,
        "/import" | "/import_metadata" => xva_in::import(&mut exchange).await,
        "/export_raw_vdi" => raw::export(&mut exchange).await,
        "/import_raw_vdi" => raw::import(&mut exchange).await,
        _ => console::connect(&mut exchange).await,
    };
    let (status, outcome) = match result {
        Ok(value) => (200, Ok(value)),
        Err(Broken::Fault(fault)) => (500, Err(fault)),
        Err(Broken::Refused(status, fault)) => (status, Err(fault)),
        Err(Broken::Lost) => (0, Err(Fault::bare("CLIENT_ERROR"))),
    };
    if let (Err(fault), false) = (&outcome, exchange.answered || status == 0) {
        let response = Response::error(status, &fault.to_string());
        // Who is gone does not need it.
        let _ = exchange.stream.write_all(&response.to_bytes()).await;
    }
    if exchange.framed.is_some() {
        let _ = exchange.send_plain(&Frames::closing()).await;
    }
    let _ = exchange.stream.shutdown().await;
    pool.write(|db| {
        if !task.is_empty() && db.exists("task", &task) {
            tasks::finish(db, &task, &outcome);
        }
        if temporary {
            db.destroy("session", &session);
        }
    });
}

/// The session of a cookie or of the query, or one for this request with HTTP's own login.
fn session(request: &Request, pool: &Arc<Shared>) -> Result<(String, bool), Fault> {
    if let Some(session) = request.session() {
        return sessions::used(pool, session).map(|()| (session.to_owned(), false));
    }
    let missing = || Fault::new("SESSION_AUTHENTICATION_FAILED", ["", "Authentication failure"]);
    let basic = request
        .header("authorization")
        .and_then(|text| text.strip_prefix("Basic "));
    let plain = basic.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text.trim()).ok());
    let plain = plain
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(missing)?;
    let (user, password) = plain.split_once(':').ok_or_else(missing)?;
    let params = [user, password, "1.0", ""].map(Value::from);
    sessions::login(pool, &params).map(|session| (session.str().to_owned(), true))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<'_, S> {
    /// Sends the head of the answer; the body ends with the connection unless it has a length.
    pub async fn begin(&mut self, headers: &[(&str, &str)]) -> Flow<()> {
        let mut head =
            "HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache, no-store\r\n".to_owned();
        if !self.task.is_empty() {
            head.extend(["task-id: ", &self.task, "\r\n"]);
        }
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        self.answered = true;
        self.send(head.as_bytes()).await
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Flow<()> {
        match self.framed {
            Some(base64) => self.send_plain(&Frames::pack(base64, bytes)).await,
            None => self.send_plain(bytes).await,
        }
    }

    async fn send_plain(&mut self, mut bytes: &[u8]) -> Flow<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.met.portion(bytes.len()));
            self.stream.write_all(now).await?;
            self.met.pace(now.len()).await;
            bytes = later;
        }
        Ok(self.stream.flush().await?)
    }

    /// Answers that the connection is a WebSocket from now on.
    pub async fn upgrade(&mut self) -> Flow<()> {
        let header = |name: &str| self.request.header(name).unwrap_or_default();
        let key = header("sec-websocket-key").to_owned();
        if !header("upgrade").eq_ignore_ascii_case("websocket") || key.is_empty() {
            return Err(Broken::Refused(
                400,
                Fault::internal("this path is for WebSockets"),
            ));
        }
        let offers: Vec<&str> = header("sec-websocket-protocol")
            .split(',')
            .map(str::trim)
            .collect();
        let protocol = ["binary", "base64"]
            .into_iter()
            .find(|known| offers.contains(known));
        let mut head =
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n".to_owned();
        head.extend(["Sec-WebSocket-Accept: ", &frames::accept(&key), "\r\n"]);
        if let Some(protocol) = protocol {
            head.extend(["Sec-WebSocket-Protocol: ", protocol, "\r\n"]);
        }
        head.push_str("\r\n");
        self.answered = true;
        self.send_plain(head.as_bytes()).await?;
        let base64 = protocol == Some("base64");
        self.framed = Some(base64);
        self.unpacker = Some(Unpacker::Frames(Frames::new(base64)));
        Ok(())
    }

    /// Exactly so many bytes of the body; `None` when it ends before the first of them.
    pub async fn take(&mut self, count: usize) -> Flow<Option<Vec<u8>>> {
        if self.unpacker.is_none() {
            return self.take_plain(count).await;
        }
        while self.plain.len() < count {
            // What is there, or one byte and what comes with it.
            let there = match self.buffer.len() {
                0 => self.take_plain(1).await?,
                length => self.take_plain(length).await?,
            };
            let (Some(bytes), Some(unpacker)) = (there, &mut self.unpacker) else {
                return match self.plain.is_empty() {
                    true => Ok(None),
                    false => Err(Broken::Fault(Fault::bare("IMPORT_ERROR_PREMATURE_EOF"))),
                };
            };
            let answers = unpacker.unpack(&bytes, &mut self.plain);
            let answers = answers.map_err(|why| match self.framed {
                Some(_) => Broken::Lost,
                None => Broken::Fault(Fault::new("IMPORT_ERROR", [why])),
            })?;
            self.send_plain(&answers).await?;
        }
        Ok(Some(self.plain.drain(..count).collect()))
    }

    /// From the next byte on the body is what its first bytes say: packed, or not.
    pub async fn unpack(&mut self) -> Flow<()> {
        const FIRST: usize = 4;
        if let Some(first) = self.take_plain(FIRST).await? {
            self.unpacker = Unpacker::of(&first);
            self.buffer.splice(..0, first);
            self.left = self.left.map(|left| left + FIRST as u64);
        }
        Ok(())
    }

    async fn take_plain(&mut self, count: usize) -> Flow<Option<Vec<u8>>> {
        while self.buffer.len() < count {
            let wanted = self
                .left
                .map_or(u64::MAX, |left| left.saturating_sub(self.buffer.len() as u64));
            let portion = self.met.portion(64 << 10) as u64;
            let read = match wanted.min(portion) {
                0 => 0,
                most => (&mut *self.stream).take(most).read_buf(&mut self.buffer).await?,
            };
            if read == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(Broken::Fault(Fault::bare("IMPORT_ERROR_PREMATURE_EOF"))),
                };
            }
            self.met.pace(read).await;
        }
        self.left = self.left.map(|left| left - count as u64);
        Ok(Some(self.buffer.drain(..count).collect()))
    }

    pub fn length(&self) -> Option<u64> {
        self.left
    }

    /// Tells how far it is; an error when the task is to be cancelled.
    pub fn progress(&self, share: f64) -> Flow<()> {
        self.pool.write(|db| {
            if tasks::has_mark(db, &self.task, "cancel") {
                return Err(Broken::Fault(Fault::new("TASK_CANCELLED", [&*self.task])));
            }
            // In steps that are worth an event.
            let share = (share * 20.0).floor() / 20.0;
            db.set("task", &self.task, "progress", share);
            Ok(())
        })
    }

    /// The object that the request names by `ref` or `uuid`, or either of them in one parameter.
    pub fn named(&self, class: &str, parameters: &[&str]) -> Flow<String> {
        let given = parameters.iter().find_map(|name| self.request.parameter(name));
        let given = given.ok_or_else(|| Broken::Refused(400, Fault::internal("no object is named")))?;
        let db = self.pool.db();
        if db.exists(class, given) {
            return Ok(given.to_owned());
        }
        let found = db.by_uuid(class, given);
        found
            .map(|found| found.to_string())
            .ok_or_else(|| Broken::Refused(404, Fault::handle_invalid(class, given)))
    }
}
