//! Names for ids, and ids for names.

use super::visit::Visit;
use crate::inventory::Object;
use ::app::{
    model::ObjectType,
    pages::admin::{Named, groups, rights, users},
    routes::{self, Route, encoded},
};
use serde::Deserialize;
use std::{borrow::Cow, sync::Arc};

/// Suggestions for a field.
const MOST_SUGGESTIONS: usize = 500;
/// Objects that a part of a name is answered with.
const MOST_MATCHES: usize = 50;

#[derive(Deserialize)]
struct Label<'a> {
    #[serde(borrow, default)]
    name_label: Option<Cow<'a, str>>,
}

fn label(object: &Object) -> Option<Cow<'_, str>> {
    let read: Label<'_> = serde_json::from_slice(&object.json).ok()?;
    read.name_label.filter(|name| !name.is_empty())
}

fn named_object(object: &Object) -> Named {
    let id = &*object.id;
    let path = match object.kind {
        ObjectType::Vm => Route::Vm(id.to_owned()).path(),
        ObjectType::Host => Route::Host(id.to_owned()).path(),
        ObjectType::Pool => Route::Pool(id.to_owned()).path(),
        _ => String::new(),
    };
    Named {
        id: id.to_owned(),
        name: label(object).map_or_else(|| id.to_owned(), Cow::into_owned),
        kind: object.kind.as_str().to_owned(),
        path,
    }
}

/// What somebody meant.
pub enum Meant {
    One(Named),
    Several(Vec<Named>),
    None,
}

impl Visit {
    pub fn user_named(&self, id: &str) -> Named {
        let user = self.app.accounts.user(id);
        Named {
            id: id.to_owned(),
            path: user.as_ref().map(|_| users::path(id)).unwrap_or_default(),
            name: user.map_or_else(|| id.to_owned(), |user| user.email.clone()),
            kind: String::new(),
        }
    }

    /// A user or a group.
    pub fn subject_named(&self, id: &str) -> Named {
        match self.app.accounts.group(id) {
            Some(group) => Named {
                id: id.to_owned(),
                name: group.name.clone(),
                kind: "group".to_owned(),
                path: groups::path(id),
            },
            None => self.user_named(id),
        }
    }

    pub fn object_named(&self, id: &str) -> Named {
        match self.app.inventory.get(id) {
            Some(object) => named_object(&object),
            None => Named {
                id: id.to_owned(),
                name: id.to_owned(),
                kind: "not here now".to_owned(),
                path: String::new(),
            },
        }
    }

    pub fn entry_named(&self, subject: &str, object: &str, action: &str) -> rights::Entry {
        rights::Entry {
            subject: self.subject_named(subject),
            object: self.object_named(object),
            action: action.to_owned(),
        }
    }

    /// A user by id or name.
    pub fn user_meant(&self, text: &str) -> Meant {
        if self.app.accounts.user(text).is_some() {
            return Meant::One(self.user_named(text));
        }
        let wanted = text.to_lowercase();
        let users = self.app.accounts.users().into_iter();
        // No two users have the same name.
        match users.into_iter().find(|user| user.email.to_lowercase() == wanted) {
            Some(user) => Meant::One(self.user_named(&user.id)),
            None => Meant::None,
        }
    }

    /// A user or a group by id or name.
    pub fn subject_meant(&self, text: &str) -> Meant {
        if self.app.accounts.group(text).is_some() {
            return Meant::One(self.subject_named(text));
        }
        let mut found = match self.user_meant(text) {
            Meant::One(user) if user.id == text => return Meant::One(user),
            Meant::One(user) => vec![user],
            _ => Vec::new(),
        };
        let wanted = text.to_lowercase();
        let groups = self.app.accounts.groups().into_iter();
        let same = groups.filter(|group| group.name.to_lowercase() == wanted);
        found.extend(same.map(|group| self.subject_named(&group.id)));
        match found.len() {
            0 => Meant::None,
            1 => Meant::One(found.swap_remove(0)),
            _ => {
                let place = |named: &Named| {
                    format!(
                        "{}?view=subject&subject={}",
                        routes::ADMIN_RIGHTS,
                        encoded(&named.id)
                    )
                };
                found.iter_mut().for_each(|named| named.path = place(named));
                Meant::Several(found)
            }
        }
    }

    /// An object by id or name. With `parts`, the objects that have the text in their names are found when none
    /// has it as its name.
    pub async fn object_meant(&self, text: &str, parts: bool) -> Meant {
        if let Some(object) = self.app.inventory.get(text) {
            return Meant::One(named_object(&object));
        }
        let wanted = text.to_lowercase();
        if wanted.is_empty() {
            return Meant::None;
        }
        let (_, all) = self.app.inventory.all();
        let search = move || search(&all, &wanted, parts);
        // Reads a name out of every object: not on a thread that answers others.
        tokio::task::spawn_blocking(search).await.unwrap_or(Meant::None)
    }

    /// Names of users to choose from.
    pub fn user_names(&self) -> Vec<String> {
        let users = self.app.accounts.users().into_iter();
        let mut names: Vec<String> = users.map(|user| user.email).collect();
        names.sort();
        names.truncate(MOST_SUGGESTIONS);
        names
    }

    pub fn subject_names(&self) -> Vec<String> {
        let mut names = self.user_names();
        names.extend(self.app.accounts.groups().into_iter().map(|group| group.name));
        names.truncate(2 * MOST_SUGGESTIONS);
        names
    }
}

fn search(all: &[Arc<Object>], wanted: &str, parts: bool) -> Meant {
    let (mut whole, mut part) = (Vec::new(), Vec::new());
    for object in all {
        let Some(name) = label(object).map(|name| name.to_lowercase()) else {
            continue;
        };
        if name == wanted {
            whole.push(object);
        } else if parts && name.contains(wanted) && part.len() < MOST_MATCHES {
            part.push(object);
        }
    }
    match whole.as_slice() {
        [] if part.is_empty() => Meant::None,
        [] => Meant::Several(part.into_iter().map(|object| named_object(object)).collect()),
        [one] => Meant::One(named_object(one)),
        several => Meant::Several(
            several
                .iter()
                .take(MOST_MATCHES)
                .map(|object| named_object(object))
                .collect(),
        ),
    }
}
