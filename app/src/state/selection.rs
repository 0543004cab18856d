//! Which rows of a list are chosen, and the anchor that Shift extends from.

use super::class::Id;
use leptos::prelude::*;
use rustc_hash::FxHashSet;

#[derive(Clone, Copy)]
pub struct Selection {
    pub ids: RwSignal<FxHashSet<Id>>,
    anchor: StoredValue<Option<Id>>,
}

impl Selection {
    pub fn new() -> Self {
        Self {
            ids: RwSignal::new(FxHashSet::default()),
            anchor: StoredValue::new(None),
        }
    }

    pub fn contains(self, id: &Id) -> bool {
        self.ids.with(|ids| ids.contains(id))
    }

    /// Flips one row; with `extend`, everything between the last flipped row and this one follows it.
    pub fn toggle(self, id: &Id, extend: bool, order: impl Fn() -> Vec<Id>) {
        let on = !self.ids.with_untracked(|ids| ids.contains(id));
        let anchor = self.anchor.get_value().filter(|_| extend);
        let between = anchor.and_then(|anchor| {
            let order = order();
            let from = order.iter().position(|id| *id == anchor)?;
            let to = order.iter().position(|other| other == id)?;
            Some(order[from.min(to)..=from.max(to)].to_vec())
        });
        self.ids.update(|ids| {
            for id in between.unwrap_or_else(|| vec![id.clone()]) {
                if on {
                    ids.insert(id);
                } else {
                    ids.remove(&id);
                }
            }
        });
        self.anchor.set_value(Some(id.clone()));
    }

    pub fn set_all(self, ids: impl IntoIterator<Item = Id>) {
        self.ids.set(ids.into_iter().collect());
    }

    pub fn clear(self) {
        self.ids.update(FxHashSet::clear);
    }
}

impl Default for Selection {
    fn default() -> Self {
        Self::new()
    }
}
