//! The screen of a VM, as the host serves it on which the VM runs.

use super::{Pools, call::Pool, fingerprint};
use crate::inventory;
use std::collections::BTreeMap;
use xapi::{
    CallError, Client, Endpoint, OpaqueRef, Ref,
    records::{Host, Vm},
    stream::Upgraded,
    tls::Trust,
};

/// Why there is nothing to be seen.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Of the VM.
    #[error("{0}")]
    None(&'static str),
    #[error("the pool is not connected")]
    NotConnected,
    #[error("the host does not show it: {0}")]
    Host(#[from] CallError),
}

/// Where a console is.
struct Place {
    /// Of the host on which the VM runs, as its pool names it.
    address: String,
    path: String,
}

impl Pools {
    /// Opens the screen of this VM or control domain: a WebSocket in which the host speaks RFB.
    pub async fn open_console(&self, vm: &inventory::Object) -> Result<Upgraded, ConsoleError> {
        let (pool, members) = {
            let links = self.shared.links();
            let link = links.values().find(|link| link.source == vm.source);
            let link = link.ok_or(ConsoleError::NotConnected)?;
            let members = link.record.pool_members_fingerprints.clone().unwrap_or_default();
            (link.pool.clone().ok_or(ConsoleError::NotConnected)?, members)
        };
        let place = place(&pool, &vm.reference)?;
        // Who sees a screen may type: nothing for a pool that is only to be read.
        let client = pool.client_for("console").await?;
        let session = client.session().ok_or(CallError::NoSession)?;
        let host = on_host(client.endpoint(), &place.address, &members)?;
        Ok(Client::new(host)?.open_websocket(&session, &place.path).await?)
    }
}

fn place(pool: &Pool, vm: &OpaqueRef) -> Result<Place, ConsoleError> {
    pool.with_records(|cache| {
        let vm: &Vm = cache
            .get(&Ref::new(vm.clone()))
            .ok_or(ConsoleError::None("the VM is gone"))?;
        let disabled = vm.other_config.as_ref().and_then(|map| map.get("disable_pv_vnc"));
        if disabled.is_some_and(|disabled| disabled == "1") {
            return Err(ConsoleError::None("the console of this VM is disabled"));
        }
        let consoles = vm.consoles.iter().flat_map(|consoles| consoles.iter());
        let location = consoles
            .filter_map(|console| cache.get(console))
            .find(|console| console.protocol.as_deref() == Some("rfb"))
            .and_then(|console| console.location.as_deref())
            .ok_or(ConsoleError::None("the VM has no console: it does not run"))?;
        let wrong = || ConsoleError::None("the pool tells no place of the console");
        let (_, rest) = location.split_once("://").ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').ok_or_else(wrong)?);
        let resident: Option<&Host> = vm.resident_on.as_ref().and_then(|host| cache.get(host));
        let known = resident.and_then(|host| host.address.as_deref());
        let address = Some(authority)
            .filter(|authority| !authority.is_empty())
            .or(known);
        Ok(Place {
            address: address.ok_or_else(wrong)?.to_owned(),
            path: path.to_owned(),
        })
    })
}

/// This host of the pool: held to its own certificate, where certificates are pinned.
fn on_host(
    master: &Endpoint,
    address: &str,
    members: &BTreeMap<String, String>,
) -> Result<Endpoint, CallError> {
    let unusable = |reason: String| CallError::Transport { reason, sent: false };
    let url = Endpoint::on_host(&master.url, address)
        .ok_or_else(|| unusable(format!("{address} is no address")))?;
    let trust = match &master.trust {
        Trust::Pinned(_) if url != master.url => fingerprint::of_member(members, &master.url, &url)
            .map(Trust::Pinned)
            .ok_or_else(|| unusable(format!("the certificate of {url} is not known")))?,
        trust => trust.clone(),
    };
    Ok(Endpoint {
        url,
        trust,
        ..master.clone()
    })
}
