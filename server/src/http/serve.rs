//! Accepts connections and serves HTTP/1.1 on them, until told to stop.

use super::peer::Peer;
use crate::app::App;
use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tower::Service;

/// Connections at a time; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 10_000;
/// A client that says nothing for so long is given up.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// What runs when the server is told to stop gets so long to end.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until the app is cancelled.
pub async fn serve(app: Arc<App>, listener: TcpListener) {
    let router = super::router(app.clone());
    let cancel = app.cancelled();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = tokio_util::task::TaskTracker::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection =
                    serve_connection(app.clone(), router.clone(), stream, address, cancel.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: give the others time to end.
                tracing::error!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

async fn serve_connection(
    app: Arc<App>,
    router: Router,
    stream: TcpStream,
    address: SocketAddr,
    cancel: tokio_util::sync::CancellationToken,
) {
    // Notifications are small and wanted at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended at once");
        return;
    }
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        let peer = Peer::of(address.ip(), request.headers(), &app.config.trusted_proxies);
        request.extensions_mut().insert(peer);
        let mut router = router.clone();
        async move { router.call(request.map(axum::body::Body::new)).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
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
