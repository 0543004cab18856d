//! `xo-server`: reads the command line, builds the server, runs it until it is told to stop.

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use server::{
    app::App,
    config::{Config, LogFormat, Settings},
    http,
    persist::redis::has_password,
    rpc,
    tls::Identity,
};
use std::{env::VarError, path::PathBuf, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

mod allocator;
mod tools;

/// Xen Orchestra: one place to see and steer all your Xen pools
///
/// Without a subcommand it serves. Open the printed address in a browser and sign in; the first start
/// makes an administrator and prints its password once. Then add your pools under Administration.
///
/// Every setting can be given on the command line, as an environment variable, or in a file (--config);
/// the first in this order wins.
#[derive(Parser)]
#[command(name = "xo-server", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API and the web client (the default)
    Serve(Box<Serve>),
    /// Look at the audit log
    #[command(subcommand)]
    Audit(tools::AuditCommand),
    /// Move everything that the server keeps between stores and machines
    #[command(subcommand)]
    Store(tools::StoreCommand),
    /// Bring users, groups, rights, tokens, servers... from today's Xen Orchestra
    ///
    /// Give its Redis or a configuration export. Nothing is written there. What is here under the same ids is
    /// replaced, everything else stays. Each record is told with what becomes of it.
    ImportXo(tools::ImportXo),
}

#[derive(clap::Args, Default)]
struct Serve {
    /// Configuration file (TOML)
    #[arg(long, env = "XO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    fn into_config(self) -> anyhow::Result<Config> {
        let mut settings = self.settings;
        if settings.redis.uri.as_deref().is_some_and(has_password) {
            anyhow::bail!(
                "--redis-uri holds a password, and a command line is seen by everybody: \
                 give it as XO_REDIS_PASSWORD or XO_REDIS_URI, or in the file"
            );
        }
        // An empty variable says nothing; a socket on the command line is an address by itself.
        if settings.redis.uri.is_none() && settings.redis.socket.is_none() {
            settings.redis.uri = variable("XO_REDIS_URI")?;
        }
        settings.redis.password = variable("XO_REDIS_PASSWORD")?;
        settings.admin_password = variable("XO_ADMIN_PASSWORD")?;
        let servers = variable("XO_FIRST_SERVERS")?;
        settings.first_servers = servers.map(|servers| servers.split(',').map(str::to_owned).collect());
        // Set by `cargo leptos watch`, which builds the client and starts the server.
        let watched = Settings {
            listen: std::env::var("LEPTOS_SITE_ADDR")
                .ok()
                .and_then(|address| address.parse().ok()),
            site_dir: std::env::var_os("LEPTOS_SITE_ROOT").map(PathBuf::from),
            ..Settings::default()
        };
        let settings = match self.config {
            Some(path) => settings.or(Settings::from_file(&path)?),
            None => settings,
        };
        let settings = settings.or(watched);
        settings.check()?;
        Ok(settings.into_config())
    }
}

/// A variable that says something. Text that cannot be read is not the same as none: a password of the
/// operator's choice must not be replaced by a generated one in silence.
fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => anyhow::bail!("{name} is not UTF-8"),
    }
}

/// What a thread for long work freed goes back to the system when the thread ends.
const IDLE_THREAD: Duration = Duration::from_millis(500);

fn main() -> anyhow::Result<()> {
    let line = CommandLine::parse();
    let (serve, tool) = match line.command {
        Some(Command::Serve(serve)) => (*serve, None),
        Some(Command::Audit(mut command)) => (command.settings(), Some(tools::Tool::Audit(command))),
        Some(Command::Store(mut command)) => (command.settings(), Some(tools::Tool::Store(command))),
        Some(Command::ImportXo(mut command)) => (command.settings(), Some(tools::Tool::ImportXo(command))),
        None => (line.serve, None),
    };
    let config = serve.into_config()?;
    start_log(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_keep_alive(IDLE_THREAD)
        .on_thread_park(allocator::return_own_memory)
        .enable_all()
        .build()?;
    match tool {
        Some(tool) => runtime.block_on(tool.run(&config)),
        None => runtime.block_on(run(config)),
    }
}

fn start_log(config: &Config) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&config.log)
        .with_context(|| format!("{:?} is not a log filter", config.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

#[allow(clippy::print_stdout)] // What a person at a terminal must read: address and first password.
async fn run(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let lines = match config.tcp_listen {
        Some(at) => {
            let listener = TcpListener::bind(at).await;
            Some(listener.with_context(|| format!("cannot listen on {at}"))?)
        }
        None => None,
    };
    let identity = match &config.tls {
        Some(tls) => Some(Identity::open(tls, &config.data_dir)?),
        None => None,
    };
    let acceptor = identity.as_ref().map(Identity::acceptor).transpose()?;
    let (app, first_admin) = App::build(config).await?;
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    println!("Xen Orchestra is at {scheme}://{address}/");
    let over_tcp = acceptor.clone().filter(|_| app.config.tcp_tls);
    if let Some(lines) = &lines {
        let scheme = if over_tcp.is_some() { "tls" } else { "tcp" };
        let address = lines.local_addr()?;
        println!("JSON-RPC, a document per line, is at {scheme}://{address}");
    }
    if let Some(admin) = first_admin {
        match admin.generated_password {
            Some(password) => println!(
                "The first administrator: {} with password {password}\nIt is not shown again.",
                admin.email
            ),
            None => println!(
                "The first administrator: {} with the password that was given",
                admin.email
            ),
        }
    }
    allocator::return_memory()?;
    server::rpc::methods::system::tell_used_memory_by(allocator::used);
    app.start();
    if let Some(identity) = identity {
        tokio::spawn(identity.watch(app.cancelled()));
    }
    let serving = tokio::spawn(http::serve::serve(app.clone(), listener, acceptor));
    let speaking = lines.map(|listener| tokio::spawn(rpc::lines::serve(app.clone(), listener, over_tcp)));
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    tracing::info!("stopping");
    // A second signal means: now.
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        std::process::exit(1);
    });
    app.stop().await;
    serving.await?;
    if let Some(speaking) = speaking {
        speaking.await?;
    }
    tracing::info!("stopped");
    Ok(())
}
