//! HTTPS and the TCP interface over TLS, with the program itself; and who may open a WebSocket from a page.

use crate::support::*;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::{Value, json};
use std::{path::Path, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

async fn over_tls(address: &str, certificate: &Path) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    roots.add(certificate).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn answer(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    request: &str,
) -> String {
    stream.write_all(request.as_bytes()).await.expect("taken");
    let mut answer = String::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await;
    read.expect("in time").expect("an answer");
    answer
}

#[tokio::test]
async fn https_and_tcp_over_tls_with_a_certificate_of_our_own() {
    let folder = Folder::new();
    let mut command = command(&folder.0, "127.0.0.1:0");
    command.env("XO_ADMIN_PASSWORD", PASSWORD).args([
        "--tls-self-signed",
        "--tcp-listen",
        "127.0.0.1:0",
        "--tcp-tls",
    ]);
    let mut program = Program::start_with_scheme(command, "https").await;
    let line = program
        .lines
        .next_line()
        .await
        .expect("readable")
        .expect("a line");
    let (_, over_tcp) = line
        .rsplit_once("tls://")
        .expect("the address of the TCP interface");
    let (https, certificate) = (program.address.to_string(), folder.0.join("tls.pem"));

    let page = "GET /signin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let stream = over_tls(&https, &certificate).await.expect("a handshake");
    let form = format!("username={EMAIL}&password={}", PASSWORD.replace(' ', "+"));
    let post = format!(
        "POST /signin/local HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let signed_in = answer(stream, &post).await.to_lowercase();
    let cookie = signed_in
        .lines()
        .find(|line| line.starts_with("set-cookie: token="));
    assert!(
        cookie.is_some_and(|cookie| cookie.contains("; secure")),
        "{signed_in}"
    );

    let in_clear = TcpStream::connect(&https).await.expect("a connection");
    let refused = answer(in_clear, page).await;
    let (head, body) = refused.split_once("\r\n\r\n").expect("head and body");
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{refused}"
    );
    assert!(body.contains("https"), "{refused}");

    let stream = over_tls(over_tcp, &certificate).await.expect("a handshake");
    let mut lines = BufReader::new(stream);
    let request = json!({
        "jsonrpc": "2.0", "id": 1, "method": "session.signIn",
        "params": { "email": EMAIL, "password": PASSWORD },
    });
    lines
        .write_all(format!("{request}\n").as_bytes())
        .await
        .expect("taken");
    let mut line = String::new();
    lines.read_line(&mut line).await.expect("an answer");
    let answer: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(answer["result"]["email"], EMAIL);
    program.kill().await;
}

#[tokio::test]
async fn answers_come_to_who_has_ended_its_side() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.lines).await.expect("a connection");
    let sign_in = json!({
        "jsonrpc": "2.0", "id": 1, "method": "session.signIn",
        "params": { "email": EMAIL, "password": PASSWORD },
    });
    stream
        .write_all(format!("{sign_in}\n").as_bytes())
        .await
        .expect("taken");
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).await.expect("an answer");
    let ask = |id: u32| json!({ "jsonrpc": "2.0", "id": id, "method": "session.getUser" }).to_string();
    let asked = format!("{}\r\n\r\n{}", ask(2), ask(3));
    lines.write_all(asked.as_bytes()).await.expect("taken");
    lines.shutdown().await.expect("ended");
    let mut rest = String::new();
    tokio::time::timeout(DEADLINE, lines.read_to_string(&mut rest))
        .await
        .expect("in time")
        .expect("answers");
    let mut ids: Vec<u64> = rest
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter_map(|answer| answer["id"].as_u64())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [2, 3], "{rest}");
}

#[tokio::test]
async fn a_line_too_long_ends_its_connection_with_a_word() {
    let server = TestServer::start().await;
    let stream = TcpStream::connect(server.lines).await.expect("a connection");
    let answer = answer(stream, &"x".repeat(100 << 10)).await;
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["error"]["message"], "the message is too long");
}

#[tokio::test]
async fn pages_of_other_sites_open_no_sockets() {
    let server = TestServer::start().await;
    for headers in [
        [("origin", "http://evil.example"), ("x-nothing", "")],
        [
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "cross-site"),
        ],
    ] {
        assert!(
            Client::connect(server.address, &headers).await.is_err(),
            "{headers:?}"
        );
    }
    for origin in [
        format!("http://{}", server.address),
        "https://intra.example".to_owned(),
    ] {
        let connected = Client::connect(server.address, &[("origin", origin.as_str())]).await;
        assert!(connected.is_ok(), "{origin}");
    }
}
