//! Templates: those that a host brings along, and a few that people made.

use super::{Ground, texts};
use crate::db::Db;
use crate::ops::{new_vdi, row_copy};
use crate::value::Value;

/// Name, operating system family, default memory in MiB, default disk in GiB.
const BUILT_IN: [(&str, &str, i64, i64); 26] = [
    ("AlmaLinux 8", "linux", 2048, 10),
    ("AlmaLinux 9", "linux", 2048, 10),
    ("CentOS 7", "linux", 2048, 10),
    ("CentOS Stream 9", "linux", 2048, 10),
    ("CoreOS", "linux", 2048, 5),
    ("Debian Bullseye 11", "linux", 1024, 10),
    ("Debian Bookworm 12", "linux", 1024, 10),
    ("Gooroom Platform 2.0", "linux", 1024, 10),
    ("NeoKylin Linux Server 7", "linux", 2048, 10),
    ("Oracle Linux 8", "linux", 2048, 10),
    ("Oracle Linux 9", "linux", 2048, 10),
    ("Red Hat Enterprise Linux 8", "linux", 2048, 10),
    ("Red Hat Enterprise Linux 9", "linux", 2048, 10),
    ("Rocky Linux 8", "linux", 2048, 10),
    ("Rocky Linux 9", "linux", 2048, 10),
    ("SUSE Linux Enterprise Server 15 SP 5 (64-bit)", "linux", 1024, 8),
    ("Scientific Linux 7", "linux", 2048, 10),
    ("Ubuntu Focal Fossa 20.04", "linux", 2048, 10),
    ("Ubuntu Jammy Jellyfish 22.04", "linux", 4096, 10),
    ("Ubuntu Noble Numbat 24.04", "linux", 4096, 10),
    ("Windows 10 (64-bit)", "windows", 2048, 32),
    ("Windows 11", "windows", 4096, 64),
    ("Windows Server 2019 (64-bit)", "windows", 2048, 32),
    ("Windows Server 2022 (64-bit)", "windows", 2048, 32),
    ("Windows Server 2025", "windows", 2048, 32),
    ("Other install media", "other", 1024, 0),
];

pub fn build(db: &mut Db, ground: &Ground) {
    for (name, family, memory, disk) in BUILT_IN {
        built_in(db, name, family, memory << 20, disk << 30);
    }
    for (name, base) in [
        ("tpl-debian12-cloudinit", "Debian Bookworm 12"),
        ("tpl-ubuntu2404-hardened", "Ubuntu Noble Numbat 24.04"),
        ("tpl-win2022-gold", "Windows Server 2022 (64-bit)"),
    ] {
        custom(db, ground, name, base);
    }
}

fn built_in(db: &mut Db, name: &str, family: &str, memory: i64, disk: i64) {
    let windows = family == "windows";
    let label = name.to_lowercase().replace([' ', '(', ')', '.'], "-");
    let disks = match disk {
        0 => String::new(),
        size => format!(
            "<provision><disk device=\"0\" size=\"{size}\" sr=\"\" bootable=\"true\" type=\"system\"/></provision>"
        ),
    };
    let mac_seed = db.seed.uuid();
    let mut other_config = vec![
        ("default_template", "true"),
        ("mac_seed", mac_seed.as_str()),
        (
            "install-methods",
            if family == "linux" {
                "cdrom,nfs,http,ftp"
            } else {
                "cdrom"
            },
        ),
        ("import_task", "OpaqueRef:NULL"),
    ];
    if !disks.is_empty() {
        other_config.push(("disks", &disks));
    }
    if family == "linux" {
        other_config.push(("linux_template", "true"));
    }
    let metrics = db.create("VM_metrics", []);
    let uefi = name.contains("11") && windows || name.contains("2025");
    db.create("VM", [
        ("name_label", Value::from(name)),
        ("name_description", Value::from(format!("Clones of this template will automatically provision their storage when first booted and then reconfigure themselves with the optimal settings for {name}."))),
        ("is_a_template", Value::Bool(true)),
        ("is_default_template", Value::Bool(true)),
        ("reference_label", Value::from(label)),
        ("metrics", Value::from(&*metrics)),
        ("memory_static_max", Value::Int(memory)),
        ("memory_dynamic_max", Value::Int(memory)),
        ("memory_dynamic_min", Value::Int(memory)),
        ("memory_static_min", Value::Int(memory / 4)),
        ("memory_target", Value::Int(0)),
        ("VCPUs_max", Value::Int(if windows { 2 } else { 1 })),
        ("VCPUs_at_startup", Value::Int(if windows { 2 } else { 1 })),
        ("HVM_boot_policy", Value::from("BIOS order")),
        ("HVM_boot_params", texts([("order", "cdn"), ("firmware", if uefi { "uefi" } else { "bios" })])),
        ("platform", texts([
            ("acpi", "1"), ("apic", "true"), ("pae", "true"), ("nx", "true"), ("vga", "std"), ("videoram", "8"),
            ("hpet", "true"), ("viridian", if windows { "true" } else { "false" }),
        ])),
        ("recommendations", Value::from("<restrictions><restriction field=\"memory-static-max\" max=\"1649267441664\"/><restriction field=\"vcpus-max\" max=\"32\"/><restriction property=\"number-of-vbds\" max=\"255\"/><restriction property=\"number-of-vifs\" max=\"7\"/></restrictions>")),
        ("other_config", Value::map_of(other_config)),
        ("actions_after_shutdown", Value::from("destroy")),
        ("actions_after_reboot", Value::from("restart")),
        ("actions_after_crash", Value::from("restart")),
        ("domid", Value::Int(-1)),
        ("domain_type", Value::from("hvm")),
        ("has_vendor_device", Value::Bool(windows)),
    ]);
}

fn custom(db: &mut Db, ground: &Ground, name: &str, base: &str) {
    let Some(base) = db.find("VM", "name_label", base) else {
        return;
    };
    let metrics = row_copy(db, "VM_metrics", &db.text("VM", &base, "metrics"), &[]);
    let seed = db.seed.uuid();
    let other_config = db.get("VM", &base, "other_config").clone();
    let other_config = ["default_template", "disks", "install-methods"]
        .iter()
        .fold(other_config, |config, key| config.with(key, None))
        .with("mac_seed", Some(Value::from(seed)));
    let vm = row_copy(
        db,
        "VM",
        &base,
        &[
            ("name_label", Value::from(name)),
            ("name_description", Value::from("Maintained by the platform team")),
            ("is_default_template", Value::Bool(false)),
            ("metrics", Value::from(metrics)),
            ("other_config", other_config),
            ("tags", Value::set_of(["template"])),
        ],
    );
    let sr = ground.shared_srs[0].to_string();
    let vdi = new_vdi(db, &sr, &format!("{name} system"), 20 << 30);
    super::vms::disk(db, &vm, &vdi, 0);
    let network = ground.guest_networks[0].to_string();
    super::vms::interface(db, &vm, &network, 0);
}
