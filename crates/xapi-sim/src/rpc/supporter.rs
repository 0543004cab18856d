//! What a host answers that is not the master: HOST_IS_SLAVE and where the master is, but for the few emergency
//! calls that work without one.

use std::sync::Arc;

use super::Reply;
use crate::fault::Fault;
use crate::pool::Shared;
use crate::value::Value;

/// The answer of machine number `at`, or `None` when it is the master and the call goes its usual way. Sessions of one
/// host alone are for emergencies: every host gives them.
pub fn answer(pool: &Arc<Shared>, at: usize, method: &str, params: &[Value]) -> Result<Option<Reply>, Fault> {
    let (master, address, generation) = {
        let db = pool.db();
        let master = db.master();
        let address = db.text("host", &master, "address");
        (master, address, db.generation())
    };
    let Some(host) = pool.member(at) else {
        return Err(Fault::bare("HOST_STILL_BOOTING"));
    };
    let text = |at: usize| params.get(at).map_or("", Value::str);
    let method = method.replacen('_', ".", usize::from(!method.contains('.')));
    let value = match method.as_str() {
        // Every host can be talked to alone.
        "session.slave_local_login_with_password" => {
            if text(0) != pool.config.user || text(1) != pool.config.password {
                let why = "Authentication failure";
                return Err(Fault::new("SESSION_AUTHENTICATION_FAILED", [text(0), why]));
            }
            // Known to this host only, so it is in no database.
            let session = format!("OpaqueRef:local-{at}-{generation}");
            pool.local_sessions().insert(session.clone());
            Value::from(session)
        }
        "session.local_logout" => {
            pool.local_sessions().remove(text(0));
            Value::void()
        }
        _ if *host == *master => return Ok(None),
        "pool.is_slave" => Value::Bool(true),
        "pool.emergency_transition_to_master" => {
            if !pool.local_sessions().contains(text(0)) {
                return Err(Fault::new("SESSION_INVALID", [text(0)]));
            }
            if pool.is_up(&master) {
                return Err(Fault::bare("NOT_IN_EMERGENCY_MODE"));
            }
            let shared = pool.clone();
            pool.afterwards(move || shared.change_master(&host));
            Value::void()
        }
        _ => return Err(Fault::new("HOST_IS_SLAVE", [address])),
    };
    Ok(Some(Reply::Value(value)))
}
