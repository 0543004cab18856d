//! Who is who: users, passwords, tokens, sign-in.

pub mod password;
pub mod throttle;
pub mod tokens;

use crate::persist::{Change, Store, StoreError, records::UserRecord};
use app::rpc::methods::User;
use rustc_hash::FxHashMap;
use std::sync::{Arc, PoisonError, RwLock};
use throttle::{Checks, Throttle};
use tokens::{Expiry, Tokens};

/// How a sign-in ended, when it did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("invalid credentials")]
    InvalidCredentials,
    #[error("too fast authentication tries")]
    TooFast,
    #[error("empty password")]
    EmptyPassword,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A successful sign-in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub user_id: String,
    /// ms since epoch, for a session that a token opened.
    pub expires: Option<i64>,
    /// Id (not the secret) of that token.
    pub token: Option<String>,
}

/// The accounts. Users are few and read at every call, so they are kept in memory beside the store.
pub struct Accounts {
    store: Store,
    users: RwLock<FxHashMap<String, Arc<UserRecord>>>,
    /// One change of a user at a time, in the store and in memory alike.
    changing: tokio::sync::Mutex<()>,
    pub tokens: Tokens,
    throttle: Throttle,
    checks: Checks,
}

impl Accounts {
    /// `most_tokens`: of one user.
    pub async fn open(store: Store, most_tokens: usize) -> Result<Self, StoreError> {
        let users = store
            .list::<UserRecord>()
            .await?
            .into_iter()
            .map(|(id, user)| (id, Arc::new(user)))
            .collect();
        let tokens = Tokens::open(store.clone(), most_tokens).await?;
        Ok(Self {
            store,
            users: RwLock::new(users),
            changing: tokio::sync::Mutex::default(),
            tokens,
            throttle: Throttle::default(),
            checks: Checks::default(),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    pub fn user(&self, id: &str) -> Option<Arc<UserRecord>> {
        self.users
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    fn by_email(&self, email: &str) -> Option<(String, Arc<UserRecord>)> {
        let users = self.users.read().unwrap_or_else(PoisonError::into_inner);
        let found = users
            .iter()
            .find(|(_, user)| user.email.eq_ignore_ascii_case(email));
        found.map(|(id, user)| (id.clone(), user.clone()))
    }

    pub fn public(&self, id: &str) -> Option<User> {
        let user = self.user(id)?;
        Some(User {
            id: id.to_owned(),
            email: user.email.clone(),
            groups: user.groups.clone(),
            permission: user.permission.clone(),
            preferences: user.preferences.clone(),
        })
    }

    pub async fn create(&self, email: &str, password: &str, permission: &str) -> Result<String, StoreError> {
        let id = uuid::Uuid::new_v4().to_string();
        let user = UserRecord {
            email: email.to_owned(),
            password_hash: Some(password::hash(password.to_owned()).await?),
            permission: permission.to_owned(),
            ..UserRecord::default()
        };
        self.store.commit(vec![Change::put(&id, &user)]).await?;
        self.users
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.clone(), Arc::new(user));
        Ok(id)
    }

    /// `address` is where it comes from: one address does not take everybody's turn.
    pub async fn sign_in_with_password(
        &self,
        email: &str,
        password: &str,
        address: &str,
    ) -> Result<SignedIn, SignInError> {
        if password.is_empty() {
            return Err(SignInError::EmptyPassword);
        }
        let _check = self.checks.begin(address).ok_or(SignInError::TooFast)?;
        let attempt = self.throttle.attempt(email).await.ok_or(SignInError::TooFast)?;
        let found = self.by_email(email);
        let hash = found.as_ref().and_then(|(_, user)| user.password_hash.clone());
        let Ok(matches) = password::verify(password.to_owned(), hash).await? else {
            // Nothing was tried: the name is not to be blamed.
            attempt.succeeded();
            return Err(SignInError::TooFast);
        };
        match found {
            Some((user_id, user)) if matches => {
                attempt.succeeded();
                self.renew_hash(&user_id, &user, password).await;
                Ok(SignedIn {
                    user_id,
                    expires: None,
                    token: None,
                })
            }
            _ => {
                attempt.failed();
                Err(SignInError::InvalidCredentials)
            }
        }
    }

    /// Replaces a hash of yore by one of ours, now that the password is known. The sign-in does not depend on
    /// it, and a password that was changed meanwhile stays changed.
    async fn renew_hash(&self, id: &str, user: &UserRecord, password: &str) {
        let Some(old) = user
            .password_hash
            .as_deref()
            .filter(|hash| !password::is_current(hash))
        else {
            return;
        };
        let renewed = async {
            let hash = password::hash(password.to_owned()).await?;
            self.replace_hash(id, old, hash).await
        };
        if let Err(error) = renewed.await {
            tracing::warn!(user = id, %error, "the password's hash could not be renewed");
        }
    }

    async fn replace_hash(&self, id: &str, old: &str, hash: String) -> Result<(), StoreError> {
        let _turn = self.changing.lock().await;
        let Some(user) = self
            .user(id)
            .filter(|user| user.password_hash.as_deref() == Some(old))
        else {
            return Ok(());
        };
        let mut user = UserRecord::clone(&user);
        user.password_hash = Some(hash);
        self.store.put(id, &user).await?;
        self.users
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.to_owned(), Arc::new(user));
        Ok(())
    }

    /// `address` is noted as the token's last use.
    pub async fn sign_in_with_token(&self, secret: &str, address: &str) -> Result<SignedIn, SignInError> {
        let Some((user_id, Expiry(expires))) = self.tokens.use_token(secret, address).await? else {
            return Err(SignInError::InvalidCredentials);
        };
        if self.user(&user_id).is_none() {
            return Err(SignInError::InvalidCredentials);
        }
        Ok(SignedIn {
            user_id,
            expires: Some(expires),
            token: Some(tokens::id_of(secret)),
        })
    }
}
