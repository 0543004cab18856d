//! From the text of a message to the answer: envelope, checks in the contract's order, the call itself.

use super::{
    connection::Connection,
    error::{self, Failure},
    frame::Frame,
    methods::missing,
    registry::{Call, Caller, Method, Outcome, Permission},
    room::{NoRoom, Room},
};
use crate::{
    app::App,
    audit::{self, Subject},
    inventory::Object,
};
use app::rpc::{ErrorCode, RpcError};
use bytes::Bytes;
use futures_util::FutureExt;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json, value::RawValue};
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Requests in one batch; each is as expensive as it would be alone.
const LONGEST_BATCH: usize = 100;
/// The same before sign-in.
const LONGEST_BATCH_OF_STRANGERS: usize = 10;

/// Characters of a name, where it is repeated.
const LONGEST_NAME: usize = 200;

/// Answers of a batch so small are kept whatever the others take: they tell what was done.
const SMALL_ANSWER: usize = 1 << 10;

/// Positional params that are looked at.
const MOST_POSITIONAL: usize = 50;
/// What a message may take in memory before sign-in; nothing that a stranger can ask needs more.
const ROOM_OF_STRANGERS: usize = 256 << 10;
/// Messages that are parsed beside the threads that answer others.
const LONG: usize = 64 << 10;

/// The turn of the message at hand, where more can be had, and the room that it takes.
pub struct Turn {
    pub turns: Arc<Semaphore>,
    pub own: OwnedSemaphorePermit,
    /// What the message takes in memory.
    pub cost: usize,
    pub room: Result<Option<Room>, NoRoom>,
}

/// Waits until there is room for what a message will take. A stranger has one message at a time, and takes
/// nothing from the others.
pub async fn room_for(
    app: &App,
    connection: &Connection,
    cost: usize,
    until: Instant,
) -> Result<Option<Room>, NoRoom> {
    match connection.signed_in() {
        Some(user) => app.rooms.take(&user.user_id, cost, until).await,
        None => Ok(None),
    }
}

/// The pieces of an answer's JSON.
type Pieces = Vec<Bytes>;

/// Answers a message; `None` when it asks for no answer.
pub async fn answer(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    message: &Bytes,
    turn: Turn,
) -> Option<Frame> {
    let most = match connection.signed_in() {
        Some(_) => app.rooms.share(),
        None => ROOM_OF_STRANGERS,
    };
    if turn.cost > most {
        let error = invalid_request("the message holds too many values");
        return Some(Frame::text(failed(&id_of(message), &error, true)));
    }
    if turn.room.is_err() {
        let error = "the server works on many large messages at the moment: send this one again later";
        let error = RpcError::new(ErrorCode::OPERATION_FAILED, error);
        return Some(Frame::text(failed(&id_of(message), &error, true)));
    }
    let parsed = if message.len() > LONG {
        let message = message.clone();
        let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&message));
        match parsed.await {
            Ok(parsed) => parsed,
            Err(error) => Err(serde::de::Error::custom(error)),
        }
    } else {
        serde_json::from_slice(message)
    };
    let parsed: Value = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            let error =
                RpcError::new(ErrorCode::PARSE_ERROR, "parse error").with_data(error.to_string().into());
            return Some(Frame::text(failed(&Value::Null, &error, true)));
        }
    };
    let Value::Array(requests) = parsed else {
        let answer = answer_one(app, connection, parsed).await.map(Frame::text);
        drop(turn);
        return answer;
    };
    let longest = if connection.signed_in().is_some() {
        LONGEST_BATCH
    } else {
        LONGEST_BATCH_OF_STRANGERS
    };
    if requests.is_empty() || requests.len() > longest {
        let message = if requests.is_empty() {
            "an empty batch"
        } else {
            "too many requests in one batch"
        };
        return Some(Frame::text(failed(&Value::Null, &invalid_request(message), true)));
    }
    let answers = answer_batch(app, connection, requests, turn).await;
    let mut pieces = vec![Bytes::from_static(b"[")];
    for answer in answers {
        if pieces.len() > 1 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.extend(answer);
    }
    if pieces.len() == 1 {
        return None;
    }
    pieces.push(Bytes::from_static(b"]"));
    Some(Frame::text(pieces))
}

/// The calls of a batch: each has a turn of its own, as if it had come alone, and a stranger's come one
/// after the other. What they answer is held until all are done, up to a limit.
async fn answer_batch(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    requests: Vec<Value>,
    Turn {
        turns,
        own,
        room: _room,
        ..
    }: Turn,
) -> Vec<Pieces> {
    let held = AtomicUsize::new(0);
    let one = async |request: Value| {
        let (id, is_v2) = (request.get("id").cloned(), request.get("jsonrpc").is_some());
        let answer = answer_one(app, connection, request).await?;
        let length: usize = answer.iter().map(Bytes::len).sum();
        if length <= SMALL_ANSWER {
            return Some(answer);
        }
        let before = held.fetch_add(length, Ordering::Relaxed);
        // One alone is no longer than it would be outside of a batch.
        if before == 0 || before + length <= app.limits.batch_answers {
            return Some(answer);
        }
        held.fetch_sub(length, Ordering::Relaxed);
        Some(failed(
            &id.unwrap_or_default(),
            &too_long(length, app.limits.batch_answers),
            is_v2,
        ))
    };
    if connection.signed_in().is_none() {
        let mut answers = Vec::new();
        for request in requests {
            answers.extend(one(request).await);
        }
        return answers;
    }
    // The turn of the message is the first call's; nobody holds a turn while waiting for another.
    let mut own = Some(own);
    let calls = requests.into_iter().map(|request| {
        let (own, turns, one) = (own.take(), turns.clone(), &one);
        async move {
            let _turn = match own {
                Some(own) => Some(own),
                // The semaphore is never closed.
                None => turns.acquire_owned().await.ok(),
            };
            one(request).await
        }
    });
    let answers = futures_util::future::join_all(calls).await;
    answers.into_iter().flatten().collect()
}

/// The id of a request that is not parsed as a whole; null when there is none, or it is long.
fn id_of(message: &[u8]) -> Value {
    #[derive(serde::Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
    }
    let id = serde_json::from_slice::<Head>(message).ok();
    let id = id.filter(|head| head.id.get().len() <= SMALL_ANSWER);
    id.and_then(|head| serde_json::from_str(head.id.get()).ok())
        .filter(|id: &Value| id.is_number() || id.is_string())
        .unwrap_or_default()
}

fn too_long(length: usize, limit: usize) -> RpcError {
    let message = "the answers of this batch are too long together: ask for this one alone";
    RpcError::new(ErrorCode::OPERATION_FAILED, message).with_data(json!({ "bytes": length, "limit": limit }))
}

fn unread(length: usize) -> RpcError {
    let message =
        "it is done, and the answers of before are not read: read them, and ask again for what it answers";
    RpcError::new(ErrorCode::OPERATION_FAILED, message).with_data(json!({ "bytes": length }))
}

fn invalid_request(message: &str) -> RpcError {
    RpcError::new(ErrorCode::INVALID_REQUEST, format!("invalid request: {message}"))
}

async fn answer_one(app: &Arc<App>, connection: &Arc<Connection>, request: Value) -> Option<Pieces> {
    let Value::Object(mut request) = request else {
        return Some(failed(&Value::Null, &invalid_request("not an object"), true));
    };
    let id = request.remove("id");
    let is_v2 = match request.get("jsonrpc") {
        Some(Value::String(version)) if version == "2.0" => true,
        None => false,
        Some(_) => {
            let id = id
                .filter(|id| id.is_number() || id.is_string())
                .unwrap_or(Value::Null);
            return Some(failed(&id, &invalid_request("unknown version of JSON-RPC"), true));
        }
    };
    let Some(method) = request.get("method").and_then(Value::as_str).map(str::to_owned) else {
        // A response to something that we never asked, or nothing that can be answered.
        if request.contains_key("result") || request.contains_key("error") {
            return None;
        }
        let id = id
            .filter(|id| id.is_number() || id.is_string())
            .unwrap_or(Value::Null);
        return Some(failed(&id, &invalid_request("method is not a string"), is_v2));
    };
    let id = match id {
        None => return None,
        Some(Value::Null) if !is_v2 => return None,
        Some(id) if id.is_number() || id.is_string() => id,
        Some(_) => {
            return Some(failed(
                &Value::Null,
                &invalid_request("id is neither number nor string"),
                is_v2,
            ));
        }
    };
    let params = match request.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        // Positional params pass today's parser, and then mean nothing.
        Some(Value::Array(params)) => params
            .into_iter()
            .take(MOST_POSITIONAL)
            .enumerate()
            .map(|(i, value)| (i.to_string(), value))
            .collect(),
        Some(_) => {
            return Some(failed(
                &id,
                &invalid_request("params are neither object nor array"),
                is_v2,
            ));
        }
    };
    let Some(method) = app.registry.get(&method) else {
        return Some(failed(&id, &unknown_method(method), is_v2));
    };
    let result = AssertUnwindSafe(run(app, connection, method, params))
        .catch_unwind()
        .await;
    let result = result.unwrap_or_else(|_| Err(panicked(method)));
    Some(match result {
        Ok(outcome) => succeeded(app, connection, &id, outcome, is_v2),
        Err(failure) => {
            let is_admin = connection.caller(app).is_some_and(|caller| caller.is_admin());
            failed(&id, &failure.into_rpc(is_admin, &app.inventory), is_v2)
        }
    })
}

/// A call that is made for a page: as if it had come over this connection, with the same checks and the same
/// record in the audit log.
pub async fn call(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    method: &str,
    params: Map<String, Value>,
) -> Result<Value, RpcError> {
    let Some(method) = app.registry.get(method) else {
        return Err(unknown_method(method.to_owned()));
    };
    let result = AssertUnwindSafe(run(app, connection, method, params))
        .catch_unwind()
        .await;
    let failure = match result.unwrap_or_else(|_| Err(panicked(method))) {
        Ok(Outcome::Value(value)) => return Ok(value),
        Ok(Outcome::Json(parts)) => match serde_json::from_slice(&parts.concat()) {
            Ok(value) => return Ok(value),
            Err(error) => Failure::internal(error.to_string()),
        },
        Err(failure) => failure,
    };
    let is_admin = connection.caller(app).is_some_and(|caller| caller.is_admin());
    Err(failure.into_rpc(is_admin, &app.inventory))
}

fn unknown_method(name: String) -> RpcError {
    if missing::is_missing(&name) {
        return RpcError::new(ErrorCode::NOT_IMPLEMENTED, "not implemented");
    }
    // As long as anybody may have meant it.
    let name: String = name.chars().take(200).collect();
    RpcError::new(ErrorCode::METHOD_NOT_FOUND, format!("method not found: {name}")).with_data(name.into())
}

/// Runs a call and writes it down, if it is one that may change something.
async fn run(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    method: &Method,
    params: Map<String, Value>,
) -> Result<Outcome, Failure> {
    let user = connection.caller(app);
    // Strangers change nothing, and could fill the log.
    let Some(subject) = user.as_ref().filter(|_| !method.reads) else {
        return run_checked(app, connection, method, user, params, &mut None).await;
    };
    let subject = Subject {
        user_id: Some(subject.id.clone()),
        user_name: Some(subject.record.email.clone()),
        address: connection.address.clone(),
        pseudonym: None,
    };
    let _is_noted = app.noting.token();
    let mut said = Some(Map::new());
    let running =
        AssertUnwindSafe(run_checked(app, connection, method, user, params, &mut said)).catch_unwind();
    let result = tokio::select! {
        biased;
        result = running => result.unwrap_or_else(|_| Err(panicked(method))),
        () = app.given_up.cancelled() => {
            let error = "the server stopped before this came to its end: what it began goes on in its pool";
            Err(RpcError::new(ErrorCode::OPERATION_FAILED, error).with_data(json!({ "code": "OUTCOME_UNKNOWN" })).into())
        }
    };
    let outcome = result.as_ref().map(drop).map_err(Failure::summary);
    let said = said.unwrap_or_default();
    app.audit.call(subject, method.name, said, outcome).await;
    result
}

fn panicked(method: &Method) -> Failure {
    tracing::error!(method = method.name, "a method panicked");
    Failure::internal("internal error")
}

/// `said` becomes what is to be written down of the params and of what they name, if anything is.
async fn run_checked(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    method: &Method,
    user: Option<Caller>,
    mut params: Map<String, Value>,
    said: &mut Option<Map<String, Value>>,
) -> Result<Outcome, Failure> {
    let show = |said: &mut Option<Map<String, Value>>, params: &Map<String, Value>| {
        if let Some(said) = said {
            *said = audit::shown(method.params.as_ref(), params);
        }
    };
    if let Err(refused) = check_permission(method, user.as_ref()) {
        show(said, &params);
        return Err(refused);
    }
    if params.remove("_log").is_some_and(|log| log != Value::Bool(false)) && !is_admin(user.as_ref()) {
        return Err(error::unauthorized(Some("admin"), None).into());
    }
    alias_and_drop(method, &mut params)?;
    let checked = match &method.params {
        Some(schema) => schema.check(&mut params),
        None => Ok(()),
    };
    show(said, &params);
    checked.map_err(error::invalid_parameters)?;
    let objects = resolve(app, method, user.as_ref(), &params)?;
    if let (Some(said), Some(named)) = (said, names(&objects)) {
        said.insert("$objects".to_owned(), named);
    }
    let call = Call {
        app: app.clone(),
        connection: connection.clone(),
        user,
        params,
        objects,
    };
    (method.run)(call).await
}

fn is_admin(user: Option<&Caller>) -> bool {
    user.is_some_and(Caller::is_admin)
}

fn check_permission(method: &Method, user: Option<&Caller>) -> Result<(), Failure> {
    let needed = match method.permission {
        Permission::Public => return Ok(()),
        Permission::SignedIn => None,
        Permission::Admin => Some("admin"),
    };
    if user.is_none() || (needed.is_some() && !is_admin(user)) {
        return Err(error::unauthorized(needed, None).into());
    }
    Ok(())
}

/// `vm.start {vm: "..."}` means `id`; a param written `name?` is dropped where it is not known.
fn alias_and_drop(method: &Method, params: &mut Map<String, Value>) -> Result<(), Failure> {
    let Some(schema) = &method.params else {
        return Ok(());
    };
    let marked: Vec<String> = params
        .keys()
        .filter(|name| name.ends_with('?'))
        .cloned()
        .collect();
    for marked in marked {
        let name = marked.trim_end_matches('?').to_owned();
        let value = params.remove(&marked).unwrap_or(Value::Null);
        if params.contains_key(&name) {
            let name = error::shortened(&name, LONGEST_NAME);
            return Err(error::invalid_param(
                &format!("/{name}"),
                &format!("both {name} and {name}? are given"),
            )
            .into());
        }
        if schema.knows(&name) {
            params.insert(name, value);
        }
    }
    let namespace = method.name.split('.').next().unwrap_or_default();
    if schema.knows("id")
        && !params.contains_key("id")
        && !schema.knows(namespace)
        && params.get(namespace).is_some_and(Value::is_string)
        && let Some(id) = params.remove(namespace)
    {
        params.insert("id".to_owned(), id);
    }
    Ok(())
}

/// The objects that params name, if the caller may do with them what the method does.
fn resolve(
    app: &App,
    method: &Method,
    user: Option<&Caller>,
    params: &Map<String, Value>,
) -> Result<FxHashMap<&'static str, Arc<Object>>, Failure> {
    let mut objects = FxHashMap::default();
    for resolve in method.resolve {
        let Some(id) = params.get(resolve.param).and_then(Value::as_str) else {
            continue;
        };
        let found = app
            .inventory
            .get(id)
            .filter(|object| resolve.types.is_empty() || resolve.types.contains(&object.kind));
        // Whoever may not see an object is not told whether it exists.
        if !app.access.allows(user, found.as_deref(), resolve.right) {
            return Err(error::unauthorized(Some(resolve.right.as_str()), Some(id)).into());
        }
        let Some(object) = found else {
            let kinds: Vec<&str> = resolve.types.iter().map(|kind| kind.as_str()).collect();
            let kind = if kinds.is_empty() {
                "object".to_owned()
            } else {
                kinds.join(",")
            };
            return Err(no_such(id, &kind, &kinds).into());
        };
        objects.insert(resolve.param, object);
    }
    Ok(objects)
}

/// Type and name of what params name: the object may be gone when somebody reads of it.
fn names(objects: &FxHashMap<&'static str, Arc<Object>>) -> Option<Value> {
    let shown = objects.iter().map(|(param, object)| {
        let mut shown = json!({ "id": &*object.id, "type": object.kind.as_str() });
        if let Some(name) = object.json_text("name_label") {
            shown["name"] = error::shortened(&name, LONGEST_NAME).into();
        }
        ((*param).to_owned(), shown)
    });
    (!objects.is_empty()).then(|| shown.collect::<Map<_, _>>().into())
}

/// The type in the data is a text when one type is accepted, a list when several are.
fn no_such(id: &str, text: &str, kinds: &[&str]) -> RpcError {
    let mut error = error::no_such_object(id, text);
    if kinds.len() > 1 {
        error.data = Some(json!({ "id": error::shortened(id, LONGEST_NAME), "type": kinds }));
    } else if kinds.is_empty() {
        error.data = Some(json!({ "id": error::shortened(id, LONGEST_NAME) }));
    }
    error
}

fn succeeded(app: &App, connection: &Connection, id: &Value, outcome: Outcome, is_v2: bool) -> Pieces {
    let opening = if is_v2 {
        format!(r#"{{"id":{id},"jsonrpc":"2.0","result":"#)
    } else {
        format!(r#"{{"id":{id},"error":null,"result":"#)
    };
    match outcome {
        Outcome::Value(value) => {
            let text = format!("{opening}{value}}}");
            let Some(user) = connection.signed_in() else {
                return vec![text.into()];
            };
            match app.listings.keep(&user.user_id, text) {
                Ok(kept) => vec![kept],
                Err(text) => failed(id, &unread(text.len()), is_v2),
            }
        }
        Outcome::Json(parts) => {
            let mut pieces = Vec::with_capacity(parts.len() + 2);
            pieces.push(opening.into());
            pieces.extend(parts);
            pieces.push(Bytes::from_static(b"}"));
            pieces
        }
    }
}

fn failed(id: &Value, error: &RpcError, is_v2: bool) -> Pieces {
    let mut answer = json!({ "id": id, "error": error });
    if is_v2 {
        answer["jsonrpc"] = "2.0".into();
    } else {
        answer["result"] = Value::Null;
    }
    vec![answer.to_string().into()]
}
