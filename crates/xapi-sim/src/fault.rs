//! A XAPI error: the code and its parameters, exactly as they go on the wire.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub code: String,
    pub params: Vec<String>,
}

impl Fault {
    pub fn new<P: Into<String>>(code: &str, params: impl IntoIterator<Item = P>) -> Fault {
        Fault {
            code: code.to_owned(),
            params: params.into_iter().map(Into::into).collect(),
        }
    }

    pub fn bare(code: &str) -> Fault {
        Fault {
            code: code.to_owned(),
            params: Vec::new(),
        }
    }

    pub fn handle_invalid(class: &str, reference: &str) -> Fault {
        Fault::new("HANDLE_INVALID", [class, reference])
    }

    pub fn internal(text: impl Into<String>) -> Fault {
        Fault::new("INTERNAL_ERROR", [text.into()])
    }

    pub fn not_allowed(text: impl Into<String>) -> Fault {
        Fault::new("OPERATION_NOT_ALLOWED", [text.into()])
    }

    pub fn invalid_value(field: &str, value: impl Into<String>) -> Fault {
        Fault::new("INVALID_VALUE", [field.to_owned(), value.into()])
    }

    /// Code and parameters in one list: `ErrorDescription`, `error_info`, the v1 error.
    pub fn description(&self) -> Vec<String> {
        std::iter::once(self.code.clone())
            .chain(self.params.iter().cloned())
            .collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.code, self.params.join(", "))
    }
}

impl std::error::Error for Fault {}
