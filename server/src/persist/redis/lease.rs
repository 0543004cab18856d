//! Taking the lease: a connection is of use only with it.

use super::{
    key,
    link::{Known, Link, is_away},
    scripts::{ACQUIRE, HEAD, OWNER},
};
use crate::persist::{StoreError, collections};
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::time::timeout;

/// What a taken lease shows of the store.
pub(super) struct Head {
    pub(super) layout: Option<String>,
    pub(super) known: Known,
}

/// Why a lease was not taken.
pub(super) enum Refusal {
    /// Worth another attempt.
    Later(StoreError),
    Final(StoreError),
}

impl Refusal {
    pub(super) fn error(self) -> StoreError {
        match self {
            Self::Later(error) | Self::Final(error) => error,
        }
    }
}

fn holder(owner: &str) -> &str {
    owner.splitn(3, ' ').nth(2).unwrap_or(owner)
}

impl Link {
    /// Connects and takes the lease.
    pub(super) async fn attempt(
        &self,
        expected: &str,
    ) -> Result<(MultiplexedConnection, String, Head), Refusal> {
        let classify = |error: RedisError| {
            let text = error.to_string();
            if is_away(&error) {
                Refusal::Later(StoreError::Away(text))
            } else {
                Refusal::Final(StoreError::Unusable(text))
            }
        };
        let mut connection = self.address.connect(self.waits.answer).await.map_err(classify)?;
        // Who is not signed in is told so only when asking for little.
        let ping = redis::cmd("PING");
        match timeout(self.waits.answer, ping.exec_async(&mut connection)).await {
            Ok(answer) => answer.map_err(classify)?,
            Err(_) => return Err(Refusal::Later(StoreError::Away("no answer in time".to_owned()))),
        }
        let token = uuid::Uuid::new_v4().to_string();
        let collections = collections();
        let mut command = redis::cmd("EVAL");
        command.arg(ACQUIRE).arg(2 + collections.len());
        command.arg(OWNER).arg(HEAD);
        for collection in collections {
            command.arg(key(collection));
        }
        command.arg(&self.owner.id).arg(&token).arg(&self.owner.name);
        command.arg(self.lease()).arg(expected);
        let asking = command.query_async::<Vec<Option<String>>>(&mut connection);
        let answer = match timeout(self.waits.answer, asking).await {
            Ok(answer) => answer.map_err(classify)?,
            Err(_) => return Err(Refusal::Later(StoreError::Away("no answer in time".to_owned()))),
        };
        let mut answer = answer.into_iter();
        let mut next = || answer.next().flatten();
        match next().unwrap_or_default().as_str() {
            "held" => {}
            "owned" => {
                let owner = next().unwrap_or_default();
                return Err(Refusal::Later(StoreError::InUse(format!(
                    "another server writes to it ({})",
                    holder(&owner)
                ))));
            }
            "headless" => {
                return Err(Refusal::Final(StoreError::Unusable(format!(
                    "{} is there, but {HEAD} is not: part of the store was removed",
                    next().unwrap_or_default()
                ))));
            }
            _ => {
                return Err(Refusal::Later(StoreError::Lost(match next() {
                    Some(_) => "Redis came back with another store".to_owned(),
                    None => "Redis came back without our records".to_owned(),
                })));
            }
        }
        let layout = next();
        let known = Known {
            store: next().unwrap_or_default(),
            revision: next().and_then(|text| text.parse().ok()).unwrap_or(0),
            commit: next().unwrap_or_default(),
            pending: None,
        };
        let value = format!("{} {token} {}", self.owner.id, self.owner.name);
        Ok((connection, value, Head { layout, known }))
    }
}
