//! Clients that are connected all the time: what the notifications and the lists have told them.

use crate::support::*;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// What such a client knows.
#[derive(Clone, Default)]
pub struct Known {
    pub objects: BTreeMap<String, Value>,
    pub rows: BTreeMap<String, Value>,
    pub links: Value,
}

pub struct Mirror {
    asked: mpsc::Sender<oneshot::Sender<Known>>,
    following: JoinHandle<()>,
}

impl Mirror {
    /// `everything` follows the notifications, `lists` has a view of the lists.
    pub fn of(mut everything: Client, mut lists: Client) -> Self {
        let (asks, mut asked) = mpsc::channel::<oneshot::Sender<Known>>(1);
        let following = tokio::spawn(async move {
            let mut shown = Lists::default();
            loop {
                tokio::select! {
                    message = everything.next() => match message {
                        Incoming::Text(message) => everything.apply(&message),
                        other => panic!("the client that is always connected met {other:?}"),
                    },
                    message = lists.next() => match message {
                        Incoming::Text(message) if message["method"] == "view" => shown.apply(&message["params"]),
                        Incoming::Text(_) => {}
                        other => panic!("the client that always looks at lists met {other:?}"),
                    },
                    Some(asker) = asked.recv() => drop(asker.send(Known {
                        objects: everything.objects.clone(),
                        rows: rows(&shown),
                        links: shown.links.clone(),
                    })),
                }
            }
        });
        Self {
            asked: asks,
            following,
        }
    }

    pub async fn known(&self) -> Known {
        let (sender, known) = oneshot::channel();
        self.asked.send(sender).await.expect("the clients are connected");
        known.await.expect("the clients are connected")
    }

    pub fn stop(&self) {
        self.following.abort();
    }

    /// When the clients have lost their connection.
    pub async fn lost(&mut self) {
        let end = (&mut self.following).await;
        panic!("the clients that are always connected were cut off: {end:?}");
    }
}

/// The rows by id, whatever their type.
pub fn rows(lists: &Lists) -> BTreeMap<String, Value> {
    let rows = lists.rows.iter();
    rows.map(|(id, row)| (id.clone(), row["row"].clone())).collect()
}
