//! Reads what comes over the socket: answers to calls, and view updates (plain or deflated).

use crate::rpc::{RpcError, view};
use serde::Deserialize;
use serde_json::value::RawValue;

pub enum Incoming {
    Answer {
        id: u64,
        result: Result<Box<RawValue>, RpcError>,
    },
    View(Box<view::ViewUpdate>),
    /// Something newer than this client; passed over.
    Other,
}

/// A snapshot chunk of 500 full rows is far below this; more means a broken or hostile stream.
const LARGEST_INFLATED: usize = 64 << 20;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
    #[serde(default)]
    method: Option<&'a str>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
}

pub fn read_text(text: &str) -> Result<Incoming, String> {
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    match envelope {
        Envelope {
            method: Some(view::NOTIFICATION),
            params: Some(params),
            ..
        } => {
            let update = serde_json::from_str(params.get()).map_err(|error| error.to_string())?;
            Ok(Incoming::View(Box::new(update)))
        }
        Envelope { method: Some(_), .. } => Ok(Incoming::Other),
        Envelope {
            id: Some(id),
            error: Some(error),
            ..
        } => Ok(Incoming::Answer {
            id,
            result: Err(error),
        }),
        Envelope {
            id: Some(id), result, ..
        } => {
            let result = result.map_or_else(|| RawValue::NULL.to_owned(), ToOwned::to_owned);
            Ok(Incoming::Answer {
                id,
                result: Ok(result),
            })
        }
        _ => Ok(Incoming::Other),
    }
}

pub fn read_binary(bytes: &[u8]) -> Result<Incoming, String> {
    let text = miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, LARGEST_INFLATED)
        .map_err(|error| format!("{error:?}"))?;
    let text = std::str::from_utf8(&text).map_err(|error| error.to_string())?;
    read_text(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_answers_errors_and_views_apart() {
        assert!(matches!(
            read_text(r#"{"jsonrpc":"2.0","id":3,"result":true}"#),
            Ok(Incoming::Answer { id: 3, result: Ok(value) }) if value.get() == "true"
        ));
        assert!(matches!(
            read_text(r#"{"jsonrpc":"2.0","id":4,"error":{"code":3,"message":"invalid credentials"}}"#),
            Ok(Incoming::Answer { id: 4, result: Err(error) }) if error.code == 3
        ));
        let view = r#"{"jsonrpc":"2.0","method":"view","params":{"view":1,"revision":2,"gone":["x"]}}"#;
        let deflated = miniz_oxide::deflate::compress_to_vec_zlib(view.as_bytes(), 6);
        assert!(matches!(read_binary(&deflated), Ok(Incoming::View(update)) if update.gone == ["x"]));
        assert!(matches!(
            read_text(r#"{"jsonrpc":"2.0","method":"all","params":{}}"#),
            Ok(Incoming::Other)
        ));
        assert!(read_text("nonsense").is_err());
        assert!(read_binary(&[1, 2, 3]).is_err());
    }
}
