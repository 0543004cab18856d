//! What waits under a random name to be fetched or sent, once, and for whom.

use crate::{
    app::App,
    audit::Subject,
    auth::SignedIn,
    rpc::{
        connection::Connection,
        error::Failure,
        registry::{Call, Caller},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustc_hash::FxHashMap;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const KEPT: Duration = Duration::from_secs(300);
/// Of all users together.
const MOST: usize = 1_000;

/// Whoever asked for a link.
pub struct Owner {
    user_id: String,
    /// Of then.
    name: String,
    /// The session in which it was asked for, whether or not its socket is still open.
    connection: Arc<Connection>,
    /// From where it was asked for.
    address: String,
}

impl Owner {
    pub fn of(call: &Call) -> Result<Self, Failure> {
        Ok(Self {
            user_id: call.caller()?.id.clone(),
            name: call.caller()?.record.email.clone(),
            connection: call.connection.clone(),
            address: call.connection.address.clone(),
        })
    }

    /// A link is worth what its owner could get now: it ends as the session does in which it was asked for.
    pub async fn may_still(&self, app: &App) -> Result<(), String> {
        let gone = || Err("whoever asked for this link may not use it any more".to_owned());
        let Some(signed_in) = self.signed_in() else {
            return gone();
        };
        match app.accounts.still_opens(&signed_in).await {
            Ok(true) => Ok(()),
            Ok(false) => gone(),
            Err(error) => {
                tracing::warn!(%error, "a link was refused for want of the store");
                Err("the store cannot be used now: nothing was done".to_owned())
            }
        }
    }

    pub fn signed_in(&self) -> Option<SignedIn> {
        let signed_in = self.connection.signed_in();
        // Somebody else may have signed in over it since.
        signed_in.filter(|user| user.user_id == self.user_id)
    }

    /// As whom they fetch it, if they are still somebody.
    pub fn caller(&self, app: &App) -> Option<Caller> {
        let record = app.accounts.user(&self.user_id)?;
        Some(Caller {
            id: self.user_id.clone(),
            record,
        })
    }

    /// For the audit log; `address` is where the link was used.
    pub fn subject(&self, app: &App, address: String) -> Subject {
        let now = app.accounts.user(&self.user_id);
        let name = now.map_or_else(|| self.name.clone(), |now| now.email.clone());
        Subject {
            user_id: Some(self.user_id.clone()),
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
            *counts.entry(&ticket.owner.user_id).or_default() += 1;
        }
        let own = counts.get(owner.user_id.as_str()).copied().unwrap_or_default();
        let loser = if own >= self.most {
            Some(owner.user_id.clone())
        } else if tickets.len() >= MOST {
            let most = counts.iter().max_by_key(|(_, count)| **count);
            most.map(|(user, _)| (*user).to_owned())
        } else {
            None
        };
        let oldest = tickets
            .iter()
            .filter(|(_, ticket)| Some(&ticket.owner.user_id) == loser.as_ref())
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
            .retain(|_, ticket| ticket.owner.connection.id != connection);
    }
}
