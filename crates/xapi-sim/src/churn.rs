//! The world's own changes: what a quiet pool does all day, or exactly N modifications of VM records per second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::db::{Db, Ref};
use crate::ops::{self, alerts, lifecycle, power};
use crate::pool::Shared;
use crate::value::Value;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChurnKind {
    /// Guest, VM and host metrics.
    Metrics,
    /// Only VM records, evenly: the unit of benchmarks.
    Vm,
    /// Mostly metrics, some disks, tasks, tags and descriptions.
    #[default]
    Mixed,
    /// Like `Mixed`, and guests start, stop, move, and have snapshots made and removed.
    Life,
}

/// Changes are made in ticks of this length, so that a high rate costs few wake-ups.
const TICK: Duration = Duration::from_millis(20);

pub async fn run(pool: Arc<Shared>) {
    let mut rate = pool.churn_rate();
    let mut churn = Churn {
        vms: vec![],
        next: 0,
        round: 0,
        task: None,
    };
    loop {
        let per_second = *rate.borrow_and_update();
        if per_second <= 0.0 {
            // The sender lives in `pool`.
            let _ = rate.changed().await;
            continue;
        }
        churn.vms = pool.db().refs("VM");
        let (started, mut done) = (Instant::now(), 0_u64);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while !rate.has_changed().unwrap_or(true) {
            ticks.tick().await;
            let due = (started.elapsed().as_secs_f64() * per_second) as u64;
            // After a long stall the rest is dropped rather than made up for at once.
            let count = (due - done).min((per_second as u64).max(1));
            done = due;
            if count > 0 {
                let kind = pool.config.churn_kind;
                pool.write(|db| (0..count).for_each(|_| churn.change(db, kind)));
            }
        }
    }
}

struct Churn {
    vms: Vec<Ref>,
    next: usize,
    round: u64,
    task: Option<Ref>,
}

impl Churn {
    fn change(&mut self, db: &mut Db, kind: ChurnKind) {
        let Some(vm) = self.next_vm(db) else { return };
        self.round += 1;
        let dice = match kind {
            ChurnKind::Mixed => db.seed.below(100),
            // One change in ten is one of power.
            ChurnKind::Life => db.seed.below(111),
            ChurnKind::Metrics | ChurnKind::Vm => 0,
        };
        match (kind, dice) {
            (ChurnKind::Vm, _) => describe(db, &vm, self.round),
            (_, 0..70) => metrics(db, &vm, self.round),
            (_, 70..85) => disk(db, &vm),
            (_, 85..93) => self.task(db),
            (_, 93..97) => describe(db, &vm, self.round),
            (_, 97..100) => tag(db, &vm),
            _ => live(db, &vm),
        }
    }

    /// Every VM in turn, control domains, templates and vanished ones left out.
    fn next_vm(&mut self, db: &Db) -> Option<Ref> {
        for _ in 0..self.vms.len() {
            let vm = &self.vms[self.next % self.vms.len()];
            self.next += 1;
            let is = |field: &str| db.get("VM", vm, field).bool();
            if db.exists("VM", vm) && !is("is_control_domain") && !is("is_a_template") {
                return Some(vm.clone());
            }
        }
        None
    }

    /// A short task appears, and goes the next time.
    fn task(&mut self, db: &mut Db) {
        match self.task.take() {
            Some(task) => drop(db.destroy("task", &task)),
            None => self.task = Some(crate::rpc::tasks::create(db, "", "SR.scan")),
        }
    }
}

/// One modification of the VM's own record, always a different value.
fn describe(db: &mut Db, vm: &str, round: u64) {
    let text = db.get("VM", vm, "name_description").str();
    let text = text.split(" [").next().unwrap_or_default().to_owned();
    db.set("VM", vm, "name_description", format!("{text} [{round}]"));
}

fn metrics(db: &mut Db, vm: &str, round: u64) {
    let now = Value::Date(db.now());
    let guest = db.text("VM", vm, "guest_metrics");
    if round.is_multiple_of(3) && db.exists("VM_guest_metrics", &guest) {
        let stamp = Value::from(round.to_string());
        db.set_entry("VM_guest_metrics", &guest, "other", "data-ts", Some(stamp));
    } else if round % 3 == 1 {
        let host = db.text("VM", vm, "resident_on");
        let metrics = db.text("host", &host, "metrics");
        let wobble = db.seed.between(-8, 8) << 20;
        let total = db.get("host_metrics", &metrics, "memory_total").int();
        let free = (db.get("host_metrics", &metrics, "memory_free").int() + wobble).clamp(0, total);
        db.set("host_metrics", &metrics, "memory_free", free);
        db.set("host_metrics", &metrics, "last_updated", now);
    } else {
        let metrics = db.text("VM", vm, "metrics");
        let actual = db.get("VM", vm, "memory_dynamic_max").int() - db.seed.between(0, 4096) * 4096;
        db.set("VM_metrics", &metrics, "memory_actual", actual);
    }
}

fn disk(db: &mut Db, vm: &str) {
    let vbd = db
        .get("VM", vm, "VBDs")
        .set()
        .first()
        .map(|vbd| vbd.str().to_owned())
        .unwrap_or_default();
    let vdi = db.text("VBD", &vbd, "VDI");
    let used = db.get("VDI", &vdi, "physical_utilisation").int() + db.seed.between(1, 64) * (1 << 20);
    let size = db.get("VDI", &vdi, "virtual_size").int();
    db.set("VDI", &vdi, "physical_utilisation", used.min(size));
}

/// A guest's power or place changes at once, or a snapshot comes or goes. Guests that an operation holds are left.
fn live(db: &mut Db, vm: &str) {
    if !db.get("VM", vm, "current_operations").map().is_empty() {
        return;
    }
    let before = db.generation();
    let hosts = db.refs("host");
    let fits: Vec<&Ref> = hosts
        .iter()
        .filter(|host| power::assert_can_boot_here(db, vm, host).is_ok())
        .collect();
    let running = db.get("VM", vm, "power_state").str() == "Running";
    let snapshot = db.members("VM", vm, "snapshots").into_iter().next();
    match (running, db.seed.below(4), snapshot, fits.is_empty()) {
        (false, 0..2, _, false) if db.get("VM", vm, "power_state").str() == "Halted" => {
            let host = db.seed.pick(&fits).to_string();
            power::boot(db, vm, &host, false);
            alerts::vm(db, vm, "VM_STARTED", "started");
        }
        (true, 0, _, _) => {
            alerts::vm(db, vm, "VM_SHUTDOWN", "shut down");
            power::halt(db, vm);
        }
        (true, 1, _, false) if lifecycle::check(db, vm, "pool_migrate").is_ok() => {
            let host = db.seed.pick(&fits).to_string();
            power::change_host(db, vm, &host);
        }
        (_, 2, None, _) => drop(ops::clone_vm(db, vm, "snapshot", "churn")),
        (_, 3, Some(snapshot), _) if db.get("VM", &snapshot, "name_label").str() == "churn" => {
            ops::destroy_vm(db, &snapshot);
        }
        _ => {}
    }
    lifecycle::settle(db, before);
}

fn tag(db: &mut Db, vm: &str) {
    let mut tags = db.members("VM", vm, "tags");
    match tags.iter().position(|tag| tag == "watched") {
        Some(at) => drop(tags.remove(at)),
        None => tags.push("watched".to_owned()),
    }
    db.set("VM", vm, "tags", Value::set_of(tags));
}
