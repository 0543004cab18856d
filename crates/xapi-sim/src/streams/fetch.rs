//! `VM.import`: the host itself gets a virtual machine from an address.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Broken, Exchange, xva_in};
use crate::fault::Fault;
use crate::http::Request;
use crate::rpc::Call;
use crate::value::{NULL_REF, Value};

/// Largest head of an answer.
const MAX_HEAD: usize = 16 << 10;

pub async fn import(call: &Call, p: &[Value]) -> Result<Value, Fault> {
    let url = p[0].str();
    let flag = |at: usize| p[at].bool().to_string();
    let request = Request::made("PUT", "/import", [("restore", flag(2)), ("force", flag(3))]);
    let sr = match p[1].str() {
        NULL_REF | "" => xva_in::default_sr(&call.pool.db())?,
        sr => {
            call.pool.db().check("SR", sr)?;
            sr.to_owned()
        }
    };
    let (mut stream, length, buffer) = get(url).await?;
    let met = call.pool.met(0);
    let mut exchange = Exchange {
        request: &request,
        pool: &call.pool,
        session: call.session.clone(),
        task: call.task.clone(),
        stream: &mut stream,
        met: &met,
        buffer,
        left: length,
        answered: true,
        unpacker: None,
        plain: Vec::new(),
        framed: None,
    };
    let made = xva_in::receive(&mut exchange, &sr).await;
    made.map_err(|broken| match broken {
        Broken::Fault(fault) | Broken::Refused(_, fault) => fault,
        Broken::Lost => Fault::bare("IMPORT_ERROR_PREMATURE_EOF"),
    })
}

/// Connection, length of the body and its first bytes.
async fn get(url: &str) -> Result<(TcpStream, Option<u64>, Vec<u8>), Fault> {
    let unknown = || Fault::invalid_value("url", url);
    let rest = url.strip_prefix("http://").ok_or_else(unknown)?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if authority.is_empty() || url.chars().any(|c| c.is_control() || c == ' ') {
        return Err(unknown());
    }
    let address = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:80"),
    };
    let failed = |error: std::io::Error| Fault::new("IMPORT_ERROR", [format!("{url}: {error}")]);
    let mut stream = TcpStream::connect(&address).await.map_err(failed)?;
    let head = format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.map_err(failed)?;
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if bytes.len() > MAX_HEAD || stream.read_buf(&mut bytes).await.map_err(failed)? == 0 {
            return Err(Fault::new("IMPORT_ERROR", [format!("{url}: no answer")]));
        }
    };
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(Fault::new("IMPORT_ERROR", [format!("{url}: status {status}")]));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    Ok((stream, length.and_then(|length| length.trim().parse().ok()), body))
}
