//! The rest of a lived-in pool: storage drivers, USB and graphics, trusted platform modules, messages.

use super::{Ground, texts};
use crate::db::Db;
use crate::value::Value;

const DRIVERS: [(&str, &str); 9] = [
    ("ext", "Local EXT4 VHD"),
    ("lvm", "Local VHD on LVM"),
    ("nfs", "NFS VHD"),
    ("lvmoiscsi", "VHD over iSCSI"),
    ("lvmohba", "VHD over HBA"),
    ("iso", "ISO"),
    ("udev", "udev"),
    ("smb", "SMB VHD"),
    ("dummy", "dummy"),
];

pub fn storage_managers(db: &mut Db) {
    for (kind, name) in DRIVERS {
        let features = [
            "SR_PROBE",
            "SR_UPDATE",
            "VDI_CREATE",
            "VDI_DELETE",
            "VDI_ATTACH",
            "VDI_SNAPSHOT",
            "VDI_CLONE",
            "VDI_RESIZE",
        ];
        db.create(
            "SM",
            [
                ("type", Value::from(kind)),
                ("name_label", Value::from(name)),
                ("name_description", Value::from(format!("SR plugin for {name}"))),
                ("vendor", Value::from("Citrix Systems Inc")),
                ("version", Value::from("1.0")),
                ("required_api_version", Value::from("1.0")),
                ("capabilities", Value::set_of(features)),
                (
                    "features",
                    Value::map_of(features.map(|feature| (feature, Value::Int(1)))),
                ),
                (
                    "driver_filename",
                    Value::from(format!("/opt/xensource/sm/{}SR", kind.to_uppercase())),
                ),
            ],
        );
    }
}

pub fn build(db: &mut Db, ground: &Ground) {
    graphics(db);
    patches(db, ground);
    guest_graphics(db);
    usb(db, ground);
    trusted_platform_modules(db);
    messages(db, ground);
}

fn graphics(db: &mut Db) {
    let passthrough = vgpu_type(db, "", "passthrough", 0);
    let mut all = vec![Value::from(passthrough)];
    for (model, memory) in [
        ("GRID T4-1Q", 1 << 30),
        ("GRID T4-4Q", 4 << 30),
        ("GRID T4-16Q", 16 << 30),
    ] {
        all.push(Value::from(vgpu_type(db, "NVIDIA Corporation", model, memory)));
    }
    for pgpu in db.refs("PGPU") {
        let types = if db.get("PGPU", &pgpu, "is_system_display_device").bool() {
            &all[..1]
        } else {
            &all[..]
        };
        let group = db.text("PGPU", &pgpu, "GPU_group");
        for field in ["supported_VGPU_types", "enabled_VGPU_types"] {
            db.set("PGPU", &pgpu, field, Value::Set(types.to_vec()));
            db.set("GPU_group", &group, field, Value::Set(types.to_vec()));
        }
    }
}

fn vgpu_type(db: &mut Db, vendor: &str, model: &str, memory: i64) -> String {
    let made = db.create(
        "VGPU_type",
        [
            ("vendor_name", Value::from(vendor)),
            ("model_name", Value::from(model)),
            ("framebuffer_size", Value::Int(memory)),
            ("max_heads", Value::Int(i64::from(memory > 0) * 4)),
            ("max_resolution_x", Value::Int(i64::from(memory > 0) * 5120)),
            ("max_resolution_y", Value::Int(i64::from(memory > 0) * 2880)),
            (
                "implementation",
                Value::from(if memory > 0 { "nvidia" } else { "passthrough" }),
            ),
        ],
    );
    made.to_string()
}

/// What older clients read about updates: a patch for each update, and a record of it on each host.
fn patches(db: &mut Db, ground: &Ground) {
    for update in db.refs("pool_update") {
        let text = |db: &Db, field: &str| Value::from(db.text("pool_update", &update, field));
        let (name, about, version) = (
            text(db, "name_label"),
            text(db, "name_description"),
            text(db, "version"),
        );
        let size = db.get("pool_update", &update, "installation_size").clone();
        let patch = db.create(
            "pool_patch",
            [
                ("name_label", name.clone()),
                ("name_description", about.clone()),
                ("version", version.clone()),
                ("size", size.clone()),
                ("pool_applied", Value::Bool(true)),
                ("pool_update", Value::from(&*update)),
            ],
        );
        for host in &ground.hosts {
            db.create(
                "host_patch",
                [
                    ("name_label", name.clone()),
                    ("name_description", about.clone()),
                    ("version", version.clone()),
                    ("size", size.clone()),
                    ("host", Value::from(&**host)),
                    ("applied", Value::Bool(true)),
                    ("timestamp_applied", Value::Date(ground.today - 40 * 86_400)),
                    ("pool_patch", Value::from(&*patch)),
                ],
            );
        }
    }
}

/// A halted guest that is to get a graphics card.
fn guest_graphics(db: &mut Db) {
    let guest = db.refs("VM").into_iter().rev().find(|vm| {
        db.get("VM", vm, "power_state").str() == "Halted" && !db.get("VM", vm, "is_a_template").bool()
    });
    let group = db
        .refs("PGPU")
        .into_iter()
        .find(|pgpu| !db.get("PGPU", pgpu, "is_system_display_device").bool());
    let model = db.find("VGPU_type", "model_name", "GRID T4-4Q");
    if let (Some(vm), Some(pgpu), Some(model)) = (guest, group, model) {
        let group = db.text("PGPU", &pgpu, "GPU_group");
        db.create(
            "VGPU",
            [
                ("VM", Value::from(&*vm)),
                ("GPU_group", Value::from(group)),
                ("device", Value::from("0")),
                ("type", Value::from(&*model)),
            ],
        );
    }
}

fn usb(db: &mut Db, ground: &Ground) {
    let Some(host) = ground.hosts.first().cloned() else {
        return;
    };
    let group = db.create(
        "USB_group",
        [("name_label", Value::from("Group of 0529 0001 USBs"))],
    );
    db.create(
        "PUSB",
        [
            ("host", Value::from(&*host)),
            ("USB_group", Value::from(&*group)),
            ("path", Value::from("1-2")),
            ("vendor_id", Value::from("0529")),
            ("vendor_desc", Value::from("Aladdin Knowledge Systems")),
            ("product_id", Value::from("0001")),
            ("product_desc", Value::from("HASP copy protection dongle")),
            ("serial", Value::from("")),
            ("version", Value::from("1.10")),
            (
                "description",
                Value::from("Aladdin Knowledge Systems_HASP copy protection dongle"),
            ),
            ("passthrough_enabled", Value::Bool(true)),
            ("speed", Value::Float(12.0)),
        ],
    );
    let halted = db.refs("VM").into_iter().find(|vm| {
        db.get("VM", vm, "power_state").str() == "Halted" && !db.get("VM", vm, "is_a_template").bool()
    });
    if let Some(vm) = halted {
        db.create(
            "VUSB",
            [("VM", Value::from(&*vm)), ("USB_group", Value::from(&*group))],
        );
    }
}

fn trusted_platform_modules(db: &mut Db) {
    for vm in db.refs("VM") {
        if db.get("VM", &vm, "name_label").str().starts_with("win11-vdi")
            && !db.get("VM", &vm, "is_a_template").bool()
        {
            db.create(
                "VTPM",
                [("VM", Value::from(&*vm)), ("is_unique", Value::Bool(false))],
            );
        }
    }
}

fn messages(db: &mut Db, ground: &Ground) {
    let add = |db: &mut Db, name: &str, priority: i64, cls: &str, uuid: &str, days: i64, body: String| {
        db.create(
            "message",
            [
                ("name", Value::from(name)),
                ("priority", Value::Int(priority)),
                ("cls", Value::from(cls)),
                ("obj_uuid", Value::from(uuid)),
                ("timestamp", Value::Date(ground.today - days * 86_400 + 30_000)),
                ("body", Value::from(body)),
            ],
        );
    };
    let vms: Vec<_> = db
        .refs("VM")
        .into_iter()
        .filter(|vm| !db.get("VM", vm, "is_a_template").bool())
        .collect();
    for at in 0..vms.len().min(60) {
        let vm = &vms[at * 7 % vms.len()];
        let (uuid, name) = (db.text("VM", vm, "uuid"), db.text("VM", vm, "name_label"));
        let (code, what) = [
            ("VM_STARTED", "started"),
            ("VM_REBOOTED", "rebooted"),
            ("VM_SHUTDOWN", "shut down"),
        ][at % 3];
        add(
            db,
            code,
            5,
            "VM",
            &uuid,
            at as i64 % 30,
            format!("VM '{name}' (uuid: {uuid}) {what}"),
        );
    }
    if let Some(vm) = vms.first() {
        let uuid = db.text("VM", vm, "uuid");
        let body = "value: 0.973\nconfig:\n<variable>\n\t<name value=\"cpu_usage\"/>\n\t<alarm_trigger_level value=\"0.9\"/>\n</variable>";
        add(db, "ALARM", 3, "VM", &uuid, 1, body.to_owned());
    }
    if let Some(host) = ground.hosts.last() {
        let uuid = db.text("host", host, "uuid");
        let body = "value: 0.91\nconfig:\n<variable>\n\t<name value=\"memory_free_kib\"/>\n\t<alarm_trigger_level value=\"0.9\"/>\n</variable>";
        add(db, "ALARM", 3, "Host", &uuid, 0, body.to_owned());
        add(
            db,
            "PBD_PLUG_FAILED_ON_SERVER_START",
            3,
            "Host",
            &uuid,
            9,
            String::new(),
        );
    }
    let pool = ground.pool.clone();
    db.set("pool", &pool, "gui_config", texts([]));
}
