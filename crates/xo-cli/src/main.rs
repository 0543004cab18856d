//! `xo`: Xen Orchestra on the command line.

mod address;
mod config;
mod connection;
mod failure;
mod list;
mod output;
mod params;
mod register;
mod session;
mod stream;
mod transfer;

use address::Interface;
use app::rpc::methods::{Empty, GetMethodSignature, GetUser, MethodName};
use clap::{CommandFactory, Parser, Subcommand};
use connection::Connection;
use failure::Failure;
use serde_json::{Value, json};
use session::{Options, Target};
use std::{ffi::OsString, process::ExitCode, time::Duration};
use transfer::{Offer, Source};

/// Xen Orchestra on the command line
///
/// Register once with a server, then call any of its methods by name:
///
///   xo register https://xo.example.org admin@example.org
///   xo list-commands 'vm.*'
///   xo list-objects type=VM power_state=Running --name_label --id
///   xo vm.start id=1f2e...
#[derive(Parser)]
#[command(
    name = "xo",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    verbatim_doc_comment
)]
#[command(after_long_help = METHODS, after_help = "METHOD key=value ... calls a method: see xo --help")]
#[command(override_usage = "xo [OPTIONS] COMMAND ...\n       xo [OPTIONS] METHOD [KEY=VALUE]... [@=FILE]")]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

const METHODS: &str = "\
Methods:
  xo METHOD [--json] [KEY=VALUE]... [@=FILE]

  KEY=text          text; a number where the method takes only numbers
  KEY=true|false    a boolean
  KEY=json:JSON     anything, such as blockedOperations=json:'{\"destroy\":true}'
  @=FILE, @         where a stream comes from or goes to; @ alone is standard input or output
  --json            print text as JSON, too, and failures as JSON on standard error
  --help            what the method is for and takes

Exit codes:
  0 done   1 the server refused   2 wrong use   3 no connection, or it was cut
  4 a file could not be read or written   130 interrupted";

#[derive(Subcommand)]
enum Command {
    /// Register with a server: sign in, and keep a token of our own
    Register(register::Register),
    /// Delete the token on the server and forget it here
    Unregister {
        /// Forget it here, even if the server cannot be reached
        #[arg(long)]
        force: bool,
    },
    /// The methods of the server, with their parameters
    ListCommands {
        /// As the server describes them, in JSON
        #[arg(long)]
        json: bool,
        /// Only names that match one of these; * is any text, ? any character
        pattern: Vec<String>,
    },
    /// Objects, as a JSON list
    ///
    /// --PROPERTY shows only the properties that are named so. PROPERTY=VALUE takes objects whose property is equal
    /// (values as for methods). Anything else is a filter as in the web client: name_label:web power_state:running,
    /// memory:size:>8GiB, !auto_poweron?, |(a b)
    #[command(override_usage = "xo list-objects [--PROPERTY]... [PROPERTY=VALUE]... [FILTER]...")]
    ListObjects {
        #[arg(allow_hyphen_values = true, trailing_var_arg = true, hide = true)]
        terms: Vec<String>,
    },
    /// Print all notifications as they come, one JSON document per line, until Ctrl-C
    Watch,
    /// Print the completion script of a shell
    Completion { shell: clap_complete::Shell },
    #[command(external_subcommand)]
    Method(Vec<OsString>),
}

fn main() -> ExitCode {
    let command_line = CommandLine::parse_from(as_commands(std::env::args_os()));
    let as_json = wants_json(&command_line.command);
    let ended = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let ended = runtime.block_on(supervise(command_line));
            // A prompt that nobody answers is not waited for.
            runtime.shutdown_timeout(Duration::from_millis(100));
            ended
        }
        Err(error) => Err(Failure::Here(format!(
            "the system refuses to let us run: {error}"
        ))),
    };
    let Err(failure) = ended else {
        return ExitCode::SUCCESS;
    };
    if !matches!(failure, Failure::OutputClosed | Failure::Interrupted) {
        eprintln!("{}", failure.shown(as_json));
    }
    ExitCode::from(failure.exit_code())
}

/// Once the commands were written as options: `xo --list-commands`.
fn as_commands(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    const OLD: [&str; 4] = ["--register", "--unregister", "--list-commands", "--list-objects"];
    arguments
        .enumerate()
        .map(|(index, argument)| match argument.to_str() {
            Some(text) if index == 1 && OLD.contains(&text) => text[2..].into(),
            _ => argument,
        })
}

fn wants_json(command: &Command) -> bool {
    match command {
        Command::ListCommands { json, .. } => *json,
        Command::ListObjects { terms } => terms.iter().any(|term| term == "--json"),
        Command::Method(words) => words.iter().any(|word| word == "--json"),
        Command::Register(_) | Command::Unregister { .. } | Command::Watch | Command::Completion { .. } => {
            false
        }
    }
}

/// Runs the command until it is done, takes too long, or somebody has had enough of it.
async fn supervise(command_line: CommandLine) -> Result<(), Failure> {
    let limit = command_line.options.timeout.map(Duration::from_secs);
    let watching = matches!(command_line.command, Command::Watch);
    let late = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = Box::pin(run(command_line)) => ended,
        () = interrupted() => if watching { Ok(()) } else { Err(Failure::Interrupted) },
        () = late => match limit {
            _ if watching => Ok(()),
            limit => Err(Failure::Connection(format!("given up after {} s", limit.unwrap_or_default().as_secs()))),
        },
    }
}

#[cfg(unix)]
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // The system then ends us itself.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

async fn run(command_line: CommandLine) -> Result<(), Failure> {
    let options = command_line.options;
    match command_line.command {
        Command::Register(asked) => register::register(&options, asked).await,
        Command::Unregister { force } => register::unregister(&options, force).await,
        Command::ListCommands { json, pattern } => {
            let mut connection = options.target()?.connect().await?;
            list::commands(&mut connection, &pattern, json).await?;
            connection.close().await;
            Ok(())
        }
        Command::ListObjects { terms } => {
            let wanted = list::Wanted::read(&terms)?;
            let mut connection = options.target()?.connect().await?;
            list::objects(&mut connection, wanted).await?;
            connection.close().await;
            Ok(())
        }
        Command::Watch => watch(options.target()?.connect().await?).await,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), "xo", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end())
        }
        Command::Method(words) => {
            let words: Result<Vec<String>, _> = words.into_iter().map(OsString::into_string).collect();
            let words =
                words.map_err(|word| Failure::Usage(format!("{} is no text", word.to_string_lossy())))?;
            let (method, arguments) = words
                .split_first()
                .map_or(("", &[][..]), |(method, rest)| (method.as_str(), rest));
            call(&options, method, arguments).await
        }
    }
}

async fn watch(mut connection: Connection) -> Result<(), Failure> {
    // The server holds notifications back until something was asked.
    connection.typed::<GetUser>(Empty {}).await?;
    loop {
        let notification = connection.notification().await?;
        let shown = json!({ "method": notification.method, "params": notification.params });
        output::line(&shown.to_string())?;
    }
}

async fn call(options: &Options, method: &str, arguments: &[String]) -> Result<(), Failure> {
    if !method.contains('.') {
        return Err(Failure::Usage(format!(
            "{method:?} is neither a command (xo --help) nor a method (xo list-commands)"
        )));
    }
    let (flags, arguments): (Vec<String>, Vec<String>) = arguments
        .iter()
        .cloned()
        .partition(|word| matches!(word.as_str(), "--json" | "--help" | "-h"));
    let as_json = flags.iter().any(|flag| flag == "--json");
    if flags.iter().any(|flag| flag != "--json") {
        return explain(&options.target()?, method).await;
    }
    let mut given = params::read(&arguments)?;
    let target = options.target()?;
    if given.stream.is_some() && target.address.interface() == Interface::Lines {
        let address = &target.address;
        return Err(Failure::Usage(format!(
            "@: streams go over HTTP, which {address} is not: use --url with an address of http or https"
        )));
    }
    let mut connection = target.connect().await?;
    if !given.numbers.is_empty() {
        let name = MethodName {
            method: method.to_owned(),
        };
        match connection.typed::<GetMethodSignature>(name).await {
            Ok(signatures) => signatures.iter().take(1).for_each(|info| given.follow(info)),
            // Without it they stay text; if the method is unknown, its call says so.
            Err(Failure::Refused { .. }) => {}
            Err(failure) => return Err(failure),
        }
    }
    let result = connection.call(method, Value::Object(given.params)).await?;
    let no_place = |which: &str| {
        Failure::Usage(format!(
            "{method} {which}: say with @=FILE, or @ for the standard one"
        ))
    };
    match (Offer::of(&result), given.stream) {
        (None, None) => output::value(&result, as_json)?,
        (None, Some(_)) => {
            output::value(&result, as_json)?;
            output::note(&format!("{method} is done, but it has no stream: @ was not used"));
        }
        (Some(Offer::Download(_)), None) => return Err(no_place("answers a stream, where to")),
        (Some(Offer::Upload(_)), None) => return Err(no_place("takes a stream, where from")),
        (Some(Offer::Download(path)), Some(place)) => {
            transfer::download(&target.address, &target.trust, path, &place).await?;
        }
        (Some(Offer::Upload(path)), Some(place)) => {
            let source = Source::open(&place).await?;
            let answer = transfer::upload(&target.address, &target.trust, path, source).await?;
            output::value(&answer, as_json)?;
        }
    }
    connection.close().await;
    Ok(())
}

async fn explain(target: &Target, method: &str) -> Result<(), Failure> {
    let mut connection = target.connect().await?;
    let name = MethodName {
        method: method.to_owned(),
    };
    for info in connection.typed::<GetMethodSignature>(name).await? {
        output::line(&list::described(method, &info))?;
    }
    connection.close().await;
    Ok(())
}
