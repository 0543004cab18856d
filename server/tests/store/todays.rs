//! A Redis as today's product leaves it (contract/storage.md sections 1 to 4).

#![allow(dead_code)] // Each of the targets that share this file uses its own part of it.

use crate::redis_server::RedisServer;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The hashes are of the libraries that today's product uses, see `auth::password`.
pub const ARGON2: (&str, &str) = (
    "pässword of yore",
    "$argon2id$v=19$m=65536,t=3,p=4$XGlHPd8fOCrIgwbQGr6IkA$pfCGdlToqo96zV5ciXjg0XPyHV58pXN6wYR+eLhCuzo",
);
pub const BCRYPT: (&str, &str) = (
    "pässword of yore",
    "$2a$04$abcdefghijklmnopqrstuuWc6twB3jPMUqee3fXZBQb2BH0uMniha",
);
pub const ARGON2I: (&str, &str) = (
    "pässword of yore",
    "$argon2i$v=19$m=8192,t=2,p=2$tRUjvgrB36KNMghM8CWpbw$UBMCAgv8KYbt4VdLwKLLv1bo0paAMgSwUyf1jHC3ynQ",
);
/// A token's id is its secret.
pub const TOKEN: &str = "Wl8sXzT3mqQ1dD2y0n9b7vYcK5eJ6hRfGgUoIpAsLkM";
pub const EXPIRED: &str = "an-expired-token-an-expired-token-an-exp";

pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("later");
    u64::try_from(since.as_millis()).expect("not that late")
}

/// Namespace, id, and the record as it is stored.
pub fn records() -> Vec<(&'static str, &'static str, Value)> {
    let text = |value: Value| Value::String(value.to_string());
    vec![
        (
            "user",
            "u-root",
            json!({
                "email": "root@example.net", "pw_hash": ARGON2.1, "permission": "admin",
                "groups": text(json!(["g-ops"])),
                "preferences": text(json!({ "lang": "fr", "otp": "JBSWY3DPEHPK3PXP", "sshKeys": [{ "key": "ssh-rsa" }] })),
            }),
        ),
        (
            "user",
            "u-bob",
            json!({ "email": "Bob", "pw_hash": BCRYPT.1, "permission": "none", "groups": text(json!(["g-ops"])) }),
        ),
        (
            "user",
            "u-writer",
            json!({ "email": "writer", "pw_hash": ARGON2I.1, "permission": "write" }),
        ),
        (
            "user",
            "u-ldap",
            json!({ "email": "ldap@example.net", "permission": "none",
                    "authProviders": text(json!({ "ldap": { "id": "cn=ldap" } })) }),
        ),
        (
            "user",
            "u-broken",
            json!({ "email": "broken", "pw_hash": "md5:abc", "permission": "none" }),
        ),
        ("user", "u-nameless", json!({ "permission": "none" })),
        (
            "group",
            "g-ops",
            json!({ "name": "operators", "users": text(json!(["u-root", "u-gone"])) }),
        ),
        (
            "group",
            "g-ldap",
            json!({ "name": "from LDAP", "users": text(json!(["u-ldap"])), "provider": "ldap", "providerGroupId": "42" }),
        ),
        (
            "token",
            TOKEN,
            json!({ "user_id": "u-bob", "created_at": 1_600_000_000_000_u64, "expiration": now() + 3_600_000,
                    "description": "a script", "client": text(json!({ "id": "c-1" })), "client_id": "c-1",
                    "last_uses": { "10.0.0.1": { "timestamp": 1_600_000_000_500_u64 } } }),
        ),
        (
            "token",
            EXPIRED,
            json!({ "user_id": "u-bob", "created_at": 1, "expiration": 2 }),
        ),
        (
            "token",
            "of-nobody",
            json!({ "user_id": "u-gone", "expiration": now() + 3_600_000 }),
        ),
        (
            "acl",
            "AAAAAA",
            json!({ "subject": "u-bob", "object": "vm-1", "action": "operator" }),
        ),
        ("acl", "BBBBBB", json!({ "subject": "g-ops", "object": "pool-1" })),
        (
            "acl",
            "CCCCCC",
            json!({ "subject": "u-gone", "object": "pool-1", "action": "viewer" }),
        ),
        ("acl", "DDDDDD", json!({ "subject": "u-bob", "action": "viewer" })),
        (
            "server",
            "s-1",
            json!({ "host": "192.0.2.10", "username": "root", "password": "gehéim", "label": "Lyon",
                    "allowUnauthorized": "true", "enabled": "true", "error": text(json!({ "code": "X" })),
                    "httpProxy": "http://u:p@proxy:3128", "poolNameLabel": "lyon-1",
                    "poolMembersAddresses": text(json!(["192.0.2.11", "192.0.2.10"])) }),
        ),
        (
            "server",
            "s-2",
            json!({ "host": "192.0.2.20:8443", "username": "xo", "password": "p", "readOnly": "true" }),
        ),
        (
            "server",
            "s-3",
            json!({ "host": "not a host", "username": "xo", "password": "p" }),
        ),
        (
            "remote",
            "r-1",
            json!({ "name": "nas", "url": "smb://u:p4ss@nas\\share", "enabled": "true",
                                  "error": text(json!({})), "options": "vers=3" }),
        ),
        (
            "schedule",
            "sc-1",
            json!({ "cron": "0 0 * * *", "enabled": true, "job": "j-1", "timezone": "Europe/Paris" }),
        ),
        (
            "job",
            "j-1",
            json!({ "type": "backup", "name": "true", "mode": "delta", "vms": text(json!({ "id": "vm-1" })),
                    "settings": text(json!({ "": { "retention": 3 } })), "userId": "u-root", "runId": "now" }),
        ),
        (
            "plugin-metadata",
            "auth-ldap",
            json!({ "autoload": "true",
                                                 "configuration": text(json!({ "bind": { "password": "b1nd" } })) }),
        ),
        (
            "cloudConfig",
            "cc-1",
            json!({ "name": "web", "template": "#cloud-config\npassword: {name}\n" }),
        ),
        ("tag", "prod", json!({ "color": "#00ff00" })),
        (
            "proxy",
            "p-1",
            json!({ "name": "far", "address": "192.0.2.30", "vmUuid": "vm-9",
                                 "authenticationToken": "pr0xy-t0ken" }),
        ),
        (
            "acl-v2-role",
            "ro-1",
            json!({ "name": "mine", "description": "d" }),
        ),
        (
            "acl-v2-privilege",
            "pr-1",
            json!({ "roleId": "ro-1", "resource": "vm", "action": "read", "effect": "allow",
                                             "selector": "tags:prod" }),
        ),
        (
            "acl-v2-user-role",
            "ur-1",
            json!({ "userId": "u-bob", "roleId": "ro-1" }),
        ),
        (
            "acl-v2-group-role",
            "gr-1",
            json!({ "groupId": "g-ops", "roleId": "ro-1" }),
        ),
    ]
}

/// Writes them; some as the hashes of yore.
pub async fn fill(server: &RedisServer) {
    for (namespace, id, record) in records() {
        let key = format!("xo:{namespace}:{id}");
        let _: Value0 = server.ask(&["SADD", "xo::namespaces", namespace]).await;
        let _: Value0 = server
            .ask(&["SET", &format!("xo:{namespace}:version"), "20170905"])
            .await;
        let _: Value0 = server.ask(&["SADD", &format!("xo:{namespace}_ids"), id]).await;
        if ["u-writer", "s-2", EXPIRED].contains(&id) {
            for (name, value) in record.as_object().expect("a record") {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let _: Value0 = server.ask(&["HSET", &key, name, &value]).await;
            }
        } else {
            let _: Value0 = server.ask(&["SET", &key, &record.to_string()]).await;
        }
    }
    let _: Value0 = server.ask(&["SADD", "xo:user_email:bob", "u-bob"]).await;
    // What its own clean-up would drop.
    let _: Value0 = server.ask(&["SADD", "xo:tag_ids", "dangling"]).await;
    let _: Value0 = server.ask(&["SADD", "xo:tag_ids", "damaged"]).await;
    let _: Value0 = server.ask(&["SET", "xo:tag:damaged", "{"]).await;
}

pub type Value0 = redis::Value;

/// The same as a configuration export: records as they are meant.
pub fn export() -> Value {
    let entries = [
        ("user", "users"),
        ("group", "groups"),
        ("token", "authTokens"),
        ("acl", "acls"),
        ("server", "xenServers"),
        ("remote", "remotes"),
        ("schedule", "schedules"),
        ("job", "jobs"),
        ("plugin-metadata", "plugins"),
        ("cloudConfig", "cloudConfigs"),
        ("tag", "tags"),
        ("proxy", "proxies"),
        ("acl-v2-role", "roles"),
        ("acl-v2-privilege", "privileges"),
        ("acl-v2-user-role", "userRole"),
        ("acl-v2-group-role", "groupRole"),
    ];
    let mut export = json!({
        "resourceSets": [{ "id": "rs-1", "name": "team", "subjects": ["u-bob"], "objects": ["sr-1"],
                           "limits": { "cpus": { "total": 4, "usage": 1 } } }],
        "ipPools": [{ "id": "ip-1", "name": "lan", "networks": [], "addresses": { "10.0.0.1": {} } }],
    });
    for (namespace, entry) in entries {
        let mut list = Vec::new();
        for (_, id, mut record) in records().into_iter().filter(|(of, ..)| *of == namespace) {
            for (name, value) in record.as_object_mut().expect("a record") {
                // A job may be called "true".
                let inner = value
                    .as_str()
                    .filter(|_| name != "name")
                    .and_then(|text| serde_json::from_str(text).ok());
                *value = inner.unwrap_or(value.take());
            }
            record["id"] = id.into();
            list.push(record);
        }
        export[entry] = list.into();
    }
    export
}
