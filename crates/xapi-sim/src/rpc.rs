//! From a method name and untyped parameters to an answer: names, sessions, parameter types, generic accessors,
//! and the hand-written operations behind them.

pub mod accessors;
pub mod events;
pub mod filter;
pub mod legacy_events;
pub mod params;
pub mod rbac;
pub mod sessions;
pub mod supporter;
pub mod tasks;

use std::sync::Arc;

use crate::db::Ref;
use crate::fault::Fault;
use crate::model::{Class, Kind, Message, State, model};
use crate::ops;
use crate::pool::Shared;
use crate::value::Value;
use crate::wire::Wire;

/// An answer. Large ones are made of pieces that were rendered once and are shared.
pub enum Reply {
    Value(Value),
    /// `system.listMethods`: has no envelope in XML.
    Bare(Value),
    Record(Arc<str>),
    Records(Vec<(Ref, Arc<str>)>),
    Events(events::Batch),
}

/// Who calls, and on whose behalf: what a hand-written operation gets beside its parameters.
#[derive(Clone)]
pub struct Call {
    pub pool: Arc<Shared>,
    pub session: String,
    /// The record of this call's task; empty for calls that have none.
    pub task: String,
    pub wire: Wire,
}

/// Runs one call.
pub async fn call(pool: &Arc<Shared>, wire: Wire, name: &str, given: Vec<Value>) -> Result<Reply, Fault> {
    if name == "system.listMethods" {
        return Ok(Reply::Bare(Value::set_of(method_names())));
    }
    let (name, is_async) = match name.strip_prefix("Async.") {
        Some(name) => (name, true),
        None => (name, false),
    };
    // A session may be one with a database that was opened beside the pool's own.
    let library = given.first().and_then(|session| pool.library(session.str()));
    let pool = library.as_ref().unwrap_or(pool);
    let Some((class, message)) = resolve(name) else {
        // An unknown name with a parameter is first tried as a host extension, after the session check.
        if let Some(session) = given.first() {
            sessions::check(&pool.db(), session.str())?;
        }
        return Err(Fault::new("MESSAGE_METHOD_UNKNOWN", [name]));
    };
    let mut given = given;
    let session = match message.needs_session {
        true if given.is_empty() => return Err(params::count_mismatch(class, message, 0)),
        true => given.remove(0).str().to_owned(),
        false => String::new(),
    };
    if message.needs_session {
        sessions::used(pool, &session)?;
        let key = given.get(1).map_or("", Value::str);
        rbac::check(&pool.db(), &session, class, message, key)?;
    }
    match message.state {
        State::Open => {}
        State::Internal => {
            let why = "Internal API call attempted with non-pool (external) session";
            return Err(Fault::internal(why));
        }
        State::Removed => return Err(Fault::bare("MESSAGE_REMOVED")),
    }
    let params = params::typed(class, message, given)?;
    let mut call = Call {
        pool: pool.clone(),
        session,
        task: String::new(),
        wire,
    };
    if is_async {
        if !message.is_async {
            let text = format!("No async mode for this operation (rpc: {name})");
            return Err(Fault::new("Fault", [text]));
        }
        return tasks::spawn(call, class, message, params).map(|task| Reply::Value(Value::from(&*task)));
    }
    match message.kind {
        Kind::Custom | Kind::Create | Kind::Destroy if message.is_async => {
            tasks::run(&mut call, class, message, params)
                .await
                .map(Reply::Value)
        }
        Kind::Custom | Kind::Create | Kind::Destroy => handwritten(&call, class, message, params).await,
        _ => accessors::answer(&call, class, message, params),
    }
}

/// Calls without a task: those that answer in pieces, and everything in `ops`.
async fn handwritten(
    call: &Call,
    class: &'static Class,
    message: &'static Message,
    params: Vec<Value>,
) -> Result<Reply, Fault> {
    match (class.name.as_str(), message.name.as_str()) {
        ("event", "from") => events::from(call, &params).await.map(Reply::Events),
        ("event", "next") => legacy_events::next(call).await.map(Reply::Events),
        (
            "message",
            "get_all_records" | "get_record" | "get_by_uuid" | "get_all" | "get_all_records_where",
        ) => accessors::generic(call, class, &message.name, &params),
        _ => ops::run(call, class, message, params).await.map(Reply::Value),
    }
}

/// `Class.method` or `Class_method`.
fn resolve(name: &str) -> Option<(&'static Class, &'static Message)> {
    let of = |class: &str, method: &str| {
        let class = model().class(class)?;
        Some((class, class.message(method)?))
    };
    if let Some((class, method)) = name.split_once('.') {
        return of(class, method);
    }
    name.match_indices('_')
        .find_map(|(at, _)| of(&name[..at], &name[at + 1..]))
}

fn method_names() -> Vec<String> {
    let mut names = vec!["system.listMethods".to_owned()];
    for class in &model().classes {
        for message in &class.messages {
            names.push(format!("{}.{}", class.name, message.name));
            if message.is_async {
                names.push(format!("Async.{}.{}", class.name, message.name));
            }
        }
    }
    names
}

impl Reply {
    /// The result in the notation of the request, without the envelope.
    pub fn render(&self, wire: Wire) -> String {
        match self {
            Reply::Value(value) | Reply::Bare(value) => wire.value(value),
            Reply::Record(record) => record.to_string(),
            Reply::Records(records) => {
                let size = records.iter().map(|(_, record)| record.len() + 100).sum();
                let mut out = String::with_capacity(size);
                out.push_str(if wire == Wire::Json {
                    "{"
                } else {
                    "<value><struct>"
                });
                for (at, (reference, record)) in records.iter().enumerate() {
                    match wire {
                        Wire::Json if at > 0 => out.extend([",\"", reference, "\":", record]),
                        Wire::Json => out.extend(["\"", reference, "\":", record]),
                        Wire::Xml => {
                            out.extend(["<member><name>", reference, "</name>", record, "</member>"]);
                        }
                    }
                }
                out.push_str(if wire == Wire::Json {
                    "}"
                } else {
                    "</struct></value>"
                });
                out
            }
            Reply::Events(batch) => batch.render(wire),
        }
    }
}
