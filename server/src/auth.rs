//! Who is who: users, passwords, tokens, sign-in.

pub mod otp;
pub mod password;
pub mod people;
pub mod throttle;
pub mod tokens;

use crate::persist::{
    Store, StoreError,
    records::{GroupRecord, UserRecord},
    secrets::Secrets,
};
use app::rpc::methods::User;
use rustc_hash::FxHashMap;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use throttle::{Attempt, Checks, Throttle};
use tokens::{Expiry, NewToken, TokenError, Tokens};

/// How a sign-in ended, when it did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("invalid credentials")]
    InvalidCredentials,
    #[error("too fast authentication tries")]
    TooFast,
    #[error("empty password")]
    EmptyPassword,
    /// The password is right, and a one-time password is wanted with it.
    #[error("a one-time password is needed")]
    OtpNeeded(HalfSignedIn),
    #[error("a user can be signed in {0} times: end some of its connections")]
    TooManySessions(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A successful sign-in, and what the session rests upon: see [`Accounts::still_opens`].
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub user_id: String,
    /// ms since epoch, for a session that a token opened.
    pub expires: Option<i64>,
    /// Id (not the secret) of that token.
    pub token: Option<String>,
    /// What the password was held against, for a session that a password opened.
    password_hash: Option<String>,
    /// Whether everything is shown to an administrator is decided when a session begins.
    permission: String,
}

/// The password was right; the one-time password is still to come.
#[derive(Clone, Debug)]
pub struct HalfSignedIn {
    user_id: String,
    /// What the password was held against.
    password_hash: Option<String>,
}

/// Stands in the preferences of a user with one-time passwords in place of their secret.
const OTP_IS_SET: &str = "********";

/// The accounts. People are few and read at every call, so they are kept in memory beside the store.
pub struct Accounts {
    store: Store,
    secrets: Secrets,
    people: Arc<RwLock<People>>,
    /// One change of people at a time, in the store and in memory alike.
    writing: Arc<tokio::sync::Mutex<()>>,
    pub tokens: Tokens,
    throttle: Throttle,
    checks: Checks,
}

/// Everybody as they are at this moment, for those who must not judge by how they were.
#[derive(Clone)]
pub struct Directory(Arc<RwLock<People>>);

impl Directory {
    pub fn user(&self, id: &str) -> Option<Arc<UserRecord>> {
        let people = self.0.read().unwrap_or_else(PoisonError::into_inner);
        people.users.get(id).cloned()
    }
}

#[derive(Default)]
struct People {
    users: FxHashMap<String, Arc<UserRecord>>,
    groups: BTreeMap<String, Arc<GroupRecord>>,
}

impl People {
    async fn read(store: &Store) -> Result<Self, StoreError> {
        let users = store.list::<UserRecord>().await?.into_iter();
        let groups = store.list::<GroupRecord>().await?.into_iter();
        Ok(Self {
            users: users.map(|(id, user)| (id, Arc::new(user))).collect(),
            groups: groups.map(|(id, group)| (id, Arc::new(group))).collect(),
        })
    }
}

/// A second step that was wrong; or that could not be looked at, which is nobody's guess.
fn refused(attempt: Attempt, used: Result<bool, StoreError>) -> SignInError {
    match used {
        Ok(_) => {
            attempt.failed();
            SignInError::InvalidCredentials
        }
        Err(error) => {
            attempt.untried();
            error.into()
        }
    }
}

impl Accounts {
    /// `most_tokens`: of one user.
    pub async fn open(store: Store, secrets: Secrets, most_tokens: usize) -> Result<Self, StoreError> {
        let people = People::read(&store).await?;
        let tokens = Tokens::new(store.clone(), most_tokens);
        tokens.sweep(|id| people.users.contains_key(id)).await?;
        let throttle = Throttle::default();
        // Guesses from elsewhere must not lock those out who were here before a restart.
        for (_, token) in tokens.list(None).await? {
            if let Some(user) = people.users.get(&token.user_id) {
                let addresses = token.last_uses.keys();
                addresses.for_each(|address| throttle.know(&user.email, address));
            }
        }
        Ok(Self {
            store,
            secrets,
            people: Arc::new(RwLock::new(people)),
            writing: Arc::default(),
            tokens,
            throttle,
            checks: Checks::default(),
        })
    }

    fn people(&self) -> RwLockReadGuard<'_, People> {
        self.people.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn people_mut(&self) -> RwLockWriteGuard<'_, People> {
        self.people.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn directory(&self) -> Directory {
        Directory(self.people.clone())
    }

    pub fn is_empty(&self) -> bool {
        self.people().users.is_empty()
    }

    pub fn user(&self, id: &str) -> Option<Arc<UserRecord>> {
        self.people().users.get(id).cloned()
    }

    pub fn by_email(&self, email: &str) -> Option<(String, Arc<UserRecord>)> {
        let people = self.people();
        // As Redis indexes of today's product: case does not count, in any script.
        let email = email.to_lowercase();
        let found = people
            .users
            .iter()
            .find(|(_, user)| user.email.to_lowercase() == email);
        found.map(|(id, user)| (id.clone(), user.clone()))
    }

    pub fn public(&self, id: &str) -> Option<User> {
        let user = self.user(id)?;
        let mut preferences = user.preferences.clone();
        if user.sealed_otp.is_some() {
            preferences.insert("otp".to_owned(), OTP_IS_SET.into());
        }
        let providers = user.auth_providers.iter();
        Some(User {
            id: id.to_owned(),
            email: user.email.clone(),
            groups: user.groups.clone(),
            permission: user.permission.clone(),
            preferences,
            auth_providers: providers
                .map(|(name, known)| (name.clone(), Value::from(known.clone())))
                .collect(),
        })
    }

    /// Whether this is the password of that name. `address` is where it comes from: one address does not take
    /// everybody's turn.
    async fn check_password(
        &self,
        email: &str,
        password: &str,
        address: &str,
    ) -> Result<(String, Arc<UserRecord>, Attempt), SignInError> {
        if password.is_empty() {
            return Err(SignInError::EmptyPassword);
        }
        // Nobody's: not worth anybody's time.
        if email.chars().count() > people::LONGEST_NAME {
            return Err(SignInError::InvalidCredentials);
        }
        let check = self.checks.begin(address).ok_or(SignInError::TooFast)?;
        let attempt = self
            .throttle
            .attempt(email, address)
            .await
            .ok_or(SignInError::TooFast)?;
        let found = self.by_email(email);
        let hash = found.as_ref().and_then(|(_, user)| user.password_hash.clone());
        let Ok(matches) = password::verify(password.to_owned(), hash, check).await? else {
            attempt.untried();
            return Err(SignInError::TooFast);
        };
        match found {
            Some((user_id, user)) if matches => Ok((user_id, user, attempt)),
            _ => {
                attempt.failed();
                Err(SignInError::InvalidCredentials)
            }
        }
    }

    pub async fn sign_in_with_password(
        &self,
        email: &str,
        password: &str,
        otp: Option<&str>,
        address: &str,
    ) -> Result<SignedIn, SignInError> {
        let (user_id, user, attempt) = self.check_password(email, password, address).await?;
        if let Some(sealed) = &user.sealed_otp {
            let Some(code) = otp.filter(|code| !code.trim().is_empty()) else {
                attempt.untried();
                let renewed = self.renew_hash(&user_id, &user, password).await;
                return Err(SignInError::OtpNeeded(HalfSignedIn {
                    user_id,
                    password_hash: renewed.or_else(|| user.password_hash.clone()),
                }));
            };
            return match self.use_otp(&user_id, sealed, code).await {
                Ok(true) => {
                    attempt.succeeded();
                    Ok(self.signed_in(user_id, &user, password).await)
                }
                other => Err(refused(attempt, other)),
            };
        }
        attempt.succeeded();
        Ok(self.signed_in(user_id, &user, password).await)
    }

    async fn signed_in(&self, user_id: String, user: &UserRecord, password: &str) -> SignedIn {
        let renewed = self.renew_hash(&user_id, user, password).await;
        SignedIn {
            user_id,
            expires: None,
            token: None,
            password_hash: renewed.or_else(|| user.password_hash.clone()),
            permission: user.permission.clone(),
        }
    }

    /// The second step, throttled like the first; a password that was changed in between is asked for again.
    pub async fn sign_in_with_otp(
        &self,
        half: &HalfSignedIn,
        code: &str,
        address: &str,
    ) -> Result<SignedIn, SignInError> {
        let _check = self.checks.begin(address).ok_or(SignInError::TooFast)?;
        let known = |user: &Arc<UserRecord>| user.password_hash == half.password_hash;
        let user = self.user(&half.user_id).filter(known);
        let user = user.ok_or(SignInError::InvalidCredentials)?;
        let attempt = self.throttle.attempt(&user.email, address).await;
        let attempt = attempt.ok_or(SignInError::TooFast)?;
        let used = match &user.sealed_otp {
            Some(sealed) => self.use_otp(&half.user_id, sealed, code).await,
            None => Ok(false),
        };
        if !matches!(used, Ok(true)) {
            return Err(refused(attempt, used));
        }
        attempt.succeeded();
        Ok(SignedIn {
            user_id: half.user_id.clone(),
            expires: None,
            token: None,
            password_hash: half.password_hash.clone(),
            permission: user.permission.clone(),
        })
    }

    /// Whether this is the one-time password of the moment and was not used before. From then on it was: also after a
    /// restart.
    async fn use_otp(&self, user_id: &str, sealed: &str, code: &str) -> Result<bool, StoreError> {
        let Some(secret) = self.secrets.unseal(sealed) else {
            tracing::error!(
                user = user_id,
                "the secret of the one-time passwords cannot be read with this key"
            );
            return Ok(false);
        };
        let now = u64::try_from(tokens::now_ms()).unwrap_or_default() / 1000;
        let Some(step) = otp::step(&secret, code, now) else {
            return Ok(false);
        };
        let sealed = sealed.to_owned();
        self.amend(user_id, move |user| {
            let is_fresh = user.sealed_otp == Some(sealed) && step > user.used_otp;
            user.used_otp = step.max(user.used_otp);
            is_fresh
        })
        .await
    }

    /// This code was used to turn one-time passwords on: it is good for nothing else.
    pub async fn use_up_otp(&self, user_id: &str, code: &str) -> Result<(), StoreError> {
        if let Some(sealed) = self.user(user_id).and_then(|user| user.sealed_otp.clone()) {
            self.use_otp(user_id, &sealed, code).await?;
        }
        Ok(())
    }

    /// Changes somebody, if `change` says that there is something to change. Seen to its end also when nobody waits
    /// for it any more: what is in the store is in memory.
    async fn amend(
        &self,
        id: &str,
        change: impl FnOnce(&mut UserRecord) -> bool + Send + 'static,
    ) -> Result<bool, StoreError> {
        let turn = self.writing.clone().lock_owned().await;
        let (store, people, id) = (self.store.clone(), self.people.clone(), id.to_owned());
        let amending = tokio::spawn(async move {
            let _turn = turn;
            let known = {
                let people = people.read().unwrap_or_else(PoisonError::into_inner);
                people.users.get(&id).cloned()
            };
            let Some(mut user) = known.map(Arc::unwrap_or_clone) else {
                return Ok(false);
            };
            if !change(&mut user) {
                return Ok(false);
            }
            store.put(&id, &user).await?;
            let mut people = people.write().unwrap_or_else(PoisonError::into_inner);
            people.users.insert(id, Arc::new(user));
            Ok(true)
        });
        amending
            .await
            .unwrap_or_else(|error| Err(StoreError::Unusable(error.to_string())))
    }

    /// Replaces a hash of yore by one of ours, now that the password is known. The sign-in does not depend on
    /// it, and a password that was changed meanwhile stays changed.
    /// The new one, if it is in place.
    async fn renew_hash(&self, id: &str, user: &UserRecord, password: &str) -> Option<String> {
        let old = user
            .password_hash
            .as_deref()
            .filter(|hash| !password::is_current(hash))?;
        let renewed = async {
            let hash = password::hash(password.to_owned()).await?;
            if self.replace_hash(id, old, hash.clone()).await? {
                return Ok(Some(hash));
            }
            // Another sign-in was first, unless it was another password.
            let now = self.user(id).and_then(|user| user.password_hash.clone());
            let same = password::verify(password.to_owned(), now.clone(), ()).await?;
            Ok::<_, StoreError>(now.filter(|_| matches!(same, Ok(true))))
        };
        match renewed.await {
            Ok(hash) => hash,
            Err(error) => {
                tracing::warn!(user = id, %error, "the password's hash could not be renewed");
                None
            }
        }
    }

    async fn replace_hash(&self, id: &str, old: &str, hash: String) -> Result<bool, StoreError> {
        let old = old.to_owned();
        self.amend(id, move |user| {
            let same = user.password_hash.as_ref() == Some(&old);
            user.password_hash = Some(hash);
            user.renewed_from = Some(tokens::id_of(&old));
            same
        })
        .await
    }

    /// The one rule of what ends when an account changes. Sockets, and links for files, rest upon their user, upon the
    /// permission that it had, and upon the token that opened them, or the password. They may go while a session is being
    /// opened, too.
    pub async fn still_opens(&self, signed_in: &SignedIn) -> Result<bool, StoreError> {
        let expired = signed_in
            .expires
            .is_some_and(|expires| expires <= tokens::now_ms());
        if expired || !self.knows(signed_in) {
            return Ok(false);
        }
        match &signed_in.token {
            Some(id) => self.tokens.is_there(id).await,
            None => Ok(true),
        }
    }

    /// The same, of all but the token.
    pub fn knows(&self, signed_in: &SignedIn) -> bool {
        self.user(&signed_in.user_id).is_some_and(|user| {
            let by_token = signed_in.token.is_some();
            let same = user.password_hash == signed_in.password_hash
                || (user.renewed_from.is_some()
                    && user.renewed_from == signed_in.password_hash.as_deref().map(tokens::id_of));
            user.permission == signed_in.permission && (by_token || same)
        })
    }

    /// The session of whoever changes the own password goes on: it rests upon the new one.
    pub fn renewed(&self, signed_in: &mut SignedIn) {
        if let Some(user) = self.user(&signed_in.user_id)
            && signed_in.token.is_none()
        {
            signed_in.password_hash = user.password_hash.clone();
        }
    }

    /// As [`Tokens::create`], for somebody who is there.
    pub async fn create_token(&self, new: NewToken) -> Result<String, TokenError> {
        self.tokens.create(new, |id| self.user(id).is_some()).await
    }

    /// As [`Tokens::sweep`].
    pub async fn sweep_tokens(&self) -> Result<usize, StoreError> {
        self.tokens.sweep(|id| self.user(id).is_some()).await
    }

    /// `address` is noted as the token's last use.
    pub async fn sign_in_with_token(&self, secret: &str, address: &str) -> Result<SignedIn, SignInError> {
        if secret.is_empty() {
            return Err(SignInError::InvalidCredentials);
        }
        let Some((user_id, Expiry(expires))) = self.tokens.use_token(secret, address).await? else {
            return Err(SignInError::InvalidCredentials);
        };
        let user = self.user(&user_id).ok_or(SignInError::InvalidCredentials)?;
        self.throttle.know(&user.email, address);
        Ok(SignedIn {
            user_id,
            expires: Some(expires),
            token: Some(tokens::id_of(secret)),
            password_hash: None,
            permission: user.permission.clone(),
        })
    }
}
