//! Members as today's product writes them: texts for booleans, JSON inside texts, absent for empty.

use crate::persist::RawRecord;
use serde_json::{Map, Value};

/// A text that says something; numbers are taken for their texts.
pub(super) fn text(record: &RawRecord, name: &str) -> Option<String> {
    match record.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) fn flag(record: &RawRecord, name: &str) -> bool {
    match record.get(name) {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

/// A value, or the one that a text holds as JSON.
pub(super) fn parsed(record: &RawRecord, name: &str) -> Option<Value> {
    match record.get(name)? {
        Value::Null => None,
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    }
}

pub(super) fn object(record: &RawRecord, name: &str) -> Map<String, Value> {
    match parsed(record, name) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

pub(super) fn texts(record: &RawRecord, name: &str) -> Vec<String> {
    let Some(Value::Array(list)) = parsed(record, name) else {
        return Vec::new();
    };
    let mut texts: Vec<String> = Vec::new();
    for item in list {
        if let Value::String(text) = item
            && !texts.contains(&text)
        {
            texts.push(text);
        }
    }
    texts
}

/// A number of ms since epoch, or a text of one.
pub(super) fn time(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|ms| ms as i64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
