//! The full objects of an open page, fed by an `object` view for as long as the page is open.

use crate::{
    client::{self, ViewEvent, ViewHandle},
    rpc::{RpcError, view::ViewSpec},
};
use leptos::prelude::*;
use rustc_hash::FxHashMap;
use serde_json::Value;
use std::sync::Arc;

pub type Objects = FxHashMap<String, Arc<Value>>;

#[derive(Clone, Copy)]
pub struct Object {
    /// The object and those that come with it, by id.
    pub all: RwSignal<Objects>,
    /// The first snapshot is complete.
    pub ready: RwSignal<bool>,
    pub refused: RwSignal<Option<RpcError>>,
}

/// Watches whatever `id` says at the moment.
pub fn watch(id: Memo<String>) -> Object {
    let object = Object {
        all: RwSignal::new(Objects::default()),
        ready: RwSignal::new(false),
        refused: RwSignal::new(None),
    };
    let handle: StoredValue<Option<ViewHandle>> = StoredValue::new(None);
    Effect::new(move |_| {
        object.all.set(Objects::default());
        object.ready.set(false);
        object.refused.set(None);
        // The old handle ends first.
        handle.set_value(None);
        handle.set_value(Some(client::watch(
            ViewSpec::Object { id: id.get() },
            move |event| object.hear(event),
        )));
    });
    on_cleanup(move || {
        handle.try_update_value(|handle| handle.take());
    });
    object
}

impl Object {
    fn hear(self, event: ViewEvent) {
        match event {
            ViewEvent::Refused(error) => {
                self.refused.try_set(Some(error));
            }
            ViewEvent::Update(update) => {
                let more = update.more;
                self.all.try_update(|all| {
                    if update.reset {
                        all.clear();
                    }
                    for value in update.full {
                        if let Some(id) = value.get("id").and_then(Value::as_str) {
                            all.insert(id.to_owned(), Arc::new(value));
                        }
                    }
                    for id in &update.gone {
                        all.remove(id);
                    }
                });
                if !more {
                    self.ready.try_set(true);
                }
            }
        }
    }

    pub fn get(self, id: &str) -> Option<Arc<Value>> {
        self.all.with(|all| all.get(id).cloned())
    }

    /// The objects of a published type.
    pub fn of_type(self, kind: &str) -> Vec<Arc<Value>> {
        self.all.with(|all| {
            all.values()
                .filter(|value| value.get("type").and_then(Value::as_str) == Some(kind))
                .cloned()
                .collect()
        })
    }
}
