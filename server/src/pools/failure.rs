//! Why a link is not there, in words for people and in a form for programs.

use serde_json::{Value, json};
use xapi::CallError;

#[derive(Clone, Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the host refused the user name or the password")]
    AuthenticationFailed { user: String },
    /// Another registered server leads to the same pool.
    #[error("this pool is already connected")]
    PoolAlreadyConnected { pool_id: String },
    #[error("the certificate of the host is not trusted: {reason}")]
    Untrusted {
        reason: String,
        fingerprint: Option<String>,
    },
    #[error("the stored password cannot be read with the present key file: enter it again")]
    Unsealable,
    #[error("{0}")]
    Unreachable(String),
    /// XAPI answered with a failure of its own.
    #[error("{0}")]
    Fault(xapi::Fault),
    #[error("disconnected")]
    Stopped,
}

impl LinkError {
    /// Whether another attempt could end otherwise without anybody doing something: wrong credentials
    /// repeated every minute only lock an account.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::AuthenticationFailed { .. } | Self::Unsealable | Self::Stopped
        )
    }

    pub(super) fn from_call(error: CallError) -> Self {
        match error {
            CallError::Fault(fault) if fault.is("SESSION_AUTHENTICATION_FAILED") => {
                Self::AuthenticationFailed {
                    user: fault.param(0).to_owned(),
                }
            }
            CallError::Fault(fault) => Self::Fault(fault),
            CallError::Untrusted { reason, fingerprint } => Self::Untrusted { reason, fingerprint },
            other => Self::Unreachable(other.to_string()),
        }
    }

    /// The `error` property of `server.getAll`.
    pub fn to_json(&self) -> Value {
        let message = self.to_string();
        match self {
            Self::AuthenticationFailed { user } => {
                json!({ "code": "SESSION_AUTHENTICATION_FAILED", "message": message, "params": [user] })
            }
            Self::PoolAlreadyConnected { pool_id } => {
                json!({ "code": "POOL_ALREADY_CONNECTED", "message": message, "poolId": pool_id })
            }
            Self::Untrusted { fingerprint, .. } => {
                json!({ "code": "UNTRUSTED_CERTIFICATE", "message": message, "fingerprint": fingerprint })
            }
            Self::Fault(fault) => json!({ "code": fault.code, "message": message, "params": fault.params }),
            Self::Unsealable | Self::Unreachable(_) | Self::Stopped => json!({ "message": message }),
        }
    }
}
