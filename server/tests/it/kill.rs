//! The program, killed in the middle of writes, again and again: what it acknowledged must be there, and
//! nothing that nobody asked for. On Redis, it is sometimes Redis that is killed, and sometimes both.

use crate::{redis_server::RedisServer, support::*};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::io::AsyncReadExt;

/// What one writer knows to be kept. A change whose answer did not come may be there, or not.
#[derive(Default)]
struct Known {
    /// Host to label.
    servers: BTreeMap<String, Entry>,
    /// Secret to whether it opens a session.
    tokens: BTreeMap<String, Option<bool>>,
    team: Team,
}

/// A group and who may be in it: changes of several records at once.
#[derive(Default)]
struct Team {
    group: Option<String>,
    users: Vec<String>,
    /// The members that the group may have.
    possible: Vec<BTreeSet<String>>,
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
    async fn write(&mut self, address: SocketAddr, token: Value, acknowledged: Arc<AtomicUsize>) {
        let Ok(mut client) = Client::connect(address, &[]).await else {
            return;
        };
        loop {
            // Redis may be away already, for the sake of a writer who was quicker.
            let params = json!({ "token": token });
            match client.call_if_there("session.signIn", params).await {
                None => return,
                Some(answer) => match outcome(&answer) {
                    Answer::Made(_) => break,
                    Answer::NotMade | Answer::Unknown => tokio::time::sleep(Duration::from_millis(2)).await,
                },
            }
        }
        while let Some(done) = self.change(&mut client).await {
            if done {
                acknowledged.fetch_add(1, Ordering::Relaxed);
            } else {
                // Redis is away: it is not asked without end.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// `false`: the store was away. `None`: the server is gone.
    async fn change(&mut self, client: &mut Client) -> Option<bool> {
        if self.random.random_range(0..4) == 0 {
            return self.change_people(client).await;
        }
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
                let before = entry.possible.clone();
                entry.possible.push(Some(label.clone()));
                let params = json!({ "id": entry.id, "label": label });
                match outcome(&client.call_if_there("server.set", params).await?) {
                    Answer::Made(_) => entry.possible = vec![Some(label)],
                    Answer::NotMade => {
                        entry.possible = before;
                        return Some(false);
                    }
                    Answer::Unknown => return Some(false),
                }
            }
            (4..6, Some(host)) if existing.len() > 3 => {
                let entry = self.known.servers.get_mut(&host).expect("known");
                let before = entry.possible.clone();
                entry.possible.push(None);
                let params = json!({ "id": entry.id });
                match outcome(&client.call_if_there("server.remove", params).await?) {
                    Answer::Made(_) => entry.possible = vec![None],
                    Answer::NotMade => {
                        entry.possible = before;
                        return Some(false);
                    }
                    Answer::Unknown => return Some(false),
                }
            }
            (6..8, _) if self.known.tokens.len() < 10 => {
                match outcome(&client.call_if_there("token.create", json!({})).await?) {
                    Answer::Made(secret) => {
                        let secret = secret.as_str().expect("a secret").to_owned();
                        self.known.tokens.insert(secret, Some(true));
                    }
                    Answer::NotMade | Answer::Unknown => return Some(false),
                }
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
                match outcome(&client.call_if_there("token.deleteOwn", params).await?) {
                    Answer::Made(_) => *valid = Some(false),
                    Answer::NotMade => {
                        *valid = Some(true);
                        return Some(false);
                    }
                    Answer::Unknown => return Some(false),
                }
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
                match outcome(&client.call_if_there("server.add", params).await?) {
                    Answer::Made(id) => {
                        entry.id = Some(id.as_str().expect("an id").to_owned());
                        entry.possible = vec![Some(label)];
                    }
                    Answer::NotMade => {
                        entry.possible = vec![None];
                        return Some(false);
                    }
                    Answer::Unknown => return Some(false),
                }
            }
            _ => {}
        }
        Some(true)
    }
}

impl Writer {
    /// Changes that concern a group and its members, or a user with everything that hangs on it.
    async fn change_people(&mut self, client: &mut Client) -> Option<bool> {
        self.made += 1;
        let name = format!("{}-{}", self.number, self.made);
        let team = &mut self.known.team;
        let Some(group) = team.group.clone() else {
            let params = json!({ "name": format!("team {name}") });
            if let Answer::Made(id) = outcome(&client.call_if_there("group.create", params).await?) {
                team.group = Some(id.as_str().expect("an id").to_owned());
                team.possible = vec![BTreeSet::new()];
            }
            return Some(team.group.is_some());
        };
        let join = team.users.len() < 3;
        if !join && self.random.random_range(0..4) != 0 {
            let picked: BTreeSet<String> = team
                .users
                .iter()
                .filter(|_| self.random.random_bool(0.5))
                .cloned()
                .collect();
            let before = team.possible.clone();
            team.possible.push(picked.clone());
            let params = json!({ "id": group, "userIds": picked });
            return Some(
                match outcome(&client.call_if_there("group.setUsers", params).await?) {
                    Answer::Made(_) => {
                        team.possible = vec![picked];
                        true
                    }
                    Answer::NotMade => {
                        team.possible = before;
                        false
                    }
                    Answer::Unknown => false,
                },
            );
        }
        if join {
            // Who is somewhere, has a right on something.
            let params = json!({ "email": format!("user {name}"), "password": "p" });
            let Answer::Made(id) = outcome(&client.call_if_there("user.create", params).await?) else {
                return Some(false);
            };
            let id = id.as_str().expect("an id").to_owned();
            let right = json!({ "subject": id, "object": "an object", "action": "viewer" });
            let granted = outcome(&client.call_if_there("acl.add", right).await?);
            team.users.push(id);
            return Some(matches!(granted, Answer::Made(_)));
        }
        let leaver = team.users.remove(0);
        let without = team.possible.iter().map(|members| {
            let mut members = members.clone();
            members.remove(&leaver);
            members
        });
        let without: Vec<BTreeSet<String>> = without.collect();
        team.possible.extend(without.clone());
        let params = json!({ "id": leaver });
        let deleted = outcome(&client.call_if_there("user.delete", params).await?);
        if let Answer::Made(_) = deleted {
            team.possible = without;
        }
        Some(matches!(deleted, Answer::Made(_)))
    }
}

/// What an answer says of a change.
enum Answer {
    Made(Value),
    NotMade,
    Unknown,
}

fn outcome(answer: &Value) -> Answer {
    if let Some(result) = answer.get("result") {
        return Answer::Made(result.clone());
    }
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    if message.ends_with("nothing was changed") {
        Answer::NotMade
    } else if message.ends_with("is not known") {
        Answer::Unknown
    } else {
        panic!("{answer}")
    }
}

/// Everything that was acknowledged is there, and nothing that nobody asked for.
/// The administrator who looked is left.
async fn compare(writers: &mut [Writer], address: SocketAddr) -> Client {
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
    compare_people(writers, &mut client).await;
    client
}

/// What concerns several records was done to all of them, or to none.
async fn compare_people(writers: &mut [Writer], client: &mut Client) {
    let ids = |list: &Value| -> BTreeSet<String> {
        let ids = list.as_array().into_iter().flatten();
        ids.map(|id| id.as_str().expect("an id").to_owned()).collect()
    };
    let by_id = |list: Value, members: &str| -> BTreeMap<String, BTreeSet<String>> {
        let list = list.as_array().expect("a list").iter();
        list.map(|one| (one["id"].as_str().expect("an id").to_owned(), ids(&one[members])))
            .collect()
    };
    let users = by_id(client.ok("user.getAll", json!({})).await, "groups");
    let groups = by_id(client.ok("group.getAll", json!({})).await, "users");
    let rights = client.ok("acl.get", json!({})).await;
    for (group, members) in &groups {
        for (user, of) in &users {
            assert_eq!(members.contains(user), of.contains(group), "{user} in {group}");
        }
        assert!(members.iter().all(|member| users.contains_key(member)), "{group}");
    }
    for right in rights.as_array().expect("a list") {
        let subject = right["subject"].as_str().expect("an id");
        assert!(users.contains_key(subject), "{right}");
    }
    for writer in writers {
        let team = &mut writer.known.team;
        let Some(group) = &team.group else { continue };
        let members = groups.get(group).expect("an acknowledged group");
        assert!(
            team.possible.contains(members),
            "{members:?} of {:?}",
            team.possible
        );
        team.possible = vec![members.clone()];
        team.users.retain(|user| users.contains_key(user));
    }
}

/// Who is killed in a round.
#[derive(Clone, Copy, PartialEq)]
enum Victim {
    Server,
    /// It starts again, the server goes on; in the end the server is killed, too: it must tell from the store.
    Redis,
    Both,
}

/// Kills the server in the middle of writes, so many times. Printed seeds replay the choices.
pub async fn rounds(count: usize, mut redis: Option<RedisServer>) {
    let seed = std::env::var("XO_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    let kind = if redis.is_some() { "Redis" } else { "embedded" };
    eprintln!("{kind}: XO_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = Folder::new();
    let socket = redis.as_ref().map(RedisServer::socket);
    let start = || {
        let mut command = command(&folder.0, "127.0.0.1:0");
        // The pools are not there and Redis comes and goes: the log would say so many times.
        command.env("XO_ADMIN_PASSWORD", PASSWORD).env("XO_LOG", "off");
        if let Some(socket) = &socket {
            command.arg("--redis-socket").arg(socket);
        }
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
    for round in 0..count {
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
        let mut client = compare(&mut writers, address).await;
        if round % 40 == 39 {
            forget_tokens(&mut writers, &mut client).await;
        }
        // Quicker than a password.
        let token = client.ok("token.create", json!({})).await;
        let victim = match random.random_range(0..10) {
            0..3 if redis.is_some() => Victim::Redis,
            3..5 if redis.is_some() => Victim::Both,
            _ => Victim::Server,
        };
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let mut writing = tokio::task::JoinSet::new();
        for mut writer in writers.drain(..) {
            let (acknowledged, token) = (acknowledged.clone(), token.clone());
            writing.spawn(async move {
                writer.write(address, token, acknowledged).await;
                writer
            });
        }
        until(&acknowledged, random.random_range(1..60), round).await;
        if let Some(redis) = &mut redis
            && victim != Victim::Server
        {
            redis.kill().await;
            if victim == Victim::Redis {
                redis.run().await;
                let more = acknowledged.load(Ordering::Relaxed) + random.random_range(1..30);
                until(&acknowledged, more, round).await;
            }
        }
        program.kill().await;
        writers = writing.join_all().await;
        if let (Some(redis), Victim::Both) = (&mut redis, victim) {
            redis.run().await;
        }
        total += acknowledged.load(Ordering::Relaxed);
        if round % 100 == 99 {
            eprintln!("{kind}: {} rounds, {total} changes acknowledged", round + 1);
        }
    }
    let program = Program::start(start()).await;
    compare(&mut writers, program.address).await;
    program.kill().await;
    assert!(total >= count);
}

async fn until(acknowledged: &AtomicUsize, enough: usize, round: usize) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while acknowledged.load(Ordering::Relaxed) < enough {
        assert!(
            tokio::time::Instant::now() < deadline,
            "round {round}: no change is acknowledged"
        );
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// Those whose secret was never told, too: a user may have only so many.
async fn forget_tokens(writers: &mut [Writer], client: &mut Client) {
    client.ok("token.deleteOwn", json!({ "pattern": {} })).await;
    for writer in writers {
        writer.known.tokens.clear();
    }
}
