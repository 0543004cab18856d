//! Error codes of the public contract (contract/protocol.md section 2) and the error object.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The numeric codes of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i32);

impl ErrorCode {
    pub const PARSE_ERROR: Self = Self(-32700);
    pub const INVALID_REQUEST: Self = Self(-32600);
    pub const METHOD_NOT_FOUND: Self = Self(-32601);
    /// Anything without a code of its own, a XAPI failure for instance.
    pub const GENERIC: Self = Self(-32000);
    pub const NOT_IMPLEMENTED: Self = Self(0);
    pub const NO_SUCH_OBJECT: Self = Self(1);
    pub const UNAUTHORIZED: Self = Self(2);
    pub const INVALID_CREDENTIALS: Self = Self(3);
    pub const FORBIDDEN_OPERATION: Self = Self(5);
    pub const NO_HOSTS_AVAILABLE: Self = Self(7);
    pub const AUTHENTICATION_FAILED: Self = Self(8);
    pub const SERVER_UNREACHABLE: Self = Self(9);
    pub const INVALID_PARAMETERS: Self = Self(10);
    pub const VM_MISSING_PV_DRIVERS: Self = Self(11);
    pub const VM_IS_TEMPLATE: Self = Self(12);
    pub const VM_BAD_POWER_STATE: Self = Self(13);
    pub const VM_LACKS_FEATURE: Self = Self(14);
    pub const NOT_SUPPORTED_DURING_UPGRADE: Self = Self(15);
    pub const OBJECT_ALREADY_EXISTS: Self = Self(16);
    pub const VDI_IN_USE: Self = Self(17);
    pub const HOST_OFFLINE: Self = Self(18);
    pub const OPERATION_BLOCKED: Self = Self(19);
    pub const PATCH_PRECHECK_FAILED: Self = Self(20);
    pub const OPERATION_FAILED: Self = Self(21);
    pub const MISSING_AUDIT_RECORD: Self = Self(22);
    pub const ALTERED_AUDIT_RECORD: Self = Self(23);
    pub const INCORRECT_STATE: Self = Self(25);
}

/// The `error` member of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    pub code: i32,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: code.0,
            message: message.into(),
            data: None,
        }
    }

    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    pub fn is(&self, code: ErrorCode) -> bool {
        self.code == code.0
    }
}
