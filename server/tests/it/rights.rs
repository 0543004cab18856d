//! Who is no administrator meets only what entries give: in listings, in notifications, in views, at once.

use crate::support::*;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use xapi_sim::SimPool;

type Objects = BTreeMap<String, Value>;

/// Contract/acl.md section 1, written down once more, the plain way.
struct Oracle<'a> {
    objects: &'a Objects,
    /// Of the user and of its groups.
    entries: &'a [(String, String)],
}

impl Oracle<'_> {
    fn has(&self, id: &str, permission: &str) -> bool {
        let Some(object) = self.objects.get(id) else {
            return false;
        };
        let own = || {
            self.entries.iter().any(|(object, action)| {
                let gives: &[&str] = match action.as_str() {
                    "viewer" => &["view"],
                    "operator" => &["view", "operate"],
                    "admin" => &["view", "operate", "administrate"],
                    _ => &[action],
                };
                object == id && gives.contains(&permission)
            })
        };
        let of = |member: &str| {
            let other = object[member].as_str();
            other.is_some_and(|other| other != id && self.has(other, permission))
        };
        let list = |member: &str| object[member].as_array().cloned().unwrap_or_default();
        match object["type"].as_str().expect("a type") {
            "host" | "network" | "VM-template" => own() || of("$pool"),
            "SR" | "VM" => own() || of("$container"),
            "VM-controller" => of("$container"),
            "VM-snapshot" => own() || of("$snapshot_of"),
            "VDI" => {
                let vms = list("$VBDs").into_iter().filter_map(|vbd| {
                    let vbd = self.objects.get(vbd.as_str()?)?;
                    Some(vbd["VM"].as_str()?.to_owned())
                });
                of("$SR") || vms.into_iter().any(|vm| self.has(&vm, permission))
            }
            "VDI-snapshot" => of("$snapshot_of"),
            // A drive without a disc: see docs/compatibility.md.
            "VBD" if object["VDI"].as_str().is_none() => of("VM"),
            "VBD" => of("VDI"),
            "VIF" => of("$network") || of("$VM"),
            "PIF" | "PCI" | "task" => of("$host"),
            "PBD" => of("host") || of("SR"),
            "PUSB" => of("host"),
            "VUSB" => of("vm"),
            "USB_group" => {
                let all = list("PUSBs");
                let has = |pusb: &Value| self.has(pusb.as_str().expect("an id"), permission);
                !all.is_empty() && all.iter().all(has)
            }
            "message" => of("$object"),
            _ => own(),
        }
    }

    fn visible(&self) -> Objects {
        let visible = self.objects.iter().filter(|(id, _)| self.has(id, "view"));
        visible.map(|(id, object)| (id.clone(), object.clone())).collect()
    }
}

/// Somebody with a few rights.
struct Person {
    id: String,
    client: Client,
    /// By the view of its lists.
    watcher: Client,
    rows: BTreeSet<String>,
    visible: Objects,
}

struct World {
    server: TestServer,
    pool: SimPool,
    admin: Client,
    group: String,
    members: BTreeSet<String>,
    people: Vec<Person>,
    /// Subject, object, action.
    entries: Vec<(String, String, String)>,
    dice: StdRng,
}

const LISTED: &[&str] = &[
    "pool",
    "host",
    "SR",
    "network",
    "VM",
    "VM-controller",
    "VM-template",
    "VM-snapshot",
    "task",
];

impl World {
    async fn new(seed: u64) -> Self {
        let (server, pool) = (TestServer::start().await, pool().await);
        let mut admin = server.admin().await;
        admin.add_pool(&pool).await;
        let group = admin.ok("group.create", json!({ "name": "team" })).await;
        let mut people = Vec::new();
        for name in ["ann", "bob"] {
            let user = json!({ "email": name, "password": PASSWORD });
            let id = admin.ok("user.create", user).await;
            let credentials = json!({ "email": name, "password": PASSWORD });
            let mut client = server.connect().await;
            client.ok("session.signIn", credentials.clone()).await;
            client.follow().await;
            assert!(client.objects.is_empty(), "nobody gave any rights yet");
            let mut watcher = server.connect().await;
            watcher.ok("session.signIn", credentials).await;
            watcher
                .ok("view.subscribe", json!({ "view": { "scope": "lists" } }))
                .await;
            people.push(Person {
                id: id.as_str().expect("an id").to_owned(),
                client,
                watcher,
                rows: BTreeSet::new(),
                visible: Objects::new(),
            });
        }
        Self {
            server,
            pool,
            admin,
            group: group.as_str().expect("an id").to_owned(),
            members: BTreeSet::new(),
            people,
            entries: Vec::new(),
            dice: StdRng::seed_from_u64(seed),
        }
    }

    /// Somebody's rights, an object, or a group changes.
    async fn step(&mut self) -> String {
        let objects = self.admin.all_objects().await;
        let ids: Vec<&String> = objects.keys().collect();
        match self.dice.random_range(0..12) {
            0..4 => {
                let subjects = [&self.people[0].id, &self.people[1].id, &self.group];
                let subject = (*subjects.choose(&mut self.dice).expect("a subject")).clone();
                // What much hangs on is taken more often.
                let containers: Vec<&String> = ids
                    .iter()
                    .copied()
                    .filter(|id| {
                        ["pool", "host", "SR", "VM", "network"]
                            .iter()
                            .any(|kind| objects[*id]["type"] == *kind)
                    })
                    .collect();
                let from = if self.dice.random_bool(0.7) {
                    &containers
                } else {
                    &ids
                };
                let object = (*from.choose(&mut self.dice).expect("objects")).clone();
                let actions = ["viewer", "operator", "admin", "view", "operate", "administrate"];
                let action = (*actions.choose(&mut self.dice).expect("actions")).to_owned();
                let entry = json!({ "subject": subject, "object": object, "action": action });
                self.admin.ok("acl.add", entry.clone()).await;
                self.entries
                    .retain(|known| *known != (subject.clone(), object.clone(), action.clone()));
                self.entries.push((subject, object, action));
                format!("granted {entry}")
            }
            4..7 if !self.entries.is_empty() => {
                let at = self.dice.random_range(0..self.entries.len());
                let (subject, object, action) = self.entries.swap_remove(at);
                let entry = json!({ "subject": subject, "object": object, "action": action });
                self.admin.ok("acl.remove", entry.clone()).await;
                format!("withdrew {entry}")
            }
            7..9 => {
                let at = self.dice.random_range(0..self.people.len());
                let user = self.people[at].id.clone();
                let joins = !self.members.contains(&user);
                let (method, params) = (
                    if joins {
                        "group.addUser"
                    } else {
                        "group.removeUser"
                    },
                    json!({ "id": self.group, "userId": user }),
                );
                self.admin.ok(method, params).await;
                if joins {
                    self.members.insert(user);
                } else {
                    self.members.remove(&user);
                }
                method.to_owned()
            }
            9 => {
                // A disk moves to another VM.
                let moved = self.pool.write(|db| {
                    let drives = db.refs("VBD");
                    let with_disk = |vbd: &&xapi_sim::Ref| {
                        db.get("VBD", vbd, "type").str() == "Disk"
                            && db.exists("VDI", &db.text("VBD", vbd, "VDI"))
                    };
                    let disks: Vec<_> = drives.iter().filter(with_disk).cloned().collect();
                    let pick = |dice: &mut StdRng| disks.choose(dice).expect("disks").clone();
                    let (from, to) = (pick(&mut self.dice), pick(&mut self.dice));
                    let vdi = db.text("VBD", &from, "VDI");
                    db.set("VBD", &to, "VDI", vdi);
                    db.text("VBD", &to, "uuid")
                });
                format!("another disk in {moved}")
            }
            10 => {
                let renamed = self.pool.write(|db| {
                    let vm = db.refs("VM").choose(&mut self.dice).expect("VMs").clone();
                    let name = format!("renamed {}", self.dice.random_range(0..1000));
                    db.set("VM", &vm, "name_label", name);
                    db.text("VM", &vm, "uuid")
                });
                format!("renamed {renamed}")
            }
            _ => {
                let running = guests(&self.pool, "Running");
                let (_, id) = running.choose(&mut self.dice).expect("a guest").clone();
                self.admin
                    .ok("vm.snapshot", json!({ "id": id, "name": "step" }))
                    .await;
                format!("snapshot of {id}")
            }
        }
    }

    /// Everybody has what they may have, and met nothing else on the way there.
    async fn check(&mut self, seed: u64, step: &str) {
        for at in 0..self.people.len() {
            let person = &self.people[at];
            let mut subjects = vec![person.id.clone()];
            subjects.extend(self.members.contains(&person.id).then(|| self.group.clone()));
            let own = self
                .entries
                .iter()
                .filter(|(subject, ..)| subjects.contains(subject));
            let entries: Vec<(String, String)> = own
                .map(|(_, object, action)| (object.clone(), action.clone()))
                .collect();
            let admin = &mut self.admin;
            let person = &mut self.people[at];
            let before = person.visible.clone();
            let mut met: BTreeSet<String> = BTreeSet::new();
            let what = format!("seed {seed}: {step}");
            let deadline = std::time::Instant::now() + DEADLINE;
            loop {
                let objects = admin.all_objects().await;
                let expected = Oracle {
                    objects: &objects,
                    entries: &entries,
                }
                .visible();
                let listed = person.client.all_objects().await;
                for notification in std::mem::take(&mut person.client.notifications) {
                    if notification["params"]["type"] == "enter" {
                        met.extend(
                            notification["params"]["items"]
                                .as_object()
                                .expect("items")
                                .keys()
                                .cloned(),
                        );
                    }
                    person.client.apply(&notification);
                }
                person.watcher.ok("session.getUser", json!({})).await;
                for notification in std::mem::take(&mut person.watcher.notifications) {
                    met.extend(read_rows(&mut person.rows, &notification["params"]));
                }
                let rows: BTreeSet<String> = expected
                    .iter()
                    .filter(|(_, object)| LISTED.iter().any(|kind| object["type"] == *kind))
                    .map(|(id, _)| id.clone())
                    .collect();
                if listed == expected && person.client.objects == expected && person.rows == rows {
                    for id in &met {
                        assert!(
                            before.contains_key(id) || expected.contains_key(id),
                            "{what}: {id} was told to somebody who may not see it"
                        );
                    }
                    person.visible = expected;
                    break;
                }
                let sizes = (listed.len(), person.client.objects.len(), person.rows.len());
                assert!(
                    std::time::Instant::now() < deadline,
                    "{what}: {sizes:?} are seen, {:?} may be",
                    (expected.len(), rows.len())
                );
            }
        }
    }
}

/// Applies a frame of the `lists` view; returns the ids that it told.
fn read_rows(rows: &mut BTreeSet<String>, params: &Value) -> Vec<String> {
    let mut told = Vec::new();
    if params["reset"] == true {
        rows.clear();
    }
    assert!(
        params.get("links").is_none(),
        "servers are the administrators' matter"
    );
    for kind in LISTED {
        for row in params[*kind].as_array().into_iter().flatten() {
            told.push(row[0].as_str().expect("an id").to_owned());
        }
    }
    rows.extend(told.iter().cloned());
    for id in params["gone"].as_array().into_iter().flatten() {
        rows.remove(id.as_str().expect("an id"));
    }
    told
}

async fn run(seed: u64) {
    let mut world = World::new(seed).await;
    for _ in 0..40 {
        let step = world.step().await;
        world.check(seed, &step).await;
    }
    world.server.stop().await;
    world.pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_changes_people_meet_only_what_they_may_see() {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let first = given.unwrap_or_else(rand::random::<u64>);
    for seed in first..first.saturating_add(if given.is_some() { 1 } else { 3 }) {
        run(seed).await;
    }
}
