//! system.*: what this server is and can (contract/methods.md).

use crate::rpc::{
    error::{Failure, no_such_object},
    registry::{Call, Method, Outcome, Permission},
    schema::string,
};
use serde_json::{Map, Value, json};
use std::sync::OnceLock;

/// Version of the API, constant since its beginnings.
const API_VERSION: &str = "0.1";

pub fn methods() -> Vec<Method> {
    vec![
        Method::new(
            "system.getMethodsInfo",
            Permission::Public,
            "signatures of all methods",
            methods_info,
        )
        .reads(),
        Method::new(
            "system.getServerTimezone",
            Permission::SignedIn,
            "time zone of the server",
            timezone,
        )
        .reads(),
        Method::new(
            "system.getServerVersion",
            Permission::Public,
            "return the version of xo-server",
            server_version,
        )
        .reads(),
        Method::new(
            "system.getStatus",
            Permission::Admin,
            "what this server holds and uses",
            status,
        )
        .reads(),
        Method::new("system.getVersion", Permission::Public, "API version", version).reads(),
        Method::new(
            "system.listMethods",
            Permission::Public,
            "names of all methods",
            list_methods,
        )
        .reads(),
        Method::new(
            "system.methodSignature",
            Permission::Public,
            "signature of a method",
            signature,
        )
        .reads()
        .params([("method", string())]),
    ]
}

async fn methods_info(call: Call) -> Result<Outcome, Failure> {
    let info: Map<String, Value> = call
        .app
        .registry
        .iter()
        .map(|method| (method.name.to_owned(), method.describe()))
        .collect();
    Ok(Outcome::Value(info.into()))
}

async fn timezone(_: Call) -> Result<Outcome, Failure> {
    Outcome::of(jiff::tz::TimeZone::system().iana_name().unwrap_or("UTC"))
}

async fn server_version(_: Call) -> Result<Outcome, Failure> {
    Outcome::of(env!("CARGO_PKG_VERSION"))
}

/// Ours. Of use to people who wonder why it is slow, and to tests that look for leaks.
async fn status(call: Call) -> Result<Outcome, Failure> {
    let app = &call.app;
    let runtime = tokio::runtime::Handle::current().metrics();
    Outcome::of(json!({
        "auditLogFailing": app.audit.is_failing(),
        "connections": app.connections.list().len(),
        "objects": app.inventory.len(),
        "residentMemory": resident_memory(),
        "servers": app.pools.servers().len(),
        "store": app.config.store_kind(),
        "tasks": runtime.num_alive_tasks(),
        // What the program has asked for; nothing where nobody counts.
        "usedMemory": USED_MEMORY.get().map(|used| used()),
        "uptime": app.started.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

static USED_MEMORY: OnceLock<fn() -> u64> = OnceLock::new();

/// The program counts what it allocates.
pub fn tell_used_memory_by(used: fn() -> u64) {
    // The first one is as good as the next.
    USED_MEMORY.get_or_init(|| used);
}

/// In bytes; nothing where the system does not tell.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

async fn version(_: Call) -> Result<Outcome, Failure> {
    Outcome::of(API_VERSION)
}

async fn list_methods(call: Call) -> Result<Outcome, Failure> {
    Outcome::of(
        call.app
            .registry
            .iter()
            .map(|method| method.name)
            .collect::<Vec<_>>(),
    )
}

async fn signature(call: Call) -> Result<Outcome, Failure> {
    let name = call.text("method").unwrap_or_default();
    let method = call
        .app
        .registry
        .get(name)
        .ok_or_else(|| no_such_object(name, "method"))?;
    let mut info = method.describe();
    info["name"] = name.into();
    Ok(Outcome::Value(json!([info])))
}
