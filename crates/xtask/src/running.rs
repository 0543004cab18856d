//! A server and simulated pools, running: for the demo, the browser tests and the measurements.

use crate::workspace::Workspace;
use anyhow::{Context, bail};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    time::Duration,
};

/// How long a program may take until it is ready; a debug build makes large worlds slowly.
const READY: Duration = Duration::from_secs(60);

/// What to run.
pub struct Options<'a> {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub profile: &'a str,
    pub password: String,
    /// Arguments of `xapi-sim`.
    pub simulator: Vec<String>,
}

/// The running programs; they end with this value.
pub struct Running {
    pub url: String,
    pub pools: Vec<String>,
    server: Child,
    simulator: Child,
}

impl Running {
    pub fn start(workspace: &Workspace, options: &Options<'_>) -> anyhow::Result<Self> {
        let programs = workspace.target.join(options.profile);
        let mut simulator = spawn(Command::new(programs.join("xapi-sim")).args(&options.simulator))?;
        let pools = options
            .simulator
            .iter()
            .position(|argument| argument == "--pools");
        let count = pools
            .and_then(|at| options.simulator.get(at + 1)?.parse().ok())
            .unwrap_or(1);
        let urls = lines(&mut simulator, count, |line| {
            line.split_whitespace()
                .find(|word| word.starts_with("http"))
                .map(str::to_owned)
        });
        let urls = match urls {
            Ok(urls) => urls,
            Err(error) => {
                end(&mut simulator);
                return Err(error.context("the simulated pools did not start"));
            }
        };
        let servers: Vec<String> = urls
            .iter()
            .map(|url| url.replacen("://", "://root:password@", 1))
            .collect();
        let server = spawn(
            Command::new(programs.join("xo-server"))
                .arg("serve")
                .args(["--listen", &options.listen.to_string()])
                .arg("--data-dir")
                .arg(&options.data_dir)
                .arg("--site-dir")
                .arg(workspace.site())
                .env("XO_ADMIN_PASSWORD", &options.password)
                .env("XO_FIRST_SERVERS", servers.join(",")),
        );
        let mut server = match server {
            Ok(server) => server,
            Err(error) => {
                end(&mut simulator);
                return Err(error);
            }
        };
        let address = lines(&mut server, 1, |line| {
            line.split_whitespace()
                .find(|word| word.starts_with("http://"))
                .map(str::to_owned)
        });
        match address {
            Ok(mut found) => Ok(Self {
                url: found.remove(0).trim_end_matches('/').to_owned(),
                pools: urls,
                server,
                simulator,
            }),
            Err(error) => {
                end(&mut server);
                end(&mut simulator);
                Err(error.context("the server did not start"))
            }
        }
    }

    /// Waits until the server ends by itself.
    pub fn wait(&mut self) -> anyhow::Result<()> {
        let status = self.server.wait()?;
        if !status.success() {
            bail!("the server ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.server);
        end(&mut self.simulator);
    }
}

/// A simulator alone, and the URL of its pool; it ends with this value.
pub struct Simulator {
    pub url: String,
    process: Child,
}

impl Simulator {
    pub fn start(workspace: &Workspace, arguments: &str) -> anyhow::Result<Self> {
        let program = workspace.target.join("debug/xapi-sim");
        let mut process = spawn(Command::new(program).args(arguments.split(' ')))?;
        let found = lines(&mut process, 1, |line| {
            line.split_whitespace()
                .find(|word| word.starts_with("http"))
                .map(str::to_owned)
        });
        match found {
            Ok(mut found) => Ok(Self {
                url: found.remove(0),
                process,
            }),
            Err(error) => {
                end(&mut process);
                Err(error.context("the simulated pool did not start"))
            }
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        end(&mut self.process);
    }
}

/// Programs that run now.
static PROGRAMS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

fn with_programs<T>(change: impl FnOnce(&mut Vec<u32>) -> T) -> T {
    change(&mut PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From now on, when this program is told to end, so are those that it started.
pub fn end_together() -> anyhow::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let programs = with_programs(std::mem::take);
            let ended = Command::new("kill")
                .arg("-TERM")
                .args(programs.iter().map(u32::to_string))
                .status();
            if let (false, Err(error)) = (programs.is_empty(), ended) {
                eprintln!("processes {programs:?} cannot be ended: {error}");
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Asks a program to stop, and insists when it does not.
fn end(child: &mut Child) {
    with_programs(|programs| programs.retain(|id| *id != child.id()));
    if matches!(child.try_wait(), Ok(Some(_))) {
        return;
    }
    let asked = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    let (sender, ended) = mpsc::channel();
    let id = child.id();
    std::thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(10)).is_err()
            && let Err(error) = Command::new("kill").args(["-KILL", &id.to_string()]).status()
        {
            eprintln!("process {id} cannot be ended: {error}");
        }
    });
    if let Err(error) = asked.and_then(|_| child.wait()) {
        eprintln!("process {id} did not end well: {error}");
    }
    // The watcher is gone when the process ended in time.
    if sender.send(()).is_err() {
        eprintln!("process {id} had to be killed");
    }
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    let child = command
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    with_programs(|programs| programs.push(child.id()));
    Ok(child)
}

/// The first `count` values that `read` finds in a program's output; the rest of it is passed over.
fn lines(
    child: &mut Child,
    count: usize,
    read: impl Fn(&str) -> Option<String> + Send + 'static,
) -> anyhow::Result<Vec<String>> {
    let output: ChildStdout = child.stdout.take().context("the output is not ours")?;
    let (sender, found) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(value) = read(&line) {
                // Nobody waits any more: the program is read on so that it does not block.
                drop(sender.send(value));
            }
        }
    });
    (0..count)
        .map(|_| {
            found
                .recv_timeout(READY)
                .context("it said nothing in time, or ended")
        })
        .collect()
}

/// A folder that is empty now.
pub fn fresh_folder(path: &Path) -> anyhow::Result<PathBuf> {
    if path.exists() {
        std::fs::remove_dir_all(path).with_context(|| format!("cannot empty {}", path.display()))?;
    }
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path.to_owned())
}

/// A password for a server that is thrown away: from the system's randomness.
pub fn random_password() -> anyhow::Result<String> {
    use std::io::Read;
    let mut bytes = [0u8; 9];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(b"abcdefghjkmnpqrstuvwxyz23456789"[usize::from(*byte) % 31]))
        .collect())
}

/// For a run that can be played again.
pub fn random_seed() -> anyhow::Result<u32> {
    use std::io::Read;
    let mut bytes = [0u8; 4];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    // libFuzzer takes 0 for "choose one".
    Ok(u32::from_le_bytes(bytes).max(1))
}
