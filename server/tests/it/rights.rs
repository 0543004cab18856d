//! Who is no administrator meets only what entries give: in listings, in notifications, in views, at once.

use crate::support::*;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use xapi_sim::SimPool;

type Objects = BTreeMap<String, Value>;

/// Contract/acl.md section 1, written down once more, the plain way.
pub struct Oracle<'a> {
    pub objects: &'a Objects,
    /// Of the user and of its groups.
    pub entries: &'a [(String, String)],
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

    pub fn visible(&self) -> Objects {
        let visible = self.objects.iter().filter(|(id, _)| self.has(id, "view"));
        visible.map(|(id, object)| (id.clone(), object.clone())).collect()
    }
}

/// Somebody with a few rights.
struct Person {
    id: String,
    /// By the notifications: over WebSocket and over TCP.
    followers: [Client; 2],
    /// By the view of its lists.
    watcher: Client,
    rows: BTreeSet<String>,
    /// By views of single objects, whether or not they may be seen, one after the other.
    looker: Client,
    looked_at: Option<Value>,
    /// By pages and downloads.
    cookie: String,
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

pub const LISTED: &[&str] = &[
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
            let mut followers = [server.connect().await, Client::connect_lines(server.lines).await];
            for follower in &mut followers {
                follower.ok("session.signIn", credentials.clone()).await;
                follower.follow().await;
                assert!(follower.objects.is_empty(), "nobody gave any rights yet");
            }
            let (mut watcher, mut looker) = (server.connect().await, server.connect().await);
            watcher.ok("session.signIn", credentials.clone()).await;
            watcher
                .ok("view.subscribe", json!({ "view": { "scope": "lists" } }))
                .await;
            looker.ok("session.signIn", credentials).await;
            let token = looker.ok("token.create", json!({})).await;
            people.push(Person {
                id: id.as_str().expect("an id").to_owned(),
                followers,
                watcher,
                rows: BTreeSet::new(),
                looker,
                looked_at: None,
                cookie: format!("Cookie: token={}\r\n", token.as_str().expect("a token")),
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
            let (admin, server) = (&mut self.admin, &self.server);
            let person = &mut self.people[at];
            let before = person.visible.clone();
            let mut met: BTreeSet<String> = BTreeSet::new();
            let what = format!("seed {seed}: {step}");
            let deadline = std::time::Instant::now() + DEADLINE;
            let everything = loop {
                let objects = admin.all_objects().await;
                let expected = Oracle {
                    objects: &objects,
                    entries: &entries,
                }
                .visible();
                let mut same = true;
                for follower in &mut person.followers {
                    same &= follower.all_objects().await == expected;
                    for notification in std::mem::take(&mut follower.notifications) {
                        // What enters, and what is said to be gone.
                        let items = notification["params"]["items"].as_object().expect("items");
                        met.extend(items.keys().cloned());
                        follower.apply(&notification);
                    }
                    same &= follower.objects == expected;
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
                if same && person.rows == rows {
                    person.visible = expected;
                    break objects;
                }
                assert!(
                    std::time::Instant::now() < deadline,
                    "{what}: {:?} are seen, {:?} may be",
                    (
                        person.followers.each_ref().map(|follower| follower.objects.len()),
                        person.rows.len()
                    ),
                    (expected.len(), rows.len())
                );
            };
            let ids: Vec<&String> = everything.keys().collect();
            let id = (*ids.choose(&mut self.dice).expect("objects")).clone();
            met.extend(person.look_at(&id).await);
            met.extend(person.read_pages(server, &id, &everything).await);
            for id in &met {
                assert!(
                    before.contains_key(id) || person.visible.contains_key(id),
                    "{what}: {id} was told to somebody who may not see it"
                );
            }
        }
    }
}

impl Person {
    /// Opens the view of an object, and returns the ids of what was told in such views.
    async fn look_at(&mut self, id: &str) -> Vec<String> {
        if let Some(view) = self.looked_at.take() {
            self.looker.ok("view.unsubscribe", json!({ "view": view })).await;
        }
        let view = json!({ "view": { "scope": "object", "id": id } });
        // Refused, or empty: both tell nothing.
        if let Ok(opened) = self.looker.call("view.subscribe", view).await {
            self.looked_at = Some(opened["view"].clone());
        }
        // What was opened has been told by the time that something is answered that was asked after it.
        self.looker.ok("session.getUser", json!({})).await;
        let told = std::mem::take(&mut self.looker.notifications);
        let told = told.iter().flat_map(|notification| {
            let full = notification["params"]["full"].as_array().into_iter().flatten();
            let gone = notification["params"]["gone"].as_array().into_iter().flatten();
            full.map(|object| &object["id"]).chain(gone)
        });
        told.map(|id| id.as_str().expect("an id").to_owned()).collect()
    }

    /// The ids of objects that stand in pages and downloads. One was asked for.
    async fn read_pages(&mut self, server: &TestServer, id: &str, everything: &Objects) -> Vec<String> {
        let mut text = String::new();
        for path in [
            "/account".to_owned(),
            "/admin".to_owned(),
            format!("/admin/rights?object={id}"),
            format!("/vms/{id}"),
        ] {
            text += &server.get(&path, &self.cookie).await.2;
        }
        let follower = &mut self.followers[0];
        let offer = follower.ok("xo.getAllObjects", json!({ "ndjson": true })).await;
        let path = offer["$getFrom"].as_str().expect("a path").to_owned();
        let (status, _, lines) = server.get(&path, "").await;
        assert_eq!(status, 200);
        let lines = lines.lines().filter(|line| line.starts_with('{'));
        let mut told: Vec<String> = lines
            .map(|line| {
                let object: Value = serde_json::from_str(line).expect("JSON");
                object["id"].as_str().expect("an id").to_owned()
            })
            .collect();
        assert_eq!(told.len(), self.visible.len());
        // The address that was asked for may be said again.
        let text = text.replace(id, "");
        told.extend(everything.keys().filter(|id| text.contains(*id)).cloned());
        told
    }
}

/// Applies a frame of the `lists` view; returns the ids that it told.
pub fn read_rows(rows: &mut BTreeSet<String>, params: &Value) -> Vec<String> {
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
        let id = id.as_str().expect("an id");
        rows.remove(id);
        told.push(id.to_owned());
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
