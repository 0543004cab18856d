//! What waits under a random name to be fetched or sent, once, and for whom.

use crate::{
    app::App,
    audit::Subject,
    auth::SignedIn,
    rpc::{
        error::{Failure, unauthorized},
        registry::{Call, Caller},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustc_hash::FxHashMap;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const KEPT: Duration = Duration::from_secs(300);
/// Of all users together.
const MOST: usize = 1_000;

/// Whoever asked for a link.
pub struct Owner {
    signed_in: SignedIn,
    /// Of then.
    name: String,
    connection: u64,
    /// From where it was asked for.
    address: String,
}

impl Owner {
    pub fn of(call: &Call) -> Result<Self, Failure> {
        let signed_in = call.connection.signed_in();
        Ok(Self {
            signed_in: signed_in.ok_or_else(|| unauthorized(None, None))?,
            name: call.caller()?.record.email.clone(),
            connection: call.connection.id,
            address: call.connection.address.clone(),
        })
    }

    /// A link is worth what its owner could get now: it ends as the session does in which it was asked for.
    pub async fn may_still(&self, app: &App) -> Result<(), String> {
        match app.accounts.still_opens(&self.signed_in).await {
            Ok(true) => Ok(()),
            Ok(false) => Err("whoever asked for this link may not use it any more".to_owned()),
            Err(error) => {
                tracing::warn!(%error, "a link was refused for want of the store");
                Err("the store cannot be used now: nothing was done".to_owned())
            }
        }
    }

    /// As whom they fetch it, if they are still somebody.
    pub fn caller(&self, app: &App) -> Option<Caller> {
        let record = app.accounts.user(&self.signed_in.user_id)?;
        Some(Caller {
            id: self.signed_in.user_id.clone(),
            record,
        })
    }

    /// For the audit log; `address` is where the link was used.
    pub fn subject(&self, app: &App, address: String) -> Subject {
        let now = app.accounts.user(&self.signed_in.user_id);
        let name = now.map_or_else(|| self.name.clone(), |now| now.email.clone());
        Subject {
            user_id: Some(self.signed_in.user_id.clone()),
            user_name: Some(name),
            pseudonym: None,
            address,
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }
}

struct Ticket<T> {
    owner: Owner,
    item: T,
    until: Instant,
}

/// Items under random names.
pub struct OneTime<T> {
    tickets: Mutex<FxHashMap<String, Ticket<T>>>,
    /// Of one user.
    most: usize,
}

impl<T> OneTime<T> {
    pub fn new(most: usize) -> Self {
        Self {
            tickets: Mutex::default(),
            most,
        }
    }

    fn tickets(&self) -> MutexGuard<'_, FxHashMap<String, Ticket<T>>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the item for a while. Who has many loses the own oldest one; when all have, whoever has most does.
    pub fn issue(&self, owner: Owner, item: T) -> String {
        let name = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let mut tickets = self.tickets();
        let now = Instant::now();
        tickets.retain(|_, ticket| ticket.until > now);
        let mut counts: FxHashMap<&str, usize> = FxHashMap::default();
        for ticket in tickets.values() {
            *counts.entry(&ticket.owner.signed_in.user_id).or_default() += 1;
        }
        let own = counts
            .get(owner.signed_in.user_id.as_str())
            .copied()
            .unwrap_or_default();
        let loser = if own >= self.most {
            Some(owner.signed_in.user_id.clone())
        } else if tickets.len() >= MOST {
            let most = counts.iter().max_by_key(|(_, count)| **count);
            most.map(|(user, _)| (*user).to_owned())
        } else {
            None
        };
        let oldest = tickets
            .iter()
            .filter(|(_, ticket)| Some(&ticket.owner.signed_in.user_id) == loser.as_ref())
            .min_by_key(|(_, ticket)| ticket.until)
            .map(|(name, _)| name.clone());
        if let Some(oldest) = oldest {
            tickets.remove(&oldest);
        }
        let until = now + KEPT;
        tickets.insert(name.clone(), Ticket { owner, item, until });
        name
    }

    /// What is kept under this name, if anything is.
    pub fn take(&self, name: &str) -> Option<(Owner, T)> {
        let ticket = self.tickets().remove(name)?;
        (ticket.until > Instant::now()).then_some((ticket.owner, ticket.item))
    }

    pub fn end_session(&self, connection: u64) {
        self.tickets()
            .retain(|_, ticket| ticket.owner.connection != connection);
    }
}
