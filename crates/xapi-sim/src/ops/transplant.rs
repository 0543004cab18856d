//! Records that move from one simulated pool to another: they get new references there, keep their uuids, and
//! what they point to is either moved with them, known under another reference, or lost.

use std::collections::HashMap;

use crate::db::{Db, class};
use crate::value::{NULL_REF, Value};

/// Records on their way, in the order in which they are to appear.
#[derive(Default)]
pub struct Luggage {
    records: Vec<(&'static str, String, Vec<Value>)>,
    /// Old reference -> reference there, for objects that stay behind and have a counterpart.
    known: HashMap<String, String>,
}

impl Luggage {
    /// Takes an object along. What is gone, or packed already, is left out.
    pub fn pack(&mut self, db: &Db, name: &'static str, reference: &str) {
        if let Ok(row) = db.row(class(name), reference)
            && !self.has(reference)
        {
            let values = (0..class(name).fields.len()).map(|at| row.at(at).clone());
            self.records.push((name, reference.to_owned(), values.collect()));
        }
    }

    pub fn has(&self, reference: &str) -> bool {
        self.records.iter().any(|(_, packed, _)| packed == reference)
    }

    pub fn is_known(&self, reference: &str) -> bool {
        self.known.contains_key(reference)
    }

    /// What this reference is called there.
    pub fn known(&mut self, reference: &str, there: &str) {
        self.known.insert(reference.to_owned(), there.to_owned());
    }

    /// Changes a field before the object arrives.
    pub fn set(&mut self, reference: &str, field: &str, value: Value) {
        let packed = self.records.iter_mut().find(|(_, packed, _)| packed == reference);
        if let Some((name, _, values)) = packed
            && let Some(at) = class(name).field(field)
        {
            values[at] = value;
        }
    }

    /// Puts everything into the other database. Gives old reference -> new reference.
    pub fn unpack(self, db: &mut Db) -> HashMap<String, String> {
        let mut there = self.known;
        for (_, reference, _) in &self.records {
            there.insert(reference.clone(), db.seed.reference());
        }
        let mut links = Vec::new();
        for (name, reference, values) in self.records {
            let class = class(name);
            let mut arrived: Vec<Value> = values.iter().map(|value| translated(value, &there)).collect();
            for (at, field) in class.fields.iter().enumerate() {
                // Relations are made when all objects are there.
                if field.forward.is_some() {
                    let value = std::mem::replace(&mut arrived[at], field.ty.zero());
                    links.push((class, there[&reference].clone(), at, value));
                } else if matches!(&*field.name, "current_operations") {
                    arrived[at] = Value::empty_map();
                }
            }
            db.insert(class, &there[&reference], arrived);
        }
        for (class, reference, at, value) in links {
            db.set_at(class, &reference, at, value);
        }
        there
    }
}

fn translated(value: &Value, there: &HashMap<String, String>) -> Value {
    let text = |text: &str| match there.get(text) {
        Some(new) => new.clone(),
        None if text.starts_with("OpaqueRef:") => NULL_REF.to_owned(),
        None => text.to_owned(),
    };
    match value {
        Value::Str(old) => Value::from(text(old)),
        Value::Set(items) => {
            let items = items.iter().map(|item| translated(item, there));
            Value::Set(items.filter(|item| item.str() != NULL_REF).collect())
        }
        Value::Map(entries) => Value::map_of(
            entries
                .iter()
                .map(|(key, value)| (text(key), translated(value, there))),
        ),
        other => other.clone(),
    }
}
