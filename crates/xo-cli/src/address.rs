//! Where a server is: what people type as its URL.

use crate::failure::Failure;
use reqwest::Url;
use rustls::pki_types::ServerName;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// JSON-RPC over WebSocket, transfers over HTTP.
    Web,
    /// JSON-RPC over TCP, one document per line; no transfers.
    Lines,
}

/// `http`, `https`, `tcp` or `tls`; without credentials, query and trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    url: Url,
    port: u16,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |reason: &str| Failure::Usage(format!("the URL {:?} {reason}", without_secret(text)));
        let text = text.trim();
        // As in a browser's address bar, but never in clear by default.
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("https://{text}")
        };
        // Only schemes that a URL library knows can have default ports, and have their hosts checked.
        let (scheme, rest) = whole.split_once("://").unwrap_or_default();
        let (scheme, known) = match scheme.to_ascii_lowercase().as_str() {
            "http" | "ws" => ("http", "http"),
            "https" | "wss" => ("https", "https"),
            "tcp" => ("tcp", "http"),
            "tls" => ("tls", "https"),
            _ => {
                return Err(wrong(
                    "must begin with https://, http://, wss://, ws://, tls:// or tcp://",
                ));
            }
        };
        let parsed =
            Url::parse(&format!("{known}://{rest}")).map_err(|error| wrong(&format!("is wrong: {error}")))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("holds a name or a password: give them apart from it"));
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(wrong("must end with the path"));
        }
        let path = parsed.path().trim_end_matches('/').to_owned();
        let lines = known != scheme;
        if lines && !path.is_empty() {
            return Err(wrong("can have no path"));
        }
        let port = match (parsed.port(), lines) {
            (None, true)
                if !rest
                    .trim_end_matches('/')
                    .ends_with(&format!(":{}", default_port(known))) =>
            {
                return Err(wrong("needs a port, as in tcp://host:port"));
            }
            (port, _) => port.unwrap_or(default_port(known)),
        };
        let host = parsed.host_str().ok_or_else(|| wrong("names no host"))?;
        let shown_port = match parsed.port() {
            _ if lines => format!(":{port}"),
            Some(port) => format!(":{port}"),
            None => String::new(),
        };
        let url = Url::parse(&format!("{scheme}://{host}{shown_port}{path}"))
            .map_err(|error| wrong(&format!("is wrong: {error}")))?;
        Ok(Self { url, port })
    }

    pub fn interface(&self) -> Interface {
        match self.url.scheme() {
            "tcp" | "tls" => Interface::Lines,
            _ => Interface::Web,
        }
    }

    pub fn is_encrypted(&self) -> bool {
        matches!(self.url.scheme(), "https" | "tls")
    }

    /// Without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let host = self.url.host_str().unwrap_or_default();
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn server_name(&self) -> Result<ServerName<'static>, Failure> {
        ServerName::try_from(self.host().to_owned())
            .map_err(|_| Failure::Usage(format!("{:?} is no name of a host", self.host())))
    }

    /// `ws(s)://host:port/path/api/`
    pub fn websocket(&self) -> String {
        let scheme = if self.is_encrypted() { "wss" } else { "ws" };
        let text = self.to_string();
        let (_, rest) = text.split_once("://").unwrap_or_default();
        format!("{scheme}://{rest}/api/")
    }

    /// Where a transfer goes: a path on this server, and on no other.
    pub fn transfer(&self, path: &str) -> Result<Url, Failure> {
        let wrong = || {
            Failure::Connection(format!(
                "the server offers a transfer at {path:?}, which is not on it"
            ))
        };
        if !path.starts_with('/') {
            return Err(wrong());
        }
        let url = Url::parse(&format!("{self}{path}")).map_err(|_| wrong())?;
        if url.origin() == self.url.origin() {
            Ok(url)
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// What is shown of a URL that may hold a password.
fn without_secret(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://...{}", &rest[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        for (typed, address, websocket) in [
            (
                "xo.example.org",
                "https://xo.example.org",
                "wss://xo.example.org/api/",
            ),
            (
                "localhost:8080",
                "https://localhost:8080",
                "wss://localhost:8080/api/",
            ),
            (
                "ws://127.0.0.1:8080/",
                "http://127.0.0.1:8080",
                "ws://127.0.0.1:8080/api/",
            ),
            (
                "HTTPS://Xo.Example.org:443/base/",
                "https://xo.example.org/base",
                "wss://xo.example.org/base/api/",
            ),
            ("http://[::1]:80", "http://[::1]", "ws://[::1]/api/"),
        ] {
            let read = Address::parse(typed).expect(typed);
            assert_eq!(
                (read.to_string(), read.websocket()),
                (address.to_owned(), websocket.to_owned())
            );
            assert_eq!(read.interface(), Interface::Web);
        }
        for (typed, address, port) in [
            ("tcp://127.0.0.1:1984", "tcp://127.0.0.1:1984", 1984),
            ("tls://[::1]:443", "tls://[::1]:443", 443),
        ] {
            let read = Address::parse(typed).expect(typed);
            assert_eq!((read.to_string(), read.port()), (address.to_owned(), port));
            assert_eq!(read.interface(), Interface::Lines);
        }
        for wrong in [
            "",
            "ftp://host",
            "http://",
            "http://a:99999",
            "https://ann:s3cret@host",
            "ann:s3cret@host",
            "https://host/?a=1",
            "tcp://host",
            "tcp://host:1/path",
            "http://a b",
        ] {
            let failure = Address::parse(wrong).expect_err(wrong).to_string();
            assert!(!failure.contains("s3cret"), "{failure}");
        }
    }

    #[test]
    fn transfers_stay_on_the_server() {
        let address = Address::parse("http://host:8080/base").expect("an address");
        let url = address.transfer("/api/abc/name.xva").expect("a path");
        assert_eq!(url.as_str(), "http://host:8080/base/api/abc/name.xva");
        let url = address.transfer("//evil.example/x").expect("a path");
        assert_eq!(url.host_str(), Some("host"));
        for elsewhere in ["http://evil.example/x", "@evil.example/x", "api/x", ""] {
            address.transfer(elsewhere).expect_err(elsewhere);
        }
    }
}
