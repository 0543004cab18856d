//! Why somebody may or may not do something: the entries that decide, and the way from the object to each.

use super::{Access, Caller, Guards, Nodes, Right, Rights, guards, subjects};
use crate::inventory::Object;
use serde_json::{Value, json};

/// Ways that are told; more of them say nothing new.
const MOST_REASONS: usize = 20;
const DEEPEST: usize = 8;

impl Access {
    /// As `acl.explain` answers.
    pub fn explain(&self, user: &Caller, object: &Object, right: Right) -> Value {
        let rights = self.rights(user, &object.id);
        let mut reasons = Vec::new();
        if !user.is_admin() && rights.has(right) {
            self.find_reasons(user, right, &mut vec![object.id.to_string()], &mut reasons);
        }
        let guards = Guards::of(object);
        let by: Vec<&str> = guards.links().map(|id| &**id).collect();
        json!({
            "granted": rights.has(right),
            "isAdmin": user.is_admin(),
            "permissions": permissions(rights),
            "reasons": reasons,
            // Where an entry would have to be.
            "inheritsFrom": by,
            "hasOwnEntries": guards.own,
        })
    }

    /// Follows the ways that give the right; `path` is where we are.
    fn find_reasons(&self, user: &Caller, right: Right, path: &mut Vec<String>, reasons: &mut Vec<Value>) {
        let Some(here) = path.last().cloned() else { return };
        let Some(guards) = self.inventory.guards(&here, Guards::clone) else {
            return;
        };
        if path.len() > DEEPEST || reasons.len() >= MOST_REASONS {
            return;
        }
        if guards.own {
            let entries = self.entries();
            for subject in subjects(user) {
                for (id, entry) in entries.giving(subject, &here, right) {
                    reasons.push(json!({
                        "entry": { "id": id, "subject": entry.subject, "object": entry.object, "action": entry.action },
                        "path": path,
                        "throughGroup": *entry.subject != user.id,
                    }));
                }
            }
        }
        let lent = guards.through.iter().filter_map(|drive| {
            self.inventory
                .guards(drive, |guards| guards.lends.clone())
                .flatten()
        });
        for next in guards.any.iter().chain(&guards.all).cloned().chain(lent) {
            if self.gives(user, &next, right) && !path.contains(&next.to_string()) {
                path.push(next.to_string());
                self.find_reasons(user, right, path, reasons);
                path.pop();
            }
        }
    }

    fn gives(&self, user: &Caller, id: &str, right: Right) -> bool {
        let entries = self.entries();
        guards::rights(id, &|id| entries.explicit(subjects(user), id), &*self.inventory).has(right)
    }
}

/// `{"view": true, ...}`
pub fn permissions(rights: Rights) -> Value {
    let of = |right: Right| (right.as_str().to_owned(), Value::from(rights.has(right)));
    Right::ALL
        .into_iter()
        .map(of)
        .collect::<serde_json::Map<_, _>>()
        .into()
}
