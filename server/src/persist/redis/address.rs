//! Where Redis is, and how it is spoken to.

use crate::persist::StoreError;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo,
    RedisError, TlsCertificates, aio::MultiplexedConnection,
};
use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

/// What an operator sets.
#[derive(Clone, Default)]
pub struct Place {
    /// `redis[s]://[user][:password]@host[:port][/database]`, or `unix:///path?db=1&user=...`.
    pub uri: Option<String>,
    pub socket: Option<PathBuf>,
    /// Wins over the one of the URI.
    pub password: Option<String>,
    /// Certificates (PEM) that are trusted in place of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate, for a Redis that asks for one.
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
}

impl Place {
    pub fn is_set(&self) -> bool {
        self.uri.is_some() || self.socket.is_some()
    }
}

/// Whether a URI tells a password.
pub fn has_password(uri: &str) -> bool {
    redis::parse_redis_url(uri)
        .is_some_and(|url| url.password().is_some() || url.query_pairs().any(|(name, _)| name == "pass"))
}

/// Without the password: settings are logged.
impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Address::new(self) {
            Ok(address) => write!(formatter, "{address}"),
            Err(_) => formatter.write_str("an unusable address of Redis"),
        }
    }
}

/// A place that can be connected to; shown without its password.
#[derive(Clone)]
pub struct Address {
    client: Client,
    shown: String,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

fn unusable(what: &str, error: impl fmt::Display) -> StoreError {
    StoreError::Unusable(format!("{what}: {error}"))
}

fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    std::fs::read(path).map_err(|error| unusable(&path.display().to_string(), error))
}

impl Address {
    pub fn new(place: &Place) -> Result<Self, StoreError> {
        let info = match (&place.uri, &place.socket) {
            (Some(_), Some(_)) => {
                return Err(StoreError::Unusable(
                    "redis.uri and redis.socket are both set: one of them is needed".to_owned(),
                ));
            }
            (Some(uri), None) => uri.as_str().into_connection_info(),
            (None, Some(socket)) => ConnectionAddr::Unix(socket.clone()).into_connection_info(),
            (None, None) => return Err(StoreError::Unusable("no address of Redis is set".to_owned())),
        };
        // The library's error does not repeat the URI, which may hold a password.
        let mut info = info.map_err(|error| unusable("redis.uri", error))?;
        if let Some(password) = &place.password {
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        let shown = shown(&info);
        let client = Self::client(info, place).map_err(|error| unusable(&shown, error))?;
        Ok(Self { client, shown })
    }

    fn client(info: ConnectionInfo, place: &Place) -> Result<Client, StoreError> {
        let invalid = |error: RedisError| StoreError::Unusable(error.to_string());
        let is_tls = match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(StoreError::Unusable(
                    "#insecure is not known: give the certificate that is trusted as redis.tls_ca".to_owned(),
                ));
            }
            ConnectionAddr::TcpTls { .. } => true,
            _ => false,
        };
        let certificates = TlsCertificates {
            root_cert: place.tls_ca.as_deref().map(read).transpose()?,
            client_tls: match (&place.tls_certificate, &place.tls_key) {
                (Some(certificate), Some(key)) => Some(ClientTlsConfig {
                    client_cert: read(certificate)?,
                    client_key: read(key)?,
                }),
                (None, None) => None,
                _ => {
                    return Err(StoreError::Unusable(
                        "redis.tls_certificate and redis.tls_key go together".to_owned(),
                    ));
                }
            },
        };
        let wants_tls = certificates.root_cert.is_some() || certificates.client_tls.is_some();
        match (is_tls, wants_tls) {
            (true, _) => Client::build_with_tls(info, certificates).map_err(invalid),
            // Certificates that are given and not used would feign safety.
            (false, true) => Err(StoreError::Unusable(
                "certificates are set, but the URI does not begin with rediss://".to_owned(),
            )),
            (false, false) => Client::open(info).map_err(invalid),
        }
    }

    /// Answers are waited for without a limit: who asks sets one.
    pub async fn connect(&self, within: Duration) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(within))
            .set_response_timeout(None);
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        // Sign-in and choice of the database are not within the library's limit.
        match tokio::time::timeout(within, connecting).await {
            Ok(connection) => connection,
            Err(_) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time").into()),
        }
    }
}

fn shown(info: &ConnectionInfo) -> String {
    let database = info.redis_settings().db();
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => format!("redis://{host}:{port}/{database}"),
        ConnectionAddr::TcpTls { host, port, .. } => format!("rediss://{host}:{port}/{database}"),
        ConnectionAddr::Unix(path) => format!("unix://{}?db={database}", path.display()),
        _ => "Redis".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uri: &str) -> Place {
        Place {
            uri: Some(uri.to_owned()),
            ..Place::default()
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (uri, shown) in [
            ("redis://:s3cret@db.example/4", "redis://db.example:6379/4"),
            ("rediss://xo:s3cret@db.example:7000", "rediss://db.example:7000/0"),
            (
                "unix:///run/redis.sock?db=2&pass=s3cret",
                "unix:///run/redis.sock?db=2",
            ),
        ] {
            assert!(has_password(uri));
            let place = place(uri);
            assert_eq!(Address::new(&place).expect("an address").to_string(), shown);
            assert_eq!(format!("{place:?}"), shown);
        }
    }

    #[test]
    fn a_name_is_no_password() {
        for uri in [
            "redis://db.example/4",
            "rediss://xo@db.example",
            "unix:///run/redis.sock?db=2",
        ] {
            assert!(!has_password(uri), "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_without_telling_the_password() {
        for uri in [
            "redis://:s3cret@db.example/four",
            "http://:s3cret@db.example",
            ":s3cret",
            "rediss://:s3cret@db.example#insecure",
        ] {
            let place = place(uri);
            let error = Address::new(&place).err().expect("refused").to_string();
            assert!(!error.contains("s3cret"), "{error}");
            assert!(!format!("{place:?}").contains("s3cret"));
        }
        let both = Place {
            socket: Some("/run/redis.sock".into()),
            ..place("redis://localhost")
        };
        assert!(Address::new(&both).is_err());
        let feigned = Place {
            tls_ca: Some("/dev/null".into()),
            ..place("redis://localhost")
        };
        assert!(Address::new(&feigned).is_err());
    }
}
