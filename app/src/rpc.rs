//! JSON-RPC 2.0: envelope, error codes, and the typed methods that the web client calls.

pub mod error;
pub mod methods;
pub mod view;

pub use error::{ErrorCode, RpcError};

use serde::{Serialize, de::DeserializeOwned};

/// A method with its types. The name is the wire name.
pub trait Method {
    const NAME: &'static str;
    type Params: Serialize + DeserializeOwned;
    type Output: Serialize + DeserializeOwned;
}
