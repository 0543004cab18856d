//! Object patterns of programs: `xo.getAllObjects {filter}` and job definitions.
//!
//! An object pattern wants each of its keys present and matching; an array pattern wants each of its
//! elements matched by some element; an object whose only key is `__or`, `__and` or `__not` is an
//! operator; anything else must be equal.

use serde_json::{Map, Value};

pub fn matches(pattern: &Value, value: &Value) -> bool {
    match pattern {
        Value::Object(wanted) => match operator(wanted) {
            Some(("__or", Value::Array(patterns))) => patterns.iter().any(|pattern| matches(pattern, value)),
            Some(("__and", Value::Array(patterns))) => patterns.iter().all(|pattern| matches(pattern, value)),
            Some(("__not", pattern)) => !matches(pattern, value),
            _ => object(wanted, value),
        },
        Value::Array(wanted) => match value {
            Value::Array(items) => wanted
                .iter()
                .all(|pattern| items.iter().any(|item| matches(pattern, item))),
            _ => false,
        },
        Value::Number(wanted) => match value {
            // 1 and 1.0 are one number in the language that the contract comes from.
            Value::Number(number) => wanted == number || wanted.as_f64() == number.as_f64(),
            _ => false,
        },
        scalar => scalar == value,
    }
}

fn operator(pattern: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = pattern.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) => Some((key.as_str(), value)),
        _ => None,
    }
}

fn object(wanted: &Map<String, Value>, value: &Value) -> bool {
    match value {
        Value::Object(map) => wanted
            .iter()
            .all(|(key, pattern)| map.get(key).is_some_and(|item| matches(pattern, item))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns() {
        let vm =
            json!({"type": "VM", "tags": ["a", "b"], "CPUs": {"number": 4, "max": 8}, "os": null, "n": 1.0});
        for (pattern, expected) in [
            (json!({}), true),
            (json!({"type": "VM"}), true),
            (json!({"type": "vm"}), false),
            (json!({"CPUs": {"number": 4}}), true),
            (json!({"CPUs": {"number": 5}}), false),
            (json!({"tags": ["b"]}), true),
            (json!({"tags": ["b", "c"]}), false),
            (json!({"tags": []}), true),
            (json!({"os": null}), true),
            (json!({"missing": null}), false),
            (json!({"n": 1}), true),
            (json!({"type": {"__or": ["host", "VM"]}}), true),
            (json!({"type": {"__not": "VM"}}), false),
            (json!({"__and": [{"type": "VM"}, {"tags": ["a"]}]}), true),
            (json!({"type": {"length": 2}}), false),
        ] {
            assert_eq!(matches(&pattern, &vm), expected, "{pattern}");
        }
    }
}
