//! What must hold of a pool's database whenever nothing is under way: relations agree at both ends, references lead
//! somewhere, power states fit their VMs, and `allowed_operations` say what is allowed, by the code that computes them and
//! by tables that were written without it. For property tests.

mod tables;

use crate::db::{Db, Row, class};
use crate::model::{Class, Type, model};
use crate::ops::lifecycle;
use crate::value::{NULL_REF, Value};

/// References that may outlive what they point to, as on real pools.
const MAY_DANGLE: [(&str, &str); 6] = [
    ("VM", "snapshot_of"),
    ("VDI", "snapshot_of"),
    ("session", "this_host"),
    ("task", "session"),
    ("VDI", "metadata_of_pool"),
    ("VM", "scheduled_to_be_resident_on"),
];

/// Every contradiction in the database, in words. `idle`: no operation is under way, so none may be marked.
pub fn contradictions(db: &Db, idle: bool) -> Vec<String> {
    let mut found = Vec::new();
    for class in &model().classes {
        for (reference, row) in db.rows(class) {
            references(db, class, reference, row, &mut found);
            relations(db, class, reference, row, &mut found);
            operations(db, class, reference, row, idle, &mut found);
        }
    }
    for vm in db.refs("VM") {
        power(db, &vm, &mut found);
    }
    found.extend(tables::breaches(db));
    found
}

fn targets(value: &Value) -> Vec<&str> {
    match value {
        Value::Set(items) => items.iter().map(Value::str).collect(),
        value if value.str().is_empty() || value.str() == NULL_REF => vec![],
        value => vec![value.str()],
    }
}

fn references(db: &Db, class: &Class, reference: &str, row: &Row, found: &mut Vec<String>) {
    for (at, field) in class.fields.iter().enumerate() {
        let target = match &field.ty {
            Type::Ref(target) => target,
            Type::Set(item) => match &**item {
                Type::Ref(target) => target,
                _ => continue,
            },
            _ => continue,
        };
        let exempt = MAY_DANGLE.contains(&(&*class.name, &*field.name));
        if exempt || model().class(target).is_none_or(|target| !target.in_database) {
            continue;
        }
        for other in targets(row.at(at)) {
            if !db.exists(target, other) {
                found.push(format!(
                    "{} {reference}: {} leads to {target} {other}, which is gone",
                    class.name, field.name
                ));
            }
        }
    }
}

fn relations(db: &Db, class: &Class, reference: &str, row: &Row, found: &mut Vec<String>) {
    for (at, field) in class.fields.iter().enumerate() {
        let Some(end) = field.forward.or(field.reverse) else {
            continue;
        };
        let (other_class, other_field) = (&model().classes[end.class], end.field);
        let mut seen = Vec::new();
        for other in targets(row.at(at)) {
            if seen.contains(&other) {
                found.push(format!(
                    "{} {reference}: {} names {other} twice",
                    class.name, field.name
                ));
            }
            seen.push(other);
            let Ok(other_row) = db.row(other_class, other) else {
                continue;
            };
            if !targets(other_row.at(other_field)).contains(&reference) {
                found.push(format!(
                    "{} {reference}: {} names {} {other}, whose {} does not name it",
                    class.name, field.name, other_class.name, other_class.fields[other_field].name
                ));
            }
        }
    }
}

fn operations(db: &Db, class: &Class, reference: &str, row: &Row, idle: bool, found: &mut Vec<String>) {
    if idle
        && let Some(at) = class.field("current_operations")
        && !row.at(at).map().is_empty()
    {
        found.push(format!(
            "{} {reference}: {} is marked but nothing is under way",
            class.name,
            row.at(at)
        ));
    }
    if let Some(at) = class.field("allowed_operations")
        && let Some(computed) = lifecycle::computed(db, &class.name, reference)
        && computed != *row.at(at)
    {
        found.push(format!(
            "{} {reference}: allowed_operations are {}, but should be {computed}",
            class.name,
            row.at(at)
        ));
    }
}

fn power(db: &Db, vm: &str, found: &mut Vec<String>) {
    if db.get("VM", vm, "is_control_domain").bool() {
        return;
    }
    let state = db.get("VM", vm, "power_state").str();
    let placed = db.exists("host", db.get("VM", vm, "resident_on").str());
    let consoles = db.get("VM", vm, "consoles").set().len();
    let domid = db.get("VM", vm, "domid").int();
    let suspended = db.exists("VDI", db.get("VM", vm, "suspend_VDI").str());
    let attached = |class: &str, field: &str| {
        let devices = db.members("VM", vm, field);
        devices
            .iter()
            .any(|device| db.get(class, device, "currently_attached").bool())
    };
    let mut claim = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("VM {vm} is {state}, but {what}"));
        }
    };
    match state {
        "Running" | "Paused" => {
            claim(placed, "is on no host");
            claim(domid > 0, "has no domain");
            claim(consoles > 0, "has no console");
            claim(!suspended, "has a suspend image");
        }
        "Suspended" => {
            claim(!placed, "is on a host");
            claim(consoles == 0, "has a console");
            claim(suspended, "has no suspend image");
        }
        _ => {
            claim(!placed, "is on a host");
            claim(consoles == 0, "has a console");
            claim(!suspended, "has a suspend image");
            claim(!attached("VBD", "VBDs"), "has an attached disk");
            claim(!attached("VIF", "VIFs"), "has an attached interface");
        }
    }
    let on = db.get("VM", vm, "resident_on").str();
    if placed && db.row(class("host"), on).is_ok() {
        let metrics = db.get("host", on, "metrics").str();
        claim(
            db.get("host_metrics", metrics, "memory_free").int() >= 0,
            "its host has less than no memory",
        );
    }
}
