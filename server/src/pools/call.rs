//! A handle to one connected pool: read its records, call its XAPI.
//!
//! Long operations run as XAPI tasks, and are followed through the event stream like everything else. A
//! call that got no answer is not a call that was refused: its outcome is unknown, and that is what is said.

use super::normal_fingerprint;
use crate::inventory::{Graph, graph::Update};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use xapi::{
    Cache, CallError, Change, Class, Client, Fault, OpaqueRef, Record,
    records::{Certificate, Host, Pool as PoolRecord, Task, XapiRecord},
    watch::Batch,
    wire::{Answer, xml_rpc},
};

/// A finished task is left for people to see, then cleared away as XAPI asks its clients to do.
const TASK_KEPT: Duration = Duration::from_secs(60);
/// How long a task may stay unseen in the event stream before it is asked for.
const TASK_UNSEEN: Duration = Duration::from_secs(5);
/// Longest operation that is waited for.
const TASK_LIMIT: Duration = Duration::from_secs(6 * 3600);

/// The records of a pool and what was computed from them.
#[derive(Default)]
pub(super) struct Records {
    inner: RwLock<Inner>,
    /// Grows with each batch, after its objects were published.
    applied: watch::Sender<u64>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) cache: Cache,
    graph: Graph,
}

/// What one batch did.
pub(super) struct Applied {
    pub(super) update: Update,
    pub(super) pool_id: Option<Arc<str>>,
    /// The pool's own record was touched, or what tells its hosts apart.
    pub(super) pool_changed: bool,
}

impl Records {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn apply(&self, batch: Batch, essence_changed: fn(&Record, &Record) -> bool) -> Applied {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let Inner { cache, graph } = &mut *inner;
        let changes = cache.apply(batch, essence_changed);
        let update = graph.update(cache, &changes);
        // A host that came or went; what else happens to hosts is too frequent to look each time.
        let concerns_pool = |change: &Change| match change.class {
            Class::Pool => true,
            Class::Host => change.identity,
            _ => false,
        };
        let pool_changed = changes.iter().any(concerns_pool);
        Applied {
            update,
            pool_id: graph.pool_id().map(Arc::from),
            pool_changed,
        }
    }

    /// Forgets everything; returns the ids that were published.
    pub(super) fn clear(&self) -> Vec<Arc<str>> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let published = inner.graph.published();
        *inner = Inner::default();
        published
    }

    /// Addresses of the pool's hosts, with the fingerprints of their certificates as far as it tells them.
    pub(super) fn members(&self) -> BTreeMap<String, String> {
        let inner = self.read();
        let hosts = inner.cache.all::<Host>();
        let mut members: BTreeMap<String, String> = hosts
            .filter_map(|(_, host)| host.address.as_deref())
            .filter(|address| !address.is_empty())
            .map(|address| (address.to_owned(), String::new()))
            .collect();
        for (_, certificate) in inner.cache.all::<Certificate>() {
            // Other types are for the hosts among themselves, or authorities.
            if certificate.r#type.as_deref().is_some_and(|kind| kind != "host") {
                continue;
            }
            let host = certificate.host.as_ref().and_then(|host| inner.cache.get(host));
            let address = host.and_then(|host| host.address.as_deref());
            let known = [&certificate.fingerprint_sha256, &certificate.fingerprint];
            let told = known.into_iter().flatten().find(|text| !text.is_empty());
            if let (Some(member), Some(told)) = (address.and_then(|address| members.get_mut(address)), told)
                && let Ok(Some(fingerprint)) = normal_fingerprint(told)
            {
                *member = fingerprint;
            }
        }
        members
    }

    pub(super) fn announce(&self) {
        self.applied.send_modify(|count| *count += 1);
    }

    /// Name, description and master's id of the pool.
    pub(super) fn pool_name(&self) -> (Option<String>, Option<String>, Option<String>) {
        let inner = self.read();
        let Some((_, pool)) = inner.cache.all::<PoolRecord>().next() else {
            return (None, None, None);
        };
        let master = pool
            .master
            .as_ref()
            .and_then(|master| inner.cache.get::<Host>(master));
        let own = pool.name_label.as_deref().filter(|name| !name.is_empty());
        let label = own.or_else(|| master?.name_label.as_deref());
        let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        (
            owned(label),
            owned(pool.name_description.as_deref()),
            owned(master.and_then(|master| master.uuid())),
        )
    }
}

/// A connected pool.
pub struct Pool {
    client: Arc<Client>,
    records: Arc<Records>,
    read_only: AtomicBool,
}

impl Pool {
    pub(super) fn new(client: Arc<Client>, records: Arc<Records>, read_only: bool) -> Self {
        Self {
            client,
            records,
            read_only: AtomicBool::new(read_only),
        }
    }

    pub(super) fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }

    /// Reads records; keep it short, the driver waits.
    pub fn with_records<T>(&self, read: impl FnOnce(&Cache) -> T) -> T {
        read(&self.records.read().cache)
    }

    /// A short call. Mutating ones are refused on a read-only link before they leave.
    pub async fn call(&self, method: &str, params: &[Value]) -> Result<Answer, CallError> {
        self.check_writable(method)?;
        self.client.call(method, params).await
    }

    fn check_writable(&self, method: &str) -> Result<(), CallError> {
        let reads = method
            .split_once('.')
            .is_some_and(|(_, name)| name.starts_with("get_"));
        if self.read_only.load(Ordering::Relaxed) && !reads {
            let reason = "the server is registered as read-only";
            return Err(Fault::new("READ_ONLY", [method, reason]).into());
        }
        Ok(())
    }

    /// Runs an operation as a task and waits for its end. The result is the task's, as JSON.
    pub async fn run(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        self.check_writable(method)?;
        let task: String = match self.client.call(&format!("Async.{method}"), params).await {
            Ok(answer) => answer.parse()?,
            Err(error @ CallError::Transport { sent: true, .. } | error @ CallError::Timeout(_)) => {
                return Err(unknown_outcome(method, &error.to_string()));
            }
            Err(error) => return Err(error),
        };
        let outcome = match tokio::time::timeout(TASK_LIMIT, self.follow(method, &task)).await {
            Ok(outcome) => outcome,
            Err(_) => return Err(unknown_outcome(method, &format!("task {task} has not ended"))),
        };
        let client = self.client.clone();
        tokio::spawn(async move {
            tokio::time::sleep(TASK_KEPT).await;
            // Gone already, or the link is down: XAPI collects it itself after an hour.
            if let Err(error) = client.call("task.destroy", &[json!(task)]).await {
                tracing::debug!(%task, %error, "a finished task was not cleared away");
            }
        });
        outcome
    }

    async fn follow(&self, method: &str, task: &str) -> Result<Value, CallError> {
        let reference = OpaqueRef::parse(task);
        let mut applied = self.records.applied.subscribe();
        let mut seen = false;
        loop {
            applied.mark_unchanged();
            let state = self.with_records(|cache| match cache.find(&reference) {
                Some(Record::Task(task)) => Some(outcome(task)),
                _ => None,
            });
            match state {
                Some(Some(outcome)) => return outcome,
                Some(None) => seen = true,
                // It ended and was cleared away before we looked, or the pool was lost with it.
                None if seen => return Err(unknown_outcome(method, &format!("task {task} is gone"))),
                None => {}
            }
            let woken = tokio::time::timeout(TASK_UNSEEN, applied.changed()).await;
            if woken.is_err() && !seen {
                let answer = self.client.call("task.get_record", &[json!(task)]).await;
                let record = answer.and_then(|answer| {
                    let json = String::from_utf8_lossy(answer.json()).into_owned();
                    Record::parse(Class::Task, &json).map_err(|error| CallError::Protocol(error.to_string()))
                });
                match record {
                    Ok(record) => {
                        if let Some(outcome) = Task::from_record(&record).and_then(outcome) {
                            return outcome;
                        }
                    }
                    Err(error) => return Err(unknown_outcome(method, &error.to_string())),
                }
            }
        }
    }
}

/// How a task ended; `None` while it goes on.
fn outcome(task: &Task) -> Option<Result<Value, CallError>> {
    match task.status.as_deref()? {
        "success" => Some(Ok(result_value(task.result.as_deref().unwrap_or_default()))),
        "failure" | "cancelled" => {
            let mut parts = task
                .error_info
                .iter()
                .flat_map(|info| info.iter())
                .map(|part| part.to_string());
            let code = parts.next().unwrap_or_else(|| "TASK_CANCELLED".to_owned());
            Some(Err(Fault::new(code, parts).into()))
        }
        _ => None,
    }
}

/// A task's result is in XML-RPC notation, or empty.
fn result_value(result: &str) -> Value {
    if result.is_empty() {
        return Value::Null;
    }
    let json = xml_rpc::to_json(result).ok();
    json.and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_else(|| Value::from(result))
}

fn unknown_outcome(method: &str, reason: &str) -> CallError {
    Fault::new("OUTCOME_UNKNOWN", [method, reason]).into()
}
