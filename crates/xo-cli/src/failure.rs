//! Why it did not work, in words, and the exit code that tells scripts.

use app::rpc::{ErrorCode, RpcError};
use serde_json::{Value, json};
use std::{fmt::Write as _, io};

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server understood and refused.
    #[error("{}", refusal(.method, .error))]
    Refused { method: String, error: RpcError },
    /// The server refused a transfer.
    #[error("{0}")]
    NoTransfer(String),
    /// What was typed, or is in the configuration, cannot be meant.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Connection(String),
    /// A file or the terminal.
    #[error("{0}")]
    Here(String),
    #[error("interrupted")]
    Interrupted,
    /// Who reads our output has had enough.
    #[error("the output is closed")]
    OutputClosed,
}

impl Failure {
    pub fn refused(method: &str, error: RpcError) -> Self {
        let method = method.to_owned();
        Self::Refused { method, error }
    }

    pub fn file(what: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::Here(format!("{} cannot be {what}: {error}", path.display()))
    }

    pub fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused { error, .. } if error.is(code))
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Refused { .. } | Self::NoTransfer(_) => 1,
            Self::Usage(_) => 2,
            Self::Connection(_) => 3,
            Self::Here(_) => 4,
            // As shells number a program that SIGINT ended.
            Self::Interrupted => 130,
        }
    }

    /// For standard error: words, or one line of JSON.
    pub fn shown(&self, as_json: bool) -> String {
        match self {
            _ if !as_json => format!("xo: {}", printable(&self.to_string())),
            Self::Refused { method, error } => json!({ "error": error, "method": method }).to_string(),
            other => json!({ "error": { "message": other.to_string() } }).to_string(),
        }
    }
}

/// The names of the server may hold anything; a terminal obeys control characters.
pub fn printable(text: &str) -> String {
    let harmless = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(harmless).collect()
}

fn refusal(method: &str, error: &RpcError) -> String {
    let mut text = format!("{method}: {} (error {})", error.message, error.code);
    for detail in details(error) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {detail}");
    }
    text
}

/// What the message does not say: the fields at fault, the right that is missing, the reason.
fn details(error: &RpcError) -> Vec<String> {
    let Some(data) = &error.data else {
        return Vec::new();
    };
    if let Some(errors) = data["errors"].as_array() {
        return errors.iter().map(at_fault).collect();
    }
    let mut details = Vec::new();
    if let Some(reason) = data["reason"].as_str() {
        details.push(reason.to_owned());
    }
    if let Some(permission) = data["permission"].as_str() {
        let on = data["object"]["id"].as_str().map(|id| format!(" on {id}"));
        details.push(format!("missing right: {permission}{}", on.unwrap_or_default()));
    }
    if error.is(ErrorCode::GENERIC)
        && let Some(params) = data["params"].as_array()
    {
        let params: Vec<&str> = params.iter().filter_map(Value::as_str).collect();
        if !params.is_empty() && !params.iter().all(|param| error.message.contains(param)) {
            details.push(params.join(", "));
        }
    }
    details
}

/// One failure of the schema: `field: what it must be`.
fn at_fault(failure: &Value) -> String {
    let mut path: Vec<String> = failure["instancePath"]
        .as_str()
        .unwrap_or_default()
        .split('/')
        .skip(1)
        .map(|step| step.replace("~1", "/").replace("~0", "~"))
        .collect();
    let params = &failure["params"];
    let (member, message) = match failure["keyword"].as_str() {
        Some("required") => (params["missingProperty"].as_str(), "is required"),
        Some("additionalProperties") => (params["additionalProperty"].as_str(), "is not a parameter here"),
        _ => (None, failure["message"].as_str().unwrap_or("is invalid")),
    };
    path.extend(member.map(str::to_owned));
    let mut text = format!("{}: {message}", path.join("."));
    if let Some(allowed) = params["allowedValues"].as_array() {
        let allowed: Vec<String> = allowed
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        text.push_str(&format!(" ({})", allowed.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_at_fault_are_named() {
        let failure = |path: &str, keyword: &str, params: Value, message: &str| json!({ "instancePath": path, "keyword": keyword, "params": params, "message": message });
        let errors = json!({ "errors": [
            failure("", "required", json!({ "missingProperty": "id" }), "must have required property 'id'"),
            failure("/client", "additionalProperties", json!({ "additionalProperty": "name" }), "must NOT ..."),
            failure("/tags/0", "type", json!({ "type": "string" }), "must be string"),
            failure("/a~1b", "enum", json!({ "allowedValues": ["", "restart", 1] }), "must be equal to one of"),
        ]});
        let error = RpcError::new(ErrorCode::INVALID_PARAMETERS, "invalid parameters").with_data(errors);
        assert_eq!(
            Failure::refused("vm.set", error).to_string(),
            "vm.set: invalid parameters (error 10)\n  id: is required\n  client.name: is not a parameter here\n  \
             tags.0: must be string\n  a/b: must be equal to one of (, restart, 1)"
        );
    }

    #[test]
    fn a_terminal_is_not_steered_by_names() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
    }
}
