//! Accepts connections and serves HTTP/1.1 on them, until told to stop.

use super::peer::{self, Peer};
use crate::{
    app::App,
    listen::{self, Handshakes, Places},
    tls::HANDSHAKE,
};
use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Connections at a time; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 10_000;
/// A client that says nothing for so long is given up.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// Serves until the app is cancelled.
pub async fn serve(app: Arc<App>, listener: TcpListener, tls: Option<TlsAcceptor>) {
    let (router, cancel) = (super::router(app.clone()), app.cancelled());
    let tls = tls.map(|acceptor| (acceptor, Handshakes::default()));
    let serve = |stream, address| {
        let (tls, cancel) = (tls.clone(), cancel.clone());
        serve_connection(app.clone(), router.clone(), stream, address, tls, cancel)
    };
    let proxies = app.config.trusted_proxies.clone();
    let places = listen::places(MAX_CONNECTIONS);
    let places = Places {
        all: places,
        share: places / 5,
        unlimited: Box::new(move |address| peer::is_trusted(address, &proxies)),
    };
    listen::accept(listener, places, cancel.clone(), serve).await;
}

async fn serve_connection(
    app: Arc<App>,
    router: Router,
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<(TlsAcceptor, Handshakes)>,
    cancel: CancellationToken,
) {
    let Some((tls, handshakes)) = tls else {
        return converse(app, router, stream, address, false, cancel).await;
    };
    // Whoever types an address without a scheme comes in clear: that is worth a word.
    let mut first = [0];
    match tokio::time::timeout(HANDSHAKE, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first[0].is_ascii_alphabetic() => return refuse_clear(stream).await,
        Ok(Ok(1)) => {}
        _ => return,
    }
    if let Some(stream) = handshakes.accept(&tls, stream, address).await {
        converse(app, router, stream, address, true, cancel).await;
    }
}

const IN_CLEAR: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\
    Content-Length: 38\r\n\r\nHTTPS is spoken here: use https://...\n";

async fn refuse_clear(mut stream: TcpStream) {
    let refused = async {
        stream.write_all(IN_CLEAR).await?;
        stream.shutdown().await?;
        // Closed with unread bytes, the answer would be lost.
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The client may be gone; there is nothing else to say.
    drop(tokio::time::timeout(HANDSHAKE, refused).await);
}

async fn converse(
    app: Arc<App>,
    router: Router,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    secure: bool,
    cancel: CancellationToken,
) {
    let stalled = app.limits.stalled;
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let mut peer = Peer::of(address.ip(), request.headers(), &app.config.trusted_proxies);
        peer.secure |= secure;
        request.extensions_mut().insert(peer);
        let mut router = router.clone();
        async move { router.call(request.map(axum::body::Body::new)).await }
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(stalled));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%address, %error, "a connection ended early");
    }
}
