//! The program itself: killed while it writes, and started wrongly.

use crate::support::*;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{io::AsyncReadExt, process::Command};

/// A start that fails: all that it printed.
async fn fails(mut command: Command) -> String {
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.expect("it ends by itself").expect("it ran");
    assert!(!output.status.success());
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).expect("text")
}

#[tokio::test]
async fn a_first_start_that_fails_does_not_use_up_the_password() {
    let folder = Folder::new();
    let data = folder.0.join("data");
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a port");
    let occupied = occupied
        .local_addr()
        .map(|address| (occupied, address.to_string()));
    let (_occupied, address) = occupied.expect("an address");
    let free = "127.0.0.1:0";
    let unreadable = folder.0.join("config.toml");
    std::fs::write(&unreadable, "lisen = 1").expect("written");
    let mut failing = vec![
        command(&data, &address),
        command(&data, free),
        command(&data, free),
        command(&data, free),
        command(&data, free),
    ];
    failing[1].arg("--config").arg(&unreadable);
    failing[2].arg("--config").arg(folder.0.join("missing.toml"));
    failing[3].env("XO_FIRST_SERVERS", "no server at all");
    let unreadable: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff");
    failing[4].env("XO_ADMIN_PASSWORD", unreadable);
    for command in failing {
        let said = fails(command).await;
        assert!(
            !said.contains("password ") || said.contains("user:password@host"),
            "{said}"
        );
        assert!(!said.contains("administrator"), "{said}");
    }
    // The folder may be there, with a key that others can read.
    std::fs::create_dir_all(&data).expect("a folder");
    let key = data.join("key");
    std::fs::write(&key, [7; 32]).expect("written");
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&key, readable).expect("changed");
    let said = fails(command(&data, free)).await;
    assert!(
        said.contains("chmod 600") && !said.contains("administrator"),
        "{said}"
    );
    std::fs::remove_file(&key).expect("removed");

    let mut program = Program::start(command(&data, free)).await;
    let line = program
        .lines
        .next_line()
        .await
        .expect("readable")
        .expect("a line");
    let (_, password) = line.rsplit_once(' ').expect("a password");
    let mut client = Client::connect(program.address, &[]).await.expect("connected");
    client
        .ok("session.signIn", json!({ "email": EMAIL, "password": password }))
        .await;
    program.kill().await;

    let mut program = Program::start(command(&data, free)).await;
    let mut client = Client::connect(program.address, &[]).await.expect("connected");
    client
        .ok("session.signIn", json!({ "email": EMAIL, "password": password }))
        .await;
    program.child.start_kill().expect("killed");
    let mut rest = Vec::new();
    while let Some(line) = program.lines.next_line().await.expect("readable") {
        rest.push(line);
    }
    assert!(rest.is_empty(), "the password is printed once: {rest:?}");
}

/// What one writer knows to be kept. A change whose answer did not come may be there, or not.
#[derive(Default)]
struct Known {
    /// Host to label.
    servers: BTreeMap<String, Entry>,
    /// Secret to whether it opens a session.
    tokens: BTreeMap<String, Option<bool>>,
}

/// The states that a server may be in; `None`: it is not there.
#[derive(Clone, Debug, Default)]
struct Entry {
    id: Option<String>,
    possible: Vec<Option<String>>,
}

struct Writer {
    number: usize,
    made: usize,
    known: Known,
    random: StdRng,
}

impl Writer {
    /// Makes changes until the server is gone.
    async fn write(&mut self, address: SocketAddr, acknowledged: Arc<AtomicUsize>) {
        let Ok(mut client) = Client::connect(address, &[]).await else {
            return;
        };
        let credentials = json!({ "email": EMAIL, "password": PASSWORD });
        if client
            .call_if_there("session.signIn", credentials)
            .await
            .is_none()
        {
            return;
        }
        while self.change(&mut client).await.is_some() {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn change(&mut self, client: &mut Client) -> Option<()> {
        let choice = self.random.random_range(0..10);
        let existing: Vec<String> = self
            .known
            .servers
            .iter()
            .filter(|(_, entry)| entry.id.is_some() && entry.possible.iter().all(Option::is_some))
            .map(|(host, _)| host.clone())
            .collect();
        let some =
            (!existing.is_empty()).then(|| existing[self.random.random_range(0..existing.len())].clone());
        match (choice, some) {
            (0..4, Some(host)) => {
                self.made += 1;
                // Long ones make the pages of the store split.
                let length = if self.random.random_range(0..4) == 0 {
                    900
                } else {
                    10
                };
                let label = format!("{}-{}", self.made, "x".repeat(length));
                let entry = self.known.servers.get_mut(&host).expect("known");
                entry.possible.push(Some(label.clone()));
                let params = json!({ "id": entry.id, "label": label });
                accepted(&client.call_if_there("server.set", params).await?);
                entry.possible = vec![Some(label)];
            }
            (4..6, Some(host)) if existing.len() > 3 => {
                let entry = self.known.servers.get_mut(&host).expect("known");
                entry.possible.push(None);
                let params = json!({ "id": entry.id });
                accepted(&client.call_if_there("server.remove", params).await?);
                entry.possible = vec![None];
            }
            (6..8, _) => {
                let answer = client.call_if_there("token.create", json!({})).await?;
                let secret = accepted(&answer).as_str().expect("a secret").to_owned();
                self.known.tokens.insert(secret, Some(true));
            }
            (8..10, _) if self.known.tokens.values().any(|valid| *valid == Some(true)) => {
                let valid = self
                    .known
                    .tokens
                    .iter_mut()
                    .find(|(_, valid)| **valid == Some(true));
                let (secret, valid) = valid.expect("one");
                *valid = None;
                let params = json!({ "tokens": [secret] });
                accepted(&client.call_if_there("token.deleteOwn", params).await?);
                *valid = Some(false);
            }
            _ if existing.len() < 10 => {
                self.made += 1;
                let host = format!("host-{}-{}.example", self.number, self.made);
                let label = format!("label of {host}");
                let entry = self.known.servers.entry(host.clone()).or_default();
                entry.possible = vec![None, Some(label.clone())];
                let params = json!({
                    "host": host, "label": label, "username": "root", "password": "p", "autoConnect": false,
                });
                let answer = client.call_if_there("server.add", params).await?;
                entry.id = Some(accepted(&answer).as_str().expect("an id").to_owned());
                entry.possible = vec![Some(label)];
            }
            _ => {}
        }
        Some(())
    }
}

fn accepted(answer: &Value) -> &Value {
    answer.get("result").unwrap_or_else(|| panic!("{answer}"))
}

/// Everything that was acknowledged is there, and nothing that nobody asked for.
async fn compare(writers: &mut [Writer], address: SocketAddr) {
    let mut client = Client::connect(address, &[]).await.expect("connected");
    client
        .ok("session.signIn", json!({ "email": EMAIL, "password": PASSWORD }))
        .await;
    let servers = client.ok("server.getAll", json!({})).await;
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    for server in servers.as_array().expect("a list") {
        let text = |name: &str| server[name].as_str().expect("a text").to_owned();
        assert_eq!(
            (text("username").as_str(), &server["enabled"]),
            ("root", &json!(true))
        );
        let twice = found.insert(text("host"), (text("id"), text("label")));
        assert!(twice.is_none(), "{server}");
    }
    for writer in &mut *writers {
        for (host, entry) in &mut writer.known.servers {
            let kept = found.remove(host);
            let label = kept.as_ref().map(|(_, label)| label.clone());
            assert!(
                entry.possible.contains(&label),
                "{host}: {:?} is not one of {:?}",
                label.as_ref().map(|label| &label[..label.len().min(40)]),
                entry.possible.len(),
            );
            if let (Some(id), Some((kept, _))) = (&entry.id, &kept) {
                assert_eq!(id, kept);
            }
            // Now it is known.
            *entry = Entry {
                id: kept.map(|(id, _)| id),
                possible: vec![label],
            };
        }
        let mut probe = Client::connect(address, &[]).await.expect("connected");
        for (secret, valid) in &mut writer.known.tokens {
            let opens = probe
                .call("session.signIn", json!({ "token": secret }))
                .await
                .is_ok();
            assert!(
                valid.is_none_or(|valid| valid == opens),
                "a token: {valid:?}, {opens}"
            );
            *valid = Some(opens);
        }
        writer.known.tokens.retain(|_, valid| *valid == Some(true));
    }
    assert!(found.is_empty(), "nobody asked for {found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9() {
    const ROUNDS: usize = 15;
    let seed = std::env::var("XO_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    eprintln!("XO_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = Folder::new();
    let start = || {
        let mut command = command(&folder.0, "127.0.0.1:0");
        command.env("XO_ADMIN_PASSWORD", PASSWORD);
        command
    };
    let mut writers: Vec<Writer> = (0..4)
        .map(|number| Writer {
            number,
            made: 0,
            known: Known::default(),
            random: StdRng::seed_from_u64(random.next_u64()),
        })
        .collect();
    let mut total = 0;
    for round in 0..ROUNDS {
        if round % 5 == 0 {
            // Whatever it was doing.
            let mut child = start().spawn().expect("a process");
            let mut some = [0; 1];
            if round > 0 {
                let mut output = child.stdout.take().expect("its output");
                output.read_exact(&mut some).await.expect("it says something");
            }
            child.kill().await.expect("killed");
        }
        let program = Program::start(start()).await;
        let address = program.address;
        compare(&mut writers, address).await;
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let enough = random.random_range(1..60);
        let mut writing = tokio::task::JoinSet::new();
        for mut writer in writers.drain(..) {
            let acknowledged = acknowledged.clone();
            writing.spawn(async move {
                writer.write(address, acknowledged).await;
                writer
            });
        }
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while acknowledged.load(Ordering::Relaxed) < enough {
            assert!(
                tokio::time::Instant::now() < deadline,
                "round {round}: no change is acknowledged"
            );
            tokio::task::yield_now().await;
        }
        program.kill().await;
        writers = writing.join_all().await;
        total += acknowledged.load(Ordering::Relaxed);
    }
    let program = Program::start(start()).await;
    compare(&mut writers, program.address).await;
    program.kill().await;
    assert!(total >= ROUNDS);
}

#[tokio::test]
async fn others_cannot_read_the_store_and_folders_that_are_there_stay_as_they_are() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| {
        let metadata = std::fs::metadata(path).expect("there");
        metadata.permissions().mode() & 0o777
    };
    let folder = Folder::new();
    let (shared, made) = (folder.0.join("shared"), folder.0.join("deep/made"));
    std::fs::create_dir_all(&shared).expect("made");
    std::fs::set_permissions(&shared, PermissionsExt::from_mode(0o755)).expect("changed");
    for (data, expected) in [(&shared, 0o755), (&made, 0o700)] {
        let program = Program::start(command(data, "127.0.0.1:0")).await;
        assert_eq!(mode(data), expected, "{}", data.display());
        for file in ["xo.redb", "key"] {
            assert_eq!(mode(&data.join(file)), 0o600, "{file}");
        }
        program.kill().await;
    }
}
