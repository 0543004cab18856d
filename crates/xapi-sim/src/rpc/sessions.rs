//! Sessions: logging in and out, and the check that starts every call.

use super::rbac;
use crate::db::{Db, class};
use crate::fault::Fault;
use crate::pool::Shared;
use crate::value::Value;

/// Above this many sessions of one originator the oldest is destroyed without a word.
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
    if idle > IDLE_SECONDS {
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
    let mut users = pool.config.users.iter();
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
        evict_oldest(db, originator);
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

fn evict_oldest(db: &mut Db, originator: &str) {
    let session = class("session");
    let at = session.field("originator").unwrap_or_default();
    let mut own: Vec<_> = db
        .rows(session)
        .filter(|(_, row)| row.at(at).str() == originator)
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
