//! The older event calls: `register`, `unregister`, `next`. A session's queue is where it stands in the
//! generations; a client whose missed deletions were pruned gets EVENTS_LOST, as a full queue would give.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use super::events::{Batch, Event, Subscription};
use super::{Call, sessions};
use crate::db::class;
use crate::fault::Fault;
use crate::model::model;
use crate::value::Value;

/// More changes than this between two `next` overflow the queue.
const QUEUE: usize = 10_000;

/// So often a pool that nothing happens to says that it lives, at time scale 1.
const HEARTBEAT_SECONDS: f64 = 30.0;
const SHORTEST_HEARTBEAT: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Registrations(Mutex<HashMap<String, Registration>>);

struct Registration {
    filters: Vec<Value>,
    seen: u64,
}

pub fn register(call: &Call, classes: &Value) -> Result<(), Fault> {
    Subscription::parse(classes)?;
    let seen = call.pool.db().generation();
    let mut all = call.pool.registrations.lock();
    let own = all.entry(call.session.clone()).or_insert(Registration {
        filters: vec![],
        seen,
    });
    own.filters.extend_from_slice(classes.set());
    Ok(())
}

pub fn unregister(call: &Call, classes: &Value) {
    let mut all = call.pool.registrations.lock();
    if let Some(own) = all.get_mut(&call.session) {
        own.filters.retain(|filter| !classes.set().contains(filter));
        if own.filters.is_empty() {
            all.remove(&call.session);
        }
    }
}

/// The pool says that it lives, to those who listen to it.
fn sign_of_life(call: &Call) -> Option<Event> {
    let (db, class) = (call.pool.db(), class("pool"));
    let all = call.pool.registrations.lock();
    let wanted = Subscription::parse(&Value::Set(all.get(&call.session)?.filters.clone())).ok()?;
    let reference = db.pool();
    let row = db.row(class, &reference).ok()?;
    wanted.wants(class.id, &reference).then(|| Event {
        id: db.generation(),
        timestamp: db.now(),
        class,
        operation: "mod",
        snapshot: Some(row.render(class, call.wire)),
        reference: reference.clone(),
    })
}

/// Blocks until something happens to what the session registered for.
pub async fn next(call: &Call) -> Result<Batch, Fault> {
    let mut changes = call.pool.changes();
    let heartbeat = Duration::from_secs_f64(HEARTBEAT_SECONDS * call.pool.config.time_scale);
    let heartbeat = heartbeat.max(SHORTEST_HEARTBEAT);
    loop {
        changes.mark_unchanged();
        {
            let db = call.pool.db();
            sessions::check(&db, &call.session)?;
            let mut all = call.pool.registrations.lock();
            let own = all.get_mut(&call.session);
            let own = own.ok_or_else(|| Fault::new("SESSION_NOT_REGISTERED", [&*call.session]))?;
            let wanted = Subscription::parse(&Value::Set(own.filters.clone()))?;
            let since = own.seen;
            let timestamp = db.now();
            let mut events = Vec::new();
            for (id, reference) in db.changed_since(since) {
                let class = &model().classes[*id];
                let Ok(row) = db.row(class, reference) else {
                    continue;
                };
                if wanted.wants(class.id, reference) {
                    let operation = if row.created > since { "add" } else { "mod" };
                    let snapshot = Some(row.render(class, call.wire));
                    let (id, reference) = (row.modified, reference.clone());
                    events.push(Event {
                        id,
                        timestamp,
                        class,
                        operation,
                        reference,
                        snapshot,
                    });
                }
            }
            let classes = model().classes.iter();
            for class in classes.filter(|class| class.has_events && wanted.may_want(class.id)) {
                if db.has_forgotten(class, since) {
                    return Err(Fault::bare("EVENTS_LOST"));
                }
                let gone = db
                    .deletions(class)
                    .filter(|gone| gone.deleted > since && gone.created <= since);
                let gone = gone.filter(|gone| wanted.wants(class.id, &gone.reference));
                events.extend(gone.map(|gone| Event {
                    id: gone.deleted,
                    timestamp,
                    class,
                    operation: "del",
                    reference: gone.reference.clone(),
                    snapshot: None,
                }));
            }
            if events.len() > QUEUE {
                return Err(Fault::bare("EVENTS_LOST"));
            }
            own.seen = db.generation();
            if !events.is_empty() {
                events.sort_by_key(|event| event.id);
                return Ok(Batch::list(events));
            }
        }
        match tokio::time::timeout(heartbeat, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Fault::new("SESSION_INVALID", [&*call.session])),
            Err(_) => {
                if let Some(event) = sign_of_life(call) {
                    return Ok(Batch::list(vec![event]));
                }
            }
        }
    }
}

impl Registrations {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Registration>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn clear(&self) {
        self.lock().clear();
    }
}
