//! Room for messages that are being worked on: what they take in memory is bounded for the server as a whole.
//!
//! A parsed message may be a hundred times as large as its text. What it will take is told from the text, before
//! it is parsed; a message that would take too much is refused, and one for which there is no room now waits, but
//! not for ever. Nobody takes more than what is left for the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::Notify, time::Instant};

/// Messages that take no more than that need no room: each client has a bounded number of them.
const SMALL: usize = 16 << 10;
/// What a value takes in an array or behind a name, the space of a growing list included.
const VALUE: usize = 160;
/// What the first member of an object, or the first of a list, makes room for.
const MEMBERS: usize = 700;
const ITEMS: usize = 160;

/// What a message will take, in bytes; never less than it does.
pub fn cost(message: &[u8]) -> usize {
    let (mut cost, mut in_text, mut escaped) = (2 * message.len(), false, false);
    for byte in message {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b',' => cost += VALUE,
            b'{' => cost += MEMBERS,
            b'[' => cost += ITEMS,
            _ => {}
        }
    }
    cost
}

#[derive(Default)]
struct State {
    taken: usize,
    by: HashMap<String, usize>,
}

pub struct Rooms {
    all: usize,
    state: Mutex<State>,
    freed: Notify,
}

/// There was none in time.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRoom;

/// Taken until it is dropped.
pub struct Room {
    rooms: Arc<Rooms>,
    owner: String,
    bytes: usize,
}

impl Rooms {
    pub fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            state: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// Of one message, and of all of one owner.
    pub fn share(&self) -> usize {
        self.all / 4
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn try_take(self: &Arc<Self>, owner: &str, bytes: usize) -> Option<Room> {
        let mut state = self.state();
        let own = state.by.get(owner).copied().unwrap_or_default();
        // The more is taken, the less one owner gets: some together cannot leave nothing for the next one.
        let free = self.all - state.taken;
        if bytes > free || own + bytes > self.share() || (own > 0 && own + bytes > free) {
            return None;
        }
        state.taken += bytes;
        state.by.insert(owner.to_owned(), own + bytes);
        Some(Room {
            rooms: self.clone(),
            owner: owner.to_owned(),
            bytes,
        })
    }

    /// Waits for room, until then; `None` when none is needed, or when it is so much that there never will be any.
    pub async fn take(
        self: &Arc<Self>,
        owner: &str,
        bytes: usize,
        until: Instant,
    ) -> Result<Option<Room>, NoRoom> {
        if bytes <= SMALL || bytes > self.share() {
            return Ok(None);
        }
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(room) = self.try_take(owner, bytes) {
                return Ok(Some(room));
            }
            tokio::time::timeout_at(until, freed).await.map_err(|_| NoRoom)?;
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.rooms.state();
        state.taken -= self.bytes;
        if let Some(own) = state.by.get_mut(&self.owner) {
            *own -= self.bytes;
            if *own == 0 {
                state.by.remove(&self.owner);
            }
        }
        drop(state);
        self.rooms.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::time::Duration;

    #[test]
    fn the_cost_is_told_from_the_text() {
        assert_eq!(cost(b"{}"), 4 + MEMBERS);
        assert_eq!(cost(br#"["a,{[\"","b"]"#), 2 * 14 + ITEMS + VALUE);
        assert!(cost("{\"\":0},".repeat(1_000).as_bytes()) > 800_000);
        assert!(cost("x".repeat(1_000).as_bytes()) < 3_000);
    }

    #[tokio::test]
    async fn room_is_shared_and_comes_back() {
        let rooms = Rooms::new(400 << 10);
        let take = |owner: &'static str, bytes| {
            let until = Instant::now() + Duration::from_millis(50);
            let rooms = rooms.clone();
            async move { rooms.take(owner, bytes, until).await }
        };
        let taken = |owner, bytes| take(owner, bytes).now_or_never().and_then(Result::ok).flatten();
        let (small, large) = (SMALL, 60 << 10);
        assert!(taken("a", small).is_none(), "what is small needs none");
        assert!(taken("a", 101 << 10).is_none(), "there is never so much");
        let first = taken("a", large).expect("room");
        assert!(taken("a", large).is_none(), "a has its share");
        let others: Vec<Room> = ["b", "c", "d", "e", "f"]
            .iter()
            .filter_map(|owner| taken(owner, large))
            .collect();
        assert_eq!(others.len(), 5);
        assert!(
            take("g", large).await.is_err(),
            "all of it is taken, and stays taken"
        );
        let waiting = tokio::spawn({
            let (rooms, until) = (rooms.clone(), Instant::now() + Duration::from_secs(60));
            async move { rooms.take("g", large, until).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.expect("ran").expect("in time").is_some());
        drop(others);
        let state = rooms.state();
        assert_eq!((state.taken, state.by.len()), (0, 0));
    }

    #[test]
    fn a_few_together_leave_something_for_the_next_one() {
        let rooms = Rooms::new(400 << 10);
        let mut held = Vec::new();
        for owner in ["a", "b", "c", "d", "e", "f"] {
            while let Some(room) = rooms.try_take(owner, 2 << 10) {
                held.push(room);
            }
        }
        let next = rooms.try_take("g", 2 << 10);
        assert!(next.is_some(), "{} are taken", rooms.state().taken);
    }
}
