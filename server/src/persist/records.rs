//! The records that are kept, as they are written. A field that is added needs a default.

use super::{Record, murmur};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserRecord {
    pub email: String,
    /// PHC string.
    pub password_hash: Option<String>,
    /// `admin` or `none`.
    pub permission: String,
    pub groups: Vec<String>,
    pub preferences: Map<String, Value>,
    /// Who else vouches for the user: name of the provider to what it knows of the user (`id`). A user has
    /// either these or a password.
    pub auth_providers: BTreeMap<String, Map<String, Value>>,
    /// SHA-256 of the hash of before, if the present one is of the same password: sessions rest upon both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_from: Option<String>,
    /// Secret of the one-time passwords (base32), sealed.
    pub sealed_otp: Option<String>,
    /// The step of the last one-time password that was used: neither it nor an earlier one is good again.
    #[serde(skip_serializing_if = "is_zero")]
    pub used_otp: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record for UserRecord {
    const COLLECTION: &'static str = "users";
}

/// A token; its id is the SHA-256 of the secret, which is not kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenRecord {
    pub user_id: String,
    /// ms since epoch, as `expiration`.
    pub created_at: i64,
    pub expiration: i64,
    pub description: Option<String>,
    pub client_id: Option<String>,
    /// It is what a browser's cookie holds: it ends when the password changes, as what people made for programs does not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub of_browser: bool,
    /// Address to ms since epoch.
    pub last_uses: BTreeMap<String, i64>,
}

impl Record for TokenRecord {
    const COLLECTION: &'static str = "tokens";
}

/// A registered server (one pool).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerRecord {
    pub host: String,
    pub label: Option<String>,
    pub username: String,
    /// Sealed by `persist::secrets`.
    pub sealed_password: String,
    pub allow_unauthorized: bool,
    pub read_only: bool,
    pub enabled: bool,
    /// URL of the proxy, sealed: it may hold a password.
    pub sealed_http_proxy: Option<String>,
    /// `first-use` until a certificate was met, then its fingerprint.
    pub fingerprint: Option<String>,
    /// uuid of the pool to which it led last, with these credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    pub pool_name_label: Option<String>,
    pub pool_name_description: Option<String>,
    /// Of its hosts, sorted.
    pub pool_members_addresses: Option<Vec<String>>,
    /// Of their certificates, by address; empty where the pool tells none.
    pub pool_members_fingerprints: Option<BTreeMap<String, String>>,
}

impl Record for ServerRecord {
    const COLLECTION: &'static str = "servers";
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupRecord {
    pub name: String,
    /// Ids of users.
    pub users: Vec<String>,
    /// Of a group that a directory keeps: the provider, and its name for the group.
    pub provider: Option<String>,
    pub provider_group_id: Option<String>,
}

impl Record for GroupRecord {
    const COLLECTION: &'static str = "groups";
}

/// A right: who, on what, may do what. Its id follows from the three, so that none is there twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct AclRecord {
    /// A user or a group.
    pub subject: String,
    /// An object of the inventory.
    pub object: String,
    /// A role (`viewer`, `operator`, `admin`) or the name of a permission.
    pub action: String,
}

impl AclRecord {
    /// As today's product names it, so that clients that keep ids find their rights again.
    pub fn id(&self) -> String {
        let mut hash = murmur::Hash::default();
        for text in [&self.subject, &self.object, &self.action] {
            hash.add(&Value::from(text.as_str()).to_string());
        }
        URL_SAFE_NO_PAD.encode(hash.result().to_le_bytes())
    }
}

impl Record for AclRecord {
    const COLLECTION: &'static str = "acls";
}

/// What is known of a tag; its id is the tag.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TagRecord {
    pub color: Option<String>,
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Record for TagRecord {
    const COLLECTION: &'static str = "tags";
}

/// Kept as they are for modules that come later. Members named `sealed_...` are sealed secrets.
macro_rules! kept {
    ($($(#[$about:meta])* $name:ident $collection:literal)*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Map<String, Value>);

        impl Record for $name {
            const COLLECTION: &'static str = $collection;
        }
    )*};
}

kept! {
    ScheduleRecord "schedules"
    JobRecord "jobs"
    /// `sealed_url`: it may hold a password.
    RemoteRecord "remotes"
    /// The id is the plugin's name; `sealed_configuration` is JSON.
    PluginRecord "plugins"
    CloudConfigRecord "cloud_configs"
    /// `sealed_authentication_token`.
    ProxyRecord "proxies"
    ResourceSetRecord "resource_sets"
    IpPoolRecord "ip_pools"
    RoleRecord "acl_v2_roles"
    PrivilegeRecord "acl_v2_privileges"
    UserRoleRecord "acl_v2_user_roles"
    GroupRoleRecord "acl_v2_group_roles"
}

/// Every collection of records.
pub const COLLECTIONS: &[&str] = &[
    UserRecord::COLLECTION,
    TokenRecord::COLLECTION,
    ServerRecord::COLLECTION,
    GroupRecord::COLLECTION,
    AclRecord::COLLECTION,
    TagRecord::COLLECTION,
    ScheduleRecord::COLLECTION,
    JobRecord::COLLECTION,
    RemoteRecord::COLLECTION,
    PluginRecord::COLLECTION,
    CloudConfigRecord::COLLECTION,
    ProxyRecord::COLLECTION,
    ResourceSetRecord::COLLECTION,
    IpPoolRecord::COLLECTION,
    RoleRecord::COLLECTION,
    PrivilegeRecord::COLLECTION,
    UserRoleRecord::COLLECTION,
    GroupRoleRecord::COLLECTION,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are of the npm package `multikey-hash` 1.0.4, which today's product uses.
    #[test]
    fn a_right_has_the_id_that_it_has_today() {
        for ([subject, object, action], id) in [
            (["", "", ""], "oxlvrw"),
            (["a", "b", "c"], "mNrrWg"),
            (
                [
                    "1b2f6a0e-5c5e-4f43-9a59-3f8b3f4a3a10",
                    "0f6a2b1c-aaaa-bbbb-cccc-0123456789ab",
                    "admin",
                ],
                "XOUkzA",
            ),
            (
                [
                    "1b2f6a0e-5c5e-4f43-9a59-3f8b3f4a3a10",
                    "0f6a2b1c-aaaa-bbbb-cccc-0123456789ab",
                    "viewer",
                ],
                "iIl7og",
            ),
            (["üser", "obj\"ect\n", "operator"], "qBrWOA"),
            (["日本", "語", "жё"], "R9KHAA"),
            (["x😀", "\u{8001}\u{9fff}", "view\u{9fff}\u{9000}"], "IcVixw"),
            (["\u{9fff}", "\u{9fff}\u{9fff}", "é"], "L020NA"),
            (["\u{1}", "\\", "\u{7f}"], "6RZrSQ"),
            (["\u{9fff}a", "bb", "\u{8123}"], "ARfyYw"),
        ] {
            let right = AclRecord {
                subject: subject.to_owned(),
                object: object.to_owned(),
                action: action.to_owned(),
            };
            assert_eq!(right.id(), id, "{right:?}");
        }
    }
}
