//! Accepts connections until told to stop, no more at a time than there are places.

use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What runs when the server is told to stop gets so long to end.
const GRACE: Duration = Duration::from_secs(5);
/// Without file descriptors: the others get so long to end.
const BREATH: Duration = Duration::from_millis(100);

/// Serves each connection in a task of its own. What does not fit waits in the system's queue.
pub async fn accept<F>(
    listener: TcpListener,
    places: usize,
    cancel: CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(places));
    let connections = TaskTracker::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        // What is said is small and wanted at once.
        let accepted =
            accepted.and_then(|(stream, address)| stream.set_nodelay(true).map(|()| (stream, address)));
        match accepted {
            Ok((stream, address)) => {
                let serving = serve(stream, address);
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}
