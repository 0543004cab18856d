//! Changing who is there: users and groups.
//!
//! A group's list of members and its members' lists of groups are two views of one thing: they are written in
//! one step.

use super::{Accounts, SignInError, password, tokens::id_of};
use crate::persist::{
    Change, StoreError,
    records::{GroupRecord, TokenRecord, UserRecord},
};
use app::rpc::methods::{Group, User};
use serde_json::{Map, Value};
use std::{collections::BTreeSet, sync::Arc};

/// People are kept in memory.
pub const MOST_USERS: usize = 20_000;
pub const MOST_GROUPS: usize = 5_000;
/// Bytes of one user's preferences.
const LARGEST_PREFERENCES: usize = 256 << 10;
pub(super) const LONGEST_NAME: usize = 250;
const LONGEST_PASSWORD: usize = 1_000;

/// Why people were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    #[error("no such {kind} {id}")]
    NoSuch { kind: &'static str, id: String },
    #[error("the {kind} {name} already exists")]
    Exists {
        kind: &'static str,
        name: String,
        id: String,
    },
    #[error("there can be {0} of them")]
    TooMany(usize),
    #[error("{member}: {reason}")]
    Invalid { member: &'static str, reason: String },
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("only administrators can do that")]
    NoAdministrator,
    #[error(transparent)]
    SignIn(#[from] SignInError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What of a user is to change.
#[derive(Debug, Default)]
pub struct UserChange {
    pub email: Option<String>,
    pub password: Option<String>,
    pub permission: Option<String>,
    /// Merged key by key; null deletes a key.
    pub preferences: Map<String, Value>,
    /// Id of a token that a new password does not end: the one of whoever changes it.
    pub keeps: Option<String>,
    /// The hash that the old password was held against: if that is not the one any more, nothing is changed.
    pub instead_of: Option<String>,
}

fn invalid(member: &'static str, reason: impl Into<String>) -> PeopleError {
    PeopleError::Invalid {
        member,
        reason: reason.into(),
    }
}

pub(crate) fn check_name(member: &'static str, name: &str) -> Result<(), PeopleError> {
    if name.trim().is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return Err(invalid(
            member,
            format!("1 to {LONGEST_NAME} visible characters are expected"),
        ));
    }
    Ok(())
}

pub(crate) fn check_preferences(preferences: &Map<String, Value>) -> Result<(), PeopleError> {
    let size = serde_json::to_vec(preferences).map_or(usize::MAX, |text| text.len());
    if size > LARGEST_PREFERENCES {
        return Err(invalid(
            "preferences",
            format!("they can have {LARGEST_PREFERENCES} bytes together"),
        ));
    }
    Ok(())
}

fn check_permission(permission: &str) -> Result<(), PeopleError> {
    // `read` and `write` exist as levels, and were never of use.
    if !["none", "read", "write", "admin"].contains(&permission) {
        return Err(invalid("permission", "none or admin is expected"));
    }
    Ok(())
}

async fn hash(password: &str) -> Result<String, PeopleError> {
    if password.is_empty() || password.len() > LONGEST_PASSWORD {
        return Err(invalid(
            "password",
            format!("1 to {LONGEST_PASSWORD} bytes are expected"),
        ));
    }
    Ok(password::hash(password.to_owned()).await?)
}

impl Accounts {
    /// Nobody is changed while this is held.
    pub async fn hold(&self) -> impl Sized {
        (self.writing.lock().await, self.tokens.turn().await)
    }

    /// Reads everybody anew. Whoever calls it holds them.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let people = super::People::read(&self.store).await?;
        *self.people_mut() = people;
        Ok(())
    }

    /// Everybody, as they are kept.
    pub fn records(&self) -> Vec<(String, Arc<UserRecord>)> {
        let people = self.people();
        let users = people.users.iter();
        users.map(|(id, user)| (id.clone(), user.clone())).collect()
    }

    pub fn users(&self) -> Vec<User> {
        let ids: Vec<String> = self.people().users.keys().cloned().collect();
        ids.iter().filter_map(|id| self.public(id)).collect()
    }

    pub fn groups(&self) -> Vec<Group> {
        let people = self.people();
        let groups = people.groups.iter();
        groups.map(|(id, group)| public_group(id, group)).collect()
    }

    pub fn group(&self, id: &str) -> Option<Arc<GroupRecord>> {
        self.people().groups.get(id).cloned()
    }

    fn known_user(&self, id: &str) -> Result<Arc<UserRecord>, PeopleError> {
        self.user(id).ok_or_else(|| PeopleError::NoSuch {
            kind: "user",
            id: id.to_owned(),
        })
    }

    fn known_group(&self, id: &str) -> Result<Arc<GroupRecord>, PeopleError> {
        self.group(id).ok_or_else(|| PeopleError::NoSuch {
            kind: "group",
            id: id.to_owned(),
        })
    }

    /// Another user than `own` has this name.
    fn check_email(&self, email: &str, own: Option<&str>) -> Result<(), PeopleError> {
        check_name("email", email)?;
        match self.by_email(email) {
            Some((id, _)) if own != Some(&id) => Err(PeopleError::Exists {
                kind: "user",
                name: email.to_owned(),
                id,
            }),
            _ => Ok(()),
        }
    }

    pub async fn create(&self, email: &str, password: &str, permission: &str) -> Result<String, PeopleError> {
        self.create_by(None, email, password, permission).await
    }

    /// `by` is the administrator who does it.
    pub async fn create_by(
        &self,
        by: Option<&str>,
        email: &str,
        password: &str,
        permission: &str,
    ) -> Result<String, PeopleError> {
        check_permission(permission)?;
        let password_hash = Some(hash(password).await?);
        let _turn = self.writing.lock().await;
        self.check_administrator(by)?;
        self.check_email(email, None)?;
        if self.people().users.len() >= MOST_USERS {
            return Err(PeopleError::TooMany(MOST_USERS));
        }
        let id = uuid::Uuid::new_v4().to_string();
        let user = UserRecord {
            email: email.to_owned(),
            password_hash,
            permission: permission.to_owned(),
            ..UserRecord::default()
        };
        self.write_users(Vec::new(), [(id.clone(), user)]).await?;
        Ok(id)
    }

    /// Changes somebody. `by` is the administrator who does it, or nobody for what people change of themselves. With a new
    /// password go the tokens of browsers, but for `change.keeps`: their ids are returned.
    pub async fn change_user(
        &self,
        id: &str,
        change: UserChange,
        by: Option<&str>,
    ) -> Result<Vec<String>, PeopleError> {
        let password_hash = match &change.password {
            Some(password) => Some(hash(password).await?),
            None => None,
        };
        let _turn = self.writing.lock().await;
        self.check_administrator(by)?;
        let mut user = UserRecord::clone(&*self.known_user(id)?);
        if let Some(old) = &change.instead_of {
            let renewed = user.renewed_from.is_some() && user.renewed_from == Some(id_of(old));
            if user.password_hash.as_ref() != Some(old) && !renewed {
                return Err(SignInError::InvalidCredentials.into());
            }
        }
        let identity = change.email.is_some() || change.password.is_some();
        if identity && !user.auth_providers.is_empty() {
            return Err(PeopleError::Forbidden(
                "the name and password of a synchronized user are kept elsewhere",
            ));
        }
        if let Some(email) = change.email {
            self.check_email(&email, Some(id))?;
            user.email = email;
        }
        if let Some(permission) = change.permission {
            check_permission(&permission)?;
            user.permission = permission;
        }
        if password_hash.is_some() {
            user.password_hash = password_hash;
            user.renewed_from = None;
        }
        for (key, value) in change.preferences {
            if key == "otp" {
                user.sealed_otp = self.sealed_otp(&value)?;
                user.used_otp = 0;
                continue;
            }
            match value {
                Value::Null => drop(user.preferences.remove(&key)),
                value => drop(user.preferences.insert(key, value)),
            }
        }
        check_preferences(&user.preferences)?;
        if change.password.is_none() {
            self.write_users(Vec::new(), [(id.to_owned(), user)]).await?;
            return Ok(Vec::new());
        }
        // In one step: a password that is new while what the old one opened goes on would help nobody.
        let _tokens = self.tokens.turn().await;
        let ended = self.tokens.of_browsers(id, change.keeps.as_deref()).await?;
        let removals = ended.iter().map(|id| Change::remove::<TokenRecord>(id));
        self.write_users(removals.collect(), [(id.to_owned(), user)])
            .await?;
        Ok(ended)
    }

    /// The secret of somebody's one-time passwords, as it came; null ends them.
    fn sealed_otp(&self, secret: &Value) -> Result<Option<String>, PeopleError> {
        match secret {
            Value::Null => Ok(None),
            Value::String(secret) if super::otp::is_secret(secret) => Ok(Some(self.secrets.seal(secret))),
            _ => Err(invalid(
                "preferences",
                "otp is a base32 text of at least 16 characters",
            )),
        }
    }

    /// `address` is where it comes from, as at sign-in.
    pub async fn change_password(
        &self,
        id: &str,
        old: &str,
        new: &str,
        address: &str,
        keeps: Option<String>,
    ) -> Result<Vec<String>, PeopleError> {
        let user = self.known_user(id)?;
        if !user.auth_providers.is_empty() {
            return Err(PeopleError::Forbidden(
                "the password of a synchronized user is kept elsewhere",
            ));
        }
        let (_, verified, attempt) = self.check_password(&user.email, old, address).await?;
        attempt.succeeded();
        let change = UserChange {
            password: Some(new.to_owned()),
            keeps,
            // Whoever was quicker, with the same old one, has ended this session.
            instead_of: verified.password_hash.clone(),
            ..UserChange::default()
        };
        self.change_user(id, change, None).await
    }

    /// Whoever waited for a turn must still be an administrator: what one had begun does not go on when it is none any more, and
    /// those who demote one another at the same time would leave none. Nobody demotes or removes itself, so one always stays.
    fn check_administrator(&self, by: Option<&str>) -> Result<(), PeopleError> {
        let is_one = |id: &str| self.user(id).is_some_and(|user| user.permission == "admin");
        if by.is_some_and(|by| !is_one(by)) {
            return Err(PeopleError::NoAdministrator);
        }
        Ok(())
    }

    pub async fn remove_auth_provider(&self, by: &str, id: &str, provider: &str) -> Result<(), PeopleError> {
        let _turn = self.writing.lock().await;
        self.check_administrator(Some(by))?;
        let mut user = UserRecord::clone(&*self.known_user(id)?);
        if user.auth_providers.remove(provider).is_none() {
            return Err(PeopleError::NoSuch {
                kind: "authProvider",
                id: provider.to_owned(),
            });
        }
        self.write_users(Vec::new(), [(id.to_owned(), user)]).await?;
        Ok(())
    }

    /// Removes a user with its tokens and memberships. `by` is the administrator who does it, and `commit` writes the changes, with others of its own.
    pub async fn delete_user<F>(
        &self,
        id: &str,
        by: &str,
        commit: impl FnOnce(Vec<Change>) -> F,
    ) -> Result<(), PeopleError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let _turn = self.writing.lock().await;
        self.check_administrator(Some(by))?;
        let _tokens = self.tokens.turn().await;
        self.known_user(id)?;
        let mut changes = self.tokens.removals_of(id).await?;
        changes.push(Change::remove::<UserRecord>(id));
        let mut left: Vec<(String, GroupRecord)> = Vec::new();
        for (group_id, group) in &self.people().groups {
            if group.users.iter().any(|member| member == id) {
                let mut group = GroupRecord::clone(group);
                group.users.retain(|member| member != id);
                left.push((group_id.clone(), group));
            }
        }
        changes.extend(left.iter().map(|(id, group)| Change::put(id, group)));
        commit(changes).await?;
        let mut people = self.people_mut();
        people.users.remove(id);
        let left = left.into_iter().map(|(id, group)| (id, Arc::new(group)));
        people.groups.extend(left);
        Ok(())
    }

    pub async fn create_group(&self, by: &str, name: &str) -> Result<String, PeopleError> {
        check_name("name", name)?;
        let _turn = self.writing.lock().await;
        self.check_administrator(Some(by))?;
        if self.people().groups.len() >= MOST_GROUPS {
            return Err(PeopleError::TooMany(MOST_GROUPS));
        }
        let id = uuid::Uuid::new_v4().to_string();
        let group = GroupRecord {
            name: name.to_owned(),
            ..GroupRecord::default()
        };
        self.write_group(&id, group, Vec::new()).await?;
        Ok(id)
    }

    pub async fn rename_group(&self, by: &str, id: &str, name: &str) -> Result<(), PeopleError> {
        check_name("name", name)?;
        let _turn = self.writing.lock().await;
        self.check_administrator(Some(by))?;
        let mut group = GroupRecord::clone(&*self.own_group(id)?);
        group.name = name.to_owned();
        self.write_group(id, group, Vec::new()).await?;
        Ok(())
    }

    /// A group whose members are kept here, not in a directory.
    fn own_group(&self, id: &str) -> Result<Arc<GroupRecord>, PeopleError> {
        let group = self.known_group(id)?;
        if group.provider.is_some() {
            return Err(PeopleError::Forbidden("a synchronized group is kept elsewhere"));
        }
        Ok(group)
    }

    /// Changes who is in a group.
    pub async fn set_members(
        &self,
        by: &str,
        id: &str,
        change: impl FnOnce(&mut BTreeSet<String>),
    ) -> Result<(), PeopleError> {
        let _turn = self.writing.lock().await;
        self.check_administrator(Some(by))?;
        let mut group = GroupRecord::clone(&*self.own_group(id)?);
        let before: BTreeSet<String> = group.users.iter().cloned().collect();
        let mut after = before.clone();
        change(&mut after);
        for added in after.difference(&before) {
            self.known_user(added)?;
        }
        let mut users = Vec::new();
        for moved in before.symmetric_difference(&after) {
            // A member that is gone already has no list to change.
            let Some(user) = self.user(moved) else { continue };
            let mut user = UserRecord::clone(&user);
            user.groups.retain(|group| group != id);
            if after.contains(moved) {
                user.groups.push(id.to_owned());
            }
            users.push((moved.clone(), user));
        }
        group.users = after.into_iter().collect();
        self.write_group(id, group, users).await?;
        Ok(())
    }

    /// As [`Accounts::delete_user`].
    pub async fn delete_group<F>(
        &self,
        by: &str,
        id: &str,
        commit: impl FnOnce(Vec<Change>) -> F,
    ) -> Result<(), PeopleError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let _turn = self.writing.lock().await;
        self.check_administrator(Some(by))?;
        let group = self.known_group(id)?;
        let mut changes = vec![Change::remove::<GroupRecord>(id)];
        let mut left = Vec::new();
        for member in &group.users {
            if let Some(user) = self.user(member) {
                let mut user = UserRecord::clone(&user);
                user.groups.retain(|group| group != id);
                changes.push(Change::put(member, &user));
                left.push((member.clone(), Arc::new(user)));
            }
        }
        commit(changes).await?;
        let mut people = self.people_mut();
        people.groups.remove(id);
        people.users.extend(left);
        Ok(())
    }

    async fn write_group(
        &self,
        id: &str,
        group: GroupRecord,
        users: Vec<(String, UserRecord)>,
    ) -> Result<(), StoreError> {
        self.write_users(vec![Change::put(id, &group)], users).await?;
        self.people_mut().groups.insert(id.to_owned(), Arc::new(group));
        Ok(())
    }

    /// Writes users, together with other changes.
    pub(super) async fn write_users(
        &self,
        mut changes: Vec<Change>,
        users: impl IntoIterator<Item = (String, UserRecord)>,
    ) -> Result<(), StoreError> {
        let users: Vec<(String, UserRecord)> = users.into_iter().collect();
        changes.extend(users.iter().map(|(id, user)| Change::put(id, user)));
        self.store.commit(changes).await?;
        let users = users.into_iter().map(|(id, user)| (id, Arc::new(user)));
        self.people_mut().users.extend(users);
        Ok(())
    }
}

fn public_group(id: &str, group: &GroupRecord) -> Group {
    Group {
        id: id.to_owned(),
        name: group.name.clone(),
        users: group.users.clone(),
        provider: group.provider.clone(),
        provider_group_id: group.provider_group_id.clone(),
        acl_role_ids: Vec::new(),
    }
}
