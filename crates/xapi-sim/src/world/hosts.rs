//! The pool, its hosts, their processors, devices, updates and control domains.

use std::net::SocketAddr;

use super::{Ground, texts};
use crate::db::Db;
use crate::pool::PoolConfig;
use crate::value::Value;

const GIB: i64 = 1 << 30;
const CPUS: usize = 16;
const SITES: [&str; 4] = ["par", "lyo", "fra", "ams"];

pub fn build(
    db: &mut Db,
    config: &PoolConfig,
    address: SocketAddr,
    fingerprints: &[&str],
    ground: &mut Ground,
) {
    let site = *db.seed.pick(&SITES);
    let number = config.seed % 200;
    for at in 0..config.hosts.max(1) {
        let own = if at == 0 {
            Some(address.ip())
        } else {
            super::supporter_address(address.ip(), at)
        };
        let ip = own.map_or_else(|| format!("10.{number}.0.{}", 10 + at), |ip| ip.to_string());
        let name = format!("xcp-{site}-{:02}", at + 1);
        let fingerprint = fingerprints.get(at).or(fingerprints.first()).unwrap_or(&"00:00");
        let host = host(db, &name, &ip, ground.today, at);
        certificate(db, &host, fingerprint, ground.today);
        ground.hosts.push(host);
    }
    let master = ground.hosts[0].clone();
    ground.pool = db.create(
        "pool",
        [
            ("name_label", Value::from(&config.name)),
            (
                "name_description",
                Value::from(format!("{} pool in {site}", config.name)),
            ),
            ("master", Value::from(&*master)),
            (
                "other_config",
                texts([
                    ("auto_poweron", "true"),
                    ("cpuid_feature_mask", ""),
                    ("memory-ratio-hvm", "0.25"),
                ]),
            ),
            ("cpu_info", cpu_info()),
            (
                "restrictions",
                texts([
                    ("restrict_vswitch_controller", "false"),
                    ("restrict_dmc", "false"),
                ]),
            ),
            ("guest_agent_config", texts([("auto_update_enabled", "true")])),
            ("tags", Value::set_of(["production", site])),
        ],
    );
    updates(db, ground);
}

fn cpu_info() -> Value {
    texts([
        ("cpu_count", "16"),
        ("socket_count", "2"),
        ("threads_per_core", "1"),
        ("vendor", "GenuineIntel"),
        ("speed", "2394.454"),
        ("modelname", "Intel(R) Xeon(R) Silver 4210R CPU @ 2.40GHz"),
        ("family", "6"),
        ("model", "85"),
        ("stepping", "7"),
        (
            "flags",
            "fpu de tsc msr pae mce cx8 apic sep mca cmov pat clflush acpi mmx fxsr sse sse2 ht syscall nx lm",
        ),
        (
            "features",
            "bfebfbff-f7fa3223-2d93fbff-00000123-00000001-f1bf0fb9-1b81fffb",
        ),
        (
            "features_pv",
            "1789cbf5-f6f83203-2991cbf5-00000123-00000001-02140328",
        ),
        (
            "features_hvm",
            "17cbfbff-f7fa3223-2d93fbff-00000123-00000001-001c0fab",
        ),
    ])
}

fn host(db: &mut Db, name: &str, ip: &str, today: i64, at: usize) -> crate::db::Ref {
    let metrics = db.create(
        "host_metrics",
        [
            ("memory_total", Value::Int(256 * GIB)),
            ("memory_free", Value::Int(200 * GIB)),
            ("live", Value::Bool(true)),
            ("last_updated", Value::Date(today)),
        ],
    );
    let boot = today - db.seed.between(2, 200) * 86_400 + db.seed.between(0, 80_000);
    let serial = format!("CZ{:08X}", db.seed.next() as u32);
    let iqn = format!("iqn.2019-03.com.example:{:08x}", db.seed.next() as u32);
    let (boot_text, agent_text) = (format!("{boot}."), format!("{}.", boot + 90));
    let host = db.create(
        "host",
        [
            ("name_label", Value::from(name)),
            ("name_description", Value::from("Default install")),
            ("hostname", Value::from(name)),
            ("address", Value::from(ip)),
            ("enabled", Value::Bool(true)),
            ("metrics", Value::from(&*metrics)),
            ("API_version_major", Value::Int(2)),
            ("API_version_minor", Value::Int(21)),
            ("API_version_vendor", Value::from("XenSource")),
            ("memory_overhead", Value::Int(1_600 << 20)),
            ("software_version", software(name)),
            (
                "other_config",
                texts([
                    ("agent_start_time", &agent_text),
                    ("boot_time", &boot_text),
                    ("iscsi_iqn", &iqn),
                    ("rpm_patch_installation_time", "1700000000."),
                ]),
            ),
            (
                "capabilities",
                Value::set_of([
                    "xen-3.0-x86_64",
                    "hvm-3.0-x86_32",
                    "hvm-3.0-x86_32p",
                    "hvm-3.0-x86_64",
                ]),
            ),
            ("cpu_configuration", texts([])),
            ("sched_policy", Value::from("credit")),
            ("supported_bootloaders", Value::set_of(["pygrub", "eliloader"])),
            ("cpu_info", cpu_info()),
            (
                "license_params",
                texts([
                    ("restrict_hotfix_apply", "false"),
                    ("restrict_pooling", "false"),
                    ("sku_type", "free"),
                    ("license_type", ""),
                    ("version", "8.3.0"),
                    ("expiry", "20500101T00:00:00Z"),
                ]),
            ),
            ("edition", Value::from("xcp-ng")),
            ("iscsi_iqn", Value::from(&iqn)),
            (
                "bios_strings",
                texts([
                    ("bios-vendor", "HPE"),
                    ("bios-version", "U32"),
                    ("system-manufacturer", "HPE"),
                    ("system-product-name", "ProLiant DL360 Gen10"),
                    ("system-serial-number", &serial),
                    ("hp-rombios", ""),
                ]),
            ),
            ("chipset_info", texts([("iommu", "true")])),
            (
                "virtual_hardware_platform_versions",
                Value::Set((0..4).map(Value::Int).collect()),
            ),
            (
                "tags",
                if at == 0 {
                    Value::set_of(["master"])
                } else {
                    Value::Set(vec![])
                },
            ),
            ("logging", texts([])),
        ],
    );
    let utilisation = db.seed.unit() / 2.0;
    for number in 0..CPUS {
        db.create(
            "host_cpu",
            [
                ("host", Value::from(&*host)),
                ("number", Value::Int(number as i64)),
                ("vendor", Value::from("GenuineIntel")),
                ("speed", Value::Int(2394)),
                (
                    "modelname",
                    Value::from("Intel(R) Xeon(R) Silver 4210R CPU @ 2.40GHz"),
                ),
                ("family", Value::Int(6)),
                ("model", Value::Int(85)),
                ("stepping", Value::from("7")),
                ("utilisation", Value::Float(utilisation)),
            ],
        );
    }
    control_domain(db, &host, name, boot);
    devices(db, &host, at);
    host
}

fn software(name: &str) -> Value {
    texts([
        ("product_version", "8.3.0"),
        ("product_version_text", "8.3"),
        ("product_version_text_short", "8.3"),
        ("product_brand", "XCP-ng"),
        ("build_number", "8.3.0"),
        ("platform_name", "XCP"),
        ("platform_version", "3.4.0"),
        ("hostname", name),
        ("date", "2024-10-07"),
        ("dbv", "0.0.1"),
        ("xapi", "24.19"),
        ("xen", "4.17.5-13"),
        ("linux", "4.19.0+1"),
        ("network_backend", "openvswitch"),
        ("db_schema", "5.780"),
    ])
}

fn control_domain(db: &mut Db, host: &str, name: &str, boot: i64) {
    let metrics = db.create(
        "VM_metrics",
        [
            ("memory_actual", Value::Int(8 * GIB)),
            ("VCPUs_number", Value::Int(16)),
            ("start_time", Value::Date(boot)),
            ("last_updated", Value::Date(boot)),
            ("current_domain_type", Value::from("pv")),
        ],
    );
    let memory = Value::Int(8 * GIB);
    let vm = db.create(
        "VM",
        [
            (
                "name_label",
                Value::from(format!("Control domain on host: {name}")),
            ),
            (
                "name_description",
                Value::from("The domain which manages physical devices and manages other domains"),
            ),
            ("power_state", Value::from("Running")),
            ("is_control_domain", Value::Bool(true)),
            ("user_version", Value::Int(1)),
            ("domid", Value::Int(0)),
            ("domarch", Value::from("x64")),
            ("domain_type", Value::from("pv")),
            ("resident_on", Value::from(host)),
            ("affinity", Value::from(host)),
            ("metrics", Value::from(&*metrics)),
            ("memory_static_max", memory.clone()),
            ("memory_dynamic_max", memory.clone()),
            ("memory_dynamic_min", memory.clone()),
            ("memory_static_min", memory.clone()),
            ("memory_target", memory),
            ("VCPUs_max", Value::Int(16)),
            ("VCPUs_at_startup", Value::Int(16)),
            ("actions_after_shutdown", Value::from("destroy")),
            ("actions_after_reboot", Value::from("destroy")),
            ("actions_after_crash", Value::from("destroy")),
            (
                "other_config",
                texts([("is_system_domain", "true"), ("perfmon", "")]),
            ),
        ],
    );
    db.set("host", host, "control_domain", &*vm);
    let address = db.text("host", host, "address");
    for protocol in ["rfb", "vt100"] {
        let console = db.create(
            "console",
            [("protocol", Value::from(protocol)), ("VM", Value::from(&*vm))],
        );
        db.set(
            "console",
            &console,
            "location",
            format!("https://{address}/console?ref={console}"),
        );
    }
}

/// PCI devices; every second host has a graphics card.
fn devices(db: &mut Db, host: &str, at: usize) {
    let pci = |db: &mut Db, id: &str, class: (&str, &str), vendor: (&str, &str), device: (&str, &str)| {
        db.create(
            "PCI",
            [
                ("host", Value::from(host)),
                ("pci_id", Value::from(id)),
                ("class_id", Value::from(class.0)),
                ("class_name", Value::from(class.1)),
                ("vendor_id", Value::from(vendor.0)),
                ("vendor_name", Value::from(vendor.1)),
                ("device_id", Value::from(device.0)),
                ("device_name", Value::from(device.1)),
                ("driver_name", Value::from("")),
            ],
        )
    };
    let intel = ("8086", "Intel Corporation");
    for number in 0..4 {
        let id = format!("0000:5d:00.{number}");
        pci(
            db,
            &id,
            ("02", "Ethernet controller"),
            intel,
            ("1572", "Ethernet Controller X710 for 10GbE SFP+"),
        );
    }
    pci(
        db,
        "0000:5c:00.0",
        ("01", "RAID bus controller"),
        ("1000", "Broadcom / LSI"),
        ("005d", "MegaRAID SAS-3 3108"),
    );
    let matrox = ("102b", "Matrox Electronics Systems Ltd.");
    let display = pci(
        db,
        "0000:03:00.0",
        ("03", "VGA compatible controller"),
        matrox,
        ("0538", "MGA G200eH"),
    );
    graphics(db, host, &display, true);
    if at % 2 == 1 {
        let card = pci(
            db,
            "0000:af:00.0",
            ("03", "3D controller"),
            ("10de", "NVIDIA Corporation"),
            ("1eb8", "TU104GL [Tesla T4]"),
        );
        graphics(db, host, &card, false);
    }
}

fn graphics(db: &mut Db, host: &str, pci: &str, is_display: bool) {
    let name = format!("Group of {} GPUs", db.text("PCI", pci, "device_name"));
    let group = match db.find("GPU_group", "name_label", &name) {
        Some(group) => group,
        None => db.create("GPU_group", [("name_label", Value::from(name))]),
    };
    db.create(
        "PGPU",
        [
            ("host", Value::from(host)),
            ("PCI", Value::from(pci)),
            ("GPU_group", Value::from(&*group)),
            ("is_system_display_device", Value::Bool(is_display)),
        ],
    );
}

fn certificate(db: &mut Db, host: &str, fingerprint: &str, today: i64) {
    db.create(
        "Certificate",
        [
            ("host", Value::from(host)),
            ("type", Value::from("host")),
            ("not_before", Value::Date(today - 300 * 86_400)),
            ("not_after", Value::Date(today + 3_350 * 86_400)),
            ("fingerprint", Value::from(fingerprint)),
            ("fingerprint_sha256", Value::from(fingerprint)),
        ],
    );
}

fn updates(db: &mut Db, ground: &Ground) {
    let hosts: Vec<Value> = ground.hosts.iter().map(|host| Value::from(&**host)).collect();
    for (name, text) in [
        ("XS83E001", "Security fixes for Xen"),
        ("XS83E002", "Fixes for storage and networking"),
    ] {
        let update = db.create(
            "pool_update",
            [
                ("name_label", Value::from(name)),
                ("name_description", Value::from(text)),
                ("version", Value::from("1.0")),
                ("installation_size", Value::Int(58 << 20)),
            ],
        );
        db.set("pool_update", &update, "hosts", Value::Set(hosts.clone()));
    }
}

/// Gives every host enough memory for its guests, as one who bought it would have.
pub fn settle_memory(db: &mut Db, ground: &Ground) {
    for host in &ground.hosts {
        let resident = db.members("host", host, "resident_VMs");
        let used: i64 = resident
            .iter()
            .map(|vm| db.get("VM", vm, "memory_target").int())
            .sum();
        let mut total = 256 * GIB;
        while total < used + used / 4 {
            total += 128 * GIB;
        }
        let metrics = db.text("host", host, "metrics");
        db.update(
            "host_metrics",
            &metrics,
            [
                ("memory_total", Value::Int(total)),
                ("memory_free", Value::Int(total - used - 2 * GIB)),
            ],
        );
    }
}
