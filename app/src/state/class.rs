//! The light rows of one object type: a map, a signal for each row that a component follows by itself, a
//! version that moves with every change, and a log that says which rows it moved for.
//!
//! Not reactive_stores: its keyed patch costs tens of milliseconds at ten thousand rows.

use leptos::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use std::{ops::Deref, sync::Arc};

/// An XO id, shared instead of copied.
pub type Id = Arc<str>;

/// A light record that can be kept.
pub trait Light: PartialEq + Send + Sync + 'static {
    fn id(&self) -> &str;
    fn name(&self) -> &str;
    /// All that a bare word searches; lines, in any case.
    fn search_text(&self) -> String;
    /// Whether it has the same name and stands in the same place: a tree would not change.
    fn stands_like(&self, other: &Self) -> bool;
}

/// A name that can be read and clicked, also where there is none to see.
pub fn shown_name(name: &str) -> &str {
    if name.trim().is_empty() {
        "Without a name"
    } else {
        name
    }
}

/// A record with what lists derive from it once instead of at every key stroke.
#[derive(Debug)]
pub struct Row<T> {
    pub id: Id,
    pub light: T,
    /// Lower-case search text.
    pub haystack: String,
    /// Sorts names as people read them: `vm-2` before `vm-10`.
    pub name_key: String,
}

impl<T: Light> Row<T> {
    pub fn shown_name(&self) -> String {
        shown_name(self.light.name()).to_owned()
    }
}

impl<T> Deref for Row<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.light
    }
}

impl<T: Light> Row<T> {
    fn new(light: T) -> Self {
        Self {
            id: light.id().into(),
            haystack: light.search_text().to_lowercase(),
            name_key: natural_key(light.name()),
            light,
        }
    }
}

struct Entry<T: 'static> {
    row: Arc<Row<T>>,
    /// Made when a component first shows the row.
    signal: Option<ArcRwSignal<Arc<Row<T>>>>,
}

struct Rows<T: 'static> {
    by_id: FxHashMap<Id, Entry<T>>,
    /// Ids met in the snapshot under way; the others are removed at its end.
    seen: Option<FxHashSet<Id>>,
    log: Log,
}

/// The ids of the rows that changed last. Position 0 is the first change ever.
#[derive(Default)]
struct Log {
    forgotten: u64,
    ids: Vec<Id>,
}

impl Log {
    /// Whoever is further behind looks at all rows again, which costs no more.
    const KEPT: usize = 4096;

    fn add(&mut self, id: Id) {
        if self.ids.len() >= 2 * Self::KEPT {
            self.ids.drain(..Self::KEPT);
            self.forgotten += Self::KEPT as u64;
        }
        self.ids.push(id);
    }

    fn end(&self) -> u64 {
        self.forgotten + self.ids.len() as u64
    }

    fn since(&self, position: u64) -> Option<&[Id]> {
        let from = position.checked_sub(self.forgotten)?;
        self.ids.get(usize::try_from(from).ok()?..)
    }
}

/// Ids and rows; a row that changed twice is there twice.
pub type Changes<T> = Vec<(Id, Option<Arc<Row<T>>>)>;

pub struct Class<T: 'static> {
    rows: StoredValue<Rows<T>>,
    version: RwSignal<u64>,
    structure: RwSignal<u64>,
}

impl<T> Clone for Class<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Class<T> {}

impl<T: Light> Class<T> {
    pub fn new() -> Self {
        Self {
            rows: StoredValue::new(Rows {
                by_id: FxHashMap::default(),
                seen: None,
                log: Log::default(),
            }),
            version: RwSignal::new(0),
            structure: RwSignal::new(0),
        }
    }

    /// Follows every change of any row.
    pub fn track(&self) -> u64 {
        self.version.get()
    }

    /// Follows only rows that come, go, move or get another name.
    pub fn track_structure(&self) {
        self.structure.track();
    }

    /// The rows that changed since that position of the log, each as it is now (`None` when it is gone), and
    /// the log's position now. Without changes when that is too long ago: then all rows must be looked at.
    pub fn changes(&self, since: u64) -> (Option<Changes<T>>, u64) {
        self.rows.with_value(|rows| {
            let changes = rows.log.since(since).map(|ids| {
                ids.iter()
                    .map(|id| (id.clone(), rows.by_id.get(id).map(|entry| entry.row.clone())))
                    .collect()
            });
            (changes, rows.log.end())
        })
    }

    /// The row as it is now, followed for changes.
    pub fn get(&self, id: &str) -> Option<Arc<Row<T>>> {
        match self.signal(id) {
            Some(signal) => Some(signal.get()),
            None => {
                // Not there yet: look again when something comes.
                self.version.track();
                None
            }
        }
    }

    pub fn get_untracked(&self, id: &str) -> Option<Arc<Row<T>>> {
        self.rows
            .with_value(|rows| rows.by_id.get(id).map(|entry| entry.row.clone()))
    }

    fn signal(&self, id: &str) -> Option<ArcRwSignal<Arc<Row<T>>>> {
        self.rows.try_update_value(|rows| {
            let entry = rows.by_id.get_mut(id)?;
            Some(
                entry
                    .signal
                    .get_or_insert_with(|| ArcRwSignal::new(entry.row.clone()))
                    .clone(),
            )
        })?
    }

    /// All rows, in no order, not followed.
    pub fn all(&self) -> Vec<Arc<Row<T>>> {
        self.rows
            .with_value(|rows| rows.by_id.values().map(|entry| entry.row.clone()).collect())
    }

    pub fn len(&self) -> usize {
        self.track_structure();
        self.rows.with_value(|rows| rows.by_id.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first chunk of a snapshot: what it does not name by its end is gone. The rows stay on the
    /// screen meanwhile.
    pub fn begin_snapshot(&self) {
        self.rows
            .update_value(|rows| rows.seen = Some(FxHashSet::default()));
    }

    pub fn end_snapshot(&self) {
        let changed = self.rows.try_update_value(|rows| {
            let Some(seen) = rows.seen.take() else {
                return false;
            };
            let log = &mut rows.log;
            let before = rows.by_id.len();
            rows.by_id.retain(|id, _| {
                let stays = seen.contains(id);
                if !stays {
                    log.add(id.clone());
                }
                stays
            });
            rows.by_id.len() != before
        });
        if changed == Some(true) {
            self.announce(true);
        }
    }

    pub fn apply(&self, rows: Vec<T>, gone: &[String]) {
        if rows.is_empty() && gone.is_empty() {
            return;
        }
        let mut notify = Vec::new();
        let changed = self.rows.try_update_value(|stored| {
            let before = stored.log.end();
            let mut structure = false;
            for light in rows {
                let known = stored.by_id.get_mut(light.id());
                if let Some(seen) = &mut stored.seen {
                    seen.insert(
                        known
                            .as_ref()
                            .map_or_else(|| light.id().into(), |entry| entry.row.id.clone()),
                    );
                }
                match known {
                    Some(entry) if entry.row.light == light => {}
                    Some(entry) => {
                        structure |= !entry.row.light.stands_like(&light);
                        entry.row = Arc::new(Row::new(light));
                        stored.log.add(entry.row.id.clone());
                        if let Some(signal) = &entry.signal {
                            notify.push((signal.clone(), entry.row.clone()));
                        }
                    }
                    None => {
                        structure = true;
                        let row = Arc::new(Row::new(light));
                        stored.log.add(row.id.clone());
                        stored.by_id.insert(row.id.clone(), Entry { row, signal: None });
                    }
                }
            }
            for id in gone {
                if let Some((id, _)) = stored.by_id.remove_entry(id.as_str()) {
                    structure = true;
                    stored.log.add(id);
                }
            }
            (stored.log.end() != before).then_some(structure)
        });
        for (signal, row) in notify {
            signal.set(row);
        }
        if let Some(Some(structure)) = changed {
            self.announce(structure);
        }
    }

    fn announce(&self, structure: bool) {
        self.version.update(|version| *version += 1);
        if structure {
            self.structure.update(|version| *version += 1);
        }
    }
}

impl<T: Light> Default for Class<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Lower case, with each run of digits padded so that text order is number order.
pub fn natural_key(name: &str) -> String {
    let mut key = String::with_capacity(name.len() + 12);
    let mut digits = String::new();
    let flush = |digits: &mut String, key: &mut String| {
        if !digits.is_empty() {
            for _ in digits.len()..10 {
                key.push('0');
            }
            key.push_str(digits);
            digits.clear();
        }
    };
    for c in name.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
        } else {
            flush(&mut digits, &mut key);
            key.extend(c.to_lowercase());
        }
    }
    flush(&mut digits, &mut key);
    key
}

#[cfg(test)]
mod tests {
    use super::natural_key;

    #[test]
    fn names_sort_as_people_read_them() {
        let mut names = ["vm-10", "VM-2", "vm-1", "db", "Web"];
        names.sort_by_key(|name| natural_key(name));
        assert_eq!(names, ["db", "vm-1", "VM-2", "vm-10", "Web"]);
    }
}
