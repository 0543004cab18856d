//! What is told of a link: by `server.getAll`, and in the `lists` view.

use super::{Link, LinkError};
use crate::persist::secrets::Secrets;
use app::{model::light::LinkRow, rpc::methods::Server};

pub(super) fn server(id: &str, link: &Link, secrets: &Secrets) -> Server {
    let (record, state) = (&link.record, &link.state);
    Server {
        id: id.to_owned(),
        host: record.host.clone(),
        label: record.label.clone().or_else(|| record.pool_name_label.clone()),
        username: record.username.clone(),
        allow_unauthorized: record.allow_unauthorized,
        read_only: record.read_only,
        enabled: record.enabled,
        http_proxy: record
            .sealed_http_proxy
            .as_deref()
            .and_then(|sealed| secrets.unseal(sealed)),
        error: state.error.as_ref().map(LinkError::to_json),
        status: state.status,
        pool_id: state.pool_id.as_deref().map(str::to_owned),
        master: state.master.clone(),
        pool_name_label: record.pool_name_label.clone(),
        pool_name_description: record.pool_name_description.clone(),
        pool_members_addresses: record.pool_members_addresses.clone(),
        fingerprint: record.fingerprint.clone(),
        since: Some(state.since),
        last_event: state.last_event,
        next_attempt: state.next_attempt,
    }
}

pub(super) fn row(id: &str, link: &Link) -> LinkRow {
    let (record, state) = (&link.record, &link.state);
    LinkRow {
        id: id.to_owned(),
        label: record
            .label
            .clone()
            .or_else(|| record.pool_name_label.clone())
            .unwrap_or_else(|| record.host.clone()),
        host: record.host.clone(),
        enabled: record.enabled,
        status: state.status,
        pool_id: state.pool_id.as_deref().map(str::to_owned),
        error: state.error.as_ref().map(ToString::to_string),
        since: state.since,
        last_event: state.last_event,
        next_attempt: state.next_attempt,
    }
}
