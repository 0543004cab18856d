//! Authentication tokens: 32 random bytes that only their owner knows; we keep their hash.

use crate::persist::{Change, Store, StoreError, records::TokenRecord};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustc_hash::FxHashSet;
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::{Mutex, OwnedMutexGuard};

const DAY_MS: i64 = 24 * 3_600_000;
pub const DEFAULT_VALIDITY_MS: i64 = 30 * DAY_MS;
pub const MAX_VALIDITY_MS: i64 = 183 * DAY_MS;
pub const MIN_VALIDITY_MS: i64 = 60_000;
/// A cookie without "remember me".
pub const SESSION_VALIDITY_MS: i64 = 10 * 3_600_000;
pub const LAST_USES: usize = 10;
/// A use is written at most this often per address: a busy client must not wear the disk.
const USE_RESOLUTION_MS: i64 = 60_000;

/// ms since epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry(pub i64);

pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("a user can have {0} tokens: delete some, or let them expire")]
    TooMany(usize),
    #[error("its user is gone")]
    NoUser,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a new token is to be.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    pub user_id: String,
    pub validity_ms: Option<i64>,
    pub description: Option<String>,
    pub client_id: Option<String>,
    /// For a browser's cookie.
    pub of_browser: bool,
}

pub struct Tokens {
    store: Store,
    /// Reading a token and writing it back is one step: or a use would bring a removed one back.
    turn: Arc<Mutex<()>>,
    /// Most tokens of one user.
    most: usize,
}

/// What a token is kept under.
pub fn id_of(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes()))
}

impl Tokens {
    pub fn new(store: Store, most: usize) -> Self {
        Self {
            store,
            turn: Arc::default(),
            most,
        }
    }

    /// Held while tokens are read and changed by somebody else.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        self.turn.clone().lock_owned().await
    }

    /// What removes all tokens of a user; whoever asks holds the turn.
    pub(super) async fn removals_of(&self, user_id: &str) -> Result<Vec<Change>, StoreError> {
        let own = self.list(Some(user_id)).await?;
        Ok(own
            .iter()
            .map(|(id, _)| Change::remove::<TokenRecord>(id))
            .collect())
    }

    /// Removes expired tokens, and those of nobody, and says how many there were.
    pub(super) async fn sweep(&self, is_known: impl Fn(&str) -> bool) -> Result<usize, StoreError> {
        let _turn = self.turn.lock().await;
        let now = now_ms();
        let all = self.store.list::<TokenRecord>().await?;
        let useless = |token: &TokenRecord| token.expiration <= now || !is_known(&token.user_id);
        let useless = all.iter().filter(|(_, token)| useless(token));
        let changes: Vec<Change> = useless.map(|(id, _)| Change::remove::<TokenRecord>(id)).collect();
        let count = changes.len();
        if count > 0 {
            self.store.commit(changes).await?;
        }
        Ok(count)
    }

    /// The secret of a new token. A client that names itself has one token per user: the earlier one is
    /// replaced, since its secret cannot be told again.
    pub(super) async fn create(
        &self,
        new: NewToken,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<String, TokenError> {
        let _turn = self.turn.lock().await;
        // Who is deleted takes its tokens along: another must not come behind.
        if !is_known(&new.user_id) {
            return Err(TokenError::NoUser);
        }
        let now = now_ms();
        let mut own = self.store.list::<TokenRecord>().await?;
        own.retain(|(_, token)| token.user_id == new.user_id);
        let replaced = |token: &TokenRecord| {
            token.expiration <= now || (new.client_id.is_some() && token.client_id == new.client_id)
        };
        let mut changes: Vec<Change> = own
            .iter()
            .filter(|(_, token)| replaced(token))
            .map(|(id, _)| Change::remove::<TokenRecord>(id))
            .collect();
        if own.len() - changes.len() >= self.most {
            return Err(TokenError::TooMany(self.most));
        }
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let record = TokenRecord {
            user_id: new.user_id,
            created_at: now,
            expiration: now.saturating_add(new.validity_ms.unwrap_or(DEFAULT_VALIDITY_MS)),
            description: new.description,
            client_id: new.client_id,
            of_browser: new.of_browser,
            last_uses: Default::default(),
        };
        changes.push(Change::put(&id_of(&secret), &record));
        self.store.commit(changes).await?;
        Ok(secret)
    }

    /// The user of a valid token.
    pub async fn use_token(
        &self,
        secret: &str,
        address: &str,
    ) -> Result<Option<(String, Expiry)>, StoreError> {
        let (store, id, address) = (self.store.clone(), id_of(secret), address.to_owned());
        // Whoever guesses takes no turns from those who know, and who comes often waits for none.
        match store.get::<TokenRecord>(&id).await? {
            None => return Ok(None),
            Some(token) if token.expiration > now_ms() && is_noted(&token, &address) => {
                return Ok(Some((token.user_id, Expiry(token.expiration))));
            }
            Some(_) => {}
        }
        let turn = self.turn().await;
        // To its end, and only then the next one's turn, also when nobody waits for it any more: a token that is
        // written late would come back after its removal.
        let using = tokio::spawn(async move {
            let _turn = turn;
            use_kept(&store, &id, address).await
        });
        using
            .await
            .unwrap_or_else(|error| Err(StoreError::Unusable(error.to_string())))
    }

    /// Whether a token is kept under this id.
    pub async fn is_there(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.store.get::<TokenRecord>(id).await?.is_some())
    }

    pub async fn get(&self, secret: &str) -> Result<Option<TokenRecord>, StoreError> {
        self.store.get(&id_of(secret)).await
    }

    /// All tokens; `user_id` limits to one owner's. The first member is the hash, not the secret.
    pub async fn list(&self, user_id: Option<&str>) -> Result<Vec<(String, TokenRecord)>, StoreError> {
        let mut tokens = self.store.list::<TokenRecord>().await?;
        tokens.retain(|(_, token)| user_id.is_none_or(|user| token.user_id == user));
        Ok(tokens)
    }

    /// Removes tokens by secret or by listed id; only those of `user_id` when given. Returns the ids.
    pub async fn remove(&self, names: &[String], user_id: Option<&str>) -> Result<Vec<String>, StoreError> {
        let mut named: FxHashSet<String> = names.iter().map(|name| id_of(name)).collect();
        named.extend(names.iter().cloned());
        let turn = self.turn().await;
        // Read once, however many names there are: everybody who signs in waits meanwhile.
        let known = self.list(user_id).await?;
        let changes: Vec<Change> = known
            .iter()
            .filter(|(id, _)| named.contains(id))
            .map(|(id, _)| Change::remove::<TokenRecord>(id))
            .collect();
        let removed: Vec<String> = changes.iter().map(|change| change.id.clone()).collect();
        if !removed.is_empty() {
            self.commit_in(turn, changes).await?;
        }
        Ok(removed)
    }

    /// The turn lasts until the change is made, also when nobody waits for it any more.
    async fn commit_in(&self, turn: OwnedMutexGuard<()>, changes: Vec<Change>) -> Result<(), StoreError> {
        let store = self.store.clone();
        let committing = tokio::spawn(async move {
            let _turn = turn;
            store.commit(changes).await
        });
        committing
            .await
            .unwrap_or_else(|error| Err(StoreError::Unusable(error.to_string())))
    }

    /// Ids of what the browsers of a user hold, but for the token of this id. Whoever asks holds the turn.
    pub(super) async fn of_browsers(
        &self,
        user_id: &str,
        but: Option<&str>,
    ) -> Result<Vec<String>, StoreError> {
        let mut own = self.list(Some(user_id)).await?;
        own.retain(|(id, token)| token.of_browser && but != Some(id));
        Ok(own.into_iter().map(|(id, _)| id).collect())
    }

    /// Removes what the browsers of a user hold. Returns the ids.
    pub async fn end_browsers(&self, user_id: &str) -> Result<Vec<String>, StoreError> {
        let turn = self.turn().await;
        let removed = self.of_browsers(user_id, None).await?;
        if !removed.is_empty() {
            let changes = removed.iter().map(|id| Change::remove::<TokenRecord>(id));
            self.commit_in(turn, changes.collect()).await?;
        }
        Ok(removed)
    }

    /// Changes the description of a token of `user_id`; `false` when there is none.
    pub async fn describe(
        &self,
        name: &str,
        user_id: &str,
        text: Option<String>,
    ) -> Result<bool, StoreError> {
        let _turn = self.turn.lock().await;
        for id in [id_of(name), name.to_owned()] {
            if let Some(mut token) = self.store.get::<TokenRecord>(&id).await?
                && token.user_id == user_id
            {
                token.description = text;
                self.store.put(&id, &token).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// It was used from there a moment ago.
fn is_noted(token: &TokenRecord, address: &str) -> bool {
    let last = token.last_uses.get(address);
    last.is_some_and(|&last| now_ms() - last < USE_RESOLUTION_MS)
}

async fn use_kept(store: &Store, id: &str, address: String) -> Result<Option<(String, Expiry)>, StoreError> {
    let Some(mut token) = store.get::<TokenRecord>(id).await? else {
        return Ok(None);
    };
    let now = now_ms();
    if token.expiration <= now {
        store.remove::<TokenRecord>(id).await?;
        return Ok(None);
    }
    if !is_noted(&token, &address) {
        token.last_uses.insert(address, now);
        while token.last_uses.len() > LAST_USES {
            let oldest = token
                .last_uses
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(address, _)| address.clone());
            oldest.and_then(|address| token.last_uses.remove(&address));
        }
        store.put(id, &token).await?;
    }
    Ok(Some((token.user_id, Expiry(token.expiration))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::{memory::Memory, secrets::Secrets};
    use futures_util::FutureExt;

    async fn tokens() -> Arc<Tokens> {
        let key = std::env::temp_dir().join(format!("xo-key-{}", uuid::Uuid::new_v4()));
        let secrets = Secrets::open(&key).expect("a key");
        let store = Store::open(Arc::new(Memory::default()), &secrets)
            .await
            .expect("opened");
        std::fs::remove_file(key).expect("removed");
        Arc::new(Tokens::new(store, 10))
    }

    #[tokio::test]
    async fn nobody_has_no_tokens() {
        let tokens = tokens().await;
        let of = |user_id: &str| NewToken {
            user_id: user_id.to_owned(),
            ..NewToken::default()
        };
        let refused = tokens.create(of("gone"), |user| user != "gone").await;
        assert!(matches!(refused, Err(TokenError::NoUser)), "{refused:?}");
        let kept = tokens.create(of("there"), |_| true).await.expect("created");
        let left = tokens.create(of("gone"), |_| true).await.expect("created");
        assert_eq!(tokens.sweep(|user| user == "there").await.expect("swept"), 1);
        assert!(tokens.is_there(&id_of(&kept)).await.expect("answered"));
        assert!(!tokens.is_there(&id_of(&left)).await.expect("answered"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_whose_use_is_given_up_does_not_come_back() {
        let tokens = tokens().await;
        for round in 0..200 {
            let secret = tokens
                .create(NewToken::default(), |_| true)
                .await
                .expect("created");
            let address = format!("10.0.0.{round}");
            drop(tokens.use_token(&secret, &address).now_or_never());
            let names = [secret.clone()];
            tokens.remove(&names, None).await.expect("removed");
            assert!(!tokens.is_there(&id_of(&secret)).await.expect("answered"));
        }
    }

    #[tokio::test]
    async fn a_removal_that_nobody_waits_for_is_made() {
        let tokens = tokens().await;
        let secret = tokens
            .create(NewToken::default(), |_| true)
            .await
            .expect("created");
        let names = [secret.clone()];
        assert!(tokens.remove(&names, None).now_or_never().is_none());
        // The next one's turn is behind it.
        tokens.describe(&secret, "", None).await.expect("answered");
        assert!(!tokens.is_there(&id_of(&secret)).await.expect("answered"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_that_is_removed_while_it_is_used_stays_removed() {
        let tokens = tokens().await;
        for round in 0..200 {
            let secret = tokens
                .create(NewToken::default(), |_| true)
                .await
                .expect("created");
            let (using, used) = (tokens.clone(), secret.clone());
            let use_it =
                tokio::spawn(async move { using.use_token(&used, &format!("10.0.0.{round}")).await });
            tokens
                .remove(std::slice::from_ref(&secret), None)
                .await
                .expect("removed");
            use_it.await.expect("ran").expect("answered");
            assert!(
                tokens
                    .use_token(&secret, "10.0.0.1")
                    .await
                    .expect("answered")
                    .is_none()
            );
        }
    }
}
