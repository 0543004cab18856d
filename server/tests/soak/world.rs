//! The program, five pools, people who look and change all the time, and what is compared.

use crate::{
    callers::Callers,
    faults::{End, FAULTS, Fault},
    mirror::{Known, Mirror, rows},
    pool::Pool,
    support::*,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};
use xapi::{
    OpaqueRef, Record,
    records::Class,
    watch::{Event, Operation},
};
use xapi_sim::{ChurnKind, Member, PoolConfig, SimPool};

const POOLS: usize = 5;
const CHANGES_PER_SECOND: f64 = 1_000.0;
/// After the last fault.
const RECOVERY: Duration = Duration::from_secs(10);
/// What is remembered of what was done.
const HISTORY: usize = 60;
/// After the last change that people made: it is on its way to us then.
const NEWS: Duration = Duration::from_secs(4);

type Objects = BTreeMap<String, Value>;

/// A pool, and how it fares.
struct Site {
    pool: SimPool,
    server: String,
    /// Hosts that are off.
    dead: Vec<usize>,
    active: Vec<&'static Fault>,
}

pub struct World {
    program: Program,
    _folder: Folder,
    admin: Client,
    mirror: Mirror,
    callers: Callers,
    sites: Vec<Site>,
    dice: StdRng,
    healed: Instant,
    /// Since when the world changes, and what it was then.
    going: Option<(Instant, u64)>,
    /// What was done to which pool of late, for people who look for a mistake.
    history: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
pub struct Resources {
    tasks: u64,
    sockets: usize,
    /// Bytes that the program holds.
    pub used: u64,
    /// With what its allocator keeps, and its text; for people.
    #[allow(dead_code, reason = "it is shown")]
    resident: u64,
}

impl World {
    /// `arguments` are more of the program's.
    pub async fn start(arguments: &[&str]) -> Self {
        let seed = std::env::var("SOAK_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(rand::random);
        say(&format!("SOAK_SEED={seed}"));
        let folder = Folder::new();
        let mut command = command(&folder.0, "127.0.0.1:0");
        command
            .env("XO_ADMIN_PASSWORD", PASSWORD)
            .env("XO_LOG", std::env::var("SOAK_LOG").unwrap_or("error".to_owned()))
            .args(arguments);
        let program = Program::start(command).await;
        let mut admin = signed_in(&program).await;
        let mut sites = Vec::new();
        for index in 0..POOLS {
            // The last one is an old one, without TLS and without JSON.
            let secure = index + 1 < POOLS;
            let pool = SimPool::start(PoolConfig {
                name: format!("Pool {index}"),
                hosts: 3,
                vms: 60,
                seed: seed.wrapping_add(index as u64),
                churn_kind: ChurnKind::Life,
                time_scale: 0.02,
                tls: secure,
                own_certificates: secure,
                json_rpc: secure,
                ..PoolConfig::default()
            })
            .await
            .expect("a pool");
            let mut registration = registration(&pool);
            if secure {
                registration["fingerprint"] = json!("first-use");
            }
            let server = admin.ok("server.add", registration).await;
            sites.push(Site {
                pool,
                server: server.as_str().expect("an id").to_owned(),
                dead: Vec::new(),
                active: Vec::new(),
            });
        }
        let mut everything = signed_in(&program).await;
        everything.follow().await;
        let mut lists = signed_in(&program).await;
        let view = json!({ "view": { "scope": "lists" } });
        lists.ok("view.subscribe", view).await;
        let mut callers = Vec::new();
        for site in &sites {
            admin.connected(&site.server).await;
            let vms = guests(&site.pool, "Running").into_iter().take(10);
            callers.push((signed_in(&program).await, vms.map(|(_, id)| id).collect()));
        }
        Self {
            program,
            _folder: folder,
            admin,
            mirror: Mirror::of(everything, lists),
            callers: Callers::start(callers),
            sites,
            dice: StdRng::seed_from_u64(seed),
            healed: Instant::now(),
            going: None,
            history: VecDeque::new(),
        }
    }

    fn note(&mut self, what: String) {
        if self.history.len() >= HISTORY {
            self.history.pop_front();
        }
        self.history.push_back((Instant::now(), what));
    }

    /// What is worth knowing when something is not right.
    async fn circumstances(&mut self) -> String {
        let ago = |at: &Instant| at.elapsed().as_secs_f64();
        let done: Vec<String> = self
            .history
            .iter()
            .map(|(at, what)| format!("{:.1} s ago: {what}", ago(at)))
            .collect();
        let servers = self.admin.ok("server.getAll", json!({})).await;
        format!("\n{}\nservers: {servers:#}", done.join("\n"))
    }

    pub fn pools(&self) -> usize {
        self.sites.len()
    }

    /// Lets the pools change by themselves, and people change them.
    pub fn go_on(&mut self) {
        self.set_churn(CHANGES_PER_SECOND / POOLS as f64);
        self.callers.go_on();
        self.going = Some((Instant::now(), self.generations()));
    }

    /// Lets the world come to rest. It has been as lively as it should be.
    fn rest(&mut self) {
        self.set_churn(0.0);
        self.callers.hush();
        if let Some((since, before)) = self.going.take() {
            let rate = (self.generations() - before) as f64 / since.elapsed().as_secs_f64();
            say(&format!("{rate:.0} changes/s"));
            assert!(rate > CHANGES_PER_SECOND, "the test proves nothing");
        }
    }

    fn set_churn(&self, rate: f64) {
        for site in &self.sites {
            site.pool.set_churn(rate);
        }
    }

    /// Grows by one with each change of a record.
    fn generations(&self) -> u64 {
        let generations = self.sites.iter().map(|site| site.pool.read(|db| db.generation()));
        generations.sum()
    }

    /// A while of changes without faults: the world grows to its size.
    pub async fn churn(&mut self) {
        self.go_on();
        self.wait(Duration::from_secs(8)).await;
        self.healed = Instant::now();
    }

    /// Messages of what happened pile up for ever, as in real pools; somebody reads and deletes them all. So do tags.
    fn tidy(&mut self) {
        for site in &self.sites {
            site.pool.write(|db| {
                for message in db.refs("message") {
                    db.destroy("message", &message);
                }
                for vm in db.refs("VM") {
                    let (tags, before) = (db.members("VM", &vm, "tags"), db.members("VM", &vm, "tags").len());
                    let kept: Vec<String> =
                        tags.into_iter().filter(|tag| !tag.starts_with("soak-")).collect();
                    if kept.len() < before {
                        db.set("VM", &vm, "tags", xapi_sim::Value::set_of(kept));
                    }
                }
            });
        }
        self.healed = Instant::now();
    }

    /// Lets the world run, and notices when the clients that are always connected lose their connection.
    pub async fn wait(&mut self, time: Duration) {
        // It takes all the time, or panics.
        drop(tokio::time::timeout(time, self.mirror.lost()).await);
    }

    /// False if it does not go together with what is there.
    pub async fn begin(&mut self, at: usize, fault: &'static Fault) -> bool {
        let site = &mut self.sites[at];
        let (name, argument) = fault.begin;
        let acts_on_hosts = |fault: &Fault| {
            fault.end == End::Return || fault.end == End::Acceptance || fault.begin.0 == "change-master"
        };
        let occupied = acts_on_hosts(fault) && site.active.iter().any(|active| acts_on_hosts(active));
        if occupied || (fault.end == End::Acceptance && !site.pool.config().tls) {
            return false;
        }
        match name {
            "kill-master" => site.dead.push(site.pool.kill_master().await.expect("a master")),
            _ => site.pool.trouble(name, argument).await.expect("a fault"),
        }
        let what = format!("{name} {argument} at pool {at}");
        if name == "power-off" {
            site.dead.push(argument.parse().expect("a host"));
        }
        site.active.push(fault);
        self.note(what);
        true
    }

    /// A fault that lasts until all are ended.
    pub async fn hold(&self, at: usize, name: &str, argument: &str) {
        let begun = self.sites[at].pool.trouble(name, argument).await;
        begun.expect("a fault");
    }

    /// Each pool's master says nothing any more, and the next host leads: nobody is told.
    pub async fn freeze_masters(&mut self) {
        // Whoever asks a frozen host for something is told more slowly.
        self.callers.rest().await;
        for site in &self.sites {
            let members = site.pool.members();
            let master = members.iter().position(|member| member.is_master);
            let master = master.expect("a master");
            let frozen = format!("on@{master}");
            site.pool.trouble("black-hole", &frozen).await.expect("a fault");
            let next = (master + 1) % members.len();
            site.pool.change_master(next).expect("another host");
        }
        self.healed = Instant::now();
    }

    /// Another master has forgotten the sessions of before: there is one for each link, whatever was tried meanwhile.
    pub fn compare_sessions(&self) {
        for site in &self.sites {
            let sessions = site.pool.read(|db| db.refs("session").len());
            assert_eq!(sessions, 1, "sessions of {}", site.pool.config().name);
        }
    }

    /// Ends one fault.
    async fn end(&mut self, at: usize, fault: &'static Fault) {
        self.note(format!(
            "the end of {} {} at pool {at}",
            fault.begin.0, fault.begin.1
        ));
        let site = &mut self.sites[at];
        site.active.retain(|active| !std::ptr::eq(*active, fault));
        match fault.end {
            End::Passed => {}
            End::With(argument) => site.pool.trouble(fault.begin.0, argument).await.expect("an end"),
            End::Return => {
                for dead in std::mem::take(&mut site.dead) {
                    if site.pool.members()[dead].is_master {
                        site.pool.change_master((dead + 1) % 3).expect("another host");
                    }
                    site.pool.power_on(dead).await.expect("it starts");
                }
            }
            End::Acceptance => self.accept(at, None).await,
        }
    }

    /// An administrator who watches: links that are refused for their certificate are looked at. It is one that a host
    /// of that pool really has.
    async fn look_after_certificates(&mut self) {
        let servers = self.admin.ok("server.getAll", json!({})).await;
        for server in servers.as_array().expect("a list") {
            if server["error"]["code"] == "UNTRUSTED_CERTIFICATE" {
                let at = self.sites.iter().position(|site| server["id"] == site.server);
                let at = at.expect("a pool of ours");
                let shown = server["error"]["fingerprint"].as_str().map(str::to_lowercase);
                self.accept(at, shown).await;
            }
        }
    }

    /// An administrator accepts the certificate that is shown, of whichever host it is; where none is, the one of the
    /// master is looked at.
    async fn accept(&mut self, at: usize, shown: Option<String>) {
        let site = &self.sites[at];
        let id = &site.server;
        let what = format!(
            "acceptance of {} at pool {at}",
            shown.as_deref().unwrap_or("the master")
        );
        let amended = match shown {
            Some(shown) => {
                let members = site.pool.members();
                let has_it = |member: &&Member| member.fingerprint_sha256.as_ref() == Some(&shown);
                let member = members.iter().find(has_it);
                let member = member.expect("a certificate of one of the pool's hosts");
                let address = member.address.expect("an address");
                json!({ "id": id, "host": format!("https://{address}"), "fingerprint": shown })
            }
            None => {
                let host = site.pool.master_url().expect("a master");
                json!({ "id": id, "host": host, "fingerprint": "first-use" })
            }
        };
        let id = &id.clone();
        self.note(what);
        self.admin.ok("server.disable", json!({ "id": id })).await;
        self.admin.ok("server.set", amended).await;
        // It may be that another fault is in the way; the server goes on trying.
        drop(self.admin.call("server.enable", json!({ "id": id })).await);
    }

    /// Ends all faults.
    pub async fn heal(&mut self) {
        for at in 0..self.sites.len() {
            let mut accept = false;
            for fault in std::mem::take(&mut self.sites[at].active) {
                accept |= fault.end == End::Acceptance;
                if fault.end != End::Acceptance {
                    self.end(at, fault).await;
                }
            }
            self.sites[at].pool.trouble("off", "").await.expect("an end");
            if accept {
                self.accept(at, None).await;
            }
        }
        self.note("the end of all faults".to_owned());
        self.healed = Instant::now();
    }

    /// Faults of any kind on any pool, several at a time; `scale` is the speed of the world's clock.
    pub async fn faults_at_random(&mut self, time: Duration, scale: f64) {
        self.go_on();
        let ends = Instant::now() + time;
        let mut running: Vec<(Instant, usize, &'static Fault)> = Vec::new();
        while Instant::now() < ends {
            let pause = Duration::from_millis(self.dice.random_range(100..1_500));
            self.wait(pause.div_f64(scale)).await;
            let now = Instant::now();
            let (over, left) = running.into_iter().partition(|(until, ..)| *until <= now);
            running = left;
            let over: Vec<(Instant, usize, &'static Fault)> = over;
            for (_, at, fault) in over {
                self.end(at, fault).await;
            }
            let at = self.dice.random_range(0..POOLS);
            let fault = FAULTS.choose(&mut self.dice).expect("faults");
            let lasts = Duration::from_millis(self.dice.random_range(200..6_000)).div_f64(scale);
            if self.begin(at, fault).await {
                running.push((now + lasts, at, fault));
            }
        }
        self.heal().await;
    }

    /// What the pools hold, converted from scratch: objects, and rows of lists.
    fn expected(&self) -> (Objects, Objects) {
        let (mut objects, mut rows) = (Objects::new(), Objects::new());
        for site in &self.sites {
            let pool = converted(&site.pool.dump());
            objects.extend(pool.published());
            rows.extend(pool.rows());
        }
        (objects, rows)
    }

    /// Lets the world come to rest; then clients that have always been there, a client that comes now, and
    /// the pools agree, object by object; lists and links too.
    pub async fn settle(&mut self, after: &str) {
        self.rest();
        self.settle_but_for_tags(after).await;
        self.callers.rest().await;
        let rested = Instant::now();
        let sites = &self.sites;
        let tally = self.callers.account(|pool, vm, tag| {
            sites[pool].pool.read(|db| {
                let vms = db.refs("VM");
                let vm = vms.iter().find(|known| db.text("VM", known, "uuid") == vm);
                vm.map(|vm| db.get("VM", vm, "tags").contains(tag))
            })
        });
        let mut newcomer = signed_in(&self.program).await;
        let mut looks_at_lists = signed_in(&self.program).await;
        let view = json!({ "view": { "scope": "lists" } });
        looks_at_lists.ok("view.subscribe", view).await;
        let mut lists = Lists::default();
        // A call that waited for its link to the last may have changed something just now.
        let deadline = (self.healed + RECOVERY).max(rested + NEWS);
        loop {
            let (objects, expected_rows) = self.expected();
            let comes_now = Known {
                objects: newcomer.all_objects().await,
                rows: self
                    .rows_now(&mut looks_at_lists, &mut lists, &expected_rows)
                    .await,
                links: lists.links.clone(),
            };
            let always_there = self.mirror.known().await;
            let links = self.admin.ok("server.getAll", json!({})).await;
            let is_right = |known: &Known| {
                known.objects == objects && known.rows == expected_rows && self.links_are_right(&known.links)
            };
            if is_right(&comes_now) && is_right(&always_there) && self.links_are_right(&links) {
                say(&format!(
                    "after {after}: {} objects right within {:.1} s; calls: {tally:?}",
                    objects.len(),
                    self.healed.elapsed().as_secs_f64()
                ));
                return;
            }
            if Instant::now() > deadline {
                let mut text = format!("after {after}\n");
                for (who, known) in [
                    ("a client that comes now", &comes_now),
                    ("clients that were always there", &always_there),
                ] {
                    text += &format!(
                        "{who}: objects: {}\nrows: {}\nlinks are right: {}\n",
                        differences(&known.objects, &objects),
                        differences(&known.rows, &expected_rows),
                        self.links_are_right(&known.links)
                    );
                }
                panic!("{text}{}", self.circumstances().await);
            }
            self.look_after_certificates().await;
            self.wait(Duration::from_millis(50)).await;
        }
    }

    /// Within ten seconds after the last fault every object is right, but for the tags that people still wait for.
    async fn settle_but_for_tags(&mut self, after: &str) {
        let bare = |mut objects: Objects| {
            for object in objects.values_mut() {
                if let Some(object) = object.as_object_mut() {
                    object.remove("tags");
                }
            }
            objects
        };
        let mut newcomer = signed_in(&self.program).await;
        loop {
            // When it is looked at, not when it has been compared.
            let late = self.healed.elapsed() > RECOVERY;
            let expected = bare(self.expected().0);
            let comes_now = bare(newcomer.all_objects().await);
            let always_there = bare(self.mirror.known().await.objects);
            if comes_now == expected && always_there == expected {
                return;
            }
            if late {
                panic!(
                    "after {after}\na client that comes now: {}\nclients that were always there: {}{}",
                    differences(&comes_now, &expected),
                    differences(&always_there, &expected),
                    self.circumstances().await
                );
            }
            self.look_after_certificates().await;
            self.wait(Duration::from_millis(50)).await;
        }
    }

    /// What the lists show once they have caught up, or after a short while.
    async fn rows_now(&self, client: &mut Client, lists: &mut Lists, expected: &Objects) -> Objects {
        let caught_up = lists.until(client, |lists| {
            rows(lists) == *expected && self.links_are_right(&lists.links)
        });
        drop(tokio::time::timeout(Duration::from_millis(100), caught_up).await);
        rows(lists)
    }

    /// Every link is connected to its pool, without an error.
    fn links_are_right(&self, links: &Value) -> bool {
        let links = links.as_array().map(Vec::as_slice).unwrap_or_default();
        let right = self.sites.iter().filter(|site| {
            links.iter().any(|link| {
                link["id"] == site.server
                    && link["status"] == "connected"
                    && link["poolId"] == json!(site.pool.read(uuid_of_pool))
                    && link["error"].is_null()
            })
        });
        links.len() == self.sites.len() && right.count() == links.len()
    }

    pub async fn resources(&mut self) -> Resources {
        self.tidy();
        self.settle("tidying").await;
        let status = self.admin.ok("system.getStatus", json!({})).await;
        let process = self.program.child.id().expect("it runs");
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("its files");
        let sockets = open
            .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count();
        let resources = Resources {
            tasks: status["tasks"].as_u64().expect("a number"),
            sockets,
            used: status["usedMemory"].as_u64().expect("a number"),
            resident: status["residentMemory"].as_u64().expect("a number"),
        };
        say(&format!("{resources:?}"));
        resources
    }

    /// A link may keep a second connection for a while, and may be comparing messages; nothing else may stay.
    pub fn compare_tasks_and_sockets(&self, before: &Resources, now: &Resources) {
        assert!(
            now.tasks <= before.tasks + 2 * POOLS as u64 && now.sockets <= before.sockets + POOLS,
            "{before:?} before, {now:?} now"
        );
    }

    pub async fn stop(self) {
        self.mirror.stop();
        self.callers.stop();
        for site in &self.sites {
            site.pool.stop().await;
        }
        self.program.kill().await;
    }
}

#[allow(clippy::print_stderr, reason = "figures and the seed, for people")]
fn say(text: &str) {
    eprintln!("{text}");
}

async fn signed_in(program: &Program) -> Client {
    let mut client = Client::connect(program.address, &[]).await.expect("an upgrade");
    let credentials = json!({ "email": EMAIL, "password": PASSWORD });
    client.ok("session.signIn", credentials).await;
    client
}

fn converted(dump: &Value) -> Pool {
    let records = dump.as_object().expect("records");
    let events = records.iter().filter_map(|(reference, record)| {
        let name = record["class"].as_str().expect("a class");
        let class = Class::from_event(&name.to_lowercase())?;
        let record = Record::parse(class, &record.to_string()).expect("a readable record");
        Some(Event {
            class,
            reference: OpaqueRef::parse(reference),
            operation: Operation::Put(record),
        })
    });
    let mut pool = Pool::default();
    pool.apply(true, events.collect());
    pool
}

/// The first objects that differ, and how.
fn differences(found: &Objects, expected: &Objects) -> String {
    let ids = found.keys().chain(expected.keys());
    let mut ids: Vec<&String> = ids.filter(|id| found.get(*id) != expected.get(*id)).collect();
    ids.sort();
    ids.dedup();
    let shown = ids.iter().take(5).map(|id| {
        let is = |object: Option<&Value>| object.map_or("nothing".to_owned(), Value::to_string);
        format!(
            "{id} is\n  {}\nand should be\n  {}",
            is(found.get(*id)),
            is(expected.get(*id))
        )
    });
    let shown: Vec<String> = shown.collect();
    format!("{} differ\n{}", ids.len(), shown.join("\n"))
}
