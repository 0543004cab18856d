//! JSON-RPC 2.0 as XAPI speaks it (`POST /jsonrpc`).

use super::{Answer, fault_from_list};
use crate::error::{CallError, Fault};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

pub fn encode(method: &str, params: &[Value]) -> Vec<u8> {
    json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": 1 })
        .to_string()
        .into_bytes()
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "super::present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<Value>,
}

pub fn decode(body: Bytes) -> Result<Answer, CallError> {
    let envelope: Envelope<'_> = serde_json::from_slice(&body)
        .map_err(|error| CallError::Protocol(format!("the answer is not JSON-RPC: {error}")))?;
    match (envelope.error, envelope.result) {
        (None | Some(Value::Null), Some(result)) => Ok(Answer(body.slice_ref(result.get().as_bytes()))),
        (Some(error), _) => Err(failure(error)),
        (None, None) => Err(CallError::Protocol(
            "the answer has neither result nor error".to_owned(),
        )),
    }
}

/// Present hosts send `{code: 1, message: CODE, data: [...]}`; before dispatch, and in v1, a plain list.
fn failure(error: Value) -> CallError {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match error {
        Value::Array(list) => fault_from_list(list.iter().map(text).collect()),
        Value::Object(object) => {
            let Some(code) = object.get("message").map(text) else {
                return CallError::Protocol("an error without a message".to_owned());
            };
            let params = match object.get("data") {
                Some(Value::Array(list)) => list.iter().map(text).collect(),
                Some(Value::Null) | None => Vec::new(),
                Some(other) => vec![text(other)],
            };
            CallError::Fault(Fault { code, params })
        }
        other => CallError::Protocol(format!("an error of unknown shape: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(body: &str) -> Result<String, CallError> {
        decode(Bytes::copy_from_slice(body.as_bytes()))
            .map(|answer| String::from_utf8_lossy(answer.json()).into_owned())
    }

    #[test]
    fn results_and_errors_of_both_versions() {
        assert_eq!(
            decoded(r#"{"jsonrpc":"2.0","result":["a"],"id":1}"#).expect("a result"),
            r#"["a"]"#
        );
        assert_eq!(
            decoded(r#"{"result":"x","error":null,"id":1}"#).expect("a result"),
            r#""x""#
        );
        let expected = Fault::new("HANDLE_INVALID", ["VM", "OpaqueRef:x"]);
        for body in [
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"HANDLE_INVALID","data":["VM","OpaqueRef:x"]},"id":1}"#,
            r#"{"result":null,"error":["HANDLE_INVALID","VM","OpaqueRef:x"],"id":1}"#,
        ] {
            match decoded(body) {
                Err(CallError::Fault(fault)) => assert_eq!(fault, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn anything_else_is_a_protocol_error() {
        for body in [
            "",
            "<html>",
            "{}",
            r#"{"error":7}"#,
            r#"{"error":[]}"#,
            r#"{"result":"#,
        ] {
            assert!(matches!(decoded(body), Err(CallError::Protocol(_))), "{body}");
        }
    }
}
