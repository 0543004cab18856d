//! An HTTP proxy, as companies have one between the server and the pools.

use base64::{Engine, engine::general_purpose::STANDARD};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// An HTTP proxy that knows CONNECT and asks for a name and a password.
pub struct Proxy {
    pub address: SocketAddr,
    /// What was connected to, and what was refused for want of the right credentials.
    pub served: Arc<Mutex<Vec<String>>>,
    pub refused: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn start(user: &str, password: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let wanted = STANDARD.encode(format!("{user}:{password}"));
        let wanted = Arc::new(format!("proxy-authorization: Basic {wanted}").to_lowercase());
        let (served, refused) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<AtomicUsize>::default(),
        );
        let (noting, counting) = (served.clone(), refused.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                tokio::spawn(pass(stream, wanted.clone(), noting.clone(), counting.clone()));
            }
        });
        Self {
            address,
            served,
            refused,
            accepting,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    mut client: TcpStream,
    wanted: Arc<String>,
    served: Arc<Mutex<Vec<String>>>,
    refused: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    let target = target.expect("only CONNECT is known here");
    if !head.to_lowercase().contains(&*wanted) {
        refused.fetch_add(1, Ordering::Relaxed);
        return client
            .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            .await;
    }
    let mut host = TcpStream::connect(target).await?;
    served.lock().expect("no panic").push(target.to_owned());
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    tokio::io::copy_bidirectional(&mut client, &mut host)
        .await
        .map(drop)
}
