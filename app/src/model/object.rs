//! What every published object begins with, and the macro that declares the rest of it.

use super::{kind::ObjectType, values::Text};
use serde::{Deserialize, Serialize};

/// The properties that all objects share (contract/objects.md section 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head<'a> {
    pub id: Text<'a>,
    #[serde(rename = "type")]
    pub kind: ObjectType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Text<'a>>,
    #[serde(rename = "$pool")]
    pub pool: Text<'a>,
    /// The same as `$pool`; clients of old still read it.
    #[serde(rename = "$poolId")]
    pub pool_id: Text<'a>,
    #[serde(rename = "_xapiRef")]
    pub xapi_ref: Text<'a>,
}

/// Declares the properties of an object type: each may be absent, none is ever lost for another's sake.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident = $wire:literal: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name<'a> {
            $(
                $(#[$field_doc])*
                #[serde(rename = $wire, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$kind>,
            )*
            #[serde(skip)]
            pub borrowed: std::marker::PhantomData<&'a ()>,
        }

        impl $name<'_> {
            /// The properties of this type, besides those of [`Head`](crate::model::object::Head).
            pub const PROPERTIES: &'static [&'static str] = &[$($wire),*];
        }
    };
}
pub(crate) use object;
