//! A server in this process, and the program `xo` with a home of its own.

use serde_json::Value;
use server::{
    app::App,
    config::{Config, LogFormat, RedisSettings, Tls},
    http::serve::serve,
    limits::Limits,
    persist::memory::Memory,
    rpc::lines,
    tls::Identity,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpListener, process::Command, task::JoinHandle, time::Instant};

/// Longer than anything takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);
pub const EMAIL: &str = "admin@example.net";
pub const PASSWORD: &str = "correct horse";

pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Removed at the end.
pub struct Home(pub PathBuf);

impl Home {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("xo-cli-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn config(&self) -> PathBuf {
        self.0.join(".config/xo/cli.json")
    }

    pub fn registration(&self) -> Value {
        let text = std::fs::read_to_string(self.config()).expect("a registration");
        serde_json::from_str(&text).expect("JSON")
    }

    pub fn token(&self) -> String {
        let token = self.registration()["token"].take();
        token.as_str().expect("a token").to_owned()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Names of the files in this folder that are not hidden, or left over.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("a folder");
        let names = entries.map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a text")
        });
        let mut names: Vec<String> = names.filter(|name| name != ".config").collect();
        names.sort();
        names
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xo"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.0)
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub async fn xo(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments), "").await
    }

    pub async fn xo_reading(&self, arguments: &[&str], input: &str) -> Ran {
        run(self.command(arguments), input).await
    }

    /// What it prints, read as JSON.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.xo(arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", ran.out))
    }

    pub async fn register(&self, url: &str) {
        let ran = self
            .xo_reading(&["register", url, EMAIL], &format!("{PASSWORD}\n"))
            .await;
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A folder left behind does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

pub async fn run(mut command: Command, input: &str) -> Ran {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("a process");
    if let Some(mut stdin) = child.stdin.take() {
        // It may have ended for another reason, which the caller looks at.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await;
    output.expect("it ends by itself").expect("it ran").into()
}

pub struct TestServer {
    pub app: Arc<App>,
    pub address: SocketAddr,
    pub lines: SocketAddr,
    /// SHA-256 of its certificate.
    pub fingerprint: Option<String>,
    serving: JoinHandle<()>,
    _folder: Home,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    pub async fn start_with(tls: Option<Tls>) -> Self {
        let folder = Home::new();
        let limits = Limits::default();
        let identity = tls
            .as_ref()
            .map(|tls| Identity::open(tls, &folder.0).expect("a certificate"));
        let acceptor = || {
            identity
                .as_ref()
                .map(|identity| identity.acceptor().expect("an acceptor"))
        };
        let fingerprint = identity.is_some().then(|| fingerprint(&folder.0.join("tls.pem")));
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tcp_listen: None,
            tcp_tls: false,
            tls,
            trusted_origins: Vec::new(),
            data_dir: folder.0.clone(),
            redis: RedisSettings::default(),
            admin_email: EMAIL.to_owned(),
            admin_password: Some(PASSWORD.to_owned()),
            trusted_proxies: Vec::new(),
            pool_pace: limits.pace,
            audit: server::audit::Keep::default(),
            site_dir: None,
            first_servers: Vec::new(),
            log: "warn".to_owned(),
            log_format: LogFormat::Text,
        };
        let store = Arc::new(Memory::default());
        let (app, _) = App::with_backend(config, limits, store).await.expect("an app");
        app.start();
        let web = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let over_tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (address, lines) = (
            web.local_addr().expect("bound"),
            over_tcp.local_addr().expect("bound"),
        );
        tokio::spawn(lines::serve(app.clone(), over_tcp, acceptor()));
        let serving = tokio::spawn(serve(app.clone(), web, acceptor()));
        Self {
            app,
            address,
            lines,
            fingerprint,
            serving,
            _folder: folder,
        }
    }

    pub async fn stop(self) {
        self.app.stop().await;
        self.serving.await.expect("serving ends well");
    }

    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn tcp(&self) -> String {
        format!("tcp://{}", self.lines)
    }

    pub fn signed_in(&self) -> usize {
        let open = self.app.connections.list();
        open.iter()
            .filter(|connection| connection.signed_in().is_some())
            .count()
    }
}

fn fingerprint(certificate: &Path) -> String {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    xapi::tls::fingerprint(&certificate)
}
