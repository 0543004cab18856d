//! Users and groups: who comes, who makes room, and who can still sign in as an administrator afterwards.

use super::{
    Export, TransferError,
    import::{Work, named},
    values::{object, text, texts},
};
use crate::{
    auth::{
        otp, password,
        people::{self, MOST_GROUPS, MOST_USERS},
    },
    persist::{
        RawRecord, Record,
        records::{AclRecord, GroupRecord, TokenRecord, UserRecord},
    },
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

impl Work<'_> {
    /// Users and groups name each other: they are looked at together. Returns the ids of both.
    pub(super) fn people(
        &mut self,
        export: &mut Export,
    ) -> Result<(BTreeSet<String>, BTreeSet<String>), TransferError> {
        let mut users = self.all::<UserRecord>();
        let mut groups = self.all::<GroupRecord>();
        let had_administrator = users.values().any(can_administrate);
        let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut come = BTreeSet::new();
        for record in export.take("users") {
            let Some(id) = text(&record, "id") else {
                self.left_out(UserRecord::COLLECTION, named(&record, ""), "it has no id");
                continue;
            };
            let Some(email) = text(&record, "email") else {
                self.left_out(UserRecord::COLLECTION, id, "it has no name");
                continue;
            };
            if let Err(error) = people::check_name("its name", &email) {
                self.left_out(UserRecord::COLLECTION, email, &error.to_string());
                continue;
            }
            let same_name = users
                .iter()
                .find(|(other, user)| **other != id && user.email.to_lowercase() == email.to_lowercase())
                .map(|(other, _)| other.clone());
            match same_name {
                Some(other) if come.contains(&other) => {
                    self.left_out(
                        UserRecord::COLLECTION,
                        email,
                        "another one that comes has the same name",
                    );
                    continue;
                }
                Some(other) => {
                    let gone = users.remove(&other).unwrap_or_default();
                    groups
                        .values_mut()
                        .for_each(|group| group.users.retain(|user| *user != other));
                    self.forget_user(&other, &gone.email);
                }
                None => {}
            }
            if users.len() >= MOST_USERS && !users.contains_key(&id) {
                let why = format!("there can be {MOST_USERS} users");
                self.left_out(UserRecord::COLLECTION, email, &why);
                continue;
            }
            users.insert(
                id.clone(),
                user(&record, email, notes.entry(id.clone()).or_default()),
            );
            come.insert(id);
        }
        let mut coming_groups = BTreeSet::new();
        for record in export.take("groups") {
            let (Some(id), Some(name)) = (text(&record, "id"), text(&record, "name")) else {
                self.left_out(
                    GroupRecord::COLLECTION,
                    named(&record, ""),
                    "it has no id or no name",
                );
                continue;
            };
            if let Err(error) = people::check_name("its name", &name) {
                self.left_out(GroupRecord::COLLECTION, name, &error.to_string());
                continue;
            }
            if groups.len() >= MOST_GROUPS && !groups.contains_key(&id) {
                let why = format!("there can be {MOST_GROUPS} groups");
                self.left_out(GroupRecord::COLLECTION, name, &why);
                continue;
            }
            let mut members = texts(&record, "users");
            // Either side may know of it alone.
            for (user, kept) in &users {
                if come.contains(user) && kept.groups.contains(&id) && !members.contains(user) {
                    members.push(user.clone());
                }
            }
            let all = members.len();
            members.retain(|member| users.contains_key(member));
            if members.len() < all {
                let missing = format!("{} of its users are not there", all - members.len());
                notes.entry(id.clone()).or_default().push(missing);
            }
            let group = GroupRecord {
                name,
                users: members,
                provider: text(&record, "provider"),
                provider_group_id: text(&record, "providerGroupId"),
            };
            groups.insert(id.clone(), group);
            coming_groups.insert(id);
        }
        for (id, user) in &mut users {
            let of = groups.iter().filter(|(_, group)| group.users.contains(id));
            let of: Vec<String> = of.map(|(group, _)| group.clone()).collect();
            let before: BTreeSet<&String> = user.groups.iter().collect();
            if before != of.iter().collect() {
                user.groups = of;
            }
        }
        if had_administrator || !come.is_empty() {
            users
                .values()
                .find(|user| can_administrate(user))
                .ok_or(TransferError::NoAdministrator)?;
        }
        for (id, user) in &mut users {
            // What was used stays used.
            let used = self.there::<UserRecord>(id).map_or(0, |user| user.used_otp);
            user.used_otp = user.used_otp.max(used);
        }
        for (id, user) in &users {
            if come.contains(id) || self.there::<UserRecord>(id).as_ref() != Some(user) {
                self.settle(id, user.email.clone(), user, notes.remove(id).unwrap_or_default())?;
            }
        }
        for (id, group) in &groups {
            if coming_groups.contains(id) || self.there::<GroupRecord>(id).as_ref() != Some(group) {
                self.settle(
                    id,
                    group.name.clone(),
                    group,
                    notes.remove(id).unwrap_or_default(),
                )?;
            }
        }
        Ok((users.into_keys().collect(), groups.into_keys().collect()))
    }

    /// One of ours makes room for one with the same name, as in today's product.
    fn forget_user(&mut self, id: &str, email: &str) {
        self.remove::<UserRecord>(
            id,
            email.to_owned(),
            "one with the same name and another id comes",
        );
        for (token, _) in self
            .all::<TokenRecord>()
            .iter()
            .filter(|(_, token)| token.user_id == id)
        {
            self.remove::<TokenRecord>(token, format!("a token of {email}"), "its user goes");
        }
        for (right, _) in self
            .all::<AclRecord>()
            .iter()
            .filter(|(_, right)| right.subject == id)
        {
            self.remove::<AclRecord>(right, format!("a right of {email}"), "its user goes");
        }
    }
}

fn can_administrate(user: &UserRecord) -> bool {
    let usable = |hash: &String| password::check(hash).is_ok();
    let second = |secret: &String| otp::is_secret(secret);
    user.permission == "admin"
        && user.password_hash.as_ref().is_some_and(usable)
        && user.sealed_otp.as_ref().is_none_or(second)
}

fn user(record: &RawRecord, email: String, notes: &mut Vec<String>) -> UserRecord {
    let password_hash = text(record, "pw_hash").filter(|hash| match password::check(hash) {
        Ok(()) => true,
        Err(error) => {
            notes.push(format!(
                "its password hash is of no use ({error}): set a new password"
            ));
            false
        }
    });
    let permission = match text(record, "permission").as_deref() {
        Some("admin") => "admin",
        Some("none") | None => "none",
        Some(other) => {
            notes.push(format!(
                "its permission {other:?} means nothing, and becomes \"none\""
            ));
            "none"
        }
    };
    let mut preferences = object(record, "preferences");
    let otp = text(&preferences, "otp");
    preferences.remove("otp");
    if otp.as_ref().is_some_and(|secret| !otp::is_secret(secret)) {
        notes.push("its secret of one-time passwords is of no use: reset it".to_owned());
    }
    if let Err(error) = people::check_preferences(&preferences) {
        notes.push(format!("{error}: they do not come"));
        preferences.clear();
    }
    let mut auth_providers = BTreeMap::new();
    for (provider, known) in object(record, "authProviders") {
        if let Value::Object(known) = known {
            auth_providers.insert(provider, known);
        }
    }
    if !auth_providers.is_empty() {
        let names: Vec<&str> = auth_providers.keys().map(String::as_str).collect();
        notes.push(format!(
            "it signs in through {}, which must be set up here first",
            names.join(", ")
        ));
    }
    UserRecord {
        email,
        password_hash,
        permission: permission.to_owned(),
        groups: texts(record, "groups"),
        preferences,
        auth_providers,
        sealed_otp: otp,
        used_otp: 0,
        renewed_from: None,
    }
}
