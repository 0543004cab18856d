//! The simulated database: one table per class of the data model, relations kept at both ends, a generation
//! number for every change and the bounded history of deletions that `event.from` reads.
//!
//! Names of classes and fields come from the code, not from clients: a name that the model does not know is a
//! programming error and panics. Clients' names are checked against the model in `rpc`.

mod relations;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashMap;

use self::relations::{is_set, targets};
use crate::clock;
use crate::disks::Disks;
use crate::fault::Fault;
use crate::faults::Countdown;
use crate::model::{Class, ClassId, End, Type, model};
use crate::seed::Seed;
use crate::value::{NULL_REF, Value};
use crate::wire::Wire;

pub type Ref = Arc<str>;

/// XAPI prunes a table's deletion history to 256 entries when it reaches 512.
const DELETIONS_PRUNED_AT: usize = 512;
const DELETIONS_KEPT: usize = 256;

pub struct Db {
    tables: Vec<Table>,
    generation: u64,
    /// The newest change of every row that takes part in events, oldest first: a delta reads only its tail.
    changed: BTreeMap<u64, (ClassId, Ref)>,
    pub seed: Seed,
    /// What is on the disks.
    pub(crate) disks: Disks,
    /// What is kept as files beside the records: certificates, lists of revoked ones.
    pub(crate) files: BTreeMap<String, String>,
    /// Deletions still to be kept out of the history (a test knob: lost `del` events).
    silent_deletions: Countdown,
    /// How far the clocks of this pool's hosts are from the right time, in seconds.
    clock_skew: i64,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<Ref, Row>,
    by_uuid: FxHashMap<Box<str>, Ref>,
    deletions: VecDeque<Deletion>,
    /// When the newest of the deletions that are no longer kept happened.
    pruned: u64,
}

pub struct Row {
    fields: Box<[Value]>,
    pub created: u64,
    pub modified: u64,
    rendered: [OnceLock<Arc<str>>; 2],
    /// Shown with a field and values of enums that no client can know.
    strange: bool,
}

#[derive(Clone)]
pub struct Deletion {
    pub created: u64,
    pub deleted: u64,
    pub reference: Ref,
}

impl Row {
    pub fn at(&self, field: usize) -> &Value {
        &self.fields[field]
    }

    /// The record as it goes on the wire; rendered once per change.
    pub fn render(&self, class: &Class, wire: Wire) -> Arc<str> {
        self.rendered[wire as usize]
            .get_or_init(|| match self.strange {
                false => wire.record(class, &self.fields).into(),
                true => wire.strange_record(class, &self.fields).into(),
            })
            .clone()
    }
}

/// The class of that name.
pub fn class(name: &str) -> &'static Class {
    model()
        .class(name)
        .unwrap_or_else(|| panic!("no class {name} in the data model"))
}

fn field_of(class: &Class, name: &str) -> usize {
    class
        .field(name)
        .unwrap_or_else(|| panic!("no field {}.{name} in the data model", class.name))
}

impl Db {
    pub fn new(seed: u64) -> Db {
        Db {
            tables: model().classes.iter().map(|_| Table::default()).collect(),
            generation: 1,
            changed: BTreeMap::new(),
            seed: Seed::new(seed),
            disks: Disks::default(),
            files: BTreeMap::new(),
            silent_deletions: Countdown::default(),
            clock_skew: 0,
        }
    }

    /// The time as this pool's hosts know it.
    pub fn now(&self) -> i64 {
        clock::now() + self.clock_skew
    }

    pub fn set_clock_skew(&mut self, seconds: i64) {
        self.clock_skew = seconds;
    }

    /// What is switched on of the faults that are here, in the words of `trouble`.
    pub fn active_troubles(&self) -> Vec<(&'static str, String)> {
        let mut active = Vec::new();
        let silent = self.silent_deletions.shown();
        active.extend(silent.map(|left| ("drop-deletions", left)));
        if self.clock_skew != 0 {
            active.push(("clock-skew", self.clock_skew.to_string()));
        }
        let strangers = self.strangers().into_iter();
        active.extend(strangers.map(|(class, reference)| ("strange", format!("{class}/{reference}"))));
        active
    }

    /// The object of that class which represents the pool itself.
    pub fn pool(&self) -> Ref {
        self.refs("pool")
            .into_iter()
            .next()
            .unwrap_or_else(|| NULL_REF.into())
    }

    /// The host that answers for all.
    pub fn master(&self) -> String {
        self.text("pool", &self.pool(), "master")
    }

    /// Grows with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    // ---- reading

    pub fn exists(&self, class_name: &str, reference: &str) -> bool {
        self.tables[class(class_name).id].rows.contains_key(reference)
    }

    pub fn row(&self, class: &Class, reference: &str) -> Result<&Row, Fault> {
        let rows = &self.tables[class.id].rows;
        rows.get(reference)
            .ok_or_else(|| Fault::handle_invalid(&class.name, reference))
    }

    /// HANDLE_INVALID unless the object is there.
    pub fn check(&self, class_name: &str, reference: &str) -> Result<(), Fault> {
        self.row(class(class_name), reference).map(drop)
    }

    /// The field of an object; an empty string when the object is gone.
    pub fn get(&self, class_name: &str, reference: &str, field: &str) -> &Value {
        static GONE: OnceLock<Value> = OnceLock::new();
        let class = class(class_name);
        let at = field_of(class, field);
        match self.tables[class.id].rows.get(reference) {
            Some(row) => row.at(at),
            None => GONE.get_or_init(Value::void),
        }
    }

    /// The text of a field (string, enum or reference).
    pub fn text(&self, class: &str, reference: &str, field: &str) -> String {
        self.get(class, reference, field).str().to_owned()
    }

    /// The members of a set of references (or strings).
    pub fn members(&self, class: &str, reference: &str, field: &str) -> Vec<String> {
        self.get(class, reference, field).strings()
    }

    pub fn refs(&self, class_name: &str) -> Vec<Ref> {
        self.tables[class(class_name).id].rows.keys().cloned().collect()
    }

    pub fn rows(&self, class: &Class) -> impl Iterator<Item = (&Ref, &Row)> {
        self.tables[class.id].rows.iter()
    }

    pub fn count(&self, class_name: &str) -> usize {
        self.tables[class(class_name).id].rows.len()
    }

    pub fn by_uuid(&self, class_name: &str, uuid: &str) -> Option<Ref> {
        self.tables[class(class_name).id].by_uuid.get(uuid).cloned()
    }

    pub fn find(&self, class_name: &str, field: &str, text: &str) -> Option<Ref> {
        let class = class(class_name);
        let at = field_of(class, field);
        self.rows(class)
            .find(|(_, row)| row.at(at).str() == text)
            .map(|(reference, _)| reference.clone())
    }

    /// The names of the files in a folder.
    pub(crate) fn file_names(&self, folder: &str) -> Vec<String> {
        let names = self.files.keys().filter_map(|name| name.strip_prefix(folder));
        names.map(str::to_owned).collect()
    }

    /// Rows per class that is kept in the database, as `valid_ref_counts` wants them.
    pub fn counts(&self) -> impl Iterator<Item = (&'static Class, usize)> {
        let classes = model().classes.iter().filter(|class| class.in_database);
        classes.map(|class| (class, self.tables[class.id].rows.len()))
    }

    /// Everything, for tests: class -> ref -> record.
    pub fn snapshot(&self) -> BTreeMap<String, BTreeMap<String, serde_json::Value>> {
        let classes = model()
            .classes
            .iter()
            .filter(|class| !self.tables[class.id].rows.is_empty());
        classes
            .map(|class| {
                let records = self
                    .rows(class)
                    .map(|(r, row)| (r.to_string(), parsed(class, row)));
                (class.name.clone(), records.collect())
            })
            .collect()
    }

    /// One record as JSON, for tests.
    pub fn record(&self, class_name: &str, reference: &str) -> Option<serde_json::Value> {
        let class = class(class_name);
        self.tables[class.id]
            .rows
            .get(reference)
            .map(|row| parsed(class, row))
    }

    // ---- what happened since

    /// Rows changed after a generation, oldest change first.
    pub fn changed_since(&self, generation: u64) -> impl Iterator<Item = &(ClassId, Ref)> {
        self.changed.range(generation + 1..).map(|(_, row)| row)
    }

    pub fn deletions(&self, class: &Class) -> impl Iterator<Item = &Deletion> {
        self.tables[class.id].deletions.iter()
    }

    /// Whether deletions after a generation are no longer known.
    pub fn has_forgotten(&self, class: &Class, since: u64) -> bool {
        self.tables[class.id].pruned > since
    }

    pub fn forget_deletions(&mut self) {
        for table in &mut self.tables {
            if let Some(last) = table.deletions.drain(..).next_back() {
                table.pruned = last.deleted;
            }
        }
    }

    pub fn silence_deletions(&mut self, count: usize) {
        self.silent_deletions.set(count);
    }

    // ---- writing

    /// A new object with a new reference (and uuid, unless given); fields not named get their defaults.
    pub fn create<'a>(
        &mut self,
        class_name: &str,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> Ref {
        let class = class(class_name);
        let reference = self.seed.reference();
        let mut values: Vec<Value> = class.fields.iter().map(|field| field.initial()).collect();
        for (name, value) in fields {
            values[field_of(class, name)] = value;
        }
        self.insert(class, &reference, values)
    }

    /// A new object from the values of all its fields, in the model's order.
    pub fn insert(&mut self, class: &Class, reference: &str, mut values: Vec<Value>) -> Ref {
        if let Some(at) = class.field("uuid")
            && values[at].str().is_empty()
        {
            values[at] = Value::from(self.seed.uuid());
        }
        // Reverse ends follow from the forward ends of others.
        for (field, value) in class.fields.iter().zip(&mut values) {
            if field.reverse.is_some() && field.forward.is_none() {
                *value = field.ty.zero();
            }
        }
        let reference: Ref = reference.into();
        self.generation += 1;
        let generation = self.generation;
        let table = &mut self.tables[class.id];
        if let Some(at) = class.field("uuid") {
            table.by_uuid.insert(values[at].str().into(), reference.clone());
        }
        let links: Vec<(End, Vec<Value>)> = class
            .fields
            .iter()
            .zip(&values)
            .filter_map(|(field, value)| Some((field.forward?, targets(value).to_vec())))
            .collect();
        let row = Row {
            fields: values.into(),
            created: generation,
            modified: generation,
            rendered: Default::default(),
            strange: false,
        };
        table.rows.insert(reference.clone(), row);
        if class.has_events {
            self.changed.insert(generation, (class.id, reference.clone()));
        }
        for (end, targets) in links {
            for target in targets {
                self.link(end, target.str(), &reference);
            }
        }
        reference
    }

    /// Writes a field. False when it already had that value (then nothing happens) or the object is gone.
    pub fn set(&mut self, class_name: &str, reference: &str, field: &str, value: impl Into<Value>) -> bool {
        let class = class(class_name);
        self.set_at(class, reference, field_of(class, field), value.into())
    }

    pub fn set_at(&mut self, class: &Class, reference: &str, field: usize, value: Value) -> bool {
        let Some(row) = self.tables[class.id].rows.get_mut(reference) else {
            return false;
        };
        if row.fields[field] == value {
            return false;
        }
        let old = std::mem::replace(&mut row.fields[field], value);
        let new = row.fields[field].clone();
        if class.fields[field].name == "uuid" {
            let table = &mut self.tables[class.id];
            table.by_uuid.remove(old.str());
            table.by_uuid.insert(new.str().into(), reference.into());
        }
        self.touch(class.id, reference);
        // The other end of a many-to-many relation is writable too, so both directions are followed.
        let definition = &class.fields[field];
        let many = matches!(definition.ty, Type::Set(_));
        let follower = definition.forward.or(definition
            .reverse
            .filter(|end| many && matches!(model().classes[end.class].fields[end.field].ty, Type::Set(_))));
        if let Some(end) = follower {
            for target in targets(&old)
                .iter()
                .filter(|target| !targets(&new).contains(target))
            {
                self.unlink(end, target.str(), reference);
            }
            for target in targets(&new)
                .iter()
                .filter(|target| !targets(&old).contains(target))
            {
                self.link(end, target.str(), reference);
            }
        }
        true
    }

    /// Writes several fields.
    pub fn update<'a>(
        &mut self,
        class_name: &str,
        reference: &str,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) {
        for (name, value) in fields {
            self.set(class_name, reference, name, value);
        }
    }

    /// Writes one entry of a map; `None` removes it.
    pub fn set_entry(&mut self, class: &str, reference: &str, field: &str, key: &str, value: Option<Value>) {
        let map = self.get(class, reference, field).with(key, value);
        self.set(class, reference, field, map);
    }

    /// Removes an object; references to it are left dangling, relations are kept.
    pub fn destroy(&mut self, class_name: &str, reference: &str) -> bool {
        let class = class(class_name);
        let table = &mut self.tables[class.id];
        let Some((reference, row)) = table.rows.remove_entry(reference) else {
            return false;
        };
        if let Some(at) = class.field("uuid") {
            table.by_uuid.remove(row.at(at).str());
        }
        if class.name == "VDI" {
            self.disks.remove(&reference);
        }
        self.changed.remove(&row.modified);
        self.generation += 1;
        for (field, value) in class.fields.iter().zip(&row.fields) {
            let end = match (field.forward, field.reverse) {
                (Some(end), _) => end,
                (None, Some(end)) if is_set(end) => end,
                _ => continue,
            };
            for target in targets(value) {
                self.unlink(end, target.str(), &reference);
            }
        }
        if !self.silent_deletions.take() && class.has_events {
            let Table {
                deletions, pruned, ..
            } = &mut self.tables[class.id];
            deletions.push_back(Deletion {
                created: row.created,
                deleted: self.generation,
                reference,
            });
            if deletions.len() >= DELETIONS_PRUNED_AT {
                let mut forgotten = deletions.drain(..deletions.len() - DELETIONS_KEPT);
                *pruned = forgotten.next_back().map_or(*pruned, |gone| gone.deleted);
            }
        }
        true
    }

    /// Shows an object as a release of the future would, or as it is.
    pub fn set_strange(&mut self, class_name: &str, reference: &str, strange: bool) -> bool {
        let class = class(class_name);
        let Some(row) = self.tables[class.id].rows.get_mut(reference) else {
            return false;
        };
        if row.strange != strange {
            row.strange = strange;
            self.touch(class.id, reference);
        }
        true
    }

    /// The objects that are shown as a release of the future would, with their classes.
    fn strangers(&self) -> Vec<(&'static str, Ref)> {
        let strange = model().classes.iter().flat_map(|class| {
            let rows = self.rows(class).filter(|(_, row)| row.strange);
            rows.map(|(reference, _)| (class.name.as_str(), reference.clone()))
        });
        strange.collect()
    }

    /// Shows all objects as they are.
    pub fn forget_strangers(&mut self) {
        for (class, reference) in self.strangers() {
            self.set_strange(class, &reference, false);
        }
    }

    /// Makes an event for a row that did not change.
    pub fn touch(&mut self, class: ClassId, reference: &str) {
        let Some((reference, _)) = self.tables[class].rows.get_key_value(reference) else {
            return;
        };
        let reference = reference.clone();
        self.generation += 1;
        let generation = self.generation;
        if let Some(row) = self.tables[class].rows.get_mut(&reference) {
            self.changed.remove(&row.modified);
            row.modified = generation;
            row.rendered = Default::default();
        }
        if model().classes[class].has_events {
            self.changed.insert(generation, (class, reference));
        }
    }
}

fn parsed(class: &Class, row: &Row) -> serde_json::Value {
    serde_json::from_str(&row.render(class, Wire::Json)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
