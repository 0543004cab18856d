//! Whether a published object (JSON) passes a filter.

use super::ast::{Needle, Query};
use serde_json::Value;
use std::borrow::Cow;

impl Query {
    /// Text, glob, number and regular expression look into every value of an array or an object, so a
    /// bare word searches all properties.
    pub fn matches(&self, value: &Value) -> bool {
        self.check(Some(value))
    }

    fn check(&self, value: Option<&Value>) -> bool {
        match self {
            Query::And(terms) => terms.iter().all(|term| term.check(value)),
            Query::Or(terms) => terms.iter().any(|term| term.check(value)),
            Query::Not(term) => !term.check(value),
            Query::Property(name, term) => term.check(value.and_then(|value| member(value, name)).as_deref()),
            Query::Truthy(name) => value
                .and_then(|value| member(value, name))
                .is_some_and(|found| truthy(&found)),
            Query::Compare(order, limit) => value.and_then(as_number).is_some_and(|n| order.holds(n, *limit)),
            Query::Text(needle) => deep(value, &|leaf| {
                leaf.as_str().is_some_and(|text| needle.is_in(text))
            }),
            Query::Glob(pieces) => deep(value, &|leaf| {
                leaf.as_str().is_some_and(|text| in_order(pieces, text))
            }),
            Query::Regex(regex) => deep(value, &|leaf| {
                leaf.as_str().is_some_and(|text| regex.is_match(text))
            }),
            Query::Number(number, needle) => deep(value, &|leaf| match leaf {
                Value::Number(n) => n.as_f64() == Some(*number),
                Value::String(text) => needle.is_in(text),
                _ => false,
            }),
        }
    }
}

/// A property as JavaScript has it: also the length of lists and texts, and the items of a list by number.
fn member<'a>(value: &'a Value, name: &str) -> Option<Cow<'a, Value>> {
    match value {
        Value::Object(map) => map.get(name).map(Cow::Borrowed),
        Value::Array(items) if name == "length" => Some(Cow::Owned(items.len().into())),
        Value::Array(items) => items.get(name.parse::<usize>().ok()?).map(Cow::Borrowed),
        Value::String(text) if name == "length" => Some(Cow::Owned(text.encode_utf16().count().into())),
        _ => None,
    }
}

fn deep(value: Option<&Value>, leaf: &dyn Fn(&Value) -> bool) -> bool {
    match value {
        None => false,
        Some(Value::Array(items)) => items.iter().any(|item| deep(Some(item), leaf)),
        Some(Value::Object(map)) => map.values().any(|item| deep(Some(item), leaf)),
        Some(value) => leaf(value),
    }
}

/// Whether the pieces occur one after the other.
pub(super) fn in_order(pieces: &[Needle], text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut rest = lower.as_str();
    for piece in pieces {
        match rest.find(piece.as_str()) {
            Some(start) => rest = &rest[start + piece.as_str().len()..],
            None => return false,
        }
    }
    true
}

/// JavaScript's truth: everything but `false`, `null`, `0`, `NaN` and the empty text.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64().is_some_and(|n| n != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// JavaScript's loose number of a scalar, so that `"7"` compares as 7.
fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::query::parse;
    use serde_json::{Value, json};

    fn vm() -> Value {
        json!({
            "type": "VM", "id": "e5c6f2a1", "name_label": "Web-Front 01", "name_description": "",
            "power_state": "Running", "$pool": "4b1d", "tags": ["prod", "web"],
            "CPUs": {"number": 4, "max": 8}, "memory": {"size": 8_589_934_592_u64},
            "addresses": {"0/ipv4/0": "10.0.0.5"}, "current_operations": {}, "auto_poweron": true,
            "os_version": null, "notes": "a \"quoted\" b\\c", "position": "7", "owner": "Zoë",
        })
    }

    fn matches(text: &str) -> bool {
        parse(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"))
            .matches(&vm())
    }

    #[test]
    fn what_matches() {
        for text in [
            "",
            "front",
            "FRONT",
            "web-front",
            "power_state:running",
            "name_label : front",
            "tags:prod",
            "running web",
            "(running web)",
            "|(nothing front)",
            "!nothing",
            "!power_state:halted",
            "CPUs:number:4",
            "CPUs:number:>=4",
            "CPUs:max:>7",
            "memory:size:>=8GiB",
            "memory:size:<9G",
            "position:>6",
            "position:7",
            "/Front/",
            "/front/i",
            "name_label:/^Web-Front 01$/",
            "web*01",
            "tags:|(/^prod$/ /^dev$/)",
            "auto_poweron?",
            "!name_description?",
            "!os_version?",
            "tags?",
            "10.0.0.5",
            "addresses:10.0",
            "\"front 01\"",
            "\"front 01",
            "notes:\"\\\"quoted\\\"\"",
            "notes:\"b\\\\c\"",
            "ZOË",
            "$pool:4b1d",
            "name_description:\"\"",
            "tags:(prod web)",
            "tags:!dev",
            "missing:!x",
            "01",
            "front!dev",
            "|(a:b power_state:/run/i)",
            "*",
            "name_label:w*t*1",
            "tags:length:>=2",
            "tags:length:2",
            "tags:1:web",
            "name_label:length:>=12",
            "tags:length?",
            "!name_description:length?",
        ] {
            assert!(matches(text), "{text}");
        }
    }

    #[test]
    fn what_does_not() {
        for text in [
            "back",
            "power_state:halted",
            "tags:staging",
            "running back",
            "|(a1b b2a)",
            "!front",
            "CPUs:number:5",
            "CPUs:number:>4",
            "CPUs:max:<8",
            "name_label:>1",
            "/front/",
            "name_label:/^front/i",
            "01*web",
            "name_description?",
            "missing?",
            "current_operations:\"\"",
            "auto_poweron:true",
            "os_version:\"\"",
            "|()",
            "missing:x",
            "CPUs:number:x:4",
            "tags:length:>2",
            "tags:2:web",
            "CPUs:length:>=0",
            "missing:length:>=0",
        ] {
            assert!(!matches(text), "{text}");
        }
    }
}
