//! Turns a failure into what a person needs: what happened, what to do next, and the raw text folded away.

use crate::{
    client::CallError,
    rpc::{ErrorCode, RpcError},
};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explained {
    pub what: String,
    pub next: Option<String>,
    /// For the support, and for searching.
    pub raw: String,
}

pub fn explain(error: &CallError) -> Explained {
    match error {
        CallError::Refused(error) => explain_rpc(error),
        CallError::Offline => Explained {
            what: "The Xen Orchestra server can not be reached, so nothing was sent.".into(),
            next: Some("The page reconnects by itself; try again then.".into()),
            raw: error.to_string(),
        },
        CallError::Lost | CallError::TimedOut => Explained {
            what: capitalise(&error.to_string()),
            next: Some("Look at the state of the object before you try again.".into()),
            raw: error.to_string(),
        },
        CallError::TooMany | CallError::Shape(_) => Explained {
            what: capitalise(&error.to_string()),
            next: None,
            raw: error.to_string(),
        },
    }
}

fn explain_rpc(error: &RpcError) -> Explained {
    let raw = match &error.data {
        Some(data) => format!("{} (code {}) {data}", error.message, error.code),
        None => format!("{} (code {})", error.message, error.code),
    };
    let (what, next) = match xapi_failure(error) {
        Some((code, params)) => xapi_words(&code, &params),
        None => own_words(error),
    };
    Explained {
        what,
        next: next.map(ToOwned::to_owned),
        raw,
    }
}

/// Words for `CODE(param,param)`, as failed tasks carry it.
pub fn explain_code(text: &str) -> Explained {
    let (what, next) = match split_code(text) {
        Some((code, params)) => xapi_words(&code, &params),
        None => (capitalise(text), None),
    };
    Explained {
        what,
        next: next.map(ToOwned::to_owned),
        raw: text.to_owned(),
    }
}

/// The XAPI code inside: in `data`, or at the start of the message.
fn xapi_failure(error: &RpcError) -> Option<(String, Vec<String>)> {
    if let Some(code) = error
        .data
        .as_ref()
        .and_then(|data| data.get("code"))
        .and_then(Value::as_str)
        && is_code(code)
    {
        let params = error
            .data
            .as_ref()
            .and_then(|data| data.get("params"))
            .and_then(Value::as_array);
        let params = params.map(|all| {
            all.iter()
                .map(|p| p.as_str().unwrap_or_default().to_owned())
                .collect()
        });
        return Some((code.to_owned(), params.unwrap_or_default()));
    }
    split_code(&error.message)
}

fn split_code(text: &str) -> Option<(String, Vec<String>)> {
    let (code, rest) = text.split_once('(').unwrap_or((text, ""));
    if !is_code(code) {
        return None;
    }
    let rest = rest.trim_end().strip_suffix(')').unwrap_or(rest);
    let params = rest
        .split(',')
        .map(|p| p.trim().to_owned())
        .filter(|p| !p.is_empty())
        .collect();
    Some((code.to_owned(), params))
}

fn is_code(text: &str) -> bool {
    text.len() > 3
        && text.contains('_')
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn xapi_words(code: &str, params: &[String]) -> (String, Option<&'static str>) {
    let param = |at: usize| params.get(at).map_or("?", String::as_str);
    let (what, next): (String, Option<&str>) = match code {
        "VM_BAD_POWER_STATE" => (
            format!("The VM is {}, but this needs it to be {}.", param(2).to_lowercase(), param(1).to_lowercase()),
            Some("Its state has probably just changed: look again, then retry."),
        ),
        "VM_MISSING_PV_DRIVERS" | "VM_LACKS_FEATURE" | "VM_LACKS_FEATURE_SHUTDOWN" | "VM_LACKS_FEATURE_SUSPEND" => (
            "The guest does not answer: it has no Xen guest tools, or they are not running yet.".into(),
            Some("Wait until the guest has booted, install the guest tools, or use the force variant."),
        ),
        "NO_HOSTS_AVAILABLE" | "VM_REQUIRES_SR" | "VM_REQUIRES_NETWORK" => (
            "No host of the pool can run this VM: storage, network, memory or a device is missing there.".into(),
            Some("Check free memory, and that a host is connected to all of the VM's disks and networks."),
        ),
        "HOST_NOT_ENOUGH_FREE_MEMORY" => (
            "The host has not enough free memory.".into(),
            Some("Stop or move another VM, lower this VM's memory, or choose another host."),
        ),
        "HOST_OFFLINE" | "HOST_NOT_LIVE" => (
            "The host is offline.".into(),
            Some("Check its power and network, or choose another host."),
        ),
        "HOST_DISABLED" => (
            "The host is in maintenance: it takes no VMs.".into(),
            Some("Enable the host, or choose another one."),
        ),
        "OTHER_OPERATION_IN_PROGRESS" | "VM_BEING_RUN" => (
            "Another operation is running on this object.".into(),
            Some("Wait for it to end: the task drawer shows it."),
        ),
        "OPERATION_BLOCKED" => (
            "This operation is blocked on this object, to protect it.".into(),
            Some("Remove the protection of the object first."),
        ),
        "OPERATION_NOT_ALLOWED" => (format!("XAPI does not allow this now: {}.", params.join(", ")), None),
        "SR_FULL" | "SR_BACKEND_FAILURE_44" => (
            "The storage repository is full.".into(),
            Some("Delete what is not needed (old snapshots first), or extend the storage."),
        ),
        "VDI_IN_USE" => ("The disk is in use by another operation or VM.".into(), Some("Wait, or detach it there.")),
        "SR_HAS_NO_PBDS" => (
            "The storage repository is not connected to any host.".into(),
            Some("Reconnect it to its hosts."),
        ),
        "CANNOT_CONTACT_HOST" | "CONNECTION_REFUSED" => (
            "The pool could not contact the host.".into(),
            Some("Check that the host is up, and the management network between the hosts."),
        ),
        "SESSION_AUTHENTICATION_FAILED" => (
            "The pool refuses this user name or password.".into(),
            Some("Correct them on the Servers page."),
        ),
        "SESSION_INVALID" => ("The session with the pool ended.".into(), Some("It is renewed by itself: try again.")),
        "HANDLE_INVALID" => (
            format!("The {} is gone from the pool.", param(0)),
            Some("Someone may have deleted it just now."),
        ),
        "UUID_INVALID" => ("XAPI does not know this object any more.".into(), None),
        "DUPLICATED_MAC_ADDRESS" => (
            "Another running VM has the same MAC address.".into(),
            Some("Change one of the addresses, or start it with force."),
        ),
        "TASK_CANCELLED" => ("The task was cancelled.".into(), None),
        "LICENCE_RESTRICTION" | "FEATURE_RESTRICTED" => {
            ("The licence of the pool does not include this.".into(), None)
        }
        "RBAC_PERMISSION_DENIED" => (
            "The pool's account that Xen Orchestra uses may not do this.".into(),
            Some("Register the server with an account that may."),
        ),
        "LICENSE_EXPIRED" => ("The licence of the host expired.".into(), None),
        "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN" => (
            "High availability refuses: after this the pool could not survive the failures that it plans for.".into(),
            None,
        ),
        "INTERNAL_ERROR" => (
            "XAPI failed inside.".into(),
            Some("The host's log (/var/log/xensource.log) tells more; the raw text is below."),
        ),
        _ => {
            let words = code.to_lowercase().replace('_', " ");
            (format!("XAPI refused: {words}."), None)
        }
    };
    (what, next)
}

fn own_words(error: &RpcError) -> (String, Option<&'static str>) {
    match ErrorCode(error.code) {
        ErrorCode::NO_SUCH_OBJECT => ("This object does not exist any more.".into(), None),
        ErrorCode::UNAUTHORIZED => (
            "Your account may not do this.".into(),
            Some("Ask an administrator."),
        ),
        ErrorCode::INVALID_CREDENTIALS => ("Wrong user name or password.".into(), None),
        ErrorCode::NO_HOSTS_AVAILABLE => xapi_words("NO_HOSTS_AVAILABLE", &[]),
        ErrorCode::AUTHENTICATION_FAILED => xapi_words("SESSION_AUTHENTICATION_FAILED", &[]),
        ErrorCode::SERVER_UNREACHABLE => (
            "The pool can not be reached over the network.".into(),
            Some("Check the address, and that the host is up."),
        ),
        ErrorCode::INVALID_PARAMETERS => (
            format!(
                "The server refused the request: {}.",
                error.message.trim_end_matches('.')
            ),
            None,
        ),
        ErrorCode::VM_MISSING_PV_DRIVERS => xapi_words("VM_MISSING_PV_DRIVERS", &[]),
        ErrorCode::VM_LACKS_FEATURE => xapi_words("VM_LACKS_FEATURE", &[]),
        ErrorCode::VM_BAD_POWER_STATE => (
            "The VM is in another state than this needs.".into(),
            Some("Its state has probably just changed: look again, then retry."),
        ),
        ErrorCode::OBJECT_ALREADY_EXISTS => ("This exists already.".into(), None),
        ErrorCode::VDI_IN_USE => xapi_words("VDI_IN_USE", &[]),
        ErrorCode::HOST_OFFLINE => xapi_words("HOST_OFFLINE", &[]),
        ErrorCode::OPERATION_BLOCKED | ErrorCode::FORBIDDEN_OPERATION => xapi_words("OPERATION_BLOCKED", &[]),
        ErrorCode::INCORRECT_STATE => (
            "The object is in another state than this needs.".into(),
            Some("Its state has probably just changed: look again, then retry."),
        ),
        _ => (capitalise(&error.message), None),
    }
}

pub fn capitalise(text: &str) -> String {
    let mut chars = text.trim().chars();
    let mut out: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(chars)
        .collect();
    if !out.ends_with(['.', '!', '?']) && !out.is_empty() {
        out.push('.');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn xapi_codes_become_sentences() {
        let error = RpcError::new(
            ErrorCode::GENERIC,
            "VM_BAD_POWER_STATE(OpaqueRef:1, halted, running)",
        );
        assert_eq!(
            explain(&error.into()).what,
            "The VM is running, but this needs it to be halted."
        );
        let error = RpcError::new(ErrorCode::GENERIC, "x")
            .with_data(json!({"code": "HOST_NOT_ENOUGH_FREE_MEMORY", "params": ["1", "2"]}));
        assert!(explain(&error.into()).what.contains("free memory"));
        assert_eq!(
            explain_code("SOME_NEW_CODE(a,b)").what,
            "XAPI refused: some new code."
        );
        assert_eq!(explain_code("the disk broke").what, "The disk broke.");
    }

    #[test]
    fn the_raw_text_is_kept() {
        let error = RpcError::new(ErrorCode::NO_SUCH_OBJECT, "no such object");
        let explained = explain(&error.into());
        assert_eq!(explained.what, "This object does not exist any more.");
        assert!(explained.raw.contains("code 1"));
    }
}
