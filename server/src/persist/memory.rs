//! A store that forgets: for tests and for trying things out.

use super::{Backend, Change, Pending, Status};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

type Records = BTreeMap<(&'static str, String), Vec<u8>>;

#[derive(Default)]
pub struct Memory {
    records: Mutex<Records>,
}

impl Memory {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Memory {
    fn get(&self, collection: &'static str, id: &str) -> Pending<'_, Option<Vec<u8>>> {
        let value = self.records().get(&(collection, id.to_owned())).cloned();
        Box::pin(async { Ok(value) })
    }

    fn list(&self, collection: &'static str) -> Pending<'_, Vec<(String, Vec<u8>)>> {
        let records = self.records();
        let of_collection = records.iter().filter(|((name, _), _)| *name == collection);
        let list = of_collection
            .map(|((_, id), value)| (id.clone(), value.clone()))
            .collect();
        Box::pin(async { Ok(list) })
    }

    fn commit(&self, changes: Vec<Change>) -> Pending<'_, ()> {
        Box::pin(async {
            // As every other store: others get on meanwhile, and who does not wait for it has changed nothing.
            tokio::task::yield_now().await;
            let mut records = self.records();
            for change in changes {
                let key = (change.collection, change.id);
                match change.value {
                    Some(value) => records.insert(key, value),
                    None => records.remove(&key),
                };
            }
            Ok(())
        })
    }

    fn scrub(&self) -> Pending<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn status(&self) -> Status {
        Status {
            kind: "memory",
            warnings: vec!["everything is lost when the server stops".to_owned()],
            ..Status::default()
        }
    }
}
