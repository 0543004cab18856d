//! Our records as today's product exports its own, so that it, or another server of ours, can import them.

use super::{KINDS, TransferError, kept};
use crate::persist::{
    RawRecord, Store,
    records::{AclRecord, GroupRecord, ServerRecord, UserRecord},
    secrets::Secrets,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The chosen parts (all, when none is named) and those that they refer to. Passwords of pools are in it in
/// clear, as in today's. Tokens are not: we do not know their secrets.
pub async fn export_config(
    store: &Store,
    secrets: &Secrets,
    entries: Option<&[String]>,
) -> Result<Map<String, Value>, TransferError> {
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    match entries {
        None => chosen.extend(KINDS.iter().map(|kind| kind.entry)),
        Some(entries) => {
            for entry in entries {
                choose(entry, &mut chosen)?;
            }
        }
    }
    let mut export = Map::new();
    for kind in KINDS.iter().filter(|kind| chosen.contains(kind.entry)) {
        let mut records = Vec::new();
        if kind.entry != "authTokens" {
            for (id, mut record) in store.list_raw(kind.collection).await? {
                secrets.unseal_members(&mut record).map_err(|member| {
                    TransferError::Sealed(format!("{member} of {id} in {}", kind.collection))
                })?;
                records.push(theirs(kind.entry, &id, record)?);
            }
        }
        export.insert(kind.entry.to_owned(), records.into());
    }
    Ok(export)
}

fn choose(entry: &str, chosen: &mut BTreeSet<&'static str>) -> Result<(), TransferError> {
    let kind = KINDS.iter().find(|kind| kind.entry == entry);
    let kind = kind.ok_or_else(|| TransferError::UnknownEntry(entry.to_owned()))?;
    chosen.insert(kind.entry);
    for needed in kind.needs {
        choose(needed, chosen)?;
    }
    Ok(())
}

/// Members that say nothing are left out there.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        other => other,
    }
}

fn theirs(entry: &str, id: &str, record: RawRecord) -> Result<Value, TransferError> {
    fn typed<T: serde::de::DeserializeOwned>(id: &str, record: RawRecord) -> Result<T, TransferError> {
        serde_json::from_value(Value::Object(record)).map_err(|source| {
            TransferError::Store(crate::persist::StoreError::Unreadable {
                collection: "export",
                id: id.to_owned(),
                source,
            })
        })
    }
    Ok(without_nothing(match entry {
        "users" => {
            let user: UserRecord = typed(id, record)?;
            let mut preferences = user.preferences;
            if let Some(otp) = user.sealed_otp {
                preferences.insert("otp".to_owned(), otp.into());
            }
            json!({
                "id": id,
                "email": user.email,
                "pw_hash": user.password_hash,
                "permission": user.permission,
                "groups": user.groups,
                "preferences": preferences,
                "authProviders": (!user.auth_providers.is_empty()).then_some(user.auth_providers),
            })
        }
        "groups" => {
            let group: GroupRecord = typed(id, record)?;
            json!({
                "id": id,
                "name": group.name,
                "users": group.users,
                "provider": group.provider,
                "providerGroupId": group.provider_group_id,
            })
        }
        "acls" => {
            let right: AclRecord = typed(id, record)?;
            json!({ "id": id, "subject": right.subject, "object": right.object, "action": right.action })
        }
        "xenServers" => {
            let server: ServerRecord = typed(id, record)?;
            json!({
                "id": id,
                "host": server.host,
                "username": server.username,
                "password": server.sealed_password,
                "label": server.label,
                "allowUnauthorized": server.allow_unauthorized,
                "enabled": server.enabled,
                "readOnly": server.read_only,
                "httpProxy": server.sealed_http_proxy,
                "poolNameLabel": server.pool_name_label,
                "poolNameDescription": server.pool_name_description,
                "poolMembersAddresses": server.pool_members_addresses,
            })
        }
        _ => Value::Object(kept::theirs(entry, id, record)),
    }))
}
