//! xo.getAllObjects (contract/methods.md): the inventory, whole or filtered.

use crate::{
    inventory::Object,
    rpc::{
        error::{Failure, invalid_param},
        feed::quoted,
        registry::{Call, Method, Outcome, Permission},
        schema::{any_of, boolean, number},
    },
};
use app::{
    model::ObjectType,
    query::{ast::Query, pattern, text},
};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;

pub fn methods() -> Vec<Method> {
    vec![
        Method::new(
            "xo.getAllObjects",
            Permission::SignedIn,
            "returns all XO objects",
            get_all_objects,
        )
        .reads()
        .params([
            ("filter", any_of(&["object", "string"]).or_empty().optional()),
            ("limit", number().optional()),
            ("ndjson", boolean().optional()),
        ]),
    ]
}

/// A filter is held against every object: its length times sixty thousand.
const LONGEST_TEXT: usize = 4_096;
/// Values in a pattern, those within others counted.
const LARGEST_PATTERN: usize = 1_000;

fn size(pattern: &Value) -> usize {
    1 + match pattern {
        Value::Array(items) => items.iter().map(size).sum::<usize>(),
        Value::Object(members) => members.values().map(size).sum(),
        Value::String(text) => text.len() / LONGEST_TEXT * LARGEST_PATTERN,
        _ => 0,
    }
}

enum Filter {
    All,
    /// `{type: "VM"}`, which nearly every client sends: needs no look into the JSON.
    Kind(ObjectType),
    Nothing,
    Pattern(Value),
    Text(Query),
}

impl Filter {
    fn read(filter: Option<&Value>) -> Result<Self, Failure> {
        let too_long = match filter {
            Some(Value::String(source)) => source.len() > LONGEST_TEXT,
            Some(pattern) => size(pattern) > LARGEST_PATTERN,
            None => false,
        };
        if too_long {
            return Err(invalid_param("/filter", "the filter is too long").into());
        }
        Ok(match filter {
            None | Some(Value::Null) => Self::All,
            Some(Value::String(source)) if source.trim().is_empty() => Self::All,
            Some(Value::String(source)) => {
                Self::Text(text::parse(source).map_err(|error| invalid_param("/filter", &error.to_string()))?)
            }
            Some(Value::Object(members)) if members.is_empty() => Self::All,
            Some(Value::Object(members)) if members.len() == 1 && members.contains_key("type") => {
                match members["type"].as_str() {
                    Some(name) => name.parse().map_or(Self::Nothing, Self::Kind),
                    None => Self::Pattern(Value::Object(members.clone())),
                }
            }
            Some(other) => Self::Pattern(other.clone()),
        })
    }

    fn matches(&self, object: &Object) -> bool {
        let json = || serde_json::from_slice::<Value>(&object.json).unwrap_or_default();
        match self {
            Self::All => true,
            Self::Kind(kind) => object.kind == *kind,
            Self::Nothing => false,
            Self::Pattern(wanted) => {
                // The type decides in most cases, and is known without a look.
                let of_type = wanted["type"]
                    .as_str()
                    .is_none_or(|name| name == object.kind.as_str());
                of_type && pattern::matches(wanted, &json())
            }
            Self::Text(query) => query.matches(&json()),
        }
    }
}

async fn get_all_objects(call: Call) -> Result<Outcome, Failure> {
    let filter = Filter::read(call.params.get("filter"))?;
    let limit = match call.params.get("limit").and_then(Value::as_f64) {
        Some(limit) => limit.max(0.0) as usize,
        None => usize::MAX,
    };
    let user = call.caller()?.clone();
    let app = call.app.clone();
    let ndjson = call.flag("ndjson");
    let all = app.access.sees_everything(&user) && matches!(filter, Filter::All);
    if all && limit == usize::MAX && !ndjson {
        let whole = tokio::task::spawn_blocking(move || app.whole_inventory());
        return Ok(Outcome::Json(vec![
            whole
                .await
                .map_err(|error| Failure::internal(error.to_string()))?,
        ]));
    }
    // Filtering may look into every object's JSON: off the threads that answer others.
    let selected = tokio::task::spawn_blocking(move || -> Vec<Arc<Object>> {
        let visible = app.access.visible(&user).into_iter();
        visible
            .filter(|object| filter.matches(object))
            .take(limit)
            .collect()
    });
    let selected = selected
        .await
        .map_err(|error| Failure::internal(error.to_string()))?;
    if ndjson {
        let lines = selected
            .iter()
            .flat_map(|object| [object.json.clone(), Bytes::from_static(b"\n")])
            .collect();
        let path = call.app.downloads.offer("application/json", None, lines);
        return Ok(Outcome::Value(json!({ "$getFrom": path })));
    }
    Ok(Outcome::Json(vec![join(&selected)]))
}

/// `{"id": object, ...}` in one piece.
pub fn join(objects: &[Arc<Object>]) -> Bytes {
    let size: usize = objects
        .iter()
        .map(|object| object.json.len() + object.id.len() + 4)
        .sum();
    let mut text = Vec::with_capacity(size + 2);
    text.push(b'{');
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(quoted(&object.id).as_bytes());
        text.push(b':');
        text.extend_from_slice(&object.json);
    }
    text.push(b'}');
    text.into()
}
