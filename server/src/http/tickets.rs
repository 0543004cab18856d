//! Things that wait in memory for the browser that they were made for: what is left of a sign-in, a secret that is
//! to be confirmed, one that is shown once. A ticket is a random name; it is good for a few minutes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub const VALIDITY: Duration = Duration::from_secs(5 * 60);
/// Beyond, the oldest are forgotten first.
const MOST: usize = 10_000;

pub struct Tickets<T> {
    waiting: Mutex<HashMap<String, (Instant, T)>>,
    most: usize,
}

impl<T> Default for Tickets<T> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            most: MOST,
        }
    }
}

impl<T> Tickets<T> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, (Instant, T)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a new ticket.
    pub fn issue(&self, value: T) -> String {
        let name = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let mut waiting = self.waiting();
        if waiting.len() >= self.most {
            waiting.retain(|_, (since, _)| since.elapsed() < VALIDITY);
        }
        if waiting.len() >= self.most {
            let oldest = waiting.iter().min_by_key(|(_, (since, _))| *since);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| waiting.remove(&name));
        }
        waiting.insert(name.clone(), (Instant::now(), value));
        name
    }

    /// What waits under that name, and may be changed.
    pub fn look<R>(&self, name: &str, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        let mut waiting = self.waiting();
        let (since, value) = waiting.get_mut(name)?;
        if since.elapsed() >= VALIDITY {
            waiting.remove(name);
            return None;
        }
        Some(look(value))
    }

    pub fn take(&self, name: &str) -> Option<T> {
        let (since, value) = self.waiting().remove(name)?;
        (since.elapsed() < VALIDITY).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_taken_once_and_there_are_only_so_many() {
        let tickets = Tickets {
            most: 2,
            ..Tickets::default()
        };
        let first = tickets.issue(1);
        assert_eq!(tickets.look(&first, |value| *value), Some(1));
        assert_eq!(tickets.take(&first), Some(1));
        assert_eq!(tickets.take(&first), None);
        let names = [2, 3, 4].map(|value| tickets.issue(value));
        let left = names.map(|name| tickets.take(&name));
        assert_eq!(left, [None, Some(3), Some(4)]);
        assert_eq!(tickets.take(""), None);
    }
}
