//! People who change something all the time, and keep what they were told about it: what was answered is done, what
//! was refused is not, and whoever was told neither was told that the outcome is unknown.

use crate::support::*;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// Between two calls of one caller.
const PAUSE: Duration = Duration::from_millis(30);

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Done,
    Refused(Value),
    Unknown,
}

/// What each call was about: the tag that it was to add, and to which VM of which pool.
type Outcomes = Arc<Mutex<BTreeMap<String, (usize, String, Outcome)>>>;

pub struct Callers {
    outcomes: Outcomes,
    /// How many calls are under way; callers begin nothing while they are to rest.
    busy: Vec<watch::Receiver<bool>>,
    resting: watch::Sender<bool>,
    calling: Vec<JoinHandle<()>>,
}

/// Figures of a phase.
#[derive(Debug, Default)]
pub struct Tally {
    pub done: usize,
    pub refused: usize,
    pub unknown: usize,
}

impl Callers {
    /// One caller a pool; `vms` are ids of what it changes.
    pub fn start(clients: Vec<(Client, Vec<String>)>) -> Self {
        let outcomes = Outcomes::default();
        let resting = watch::Sender::new(true);
        let (mut busy, mut calling) = (Vec::new(), Vec::new());
        for (pool, (client, vms)) in clients.into_iter().enumerate() {
            let (says, hears) = watch::channel(false);
            busy.push(hears);
            calling.push(tokio::spawn(call(
                client,
                pool,
                vms,
                outcomes.clone(),
                resting.subscribe(),
                says,
            )));
        }
        Self {
            outcomes,
            busy,
            resting,
            calling,
        }
    }

    pub fn go_on(&self) {
        self.resting.send_replace(false);
    }

    /// Lets them begin nothing more.
    pub fn hush(&self) {
        self.resting.send_replace(true);
    }

    /// Waits until each call has its answer: none waits for ever.
    pub async fn rest(&mut self) {
        self.hush();
        for busy in &mut self.busy {
            let answered = tokio::time::timeout(DEADLINE, busy.wait_for(|busy| !busy)).await;
            drop(
                answered
                    .expect("every call is answered")
                    .expect("the callers are there"),
            );
        }
        assert!(
            self.calling.iter().all(|caller| !caller.is_finished()),
            "callers go on"
        );
    }

    pub fn stop(&self) {
        self.calling.iter().for_each(JoinHandle::abort);
    }

    /// Compares what was told with the tags that the VMs have, and begins a new list.
    /// Of a VM that vanished nothing can be told.
    pub fn account(&self, has_tag: impl Fn(usize, &str, &str) -> Option<bool>) -> Tally {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tally = Tally::default();
        for (tag, (pool, vm, outcome)) in std::mem::take(&mut *outcomes) {
            let Some(there) = has_tag(pool, &vm, &tag) else {
                continue;
            };
            match outcome {
                Outcome::Done => {
                    assert!(there, "the tag {tag} of {vm} was answered and is not there");
                    tally.done += 1;
                }
                Outcome::Refused(error) => {
                    assert!(!there, "the tag {tag} of {vm} is there, and was refused: {error}");
                    tally.refused += 1;
                }
                Outcome::Unknown => tally.unknown += 1,
            }
        }
        tally
    }
}

async fn call(
    mut client: Client,
    pool: usize,
    vms: Vec<String>,
    outcomes: Outcomes,
    mut resting: watch::Receiver<bool>,
    busy: watch::Sender<bool>,
) {
    for number in 0.. {
        if *resting.borrow() && resting.wait_for(|resting| !resting).await.is_err() {
            return;
        }
        busy.send_replace(true);
        // Whoever waits for us to rest has seen us busy, or we see that we are to rest.
        if *resting.borrow() {
            busy.send_replace(false);
            continue;
        }
        let (vm, tag) = (&vms[number % vms.len()], format!("soak-{pool}-{number}"));
        let outcome = match client.call("tag.add", json!({ "id": vm, "tag": tag })).await {
            Ok(_) => Outcome::Done,
            Err(error) if error["data"]["code"] == "OUTCOME_UNKNOWN" => Outcome::Unknown,
            Err(error) => Outcome::Refused(error),
        };
        outcomes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tag, (pool, vm.clone(), outcome));
        // Nobody needs the news.
        client.notifications.clear();
        busy.send_replace(false);
        tokio::time::sleep(PAUSE).await;
    }
}
