//! The one place where an internal failure becomes an answer (contract/protocol.md section 2).
//!
//! The contract's numbered errors are for everybody; of anything else only an administrator sees the words.

use crate::{
    access::EntryError,
    audit::without_secrets,
    auth::{SignInError, people::PeopleError, tokens::TokenError},
    inventory::Store,
    persist::StoreError,
    pools::{LinkError, RegistryError},
    rpc::schema::Failures,
};
use app::rpc::{ErrorCode, RpcError};
use serde_json::{Value, json};
use xapi::{CallError, Fault};

/// A failure on its way to a client.
#[derive(Debug)]
pub enum Failure {
    /// One of the contract's, shown to anybody.
    Public(RpcError),
    /// Shown to administrators; others read that something is unknown.
    Internal { message: String, data: Value },
    /// XAPI's, to be translated with the ids that clients know.
    Xapi(CallError),
}

impl From<RpcError> for Failure {
    fn from(error: RpcError) -> Self {
        Self::Public(error)
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Xapi(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        // Anybody may know that it is not their fault; where the store is, is not for everybody.
        let words = match &error {
            StoreError::Away(_) | StoreError::Lost(_) | StoreError::InUse(_) => {
                "the store cannot be used now: nothing was changed"
            }
            StoreError::Unknown => {
                "the connection to the store was lost: whether the change was made is not known"
            }
            StoreError::Unusable(_)
            | StoreError::TooNew { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Unreadable { .. } => {
                tracing::error!(%error, "the store failed");
                return Self::internal(error.to_string());
            }
        };
        // The store tells the log once, not with every call.
        tracing::debug!(%error, "the store cannot be used");
        RpcError::new(ErrorCode::GENERIC, words).into()
    }
}

impl From<SignInError> for Failure {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::InvalidCredentials | SignInError::OtpNeeded(_) => {
                RpcError::new(ErrorCode::INVALID_CREDENTIALS, "invalid credentials").into()
            }
            SignInError::TooManySessions(_) => {
                RpcError::new(ErrorCode::OPERATION_FAILED, error.to_string()).into()
            }
            SignInError::Store(error) => error.into(),
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::TooMany(_) | TokenError::NoUser => {
                RpcError::new(ErrorCode::OPERATION_FAILED, error.to_string()).into()
            }
            TokenError::Store(error) => error.into(),
        }
    }
}

impl From<PeopleError> for Failure {
    fn from(error: PeopleError) -> Self {
        let message = error.to_string();
        match error {
            PeopleError::NoSuch { kind, id } => no_such_object(&id, kind).into(),
            PeopleError::Exists { kind, id, .. } => RpcError::new(ErrorCode::OBJECT_ALREADY_EXISTS, message)
                .with_data(json!({ "objectId": id, "objectType": kind }))
                .into(),
            PeopleError::Invalid { member, reason } => invalid_param(&format!("/{member}"), &reason).into(),
            PeopleError::Forbidden(reason) => forbidden_operation("change", reason).into(),
            PeopleError::NoAdministrator => unauthorized(Some("admin"), None).into(),
            PeopleError::TooMany(_) => RpcError::new(ErrorCode::OPERATION_FAILED, message).into(),
            PeopleError::SignIn(error) => error.into(),
            PeopleError::Store(error) => error.into(),
        }
    }
}

impl From<EntryError> for Failure {
    fn from(error: EntryError) -> Self {
        match error {
            EntryError::TooMany => RpcError::new(ErrorCode::OPERATION_FAILED, error.to_string()).into(),
            EntryError::Store(error) => error.into(),
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::NoSuchServer(id) => no_such_object(&id, "xenServer").into(),
            RegistryError::AlreadyExists { id } => {
                RpcError::new(ErrorCode::OBJECT_ALREADY_EXISTS, "server already exists")
                    .with_data(json!({ "objectId": id, "objectType": "server" }))
                    .into()
            }
            RegistryError::IncorrectState { id, actual, expected } => {
                incorrect_state(&id, "status", json!(actual), json!(expected)).into()
            }
            RegistryError::InvalidHost(error) => invalid_param("/host", &error.to_string()).into(),
            RegistryError::Link(LinkError::AuthenticationFailed { .. }) => {
                RpcError::new(ErrorCode::AUTHENTICATION_FAILED, "authentication failed").into()
            }
            RegistryError::Link(error) => Self::Internal {
                message: error.to_string(),
                data: error.to_json(),
            },
            RegistryError::InvalidFingerprint => invalid_param("/fingerprint", &error.to_string()).into(),
            RegistryError::Store(error) => error.into(),
            other @ RegistryError::TooMany => Self::internal(other.to_string()),
        }
    }
}

impl Failure {
    pub fn internal(message: impl Into<String>) -> Self {
        let message = message.into();
        let data = json!({ "message": message });
        Self::Internal { message, data }
    }

    /// For the audit log: short, and without what a message repeats of a secret.
    pub fn summary(&self) -> Value {
        match self {
            Self::Public(error) => json!({ "code": error.code, "message": said(&error.message) }),
            Self::Internal { message, .. } => json!({ "message": said(message) }),
            Self::Xapi(error) => json!({ "message": said(&error.to_string()) }),
        }
    }

    /// The error object for a caller.
    pub fn into_rpc(self, is_admin: bool, inventory: &Store) -> RpcError {
        let (message, data) = match self {
            Self::Public(error) => return error,
            // Everybody must know that it may be done; where the host is, is not everybody's business.
            Self::Xapi(CallError::Fault(fault)) if !is_admin && fault.is("OUTCOME_UNKNOWN") => {
                let mut params = fault.params.clone();
                if let Some(reason) = params.get_mut(1) {
                    "no answer came".clone_into(reason);
                }
                let message = format!("whether {} was done is not known", fault.param(0));
                let data =
                    json!({ "code": fault.code, "params": params, "message": message, "name": "XapiError" });
                return RpcError::new(ErrorCode::GENERIC, message).with_data(data);
            }
            Self::Internal { message, data } => (message, data),
            Self::Xapi(CallError::Fault(fault)) => match translate(&fault, inventory) {
                Some(error) => return error,
                None => {
                    let params = fault.params.clone();
                    (
                        fault.to_string(),
                        json!({ "code": fault.code, "params": params, "message": fault.to_string(), "name": "XapiError" }),
                    )
                }
            },
            // The request did not leave: nothing was done, and clients know this one.
            Self::Xapi(CallError::Transport { sent: false, reason }) => {
                return RpcError::new(ErrorCode::SERVER_UNREACHABLE, "server unreachable")
                    .with_data(json!({ "reason": reason }));
            }
            Self::Xapi(error) => (error.to_string(), json!({ "message": error.to_string() })),
        };
        if is_admin {
            RpcError::new(ErrorCode::GENERIC, message).with_data(data)
        } else {
            RpcError::new(ErrorCode::GENERIC, "unknown error from the peer")
        }
    }
}

/// Characters of a text of the client's choice, where an answer repeats it.
const LONGEST_REPEATED: usize = 200;
/// Of a message, and of what the audit log keeps of it.
const LONGEST_SUMMARY: usize = 500;

/// A text that is no longer than so many characters, and says so when it was.
pub fn shortened(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// What the audit log keeps of a message.
pub fn said(message: &str) -> String {
    shortened(&without_secrets(message), LONGEST_SUMMARY)
}

pub fn no_such_object(id: &str, kind: &str) -> RpcError {
    let id = shortened(id, LONGEST_REPEATED);
    RpcError::new(ErrorCode::NO_SUCH_OBJECT, format!("no such {kind} {id}"))
        .with_data(json!({ "id": id, "type": kind }))
}

/// A token that is named by its secret: the name stays with whoever typed it.
pub fn no_such_token() -> RpcError {
    let kind = "authenticationToken";
    RpcError::new(ErrorCode::NO_SUCH_OBJECT, format!("no such {kind}")).with_data(json!({ "type": kind }))
}

/// `permission` is absent for "any signed-in user".
pub fn unauthorized(permission: Option<&str>, object: Option<&str>) -> RpcError {
    let mut data = json!({ "object": {} });
    if let Some(permission) = permission {
        data["permission"] = permission.into();
    }
    if let Some(id) = object {
        data["object"]["id"] = shortened(id, LONGEST_REPEATED).into();
    }
    RpcError::new(ErrorCode::UNAUTHORIZED, "not enough permissions").with_data(data)
}

pub fn invalid_parameters(failures: Failures) -> RpcError {
    let mut data = json!({ "errors": failures.told });
    let message = match failures.more {
        0 => "invalid parameters".to_owned(),
        more => {
            data["more"] = more.into();
            format!("invalid parameters ({more} more than are told)")
        }
    };
    RpcError::new(ErrorCode::INVALID_PARAMETERS, message).with_data(data)
}

/// A param that has the right type, but a value that means nothing.
pub fn invalid_param(path: &str, message: &str) -> RpcError {
    let (path, message) = (
        shortened(path, LONGEST_REPEATED),
        shortened(message, LONGEST_SUMMARY),
    );
    RpcError::new(ErrorCode::INVALID_PARAMETERS, message.clone())
        .with_data(json!({ "errors": [{ "instancePath": path, "message": message }] }))
}

pub fn forbidden_operation(operation: &str, reason: &str) -> RpcError {
    RpcError::new(
        ErrorCode::FORBIDDEN_OPERATION,
        format!("forbidden operation: {operation}"),
    )
    .with_data(json!({ "operation": operation, "reason": reason }))
}

pub fn incorrect_state(object: &str, property: &str, actual: Value, expected: Value) -> RpcError {
    RpcError::new(ErrorCode::INCORRECT_STATE, "incorrect state")
        .with_data(json!({ "actual": actual, "expected": expected, "object": object, "property": property }))
}

/// The contract's error for a XAPI code that has one; references become the ids that clients know.
fn translate(fault: &Fault, inventory: &Store) -> Option<RpcError> {
    let id = |index: usize| match inventory.get(fault.param(index)) {
        Some(object) => object.id.to_string(),
        None => fault.param(index).to_owned(),
    };
    let error = |code, message: &str, data| Some(RpcError::new(code, message).with_data(data));
    match fault.code.as_str() {
        "HOST_OFFLINE" => error(
            ErrorCode::HOST_OFFLINE,
            "host offline",
            json!({ "objectId": id(0) }),
        ),
        "NO_HOSTS_AVAILABLE" => Some(RpcError::new(ErrorCode::NO_HOSTS_AVAILABLE, "no hosts available")),
        "NOT_SUPPORTED_DURING_UPGRADE" => Some(RpcError::new(
            ErrorCode::NOT_SUPPORTED_DURING_UPGRADE,
            "not supported during upgrade",
        )),
        "OPERATION_BLOCKED" => error(
            ErrorCode::OPERATION_BLOCKED,
            "operation blocked",
            json!({ "objectId": id(0), "code": fault.param(1) }),
        ),
        "PATCH_PRECHECK_FAILED_ISO_MOUNTED" => error(
            ErrorCode::PATCH_PRECHECK_FAILED,
            "patch precheck failed: isoMounted",
            json!({ "objectId": id(0), "errorType": "isoMounted" }),
        ),
        "PIF_VLAN_EXISTS" => error(
            ErrorCode::OBJECT_ALREADY_EXISTS,
            "PIF already exists",
            json!({ "objectId": id(0), "objectType": "PIF" }),
        ),
        "SESSION_AUTHENTICATION_FAILED" => Some(RpcError::new(
            ErrorCode::AUTHENTICATION_FAILED,
            "authentication failed",
        )),
        "VDI_IN_USE" => error(
            ErrorCode::VDI_IN_USE,
            "VDI in use",
            json!({ "objectId": id(0), "operation": fault.param(1) }),
        ),
        "VM_BAD_POWER_STATE" => error(
            ErrorCode::VM_BAD_POWER_STATE,
            &format!("VM state is {} but should be {}", fault.param(2), fault.param(1)),
            json!({ "objectId": id(0), "expected": fault.param(1), "actual": fault.param(2) }),
        ),
        "VM_IS_TEMPLATE" => error(
            ErrorCode::VM_IS_TEMPLATE,
            "VM is a template",
            json!({ "objectId": id(0) }),
        ),
        "VM_LACKS_FEATURE" | "VM_LACKS_FEATURE_SHUTDOWN" => {
            let feature = if fault.code.ends_with("SHUTDOWN") {
                "shutdown"
            } else {
                fault.param(1)
            };
            error(
                ErrorCode::VM_LACKS_FEATURE,
                &format!("VM lacks feature {feature}"),
                json!({ "objectId": id(0), "feature": feature }),
            )
        }
        "VM_MISSING_PV_DRIVERS" => error(
            ErrorCode::VM_MISSING_PV_DRIVERS,
            "missing PV drivers",
            json!({ "objectId": id(0) }),
        ),
        _ => None,
    }
}
