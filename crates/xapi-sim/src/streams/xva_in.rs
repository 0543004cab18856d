//! `/import`: a virtual machine from XVA, packed or not. The answer comes before the body is read; how it went is told by the task.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite};
use xxhash_rust::xxh64::xxh64;

use super::{Broken, Exchange, Flow, raw, tar};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::ops::{self, lifecycle};
use crate::rpc::params::convert;
use crate::value::{NULL_REF, Value};
use crate::wire::xml;

/// Largest `ova.xml`, and largest piece of a disk.
const MAX_OVA: u64 = 16 << 20;
const MAX_PIECE: u64 = 16 << 20;

fn failed(text: impl Into<String>) -> Broken {
    Broken::Fault(Fault::new("IMPORT_ERROR", [text.into()]))
}

pub async fn import<S: AsyncRead + AsyncWrite + Unpin>(exchange: &mut Exchange<'_, S>) -> Flow<Value> {
    if exchange.request.header("transfer-encoding").is_some() {
        let fault = Fault::bare("IMPORT_ERROR_CANNOT_HANDLE_CHUNKED");
        return Err(Broken::Refused(403, fault));
    }
    let sr = match ["sr_id", "sr_uuid"]
        .iter()
        .any(|name| exchange.request.parameter(name).is_some())
    {
        true => exchange.named("SR", &["sr_id", "sr_uuid"])?,
        false => default_sr(&exchange.pool.db())?,
    };
    if exchange.pool.db().text("SR", &sr, "content_type") == "iso" {
        return Err(Broken::Refused(
            400,
            Fault::new("SR_OPERATION_NOT_SUPPORTED", [sr]),
        ));
    }
    exchange.begin(&[]).await?;
    receive(exchange, &sr).await
}

pub fn default_sr(db: &Db) -> Result<String, Fault> {
    let sr = db.text("pool", &db.pool(), "default_SR");
    match db.exists("SR", &sr) {
        true => Ok(sr),
        false => Err(Fault::new("DEFAULT_SR_NOT_FOUND", [sr])),
    }
}

/// The file itself, wherever it comes from.
pub async fn receive<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    sr: &str,
) -> Flow<Value> {
    exchange.unpack().await?;
    let first = entry(exchange).await?.ok_or_else(|| failed("an empty file"))?;
    if first.name != "ova.xml" {
        return Err(Fault::new("IMPORT_ERROR_UNEXPECTED_FILE", ["ova.xml", &first.name]).into());
    }
    let ova = contents(exchange, &first, MAX_OVA).await?;
    let ova = xml::read_value(&ova).map_err(failed)?;
    let restores = exchange.request.parameter("restore") == Some("true");
    let forced = exchange.request.parameter("force") == Some("true");
    let made = exchange.pool.write(|db| Made::records(db, &ova, sr, restores))?;
    exchange.pool.write(|db| {
        let complete = Some(Value::from("complete"));
        db.set_entry(
            "task",
            &exchange.task,
            "other_config",
            "object_creation",
            complete,
        );
    });
    match disks(exchange, &made, forced).await {
        Ok(()) => {
            exchange.pool.write(|db| {
                db.set_entry("VM", &made.vm, "current_operations", &exchange.task, None);
                lifecycle::refresh(db, "VM", &made.vm);
            });
            Ok(Value::set_of([made.vm]))
        }
        Err(broken) => {
            exchange.pool.write(|db| ops::destroy_vm(db, &made.vm));
            Err(broken)
        }
    }
}

async fn entry<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
) -> Flow<Option<tar::Entry>> {
    match exchange.take(tar::BLOCK).await? {
        None => Ok(None),
        Some(block) => tar::read(&block).map_err(failed),
    }
}

async fn contents<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    entry: &tar::Entry,
    most: u64,
) -> Flow<Vec<u8>> {
    if entry.size > most {
        return Err(failed(format!("{} is too large", entry.name)));
    }
    let ends = || Broken::Fault(Fault::bare("IMPORT_ERROR_PREMATURE_EOF"));
    let size = entry.size as usize;
    let padded = size.next_multiple_of(tar::BLOCK);
    let mut bytes = exchange.take(padded).await?.ok_or_else(ends)?;
    bytes.truncate(size);
    Ok(bytes)
}

/// The disks' pieces up to the end of the file.
async fn disks<S: AsyncRead + AsyncWrite + Unpin>(
    exchange: &mut Exchange<'_, S>,
    made: &Made,
    forced: bool,
) -> Flow<()> {
    let mut seen: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let total: u64 = made.disks.values().map(|disk| disk.size).sum();
    let mut done = 0;
    while let Some(file) = entry(exchange).await? {
        let (name, number) = file.name.split_once('/').unwrap_or((&file.name, ""));
        let number: Option<u64> = number.parse().ok();
        let (Some(disk), Some(number)) = (made.disks.get(name), number) else {
            return Err(Fault::new("IMPORT_ERROR_UNEXPECTED_FILE", ["a disk's piece", &file.name]).into());
        };
        let bytes = contents(exchange, &file, MAX_PIECE).await?;
        let ends = || Broken::Fault(Fault::bare("IMPORT_ERROR_PREMATURE_EOF"));
        let check = entry(exchange).await?.ok_or_else(ends)?;
        let given = contents(exchange, &check, 64).await?;
        let right = match check.name.strip_prefix(file.name.as_str()) {
            Some(".xxhash") => format!("{:016X}", xxh64(&bytes, 0)),
            Some(".checksum") => {
                let sum = Sha1::digest(&bytes);
                sum.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            _ => return Err(Fault::new("IMPORT_ERROR_UNEXPECTED_FILE", [&*file.name, &check.name]).into()),
        };
        if given != right.as_bytes() && !forced {
            return Err(Fault::bare("IMPORT_ERROR_SOME_CHECKSUMS_FAILED").into());
        }
        // A gap of numbers is a gap of pieces as long as the first; an empty piece only uses up a number.
        let place = match seen.get(name) {
            None => number * bytes.len() as u64,
            Some((last, _)) if number <= *last => return Err(failed("pieces out of order")),
            Some((_, length)) => number * length,
        };
        let length = seen.get(name).map_or(bytes.len() as u64, |(_, length)| *length);
        raw::write(exchange, &disk.vdi, &disk.uuid, disk.size, place, &bytes)?;
        seen.insert(name.to_owned(), (number, length));
        done += bytes.len() as u64;
        exchange.progress(done as f64 / total.max(1) as f64)?;
    }
    match made.disks.keys().any(|name| !seen.contains_key(name)) {
        true if !forced && exchange.request.path == "/import" => {
            Err(Fault::bare("IMPORT_ERROR_ATTACHED_DISKS_NOT_FOUND").into())
        }
        _ => Ok(()),
    }
}

struct Disk {
    vdi: String,
    uuid: String,
    size: u64,
}

struct Made {
    vm: String,
    /// By their names in the file.
    disks: BTreeMap<String, Disk>,
}

type Objects<'a> = BTreeMap<&'a str, (&'a str, &'a Value)>;

impl Made {
    /// The records of the file, with references of their own.
    fn records(db: &mut Db, ova: &Value, sr: &str, restores: bool) -> Flow<Made> {
        if ova
            .entry("version")
            .map_or("", |version| version.text("export_vsn"))
            .parse::<u32>()
            .is_ok_and(|vsn| vsn > 2)
        {
            return Err(Fault::bare("IMPORT_INCOMPATIBLE_VERSION").into());
        }
        let objects: Objects<'_> = ova
            .entry("objects")
            .map_or(&[][..], Value::set)
            .iter()
            .filter_map(|object| {
                Some((
                    object.text("id"),
                    (object.text("class"), object.entry("snapshot")?),
                ))
            })
            .collect();
        let of = |name: &str| -> Vec<(String, Value)> {
            let all = objects.iter().filter(|(_, (class, _))| *class == name);
            all.map(|(id, (_, record))| ((*id).to_owned(), (*record).clone()))
                .collect()
        };
        let (id, vm) = of("VM")
            .into_iter()
            .find(|(_, vm)| !vm.entry("is_a_snapshot").is_some_and(Value::bool))
            .or_else(|| of("VM").into_iter().next())
            .ok_or_else(|| Broken::Fault(Fault::new("IMPORT_ERROR_FAILED_TO_FIND_OBJECT", ["VM"])))?;
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        if restores && let Some(old) = db.by_uuid("VM", vm.text("uuid")) {
            let state = db.text("VM", &old, "power_state");
            if state != "Halted" {
                return Err(
                    Fault::new("VM_BAD_POWER_STATE", [&*old, "halted", &state.to_lowercase()]).into(),
                );
            }
            ops::destroy_vm(db, &old);
        }
        for (name, record) in of("network") {
            names.insert(name, network(db, &record));
        }
        for class in ["VM_metrics", "VM_guest_metrics"] {
            for (name, record) in of(class) {
                names.insert(name, row(db, class, &record, &[("uuid", Value::void())]));
            }
        }
        let mut disks = BTreeMap::new();
        let vbds: Vec<Value> = of("VBD")
            .into_iter()
            .map(|(_, vbd)| vbd)
            .filter(|vbd| vbd.text("VM") == id)
            .collect();
        for (name, record) in of("VDI") {
            let on_disk = vbds
                .iter()
                .any(|vbd| vbd.text("VDI") == name && vbd.text("type") != "CD");
            if !on_disk {
                // A disc in a drive: the same one, if it is here.
                let known = db.by_uuid("VDI", record.text("uuid"));
                names.insert(name, known.map_or(NULL_REF.to_owned(), |known| known.to_string()));
                continue;
            }
            let size = number(&record, "virtual_size");
            let vdi = ops::new_vdi(db, sr, record.text("name_label"), size);
            for field in [
                "name_description",
                "type",
                "other_config",
                "tags",
                "sharable",
                "read_only",
                "xenstore_data",
            ] {
                set_from(db, "VDI", &vdi, field, &record);
            }
            db.disks.blank(&vdi);
            let uuid = db.text("VDI", &vdi, "uuid");
            names.insert(name.clone(), vdi.clone());
            disks.insert(
                name,
                Disk {
                    vdi,
                    uuid,
                    size: size as u64,
                },
            );
        }
        let mut changes = vec![
            ("is_default_template", Value::Bool(false)),
            ("power_state", Value::from("Halted")),
            ("metrics", named(&names, vm.text("metrics"))),
            ("guest_metrics", named(&names, vm.text("guest_metrics"))),
            (
                "version",
                Value::Int(if restores { number(&vm, "version") + 1 } else { 0 }),
            ),
            ("domid", Value::Int(-1)),
        ];
        if !restores {
            let seed = Value::from(db.seed.uuid());
            let config = vm.entry("other_config").cloned().unwrap_or_else(Value::empty_map);
            changes.push(("uuid", Value::void()));
            changes.push(("other_config", config.with("mac_seed", Some(seed))));
        }
        let made = row(db, "VM", &vm, &changes);
        for vbd in &vbds {
            let metrics = db.create("VBD_metrics", []).to_string();
            let vdi = named(&names, vbd.text("VDI"));
            let empty = vdi.str() == NULL_REF;
            row(
                db,
                "VBD",
                vbd,
                &[
                    ("uuid", Value::void()),
                    ("VM", Value::from(&made)),
                    ("VDI", vdi),
                    ("empty", Value::Bool(empty)),
                    ("metrics", Value::from(metrics)),
                    ("currently_attached", Value::Bool(false)),
                ],
            );
        }
        for (_, vif) in of("VIF").into_iter().filter(|(_, vif)| vif.text("VM") == id) {
            let metrics = db.create("VIF_metrics", []).to_string();
            let mac = if restores {
                vif.text("MAC").to_owned()
            } else {
                db.seed.mac()
            };
            row(
                db,
                "VIF",
                &vif,
                &[
                    ("uuid", Value::void()),
                    ("VM", Value::from(&made)),
                    ("network", named(&names, vif.text("network"))),
                    ("MAC", Value::from(mac)),
                    ("metrics", Value::from(metrics)),
                    ("currently_attached", Value::Bool(false)),
                ],
            );
        }
        lifecycle::refresh(db, "VM", &made);
        for class in ["VBD", "VIF"] {
            for device in db.members("VM", &made, &format!("{class}s")) {
                lifecycle::refresh(db, class, &device);
            }
        }
        Ok(Made { vm: made, disks })
    }
}

fn named(names: &BTreeMap<String, String>, name: &str) -> Value {
    Value::from(names.get(name).map_or(NULL_REF, String::as_str))
}

/// Older exporters wrote numbers as text, all of them do in XML-RPC.
fn number(record: &Value, field: &str) -> i64 {
    record.text(field).trim().parse().unwrap_or_default()
}

/// The network of that uuid or name, or a new one.
fn network(db: &mut Db, record: &Value) -> String {
    let known = db
        .by_uuid("network", record.text("uuid"))
        .or_else(|| db.find("network", "name_label", record.text("name_label")));
    match known {
        Some(known) => known.to_string(),
        None => row(db, "network", record, &[("uuid", Value::void())]),
    }
}

fn set_from(db: &mut Db, class_name: &str, reference: &str, field: &str, record: &Value) {
    let at = class(class_name).field(field);
    if let (Some(at), Some(value)) = (at, record.entry(field))
        && let Ok(value) = convert(value.clone(), &class(class_name).fields[at].ty)
    {
        db.set(class_name, reference, field, value);
    }
}

/// A row of what a record says: what is missing or cannot be read has its default, references lead nowhere.
fn row(db: &mut Db, class_name: &str, record: &Value, changes: &[(&str, Value)]) -> String {
    let class = class(class_name);
    let values = class.fields.iter().map(|field| {
        if let Some((_, value)) = changes.iter().find(|(name, _)| *name == field.name) {
            return value.clone();
        }
        let given = record.entry(&field.name).filter(|_| !leads_elsewhere(&field.ty));
        let given = given.and_then(|value| convert(value.clone(), &field.ty).ok());
        given.unwrap_or_else(|| field.initial())
    });
    let values: Vec<Value> = values.collect();
    let reference = db.seed.reference();
    db.insert(class, &reference, values).to_string()
}

fn leads_elsewhere(ty: &crate::model::Type) -> bool {
    use crate::model::Type;
    match ty {
        Type::Ref(_) => true,
        Type::Set(item) | Type::Option(item) => leads_elsewhere(item),
        Type::Map(key, item) => leads_elsewhere(key) || leads_elsewhere(item),
        _ => false,
    }
}
