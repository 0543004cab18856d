//! From an earlier layout of the records to the present one. They are read as JSON: the types are of today.

use super::{Backend, Change, StoreError, secrets::Secrets};
use serde_json::{Map, Value};

/// What is to be changed in a store of the version `found`; 0 is a new one.
pub(super) async fn changes(
    backend: &dyn Backend,
    secrets: &Secrets,
    found: u32,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    if found == 1 {
        seal_proxies(backend, secrets, &mut changes).await?;
    }
    Ok(changes)
}

/// Version 2: the URL of a server's proxy is sealed, as the server's password is.
async fn seal_proxies(
    backend: &dyn Backend,
    secrets: &Secrets,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    const SERVERS: &str = "servers";
    for (id, value) in backend.list(SERVERS).await? {
        let mut record: Map<String, Value> =
            serde_json::from_slice(&value).map_err(|source| StoreError::Unreadable {
                collection: SERVERS,
                id: id.clone(),
                source,
            })?;
        let Some(proxy) = record.remove("http_proxy") else {
            continue;
        };
        if let Some(proxy) = proxy.as_str() {
            record.insert("sealed_http_proxy".to_owned(), secrets.seal(proxy).into());
        }
        changes.push(Change {
            collection: SERVERS,
            id,
            value: Some(Value::Object(record).to_string().into_bytes()),
        });
    }
    Ok(())
}
