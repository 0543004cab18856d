//! Every path of the web client, typed: nothing else spells one.

/// WebSocket endpoint of the JSON-RPC API.
pub const API: &str = "/api/";
pub const SIGN_IN: &str = "/signin";
pub const SIGN_IN_LOCAL: &str = "/signin/local";
pub const SIGN_OUT: &str = "/signout";
pub const SIGN_IN_OTP: &str = "/signin/otp";
pub const ADMIN: &str = "/admin";
pub const ADMIN_SERVERS: &str = "/admin/servers";
pub const ADMIN_USERS: &str = "/admin/users";
pub const ADMIN_GROUPS: &str = "/admin/groups";
pub const ADMIN_RIGHTS: &str = "/admin/rights";
pub const ADMIN_TOKENS: &str = "/admin/tokens";
pub const ADMIN_CONNECTIONS: &str = "/admin/connections";
pub const ADMIN_AUDIT: &str = "/admin/audit";
pub const ACCOUNT: &str = "/account";
pub const ACCOUNT_OTP: &str = "/account/otp";
pub const STYLE_SHEET: &str = "/pkg/xo.css";
pub const CLIENT_SCRIPT: &str = "/pkg/xo.js";
pub const CLIENT_MODULE: &str = "/pkg/xo.wasm";

/// A place in the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Vms,
    Hosts,
    Pools,
    Tasks,
    Servers,
    Vm(String),
    Host(String),
    Pool(String),
}

impl Route {
    pub fn path(&self) -> String {
        match self {
            Route::Vms => "/vms".into(),
            Route::Hosts => "/hosts".into(),
            Route::Pools => "/pools".into(),
            Route::Tasks => "/tasks".into(),
            Route::Servers => "/administration/servers".into(),
            Route::Vm(id) => format!("/vms/{id}"),
            Route::Host(id) => format!("/hosts/{id}"),
            Route::Pool(id) => format!("/pools/{id}"),
        }
    }

    /// The path of a tab of this object; the first tab is the object's own path.
    pub fn tab(&self, tab: &str) -> String {
        if tab.is_empty() {
            self.path()
        } else {
            format!("{}/{tab}", self.path())
        }
    }

    /// The list with that filter.
    pub fn filtered(&self, filter: &str) -> String {
        format!("{}?s={}", self.path(), encoded(filter))
    }
}

/// A text as it stands in the query or as one step of the path of an address.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => encoded.push(byte as char),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn paths() {
        assert_eq!(Route::Vm("a".into()).tab("snapshots"), "/vms/a/snapshots");
        assert_eq!(Route::Vm("a".into()).tab(""), "/vms/a");
        assert_eq!(Route::Vms.filtered("$pool:lab a"), "/vms?s=%24pool%3Alab%20a");
    }
}
