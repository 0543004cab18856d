//! What can go wrong with a call: XAPI said no, or nobody answered.
//!
//! The difference matters: a fault is a result, which is passed on; a transport failure leaves the outcome
//! unknown, and leads to a retry only where that is safe.

use std::time::Duration;

/// A failure that XAPI answered: a code and its parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}({})", params.join(","))]
pub struct Fault {
    pub code: String,
    pub params: Vec<String>,
}

impl Fault {
    pub fn new(code: impl Into<String>, params: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            code: code.into(),
            params: params.into_iter().map(Into::into).collect(),
        }
    }

    pub fn is(&self, code: &str) -> bool {
        self.code == code
    }

    pub fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }
}

/// Why a call gave no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Fault(#[from] Fault),
    /// No connection, or it broke; `sent` tells whether the request may have arrived.
    #[error("{reason}")]
    Transport { reason: String, sent: bool },
    /// The certificate is not one we trust.
    #[error("the certificate of the host is not trusted: {reason}")]
    Untrusted {
        reason: String,
        fingerprint: Option<String>,
    },
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The peer answered something that is not XAPI's protocol.
    #[error("the host does not answer as XAPI does: {0}")]
    Protocol(String),
    #[error("not signed in to the host")]
    NoSession,
}

impl CallError {
    /// The fault's code, if XAPI answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Fault(fault) => Some(&fault.code),
            _ => None,
        }
    }

    pub fn is_fault(&self, code: &str) -> bool {
        self.code() == Some(code)
    }
}
