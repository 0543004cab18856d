//! Subcommands that work on the store while the server is stopped.

use crate::Serve;
use anyhow::{Context as _, bail};
use server::{
    app::place,
    audit::{self, Key, Wanted},
    config::Config,
    persist::{
        self, Store,
        dump::{self, Dump},
        redis::{Address, Place, has_password},
        secrets::Secrets,
    },
    transfer::{self, Fate, Keys},
};
use std::{
    fs::OpenOptions,
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What files are at most read of, in bytes.
const MAX_FILE: u64 = 512 << 20;

#[derive(clap::Subcommand)]
pub enum StoreCommand {
    /// Write everything that the store holds into a file (`-`: standard output) that only you can read
    Export {
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
        #[command(flatten)]
        settings: Box<Serve>,
    },
    /// Read such a file (`-`: standard input) into an empty store
    Import {
        file: PathBuf,
        #[command(flatten)]
        passphrase: Passphrase,
        /// Remove what is in the store
        #[arg(long)]
        replace: bool,
        /// Check everything and change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        settings: Box<Serve>,
    },
}

impl StoreCommand {
    /// Where the store is.
    pub fn settings(&mut self) -> Serve {
        match self {
            Self::Export { settings, .. } | Self::Import { settings, .. } => std::mem::take(settings),
        }
    }
}

#[derive(clap::Args)]
pub struct ImportXo {
    /// Its Redis: redis[s]://[user@]host[:port][/database], or unix:///path?db=0. A password belongs into the
    /// variable XO_FROM_REDIS: a command line is seen by everybody
    #[arg(long, value_name = "URI")]
    from_redis: Option<String>,
    /// A file of its configuration export, compressed or not (`-`: standard input)
    #[arg(long, value_name = "FILE", conflicts_with = "from_redis")]
    from_export: Option<PathBuf>,
    /// The key of records that are encrypted in Redis, in hexadecimal: on the first line the half in XenStore
    /// (vm-data/xo-encryption-key), on the second the one in the data directory
    #[arg(long, value_name = "FILE")]
    encryption_key: Option<PathBuf>,
    /// Tell what would come, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    settings: Box<Serve>,
}

impl ImportXo {
    /// Where our store is.
    pub fn settings(&mut self) -> Serve {
        std::mem::take(&mut self.settings)
    }
}

#[derive(clap::Subcommand)]
pub enum AuditCommand {
    /// Follow the chain of records from the first to the last; the server may be running
    Verify {
        /// Id of a record that must be there: the last one that was noted elsewhere. Without it, records that were
        /// cut off at the end are not noticed
        #[arg(long, value_name = "ID")]
        contains: Option<String>,
        /// Id of the first record to look at: what was found before it is known
        #[arg(long, value_name = "ID")]
        oldest: Option<String>,
        #[command(flatten)]
        settings: Box<Serve>,
    },
}

impl AuditCommand {
    /// Where the log is.
    pub fn settings(&mut self) -> Serve {
        match self {
            Self::Verify { settings, .. } => std::mem::take(settings),
        }
    }
}

#[allow(clippy::print_stdout)] // What was asked for.
fn verify(command: AuditCommand, config: &Config) -> anyhow::Result<()> {
    let AuditCommand::Verify { contains, oldest, .. } = command;
    // Looking at a log makes no key.
    let path = config.data_dir.join("key");
    let key = match path.try_exists()? {
        true => Some(Key::of(&Secrets::open(&path)?)),
        false => None,
    };
    let wanted = Wanted {
        oldest: oldest.as_deref(),
        newest: None,
        contains: contains.as_deref(),
    };
    let verified = audit::verify(&config.data_dir, key.as_ref(), wanted)?;
    let (records, unsealed) = (verified.records, verified.unsealed);
    if let (Some(first), Some(last)) = (&verified.first, &verified.last) {
        println!("{records} records\nfirst: {first}\nlast:  {last}");
    } else {
        println!("there are no records");
    }
    if let Some(dropped) = &verified.dropped {
        println!("older ones are not kept, the last of them was {dropped}");
    }
    if unsealed > 0 {
        println!(
            "{unsealed} records are not sealed: they are from a version that did not do that, or somebody who had \
             the files has written them anew"
        );
    }
    if key.is_none() {
        println!(
            "there is no key file here, so the seals were not looked at: whoever had the files could have written \
             them anew"
        );
    }
    if verified.problems.is_empty() {
        if records > 0 {
            println!("none altered and none missing between the first and the last");
        }
        return Ok(());
    }
    for problem in &verified.problems {
        say(&problem.to_string());
    }
    match verified.problems.len() + verified.more {
        1 => bail!("the log is not whole"),
        problems => bail!("the log is not whole: {problems} problems"),
    }
}

/// A subcommand that does not serve.
pub enum Tool {
    Audit(AuditCommand),
    Store(StoreCommand),
    ImportXo(ImportXo),
}

impl Tool {
    pub async fn run(self, config: &Config) -> anyhow::Result<()> {
        match self {
            Self::Audit(command) => verify(command, config),
            Self::Store(command) => store(command, config).await,
            Self::ImportXo(command) => import_xo(command, config).await,
        }
    }
}

#[derive(clap::Args)]
pub struct Passphrase {
    /// File whose first line seals the secrets in place of the key file; or set XO_PASSPHRASE
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Passphrase {
    fn read(&self) -> anyhow::Result<Option<String>> {
        let text = match &self.passphrase_file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
            None => super::variable("XO_PASSPHRASE")?,
        };
        if text.as_deref() == Some("") {
            bail!("the passphrase is empty");
        }
        Ok(text)
    }
}

/// An opened store and its key; closed in order, so that the server can start at once.
struct Opened {
    store: Store,
    secrets: Secrets,
}

impl Opened {
    async fn new(config: &Config) -> anyhow::Result<Self> {
        let backend = persist::backend(&config.data_dir, &place(&config.redis))
            .await
            .context("the store cannot be opened; the server must be stopped meanwhile")?;
        let secrets = Secrets::open(&config.data_dir.join("key"))?;
        let store = Store::open(backend, &secrets).await?;
        Ok(Self { store, secrets })
    }
}

/// The whole file, or standard input.
fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("{} cannot be read", path.display());
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(MAX_FILE + 1).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).with_context(context)?;
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)
    }
    .with_context(context)?;
    if bytes.len() as u64 > MAX_FILE {
        bail!("{} is larger than {} MiB", path.display(), MAX_FILE >> 20);
    }
    Ok(bytes)
}

/// Only for our eyes, and never over a file that is there.
fn write_file(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if path == Path::new("-") {
        let mut output = std::io::stdout().lock();
        return Ok(output.write_all(bytes).and_then(|()| output.flush())?);
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.with_context(|| format!("{} cannot be written", path.display()))
}

fn say(text: &str) {
    // Whoever closed it does not want to read it.
    let _ = writeln!(std::io::stderr(), "{text}");
}

async fn store(command: StoreCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        StoreCommand::Export { file, passphrase, .. } => {
            let passphrase = passphrase.read()?;
            let opened = Opened::new(config).await?;
            let dump = dump::export(&opened.store, &opened.secrets, passphrase.as_deref()).await?;
            let counts = dump.counts();
            let mut bytes = serde_json::to_vec_pretty(&dump)?;
            bytes.push(b'\n');
            write_file(&file, &bytes)?;
            tell(&counts, "exported");
            if passphrase.is_none() {
                say(
                    "Its secrets are sealed with the key file of this installation: without that file, or a passphrase \
                     (--passphrase-file), they cannot be read elsewhere.",
                );
            }
            opened.store.close().await?;
        }
        StoreCommand::Import {
            file,
            passphrase,
            replace,
            dry_run,
            ..
        } => {
            let passphrase = passphrase.read()?;
            let dump = Dump::read(&read_file(&file)?)?;
            let opened = Opened::new(config).await?;
            let import = dump::Import {
                passphrase: passphrase.as_deref(),
                replace,
                dry_run,
            };
            let counts = dump::import(&opened.store, &opened.secrets, dump, import).await;
            opened.store.close().await?;
            let counts = counts?;
            tell(&counts, if dry_run { "would come" } else { "imported" });
        }
    }
    Ok(())
}

async fn import_xo(command: ImportXo, config: &Config) -> anyhow::Result<()> {
    if command.from_redis.as_deref().is_some_and(has_password) {
        bail!(
            "--from-redis holds a password, and a command line is seen by everybody: give it as XO_FROM_REDIS"
        );
    }
    let uri = match (&command.from_export, command.from_redis) {
        (None, None) => super::variable("XO_FROM_REDIS")?,
        (_, uri) => uri,
    };
    let export = match (&command.from_export, uri) {
        (Some(file), _) => transfer::read(&read_file(file)?)?,
        (None, Some(uri)) => {
            let keys = match &command.encryption_key {
                Some(path) => {
                    let text = std::fs::read_to_string(path);
                    let text = text.with_context(|| format!("{} cannot be read", path.display()))?;
                    Some(Keys::read(&text)?)
                }
                None => None,
            };
            let source = Place {
                uri: Some(uri),
                ..Place::default()
            };
            transfer::read_redis(&Address::new(&source)?, keys.as_ref()).await?
        }
        (None, None) => bail!("from where? --from-redis URI, or --from-export FILE"),
    };
    let opened = Opened::new(config).await?;
    let lines = transfer::import_config(&opened.store, &opened.secrets, export, command.dry_run).await;
    opened.store.close().await?;
    let lines = lines?;
    let mut output = std::io::stdout().lock();
    for line in &lines {
        writeln!(output, "{line}")?;
    }
    let count = |fate| lines.iter().filter(|line| line.fate == fate).count();
    let (new, changed, same) = (count(Fate::New), count(Fate::Changed), count(Fate::Same));
    let (removed, left_out) = (count(Fate::Removed), count(Fate::LeftOut));
    writeln!(
        output,
        "{new} new, {changed} changed, {same} the same, {removed} removed, {left_out} left out{}",
        if command.dry_run {
            "; nothing was changed (dry run)"
        } else {
            ""
        }
    )?;
    Ok(())
}

fn tell(counts: &dump::Counts, what: &str) {
    for (collection, count) in counts {
        say(&format!("{count:>8} {collection}"));
    }
    say(&format!("{:>8} records {what}", counts.values().sum::<usize>()));
}
