//! A handle to one connected pool: read its records, call its XAPI.
//!
//! Long operations run as XAPI tasks, and are followed through the event stream like everything else. What a
//! call does when its connection dies depends on what may have happened: what only reads, and what surely was
//! not done, is asked again while the link is renewed; of anything else the outcome is unknown, and that is what
//! is said, with the task to look at.

use super::{
    line::{self, Line},
    records::Records,
};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use xapi::{
    Cache, CallError, Class, Client, Fault, OpaqueRef, Record,
    records::{Task, XapiRecord},
    wire::{Answer, xml_rpc},
};

/// A finished task is left for people to see, then cleared away as XAPI asks its clients to do.
const TASK_KEPT: Duration = Duration::from_secs(60);
/// How long a task may stay unseen in the event stream before it is asked for.
const TASK_UNSEEN: Duration = Duration::from_secs(5);
/// Longest operation that is waited for.
const TASK_LIMIT: Duration = Duration::from_secs(6 * 3600);
/// How long a call waits for a link that is being renewed, and for an answer through one that was given up.
const RENEWAL: Duration = Duration::from_secs(10);
/// A call that changes a record, or begins a task, is answered at once; what is not answered by then is lost.
const SHORT: Duration = Duration::from_secs(20);
/// A call that only reads is late.
const LATE: Duration = Duration::from_secs(4);
/// Tasks that are named when one of them may be what a lost call has started.
const SUSPECTS: usize = 3;

/// A connected pool.
pub struct Pool {
    line: Arc<Line>,
    records: Arc<Records>,
    read_only: Arc<AtomicBool>,
}

/// What a failed call may have done.
enum Fate {
    /// The host answered, or must not be asked.
    Settled,
    NotDone,
    Unknown,
}

fn fate(error: &CallError) -> Fate {
    match error {
        CallError::Fault(fault)
            if ["SESSION_INVALID", "HOST_IS_SLAVE", "HOST_STILL_BOOTING"].contains(&fault.code.as_str()) =>
        {
            Fate::NotDone
        }
        CallError::Fault(_) | CallError::Untrusted { .. } => Fate::Settled,
        CallError::Transport { sent: false, .. } | CallError::NoSession => Fate::NotDone,
        CallError::Transport { sent: true, .. } | CallError::Timeout(_) | CallError::Protocol(_) => {
            Fate::Unknown
        }
    }
}

fn only_reads(method: &str) -> bool {
    let message = method.split_once('.').map_or(method, |(_, message)| message);
    message.starts_with("get_")
}

impl Pool {
    pub(super) fn new(records: Arc<Records>) -> Self {
        Self {
            line: Arc::default(),
            records,
            read_only: Arc::new(AtomicBool::new(true)),
        }
    }

    pub(super) fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }

    pub(super) fn set_client(&self, client: Option<Arc<Client>>) {
        self.line.set(client);
    }

    /// The client of the moment, for what is no call and may change something.
    pub(super) async fn client_for(&self, what: &str) -> Result<Arc<Client>, CallError> {
        let client = self.line.client(Instant::now() + RENEWAL).await?;
        check_writable(&self.read_only, what)?;
        Ok(client)
    }

    /// Reads records; keep it short, the driver waits.
    pub fn with_records<T>(&self, read: impl FnOnce(&Cache) -> T) -> T {
        read(&self.records.read().cache)
    }

    /// A short call. Mutating ones are refused on a read-only link before they leave.
    pub async fn call(&self, method: &str, params: &[Value]) -> Result<Answer, CallError> {
        let error = match call(&self.line, &self.read_only, method, params).await {
            Err(error) if !only_reads(method) && matches!(fate(&error), Fate::Unknown) => error,
            other => return other,
        };
        Err(unknown_outcome(method, &error.to_string(), []))
    }

    /// Runs an operation as a task and waits for its end. The result is the task's, as JSON.
    pub async fn run(&self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        let asynchronous = format!("Async.{method}");
        let before: HashSet<OpaqueRef> = self.tasks_named(&asynchronous, |reference, _| reference);
        let task: String = match call(&self.line, &self.read_only, &asynchronous, params).await {
            Ok(answer) => answer.parse()?,
            Err(error) if matches!(fate(&error), Fate::Unknown) => {
                let suspects = self.tasks_since(&asynchronous, &before).await;
                return Err(unknown_outcome(method, &error.to_string(), suspects));
            }
            Err(error) => return Err(error),
        };
        let outcome = match tokio::time::timeout(TASK_LIMIT, self.follow(method, &task)).await {
            Ok(outcome) => outcome,
            Err(_) => return Err(unknown_outcome(method, "the task has not ended", [task])),
        };
        let (line, read_only) = (self.line.clone(), self.read_only.clone());
        tokio::spawn(async move {
            tokio::time::sleep(TASK_KEPT).await;
            // Gone already, or the link is down: XAPI collects it itself after an hour.
            if let Err(error) = call(&line, &read_only, "task.destroy", &[json!(task)]).await {
                tracing::debug!(%task, %error, "a finished task was not cleared away");
            }
        });
        outcome
    }

    fn tasks_named<T, C: FromIterator<T>>(&self, name: &str, pick: impl Fn(OpaqueRef, &Task) -> T) -> C {
        self.with_records(|cache| {
            let tasks = cache.all::<Task>();
            tasks
                .filter(|(_, task)| task.name_label.as_deref() == Some(name))
                .map(|(reference, task)| pick(reference.clone(), task))
                .collect()
        })
    }

    /// The uuids of tasks of that name that were not there before: one of them may be what a call has started
    /// of which the answer was lost. Waits for the link to tell.
    async fn tasks_since(&self, name: &str, before: &HashSet<OpaqueRef>) -> Vec<String> {
        let until = Instant::now() + RENEWAL;
        let mut applied = self.records.changes();
        loop {
            applied.mark_unchanged();
            let found: Vec<Option<String>> = self.tasks_named(name, |reference, task| {
                let uuid = task.uuid().map(str::to_owned);
                uuid.filter(|_| !before.contains(&reference))
            });
            let found: Vec<String> = found.into_iter().flatten().take(SUSPECTS).collect();
            let told = tokio::time::timeout_at(until, applied.changed());
            if !found.is_empty() || told.await.is_err() {
                return found;
            }
        }
    }

    async fn follow(&self, method: &str, task: &str) -> Result<Value, CallError> {
        let reference = OpaqueRef::parse(task);
        let mut applied = self.records.changes();
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
                None if seen => {
                    return Err(unknown_outcome(method, "the task is gone", [task.to_owned()]));
                }
                None => {}
            }
            let woken = tokio::time::timeout(TASK_UNSEEN, applied.changed()).await;
            if woken.is_err() && !seen {
                let answer = call(&self.line, &self.read_only, "task.get_record", &[json!(task)]).await;
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
                    Err(error) => {
                        return Err(unknown_outcome(method, &error.to_string(), [task.to_owned()]));
                    }
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

/// Calls on the client of the moment; again while that is safe and the link may come back.
async fn call(
    line: &Line,
    read_only: &AtomicBool,
    method: &str,
    params: &[Value],
) -> Result<Answer, CallError> {
    let mut until = Instant::now() + RENEWAL;
    let mut failed = false;
    check_writable(read_only, method)?;
    loop {
        let client = line.client(until).await?;
        // It may have been forbidden while the link was away.
        check_writable(read_only, method)?;
        let answer = tokio::select! {
            answer = asked(&client, method, params) => answer,
            error = abandoned(line, &client, method) => Err(error),
        };
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // The time counts from when something went wrong: an answer may take long.
        if !std::mem::replace(&mut failed, true) {
            until = Instant::now() + RENEWAL;
        }
        let again = match fate(&error) {
            Fate::Settled => false,
            Fate::NotDone => true,
            Fate::Unknown => only_reads(method),
        };
        if !again || Instant::now() >= until {
            return Err(error);
        }
        tracing::debug!(method, %error, "asked again");
        line.renewal(&client).await;
    }
}

/// The answer of a host. What only reads is asked again beside the first when that one lets itself be waited for: an
/// answer may be lost on the way, and the connection not know it.
async fn asked(client: &Arc<Client>, method: &str, params: &[Value]) -> Result<Answer, CallError> {
    if !only_reads(method) {
        return client.call_within(method, params, SHORT).await;
    }
    let first = client.call(method, params);
    tokio::pin!(first);
    let mut late = LATE;
    loop {
        let again = async {
            tokio::time::sleep(late).await;
            late *= 2;
            client.call_within(method, params, late).await
        };
        tokio::select! {
            answer = &mut first => return answer,
            answer = again => if matches!(answer, Ok(_) | Err(CallError::Fault(_))) {
                return answer;
            },
        }
    }
}

/// Waits until a call is not worth waiting for, because its link was given up.
async fn abandoned(line: &Line, client: &Arc<Client>, method: &str) -> CallError {
    line.given_up(client).await;
    if only_reads(method) {
        // Nothing is lost by asking again on the next one, which may answer sooner.
        return line::down();
    }
    // The host may be there all the same, and its answer is worth more than none.
    tokio::time::sleep(RENEWAL).await;
    CallError::Transport {
        reason: "the link to the host was given up before it answered".to_owned(),
        sent: true,
    }
}

fn check_writable(read_only: &AtomicBool, method: &str) -> Result<(), CallError> {
    if read_only.load(Ordering::Relaxed) && !only_reads(method) {
        let method = method.trim_start_matches("Async.");
        let reason = "the server is registered as read-only";
        return Err(Fault::new("READ_ONLY", [method, reason]).into());
    }
    Ok(())
}

fn unknown_outcome(method: &str, reason: &str, tasks: impl IntoIterator<Item = String>) -> CallError {
    let what = [method.to_owned(), reason.to_owned()];
    Fault::new("OUTCOME_UNKNOWN", what.into_iter().chain(tasks)).into()
}
