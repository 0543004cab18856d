//! What an operator can set. Command line wins over environment, environment over the file, the file over
//! the defaults. `docs/configuration.md` is checked against [`SETTINGS`].

use crate::{audit::Keep, limits::Pace};
use anyhow::Context as _;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// A setting, as the documentation must show it.
pub struct Setting {
    /// Key in the file.
    pub key: &'static str,
    pub variable: &'static str,
    pub default: &'static str,
}

/// Every setting.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "listen",
        variable: "XO_LISTEN",
        default: "127.0.0.1:8080",
    },
    Setting {
        key: "tcp_listen",
        variable: "XO_TCP_LISTEN",
        default: "none",
    },
    Setting {
        key: "tcp_tls",
        variable: "XO_TCP_TLS",
        default: "false",
    },
    Setting {
        key: "tls_certificate",
        variable: "XO_TLS_CERTIFICATE",
        default: "none",
    },
    Setting {
        key: "tls_key",
        variable: "XO_TLS_KEY",
        default: "none",
    },
    Setting {
        key: "tls_self_signed",
        variable: "XO_TLS_SELF_SIGNED",
        default: "false",
    },
    Setting {
        key: "trusted_origins",
        variable: "XO_TRUSTED_ORIGINS",
        default: "none",
    },
    Setting {
        key: "data_dir",
        variable: "XO_DATA_DIR",
        default: "./data",
    },
    Setting {
        key: "admin_email",
        variable: "XO_ADMIN_EMAIL",
        default: "admin@admin.net",
    },
    Setting {
        key: "admin_password",
        variable: "XO_ADMIN_PASSWORD",
        default: "generated",
    },
    Setting {
        key: "first_servers",
        variable: "XO_FIRST_SERVERS",
        default: "none",
    },
    Setting {
        key: "trusted_proxies",
        variable: "XO_TRUSTED_PROXIES",
        default: "none",
    },
    Setting {
        key: "pool_poll",
        variable: "XO_POOL_POLL",
        default: "5",
    },
    Setting {
        key: "pool_retry",
        variable: "XO_POOL_RETRY",
        default: "6",
    },
    Setting {
        key: "pool_silence",
        variable: "XO_POOL_SILENCE",
        default: "300",
    },
    Setting {
        key: "audit_size",
        variable: "XO_AUDIT_SIZE",
        default: "4096",
    },
    Setting {
        key: "audit_days",
        variable: "XO_AUDIT_DAYS",
        default: "90",
    },
    Setting {
        key: "redis.uri",
        variable: "XO_REDIS_URI",
        default: "none",
    },
    Setting {
        key: "redis.socket",
        variable: "XO_REDIS_SOCKET",
        default: "none",
    },
    Setting {
        key: "redis.password",
        variable: "XO_REDIS_PASSWORD",
        default: "none",
    },
    Setting {
        key: "redis.tls_ca",
        variable: "XO_REDIS_TLS_CA",
        default: "the system's",
    },
    Setting {
        key: "redis.tls_certificate",
        variable: "XO_REDIS_TLS_CERTIFICATE",
        default: "none",
    },
    Setting {
        key: "redis.tls_key",
        variable: "XO_REDIS_TLS_KEY",
        default: "none",
    },
    Setting {
        key: "site_dir",
        variable: "XO_SITE_DIR",
        default: "the one built into the program",
    },
    Setting {
        key: "log",
        variable: "XO_LOG",
        default: "info",
    },
    Setting {
        key: "log_format",
        variable: "XO_LOG_FORMAT",
        default: "text",
    },
];

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// JSON-RPC over TCP, line by line.
    pub tcp_listen: Option<SocketAddr>,
    /// The TCP interface speaks TLS, too.
    pub tcp_tls: bool,
    /// HTTP is HTTPS.
    pub tls: Option<Tls>,
    /// Pages of these sites may open WebSockets, as pages of this server do.
    pub trusted_origins: Vec<String>,
    pub data_dir: PathBuf,
    /// In place of the embedded store, when an address is set.
    pub redis: RedisSettings,
    pub admin_email: String,
    pub admin_password: Option<String>,
    /// `[https://]user:password@host` of pools that the first start registers.
    pub first_servers: Vec<String>,
    /// Reverse proxies that are believed what they say of their clients, besides those on this machine.
    pub trusted_proxies: Vec<IpNet>,
    pub pool_pace: Pace,
    /// Of the audit log.
    pub audit: Keep,
    /// Where the built web client is, when it is not inside the program.
    pub site_dir: Option<PathBuf>,
    pub log: String,
    pub log_format: LogFormat,
}

impl Config {
    /// Where what is kept is kept, in a word.
    pub fn store_kind(&self) -> &'static str {
        if self.redis.uri.is_some() || self.redis.socket.is_some() {
            "Redis"
        } else {
            "embedded"
        }
    }
}

/// Where certificate and key come from.
#[derive(Clone, Debug)]
pub enum Tls {
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    /// Made when there is none, and kept.
    SelfSigned,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// The same settings, each perhaps not set: the file, or command line and environment together.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address and port to listen on
    #[arg(long, env = "XO_LISTEN", value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Address and port for JSON-RPC over TCP, one document per line; without TLS a loopback address
    #[arg(long, env = "XO_TCP_LISTEN", value_name = "ADDR:PORT")]
    pub tcp_listen: Option<SocketAddr>,
    /// Whether the TCP interface speaks TLS, with the certificate of HTTPS
    #[arg(long, env = "XO_TCP_TLS", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub tcp_tls: Option<bool>,
    /// Certificate chain (PEM) for HTTPS; a new file is taken up while the server runs
    #[arg(long, env = "XO_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, env = "XO_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// HTTPS with a certificate of our own making, kept in the data folder
    #[arg(long, env = "XO_TLS_SELF_SIGNED", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub tls_self_signed: Option<bool>,
    /// Other sites whose pages may open WebSockets here: origins such as https://intra.example, by commas
    #[arg(
        long,
        env = "XO_TRUSTED_ORIGINS",
        value_name = "ORIGINS",
        value_delimiter = ','
    )]
    pub trusted_origins: Option<Vec<String>>,
    /// Folder of the store and the key file; made if it is not there
    #[arg(long, env = "XO_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    #[command(flatten)]
    pub redis: RedisSettings,
    /// Name of the administrator that the first start makes
    #[arg(long, env = "XO_ADMIN_EMAIL", value_name = "EMAIL")]
    pub admin_email: Option<String>,
    /// Its password; generated and printed once when not given. Only from the environment or the file:
    /// a command line is seen by everybody on the machine
    #[arg(skip)]
    pub admin_password: Option<String>,
    /// Pools that the first start registers, as user:password@host; from environment or file, too
    #[arg(skip)]
    pub first_servers: Option<Vec<String>>,
    /// Reverse proxies on other machines whose X-Forwarded-For and X-Forwarded-Proto are believed:
    /// addresses or networks, separated by commas
    #[arg(long, env = "XO_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',', value_parser = network)]
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Option<Vec<IpNet>>,
    /// A pool without news is asked again after so many seconds
    #[arg(long, env = "XO_POOL_POLL", value_name = "SECONDS", value_parser = seconds)]
    #[serde(deserialize_with = "number_of_seconds")]
    pub pool_poll: Option<Duration>,
    /// Longest wait between two attempts to reach a pool, in seconds
    #[arg(long, env = "XO_POOL_RETRY", value_name = "SECONDS", value_parser = seconds)]
    #[serde(deserialize_with = "number_of_seconds")]
    pub pool_retry: Option<Duration>,
    /// After so many seconds of silence the objects of a pool are withdrawn until it speaks again
    #[arg(long, env = "XO_POOL_SILENCE", value_name = "SECONDS", value_parser = seconds)]
    #[serde(deserialize_with = "number_of_seconds")]
    pub pool_silence: Option<Duration>,
    /// The oldest files of the audit log go when it is larger than so many MiB...
    #[arg(long, env = "XO_AUDIT_SIZE", value_name = "MIB")]
    pub audit_size: Option<u32>,
    /// ...and they are older than so many days
    #[arg(long, env = "XO_AUDIT_DAYS", value_name = "DAYS")]
    pub audit_days: Option<u32>,
    /// Folder of the built web client, in place of the one inside the program
    #[arg(long, env = "XO_SITE_DIR", value_name = "DIR")]
    pub site_dir: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,xapi=debug`
    #[arg(long, env = "XO_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is logged
    #[arg(long, env = "XO_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// A Redis that keeps the store.
#[derive(Clone, Default, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct RedisSettings {
    /// Keep the store in Redis: redis[s]://[user@]host[:port][/database]. A password belongs into the
    /// variable (XO_REDIS_URI, XO_REDIS_PASSWORD) or the file: a command line is seen by everybody
    #[arg(id = "redis_uri", long = "redis-uri", value_name = "URI")]
    pub uri: Option<String>,
    /// The same, over the unix socket of a Redis on this machine
    #[arg(
        id = "redis_socket",
        long = "redis-socket",
        env = "XO_REDIS_SOCKET",
        value_name = "PATH"
    )]
    pub socket: Option<PathBuf>,
    #[arg(skip)]
    pub password: Option<String>,
    /// Certificates (PEM) that Redis is trusted by, in place of the system's
    #[arg(
        id = "redis_tls_ca",
        long = "redis-tls-ca",
        env = "XO_REDIS_TLS_CA",
        value_name = "FILE"
    )]
    pub tls_ca: Option<PathBuf>,
    /// Our own certificate (PEM), for a Redis that asks for one
    #[arg(
        id = "redis_tls_certificate",
        long = "redis-tls-certificate",
        env = "XO_REDIS_TLS_CERTIFICATE",
        value_name = "FILE"
    )]
    pub tls_certificate: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(
        id = "redis_tls_key",
        long = "redis-tls-key",
        env = "XO_REDIS_TLS_KEY",
        value_name = "FILE"
    )]
    pub tls_key: Option<PathBuf>,
}

/// Without passwords.
impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let set = self.uri.is_some() || self.socket.is_some();
        write!(formatter, "RedisSettings {{ set: {set}, .. }}")
    }
}

impl RedisSettings {
    /// An address is taken as a whole: a socket on the command line is not one beside the URI of the file.
    fn or(self, other: Self) -> Self {
        let (uri, socket) = match (self.uri, self.socket) {
            (None, None) => (other.uri, other.socket),
            own => own,
        };
        Self {
            uri,
            socket,
            password: self.password.or(other.password),
            tls_ca: self.tls_ca.or(other.tls_ca),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
        }
    }
}

/// `10.1.2.0/24`, or one address.
fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| format!("{text:?} is neither an address nor a network"))
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<IpNet>>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let read = texts.iter().map(|text| network(text));
    read.collect::<Result<_, _>>().map(Some).map_err(D::Error::custom)
}

/// A time that is worth waiting for.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok();
    number
        .filter(|seconds| (0.001..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("{text:?} is not a number of seconds between 0.001 and 86400"))
}

fn number_of_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let number = f64::deserialize(deserializer)?;
    seconds(&number.to_string()).map(Some).map_err(D::Error::custom)
}

impl Settings {
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
    }

    /// These settings, with `other`'s where these say nothing.
    pub fn or(self, other: Self) -> Self {
        Self {
            listen: self.listen.or(other.listen),
            tcp_listen: self.tcp_listen.or(other.tcp_listen),
            tcp_tls: self.tcp_tls.or(other.tcp_tls),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            tls_self_signed: self.tls_self_signed.or(other.tls_self_signed),
            trusted_origins: self.trusted_origins.or(other.trusted_origins),
            data_dir: self.data_dir.or(other.data_dir),
            redis: self.redis.or(other.redis),
            admin_email: self.admin_email.or(other.admin_email),
            admin_password: self.admin_password.or(other.admin_password),
            first_servers: self.first_servers.or(other.first_servers),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            pool_poll: self.pool_poll.or(other.pool_poll),
            pool_retry: self.pool_retry.or(other.pool_retry),
            pool_silence: self.pool_silence.or(other.pool_silence),
            audit_size: self.audit_size.or(other.audit_size),
            audit_days: self.audit_days.or(other.audit_days),
            site_dir: self.site_dir.or(other.site_dir),
            log: self.log.or(other.log),
            log_format: self.log_format.or(other.log_format),
        }
    }

    /// What goes together and what does not.
    pub fn check(&self) -> anyhow::Result<()> {
        let self_signed = self.tls_self_signed.unwrap_or(false);
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) | (None, Some(_)) => anyhow::bail!("tls_certificate and tls_key are needed both"),
            (Some(_), Some(_)) if self_signed => {
                anyhow::bail!("tls_self_signed and tls_certificate: one of them, not both")
            }
            _ => {}
        }
        let has_certificate = self_signed || self.tls_certificate.is_some();
        let tcp_tls = self.tcp_tls.unwrap_or(false);
        anyhow::ensure!(
            !tcp_tls || has_certificate,
            "tcp_tls needs a certificate: tls_certificate and tls_key, or tls_self_signed"
        );
        if let Some(address) = self.tcp_listen.filter(|address| !address.ip().is_loopback()) {
            anyhow::ensure!(
                tcp_tls,
                "tcp_listen = {address}: passwords would travel in clear; set tcp_tls, or take a loopback address"
            );
        }
        Ok(())
    }

    pub fn into_config(self) -> Config {
        let pace = Pace::default();
        let poll = self.pool_poll.unwrap_or(pace.poll);
        let mut audit = Keep::default();
        if let Some(size) = self.audit_size {
            audit.bytes = u64::from(size) << 20;
        }
        if let Some(days) = self.audit_days {
            audit.time = Duration::from_secs(u64::from(days) * 24 * 3600);
        }
        Config {
            pool_pace: Pace {
                poll,
                longest_wait: self.pool_retry.unwrap_or(pace.longest_wait),
                // A pool at rest is heard once in a poll: less than a few of them would take that for silence.
                silence: self.pool_silence.unwrap_or(pace.silence).max(poll * 3),
            },
            audit,
            listen: self
                .listen
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            tcp_listen: self.tcp_listen,
            tcp_tls: self.tcp_tls.unwrap_or(false),
            tls: match (self.tls_certificate, self.tls_key) {
                (Some(certificate), Some(key)) => Some(Tls::Files { certificate, key }),
                _ => self.tls_self_signed.unwrap_or(false).then_some(Tls::SelfSigned),
            },
            trusted_origins: self.trusted_origins.unwrap_or_default(),
            data_dir: self.data_dir.unwrap_or_else(|| PathBuf::from("./data")),
            redis: self.redis,
            // Nobody could sign in without a name.
            admin_email: self
                .admin_email
                .filter(|email| !email.trim().is_empty())
                .unwrap_or_else(|| "admin@admin.net".to_owned()),
            admin_password: self.admin_password,
            first_servers: self.first_servers.unwrap_or_default(),
            trusted_proxies: self.trusted_proxies.unwrap_or_default(),
            site_dir: self.site_dir,
            log: self.log.unwrap_or_else(|| "info".to_owned()),
            log_format: self.log_format.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_setting_and_no_other() {
        let page = include_str!("../../docs/configuration.md");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), SETTINGS.len());
        for setting in SETTINGS {
            let start = format!("| `{}` | `{}` |", setting.key, setting.variable);
            let row = rows
                .iter()
                .find(|row| row.starts_with(&start))
                .unwrap_or_else(|| panic!("{start}"));
            assert!(
                row.contains(setting.default),
                "{}: {}",
                setting.key,
                setting.default
            );
        }
        let known: toml::Table = SETTINGS
            .iter()
            .map(|setting| (setting.key.to_owned(), "".into()))
            .collect();
        for key in known.keys() {
            // A key that the program does not know is refused with that word.
            let error = toml::from_str::<Settings>(&format!("{key} = {{}}")).expect_err("not a table");
            assert!(!error.to_string().contains("unknown field"), "{key}");
        }
    }

    #[test]
    fn the_first_that_is_set_wins_and_unknown_keys_are_refused() {
        let file: Settings =
            toml::from_str("listen = \"0.0.0.0:80\"\nadmin_email = \"ops@example.net\"").expect("valid");
        let line = Settings {
            admin_email: Some("me@example.net".to_owned()),
            ..Settings::default()
        };
        let config = line.or(file).into_config();
        assert_eq!(
            (config.listen.port(), config.admin_email.as_str()),
            (80, "me@example.net")
        );
        let nameless: Settings = toml::from_str("admin_email = \" \"").expect("valid");
        assert_eq!(nameless.into_config().admin_email, "admin@admin.net");
        let proxies: Settings = toml::from_str("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]").expect("valid");
        assert_eq!(proxies.into_config().trusted_proxies.len(), 2);
        toml::from_str::<Settings>("trusted_proxies = [\"proxy\"]").expect_err("no address");
        for (refused, text) in [
            ("in clear", "tcp_listen = \"0.0.0.0:4000\""),
            ("certificate", "tcp_tls = true"),
            ("both", "tls_certificate = \"c.pem\""),
            (
                "not both",
                "tls_certificate = \"c\"\ntls_key = \"k\"\ntls_self_signed = true",
            ),
        ] {
            let settings: Settings = toml::from_str(text).expect("valid");
            let error = settings.check().expect_err(text);
            assert!(error.to_string().contains(refused), "{error}");
        }
        let settings: Settings =
            toml::from_str("tcp_listen = \"0.0.0.0:4\"\ntcp_tls = true\ntls_self_signed = true")
                .expect("valid");
        settings.check().expect("together they are");
        let hasty: Settings = toml::from_str("pool_poll = 2\npool_silence = 0.5").expect("valid");
        assert_eq!(hasty.into_config().pool_pace.silence, Duration::from_secs(6));
        for bad in ["0", "-1", "nan", "1e9"] {
            toml::from_str::<Settings>(&format!("pool_retry = {bad}")).expect_err(bad);
        }
        let file: Settings = toml::from_str("[redis]\nuri = \"redis://:s3cret@db\"").expect("valid");
        let mut line = Settings::default();
        line.redis.socket = Some("/run/redis.sock".into());
        let config = line.or(file).into_config();
        assert!(config.redis.uri.is_none() && config.redis.socket.is_some());
        let error = toml::from_str::<Settings>("redis.url = \"x\"").expect_err("a typing error");
        assert!(error.to_string().contains("url"), "{error}");
        let error = toml::from_str::<Settings>("lisen = \"x\"").expect_err("a typing error");
        assert!(error.to_string().contains("lisen"), "{error}");
    }
}
