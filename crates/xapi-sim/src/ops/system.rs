//! Sessions, events, tasks and messages: the classes that are about the service itself.

use super::{Outcome, alerts, void};
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::rpc::{Call, events, legacy_events, sessions, tasks};
use crate::value::Value;

pub const SESSION: &[&str] = &[
    "login_with_password",
    "logout",
    "change_password",
    "slave_login",
    "slave_local_login",
    // Answered by `rpc::supporter`, before a session is looked for.
    "slave_local_login_with_password",
    "local_logout",
];
/// `from` and `next` are answered in pieces, before `ops`.
pub const EVENT: &[&str] = &[
    "register",
    "unregister",
    "inject",
    "get_current_id",
    "from",
    "next",
];
pub const TASK: &[&str] = &[
    "create",
    "destroy",
    "cancel",
    "set_status",
    "set_progress",
    "set_result",
    "set_error_info",
    "add_to_other_config",
    "remove_from_other_config",
    "set_other_config",
];
pub const MESSAGE: &[&str] = &[
    "create",
    "destroy",
    "destroy_many",
    "get",
    "get_since",
    "get_all",
    "get_record",
    "get_by_uuid",
    "get_all_records",
    "get_all_records_where",
];

pub fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    match (class, name) {
        ("session", "login_with_password") => sessions::login(&call.pool, p).map(Some),
        ("session", "logout") => {
            sessions::logout(&call.pool, &call.session);
            void()
        }
        ("session", "change_password") => void(),
        // The secret of the pool is told to nobody.
        ("session", "slave_login" | "slave_local_login") => Err(Fault::new(
            "SESSION_AUTHENTICATION_FAILED",
            ["", "Authentication failure"],
        )),
        ("event", "register") => {
            legacy_events::register(call, &p[0])?;
            void()
        }
        ("event", "unregister") => {
            legacy_events::unregister(call, &p[0]);
            void()
        }
        ("event", "get_current_id") => Ok(Some(Value::Int(call.pool.db().generation() as i64))),
        ("event", "inject") => inject(call, p[0].str(), p[1].str()),
        ("task", "create") => call.write(|db| {
            let task = tasks::create(db, &call.session, p[0].str());
            db.update(
                "task",
                &task,
                [
                    ("name_description", p[1].clone()),
                    ("allowed_operations", Value::Set(vec![])),
                ],
            );
            Ok(Some(Value::from(&*task)))
        }),
        ("task", "destroy") => {
            call.write(|db| tasks::destroy(db, call, p[0].str()).map(|()| Some(Value::void())))
        }
        ("task", "cancel") => {
            call.write(|db| tasks::cancel(db, call, p[0].str()).map(|()| Some(Value::void())))
        }
        ("task", "set_status") => call.write(|db| {
            db.check("task", p[0].str())?;
            if p[1].str() != "pending" {
                db.set("task", p[0].str(), "finished", Value::Date(db.now()));
            }
            db.set("task", p[0].str(), "status", p[1].clone());
            void()
        }),
        ("message", "create") => call.write(|db| {
            let made = alerts::create(
                db,
                p[0].str(),
                p[1].int(),
                p[2].str(),
                p[3].str(),
                p[4].str().to_owned(),
            );
            Ok(Some(Value::from(&*made)))
        }),
        ("message", "destroy") => call.write(|db| {
            db.check("message", p[0].str())?;
            db.destroy("message", p[0].str());
            void()
        }),
        ("message", "destroy_many") => call.write(|db| {
            for message in p[0].set() {
                db.destroy("message", message.str());
            }
            void()
        }),
        ("message", "get") => {
            let (cls, uuid, since) = (p[0].str(), p[1].str(), p[2].int());
            Ok(Some(messages(call, |db, r| {
                db.get("message", r, "cls").str() == cls
                    && db.get("message", r, "obj_uuid").str() == uuid
                    && db.get("message", r, "timestamp").int() >= since
            })))
        }
        ("message", "get_since") => {
            let since = p[0].int();
            Ok(Some(messages(call, |db, r| {
                db.get("message", r, "timestamp").int() >= since
            })))
        }
        _ => Ok(None),
    }
}

fn messages(call: &Call, keep: impl Fn(&Db, &str) -> bool) -> Value {
    let (db, message) = (call.pool.db(), class("message"));
    let rows = db.rows(message).filter(|(reference, _)| keep(&db, reference));
    Value::map_of(rows.map(|(reference, row)| {
        let fields = message
            .fields
            .iter()
            .enumerate()
            .map(|(at, field)| (field.name.as_str(), row.at(at).clone()));
        (&**reference, Value::map_of(fields))
    }))
}

/// Makes a `mod` event; the token answered is just before it.
fn inject(call: &Call, name: &str, reference: &str) -> Outcome {
    // The class is spelled as in the data model or in lower case, as clients found out.
    let class = crate::model::model().class_of_any_case(name);
    let class = class.ok_or_else(|| Fault::internal(format!("unknown class {name}")))?;
    call.write(|db| {
        db.row(class, reference)?;
        let before = events::token(db);
        db.touch(class.id, reference);
        Ok(Some(Value::from(before)))
    })
}
