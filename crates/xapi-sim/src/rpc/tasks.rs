//! Tasks: every call that has an asynchronous form runs under a task record, visible in events. The synchronous
//! form removes its record at the end, the asynchronous form leaves it to the client and to the collector.

use std::time::Duration;

use tokio::time::Instant;

use super::{Call, rbac};
use crate::db::{Db, Ref, class};
use crate::fault::Fault;
use crate::model::{Class, Message};
use crate::ops;
use crate::value::Value;
use crate::wire::Wire;

/// Above this many completed tasks the oldest are removed.
const COMPLETED_KEPT: usize = 200;
/// Completed tasks older than this are removed.
const COMPLETED_SECONDS: i64 = 65 * 60;
/// Pending tasks that got nowhere for so long are removed.
const PENDING_SECONDS: i64 = 24 * 3600;
const STEPS: u32 = 5;

/// Runs the asynchronous form: answers at once with the task.
pub fn spawn(
    mut call: Call,
    class: &'static Class,
    message: &'static Message,
    params: Vec<Value>,
) -> Result<Ref, Fault> {
    let task = call.pool.write(|db| {
        collect(db);
        create(
            db,
            &call.session,
            &format!("Async.{}.{}", class.name, message.name),
        )
    });
    call.task = task.to_string();
    let pool = call.pool.clone();
    pool.spawn(async move {
        let result = ops::run(&call, class, message, params).await;
        call.pool.write(|db| finish(db, &call.task, &result));
        call.pool.run_afterwards();
    });
    Ok(task)
}

/// Runs the synchronous form under a task that disappears with the answer.
pub async fn run(
    call: &mut Call,
    class: &'static Class,
    message: &'static Message,
    params: Vec<Value>,
) -> Result<Value, Fault> {
    let task = call
        .pool
        .write(|db| create(db, &call.session, &format!("{}.{}", class.name, message.name)));
    call.task = task.to_string();
    let result = ops::run(call, class, message, params).await;
    call.pool.write(|db| db.destroy("task", &task));
    result
}

pub fn create(db: &mut Db, session: &str, name: &str) -> Ref {
    let host = db.master();
    db.create(
        "task",
        [
            ("name_label", Value::from(name)),
            ("created", Value::Date(db.now())),
            ("status", Value::from("pending")),
            ("session", Value::from(session)),
            ("resident_on", Value::from(host)),
            ("type", Value::from("<none/>")),
            ("allowed_operations", Value::set_of(["cancel"])),
        ],
    )
}

/// Final values are written before the status, so that who sees the status sees them.
pub fn finish(db: &mut Db, task: &str, result: &Result<Value, Fault>) {
    let destroyed = has_mark(db, task, "destroy");
    match result {
        Ok(value) => drop(db.set("task", task, "result", Wire::Xml.value(value))),
        Err(fault) => drop(db.set("task", task, "error_info", Value::set_of(fault.description()))),
    }
    let status = match result {
        Ok(_) => "success",
        Err(fault) if fault.code == "TASK_CANCELLED" => "cancelled",
        Err(_) => "failure",
    };
    db.update(
        "task",
        task,
        [
            ("progress", Value::Float(1.0)),
            ("finished", Value::Date(db.now())),
            ("allowed_operations", Value::Set(vec![])),
            ("current_operations", Value::empty_map()),
            ("status", Value::from(status)),
        ],
    );
    if destroyed {
        db.destroy("task", task);
    }
}

pub fn has_mark(db: &Db, task: &str, mark: &str) -> bool {
    db.get("task", task, "current_operations")
        .map()
        .iter()
        .any(|(_, op)| op.str() == mark)
}

/// Somebody else's task is for those who run the pool.
fn check_owner(db: &Db, call: &Call, task: &str, permission: &str) -> Result<(), Fault> {
    db.check("task", task)?;
    let owner = db.text("task", task, "session");
    let subject = |session: &str| db.text("session", session, "subject");
    let own =
        owner == call.session || db.exists("session", &owner) && subject(&owner) == subject(&call.session);
    match own {
        true => Ok(()),
        false => rbac::need(db, &call.session, permission, "pool-operator"),
    }
}

/// `task.cancel` is only a request: work that looks at it ends, other work goes on.
pub fn cancel(db: &mut Db, call: &Call, task: &str) -> Result<(), Fault> {
    check_owner(db, call, task, "task.cancel/any")?;
    if db.get("task", task, "status").str() == "pending" {
        db.set_entry(
            "task",
            task,
            "current_operations",
            &call.task,
            Some(Value::from("cancel")),
        );
    }
    Ok(())
}

pub fn destroy(db: &mut Db, call: &Call, task: &str) -> Result<(), Fault> {
    check_owner(db, call, task, "task.destroy/any")?;
    if db.get("task", task, "status").str() == "pending"
        && !db.get("task", task, "allowed_operations").set().is_empty()
    {
        db.set_entry(
            "task",
            task,
            "current_operations",
            &call.task,
            Some(Value::from("destroy")),
        );
    } else {
        db.destroy("task", task);
    }
    Ok(())
}

/// Removes what ended long ago, what is too much, and what gets nowhere.
pub fn collect(db: &mut Db) {
    let task = class("task");
    let field = |name: &str| task.field(name).unwrap_or_default();
    let (status, finished) = (field("status"), field("finished"));
    let (created, progress) = (field("created"), field("progress"));
    let latest = db.now() - PENDING_SECONDS;
    let stuck = db.rows(task).filter(|(_, row)| {
        row.at(status).str() == "pending" && row.at(progress).float() == 0.0 && row.at(created).int() < latest
    });
    let stuck: Vec<Ref> = stuck.map(|(reference, _)| reference.clone()).collect();
    for reference in stuck {
        db.destroy("task", &reference);
    }
    let completed = db.rows(task).filter(|(_, row)| row.at(status).str() != "pending");
    let mut completed: Vec<(i64, Ref)> = completed
        .map(|(r, row)| (row.at(finished).int(), r.clone()))
        .collect();
    completed.sort();
    let (now, surplus) = (db.now(), completed.len().saturating_sub(COMPLETED_KEPT));
    for (at, (finished, reference)) in completed.iter().enumerate() {
        if at < surplus || finished + COMPLETED_SECONDS < now {
            db.destroy("task", reference);
        }
    }
}

impl Call {
    /// Lets the time of an operation pass, with progress; ends early when the task is cancelled.
    pub async fn work(&self, seconds: f64) -> Result<(), Fault> {
        let total = Duration::from_secs_f64((seconds * self.pool.config.time_scale).max(0.0));
        self.check_cancelled()?;
        if total.is_zero() {
            return Ok(());
        }
        let mut changes = self.pool.changes();
        for step in 1..=STEPS {
            let end = Instant::now() + total / STEPS;
            // The request to cancel is a change like any other: it ends the work at once.
            while tokio::time::timeout_at(end, changes.changed()).await.is_ok() {
                self.check_cancelled()?;
            }
            let progress = f64::from(step) / f64::from(STEPS + 1);
            self.pool
                .write(|db| db.set("task", &self.task, "progress", progress));
        }
        self.check_cancelled()
    }

    fn check_cancelled(&self) -> Result<(), Fault> {
        match has_mark(&self.pool.db(), &self.task, "cancel") {
            true => Err(Fault::new("TASK_CANCELLED", [&*self.task])),
            false => Ok(()),
        }
    }
}
