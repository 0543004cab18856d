//! Rights change while people look: what they are told is what they might see at some moment between question and answer.

use crate::{
    rights::{LISTED, Oracle, read_rows},
    support::*,
};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

const CHANGES: usize = 300;

type Ids = Arc<HashSet<String>>;

/// What somebody may see, in the course of time.
#[derive(Default)]
struct Course(Mutex<Vec<State>>);

struct State {
    visible: Ids,
    /// The change that leads away from here was answered.
    ends: Option<Instant>,
}

impl Course {
    fn states(&self) -> MutexGuard<'_, Vec<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, visible: HashSet<String>) {
        self.states().push(State {
            visible: Arc::new(visible),
            ends: None,
        });
    }

    /// The last change was answered: what was before it is over.
    fn settle(&self) {
        let mut states = self.states();
        let before = states.len() - 2;
        states[before].ends = Some(Instant::now());
    }

    /// What was visible at any time from then to now, and what was all the time.
    fn since(&self, from: Instant) -> (HashSet<String>, HashSet<String>) {
        let states = self.states();
        let of_then = states
            .iter()
            .filter(|state| state.ends.is_none_or(|ends| ends >= from));
        let sets: Vec<&Ids> = of_then.map(|state| &state.visible).collect();
        let any = sets.iter().flat_map(|set| set.iter().cloned()).collect();
        let all = sets[0]
            .iter()
            .filter(|id| sets.iter().all(|set| set.contains(*id)));
        (any, all.cloned().collect())
    }
}

/// Looks as long as the world changes; returns how often.
async fn look(
    mut client: Client,
    course: &Course,
    over: &CancellationToken,
    files: Option<&TestServer>,
) -> usize {
    let (mut looked, mut rows) = (0, BTreeSet::new());
    // What is told beside answers was written after the answer before.
    let mut before = Instant::now();
    while !over.is_cancelled() {
        let asked = Instant::now();
        let seen: BTreeSet<String> = match files {
            None => client.all_objects().await.into_keys().collect(),
            Some(server) => read_file(&mut client, server).await,
        };
        let (any, all) = course.since(asked);
        for id in &seen {
            assert!(
                any.contains(id),
                "{id} was listed for somebody who could not see it"
            );
        }
        for id in &all {
            assert!(
                seen.contains(id),
                "{id} was not listed for somebody who could see it"
            );
        }
        let (any, _) = course.since(before);
        for notification in std::mem::take(&mut client.notifications) {
            let params = &notification["params"];
            let told: Vec<String> = match notification["method"].as_str() {
                Some("all") if params["type"] == "enter" => params["items"]
                    .as_object()
                    .expect("items")
                    .keys()
                    .cloned()
                    .collect(),
                Some("view") => {
                    read_rows(&mut rows, params);
                    let rows = LISTED.iter().filter_map(|kind| params[*kind].as_array());
                    rows.flatten()
                        .map(|row| row[0].as_str().expect("an id").to_owned())
                        .collect()
                }
                _ => Vec::new(),
            };
            for id in told {
                assert!(
                    any.contains(&id),
                    "{id} was told to somebody who could not see it"
                );
            }
        }
        before = asked;
        looked += 1;
    }
    looked
}

async fn read_file(client: &mut Client, server: &TestServer) -> BTreeSet<String> {
    let offer = client.ok("xo.getAllObjects", json!({ "ndjson": true })).await;
    let path = offer["$getFrom"].as_str().expect("a path");
    let (status, _, text) = server.get(path, "").await;
    assert_eq!(status, 200);
    // What is in between tells the lengths of chunks.
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let ids = lines.map(|line| {
        let object: Value = serde_json::from_str(line).expect("JSON");
        object["id"].as_str().expect("an id").to_owned()
    });
    ids.collect()
}

#[allow(clippy::print_stderr, reason = "the seed, for people")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_while_rights_change_sees_what_it_may() {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(rand::random);
    eprintln!("SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let objects = admin.all_objects().await;
    let user = json!({ "email": "ann", "password": PASSWORD });
    let ann = admin.ok("user.create", user.clone()).await;
    let ann = ann.as_str().expect("an id").to_owned();
    let group = admin.ok("group.create", json!({ "name": "team" })).await;
    let group = group.as_str().expect("an id").to_owned();

    let (course, over) = (Course::default(), CancellationToken::new());
    course.begin(HashSet::new());
    let mut looking = Vec::new();
    for kind in 0..4 {
        let mut client = match kind {
            0 => Client::connect_lines(server.lines).await,
            _ => server.connect().await,
        };
        client.ok("session.signIn", user.clone()).await;
        let files = (kind == 3).then_some(&server);
        if kind == 2 {
            let view = json!({ "view": { "scope": "lists" } });
            client.ok("view.subscribe", view).await;
        }
        looking.push(look(client, &course, &over, files));
    }

    let containers: Vec<&String> = objects
        .iter()
        .filter(|(_, object)| {
            ["pool", "host", "SR", "VM", "network"].contains(&object["type"].as_str().expect("a type"))
        })
        .map(|(id, _)| id)
        .collect();
    let changing = async {
        let (mut entries, mut is_member): (BTreeSet<(bool, String)>, bool) = (BTreeSet::new(), false);
        for _ in 0..CHANGES {
            let (method, params) = match dice.random_range(0..4) {
                0 => {
                    is_member = !is_member;
                    let method = if is_member {
                        "group.addUser"
                    } else {
                        "group.removeUser"
                    };
                    (method, json!({ "id": group, "userId": ann }))
                }
                1 if !entries.is_empty() => {
                    let known: Vec<(bool, String)> = entries.iter().cloned().collect();
                    let entry = known.choose(&mut dice).expect("an entry").clone();
                    entries.remove(&entry);
                    let subject = if entry.0 { &group } else { &ann };
                    (
                        "acl.remove",
                        json!({ "subject": subject, "object": entry.1, "action": "viewer" }),
                    )
                }
                _ => {
                    let object = (*containers.choose(&mut dice).expect("objects")).clone();
                    let of_group = dice.random_bool(0.5);
                    let subject = if of_group { &group } else { &ann };
                    let params = json!({ "subject": subject, "object": object, "action": "viewer" });
                    entries.insert((of_group, object));
                    ("acl.add", params)
                }
            };
            let own = entries.iter().filter(|(of_group, _)| is_member || !of_group);
            let own: Vec<(String, String)> = own
                .map(|(_, object)| (object.clone(), "viewer".to_owned()))
                .collect();
            let oracle = Oracle {
                objects: &objects,
                entries: &own,
            };
            course.begin(oracle.visible().into_keys().collect());
            admin.ok(method, params).await;
            course.settle();
        }
        over.cancel();
    };
    let ((), looked) = tokio::join!(changing, join_all(looking));
    assert!(looked.iter().all(|times| *times > 10), "looked {looked:?} times");
    server.stop().await;
    pool.stop().await;
}
