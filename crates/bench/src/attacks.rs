//! What honest people notice while somebody else, at another address, does what must not be done.

use crate::{Setting, client::Client, process::Server};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

/// Honest calls are made at this interval.
const PACE: Duration = Duration::from_millis(10);
const SIGN_IN_PACE: Duration = Duration::from_millis(250);
/// An attacker that was refused comes back after so long, or it would measure only itself.
const AGAIN: Duration = Duration::from_millis(5);

#[derive(Clone, Copy)]
enum Attack {
    Nothing,
    Passwords,
    Tokens,
    Oversized,
    Slow,
    Unread,
    Members,
    CrossSite,
    Garbage,
}

const ATTACKS: &[(&str, Attack, usize)] = &[
    ("nothing", Attack::Nothing, 0),
    ("200 guess passwords", Attack::Passwords, 200),
    ("200 guess tokens", Attack::Tokens, 200),
    (
        "50 send messages of 1 MB without signing in",
        Attack::Oversized,
        50,
    ),
    ("500 send a request byte by byte", Attack::Slow, 500),
    ("500 take nothing of their answers", Attack::Unread, 500),
    (
        "20 users send calls with 50,000 unknown params",
        Attack::Members,
        20,
    ),
    (
        "50 open sockets from pages of another site",
        Attack::CrossSite,
        50,
    ),
    (
        "50 send what is no HTTP, or line feeds in headers",
        Attack::Garbage,
        50,
    ),
];

pub async fn measure(setting: &Setting) -> anyhow::Result<()> {
    println!("honest people while others attack from another address");
    println!(
        "| attack | attempts/s | call, median | p99 | sign-in, median | worst | refused sign-ins | memory |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for &(name, attack, attackers) in ATTACKS {
        let server = Server::start(&setting.programs, &setting.site, None).await?;
        let address: SocketAddr = server.address.parse()?;
        let attempts = Arc::new(AtomicU64::new(0));
        let mut user = Client::signed_in(&server.address).await?;
        let token = user.call("token.create", json!({})).await?;
        drop(user);
        let mut tasks = JoinSet::new();
        for number in 0..attackers {
            let (attempts, token) = (attempts.clone(), token.clone());
            tasks.spawn(async move {
                loop {
                    // Refused, cut off or answered: all the same to an attacker.
                    let _ = attempt(attack, address, number, &token).await;
                    attempts.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
        let time = Duration::from_secs(if setting.quick { 2 } else { 8 });
        let (calls, sign_ins) = tokio::join!(calls(&server.address, time), sign_ins(&server.address, time));
        let made = attempts.load(Ordering::Relaxed);
        tasks.shutdown().await;
        let (mut calls, (mut sign_ins, refused)) = (calls?, sign_ins);
        calls.sort();
        sign_ins.sort();
        let at = |times: &[Duration], part: f64| {
            let index = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
            times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        println!(
            "| {name} | {:.0} | {:.1} ms | {:.1} ms | {:.0} ms | {:.0} ms | {refused} | {:.0} MiB |",
            made as f64 / time.as_secs_f64(),
            at(&calls, 0.5),
            at(&calls, 0.99),
            at(&sign_ins, 0.5),
            at(&sign_ins, 1.0),
            server.memory()?.0,
        );
        server.stop().await?;
    }
    println!();
    Ok(())
}

async fn calls(address: &str, time: Duration) -> anyhow::Result<Vec<Duration>> {
    let mut client = Client::signed_in(address).await?;
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        let asked = Instant::now();
        client.call("session.getUser", json!({})).await?;
        times.push(asked.elapsed());
        tokio::time::sleep(PACE).await;
    }
    Ok(times)
}

/// Times of those that succeeded, and how many did not.
async fn sign_ins(address: &str, time: Duration) -> (Vec<Duration>, usize) {
    let (started, mut times, mut refused) = (Instant::now(), Vec::new(), 0);
    while started.elapsed() < time {
        let asked = Instant::now();
        match Client::signed_in(address).await {
            Ok(_) => times.push(asked.elapsed()),
            Err(_) => refused += 1,
        }
        tokio::time::sleep(SIGN_IN_PACE).await;
    }
    (times, refused)
}

/// From an address of its own.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
    socket.connect(address).await
}

fn upgrade(address: SocketAddr, more: &str) -> String {
    format!(
        "GET /api/ HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A masked text frame; the mask is all zero.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        length @ ..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Waits for the beginning of an answer, or the end; what it says is of no interest.
async fn answered(stream: &mut TcpStream) -> std::io::Result<usize> {
    stream.read(&mut [0; 4096]).await
}

async fn attempt(attack: Attack, address: SocketAddr, number: usize, token: &Value) -> std::io::Result<()> {
    let mut stream = connect(address).await?;
    let sign_in = |params: Value| {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "session.signIn", "params": params });
        frame(request.to_string().as_bytes())
    };
    let guess = rand::random::<u64>().to_string();
    match attack {
        Attack::Nothing => {}
        Attack::Passwords | Attack::Tokens | Attack::Oversized => {
            stream.write_all(upgrade(address, "").as_bytes()).await?;
            answered(&mut stream).await?;
            let message = match attack {
                Attack::Tokens => sign_in(json!({ "token": guess })),
                Attack::Oversized => frame(&vec![b'x'; 1 << 20]),
                // Some guess one name, some many.
                _ if number.is_multiple_of(2) => {
                    sign_in(json!({ "email": "admin@admin.net", "password": guess }))
                }
                _ => sign_in(json!({ "email": guess, "password": guess })),
            };
            stream.write_all(&message).await?;
            answered(&mut stream).await?;
        }
        Attack::Slow => {
            for byte in upgrade(address, "").bytes() {
                stream.write_all(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Attack::Unread => {
            let request = format!("GET /signin HTTP/1.1\r\nHost: {address}\r\n\r\n").repeat(100);
            // Until nothing more is taken, and the server gives up.
            while stream.write_all(request.as_bytes()).await.is_ok() {}
        }
        Attack::Members => {
            stream.write_all(upgrade(address, "").as_bytes()).await?;
            answered(&mut stream).await?;
            stream.write_all(&sign_in(json!({ "token": token }))).await?;
            answered(&mut stream).await?;
            let params: serde_json::Map<String, Value> = (0..50_000)
                .map(|number| (format!("{number:07}"), json!(0)))
                .collect();
            let request =
                json!({ "jsonrpc": "2.0", "id": 2, "method": "acl.explain", "params": params }).to_string();
            for _ in 0..20 {
                stream.write_all(&frame(request.as_bytes())).await?;
                answered(&mut stream).await?;
            }
        }
        Attack::CrossSite => {
            let foreign = upgrade(address, "Origin: http://evil.example\r\n");
            stream.write_all(foreign.as_bytes()).await?;
            answered(&mut stream).await?;
        }
        Attack::Garbage => {
            let text = if number.is_multiple_of(2) {
                "\x16\x03\x01 no HTTP at all\r\n\r\n".to_owned()
            } else {
                upgrade(
                    address,
                    "Cookie: token=a\rSet-Cookie: token=b\r\nX-Forwarded-For: a\nb\r\n",
                )
            };
            stream.write_all(text.as_bytes()).await?;
            answered(&mut stream).await?;
        }
    }
    Ok(())
}
