//! Who is at the other end: the socket's address, or what a proxy that we trust says of its client.

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use std::net::IpAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// It came over TLS, as far as the proxy.
    pub secure: bool,
}

impl Peer {
    /// `socket` is the address that the connection comes from. Programs on this machine are trusted.
    pub fn of(socket: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |address| is_trusted(address, trusted);
        let mut peer = Self {
            address: socket.to_canonical(),
            secure: false,
        };
        if !is_trusted(peer.address) {
            return peer;
        }
        // Each proxy appends whom it speaks to: the first from the right that is no proxy of ours.
        let mut hops: Vec<&str> = texts(headers, &FORWARDED_FOR).collect();
        while let Some(hop) = hops.pop() {
            let Ok(address) = hop.parse::<IpAddr>() else { break };
            peer.address = address.to_canonical();
            if !is_trusted(peer.address) {
                break;
            }
        }
        peer.secure = texts(headers, &FORWARDED_PROTO)
            .next()
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss"));
        peer
    }
}

/// A proxy of ours, or a program on this machine.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    address.is_loopback() || trusted.iter().any(|network| network.contains(&address))
}

/// The members of a list that may be in several headers.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn of(socket: &str, forwarded: &'static str) -> Peer {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, HeaderValue::from_static(forwarded));
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        let trusted = ["10.0.0.0/8".parse().expect("a network")];
        Peer::of(socket.parse().expect("an address"), &headers, &trusted)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let peer = |address: &str, secure| Peer {
            address: address.parse().expect("an address"),
            secure,
        };
        assert_eq!(of("192.0.2.9", "198.51.100.1"), peer("192.0.2.9", false));
        assert_eq!(of("10.1.1.1", "198.51.100.1"), peer("198.51.100.1", true));
        assert_eq!(of("::ffff:10.1.1.1", "198.51.100.1"), peer("198.51.100.1", true));
        assert_eq!(of("::1", "2001:db8::1"), peer("2001:db8::1", true));
        // What the client claims itself is left of what our proxy saw.
        assert_eq!(
            of("127.0.0.1", "203.0.113.5, 198.51.100.1, 10.2.2.2"),
            peer("198.51.100.1", true)
        );
        assert_eq!(of("127.0.0.1", "nonsense"), peer("127.0.0.1", true));
        assert_eq!(of("127.0.0.1", ""), peer("127.0.0.1", true));
    }
}
