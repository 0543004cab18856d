//! What there is: methods and objects.

use crate::{connection::Connection, failure::Failure, output, params};
use app::{
    query::{self, Query},
    rpc::methods::{Empty, GetAllObjects, GetMethodsInfo, MethodInfo, ObjectsWanted},
};
use regex_lite::Regex;
use serde_json::{Map, Value};

/// Methods whose names match one of the patterns, or all.
pub async fn commands(
    connection: &mut Connection,
    patterns: &[String],
    as_json: bool,
) -> Result<(), Failure> {
    let patterns = patterns
        .iter()
        .map(|pattern| glob(pattern))
        .collect::<Result<Vec<_>, _>>()?;
    let mut known = connection.typed::<GetMethodsInfo>(Empty {}).await?;
    known.retain(|name, _| patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(name)));
    if as_json {
        return output::value(&Value::Object(known), true);
    }
    for (name, info) in known {
        output::line(&described(
            &name,
            &serde_json::from_value(info).unwrap_or_default(),
        ))?;
    }
    Ok(())
}

/// `*` is any text, `?` any character.
fn glob(pattern: &str) -> Result<Regex, Failure> {
    let pieces = pattern.chars().map(|c| match c {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        c => regex_lite::escape(c.encode_utf8(&mut [0; 4])),
    });
    let text = format!("^{}$", pieces.collect::<String>());
    Regex::new(&text).map_err(|_| Failure::Usage(format!("the pattern {pattern:?} is too long")))
}

/// `name id=<string> [force=<boolean>]` and what it is for.
pub fn described(name: &str, info: &MethodInfo) -> String {
    let mut text = name.to_owned();
    let known = info.params.iter().flatten();
    let (optional, required): (Vec<_>, Vec<_>) =
        known.partition(|(_, schema)| schema["optional"] == true || schema.get("default").is_some());
    for (param, schema) in required {
        text.push_str(&format!(" {param}=<{}>", kind(schema)));
    }
    for (param, schema) in optional {
        text.push_str(&format!(" [{param}=<{}>]", kind(schema)));
    }
    if !info.description.is_empty() {
        text.push_str(&format!("\n    {}", info.description));
    }
    text
}

fn kind(schema: &Value) -> String {
    if let Some(allowed) = schema["enum"].as_array() {
        let allowed = allowed
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        return allowed.collect::<Vec<_>>().join("|");
    }
    match &schema["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join("|"),
        _ => "any".to_owned(),
    }
}

/// What `list-objects` was asked for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Properties to show; none means all.
    shown: Vec<String>,
    /// `property=value`: must be equal.
    pattern: Map<String, Value>,
    /// The filter language.
    text: String,
    query: Query,
}

impl Wanted {
    /// `--property`, `property=value`, or a term of the filter language.
    pub fn read(arguments: &[String]) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        let mut terms = Vec::new();
        for argument in arguments {
            match (argument.strip_prefix("--"), argument.split_once('=')) {
                // The answer is JSON in any case.
                (Some("json"), _) => {}
                (Some(name), None) if !name.is_empty() => wanted.shown.push(name.to_owned()),
                (Some(_), _) => return Err(Failure::Usage(format!("{argument}: --PROPERTY is expected"))),
                (None, Some((name, text))) if is_name(name) => {
                    wanted.pattern.insert(name.to_owned(), params::value(name, text)?);
                }
                _ => terms.push(argument.as_str()),
            }
        }
        wanted.text = terms.join(" ");
        wanted.query = query::parse(&wanted.text).map_err(|error| {
            Failure::Usage(format!("the filter {:?} cannot be read: {error}", wanted.text))
        })?;
        Ok(wanted)
    }
}

/// `name_label=x` is a property and its value; `name_label:"a=b"` is a filter.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_$-".contains(c))
}

pub async fn objects(connection: &mut Connection, wanted: Wanted) -> Result<(), Failure> {
    // The server takes one filter: a pattern decides there, and the text here.
    let filter = match (wanted.pattern.is_empty(), wanted.query.is_empty()) {
        (false, _) => Some(Value::Object(wanted.pattern)),
        (true, false) => Some(Value::String(wanted.text)),
        (true, true) => None,
    };
    let asked = ObjectsWanted { filter, limit: None };
    let objects = connection.typed::<GetAllObjects>(asked).await?;
    let objects = objects.into_iter().map(|(_, object)| object);
    let objects = objects.filter(|object| wanted.query.matches(object));
    let shown = objects.map(|object| match object {
        Value::Object(mut members) if !wanted.shown.is_empty() => {
            members.retain(|name, _| wanted.shown.contains(name));
            Value::Object(members)
        }
        object => object,
    });
    output::value(&Value::Array(shown.collect()), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patterns_of_names() {
        for (pattern, name, matches) in [
            ("vm.*", "vm.start", true),
            ("vm.*", "vmx", false),
            ("*.set", "vm.set", true),
            ("vm.s?t", "vm.set", true),
            ("vm.set", "vm.setX", false),
        ] {
            assert_eq!(
                glob(pattern).expect("a pattern").is_match(name),
                matches,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_method_reads_as_it_is_typed() {
        let info = json!({ "description": "stop it", "params": {
            "force": {"type": "boolean", "optional": true}, "id": {"type": "string"},
            "mode": {"type": "string", "enum": ["a", "b"]}, "n": {"type": ["integer", "null"], "default": 3}, "x": {},
        }});
        let info = serde_json::from_value(info).expect("info");
        assert_eq!(
            described("vm.stop", &info),
            "vm.stop id=<string> mode=<a|b> x=<any> [force=<boolean>] [n=<integer|null>]\n    stop it"
        );
    }

    #[test]
    fn words_of_a_listing_are_told_apart() {
        let read = |arguments: &[&str]| {
            Wanted::read(
                &arguments
                    .iter()
                    .map(|&argument| argument.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        let wanted = read(&[
            "type=VM",
            "--name_label",
            "--json",
            "power_state:running",
            "!tags?",
            "n=json:1",
            "a:\"x=y\"",
        ]);
        let wanted = wanted.expect("a listing");
        assert_eq!(wanted.shown, ["name_label"]);
        assert_eq!(Value::Object(wanted.pattern), json!({ "type": "VM", "n": 1 }));
        assert_eq!(wanted.text, "power_state:running !tags? a:\"x=y\"");
        for wrong in ["name:(", "--", "--a=b", "n=json:x"] {
            assert_eq!(read(&[wrong]).expect_err(wrong).exit_code(), 2);
        }
    }
}
