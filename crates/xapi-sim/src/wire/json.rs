//! JSON-RPC v1 and v2 as XAPI speaks them: reading a request, shaping an answer.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value as Json;

use crate::clock;
use crate::fault::Fault;
use crate::value::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

#[derive(Debug)]
pub struct Request {
    pub version: Version,
    /// Already rendered: a number or a string.
    pub id: String,
    pub method: String,
    pub params: Vec<Value>,
    /// A text among them that was not UTF-8, as well as it can be shown.
    pub invalid: Option<String>,
}

/// `Err` says why the body is no request; the caller answers HTTP 500.
pub fn parse(body: &[u8]) -> Result<Request, String> {
    let text = String::from_utf8_lossy(body);
    let json: Json = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let version = if json["jsonrpc"] == "2.0" {
        Version::V2
    } else {
        Version::V1
    };
    let id = match &json["id"] {
        id @ Json::String(_) => id.to_string(),
        id @ Json::Number(number) if number.is_i64() => id.to_string(),
        _ => return Err("id must be an integer or a string".to_owned()),
    };
    let method = json["method"]
        .as_str()
        .ok_or("method must be a string")?
        .to_owned();
    let params: Vec<Value> = match (&json["params"], version) {
        (Json::Array(params), _) => params.iter().map(value).collect(),
        (Json::Null, Version::V2) => Vec::new(),
        _ => return Err("params must be an array".to_owned()),
    };
    let invalid = match text {
        Cow::Borrowed(_) => None,
        Cow::Owned(_) => super::replaced(&params),
    };
    Ok(Request {
        version,
        id,
        method,
        params,
        invalid,
    })
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Value::Int(integer),
            None => Value::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text),
        Json::Array(items) => Value::Set(items.iter().map(value).collect()),
        Json::Object(entries) => Value::Map(
            entries
                .iter()
                .map(|(key, json)| (key.as_str().into(), value(json)))
                .collect(),
        ),
    }
}

/// The answer around an already rendered result.
pub fn success(version: Version, id: &str, result: &str) -> String {
    match version {
        Version::V1 => format!(r#"{{"result":{result},"error":null,"id":{id}}}"#),
        Version::V2 => format!(r#"{{"jsonrpc":"2.0","result":{result},"id":{id}}}"#),
    }
}

pub fn failure(version: Version, id: &str, fault: &Fault) -> String {
    let mut out = String::new();
    match version {
        Version::V1 => {
            out.push_str(r#"{"result":null,"error":"#);
            write(&mut out, &Value::set_of(fault.description()));
            let _ = write!(out, r#","id":{id}}}"#);
        }
        Version::V2 => {
            out.push_str(r#"{"jsonrpc":"2.0","error":{"code":1,"message":"#);
            string(&mut out, &fault.code);
            out.push_str(r#","data":"#);
            write(&mut out, &Value::set_of(fault.params.clone()));
            let _ = write!(out, r#"}},"id":{id}}}"#);
        }
    }
    out
}

pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let mut out = String::with_capacity(512);
    out.push('{');
    for (at, (name, value)) in members.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        string(&mut out, name);
        out.push(':');
        write(&mut out, value);
    }
    out.push('}');
    out
}

pub fn write(out: &mut String, value: &Value) {
    // Writing to a String cannot fail.
    match value {
        Value::Str(text) => string(out, text),
        Value::Nil => out.push_str("null"),
        Value::Int(number) => drop(write!(out, "{number}")),
        Value::Int32(number) => drop(write!(out, "{number}")),
        Value::Float(number) if number.is_finite() => drop(write!(out, "{number:?}")),
        Value::Float(number) => drop(write!(out, "\"{number}\"")),
        Value::Bool(flag) => drop(write!(out, "{flag}")),
        Value::Date(at) => string(out, &clock::basic(*at)),
        Value::Set(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(out, item);
            }
            out.push(']');
        }
        Value::Map(entries) => {
            out.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                string(out, key);
                out.push(':');
                write(out, value);
            }
            out.push('}');
        }
    }
}

/// A quoted string. Most texts need no escape and are copied whole.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => {
                out.push_str(&text[from..at]);
                let _ = write!(out, "\\u{byte:04x}");
                from = at + 1;
                continue;
            }
            _ => continue,
        };
        out.push_str(&text[from..at]);
        out.push_str(escape);
        from = at + 1;
    }
    out.push_str(&text[from..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_shape_of_their_version() {
        let fault = Fault::handle_invalid("VM", "OpaqueRef:x");
        assert_eq!(
            failure(Version::V2, "1", &fault),
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","OpaqueRef:x"]},"id":1}"#
        );
        assert_eq!(
            failure(Version::V1, "\"a\"", &fault),
            r#"{"result":null,"error":["HANDLE_INVALID","VM","OpaqueRef:x"],"id":"a"}"#
        );
        assert_eq!(
            success(Version::V1, "3", "7"),
            r#"{"result":7,"error":null,"id":3}"#
        );
    }

    #[test]
    fn requests_without_id_or_with_object_params_are_refused() {
        assert!(parse(br#"{"jsonrpc":"2.0","method":"m","id":1}"#).is_ok());
        assert!(parse(br#"{"jsonrpc":"2.0","method":"m"}"#).is_err());
        assert!(parse(br#"{"method":"m","id":1}"#).is_err());
        assert!(parse(br#"{"jsonrpc":"2.0","method":"m","params":{},"id":1}"#).is_err());
    }

    #[test]
    fn every_string_survives_a_round_trip() {
        let text = "a\"b\\c\n\u{1}é\u{1f600}";
        let mut out = String::new();
        string(&mut out, text);
        assert_eq!(serde_json::from_str::<String>(&out).expect("valid JSON"), text);
    }
}
