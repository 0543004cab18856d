//! Thousands of random operations, as an administrator without a plan would make them. Whatever happens, the
//! database contradicts itself nowhere, what is listed as allowed is not refused for its state, and a client that
//! follows the events ends with exactly the database.
//!
//! A failure names its seed; `XAPI_SIM_SEED=... cargo test -p xapi-sim state_machine` plays it again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use xapi_sim::consistency::contradictions;
use xapi_sim::model::model;
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool_with};
use crate::dice::Dice;
use crate::upheavals::{self, upheave};

const OPERATIONS: usize = 1000;
/// The calls that [`upheave`] makes.
const UPHEAVALS: usize = 10;
/// So many deletions of a class push older ones out of its history.
const FORGETS_AFTER: usize = 512;
/// These say that the simulator failed, never that the question was wrong.
const NEVER: [&str; 4] = [
    "INTERNAL_ERROR",
    "NOT_IMPLEMENTED",
    "MESSAGE_METHOD_UNKNOWN",
    "MESSAGE_PARAMETER_COUNT_MISMATCH",
];
/// What nobody hears who keeps to `allowed_operations`.
const NEVER_WHEN_ALLOWED: [&str; 8] = [
    "VM_BAD_POWER_STATE",
    "VM_IS_TEMPLATE",
    "VM_IS_SNAPSHOT",
    "VM_LACKS_FEATURE",
    "OTHER_OPERATION_IN_PROGRESS",
    "OPERATION_BLOCKED",
    "REVERT_ONLY_ALLOWED_ON_SNAPSHOT",
    "PROVISION_ONLY_ALLOWED_ON_TEMPLATE",
];

fn seeds() -> Vec<u64> {
    match std::env::var("XAPI_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("XAPI_SIM_SEED is a number")],
        Err(_) => vec![1, 2, 3],
    }
}

/// A cache that knows only what events say.
#[derive(Default)]
struct Follower {
    token: String,
    objects: BTreeMap<String, BTreeMap<String, Json>>,
    /// The classes that lacked deletions, each time that everything was listed anew.
    lost: Vec<Vec<String>>,
}

impl Follower {
    /// Follows; what the counts say is missing, though events tell of no deletion, is listed anew.
    async fn follow(&mut self, client: &mut Client, pool: &SimPool) {
        let since = self
            .token
            .get(..20)
            .map_or(0, |number| number.parse().expect("a number"));
        let mut lost = self.take(client).await;
        // Of messages there are no counts: who begins a new session after a restart has to list them anew.
        let messages = model().class_of_any_case("message").expect("a class");
        if pool.read(|db| db.has_forgotten(messages, since)) {
            lost.push("message".to_owned());
        }
        if lost.is_empty() {
            return;
        }
        for class in &lost {
            let class = model().class_of_any_case(class).expect("a class");
            let forgotten = pool.read(|db| db.has_forgotten(class, since));
            assert!(
                forgotten,
                "{}: events and counts differ without a reason",
                class.name
            );
        }
        self.lost.push(lost);
        self.token.clear();
        self.objects.clear();
        assert_eq!(
            self.take(client).await,
            Vec::<String>::new(),
            "a listing is whole"
        );
    }

    /// Takes what events say. The classes whose numbers are not what `valid_ref_counts` say.
    async fn take(&mut self, client: &mut Client) -> Vec<String> {
        let batch = client.events(json!(["*"]), &self.token, 0.01).await;
        for event in &batch.events {
            let text = |key: &str| event[key].as_str().expect("a text").to_owned();
            let class = self.objects.entry(text("class")).or_default();
            match event["operation"].as_str() {
                Some("del") => drop(class.remove(&text("ref"))),
                _ => drop(class.insert(text("ref"), event["snapshot"].clone())),
            }
        }
        self.token = batch.token;
        let counts = batch.counts.as_object().expect("counts").iter();
        let differ = counts.filter(|(class, count)| {
            let known = self.objects.get(*class).map_or(0, BTreeMap::len) as u64;
            let class = model().class_of_any_case(class);
            class.is_some_and(|class| class.has_events) && Some(known) != count.as_u64()
        });
        differ.map(|(class, _)| class.clone()).collect()
    }

    /// Follows until it is where the pool is, then has to know the same.
    async fn catch_up(&mut self, client: &mut Client, pool: &SimPool) {
        loop {
            self.follow(client, pool).await;
            let known: u64 = self.token[..20].parse().expect("a number");
            // What guests say some time after their start may come in between.
            let truth = pool.read(|db| (db.generation() == known).then(|| db.snapshot()));
            if let Some(truth) = truth {
                return self.compare(&truth);
            }
        }
    }

    fn compare(&self, truth: &BTreeMap<String, BTreeMap<String, Json>>) {
        let empty = BTreeMap::new();
        for class in model().classes.iter().filter(|class| class.has_events) {
            let own = self.objects.get(&class.lower_name).unwrap_or(&empty);
            let real = truth.get(&class.name).unwrap_or(&empty);
            for (reference, record) in real {
                assert_eq!(own.get(reference), Some(record), "{} {reference}", class.name);
            }
            assert_eq!(own.len(), real.len(), "{}", class.name);
        }
    }
}

/// An object of a class that a condition holds for.
pub fn some(
    pool: &SimPool,
    dice: &mut Dice,
    class: &str,
    keep: impl Fn(&xapi_sim::Db, &str) -> bool,
) -> Option<String> {
    let all = pool.read(|db| {
        let all = db.refs(class).into_iter().filter(|reference| keep(db, reference));
        all.map(|reference| reference.to_string()).collect::<Vec<_>>()
    });
    dice.pick(&all)
}

pub fn any(pool: &SimPool, dice: &mut Dice, class: &str) -> Option<String> {
    some(pool, dice, class, |_, _| true)
}

/// Parameters after the object for an operation of a VM; `None` when the name is no call, or not one for this.
fn vm_call(pool: &SimPool, dice: &mut Dice, operation: &str, vm: &str) -> Option<(String, Json)> {
    let host = any(pool, dice, "host")?;
    let params = match operation {
        "start" | "resume" => json!([vm, dice.below(4) == 0, false]),
        "start_on" | "resume_on" => json!([vm, host, false, false]),
        "clean_shutdown" | "hard_shutdown" | "clean_reboot" | "hard_reboot" | "suspend" | "pause"
        | "unpause" | "destroy" | "provision" | "power_state_reset" | "revert" => json!([vm]),
        "pool_migrate" => json!([vm, host, {}]),
        "snapshot" => json!([vm, "snap", []]),
        "checkpoint" | "clone" => json!([vm, "copy"]),
        "copy" => json!([vm, "copy", "OpaqueRef:NULL"]),
        _ => return None,
    };
    Some((format!("VM.{operation}"), params))
}

fn record_of(pool: &SimPool, dice: &mut Dice, class: &str) -> Option<Json> {
    let is_disk_sr = |db: &xapi_sim::Db, sr: &str| {
        db.get("SR", sr, "content_type").str() == "user" && db.get("SR", sr, "shared").bool()
    };
    let is_guest = |db: &xapi_sim::Db, vm: &str| {
        !db.get("VM", vm, "is_a_template").bool() && !db.get("VM", vm, "is_control_domain").bool()
    };
    Some(match class {
        "VDI" => json!({
            "name_label": "random", "SR": some(pool, dice, "SR", is_disk_sr)?, "virtual_size": 1 << 30,
            "type": "user", "sharable": false, "read_only": false, "other_config": {},
        }),
        "VBD" => json!({
            "VM": some(pool, dice, "VM", is_guest)?, "VDI": any(pool, dice, "VDI")?, "userdevice": "autodetect",
            "bootable": false, "mode": if dice.below(3) == 0 { "RO" } else { "RW" },
            "type": if dice.below(5) == 0 { "CD" } else { "Disk" }, "empty": false, "other_config": {},
            "qos_algorithm_type": "", "qos_algorithm_params": {},
        }),
        "VIF" => json!({
            "VM": some(pool, dice, "VM", is_guest)?, "network": any(pool, dice, "network")?,
            "device": dice.below(7).to_string(), "MAC": "", "MTU": 1500, "other_config": {},
            "qos_algorithm_type": "", "qos_algorithm_params": {},
        }),
        _ => json!({ "name_label": "random", "name_description": "", "MTU": 1500, "other_config": {} }),
    })
}

/// The next call: what it is, whether the object lists it as allowed, and its parameters.
fn next_call(pool: &SimPool, dice: &mut Dice) -> Option<(String, bool, Json)> {
    let is_guest = |db: &xapi_sim::Db, vm: &str| !db.get("VM", vm, "is_control_domain").bool();
    let call = |name: &str, params: Json| Some((name.to_owned(), false, params));
    let device = |dice: &mut Dice| if dice.below(2) == 0 { "VBD" } else { "VIF" };
    match dice.below(100) {
        0..45 => {
            let vm = some(pool, dice, "VM", is_guest)?;
            let allowed = pool.read(|db| db.members("VM", &vm, "allowed_operations"));
            // Too many would make the rest slow.
            let crowded = pool.read(|db| db.count("VM")) > 150;
            let makes = |operation: &String| {
                crowded && ["clone", "copy", "snapshot", "checkpoint"].contains(&operation.as_str())
            };
            let allowed: Vec<String> = allowed
                .into_iter()
                .filter(|operation| !makes(operation))
                .collect();
            let operation = dice.pick(&allowed)?;
            let (name, params) = vm_call(pool, dice, &operation, &vm)?;
            // A snapshot cannot know whether its VM may be reverted.
            Some((name, operation != "revert", params))
        }
        45..52 => {
            let vm = any(pool, dice, "VM")?;
            let wild = [
                "start",
                "suspend",
                "resume",
                "revert",
                "provision",
                "pool_migrate",
                "destroy",
                "unpause",
            ];
            let operation = dice.pick(&wild)?;
            let (name, params) = vm_call(pool, dice, operation, &vm)?;
            call(&name, params)
        }
        52..60 => {
            let class = device(dice);
            call(&format!("{class}.create"), json!([record_of(pool, dice, class)?]))
        }
        60..68 => {
            let class = device(dice);
            let action = dice.pick(&["plug", "unplug", "destroy"])?;
            let object = any(pool, dice, class)?;
            call(&format!("{class}.{action}"), json!([object]))
        }
        68..71 => {
            let is_cd = |db: &xapi_sim::Db, vbd: &str| db.get("VBD", vbd, "type").str() == "CD";
            let vbd = some(pool, dice, "VBD", is_cd)?;
            match dice.below(2) {
                0 => call("VBD.eject", json!([vbd])),
                _ => call("VBD.insert", json!([vbd, any(pool, dice, "VDI")?])),
            }
        }
        71..74 => call("VDI.create", json!([record_of(pool, dice, "VDI")?])),
        74..82 => {
            let vdi = any(pool, dice, "VDI")?;
            let sr = any(pool, dice, "SR")?;
            match dice.below(7) {
                0 => call("VDI.snapshot", json!([vdi, {}])),
                1 => call("VDI.clone", json!([vdi, {}])),
                2 => call("VDI.copy", json!([vdi, sr])),
                3 => call("VDI.resize", json!([vdi, 64_i64 << 30])),
                4 => call("VDI.revert", json!([vdi])),
                5 => call("VDI.pool_migrate", json!([vdi, sr, {}])),
                _ => call("VDI.destroy", json!([vdi])),
            }
        }
        82..86 => {
            let host = any(pool, dice, "host")?;
            match dice.below(5) {
                0 => call("host.disable", json!([host])),
                1 => call("host.evacuate", json!([host])),
                2 => call("host.reboot", json!([host])),
                _ => call("host.enable", json!([host])),
            }
        }
        86..89 => match dice.below(3) {
            0 => call("network.create", json!([record_of(pool, dice, "network")?])),
            1 => call("network.destroy", json!([any(pool, dice, "network")?])),
            _ => call(
                "VLAN.create",
                json!([
                    any(pool, dice, "PIF")?,
                    dice.below(4100),
                    any(pool, dice, "network")?
                ]),
            ),
        },
        89..92 => {
            let pbd = any(pool, dice, "PBD")?;
            let action = dice.pick(&["plug", "plug", "unplug"])?;
            call(&format!("PBD.{action}"), json!([pbd]))
        }
        92..94 => call("SR.scan", json!([any(pool, dice, "SR")?])),
        94..96 => {
            let vm = some(pool, dice, "VM", is_guest)?;
            let blocked = json!({ "start": "not today" });
            match dice.below(3) {
                0 => call("VM.set_blocked_operations", json!([vm, blocked])),
                1 => call("VM.set_blocked_operations", json!([vm, {}])),
                _ => call("VM.set_is_a_template", json!([vm, dice.below(2) == 0])),
            }
        }
        96..98 => {
            let vm = any(pool, dice, "VM")?;
            call("VM.set_tags", json!([vm, [format!("tag {}", dice.below(5))]]))
        }
        _ => call("message.destroy", json!([any(pool, dice, "message")?])),
    }
}

/// Makes the call, one time in four as a task. The code of the error, if it failed.
async fn make(client: &mut Client, dice: &mut Dice, name: &str, params: &Json) -> Option<String> {
    let code = |error: &Json| Some(error["message"].as_str().unwrap_or("?").to_owned());
    let has_task = !name.contains(".set_") && !name.starts_with("message.");
    if !has_task || dice.below(4) > 0 {
        return client
            .call(name, params.clone())
            .await
            .err()
            .as_ref()
            .and_then(code);
    }
    let task = match client.call(&format!("Async.{name}"), params.clone()).await {
        Ok(task) => task,
        Err(error) => return code(&error),
    };
    let reference = task.as_str().expect("a reference");
    let filter = json!([format!("task/{reference}")]);
    let mut token = String::new();
    loop {
        let batch = client.events(filter.clone(), &token, 10.0).await;
        token = batch.token;
        let Some(event) = batch.events.last() else {
            continue;
        };
        let record = &event["snapshot"];
        if record["status"] != "pending" {
            client.ok("task.destroy", json!([task])).await;
            return record["error_info"][0].as_str().map(str::to_owned);
        }
    }
}

fn assert_consistent(pool: &SimPool, what: &str) {
    let found = pool.read(|db| contradictions(db, true));
    assert!(found.is_empty(), "after {what}:\n{}", found.join("\n"));
}

/// The upheavals that succeeded.
async fn play(seed: u64) -> BTreeSet<String> {
    let pool = pool_with(PoolConfig {
        seed,
        hosts: 3,
        vms: 25,
        batch_ms: 0,
        ..PoolConfig::default()
    })
    .await;
    assert_consistent(&pool, "the start");
    let mut dice = Dice(seed);
    let outsider = pool_with(PoolConfig {
        seed: seed + 100,
        fresh: true,
        listen: ([127, 0, 9, 1], 0).into(),
        batch_ms: 0,
        ..PoolConfig::default()
    })
    .await;
    let (mut client, mut listener) = (Client::login(&pool).await, Client::login(&pool).await);
    let mut follower = Follower::default();
    follower.follow(&mut listener, &pool).await;
    // By the name of the call: how often it was made and how often it succeeded.
    let mut upheavals: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let replayed = std::env::var("XAPI_SIM_SEED").is_ok();
    let (mut made, mut succeeded) = (0, 0);
    while made < OPERATIONS {
        let Some((name, allowed, params)) = next_call(&pool, &mut dice) else {
            continue;
        };
        made += 1;
        let fault = make(&mut client, &mut dice, &name, &params).await;
        let what = format!("operation {made} of seed {seed}, {name}{params} -> {fault:?}");
        match fault.as_deref() {
            None => succeeded += 1,
            Some(code) => {
                assert!(!NEVER.contains(&code), "{what}");
                assert!(!allowed || !NEVER_WHEN_ALLOWED.contains(&code), "{what}");
            }
        }
        // A replay looks after every operation, to find the one to blame.
        if replayed || made % 10 == 0 {
            assert_consistent(&pool, &what);
        }
        if dice.below(20) == 0 {
            follower.follow(&mut listener, &pool).await;
        }
        if dice.below(8) == 0 {
            let outsiders = [vec![outsider.clone()], pool.ejected()].concat();
            if let Some(upheaval) = upheave(&pool, &mut dice, &outsiders).await {
                let what = format!("{} -> {:?}", upheaval.what, upheaval.fault);
                let code = upheaval.fault.as_deref().unwrap_or_default();
                assert!(
                    !NEVER.contains(&code),
                    "after operation {made} of seed {seed}: {what}"
                );
                let name = upheaval.what.split(['[', '{']).next().unwrap_or_default();
                let (tried, done) = upheavals.entry(name.to_owned()).or_default();
                *tried += 1;
                *done += usize::from(upheaval.fault.is_none());
                assert_consistent(&pool, &format!("operation {made} of seed {seed}, {what}"));
                // Sessions and connections may be gone, and another host the master.
                client = upheavals::login(&pool).await;
                listener = upheavals::login(&pool).await;
            }
        }
        if made % (OPERATIONS / 2) == OPERATIONS / 4 {
            oversleep(&pool, &mut client, &mut listener, &mut follower).await;
        }
    }
    eprintln!("seed {seed}: {upheavals:?}, {} listings", follower.lost.len() + 1);
    assert!(
        succeeded > OPERATIONS / 3,
        "seed {seed}: only {succeeded} operations succeeded"
    );
    follower.catch_up(&mut listener, &pool).await;
    pool.stop().await;
    outsider.stop().await;
    let done = upheavals.into_iter().filter(|(_, (_, done))| *done > 0);
    done.map(|(name, _)| name).collect()
}

/// The follower pauses so long that the history of deletions is overrun: it has to notice by the counts alone.
async fn oversleep(pool: &SimPool, client: &mut Client, listener: &mut Client, follower: &mut Follower) {
    let mut known = Vec::new();
    for _ in 0..3 {
        known.push(client.ok("task.create", json!(["known", ""])).await);
    }
    follower.follow(listener, pool).await;
    for task in known {
        client.ok("task.destroy", json!([task])).await;
    }
    for _ in 0..FORGETS_AFTER {
        let task = client.ok("task.create", json!(["unseen", ""])).await;
        client.ok("task.destroy", json!([task])).await;
    }
    let before = follower.lost.len();
    follower.follow(listener, pool).await;
    assert_eq!(follower.lost.len(), before + 1, "it noticed");
    assert!(follower.lost[before].contains(&"task".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_random_life_is_consistent_and_its_events_tell_all() {
    let mut done = BTreeSet::new();
    for seed in seeds() {
        eprintln!("seed {seed}");
        done.extend(play(seed).await);
    }
    let replayed = std::env::var("XAPI_SIM_SEED").is_ok();
    assert!(
        replayed || done.len() == UPHEAVALS,
        "only these succeeded: {done:?}"
    );
}

/// Several people at once, on operations that take time: they meet each other's, wait, and fail, and still nothing
/// is left marked, nothing contradicts itself, and the events tell all. What they do is seeded, how it interleaves is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_who_do_not_talk_to_each_other_break_nothing() {
    let pool = SimPool::start(PoolConfig {
        seed: 11,
        hosts: 3,
        vms: 15,
        time_scale: 0.001,
        batch_ms: 1,
        ..PoolConfig::default()
    })
    .await
    .expect("it starts");
    let people = (0..4).map(|person| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let mut dice = Dice(person);
            let mut client = Client::login(&pool).await;
            for _ in 0..250 {
                // Hosts that restart do so after their call; the other test has them.
                let Some((name, _, params)) =
                    next_call(&pool, &mut dice).filter(|(name, ..)| name != "host.reboot")
                else {
                    continue;
                };
                let fault = make(&mut client, &mut dice, &name, &params).await;
                let wrong = fault.as_deref().is_some_and(|code| NEVER.contains(&code));
                assert!(!wrong, "{name}{params} -> {fault:?}");
            }
        })
    });
    let people: Vec<_> = people.collect();
    let mut listener = Client::login(&pool).await;
    let mut follower = Follower::default();
    for person in people {
        while !person.is_finished() {
            follower.follow(&mut listener, &pool).await;
        }
        person.await.expect("nobody panics");
    }
    // What begins after a call, such as a guest's first word, ends with it or is whole in itself.
    assert_consistent(&pool, "all went home");
    follower.catch_up(&mut listener, &pool).await;
    pool.stop().await;
}
