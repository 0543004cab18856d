//! Virtual machines: what they are called, what they are made of, how they are doing.

use super::guests::{self, Os};
use super::{Ground, texts};
use crate::db::Db;
use crate::ops::{clone_vm, power};
use crate::pool::PoolConfig;
use crate::value::Value;

const GIB: i64 = 1 << 30;

/// Name prefix, whether it runs Windows, description, tags.
const ROLES: [(&str, bool, &str, &[&str]); 18] = [
    ("web-prod", false, "Front-end web server", &["production", "web"]),
    ("web-stage", false, "Staging web server", &["staging", "web"]),
    ("api-prod", false, "API server", &["production", "api"]),
    ("db", false, "PostgreSQL", &["production", "database"]),
    ("redis", false, "Cache", &["production"]),
    ("k8s-worker", false, "Kubernetes node", &["production", "k8s"]),
    (
        "k8s-master",
        false,
        "Kubernetes control plane",
        &["production", "k8s"],
    ),
    ("mail", false, "Mail relay", &["production"]),
    ("dns", false, "Name server", &["infra"]),
    ("monitor", false, "Prometheus and Grafana", &["infra"]),
    ("gitlab-runner", false, "Build runner", &["dev"]),
    ("dev-sandbox", false, "Playground, may be deleted", &["dev"]),
    ("backup-proxy", false, "Backup proxy", &["infra", "backup"]),
    ("vpn", false, "VPN gateway", &["infra"]),
    (
        "win2022-rds",
        true,
        "Remote desktop host",
        &["production", "windows"],
    ),
    ("win2022-dc", true, "Domain controller", &["infra", "windows"]),
    (
        "win2022-sql",
        true,
        "SQL Server",
        &["production", "windows", "database"],
    ),
    ("win11-vdi", true, "Virtual desktop", &["vdi", "windows"]),
];

pub fn build(db: &mut Db, config: &PoolConfig, ground: &Ground) {
    for at in 0..config.vms {
        let (prefix, windows, text, tags) = ROLES[(at * 7 + db.seed.below(5)) % ROLES.len()];
        let number = at / ROLES.len() + 1;
        let name = if config.vms > 900 {
            format!("{prefix}-{at:05}")
        } else {
            format!("{prefix}-{number:03}-{at}")
        };
        let os = if windows {
            db.seed.pick(&guests::WINDOWS)
        } else {
            db.seed.pick(&guests::LINUX)
        };
        let vm = machine(db, ground, &name, text, tags, os);
        let vm = vm.as_str();
        hardware(db, ground, vm, &name, at);
        let host = ground.hosts[at % ground.hosts.len()].clone();
        state(db, ground, vm, &host, os, at);
        if db.seed.chance(6) {
            snapshots(db, ground, vm);
        }
    }
}

fn machine(db: &mut Db, ground: &Ground, name: &str, text: &str, tags: &[&str], os: &Os) -> String {
    let memory = *db.seed.pick(&[1, 2, 2, 4, 4, 4, 8, 8, 16]) * GIB;
    let cpus = *db.seed.pick(&[1, 2, 2, 2, 4, 4, 8]);
    let install = ground.today - db.seed.between(20, 1500) * 86_400;
    let metrics = db.create(
        "VM_metrics",
        [
            ("memory_actual", Value::Int(0)),
            ("VCPUs_number", Value::Int(cpus)),
            ("install_time", Value::Date(install)),
            ("last_updated", Value::Date(ground.today)),
        ],
    );
    let (mac_seed, generation) = (
        db.seed.uuid(),
        format!("{}:{}", db.seed.next() as i64, db.seed.next() as i64),
    );
    let base = match (os.windows, os.distro) {
        (true, _) => "Windows Server 2022 (64-bit)",
        (_, "ubuntu") => "Ubuntu Noble Numbat 24.04",
        (_, "debian") => "Debian Bookworm 12",
        _ => "Rocky Linux 9",
    };
    let mut other_config = vec![("mac_seed", mac_seed.as_str()), ("base_template_name", base)];
    if db.seed.chance(15) {
        other_config.push(("auto_poweron", "true"));
    }
    let minimum = if db.seed.chance(10) { memory / 2 } else { memory };
    let tags = if db.seed.chance(80) {
        Value::set_of(tags)
    } else {
        Value::Set(vec![])
    };
    let vm = db.create(
        "VM",
        [
            ("name_label", Value::from(name)),
            ("name_description", Value::from(text)),
            ("user_version", Value::Int(1)),
            ("metrics", Value::from(&*metrics)),
            ("memory_overhead", Value::Int(11 << 20)),
            ("memory_static_max", Value::Int(memory)),
            ("memory_dynamic_max", Value::Int(memory)),
            ("memory_dynamic_min", Value::Int(minimum)),
            ("memory_static_min", Value::Int(512 << 20)),
            ("VCPUs_max", Value::Int(cpus)),
            ("VCPUs_at_startup", Value::Int(cpus)),
            ("VCPUs_params", texts([("weight", "256"), ("cap", "0")])),
            ("actions_after_shutdown", Value::from("destroy")),
            ("actions_after_reboot", Value::from("restart")),
            ("actions_after_crash", Value::from("restart")),
            ("HVM_boot_policy", Value::from("BIOS order")),
            (
                "HVM_boot_params",
                texts([
                    ("order", "cd"),
                    ("firmware", if os.windows { "uefi" } else { "bios" }),
                ]),
            ),
            (
                "platform",
                texts([
                    ("acpi", "1"),
                    ("apic", "true"),
                    ("pae", "true"),
                    ("nx", "true"),
                    ("vga", "std"),
                    ("videoram", "8"),
                    ("timeoffset", "0"),
                    ("device-model", "qemu-upstream-compat"),
                    ("viridian", if os.windows { "true" } else { "false" }),
                ]),
            ),
            ("other_config", Value::map_of(other_config)),
            ("xenstore_data", texts([("vm-data", "")])),
            (
                "bios_strings",
                texts([
                    ("bios-vendor", "Xen"),
                    ("system-manufacturer", "Xen"),
                    ("system-product-name", "HVM domU"),
                    ("hp-rombios", ""),
                ]),
            ),
            ("domid", Value::Int(-1)),
            ("domain_type", Value::from("hvm")),
            ("domarch", Value::from("")),
            ("generation_id", Value::from(generation)),
            ("has_vendor_device", Value::Bool(false)),
            ("hardware_platform_version", Value::Int(0)),
            ("tags", tags),
        ],
    );
    vm.to_string()
}

fn hardware(db: &mut Db, ground: &Ground, vm: &str, name: &str, at: usize) {
    let shared = db.seed.chance(90);
    let sr = match shared {
        true => ground.shared_srs[at % ground.shared_srs.len()].to_string(),
        false => ground.local_srs[at % ground.local_srs.len()].to_string(),
    };
    let disks = [1, 1, 1, 1, 1, 1, 2, 2, 2, 3][db.seed.below(10)];
    for number in 0..disks {
        let size = if number == 0 {
            *db.seed.pick(&[10, 20, 20, 40, 64])
        } else {
            *db.seed.pick(&[50, 100, 200, 500])
        } * GIB;
        let label = if number == 0 {
            format!("{name} system")
        } else {
            format!("{name} data {number}")
        };
        let vdi = storage_disk(db, &sr, &label, size);
        disk(db, vm, &vdi, number);
    }
    if db.seed.chance(25) {
        let iso = (db.seed.chance(20)).then(|| db.seed.pick(&ground.isos).to_string());
        db.create(
            "VBD",
            [
                ("VM", Value::from(vm)),
                ("VDI", iso.as_deref().map_or_else(Value::null, Value::from)),
                ("empty", Value::Bool(iso.is_none())),
                ("userdevice", Value::from("3")),
                ("mode", Value::from("RO")),
                ("type", Value::from("CD")),
            ],
        );
    }
    for number in 0..if db.seed.chance(15) { 2 } else { 1 } {
        let network = db.seed.pick(&ground.guest_networks).to_string();
        interface(db, vm, &network, number);
    }
}

/// Sums are kept by the caller of the whole world; here only the record matters.
fn storage_disk(db: &mut Db, sr: &str, name: &str, size: i64) -> String {
    let uuid = db.seed.uuid();
    let used = (size as f64 * (0.15 + db.seed.unit() * 0.7)) as i64;
    let vdi = db.create(
        "VDI",
        [
            ("uuid", Value::from(&uuid)),
            ("location", Value::from(&uuid)),
            ("name_label", Value::from(name)),
            ("SR", Value::from(sr)),
            ("type", Value::from("user")),
            ("managed", Value::Bool(true)),
            ("virtual_size", Value::Int(size)),
            ("physical_utilisation", Value::Int(used)),
            ("sm_config", texts([("vdi_type", "vhd")])),
        ],
    );
    for (field, more) in [("virtual_allocation", size), ("physical_utilisation", used)] {
        let sum = db.get("SR", sr, field).int() + more;
        db.set("SR", sr, field, sum);
    }
    vdi.to_string()
}

pub fn disk(db: &mut Db, vm: &str, vdi: &str, number: usize) {
    let metrics = db.create("VBD_metrics", []);
    db.create(
        "VBD",
        [
            ("VM", Value::from(vm)),
            ("VDI", Value::from(vdi)),
            ("userdevice", Value::from(number.to_string())),
            ("bootable", Value::Bool(number == 0)),
            ("mode", Value::from("RW")),
            ("type", Value::from("Disk")),
            ("other_config", texts([("owner", "")])),
            ("metrics", Value::from(&*metrics)),
        ],
    );
}

pub fn interface(db: &mut Db, vm: &str, network: &str, number: usize) {
    let mac = db.seed.mac();
    db.create(
        "VIF",
        [
            ("VM", Value::from(vm)),
            ("network", Value::from(network)),
            ("device", Value::from(number.to_string())),
            ("MAC", Value::from(mac)),
            ("MTU", Value::Int(1500)),
            ("MAC_autogenerated", Value::Bool(true)),
        ],
    );
}

/// Most run; some are halted, a few suspended or paused.
fn state(db: &mut Db, ground: &Ground, vm: &str, host: &str, os: &Os, at: usize) {
    let dice = db.seed.below(100);
    let tools = !db.seed.chance(7);
    let addresses: Vec<String> = (0..db.get("VM", vm, "VIFs").set().len())
        .map(|nic| {
            format!(
                "10.{}.{}.{}",
                20 + at / 62_500,
                at / 250 % 250,
                at % 250 + 3 + nic % 2
            )
        })
        .collect();
    if tools && dice < 92 {
        let fields = guests::fields(db, os, &addresses, ground.today);
        let metrics = db.create("VM_guest_metrics", fields);
        db.set("VM", vm, "guest_metrics", &*metrics);
    }
    if (78..96).contains(&dice) {
        return;
    }
    // A guest with a disk on another host's local storage can only run there.
    let host = home(db, vm).unwrap_or_else(|| host.to_owned());
    power::boot(db, vm, &host, false);
    let started = ground.today - db.seed.between(0, 120) * 86_400 - db.seed.between(0, 80_000);
    let metrics = db.text("VM", vm, "metrics");
    db.set("VM_metrics", &metrics, "start_time", Value::Date(started));
    match dice {
        96 | 97 => power::freeze(db, vm),
        98 => drop(db.set("VM", vm, "power_state", "Paused")),
        _ => {}
    }
}

fn home(db: &Db, vm: &str) -> Option<String> {
    let vbd = db.get("VM", vm, "VBDs").set().first()?.str();
    let sr = db.get("VDI", db.get("VBD", vbd, "VDI").str(), "SR").str();
    let pbds = db.get("SR", sr, "PBDs").set();
    match pbds {
        [only] if !db.get("SR", sr, "shared").bool() => Some(db.text("PBD", only.str(), "host")),
        _ => None,
    }
}

fn snapshots(db: &mut Db, ground: &Ground, vm: &str) {
    let count = 1 + db.seed.below(3);
    let mut at = ground.today - 90 * 86_400;
    for number in 0..count {
        at += db.seed.between(3, 25) * 86_400;
        let name = ["before upgrade", "weekly", "known good"][number % 3];
        let snapshot = clone_vm(db, vm, "snapshot", name);
        let time = Value::Date(at);
        db.set("VM", &snapshot, "snapshot_time", time.clone());
        for vbd in db.members("VM", &snapshot, "VBDs") {
            let vdi = db.text("VBD", &vbd, "VDI");
            if db.get("VDI", &vdi, "is_a_snapshot").bool() {
                db.set("VDI", &vdi, "snapshot_time", time.clone());
            }
        }
    }
}
