//! Logging in to the master of a pool, whichever of its hosts that is now.
//!
//! The host that led the pool last comes first, then the registered one: each is the master, or names the one
//! that it follows. When they say nothing, the other hosts of the pool are asked, as they were known when the
//! pool was heard last.

use super::{LinkError, Shared, fingerprint::FIRST_USE};
use crate::persist::records::ServerRecord;
use std::{collections::BTreeMap, sync::Arc};
use xapi::{Client, Endpoint, tls::Trust};

const ORIGINATOR: &str = "xen-orchestra";

/// A client that has logged in. `led` is the URL of the host that was the master last.
pub(super) async fn connect(shared: &Arc<Shared>, id: &str, led: Option<&str>) -> Result<Client, LinkError> {
    let record = shared
        .links()
        .get(id)
        .map(|link| link.record.clone())
        .ok_or(LinkError::Stopped)?;
    let members = record.pool_members_fingerprints.clone().unwrap_or_default();
    let mut search = Search {
        registered: endpoint(shared, id, record).await?,
        members: &members,
        failed: BTreeMap::new(),
    };
    let registered = search.registered.url.clone();
    if let Some(led) = led.filter(|led| *led != registered) {
        match search.log_in(led.to_owned()).await {
            Ok(client) => return Ok(client),
            Err(error) => tracing::debug!(server = %id, %led, %error, "the last master leads no more"),
        }
    }
    let error = match search.log_in(registered).await {
        Err(error @ (LinkError::Unreachable(_) | LinkError::Fault(_))) => error,
        other => return other,
    };
    for address in members.keys() {
        let Some(url) = Endpoint::on_host(&search.registered.url, address) else {
            continue;
        };
        match search.log_in(url).await {
            Ok(client) => return Ok(client),
            Err(error) => tracing::debug!(server = %id, %address, %error, "no help from another host"),
        }
    }
    Err(error)
}

struct Search<'a> {
    registered: Endpoint,
    /// Hosts of the pool, with the fingerprints of their certificates as the pool itself told them.
    members: &'a BTreeMap<String, String>,
    /// Hosts that were asked in vain.
    failed: BTreeMap<String, LinkError>,
}

impl Search<'_> {
    /// Logs in to this host, or to the master that it names.
    async fn log_in(&mut self, mut url: String) -> Result<Client, LinkError> {
        // A supporter names its master; a second answer of that kind is a pool in trouble.
        for _ in 0..2 {
            if let Some(error) = self.failed.get(&url) {
                return Err(error.clone());
            }
            let error = match self.ask(&url).await {
                Ok(client) => return Ok(client),
                Err(error) => error,
            };
            self.failed.insert(url.clone(), error.clone());
            match error {
                LinkError::Fault(fault) if fault.is("HOST_IS_SLAVE") => {
                    url = Endpoint::on_host(&url, fault.param(0)).ok_or(LinkError::Fault(fault))?;
                }
                error => return Err(error),
            }
        }
        Err(LinkError::Unreachable(
            "the host and its master each say that the other is the master".to_owned(),
        ))
    }

    async fn ask(&self, url: &str) -> Result<Client, LinkError> {
        let trust = self.trust(url).ok_or_else(|| LinkError::Untrusted {
            reason: format!(
                "this is not the master, and the certificate of {url} is not known: register that host"
            ),
            fingerprint: None,
        })?;
        let endpoint = Endpoint {
            url: url.to_owned(),
            trust,
            ..self.registered.clone()
        };
        let client = Client::new(endpoint).map_err(LinkError::from_call)?;
        match client.login().await.map_err(LinkError::from_call) {
            Ok(()) => Ok(client),
            // People look at the host that they registered: they must be told that it is another one.
            Err(LinkError::Untrusted { reason, fingerprint }) if url != self.registered.url => {
                Err(LinkError::Untrusted {
                    reason: format!("{url}, another host of the pool: {reason}"),
                    fingerprint,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Each host has a certificate of its own: a pin is good for one of them.
    fn trust(&self, url: &str) -> Option<Trust> {
        let registered = &self.registered;
        if url == registered.url || !matches!(registered.trust, Trust::Pinned(_)) {
            return Some(registered.trust.clone());
        }
        let known = self
            .members
            .iter()
            .find(|(address, _)| Endpoint::on_host(&registered.url, address).as_deref() == Some(url));
        let (_, fingerprint) = known.filter(|(_, fingerprint)| !fingerprint.is_empty())?;
        Some(Trust::Pinned(fingerprint.clone()))
    }
}

/// How the registered host is reached; learns its certificate where it is to be trusted at first use.
async fn endpoint(shared: &Arc<Shared>, id: &str, record: ServerRecord) -> Result<Endpoint, LinkError> {
    let invalid = |error: xapi::client::InvalidHost| LinkError::Unreachable(error.to_string());
    let mut endpoint = Endpoint {
        url: Endpoint::parse_url(&record.host).map_err(invalid)?,
        password: shared
            .secrets
            .unseal(&record.sealed_password)
            .ok_or(LinkError::Unsealable)?,
        user: record.username,
        trust: Trust::Authorities,
        proxy: match &record.sealed_http_proxy {
            Some(sealed) => Some(shared.secrets.unseal(sealed).ok_or(LinkError::Unsealable)?),
            None => None,
        },
        originator: ORIGINATOR.to_owned(),
    };
    endpoint.trust = match record.fingerprint.as_deref() {
        _ if record.allow_unauthorized => Trust::Anyone,
        None => Trust::Authorities,
        Some(FIRST_USE) if endpoint.url.starts_with("https") => {
            let met = Client::new(Endpoint {
                trust: Trust::Anyone,
                ..endpoint.clone()
            })
            .map_err(LinkError::from_call)?
            .meet()
            .await
            .map_err(LinkError::from_call)?;
            let kept = shared
                .amend(id, {
                    let met = met.clone();
                    move |record| record.fingerprint = Some(met)
                })
                .await;
            kept.map_err(|error| LinkError::Unreachable(error.to_string()))?;
            Trust::Pinned(met)
        }
        Some(FIRST_USE) => Trust::Authorities,
        Some(fingerprint) => Trust::Pinned(fingerprint.to_owned()),
    };
    Ok(endpoint)
}
