//! Where a host is, as people type it and as its pool names it.

use crate::tls::Trust;
use std::fmt;

/// Where and as whom to connect.
#[derive(Clone)]
pub struct Endpoint {
    /// `https://host[:port]` or `http://...`, without a path.
    pub url: String,
    pub user: String,
    pub password: String,
    pub trust: Trust,
    pub proxy: Option<String>,
    /// Names this program in XAPI's session list and separates its session quota.
    pub originator: String,
}

// The password must not reach a log through `{:?}`.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// The URL of what an operator typed: `[http[s]://]host[:port]`, https by default, IPv6 in brackets.
    pub fn parse_url(typed: &str) -> Result<String, InvalidHost> {
        let typed = typed.trim();
        if typed
            .chars()
            .any(|character| character.is_control() || character.is_whitespace())
        {
            return Err(InvalidHost);
        }
        let (scheme, authority) = match typed.split_once("://") {
            Some((scheme @ ("http" | "https"), authority)) => (scheme, authority),
            Some(_) => return Err(InvalidHost),
            None => ("https", typed),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        // A bare IPv6 address has several colons and no brackets.
        let authority = if authority.matches(':').count() > 1 && !authority.starts_with('[') {
            format!("[{authority}]")
        } else {
            authority.to_owned()
        };
        let url = format!("{scheme}://{authority}");
        match reqwest::Url::parse(&url) {
            Ok(parsed)
                if parsed.host_str().is_some_and(|host| !host.is_empty())
                    && parsed.path() == "/"
                    && parsed.query().is_none()
                    && parsed.fragment().is_none()
                    && parsed.password().is_none()
                    && parsed.username().is_empty() =>
            {
                Ok(url)
            }
            _ => Err(InvalidHost),
        }
    }

    /// `url` with another host in it: the hosts of a pool share scheme and port, unless the address says another.
    pub fn on_host(url: &str, address: &str) -> Option<String> {
        let mut parsed = reqwest::Url::parse(url).ok()?;
        let (address, port) = match address.split_once(':') {
            Some((host, port)) if !port.contains(':') && !host.starts_with('[') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (address, None),
        };
        if port.is_some() {
            parsed.set_port(port).ok()?;
        }
        let address = if address.contains(':') && !address.starts_with('[') {
            format!("[{address}]")
        } else {
            address.to_owned()
        };
        parsed.set_host(Some(&address)).ok()?;
        Some(parsed.as_str().trim_end_matches('/').to_owned())
    }
}

/// The text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address of a host: expected name, name:port or https://name:port")]
pub struct InvalidHost;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_of_a_pool_share_scheme_and_port() {
        let on = |url, address| Endpoint::on_host(url, address);
        assert_eq!(
            on("https://xen1", "10.0.0.2").as_deref(),
            Some("https://10.0.0.2")
        );
        assert_eq!(
            on("http://[fe80::1]:8080", "fe80::2").as_deref(),
            Some("http://[fe80::2]:8080")
        );
        assert_eq!(on("http://xen1:1", "xen2:82").as_deref(), Some("http://xen2:82"));
        assert_eq!((on("https://xen1", "a b"), on("https://xen1", "")), (None, None));
    }

    #[test]
    fn addresses_as_people_type_them() {
        let url = |typed| Endpoint::parse_url(typed).map_err(|_| ());
        assert_eq!(url("xen1").as_deref(), Ok("https://xen1"));
        assert_eq!(url(" 10.0.0.1:8443/ ").as_deref(), Ok("https://10.0.0.1:8443"));
        assert_eq!(url("http://xen1:80").as_deref(), Ok("http://xen1:80"));
        assert_eq!(url("fe80::1").as_deref(), Ok("https://[fe80::1]"));
        assert_eq!(url("[fe80::1]:443").as_deref(), Ok("https://[fe80::1]:443"));
        for bad in [
            "", "ftp://x", "https://", "a b", "x/path", "user@x", ":pw@x", "x?y", "x#y", "x\r\ny",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
