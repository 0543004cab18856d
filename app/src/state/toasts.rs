//! Short messages about what the user started. Good news leaves by itself, errors stay until dismissed.

use super::explain::Explained;
use leptos::prelude::*;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Toast {
    Done(String),
    /// What was tried, and why it failed.
    Failed {
        tried: String,
        why: Explained,
    },
}

#[derive(Clone, Copy)]
pub struct Toasts {
    pub all: RwSignal<Vec<(u64, Toast)>>,
    last: StoredValue<u64>,
}

/// Ten failures of one bulk action must not bury the page; the task drawer has them all.
const MOST: usize = 5;

impl Toasts {
    pub fn new() -> Self {
        Self {
            all: RwSignal::new(Vec::new()),
            last: StoredValue::new(0),
        }
    }

    pub fn push(self, toast: Toast) {
        self.last.update_value(|last| *last += 1);
        let key = self.last.get_value();
        let stays = matches!(toast, Toast::Failed { .. });
        self.all.update(|all| {
            all.push((key, toast));
            if all.len() > MOST {
                all.remove(0);
            }
        });
        if !stays {
            set_timeout(move || self.dismiss(key), Duration::from_secs(5));
        }
    }

    pub fn dismiss(self, key: u64) {
        self.all.update(|all| all.retain(|(other, _)| *other != key));
    }
}

impl Default for Toasts {
    fn default() -> Self {
        Self::new()
    }
}
