//! The program, five pools, a client that is connected all the time, and what is compared.

use crate::{
    faults::{End, FAULTS, Fault},
    pool::Pool,
    support::*,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use xapi::{
    OpaqueRef, Record,
    records::Class,
    watch::{Event, Operation},
};
use xapi_sim::{ChurnKind, PoolConfig, SimPool};

const POOLS: usize = 5;
const CHANGES_PER_SECOND: f64 = 1_000.0;
/// After the last fault.
const RECOVERY: Duration = Duration::from_secs(10);

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
    /// Asks the client that is connected all the time for what it has.
    mirror: mpsc::Sender<oneshot::Sender<Objects>>,
    following: JoinHandle<()>,
    sites: Vec<Site>,
    dice: StdRng,
    healed: Instant,
}

#[derive(Debug)]
pub struct Resources {
    tasks: u64,
    sockets: usize,
    pub memory: u64,
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
            .env("XO_LOG", "error")
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
        let (mirror, mut asked) = mpsc::channel::<oneshot::Sender<Objects>>(1);
        let mut follower = signed_in(&program).await;
        follower.follow().await;
        let following = tokio::spawn(async move {
            loop {
                tokio::select! {
                    message = follower.next() => match message {
                        Incoming::Text(message) => follower.apply(&message),
                        other => panic!("the client that is always connected met {other:?}"),
                    },
                    Some(asker) = asked.recv() => drop(asker.send(follower.objects.clone())),
                }
            }
        });
        Self {
            program,
            _folder: folder,
            admin,
            mirror,
            following,
            sites,
            dice: StdRng::seed_from_u64(seed),
            healed: Instant::now(),
        }
    }

    pub fn pools(&self) -> usize {
        self.sites.len()
    }

    pub fn set_churn(&self, on: bool) {
        let rate = if on {
            CHANGES_PER_SECOND / POOLS as f64
        } else {
            0.0
        };
        for site in &self.sites {
            site.pool.set_churn(rate);
        }
    }

    /// A while of changes without faults: the world grows to its size.
    pub async fn churn(&mut self) {
        self.set_churn(true);
        self.wait(Duration::from_secs(8)).await;
        self.healed = Instant::now();
    }

    /// Messages of what happened pile up for ever, as in real pools; somebody reads and deletes them all.
    fn tidy(&mut self) {
        for site in &self.sites {
            site.pool.write(|db| {
                for message in db.refs("message") {
                    db.destroy("message", &message);
                }
            });
        }
        self.healed = Instant::now();
    }

    /// Lets the world run, and notices when the client that is always connected loses its connection.
    pub async fn wait(&mut self, time: Duration) {
        assert!(
            tokio::time::timeout(time, &mut self.following).await.is_err(),
            "the client that is always connected was cut off"
        );
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
        if name == "power-off" {
            site.dead.push(argument.parse().expect("a host"));
        }
        site.active.push(fault);
        true
    }

    /// Ends one fault.
    async fn end(&mut self, at: usize, fault: &'static Fault) {
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
            End::Acceptance => self.accept(at).await,
        }
    }

    /// An administrator who watches: links that are refused for their certificate are looked at.
    async fn look_after_certificates(&mut self) {
        let servers = self.admin.ok("server.getAll", json!({})).await;
        for server in servers.as_array().expect("a list") {
            if server["error"]["code"] == "UNTRUSTED_CERTIFICATE" {
                let at = self.sites.iter().position(|site| server["id"] == site.server);
                self.accept(at.expect("a pool of ours")).await;
            }
        }
    }

    /// An administrator looks at the certificate of the master and pins it.
    async fn accept(&mut self, at: usize) {
        let site = &self.sites[at];
        let id = &site.server;
        self.admin.ok("server.disable", json!({ "id": id })).await;
        let host = site.pool.master_url().expect("a master");
        let amended = json!({ "id": id, "host": host, "fingerprint": "first-use" });
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
                self.accept(at).await;
            }
        }
        self.healed = Instant::now();
    }

    /// Faults of any kind on any pool, several at a time; `scale` is the speed of the world's clock.
    pub async fn faults_at_random(&mut self, time: Duration, scale: f64) {
        self.set_churn(true);
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

    /// What the pools hold, converted from scratch.
    fn expected(&self) -> Objects {
        self.sites
            .iter()
            .flat_map(|site| converted(&site.pool.dump()))
            .collect()
    }

    /// Lets the world come to rest; then a client that has always been there, a client that comes now, and
    /// the pools agree, object by object.
    pub async fn settle(&mut self, after: &str) {
        self.set_churn(false);
        let mut newcomer = signed_in(&self.program).await;
        let deadline = self.healed + RECOVERY;
        loop {
            let expected = self.expected();
            let (found, followed) = (newcomer.all_objects().await, self.followed().await);
            if found == expected && followed == expected {
                say(&format!(
                    "after {after}: {} objects right within {:.1} s",
                    found.len(),
                    self.healed.elapsed().as_secs_f64()
                ));
                return;
            }
            if Instant::now() > deadline {
                let servers = self.admin.ok("server.getAll", json!({})).await;
                panic!(
                    "after {after}, a client that comes now:\n{}\na client that was always there:\n{}\nlinks: {servers:#}",
                    differences(&found, &expected),
                    differences(&followed, &expected)
                );
            }
            self.look_after_certificates().await;
            self.wait(Duration::from_millis(50)).await;
        }
    }

    async fn followed(&self) -> Objects {
        let (sender, objects) = oneshot::channel();
        self.mirror.send(sender).await.expect("the client is connected");
        objects.await.expect("the client is connected")
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
            memory: status["residentMemory"].as_u64().expect("a number"),
        };
        say(&format!("{resources:?}"));
        resources
    }

    /// A link may keep a second connection for a while; nothing else may stay.
    pub fn compare_tasks_and_sockets(&self, before: &Resources, now: &Resources) {
        assert!(
            now.tasks <= before.tasks + POOLS as u64 && now.sockets <= before.sockets + POOLS,
            "{before:?} before, {now:?} now"
        );
    }

    pub async fn stop(self) {
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

fn converted(dump: &Value) -> Objects {
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
    pool.published()
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
