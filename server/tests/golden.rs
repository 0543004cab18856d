//! Every published property, from XAPI records to the JSON that clients read.
//!
//! The cases are the files in `golden/`, written by hand from the public contract, never copied from what the
//! program says. A file holds `records` that all of its cases start from, and cases of this form:
//!
//! - `records`: further records, by class and reference; they replace those of the file;
//! - `objects`: whole published objects, to be equal in every property and to have no other;
//! - `parts`: for some ids, properties that must be `as` written, and names that must be `absent`;
//! - `rows`: for some ids, the whole row that lists show of it, member by member in the order of
//!   `app::model::light`, or `null` when lists show none;
//! - `unpublished`: ids that must not be there.

mod pool;

use app::model::{ObjectType, activity, device, host, network, storage, vm};
use pool::Pool;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// By class, then by reference.
type Records = BTreeMap<String, BTreeMap<String, Value>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    records: Records,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    records: Records,
    #[serde(default)]
    objects: Vec<Map<String, Value>>,
    #[serde(default)]
    parts: BTreeMap<String, Part>,
    #[serde(default)]
    rows: BTreeMap<String, Value>,
    #[serde(default)]
    unpublished: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default, rename = "as")]
    properties: Map<String, Value>,
    #[serde(default)]
    absent: Vec<String>,
}

fn files() -> BTreeMap<String, File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the folder of cases") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let file = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        files.insert(name, file);
    }
    files
}

/// What is published of these records.
fn publish(layers: [&Records; 2]) -> Pool {
    let mut merged = Records::new();
    for layer in layers {
        for (class, records) in layer {
            let of_class = merged.entry(class.clone()).or_default();
            of_class.extend(records.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    let mut pool = Pool::default();
    let events = merged.iter().flat_map(|(class, records)| {
        records
            .iter()
            .map(move |(reference, record)| pool::put(class, reference, record))
    });
    pool.apply(true, events.collect());
    pool
}

#[test]
fn records_become_the_objects_of_the_contract() {
    let mut wrong = Vec::new();
    for (name, file) in files() {
        for case in &file.cases {
            let published = publish([&file.records, &case.records]);
            compare(case, &published.published(), &mut |text| {
                wrong.push(format!("{name}: {}: {text}", case.name));
            });
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn compare(case: &Case, published: &BTreeMap<String, Value>, wrong: &mut dyn FnMut(String)) {
    for expected in &case.objects {
        let id = expected["id"].as_str().expect("an object has an id");
        let Some(found) = published.get(id) else {
            wrong(format!("{id} is not published"));
            continue;
        };
        let found = found.as_object().expect("an object");
        for property in expected.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
            differ(id, property, expected.get(property), found.get(property), wrong);
        }
    }
    for (id, part) in &case.parts {
        let Some(found) = published.get(id) else {
            wrong(format!("{id} is not published"));
            continue;
        };
        for (property, value) in &part.properties {
            differ(id, property, Some(value), found.get(property), wrong);
        }
        for property in &part.absent {
            differ(id, property, None, found.get(property), wrong);
        }
    }
    for id in &case.unpublished {
        if published.contains_key(id) {
            wrong(format!("{id} is published"));
        }
    }
}

fn differ(
    id: &str,
    property: &str,
    expected: Option<&Value>,
    found: Option<&Value>,
    wrong: &mut dyn FnMut(String),
) {
    if expected != found {
        let show = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), Value::to_string);
        wrong(format!(
            "{id}.{property}: expected {}, is {}",
            show(expected),
            show(found)
        ));
    }
}

#[test]
fn records_become_the_rows_of_lists() {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for (name, file) in files() {
        for case in file.cases.iter().filter(|case| !case.rows.is_empty()) {
            let pool = publish([&file.records, &case.records]);
            let (objects, rows) = (pool.published(), pool.rows());
            for (id, expected) in &case.rows {
                let found = rows.get(id).unwrap_or(&Value::Null);
                if found != expected {
                    wrong.push(format!(
                        "{name}: {id}:\n  expected {expected}\n  is       {found}"
                    ));
                }
                if expected.is_array() {
                    seen.extend(
                        objects
                            .get(id)
                            .and_then(|object| object["type"].as_str().map(str::to_owned)),
                    );
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let listed = [
        ObjectType::Pool,
        ObjectType::Host,
        ObjectType::Sr,
        ObjectType::Network,
        ObjectType::Vm,
        ObjectType::VmController,
        ObjectType::VmSnapshot,
        ObjectType::VmTemplate,
        ObjectType::Task,
    ];
    let listed: BTreeSet<String> = listed.iter().map(ToString::to_string).collect();
    assert_eq!(seen, listed, "a row of each kind");
}

/// The properties that each type may have, besides those of all.
fn properties(kind: ObjectType) -> &'static [&'static str] {
    use ObjectType as Type;
    match kind {
        Type::Pool => host::Pool::PROPERTIES,
        Type::Host => host::Host::PROPERTIES,
        Type::Patch => host::Patch::PROPERTIES,
        Type::PoolPatch => host::PoolPatch::PROPERTIES,
        Type::Vm | Type::VmController | Type::VmSnapshot | Type::VmTemplate => vm::Vm::PROPERTIES,
        Type::Vtpm => vm::Vtpm::PROPERTIES,
        Type::Sr => storage::Sr::PROPERTIES,
        Type::Sm => storage::Sm::PROPERTIES,
        Type::Pbd => storage::Pbd::PROPERTIES,
        Type::Vdi | Type::VdiSnapshot | Type::VdiUnmanaged => storage::Vdi::PROPERTIES,
        Type::Vbd => storage::Vbd::PROPERTIES,
        Type::Pif => network::Pif::PROPERTIES,
        Type::Vif => network::Vif::PROPERTIES,
        Type::Network => network::Network::PROPERTIES,
        Type::Bond => network::Bond::PROPERTIES,
        Type::Message => activity::Message::PROPERTIES,
        Type::Task => activity::Task::PROPERTIES,
        Type::Pci => device::Pci::PROPERTIES,
        Type::Pgpu => device::Pgpu::PROPERTIES,
        Type::Vgpu => device::Vgpu::PROPERTIES,
        Type::GpuGroup => device::GpuGroup::PROPERTIES,
        Type::VgpuType => device::VgpuType::PROPERTIES,
        Type::Pusb => device::Pusb::PROPERTIES,
        Type::Vusb => device::Vusb::PROPERTIES,
        Type::UsbGroup => device::UsbGroup::PROPERTIES,
    }
}

/// Properties of one type among those that share a struct.
const OF_TEMPLATES: &[&str] = &["isDefaultTemplate", "template_info"];
const OF_SNAPSHOTS: &[&str] = &["snapshot_time", "$snapshot_of", "suspendVdi"];

#[test]
fn no_type_and_no_property_is_forgotten() {
    let mut seen: BTreeMap<ObjectType, BTreeSet<String>> = BTreeMap::new();
    for file in files().values() {
        for case in &file.cases {
            let published = publish([&file.records, &case.records]).published();
            let objects = case
                .objects
                .iter()
                .map(|object| (object["id"].as_str().expect("an id"), object));
            let parts = case
                .parts
                .iter()
                .map(|(id, part)| (id.as_str(), &part.properties));
            for (id, properties) in objects.chain(parts) {
                let kind = published
                    .get(id)
                    .and_then(|object| object["type"].as_str())
                    .unwrap_or_default();
                let kind: ObjectType = kind.parse().expect("a published type");
                seen.entry(kind).or_default().extend(properties.keys().cloned());
            }
        }
    }
    let mut missing = Vec::new();
    for &kind in ObjectType::ALL {
        let Some(of_kind) = seen.get(&kind) else {
            missing.push(format!("no object of type {kind}"));
            continue;
        };
        // Types that share a struct share the proof of what they have in common.
        let shared: BTreeSet<&str> = seen
            .iter()
            .filter(|(other, _)| std::ptr::eq(properties(**other), properties(kind)))
            .flat_map(|(_, properties)| properties.iter().map(String::as_str))
            .collect();
        for property in ["id", "type", "uuid", "$pool", "$poolId", "_xapiRef"] {
            if !of_kind.contains(property) {
                missing.push(format!("{kind}.{property}"));
            }
        }
        for property in properties(kind) {
            let own = match kind {
                ObjectType::VmTemplate => OF_TEMPLATES.contains(property),
                ObjectType::VmSnapshot => OF_SNAPSHOTS.contains(property),
                ObjectType::VdiSnapshot => ["snapshot_time", "$snapshot_of"].contains(property),
                ObjectType::Vdi => *property == "chainPhysicalUsage",
                _ => false,
            };
            let proven = if own {
                of_kind.contains(*property)
            } else {
                shared.contains(property)
            };
            if !proven {
                missing.push(format!("{kind}.{property}"));
            }
        }
    }
    assert!(missing.is_empty(), "no case shows:\n{}", missing.join("\n"));
}
