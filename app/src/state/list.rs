//! A filtered and sorted list over a class, brought up to date at most once per animation frame, and by the
//! rows that changed rather than by looking at all of them.

use super::{
    class::{Class, Id, Light, Row},
    rows::{Placed, Places},
};
use crate::query::{Lookup, Query};
use leptos::prelude::*;
use rustc_hash::FxHashMap;
use std::{cmp::Ordering, sync::Arc, time::Duration};

/// How rows of one column compare.
pub type Compare<T> = fn(&Row<T>, &Row<T>, &Places) -> Ordering;

pub struct Sort<T: 'static> {
    pub compare: Compare<T>,
    pub descending: bool,
}

impl<T> Clone for Sort<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Sort<T> {}

impl<T> Sort<T> {
    /// Never equal for two rows: each has one place.
    fn order(self, a: &Row<T>, b: &Row<T>, places: &Places) -> Ordering {
        let order = (self.compare)(a, b, places).then_with(|| a.name_key.cmp(&b.name_key));
        let order = if self.descending { order.reverse() } else { order };
        order.then_with(|| a.id.cmp(&b.id))
    }
}

/// Which rows belong to a list at all.
pub type Within<T> = Arc<dyn Fn(&Row<T>) -> bool + Send + Sync>;

/// Which of a list's kinds (power states, say) a row is of.
pub type Kind<T> = fn(&T) -> Option<usize>;

/// What a list is of, and how it is to be shown.
pub struct Source<T: 'static> {
    pub class: Class<T>,
    /// The first snapshot is complete: drawing each chunk of it would be work for nothing.
    pub ready: RwSignal<bool>,
    pub places: Memo<Places>,
    /// Narrows the list beyond the user's filter (the VMs of a host).
    pub within: Option<Within<T>>,
    pub query: Memo<Arc<Query>>,
    pub sort: Signal<Sort<T>>,
    pub kind: Option<Kind<T>>,
}

pub struct List<T: 'static> {
    /// The rows to show, in order.
    pub rows: RwSignal<Vec<Arc<Row<T>>>>,
    pub shown: RwSignal<usize>,
    /// Rows before the filter (but within the scope).
    pub total: RwSignal<usize>,
    /// How many of them are of each kind.
    pub kinds: RwSignal<Vec<usize>>,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<T> {}

/// What has to be looked at again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    Nothing,
    /// Only what the class says has changed.
    Rows,
    Filter,
    Everything,
}

pub fn derive<T: Light>(source: Source<T>) -> List<T>
where
    for<'a> Placed<'a, T>: Lookup,
{
    let list = List {
        rows: RwSignal::new(Vec::new()),
        shown: RwSignal::new(0),
        total: RwSignal::new(0),
        kinds: RwSignal::new(Vec::new()),
    };
    let Source {
        class,
        ready,
        places,
        query,
        sort,
        ..
    } = source;
    let kept = StoredValue::new(Kept::default());
    let source = StoredValue::new(source);
    let stale = StoredValue::new(Stale::Nothing);
    let work = move || {
        let what = stale.get_value();
        stale.set_value(Stale::Nothing);
        source.with_value(|source| {
            kept.update_value(|kept| {
                places.with_untracked(|places| {
                    let now = Now {
                        source,
                        places,
                        query: query.get_untracked(),
                        sort: sort.get_untracked(),
                    };
                    let mut rows = list.rows.write();
                    if !kept.bring(&now, what, &mut rows) {
                        rows.untrack();
                    }
                });
                put(list.total, kept.all.len());
                put(list.kinds, kept.kinds.clone());
            });
        });
        put(list.shown, list.rows.with_untracked(Vec::len));
    };
    let schedule = move |what: Stale| {
        let before = stale.get_value();
        stale.set_value(before.max(what));
        if before != Stale::Nothing || !ready.get_untracked() {
            return;
        }
        let run = move || {
            // The list may be gone with its page by now.
            if stale.try_get_value().is_some() {
                work();
            }
        };
        if what == Stale::Everything {
            // The frame that draws it has enough to do.
            set_timeout(run, Duration::ZERO);
        } else {
            request_animation_frame(run);
        }
    };
    Effect::new(move |_| {
        places.track();
        sort.track();
        if ready.get() {
            // What was asked for before there was anything is part of this.
            stale.set_value(Stale::Nothing);
            schedule(Stale::Everything);
        }
    });
    Effect::new(move |_| {
        class.track();
        schedule(Stale::Rows);
    });
    Effect::new(move |_| {
        query.track();
        schedule(Stale::Filter);
    });
    list
}

/// Sets a signal unless it says so already.
fn put<V: PartialEq + Send + Sync + 'static>(signal: RwSignal<V>, value: V) {
    if signal.with_untracked(|now| *now != value) {
        signal.set(value);
    }
}

/// What a list is brought up to.
struct Now<'a, T: 'static> {
    source: &'a Source<T>,
    places: &'a Places,
    query: Arc<Query>,
    sort: Sort<T>,
}

impl<T: Light> Now<'_, T>
where
    for<'a> Placed<'a, T>: Lookup,
{
    fn order(&self, a: &Row<T>, b: &Row<T>) -> Ordering {
        self.sort.order(a, b, self.places)
    }

    fn passes(&self, row: &Arc<Row<T>>) -> bool {
        self.query.is_empty()
            || self.query.matches_row(&Placed {
                row,
                places: self.places,
            })
    }

    fn belongs(&self, row: &Row<T>) -> bool {
        self.source.within.as_ref().is_none_or(|within| within(row))
    }
}

/// A list between two frames.
struct Kept<T: 'static> {
    /// The whole scope in order.
    all: Vec<Arc<Row<T>>>,
    /// Each row as it was when it got its place.
    by_id: FxHashMap<Id, Arc<Row<T>>>,
    kinds: Vec<usize>,
    /// Where the class's log was read to.
    position: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            by_id: FxHashMap::default(),
            kinds: Vec::new(),
            position: 0,
        }
    }
}

impl<T: Light> Kept<T>
where
    for<'a> Placed<'a, T>: Lookup,
{
    /// Brings itself and the rows shown up to date; says whether what is shown is other than before.
    fn bring(&mut self, now: &Now<'_, T>, what: Stale, shown: &mut Vec<Arc<Row<T>>>) -> bool {
        let (changes, position) = now.source.class.changes(self.position);
        self.position = position;
        // Beyond a part of the list, one sort costs less than many moves.
        let changes = changes.filter(|changes| changes.len() * 8 <= self.all.len() + 64);
        let (Some(changes), true) = (changes, what < Stale::Everything) else {
            self.read_all(now);
            self.filter(now, shown);
            return true;
        };
        let refilter = what == Stale::Filter;
        let mut changed = refilter;
        for (id, row) in changes {
            let new = row.filter(|row| now.belongs(row));
            let old = match &new {
                Some(new) => self.by_id.insert(id, new.clone()),
                None => self.by_id.remove(&id),
            };
            // A row that changed twice is there twice, the second time as it is known already.
            if let (Some(old), Some(new)) = (&old, &new)
                && Arc::ptr_eq(old, new)
            {
                continue;
            }
            self.count(now, old.as_deref(), new.as_deref());
            replace(now, &mut self.all, old.as_ref(), new.as_ref());
            if !refilter {
                let [old, new] = [old, new].map(|row| row.filter(|row| now.passes(row)));
                changed |= replace(now, shown, old.as_ref(), new.as_ref());
            }
        }
        if refilter {
            self.filter(now, shown);
        }
        changed
    }

    fn read_all(&mut self, now: &Now<'_, T>) {
        let mut fresh: FxHashMap<Id, Arc<Row<T>>> = now
            .source
            .class
            .all()
            .into_iter()
            .filter(|row| now.belongs(row))
            .map(|row| (row.id.clone(), row))
            .collect();
        self.by_id.clone_from(&fresh);
        // In the present order, new ones at the end: what is nearly sorted is soon sorted.
        self.all.retain_mut(|row| match fresh.remove(&row.id) {
            Some(new) => {
                *row = new;
                true
            }
            None => false,
        });
        self.all.extend(fresh.into_values());
        self.all.sort_unstable_by(|a, b| now.order(a, b));
        self.kinds.clear();
        for at in 0..self.all.len() {
            let row = self.all[at].clone();
            self.count(now, None, Some(&row));
        }
    }

    fn filter(&self, now: &Now<'_, T>, shown: &mut Vec<Arc<Row<T>>>) {
        shown.clear();
        shown.extend(self.all.iter().filter(|row| now.passes(row)).cloned());
    }

    fn count(&mut self, now: &Now<'_, T>, old: Option<&Row<T>>, new: Option<&Row<T>>) {
        let Some(kind) = now.source.kind else { return };
        if let Some(kind) = old.and_then(|row| kind(&row.light)) {
            self.kinds[kind] -= 1;
        }
        if let Some(kind) = new.and_then(|row| kind(&row.light)) {
            if self.kinds.len() <= kind {
                self.kinds.resize(kind + 1, 0);
            }
            self.kinds[kind] += 1;
        }
    }
}

/// Puts `new` into an ordered list instead of `old`, where it belongs now; says whether anything changed.
fn replace<T: Light>(
    now: &Now<'_, T>,
    list: &mut Vec<Arc<Row<T>>>,
    old: Option<&Arc<Row<T>>>,
    new: Option<&Arc<Row<T>>>,
) -> bool
where
    for<'a> Placed<'a, T>: Lookup,
{
    let was = old.and_then(|old| {
        list.binary_search_by(|row| now.order(row, old))
            .ok()
            .or_else(|| list.iter().position(|row| row.id == old.id))
    });
    let Some(new) = new else {
        return match was {
            Some(was) => {
                list.remove(was);
                true
            }
            None => false,
        };
    };
    if let (Some(was), Some(old)) = (was, old)
        && now.order(old, new) == Ordering::Equal
    {
        list[was] = new.clone();
        return true;
    }
    if let Some(was) = was {
        list.remove(was);
    }
    let at = list.partition_point(|row| now.order(row, new) == Ordering::Less);
    list.insert(at, new.clone());
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::light::LightVm, query::parse};

    fn vm(id: usize, name: &str, state: &str) -> LightVm {
        LightVm {
            id: id.to_string(),
            name_label: name.to_owned(),
            power_state: state.to_owned(),
            ..LightVm::default()
        }
    }

    fn kind(vm: &LightVm) -> Option<usize> {
        ["Halted", "Running"]
            .iter()
            .position(|state| *state == vm.power_state)
    }

    fn source(class: Class<LightVm>) -> Source<LightVm> {
        let sort = Sort {
            compare: |a: &Row<LightVm>, b, _| a.power_state.cmp(&b.power_state),
            descending: true,
        };
        Source {
            class,
            ready: RwSignal::new(true),
            places: Memo::new(|_| Places::default()),
            within: Some(Arc::new(|vm| !vm.name_label.contains("other"))),
            query: Memo::new_with_compare(|_| Arc::default(), |_, _| true),
            sort: Signal::stored(sort),
            kind: Some(kind),
        }
    }

    /// Changes applied one after the other must lead where a look at everything leads.
    #[test]
    fn changes_and_a_fresh_look_agree() {
        let owner = Owner::new();
        owner.set();
        let class = Class::<LightVm>::new();
        let source = source(class);
        let places = Places::default();
        let query = Arc::new(parse("!skip").expect("a filter"));
        let now = Now {
            source: &source,
            places: &places,
            query,
            sort: source.sort.get_untracked(),
        };
        let names = ["web", "db", "skip-me", "other-1", "mail 2", "mail 10"];
        let states = ["Running", "Halted", "Paused"];
        class.apply(
            (0..120).map(|at| vm(at, names[at % 6], states[at % 3])).collect(),
            &[],
        );
        let (mut kept, mut shown) = (Kept::default(), Vec::new());
        assert!(kept.bring(&now, Stale::Everything, &mut shown));
        let mut random = 7_usize;
        for round in 0..300 {
            random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
            let id = (random >> 8) % 130;
            if round % 5 == 0 {
                class.apply(Vec::new(), &[id.to_string()]);
            } else {
                let changed = vm(id, names[(random >> 4) % 6], states[(random >> 12) % 3]);
                class.apply(vec![changed], &[]);
            }
            kept.bring(&now, Stale::Rows, &mut shown);
            let (mut fresh, mut expected) = (Kept::default(), Vec::new());
            fresh.bring(&now, Stale::Everything, &mut expected);
            let ids = |rows: &[Arc<Row<LightVm>>]| rows.iter().map(|row| row.id.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&shown), ids(&expected), "round {round}");
            assert_eq!(ids(&kept.all), ids(&fresh.all), "round {round}");
            let total = |kinds: &[usize]| [0, 1].map(|kind| kinds.get(kind).copied().unwrap_or_default());
            assert_eq!(total(&kept.kinds), total(&fresh.kinds), "round {round}");
        }
    }
}
