//! Accepts connections until told to stop, no more at a time than there are places, and no more of one address than
//! its share of them.

use crate::neighbours;
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What runs when the server is told to stop gets so long to end.
const GRACE: Duration = Duration::from_secs(5);
/// Without file descriptors: the others get so long to end.
const BREATH: Duration = Duration::from_millis(100);
/// File descriptors that are not for clients: pools, the store, files.
const NOT_FOR_CLIENTS: u64 = 500;
/// Handshakes of TLS that go on at a time; for one more, the oldest is given up. An honest one takes a moment.
const HANDSHAKES: usize = 200;
/// A handshake that takes longer is given up in any case.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// As many places as are wanted, or as there are file descriptors for. The limit of this process is raised as far as
/// the system lets it.
pub fn places(wanted: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files could not be raised");
    }
    // None is no limit.
    let open = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let places = usize::try_from(open.saturating_sub(NOT_FOR_CLIENTS)).unwrap_or(usize::MAX);
    let places = places.clamp(50, wanted);
    if places < wanted {
        tracing::warn!("at most {places} connections at a time: only {open} files may be open");
    }
    places
}

/// How many connections each address has.
#[derive(Clone)]
struct Shares {
    open: Arc<Mutex<FxHashMap<IpAddr, usize>>>,
    most: usize,
}

/// One connection, until this is dropped.
struct Share {
    shares: Shares,
    address: IpAddr,
}

impl Shares {
    fn open(&self) -> MutexGuard<'_, FxHashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` when the address has as many as it may have.
    fn take(&self, address: IpAddr) -> Option<Share> {
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Share {
            shares: self.clone(),
            address,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.shares.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Who gets how much.
pub struct Places {
    pub all: usize,
    /// Of one address.
    pub share: usize,
    /// Addresses that stand for many clients: proxies.
    pub unlimited: Box<dyn Fn(IpAddr) -> bool + Send>,
}

/// Serves each connection in a task of its own. What does not fit waits in the system's queue; what is more than an
/// address' share is closed.
pub async fn accept<F>(
    listener: TcpListener,
    places: Places,
    cancel: CancellationToken,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let free = Arc::new(Semaphore::new(places.all));
    let shares = Shares {
        open: Arc::default(),
        most: places.share,
    };
    let connections = TaskTracker::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = free.clone().acquire_owned().await else {
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
                let share = if (places.unlimited)(address.ip().to_canonical()) {
                    None
                } else if let Some(share) = shares.take(neighbours::of(address.ip())) {
                    Some(share)
                } else {
                    tracing::debug!(%address, "more connections of one address than its share");
                    continue;
                };
                let serving = serve(stream, address);
                connections.spawn(async move {
                    serving.await;
                    drop((place, share));
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

/// The handshakes of TLS that go on. Whoever begins many and finishes none holds up nobody: the oldest of the address
/// with most of them goes first.
#[derive(Clone, Default)]
pub struct Handshakes {
    going_on: Arc<Mutex<VecDeque<(IpAddr, CancellationToken)>>>,
}

/// Which one makes room.
fn least_worthy(going_on: &VecDeque<(IpAddr, CancellationToken)>) -> Option<usize> {
    let mut counts: FxHashMap<IpAddr, usize> = FxHashMap::default();
    for (address, _) in going_on {
        *counts.entry(*address).or_default() += 1;
    }
    let most = counts.values().max()?;
    going_on.iter().position(|(address, _)| counts[address] == *most)
}

impl Handshakes {
    fn going_on(&self) -> MutexGuard<'_, VecDeque<(IpAddr, CancellationToken)>> {
        self.going_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream behind the handshake, if it comes to its end.
    pub async fn accept<Io: AsyncRead + AsyncWrite + Unpin>(
        &self,
        tls: &TlsAcceptor,
        io: Io,
        address: SocketAddr,
    ) -> Option<TlsStream<Io>> {
        let cancel = CancellationToken::new();
        {
            let mut going_on = self.going_on();
            going_on.retain(|(_, other)| !other.is_cancelled());
            going_on.push_back((neighbours::of(address.ip()), cancel.clone()));
            if going_on.len() > HANDSHAKES
                && let Some((_, made_room)) = least_worthy(&going_on).and_then(|place| going_on.remove(place))
            {
                made_room.cancel();
            }
        }
        // Cancelled at the end, too: it is in the list no more.
        let _done = cancel.clone().drop_guard();
        let handshake = tokio::time::timeout(HANDSHAKE, tls.accept(io));
        let result = tokio::select! {
            result = handshake => result,
            () = cancel.cancelled() => {
                tracing::debug!(%address, "a TLS handshake had to make room for others");
                return None;
            }
        };
        match result {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!(%address, "a TLS handshake was not completed");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_handshake_of_whoever_has_most_makes_room() {
        let folder = std::env::temp_dir().join(format!("xo-tls-{}", uuid::Uuid::new_v4()));
        let identity = crate::tls::Identity::open(&crate::config::Tls::SelfSigned, &folder);
        let tls = identity
            .and_then(|identity| identity.acceptor())
            .expect("an acceptor");
        std::fs::remove_dir_all(folder).expect("removed");
        let handshakes = Handshakes::default();
        let (mut silent, mut going_on) = (Vec::new(), Vec::new());
        for number in 0..=HANDSHAKES {
            let (client, server) = tokio::io::duplex(1024);
            silent.push(client);
            let (handshakes, tls) = (handshakes.clone(), tls.clone());
            going_on.push(tokio::spawn(async move {
                // The very first is somebody else's.
                let address = SocketAddr::from(([192, 0, 2, if number == 0 { 2 } else { 1 }], 1));
                handshakes.accept(&tls, server, address).await.is_some()
            }));
        }
        let oldest_of_many = going_on.remove(1).await;
        assert!(
            !oldest_of_many.expect("no panic"),
            "given up, long before its time"
        );
        assert!(going_on.iter().all(|handshake| !handshake.is_finished()));
    }

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let shares = Shares {
            open: Arc::default(),
            most: 2,
        };
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let held = [shares.take(one), shares.take(one)];
        assert!(held.iter().all(Option::is_some) && shares.take(one).is_none());
        assert!(shares.take(other).is_some());
        drop(held);
        assert!(shares.take(one).is_some());
        assert!(shares.open().is_empty(), "nothing is remembered of who is gone");
    }
}
