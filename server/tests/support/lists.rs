//! What a browser knows of the `lists` view.

use super::{Client, map};
use app::rpc::view::ViewUpdate;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Rows by id, as a browser keeps them.
#[derive(Default)]
pub struct Lists {
    pub rows: BTreeMap<String, Value>,
    pub links: Value,
    pub revision: u64,
    pub complete: bool,
}

impl Lists {
    pub fn apply(&mut self, update: &Value) {
        // The web client's own type reads it.
        serde_json::from_value::<ViewUpdate>(update.clone()).expect("a view update");
        if update["reset"] == true {
            *self = Self::default();
        }
        for (key, value) in map(update) {
            match (key.as_str(), value) {
                ("gone", Value::Array(ids)) => {
                    for id in ids {
                        self.rows.remove(id.as_str().expect("an id"));
                    }
                }
                ("links", links) => self.links = links.clone(),
                ("full", _) => panic!("lists have no full objects"),
                (kind, Value::Array(rows)) => {
                    for row in rows {
                        let id = row[0].as_str().expect("an id").to_owned();
                        self.rows.insert(id, json!({ "type": kind, "row": row }));
                    }
                }
                _ => {}
            }
        }
        self.revision = update["revision"].as_u64().expect("a revision");
        self.complete = update["more"] != true;
    }

    pub async fn until(&mut self, client: &mut Client, condition: impl Fn(&Self) -> bool) {
        while !(self.complete && condition(self)) {
            let update = client.view().await;
            self.apply(&update);
        }
    }
}
