//! `/export`: a virtual machine as XVA, which is a tar of its records (`ova.xml`) and its disks in pieces of 1 MiB,
//! each followed by its checksum. Pieces of zeros are left out, but for the first and the last.

use std::collections::BTreeMap;

use tokio::io::{AsyncRead, AsyncWrite};
use xxhash_rust::xxh64::xxh64;

use super::packed::Packer;
use super::{Exchange, Flow, tar};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::value::{NULL_REF, Value};
use crate::wire::Wire;

pub const PIECE: u64 = 1 << 20;

/// Classes in the order of the file.
const ORDER: [&str; 13] = [
    "host",
    "VM",
    "VM_metrics",
    "VM_guest_metrics",
    "VBD",
    "VIF",
    "network",
    "VDI",
    "SR",
    "VGPU_type",
    "VGPU",
    "GPU_group",
    "VTPM",
];

pub async fn export<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    with_disks: bool,
) -> Flow<Value> {
    let vm = exchange.named("VM", &["ref", "uuid"])?;
    let plan = {
        let db = exchange.pool.db();
        let state = db.text("VM", &vm, "power_state");
        if with_disks && !matches!(state.as_str(), "Halted" | "Suspended") {
            let state = state.to_lowercase();
            return Err(Fault::new("VM_BAD_POWER_STATE", [&*vm, "halted, suspended", &state]).into());
        }
        let keeps_state = exchange.request.parameter("preserve_power_state") == Some("true");
        Plan::new(&db, &vm, keeps_state)
    };
    exchange.pool.write(|db| {
        let mark = Some(Value::from(if with_disks { "export" } else { "metadata_export" }));
        db.set_entry("VM", &vm, "current_operations", &exchange.task, mark);
        crate::ops::lifecycle::refresh(db, "VM", &vm);
    });
    let sent = send(exchange, &plan, with_disks).await;
    exchange.pool.write(|db| {
        if db.exists("VM", &vm) {
            db.set_entry("VM", &vm, "current_operations", &exchange.task, None);
            crate::ops::lifecycle::refresh(db, "VM", &vm);
        }
    });
    sent.map(|()| Value::void())
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    plan: &Plan,
    with_disks: bool,
) -> Flow<()> {
    exchange
        .begin(&[
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", "attachment; filename=\"export.xva\""),
        ])
        .await?;
    let packing = exchange.request.parameter("use_compression").unwrap_or_default();
    let mut packer = Packer::named(packing);
    put(exchange, &mut packer, &tar::file("ova.xml", plan.ova.as_bytes())).await?;
    let disks: &[_] = if with_disks { &plan.disks } else { &[] };
    let total: u64 = disks.iter().map(|disk| disk.size).sum();
    let mut done = 0;
    for disk in disks {
        let last = disk.size.div_ceil(PIECE).saturating_sub(1);
        for number in 0..=last {
            let at = number * PIECE;
            let length = PIECE.min(disk.size - at) as usize;
            let held = exchange.pool.db().disks.read(&disk.vdi, &disk.uuid, at, length);
            let bytes = match (held, number == 0 || number == last) {
                (Some(bytes), _) => bytes,
                (None, true) => vec![0; length],
                (None, false) => continue,
            };
            let name = format!("{}/{number:08}", disk.name);
            let sum = format!("{:016X}", xxh64(&bytes, 0));
            put(exchange, &mut packer, &tar::file(&name, &bytes)).await?;
            let sum = tar::file(&format!("{name}.xxhash"), sum.as_bytes());
            put(exchange, &mut packer, &sum).await?;
            exchange.progress((done + at) as f64 / total as f64)?;
        }
        done += disk.size;
    }
    put(exchange, &mut packer, &[0; 2 * tar::BLOCK]).await?;
    exchange.send(&packer.finish()).await
}

async fn put<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    packer: &mut Packer,
    bytes: &[u8],
) -> Flow<()> {
    let packed = packer.pack(bytes);
    exchange.send(&packed).await
}

struct Disk {
    vdi: String,
    uuid: String,
    name: String,
    size: u64,
}

struct Plan {
    ova: String,
    /// In the lexical order of their names.
    disks: Vec<Disk>,
}

impl Plan {
    fn new(db: &Db, vm: &str, keeps_state: bool) -> Plan {
        let mut chosen: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        let mut choose = |name: &str, reference: String| {
            let at = ORDER.iter().position(|known| *known == name).unwrap_or_default();
            let list = chosen.entry(at).or_default();
            if db.exists(name, &reference) && !list.contains(&reference) {
                list.push(reference);
            }
        };
        choose("VM", vm.to_owned());
        choose("VM_metrics", db.text("VM", vm, "metrics"));
        choose("VM_guest_metrics", db.text("VM", vm, "guest_metrics"));
        for vbd in db.members("VM", vm, "VBDs") {
            let vdi = db.text("VBD", &vbd, "VDI");
            choose("SR", db.text("VDI", &vdi, "SR"));
            choose("VDI", vdi);
            choose("VBD", vbd);
        }
        for vif in db.members("VM", vm, "VIFs") {
            choose("network", db.text("VIF", &vif, "network"));
            choose("VIF", vif);
        }
        for vgpu in db.members("VM", vm, "VGPUs") {
            choose("VGPU_type", db.text("VGPU", &vgpu, "type"));
            choose("GPU_group", db.text("VGPU", &vgpu, "GPU_group"));
            choose("VGPU", vgpu);
        }
        for vtpm in db.members("VM", vm, "VTPMs") {
            choose("VTPM", vtpm);
        }
        let all = || {
            chosen
                .iter()
                .flat_map(|(at, list)| list.iter().map(|reference| (ORDER[*at], reference)))
        };
        let names: BTreeMap<&str, String> = all()
            .enumerate()
            .map(|(at, (_, reference))| (reference.as_str(), format!("Ref:{at}")))
            .collect();
        let objects = all().map(|(class, reference)| {
            Value::map_of([
                ("class", Value::from(class)),
                ("id", Value::from(&*names[reference.as_str()])),
                ("snapshot", snapshot(db, class, reference, &names, keeps_state)),
            ])
        });
        let host = db.master();
        let software = db.get("host", &host, "software_version");
        let version = [
            ("hostname", db.text("host", &host, "hostname")),
            ("date", software.text("date").to_owned()),
            ("product_version", software.text("product_version").to_owned()),
            ("product_brand", software.text("product_brand").to_owned()),
            ("build_number", software.text("build_number").to_owned()),
            ("xapi_major", "1".to_owned()),
            ("xapi_minor", "20".to_owned()),
            ("export_vsn", "2".to_owned()),
        ];
        let ova = Value::map_of([
            ("version", Value::map_of(version)),
            ("objects", Value::Set(objects.collect())),
        ]);
        let is_disk = |vbd: &String| db.text("VBD", vbd, "type") != "CD";
        let vbds = db.members("VM", vm, "VBDs").into_iter().filter(is_disk);
        let vdis = vbds
            .map(|vbd| db.text("VBD", &vbd, "VDI"))
            .filter(|vdi| db.exists("VDI", vdi));
        let mut disks: Vec<Disk> = vdis
            .map(|vdi| Disk {
                uuid: db.text("VDI", &vdi, "uuid"),
                name: names[vdi.as_str()].clone(),
                size: db.get("VDI", &vdi, "virtual_size").int() as u64,
                vdi,
            })
            .collect();
        disks.sort_by(|one, other| one.name.cmp(&other.name));
        disks.dedup_by(|one, other| one.name == other.name);
        Plan {
            ova: format!("<?xml version=\"1.0\"?>{}", Wire::Xml.value(&ova)),
            disks,
        }
    }
}

/// A record whose references are names of the file, or nothing.
fn snapshot(
    db: &Db,
    class_name: &str,
    reference: &str,
    names: &BTreeMap<&str, String>,
    keeps_state: bool,
) -> Value {
    let class = class(class_name);
    let fields = class.fields.iter().filter(|field| !field.internal);
    let fields = fields.map(|field| {
        let value = match field.name.as_str() {
            "current_operations" => Value::empty_map(),
            "allowed_operations" | "consoles" => Value::Set(vec![]),
            "power_state" if !keeps_state => Value::from("Halted"),
            name => renamed(db.get(class_name, reference, name), names),
        };
        (field.name.as_str(), value)
    });
    Value::map_of(fields.collect::<Vec<_>>())
}

fn renamed(value: &Value, names: &BTreeMap<&str, String>) -> Value {
    match value {
        Value::Str(text) if text.starts_with("OpaqueRef:") => {
            Value::from(names.get(&**text).map_or(NULL_REF, String::as_str))
        }
        Value::Set(items) => {
            let items = items.iter().map(|item| renamed(item, names));
            Value::Set(items.filter(|item| item.str() != NULL_REF).collect())
        }
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(key, value)| (key.clone(), renamed(value, names)))
                .collect(),
        ),
        other => other.clone(),
    }
}
