//! Consoles: over CONNECT, and as WebSockets.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, DEADLINE, pool, vm_in};
use crate::streams::{exchange, get};

#[tokio::test]
async fn a_console_draws_and_answers_keys() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Running");
    let console = client.ok("VM.get_consoles", json!([vm])).await[0].clone();
    let location = client.ok("console.get_location", json!([console])).await;
    let path = location
        .as_str()
        .and_then(|url| url.find("/console").map(|at| url[at..].to_owned()))
        .expect("a path");
    let session = client.session.clone();
    let head = format!("CONNECT {path} HTTP/1.0\r\nCookie: session_id={session}\r\n\r\n");
    let mut stream = TcpStream::connect(pool.addr()).await.expect("connects");
    let talk = async {
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut byte = [0];
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).await.expect("a head");
            answer.push(byte[0]);
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        let mut version = [0; 12];
        stream.read_exact(&mut version).await.expect("a version");
        assert_eq!(&version, b"RFB 003.008\n");
        stream.write_all(&version).await.expect("sent");
        let mut security = [0; 2];
        stream.read_exact(&mut security).await.expect("kinds of security");
        assert_eq!(security, [1, 1]);
        stream.write_all(&[1]).await.expect("sent");
        let mut hello = [0; 4 + 24];
        stream.write_all(&[1]).await.expect("sent");
        stream.read_exact(&mut hello).await.expect("a screen");
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
        };
        let (width, height) = (number(&hello[4..6]), number(&hello[6..8]));
        let mut name = vec![0; number(&hello[24..28])];
        stream.read_exact(&mut name).await.expect("a name");
        assert_eq!(
            json!(String::from_utf8_lossy(&name)),
            client.ok("VM.get_name_label", json!([vm])).await
        );
        let mut screens = Vec::new();
        for keys in 0..2 {
            if keys > 0 {
                // An update that waits for a change, then a key.
                stream
                    .write_all(&[3, 1, 0, 0, 0, 0, 2, 128, 1, 144])
                    .await
                    .expect("sent");
                stream.write_all(&[4, 1, 0, 0, 0, 0, 0, 65]).await.expect("sent");
            } else {
                stream
                    .write_all(&[3, 0, 0, 0, 0, 0, 2, 128, 1, 144])
                    .await
                    .expect("sent");
            }
            let mut update = vec![0; 4 + 12 + width * height * 4];
            stream.read_exact(&mut update).await.expect("an update");
            assert_eq!(update[..4], [0, 0, 0, 1]);
            screens.push(update.split_off(16));
        }
        assert!(screens[0] != screens[1], "a key shows");
    };
    tokio::time::timeout(DEADLINE, talk).await.expect("in time");
    // Of a halted guest there is none.
    let uuid = pool.read(|db| db.text("VM", &vm_in_text(db), "uuid"));
    let head = format!("CONNECT /console?uuid={uuid} HTTP/1.0\r\nCookie: session_id={session}\r\n\r\n");
    let (head, _) = exchange(&pool, &head, &[]).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

fn vm_in_text(db: &xapi_sim::Db) -> String {
    let halted = db
        .refs("VM")
        .into_iter()
        .find(|vm| db.text("VM", vm, "power_state") == "Halted");
    halted.expect("a halted VM").to_string()
}

#[tokio::test]
async fn a_console_is_a_websocket_too() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let vm = vm_in(&pool, "Running");
    let console = client.ok("VM.get_consoles", json!([vm])).await[0].clone();
    let session = client.session.clone();
    let path = format!("/console?ref={}", console.as_str().expect("a reference"));
    let (head, _) = get(&pool, &session, &path).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    let upgrade = |offers: &str, cookie: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {offers}\r\nCookie: session_id={cookie}\r\n\r\n"
        )
    };
    let (head, _) = exchange(&pool, &upgrade("binary", "OpaqueRef:x"), &[]).await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    for (offers, chosen, first) in [
        ("base64, binary", "binary", &b"\x82\x0cRFB 003.008\n"[..]),
        ("base64", "base64", b"\x81\x10UkZCIDAwMy4wMDgK"),
    ] {
        let mut stream = TcpStream::connect(pool.addr()).await.expect("connects");
        let talk = async {
            stream
                .write_all(upgrade(offers, &session).as_bytes())
                .await
                .expect("sent");
            let mut answer = Vec::new();
            let mut byte = [0];
            while !answer.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).await.expect("a head");
                answer.push(byte[0]);
            }
            let answer = String::from_utf8(answer).expect("text");
            assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
            assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
            assert!(
                answer.contains(&format!("Sec-WebSocket-Protocol: {chosen}\r\n")),
                "{answer}"
            );
            let mut frame = vec![0; first.len()];
            stream.read_exact(&mut frame).await.expect("a frame");
            assert_eq!(frame, first);
            // The version in a masked frame (the mask is zero), in two pieces.
            let content = &first[2..];
            let sent = [&[first[0], 0x80 | content.len() as u8, 0, 0, 0, 0], content].concat();
            stream.write_all(&sent[..9]).await.expect("sent");
            stream.write_all(&sent[9..]).await.expect("sent");
            let security: &[u8] = if chosen == "base64" {
                b"\x81\x04AQE="
            } else {
                b"\x82\x02\x01\x01"
            };
            let mut frame = vec![0; security.len()];
            stream.read_exact(&mut frame).await.expect("kinds of security");
            assert_eq!(frame, security);
            // A frame of a server is no client's: that is the end, said properly.
            stream.write_all(&[0x82, 1, 1]).await.expect("sent");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.expect("it ends");
            assert_eq!(rest, [0x88, 2, 3, 0xe8]);
        };
        tokio::time::timeout(DEADLINE, talk).await.expect("in time");
    }
}
