//! Hand-written operations: who does what for which class, and the frame that all of them share - assert, mark
//! `current_operations`, let time pass, change the world, unmark.

pub mod alerts;
pub mod certificates;
pub mod clone;
mod devices;
pub mod directory;
mod guests;
mod ha;
mod host;
mod introduced;
pub mod lifecycle;
mod machines;
pub mod membership;
mod migrate;
mod network;
mod odds;
mod patches;
mod pool_ops;
pub mod power;
mod probe;
mod records;
mod recovery;
mod replication;
mod schedule;
mod settings;
mod small;
mod storage;
mod system;
mod transplant;

use std::time::Duration;

use tokio::time::Instant;

use crate::db::Db;
use crate::fault::Fault;
use crate::model::{Class, Kind, Message, State, model};
use crate::rpc::Call;
use crate::value::Value;

use clone::duplicate;
pub use clone::row_copy;
pub use network::create_vlan;
pub use storage::new_vdi;

/// How long the server itself waits for a conflicting operation, at time scale 1.
const PATIENCE_SECONDS: f64 = 20.0;

/// An answer, or `None` for a message that the module does not know.
type Outcome = Result<Option<Value>, Fault>;

pub async fn run(
    call: &Call,
    class: &'static Class,
    message: &'static Message,
    params: Vec<Value>,
) -> Result<Value, Fault> {
    let outcome = dispatch(call, class, message, &params).await?;
    outcome.ok_or_else(|| Fault::new("NOT_IMPLEMENTED", [format!("{}.{}", class.name, message.name)]))
}

async fn dispatch(call: &Call, class: &'static Class, message: &'static Message, p: &[Value]) -> Outcome {
    let name = message.name.as_str();
    let own = match class.name.as_str() {
        "session" | "event" | "task" | "message" => system::run(call, &class.name, name, p)?,
        "VM" => match power::run(call, name, p).await? {
            None => match clone::run(call, name, p).await? {
                None => match migrate::run(call, name, p).await? {
                    None => settings::run(call, name, p)?,
                    done => done,
                },
                done => done,
            },
            done => done,
        },
        "VBD" | "VIF" => devices::run(call, &class.name, name, p).await?,
        "VDI" | "SR" | "PBD" => storage::run(call, &class.name, name, p).await?,
        "host" => match membership::host(call, name, p).await? {
            None => host::run(call, name, p).await?,
            done => done,
        },
        "pool" => match membership::pool(call, name, p).await? {
            None => match ha::run(call, name, p).await? {
                None => pool_ops::run(call, name, p)?,
                done => done,
            },
            done => done,
        },
        "network" | "PIF" | "VLAN" | "Bond" => network::run(call, &class.name, name, p)?,
        _ => None,
    };
    let own = match own {
        None => of_any_class(call, &class.name, name, p).await?,
        done => done,
    };
    let own = match own {
        None => introduced::run(call, class, message, p)?,
        done => done,
    };
    let own = match own {
        None => odds::run(call, &class.name, message, p)?,
        done => done,
    };
    match (own, message.kind) {
        (Some(value), _) => Ok(Some(value)),
        (None, Kind::Create) => records::create(call, class, &p[0]).map(Some),
        (None, Kind::Destroy) => records::destroy(call, class, p[0].str()).map(Some),
        (None, _) => records::plain(call, class, message, p),
    }
}

/// The modules that do calls of several classes, one after the other.
async fn of_any_class(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let mut done = small::run(call, class, name, p).await?;
    if done.is_none() {
        done = patches::run(call, class, name, p).await?;
    }
    if done.is_none() {
        done = directory::run(call, class, name, p)?;
    }
    if done.is_none() {
        done = certificates::run(call, class, name, p)?;
    }
    if done.is_none() {
        done = machines::run(call, class, name, p).await?;
    }
    if done.is_none() {
        done = guests::run(call, class, name, p).await?;
    }
    if done.is_none() {
        done = schedule::run(call, class, name, p).await?;
    }
    if done.is_none() {
        done = replication::run(call, class, name, p).await?;
    }
    if done.is_none() {
        done = recovery::run(call, class, name, p).await?;
    }
    Ok(done)
}

/// Names of the messages that answer NOT_IMPLEMENTED, from the lists that the modules keep.
pub fn unimplemented_messages() -> Vec<String> {
    let mut names = Vec::new();
    for class in &model().classes {
        for message in class
            .messages
            .iter()
            .filter(|message| message.kind == Kind::Custom && message.state == State::Open)
        {
            if !is_implemented(class, message) {
                names.push(format!("{}.{}", class.name, message.name));
            }
        }
    }
    names
}

/// The lists of the modules that do calls of several classes.
const BY_FULL_NAME: &[&[&str]] = &[
    small::MESSAGES,
    patches::MESSAGES,
    directory::MESSAGES,
    certificates::MESSAGES,
    machines::MESSAGES,
    guests::MESSAGES,
    schedule::MESSAGES,
    replication::MESSAGES,
    recovery::MESSAGES,
];

fn is_implemented(class: &Class, message: &Message) -> bool {
    let name = message.name.as_str();
    let own: &[&[&str]] = match class.name.as_str() {
        "session" => &[system::SESSION],
        "event" => &[system::EVENT],
        "task" => &[system::TASK],
        "message" => &[system::MESSAGE],
        "VM" => &[
            power::MESSAGES,
            clone::MESSAGES,
            settings::MESSAGES,
            migrate::MESSAGES,
        ],
        "VBD" => &[devices::VBD],
        "VIF" => &[devices::VIF],
        "VDI" => &[storage::VDI],
        "SR" => &[storage::SR],
        "PBD" => &[storage::PBD],
        "host" => &[host::MESSAGES, membership::HOST],
        "pool" => &[pool_ops::MESSAGES, membership::POOL, ha::MESSAGES],
        "network" => &[network::NETWORK],
        "PIF" => &[network::PIF],
        "VLAN" => &[network::VLAN],
        "Bond" => &[network::BOND],
        _ => &[],
    };
    let full = format!("{}.{name}", class.name);
    own.iter().any(|names| names.contains(&name))
        || BY_FULL_NAME.iter().any(|names| names.contains(&&*full))
        || introduced::does(&full)
        || odds::does(&full)
        || records::is_plain(class, message)
}

/// Setters that are operations in truth: a VM becomes a template only as `make_into_template` allows.
pub fn before_write(
    db: &Db,
    class: &Class,
    reference: &str,
    field: usize,
    value: &Value,
) -> Result<(), Fault> {
    let makes_template = class.name == "VM" && class.fields[field].name == "is_a_template" && value.bool();
    match makes_template && !db.get("VM", reference, "is_a_template").bool() {
        true => lifecycle::check(db, reference, "make_into_template"),
        false => Ok(()),
    }
}

/// What depends on a field that was written from outside.
pub fn after_write(db: &mut Db, class: &Class, reference: &str, field: usize) {
    if class.name == "VM"
        && matches!(
            class.fields[field].name.as_str(),
            "is_a_template" | "blocked_operations"
        )
    {
        lifecycle::refresh(db, "VM", reference);
    }
}

/// A copy of a VM as it would be made by `snapshot`, `checkpoint` or `clone`; for the seeded world.
pub fn clone_vm(db: &mut Db, vm: &str, operation: &str, name: &str) -> String {
    duplicate(db, vm, operation, name, None, &[])
}

/// A VM goes with its devices and disks, as when somebody cleans up.
pub fn destroy_vm(db: &mut Db, vm: &str) {
    let disks = migrate::disks(db, vm);
    clone::remove(db, vm);
    for disk in disks {
        storage::forget_disk(db, &disk);
    }
}

pub fn void() -> Outcome {
    Ok(Some(Value::void()))
}

/// One object and the operation that runs on it.
pub type Mark = (&'static str, String, &'static str);

impl Call {
    /// Changes the database; what is allowed follows.
    pub fn write<T>(&self, change: impl FnOnce(&mut Db) -> T) -> T {
        self.pool.write(|db| {
            let before = db.generation();
            let result = change(db);
            lifecycle::settle(db, before);
            result
        })
    }

    /// Asserts and marks an operation. `plan` checks everything and says what to mark; when it meets another
    /// operation the call waits for it, as the real server does.
    pub async fn begin(&self, plan: impl Fn(&Db) -> Result<Vec<Mark>, Fault>) -> Result<Vec<Mark>, Fault> {
        let patience = Duration::from_secs_f64(PATIENCE_SECONDS * self.pool.config.time_scale);
        let deadline = Instant::now() + patience;
        let mut changes = self.pool.changes();
        loop {
            changes.mark_unchanged();
            let planned = self.write(|db| -> Result<Vec<Mark>, Fault> {
                let marks = plan(db)?;
                for (class, reference, operation) in &marks {
                    let mark = Some(Value::from(*operation));
                    db.set_entry(class, reference, "current_operations", &self.task, mark);
                }
                Ok(marks)
            });
            match planned {
                Err(fault) if fault.code == "OTHER_OPERATION_IN_PROGRESS" => {
                    if tokio::time::timeout_at(deadline, changes.changed())
                        .await
                        .is_err()
                    {
                        return Err(fault);
                    }
                }
                planned => return planned,
            }
        }
    }

    /// Changes the world and ends the operation.
    pub fn end<T>(&self, marks: &[Mark], change: impl FnOnce(&mut Db) -> T) -> T {
        self.write(|db| {
            let result = change(db);
            for (class, reference, _) in marks {
                if db.exists(class, reference) {
                    db.set_entry(class, reference, "current_operations", &self.task, None);
                }
            }
            result
        })
    }

    /// Lets the time of a marked operation pass; a cancelled one leaves the world as it was.
    pub async fn pass(&self, marks: &[Mark], seconds: f64) -> Result<(), Fault> {
        let worked = self.work(seconds).await;
        if worked.is_err() {
            self.end(marks, |_| ());
        }
        worked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_says_it_does_is_in_the_data_model() {
        let lists: [(&str, &[&str]); 22] = [
            ("session", system::SESSION),
            ("event", system::EVENT),
            ("task", system::TASK),
            ("message", system::MESSAGE),
            ("VM", power::MESSAGES),
            ("VM", clone::MESSAGES),
            ("VM", settings::MESSAGES),
            ("VBD", devices::VBD),
            ("VIF", devices::VIF),
            ("VDI", storage::VDI),
            ("SR", storage::SR),
            ("PBD", storage::PBD),
            ("host", host::MESSAGES),
            ("host", membership::HOST),
            ("pool", pool_ops::MESSAGES),
            ("pool", membership::POOL),
            ("pool", ha::MESSAGES),
            ("VM", migrate::MESSAGES),
            ("network", network::NETWORK),
            ("PIF", network::PIF),
            ("VLAN", network::VLAN),
            ("Bond", network::BOND),
        ];
        for (class, names) in lists {
            for name in names {
                assert!(crate::db::class(class).message(name).is_some(), "{class}.{name}");
            }
        }
        for name in BY_FULL_NAME.iter().copied().flatten() {
            let (class, message) = name.split_once('.').expect("Class.message");
            assert!(crate::db::class(class).message(message).is_some(), "{name}");
        }
        let missing = unimplemented_messages();
        assert_eq!(missing, Vec::<String>::new());
    }
}
