//! The two wire forms of XAPI. Both end as JSON text, so that records are read by one parser.

pub mod json_rpc;
pub mod xml_rpc;

use crate::error::{CallError, Fault};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// How a host is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    JsonRpc,
    /// For hosts without `/jsonrpc` (before XenServer 7.3).
    XmlRpc,
}

impl Protocol {
    pub fn path(self) -> &'static str {
        match self {
            Self::JsonRpc => "/jsonrpc",
            Self::XmlRpc => "/xmlrpc",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::JsonRpc => "application/json",
            Self::XmlRpc => "text/xml",
        }
    }

    pub fn encode(self, method: &str, params: &[Value]) -> Vec<u8> {
        match self {
            Self::JsonRpc => json_rpc::encode(method, params),
            Self::XmlRpc => xml_rpc::encode(method, params),
        }
    }

    pub fn decode(self, body: Bytes) -> Result<Answer, CallError> {
        match self {
            Self::JsonRpc => json_rpc::decode(body),
            Self::XmlRpc => xml_rpc::decode(&body),
        }
    }
}

/// The result of a call as JSON text, unparsed: a pool's whole state is one answer of many megabytes.
#[derive(Clone, Debug)]
pub struct Answer(Bytes);

impl Answer {
    /// Reads the result; borrows from the answer where `T` does.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, CallError> {
        serde_json::from_slice(&self.0)
            .map_err(|error| CallError::Protocol(format!("unexpected result: {error}")))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn json(&self) -> &[u8] {
        &self.0
    }
}

/// A member that is there, even if it is `null`.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A code and its parameters, from XAPI's list form.
fn fault_from_list(list: Vec<String>) -> CallError {
    let mut parts = list.into_iter();
    match parts.next() {
        Some(code) => CallError::Fault(Fault::new(code, parts)),
        None => CallError::Protocol("a failure without a code".to_owned()),
    }
}
