//! Sessions: logging in and out, and the check that starts every call.

use super::rbac;
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::ops::directory;
use crate::pool::Shared;
use crate::value::Value;

/// Above this many sessions of one originator (root) or of one user the oldest is destroyed without a word.
const QUOTA: usize = 500;

/// A session that nobody used for so long ends.
const IDLE_SECONDS: i64 = 24 * 3600;
/// Use is written down at most this often.
const NOTED_SECONDS: i64 = 600;

/// Checks a session at the start of a call, and notes that it is in use.
pub fn used(pool: &Shared, session: &str) -> Result<(), Fault> {
    let idle = {
        let db = pool.db();
        check(&db, session)?;
        db.now() - db.get("session", session, "last_active").int()
    };
    if idle > IDLE_SECONDS && !has_work(&pool.db(), session) {
        pool.write(|db| db.destroy("session", session));
        return Err(Fault::new("SESSION_INVALID", [session]));
    }
    if idle > NOTED_SECONDS {
        pool.write(|db| {
            let now = Value::Date(db.now());
            db.set("session", session, "last_active", now)
        });
    }
    Ok(())
}

/// A session with running tasks is spared.
fn has_work(db: &Db, session: &str) -> bool {
    let task = class("task");
    let field = |name: &str| task.field(name).unwrap_or_default();
    let (status, owner) = (field("status"), field("session"));
    db.rows(task)
        .any(|(_, row)| row.at(status).str() == "pending" && row.at(owner).str() == session)
}

/// Ends the sessions that nobody used for a day.
pub fn collect(db: &mut Db) {
    let at = class("session").field("last_active").unwrap_or_default();
    let latest = db.now() - IDLE_SECONDS;
    let idle = db
        .rows(class("session"))
        .filter(|(_, row)| row.at(at).int() < latest);
    let idle: Vec<_> = idle.map(|(reference, _)| reference.clone()).collect();
    for session in idle {
        if !has_work(db, &session) {
            db.destroy("session", &session);
        }
    }
}

pub fn check(db: &Db, session: &str) -> Result<(), Fault> {
    if db.exists("session", session) {
        Ok(())
    } else {
        Err(Fault::new("SESSION_INVALID", [session]))
    }
}

pub fn login(pool: &Shared, params: &[Value]) -> Result<Value, Fault> {
    let (user, password, originator) = (params[0].str(), params[1].str(), params[3].str());
    if let Some(master) = pool.faults().slave_of() {
        return Err(Fault::new("HOST_IS_SLAVE", [master]));
    }
    let is_root = user == pool.config.user && password == pool.config.password;
    let directory = directory::is_enabled(&pool.db());
    let mut users = pool.config.users.iter().filter(|_| directory);
    if !is_root && !users.any(|known| known.name == user && known.password == password) {
        return Err(Fault::new(
            "SESSION_AUTHENTICATION_FAILED",
            [user, "Authentication failure"],
        ));
    }
    pool.write(|db| {
        let now = db.now();
        let subject = rbac::subject_of(db, user).filter(|_| !is_root);
        let has_role = |subject: &crate::db::Ref| !db.get("subject", subject, "roles").set().is_empty();
        if !is_root && !subject.as_ref().is_some_and(has_role) {
            let why = "Subject is not authorized to access this resource";
            return Err(Fault::new("SESSION_AUTHORIZATION_FAILED", [user, why]));
        }
        match is_root {
            true => evict_oldest(db, "originator", originator, true),
            false => evict_oldest(db, "auth_user_name", user, false),
        }
        let host = db.master();
        let identifier = match &subject {
            Some(_) => rbac::identifier(user),
            None => String::new(),
        };
        let session = db.create(
            "session",
            [
                ("this_host", Value::from(host)),
                ("this_user", Value::null()),
                ("last_active", Value::Date(now)),
                ("is_local_superuser", Value::Bool(is_root)),
                (
                    "subject",
                    subject.map_or_else(Value::null, |subject| Value::from(&*subject)),
                ),
                ("auth_user_sid", Value::from(identifier)),
                ("validation_time", Value::Date(now)),
                ("auth_user_name", Value::from(user)),
                ("originator", Value::from(originator)),
            ],
        );
        Ok(Value::from(&*session))
    })
}

pub fn logout(pool: &Shared, session: &str) {
    pool.write(|db| db.destroy("session", session));
}

/// Root's sessions are counted by originator, those of others by their name.
fn evict_oldest(db: &mut Db, field: &str, value: &str, is_root: bool) {
    let session = class("session");
    let at = |name: &str| session.field(name).unwrap_or_default();
    let (field, local) = (at(field), at("is_local_superuser"));
    let mut own: Vec<_> = db
        .rows(session)
        .filter(|(_, row)| row.at(field).str() == value && row.at(local).bool() == is_root)
        .collect();
    if own.len() < QUOTA {
        return;
    }
    own.sort_by_key(|(_, row)| row.created);
    let oldest: Vec<_> = own[..=own.len() - QUOTA]
        .iter()
        .map(|(reference, _)| (*reference).clone())
        .collect();
    for reference in oldest {
        db.destroy("session", &reference);
    }
}
