//! The typed methods that the web client and the tools call; wire names and shapes of contract/methods.md.
//!
//! A method that answers `undefined` in today's product answers `true`, hence `Output = bool`.

use super::Method;
use crate::model::light::LinkStatus;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $wire:literal ($params:ty) -> $output:ty;)*) => {$(
        $(#[$doc])*
        pub struct $name;
        impl Method for $name {
            const NAME: &'static str = $wire;
            type Params = $params;
            type Output = $output;
        }
    )*};
}

methods! {
    SignIn = "session.signIn" (Credentials) -> User;
    /// Ours: uses the HttpOnly `token` cookie that came with a same-origin WebSocket upgrade.
    SignInWithCookie = "session.signInWithCookie" (Empty) -> User;
    SignOut = "session.signOut" (Empty) -> bool;
    GetUser = "session.getUser" (Empty) -> User;
    GetServerVersion = "system.getServerVersion" (Empty) -> String;
    /// Every method by name, as [`MethodInfo`].
    GetMethodsInfo = "system.getMethodsInfo" (Empty) -> Map<String, Value>;
    GetMethodSignature = "system.methodSignature" (MethodName) -> Vec<MethodInfo>;
    TokenCreate = "token.create" (NewToken) -> String;
    TokenDeleteOwn = "token.deleteOwn" (Tokens) -> bool;
    /// Objects by id.
    GetAllObjects = "xo.getAllObjects" (ObjectsWanted) -> Map<String, Value>;

    ServerAdd = "server.add" (NewServer) -> String;
    ServerRemove = "server.remove" (Id) -> bool;
    ServerGetAll = "server.getAll" (Empty) -> Vec<Server>;
    ServerSet = "server.set" (ServerChange) -> bool;
    ServerEnable = "server.enable" (Id) -> bool;
    ServerDisable = "server.disable" (Id) -> bool;

    VmStart = "vm.start" (VmStartParams) -> bool;
    VmStop = "vm.stop" (VmForce) -> bool;
    VmRestart = "vm.restart" (VmForce) -> bool;
    VmSuspend = "vm.suspend" (Id) -> bool;
    VmResume = "vm.resume" (Id) -> bool;
    VmPause = "vm.pause" (Id) -> bool;
    VmUnpause = "vm.unpause" (Id) -> bool;
    VmSnapshot = "vm.snapshot" (VmSnapshotParams) -> String;
    VmRevert = "vm.revert" (Snapshot) -> bool;
    VmDelete = "vm.delete" (Id) -> bool;
    /// Params are `id` and the properties to change.
    VmSet = "vm.set" (Map<String, Value>) -> bool;

    TaskCancel = "task.cancel" (Id) -> bool;
    TaskDestroy = "task.destroy" (Id) -> bool;
    TagAdd = "tag.add" (Tag) -> bool;
    TagRemove = "tag.remove" (Tag) -> bool;
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Empty {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Id {
    pub id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub snapshot: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tag {
    pub id: String,
    pub tag: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Credentials {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MethodName {
    pub method: String,
}

/// What a method is for, and what it takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodInfo {
    pub description: String,
    /// By name; a method that declares none takes anything.
    pub params: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A number of ms, or a text such as `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tokens {
    pub tokens: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectsWanted {
    /// A pattern (an object) or a text of the filter language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmStartParams {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmForce {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VmSnapshotParams {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Take the memory too (checkpoint).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_memory: Option<bool>,
}

/// The signed-in user, as `session.signIn` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub id: String,
    pub email: String,
    #[serde(default)]
    pub groups: Vec<String>,
    /// `admin` or `none`.
    pub permission: String,
    #[serde(default)]
    pub preferences: Map<String, Value>,
    /// Who else vouches for the user, by name.
    #[serde(default, rename = "authProviders", skip_serializing_if = "Map::is_empty")]
    pub auth_providers: Map<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub id: String,
    pub name: String,
    /// Ids of its members.
    pub users: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_group_id: Option<String>,
    #[serde(default)]
    pub acl_role_ids: Vec<String>,
}

impl User {
    pub fn is_admin(&self) -> bool {
        self.permission == "admin"
    }
}

/// A registered server (pool), contract/objects.md section 18, with the freshness fields that are ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    pub id: String,
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub username: String,
    pub allow_unauthorized: bool,
    pub read_only: bool,
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<String>,
    /// Error of the last attempt: `{code?, message, ...}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    pub status: LinkStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_name_label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_name_description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_members_addresses: Option<Vec<String>>,
    /// Ours: SHA-256 of the certificate that is trusted, `AA:BB:...`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Ours: ms since epoch; when this status began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Ours: ms since epoch; last successful event fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<i64>,
    /// Ours: ms since epoch; the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewServer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub host: String,
    pub username: String,
    pub password: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_connect: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_unauthorized: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_proxy: Option<String>,
    /// Ours: `"first-use"` trusts and pins the certificate met at the first connection; a SHA-256
    /// fingerprint (`AA:BB:...`) pins that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// Changes to a server; `null` erases a property.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerChange {
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_unauthorized: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}
