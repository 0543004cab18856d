//! `key=value`, as people type the parameters of a method.

use crate::failure::Failure;
use app::rpc::methods::MethodInfo;
use serde_json::{Map, Value};

/// Where a stream comes from or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Standard input or output.
    Standard,
    File(std::path::PathBuf),
}

#[derive(Debug, Default, PartialEq)]
pub struct Given {
    pub params: Map<String, Value>,
    /// `@` or `@=FILE`
    pub stream: Option<Place>,
    /// Names of params that were typed as plain numbers, and may be meant as such.
    pub numbers: Vec<String>,
}

/// `json:` begins JSON; `true` and `false` are booleans; anything else is text. Of two values the last counts.
pub fn read(arguments: &[String]) -> Result<Given, Failure> {
    let mut given = Given::default();
    for argument in arguments {
        match argument.split_once('=') {
            None if argument == "@" => given.stream = Some(Place::Standard),
            Some(("@", "-")) => given.stream = Some(Place::Standard),
            Some(("@", "")) => return Err(Failure::Usage("@= names no file".to_owned())),
            Some(("@", file)) => given.stream = Some(Place::File(file.into())),
            Some((key, text)) if !key.is_empty() && !key.starts_with('-') => {
                given.numbers.retain(|name| name != key);
                if is_number(text) {
                    given.numbers.push(key.to_owned());
                }
                given.params.insert(key.to_owned(), value(key, text)?);
            }
            _ if argument.starts_with('-') => {
                return Err(Failure::Usage(format!(
                    "{argument} is not an option here; the options of xo come before the method"
                )));
            }
            _ => {
                return Err(Failure::Usage(format!(
                    "{argument:?} is not a parameter: key=value is expected"
                )));
            }
        }
    }
    Ok(given)
}

pub fn value(key: &str, text: &str) -> Result<Value, Failure> {
    match (text, text.strip_prefix("json:")) {
        ("true", _) => Ok(Value::Bool(true)),
        ("false", _) => Ok(Value::Bool(false)),
        (_, Some(json)) => serde_json::from_str(json)
            .map_err(|error| Failure::Usage(format!("{key}: what follows json: is no JSON: {error}"))),
        (text, None) => Ok(Value::String(text.to_owned())),
    }
}

/// As JSON writes them, so that `0123`, a text for sure, stays one.
fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

impl Given {
    /// What was typed as a number becomes one where the method takes a number and no text.
    pub fn follow(&mut self, info: &MethodInfo) {
        let Some(known) = &info.params else {
            return;
        };
        for name in self.numbers.drain(..) {
            let takes = |kind: &str| match &known.get(&name).unwrap_or(&Value::Null)["type"] {
                Value::String(only) => only == kind,
                Value::Array(kinds) => kinds.iter().any(|any| any == kind),
                _ => false,
            };
            if (takes("number") || takes("integer"))
                && !takes("string")
                && let Some(value) = self.params.get_mut(&name)
                && let Some(number) = value.as_str().and_then(|text| serde_json::from_str(text).ok())
            {
                *value = Value::Number(number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn typed(arguments: &[&str]) -> Result<Given, Failure> {
        read(
            &arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn values_are_read_as_today() {
        let given = typed(&[
            "a=text",
            "b=true",
            "c=false",
            "d=",
            "e=json:{\"x\":[1,null]}",
            "f=1=2",
            "g=12",
            "h=json:12",
            "a=last",
            "@=/tmp/f",
        ]);
        let given = given.expect("values");
        let params = json!({
            "a": "last", "b": true, "c": false, "d": "", "e": {"x": [1, null]}, "f": "1=2", "g": "12", "h": 12
        });
        assert_eq!(Value::Object(given.params), params);
        assert_eq!(given.stream, Some(Place::File("/tmp/f".into())));
        assert_eq!(given.numbers, ["g"]);
        for standard in ["@", "@=-"] {
            assert_eq!(
                typed(&[standard]).expect("a stream").stream,
                Some(Place::Standard)
            );
        }
    }

    #[test]
    fn what_is_no_value_is_refused_by_name() {
        for (argument, named) in [
            ("word", "word"),
            ("=x", "=x"),
            ("@=", "@="),
            ("memory=json:{", "memory"),
            ("--force", "--force"),
            ("--a=b", "--a=b"),
        ] {
            let failure = typed(&[argument]).expect_err(argument);
            assert_eq!(failure.exit_code(), 2);
            assert!(failure.to_string().contains(named), "{failure}");
        }
    }

    #[test]
    fn numbers_are_numbers_where_only_numbers_are_taken() {
        let info: MethodInfo = serde_json::from_value(json!({ "description": "", "params": {
            "CPUs": {"type": "integer"}, "weight": {"type": ["integer", "null"]}, "memory": {"type": ["number", "string"]},
            "name": {"type": "string"}, "zip": {"type": "integer"},
        }})).expect("info");
        let mut given = typed(&[
            "CPUs=4",
            "weight=-1.5e3",
            "memory=10",
            "name=42",
            "zip=007",
            "other=1",
        ])
        .expect("values");
        given.follow(&info);
        assert_eq!(
            Value::Object(given.params),
            json!({ "CPUs": 4, "weight": -1.5e3, "memory": "10", "name": "42", "zip": "007", "other": "1" })
        );
    }
}
