//! Streams up and down: the one-time URLs that a method answers.

use crate::{address::Address, failure::Failure, output, params::Place};
use app::rpc::RpcError;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Body, Client, Response, header::CONTENT_LENGTH, redirect};
use serde_json::Value;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tokio_util::io::ReaderStream;
use xapi::tls::{self, Seen, Trust};

const CONNECT: Duration = Duration::from_secs(15);
/// A download that brings nothing for so long is given up. An export may take its time to begin.
const STALLED: Duration = Duration::from_secs(300);
/// Longest answer that is shown after an upload.
const MAX_ANSWER: usize = 1 << 20;
/// Read from a file at a time.
const CHUNK: usize = 256 << 10;

/// The one-time path in a result, if that is what it is.
pub enum Offer<'a> {
    Download(&'a str),
    Upload(&'a str),
}

impl<'a> Offer<'a> {
    pub fn of(result: &'a Value) -> Option<Self> {
        let members = result.as_object().filter(|members| members.len() == 1)?;
        let path = |key: &str| members.get(key).and_then(Value::as_str);
        path("$getFrom")
            .map(Self::Download)
            .or_else(|| path("$sendTo").map(Self::Upload))
    }
}

/// What is sent.
pub struct Source {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    /// A pipe has none.
    length: Option<u64>,
}

impl Source {
    pub async fn open(place: &Place) -> Result<Self, Failure> {
        match place {
            Place::File(path) => {
                let wrong = |error| Failure::Usage(format!("{} cannot be sent: {error}", path.display()));
                let file = File::open(path).await.map_err(wrong)?;
                let found = file.metadata().await.map_err(wrong)?;
                if found.is_dir() {
                    return Err(wrong(io::ErrorKind::IsADirectory.into()));
                }
                Ok(Self {
                    length: found.is_file().then_some(found.len()),
                    reader: Box::new(file),
                })
            }
            Place::Standard => Ok(Self {
                reader: Box::new(tokio::io::stdin()),
                length: redirected_length(),
            }),
        }
    }
}

/// `xo ... @ < file`: hosts want to know how much comes.
#[cfg(unix)]
fn redirected_length() -> Option<u64> {
    use std::{io::Seek, os::fd::AsFd};
    let mut file = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let found = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(found.len().saturating_sub(file.stream_position().ok()?))
}

#[cfg(not(unix))]
fn redirected_length() -> Option<u64> {
    None
}

fn client(trust: &Trust) -> Result<Client, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::Connection(format!("no connection is possible: {error}"));
    let config = tls::client_config(trust.clone(), Seen::default());
    let builder = Client::builder()
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(15))
        .redirect(redirect::Policy::none())
        .no_proxy();
    let builder = match config {
        Ok(config) => builder.tls_backend_preconfigured(config),
        Err(error) => return Err(failed(&error)),
    };
    builder.build().map_err(|error| failed(&error))
}

/// Drawn on standard error, when it is a terminal.
fn progress(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{percent:>3}% [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes}, {bytes_per_sec}, {elapsed}",
        ),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}

/// All that went wrong, not only the outermost.
fn cut(error: &reqwest::Error) -> Failure {
    let mut text = format!("the transfer was cut: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    Failure::Connection(text)
}

/// An answer that is no success, in the server's words.
async fn accepted(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let said = text(response).await.unwrap_or_default();
    Err(Failure::NoTransfer(format!(
        "the server refuses the transfer: {status} {}",
        said.trim()
    )))
}

async fn text(response: Response) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| cut(&error))?);
        if bytes.len() > MAX_ANSWER {
            return Err(Failure::Connection(
                "the answer to the upload is too long".to_owned(),
            ));
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub async fn download(address: &Address, trust: &Trust, path: &str, place: &Place) -> Result<(), Failure> {
    let request = client(trust)?.get(address.transfer(path)?).send();
    let silent = || Failure::Connection("the transfer was cut: nothing came for too long".to_owned());
    let response = timeout(STALLED, request).await.map_err(|_| silent())?;
    let response = accepted(response.map_err(|error| cut(&error))?).await?;
    let bar = progress(response.content_length());
    let mut sink = Sink::open(place).await?;
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = timeout(STALLED, chunks.next()).await.map_err(|_| silent())? {
        let chunk = chunk.map_err(|error| cut(&error))?;
        sink.writer
            .write_all(&chunk)
            .await
            .map_err(|error| sink.failed(&error))?;
        bar.inc(chunk.len() as u64);
    }
    sink.finish().await?;
    bar.finish();
    Ok(())
}

/// Where a download is written. A file gets its name when it is whole; until then it is removed on the way out.
struct Sink {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    unfinished: Option<Unfinished>,
    name: Option<PathBuf>,
}

struct Unfinished {
    file: File,
    path: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Renamed when all went well; what cannot be removed is left.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Sink {
    async fn open(place: &Place) -> Result<Self, Failure> {
        let path = match place {
            Place::Standard => {
                return Ok(Self {
                    writer: Box::new(tokio::io::stdout()),
                    unfinished: None,
                    name: None,
                });
            }
            Place::File(path) => path,
        };
        let failed = |error| Failure::file("written", path, &error);
        // A device or a pipe is no file to be replaced.
        let special = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        if special {
            let file = File::options().write(true).open(path).await.map_err(failed)?;
            return Ok(Self {
                writer: Box::new(file),
                unfinished: None,
                name: Some(path.clone()),
            });
        }
        let part = beside(path)?;
        let mut options = File::options();
        options.write(true).create_new(true);
        // Passwords of pools, disks of machines: nobody else's business, unless their owner wants it so.
        #[cfg(unix)]
        options.mode(0o600);
        let file = options.open(&part).await.map_err(failed)?;
        let handle = file.try_clone().await.map_err(failed)?;
        Ok(Self {
            writer: Box::new(file),
            unfinished: Some(Unfinished {
                file: handle,
                path: part,
            }),
            name: Some(path.clone()),
        })
    }

    fn failed(&self, error: &io::Error) -> Failure {
        match &self.name {
            Some(path) => Failure::file("written", path, error),
            None => output::failed(error),
        }
    }

    async fn finish(mut self) -> Result<(), Failure> {
        self.writer.flush().await.map_err(|error| self.failed(&error))?;
        if let (Some(part), Some(path)) = (&self.unfinished, &self.name) {
            part.file.sync_all().await.map_err(|error| self.failed(&error))?;
            tokio::fs::rename(&part.path, path)
                .await
                .map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }
}

fn beside(path: &Path) -> Result<PathBuf, Failure> {
    let Some(name) = path.file_name() else {
        return Err(Failure::Usage(format!("{} is no name of a file", path.display())));
    };
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(part))
}

/// What the server answers to what was sent.
pub async fn upload(address: &Address, trust: &Trust, path: &str, source: Source) -> Result<Value, Failure> {
    let url = address.transfer(path)?;
    let bar = progress(source.length);
    let counted = ReaderStream::with_capacity(source.reader, CHUNK).inspect({
        let bar = bar.clone();
        move |chunk| {
            if let Ok(chunk) = chunk {
                bar.inc(chunk.len() as u64);
            }
        }
    });
    let mut request = client(trust)?.post(url).body(Body::wrap_stream(counted));
    if let Some(length) = source.length {
        request = request.header(CONTENT_LENGTH, length);
    }
    let response = request.send().await.map_err(|error| cut(&error))?;
    let answer = text(accepted(response).await?).await?;
    bar.finish();
    read_answer(&answer)
}

/// A JSON-RPC answer, or anything else as it is.
fn read_answer(text: &str) -> Result<Value, Failure> {
    let Ok(Value::Object(mut answer)) = serde_json::from_str(text) else {
        return Ok(Value::String(text.trim_end().to_owned()));
    };
    if !answer.contains_key("jsonrpc") {
        return Ok(Value::Object(answer));
    }
    match answer.remove("error").map(serde_json::from_value::<RpcError>) {
        Some(Ok(error)) => Err(Failure::refused("the upload", error)),
        Some(Err(_)) => Err(Failure::NoTransfer(format!(
            "the server refuses the upload: {text}"
        ))),
        None => Ok(answer.remove("result").unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_to_uploads() {
        let result = read_answer(r#"{"id":0,"jsonrpc":"2.0","result":"uuid"}"#);
        assert_eq!(result.expect("a result"), json!("uuid"));
        assert_eq!(read_answer("done\n").expect("a text"), json!("done"));
        let refused = read_answer(r#"{"id":0,"jsonrpc":"2.0","error":{"code":21,"message":"no space"}}"#);
        let refused = refused.expect_err("an error");
        assert_eq!(refused.exit_code(), 1);
        assert!(refused.to_string().contains("no space"));
    }

    #[test]
    fn only_a_lone_path_is_an_offer() {
        assert!(matches!(
            Offer::of(&json!({ "$getFrom": "/api/x" })),
            Some(Offer::Download("/api/x"))
        ));
        assert!(matches!(
            Offer::of(&json!({ "$sendTo": "/api/y" })),
            Some(Offer::Upload("/api/y"))
        ));
        for other in [
            json!({ "$getFrom": 1 }),
            json!({ "$getFrom": "/api/x", "more": 1 }),
            json!("/api/x"),
            json!({}),
        ] {
            assert!(Offer::of(&other).is_none(), "{other}");
        }
    }
}
