//! A filtered and sorted list over a class, worked out at most once per animation frame.

use super::{
    class::{Class, Light, Row},
    rows::{Placed, Places},
};
use crate::query::{Lookup, Query};
use leptos::prelude::*;
use std::{cmp::Ordering, sync::Arc};

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

/// Which rows belong to a list at all.
pub type Within<T> = Arc<dyn Fn(&Row<T>) -> bool + Send + Sync>;

/// The rows to show, in order.
pub type Rows<T> = Arc<Vec<Arc<Row<T>>>>;

pub struct List<T: 'static> {
    pub rows: RwSignal<Rows<T>>,
    /// Rows before the filter (but within the scope).
    pub total: RwSignal<usize>,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<T> {}

/// Derives a list, once `ready`: drawing each chunk of the first snapshot would be work for nothing.
/// `scope` narrows it beyond the user's filter (the VMs of a host).
pub fn derive<T: Light>(
    class: Class<T>,
    ready: RwSignal<bool>,
    places: Memo<Places>,
    scope: Option<Within<T>>,
    query: Memo<Arc<Query>>,
    sort: Signal<Sort<T>>,
) -> List<T>
where
    for<'a> Placed<'a, T>: Lookup,
{
    let rows: RwSignal<Rows<T>> = RwSignal::new(Arc::default());
    let total = RwSignal::new(0);
    // The whole scope in order. Kept from run to run: sorting what is nearly sorted costs one pass.
    let sorted: StoredValue<Vec<Arc<Row<T>>>> = StoredValue::new(Vec::new());
    let pending = StoredValue::new(false);
    let stale = StoredValue::new(true);
    let work = move || {
        let places = places.get_untracked();
        let query = query.get_untracked();
        let shown = sorted.try_update_value(|sorted| {
            if stale.get_value() {
                stale.set_value(false);
                refresh(sorted, class, scope.as_ref());
                let Sort { compare, descending } = sort.get_untracked();
                sorted.sort_by(|a, b| {
                    let order = compare(a, b, &places).then_with(|| a.name_key.cmp(&b.name_key));
                    let order = if descending { order.reverse() } else { order };
                    order.then_with(|| a.id.cmp(&b.id))
                });
            }
            total.set(sorted.len());
            if query.is_empty() {
                return sorted.clone();
            }
            sorted
                .iter()
                .filter(|row| query.matches_row(&Placed { row, places: &places }))
                .cloned()
                .collect()
        });
        if let Some(shown) = shown {
            rows.set(Arc::new(shown));
        }
    };
    let schedule = move || {
        if pending.get_value() || !ready.get_untracked() {
            return;
        }
        pending.set_value(true);
        let work = work.clone();
        request_animation_frame(move || {
            // The list may be gone with its page by now.
            if pending.try_get_value().is_some() {
                pending.set_value(false);
                work();
            }
        });
    };
    let schedule_data = schedule.clone();
    Effect::new(move |_| {
        ready.track();
        class.track();
        places.track();
        sort.track();
        stale.set_value(true);
        schedule_data();
    });
    Effect::new(move |_| {
        query.track();
        schedule();
    });
    List { rows, total }
}

/// Brings the kept rows up to date in their present order; new ones come at the end.
fn refresh<T: Light>(sorted: &mut Vec<Arc<Row<T>>>, class: Class<T>, scope: Option<&Within<T>>) {
    let mut fresh: rustc_hash::FxHashMap<_, _> = class
        .all()
        .into_iter()
        .filter(|row| scope.is_none_or(|scope| scope(row)))
        .map(|row| (row.id.clone(), row))
        .collect();
    sorted.retain_mut(|row| match fresh.remove(&row.id) {
        Some(now) => {
            *row = now;
            true
        }
        None => false,
    });
    sorted.extend(fresh.into_values());
}
