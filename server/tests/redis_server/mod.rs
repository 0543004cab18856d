//! A real redis-server of a test's own, on a unix socket in a folder of its own, and ways to disturb it.

use server::persist::redis::Place;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream},
    process::{Child, Command},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A folder that is removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("xo-store-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program: named by XO_REDIS_SERVER, which `cargo xtask test` sets, or found on the PATH.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("XO_REDIS_SERVER") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("redis-server"))
        .find(|path| path.is_file());
    found.expect(
        "this test needs redis-server: `cargo xtask test` gets one by itself; otherwise install it \
         (sudo apt-get install redis-server), or name it in XO_REDIS_SERVER",
    )
}

pub struct RedisServer {
    folder: Folder,
    settings: Vec<String>,
    child: Option<Child>,
}

#[allow(dead_code)] // Each of the targets that share this file uses its own part of it.
impl RedisServer {
    /// One that loses nothing.
    pub async fn start() -> Self {
        Self::start_with("--appendonly yes --appendfsync always").await
    }

    pub async fn start_with(settings: &str) -> Self {
        let mut server = Self {
            folder: Folder::new(),
            settings: settings.split_whitespace().map(str::to_owned).collect(),
            child: None,
        };
        server.run().await;
        server
    }

    /// Starts it (again) and waits until it answers.
    pub async fn run(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let child = Command::new(program())
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--daemonize",
                "no",
                "--logfile",
                "log",
            ])
            .args(["--auto-aof-rewrite-percentage", "0", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(&self.folder.0)
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server starts");
        self.child = Some(child);
        let deadline = Instant::now() + DEADLINE;
        loop {
            if self.answers().await {
                return;
            }
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().expect("asked"));
            let log = || std::fs::read_to_string(self.folder.0.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "redis-server ended: {}", log());
            assert!(
                Instant::now() < deadline,
                "redis-server does not answer: {}",
                log()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Anything but "I am loading" is an answer.
    async fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()).await else {
            return false;
        };
        if stream.write_all(b"PING\r\n").await.is_err() {
            return false;
        }
        let mut answer = [0; 8];
        matches!(stream.read(&mut answer).await, Ok(count) if count > 0 && !answer.starts_with(b"-LOADING"))
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.0.join("redis.sock")
    }

    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    pub fn place(&self) -> Place {
        Place {
            socket: Some(self.socket()),
            ..Place::default()
        }
    }

    /// The same with something after the path, such as `?db=3`.
    pub fn uri(&self, rest: &str) -> Place {
        Place {
            uri: Some(format!("unix://{}{rest}", self.socket().display())),
            ..Place::default()
        }
    }

    /// SIGKILL.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("killed");
    }

    /// As an operator stops it.
    pub async fn stop(&mut self) {
        self.signal("TERM").await;
        let mut child = self.child.take().expect("it runs");
        let ended = tokio::time::timeout(DEADLINE, child.wait()).await;
        ended.expect("in time").expect("ended");
    }

    pub async fn signal(&self, name: &str) {
        let pid = self
            .child
            .as_ref()
            .and_then(Child::id)
            .expect("it runs")
            .to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await;
        assert!(sent.expect("kill runs").success());
    }

    /// What is on its disk.
    pub fn wipe(&self) {
        for entry in std::fs::read_dir(self.folder()).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).expect("removed");
            } else {
                std::fs::remove_file(path).expect("removed");
            }
        }
    }

    pub fn copy_to(&self, to: &Path) {
        copy(self.folder(), to);
    }

    pub fn restore_from(&self, from: &Path) {
        self.wipe();
        copy(from, self.folder());
    }

    /// A connection past the server under test.
    pub async fn raw(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(format!("unix://{}", self.socket().display())).expect("a URI");
        let connection = client.get_multiplexed_async_connection().await;
        connection.expect("a connection")
    }

    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.raw().await;
        let mut query = redis::cmd(command[0]);
        for argument in &command[1..] {
            query.arg(*argument);
        }
        query.query_async(&mut connection).await.expect("an answer")
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            std::fs::copy(&path, target).expect("copied");
        }
    }
}

/// A way to it over TCP that can be cut.
#[allow(dead_code)]
pub struct Relay {
    pub port: u16,
    /// Answers go nowhere.
    pub mute: Arc<AtomicBool>,
    /// Questions go nowhere.
    pub deaf: Arc<AtomicBool>,
    connections: Arc<std::sync::Mutex<JoinSet<()>>>,
    accepting: JoinHandle<()>,
}

#[allow(dead_code)]
impl Relay {
    pub async fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (mute, deaf) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let connections = Arc::<std::sync::Mutex<JoinSet<()>>>::default();
        let (silent, ignoring, kept) = (mute.clone(), deaf.clone(), connections.clone());
        let socket = server.socket();
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                let (socket, mute, deaf) = (socket.clone(), silent.clone(), ignoring.clone());
                kept.lock().expect("no panic").spawn(async move {
                    let Ok(server) = UnixStream::connect(socket).await else {
                        return;
                    };
                    let (client_reads, client_writes) = client.into_split();
                    let (server_reads, server_writes) = server.into_split();
                    tokio::select! {
                        () = pass(client_reads, server_writes, deaf) => {}
                        () = pass(server_reads, client_writes, mute) => {}
                    }
                });
            }
        });
        Self {
            port,
            mute,
            deaf,
            connections,
            accepting,
        }
    }

    /// All connections end; new ones are taken.
    pub fn cut(&self) {
        self.connections.lock().expect("no panic").abort_all();
    }

    pub fn place(&self) -> Place {
        Place {
            uri: Some(format!("redis://127.0.0.1:{}", self.port)),
            ..Place::default()
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    swallow: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if !swallow.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
