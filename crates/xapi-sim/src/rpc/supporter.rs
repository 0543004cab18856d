//! What a host answers that is not the master: HOST_IS_SLAVE and where the master is, but for the few emergency
//! calls that work without one.

use std::sync::Arc;

use super::Reply;
use crate::fault::Fault;
use crate::ops::certificates;
use crate::pool::Shared;
use crate::value::Value;

/// The answer of machine number `at`, or `None` when it is the master (or claims to be) and the call goes its usual way. Sessions of one
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
    let believed = pool.believed(at);
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
        _ if *host == *master && believed.is_none() || pool.host_faults.claims(at) => return Ok(None),
        "pool.is_slave" => Value::Bool(true),
        _ if EMERGENCY.contains(&method.as_str()) => {
            if !pool.local_sessions().contains(text(0)) {
                return Err(Fault::new("SESSION_INVALID", [text(0)]));
            }
            emergency(pool, &host, &master, &method, text(1))?
        }
        _ => return Err(Fault::new("HOST_IS_SLAVE", [believed.unwrap_or(address)])),
    };
    Ok(Some(Reply::Value(value)))
}

/// What a host does without its master, in a session of its own.
const EMERGENCY: [&str; 9] = [
    "pool.emergency_transition_to_master",
    "pool.emergency_reset_master",
    "host.is_in_emergency_mode",
    "host.emergency_reset_server_certificate",
    "host.emergency_disable_tls_verification",
    "host.emergency_reenable_tls_verification",
    "host.emergency_clear_mandatory_guidance",
    "host.management_disable",
    "host.get_system_status_capabilities",
];

fn emergency(
    pool: &Arc<Shared>,
    host: &str,
    master: &str,
    method: &str,
    given: &str,
) -> Result<Value, Fault> {
    match method {
        "pool.emergency_transition_to_master" => {
            if pool.is_up(master) && host != master {
                return Err(Fault::bare("NOT_IN_EMERGENCY_MODE"));
            }
            let (shared, host) = (pool.clone(), host.to_owned());
            pool.afterwards(move || shared.change_master(&host));
        }
        "pool.emergency_reset_master" => {
            let own = pool.db().text("host", host, "address");
            if given == own {
                return Err(Fault::bare("HOST_ITS_OWN_SLAVE"));
            }
            let right = pool.db().text("host", master, "address");
            pool.believe(host, (given != right || host == master).then(|| given.to_owned()));
        }
        "host.is_in_emergency_mode" => return Ok(Value::Bool(!pool.is_up(master))),
        "host.emergency_reset_server_certificate" => certificates::renew(pool, host)?,
        "host.emergency_disable_tls_verification" => certificates::set_verification(pool, host, false)?,
        "host.emergency_reenable_tls_verification" => certificates::set_verification(pool, host, true)?,
        "host.management_disable" => return Err(Fault::bare("SLAVE_REQUIRES_MANAGEMENT_INTERFACE")),
        _ => {}
    }
    Ok(Value::void())
}
