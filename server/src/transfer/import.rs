//! What becomes of each record, planned before anything is changed.

use super::{
    Export, KINDS, TransferError, kept,
    values::{flag, object, parsed, text, texts, time},
};
use crate::{
    access::Rights,
    auth::tokens::{id_of, now_ms},
    limits::Limits,
    persist::{
        Change, RawRecord, Record, Store, StoreError,
        records::{AclRecord, ServerRecord, TagRecord, TokenRecord},
        secrets::{SEALED, Secrets},
    },
    pools::MAX_SERVERS,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    New,
    Changed,
    Same,
    Removed,
    LeftOut,
}

/// A line of the report. It tells no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub fate: Fate,
    pub collection: &'static str,
    /// For people: an e-mail address, a host, a name, else the id.
    pub name: String,
    /// What is worth knowing; empty when nothing is.
    pub why: String,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match self.fate {
            Fate::New => "comes",
            Fate::Changed => "changes",
            Fate::Same => "is the same",
            Fate::Removed => "goes",
            Fate::LeftOut => "cannot come",
        };
        write!(
            formatter,
            "{fate:<11} {:<18} {}",
            self.collection,
            shown(&self.name)
        )?;
        if self.why.is_empty() {
            Ok(())
        } else {
            write!(formatter, ": {}", shown(&self.why))
        }
    }
}

/// Names come from elsewhere: they must not steer a terminal.
fn shown(text: &str) -> String {
    let visible = |character: char| {
        if character.is_control() {
            '\u{fffd}'
        } else {
            character
        }
    };
    text.chars().map(visible).collect()
}

/// An import that can be made.
pub struct Plan {
    pub lines: Vec<Line>,
    changes: Vec<Change>,
}

impl Plan {
    /// In one change.
    pub async fn apply(self, store: &Store) -> Result<Vec<Line>, TransferError> {
        if !self.changes.is_empty() {
            store.commit(self.changes).await?;
        }
        Ok(self.lines)
    }
}

type Records = BTreeMap<String, RawRecord>;

pub(super) struct Work<'a> {
    secrets: &'a Secrets,
    /// What is there, with secrets in clear.
    before: BTreeMap<&'static str, Records>,
    lines: Vec<Line>,
    changes: Vec<Change>,
}

/// Looks at everything, and changes nothing.
pub async fn plan(store: &Store, secrets: &Secrets, mut export: Export) -> Result<Plan, TransferError> {
    let mut before = BTreeMap::new();
    for kind in KINDS {
        let mut records = Records::new();
        for (id, mut record) in store.list_raw(kind.collection).await? {
            // What another key sealed is not the same as anything, and may be replaced.
            let _ = secrets.unseal_members(&mut record);
            records.insert(id, record);
        }
        before.insert(kind.collection, records);
    }
    let mut work = Work {
        secrets,
        before,
        lines: Vec::new(),
        changes: Vec::new(),
    };
    for note in std::mem::take(&mut export.notes) {
        work.left_out("", note, "");
    }
    let (users, groups) = work.people(&mut export)?;
    work.tokens(export.take("authTokens"), &users)?;
    work.rights(export.take("acls"), &users, &groups)?;
    work.servers(export.take("xenServers"))?;
    work.tags(export.take("tags"))?;
    for kind in KINDS {
        for record in export.take(kind.entry) {
            let Some(id) = text(&record, "id") else {
                work.left_out(kind.collection, named(&record, ""), "it has no id");
                continue;
            };
            let name = named(&record, &id);
            work.settle_raw(
                kind.collection,
                &id,
                name,
                kept::ours(kind.entry, record),
                Vec::new(),
            );
        }
    }
    Ok(Plan {
        lines: work.lines,
        changes: work.changes,
    })
}

/// What people call it.
pub(super) fn named(record: &RawRecord, id: &str) -> String {
    ["email", "name", "label", "host"]
        .iter()
        .find_map(|member| text(record, member))
        .unwrap_or_else(|| if id.is_empty() { "?" } else { id }.to_owned())
}

fn raw<T: Record>(record: &T) -> Result<RawRecord, StoreError> {
    match serde_json::to_value(record) {
        Ok(Value::Object(record)) => Ok(record),
        _ => Err(StoreError::Unusable("a record is not an object".to_owned())),
    }
}

fn of_raw<T: Record>(record: &RawRecord) -> Option<T> {
    serde_json::from_value(Value::Object(record.clone())).ok()
}

impl Work<'_> {
    pub(super) fn left_out(&mut self, collection: &'static str, name: String, why: &str) {
        self.line(Fate::LeftOut, collection, name, why.to_owned());
    }

    fn line(&mut self, fate: Fate, collection: &'static str, name: String, why: String) {
        self.lines.push(Line {
            fate,
            collection,
            name,
            why,
        });
    }

    pub(super) fn there<T: Record>(&self, id: &str) -> Option<T> {
        of_raw(self.before.get(T::COLLECTION)?.get(id)?)
    }

    pub(super) fn all<T: Record>(&self) -> BTreeMap<String, T> {
        let records = self.before.get(T::COLLECTION);
        let read = |(id, record): (&String, &RawRecord)| Some((id.clone(), of_raw(record)?));
        records.into_iter().flatten().filter_map(read).collect()
    }

    /// Compares with what is there, in the form that we write today.
    pub(super) fn settle<T: Record>(
        &mut self,
        id: &str,
        name: String,
        record: &T,
        notes: Vec<String>,
    ) -> Result<(), StoreError> {
        if let Some(there) = self.there::<T>(id) {
            let normal = raw(&there)?;
            let of_collection = self.before.entry(T::COLLECTION).or_default();
            of_collection.insert(id.to_owned(), normal);
        }
        let record = raw(record)?;
        self.settle_raw(T::COLLECTION, id, name, record, notes);
        Ok(())
    }

    fn settle_raw(
        &mut self,
        collection: &'static str,
        id: &str,
        name: String,
        mut record: RawRecord,
        mut notes: Vec<String>,
    ) {
        let there = self.before.get(collection).and_then(|records| records.get(id));
        let fate = match there {
            None => Fate::New,
            Some(there) if *there == record => Fate::Same,
            Some(there) => {
                let names: BTreeSet<&String> = there.keys().chain(record.keys()).collect();
                let differ = names
                    .into_iter()
                    .filter(|name| there.get(*name) != record.get(*name));
                let differ: Vec<&str> = differ
                    .map(|name| name.strip_prefix(SEALED).unwrap_or(name))
                    .collect();
                notes.insert(0, differ.join(", "));
                Fate::Changed
            }
        };
        if fate != Fate::Same {
            let of_collection = self.before.entry(collection).or_default();
            of_collection.insert(id.to_owned(), record.clone());
            self.secrets.seal_members(&mut record);
            self.changes.push(Change::put_raw(collection, id, record));
        }
        self.line(fate, collection, name, notes.join("; "));
    }

    pub(super) fn remove<T: Record>(&mut self, id: &str, name: String, why: &str) {
        if let Some(records) = self.before.get_mut(T::COLLECTION) {
            records.remove(id);
        }
        self.changes.push(Change::remove::<T>(id));
        self.line(Fate::Removed, T::COLLECTION, name, why.to_owned());
    }

    /// A token's id is its secret there: it must not be told, and is kept as its hash.
    fn tokens(&mut self, records: Vec<RawRecord>, users: &BTreeSet<String>) -> Result<(), TransferError> {
        let most = Limits::default().tokens;
        let mut of_user: BTreeMap<String, usize> = BTreeMap::new();
        for token in self.all::<TokenRecord>().into_values() {
            *of_user.entry(token.user_id).or_default() += 1;
        }
        // Those that are good for longest come first.
        let mut records: Vec<_> = records
            .into_iter()
            .map(|record| (time(record.get("expiration")).unwrap_or(0), record))
            .collect();
        records.sort_by_key(|(expiration, _)| std::cmp::Reverse(*expiration));
        for (expiration, record) in records {
            let user_id = text(&record, "user_id").unwrap_or_default();
            let described = text(&record, "description")
                .map(|text| format!(" ({text})"))
                .unwrap_or_default();
            let name = format!("a token of {user_id}{described}");
            let Some(secret) = text(&record, "id") else {
                self.left_out(TokenRecord::COLLECTION, name, "it has no id");
                continue;
            };
            if expiration <= now_ms() {
                self.left_out(TokenRecord::COLLECTION, name, "it has expired");
                continue;
            }
            if !users.contains(&user_id) {
                self.left_out(TokenRecord::COLLECTION, name, "its user is not there");
                continue;
            }
            let id = id_of(&secret);
            let there = self.there::<TokenRecord>(&id);
            let count = of_user.entry(user_id.clone()).or_default();
            if there.is_none() {
                if *count >= most {
                    let why = format!("a user can have {most} tokens");
                    self.left_out(TokenRecord::COLLECTION, name, &why);
                    continue;
                }
                *count += 1;
            }
            let client = text(&object(&record, "client"), "id").or_else(|| text(&record, "client_id"));
            let token = TokenRecord {
                user_id,
                created_at: time(record.get("created_at")).unwrap_or(0),
                expiration,
                description: text(&record, "description"),
                client_id: client,
                of_browser: there.as_ref().is_some_and(|there| there.of_browser),
                last_uses: match there {
                    // It is used here already.
                    Some(there) => there.last_uses,
                    None => last_uses(&record),
                },
            };
            self.settle(&id, name, &token, Vec::new())?;
        }
        Ok(())
    }

    fn rights(
        &mut self,
        records: Vec<RawRecord>,
        users: &BTreeSet<String>,
        groups: &BTreeSet<String>,
    ) -> Result<(), TransferError> {
        for record in records {
            let (Some(subject), Some(object)) = (text(&record, "subject"), text(&record, "object")) else {
                self.left_out(
                    AclRecord::COLLECTION,
                    named(&record, ""),
                    "it names no subject or no object",
                );
                continue;
            };
            let action = text(&record, "action");
            let notes = match &action {
                Some(action) if Rights::of_action(action).is_none() => {
                    vec!["its role is not known here, and gives nothing".to_owned()]
                }
                Some(_) => Vec::new(),
                None => vec!["it names no role, which means admin".to_owned()],
            };
            let right = AclRecord {
                action: action.unwrap_or_else(|| "admin".to_owned()),
                subject,
                object,
            };
            let name = format!("{} may {} {}", right.subject, right.action, right.object);
            if !users.contains(&right.subject) && !groups.contains(&right.subject) {
                self.left_out(AclRecord::COLLECTION, name, "who had it is not there");
                continue;
            }
            self.settle(&right.id(), name, &right, notes)?;
        }
        Ok(())
    }

    fn servers(&mut self, records: Vec<RawRecord>) -> Result<(), TransferError> {
        let mut hosts: BTreeMap<String, String> = self
            .all::<ServerRecord>()
            .into_iter()
            .map(|(id, server)| (server.host, id))
            .collect();
        for record in records {
            let (Some(id), Some(host)) = (text(&record, "id"), text(&record, "host")) else {
                self.left_out(
                    ServerRecord::COLLECTION,
                    named(&record, ""),
                    "it has no id or no host",
                );
                continue;
            };
            let name = match text(&record, "label") {
                Some(label) => format!("{host} ({label})"),
                None => host.clone(),
            };
            if let Err(error) = xapi::Endpoint::parse_url(&host) {
                self.left_out(ServerRecord::COLLECTION, name, &error.to_string());
                continue;
            }
            if hosts.get(&host).is_some_and(|other| *other != id) {
                self.left_out(ServerRecord::COLLECTION, name, "its host is registered already");
                continue;
            }
            let there = self.there::<ServerRecord>(&id);
            if there.is_none() && hosts.len() >= MAX_SERVERS {
                let why = format!("at most {MAX_SERVERS} servers can be registered");
                self.left_out(ServerRecord::COLLECTION, name, &why);
                continue;
            }
            let mut notes = Vec::new();
            let allow_unauthorized = flag(&record, "allowUnauthorized");
            if allow_unauthorized {
                notes.push("its certificate is not verified, as before".to_owned());
            }
            let password = text(&record, "password").unwrap_or_default();
            if password.is_empty() {
                notes.push("it has no password: enter it".to_owned());
            }
            let there = there.unwrap_or_default();
            let addresses = match parsed(&record, "poolMembersAddresses") {
                Some(Value::Array(_)) => {
                    let mut addresses = texts(&record, "poolMembersAddresses");
                    addresses.sort();
                    Some(addresses)
                }
                _ => there.pool_members_addresses,
            };
            let server = ServerRecord {
                label: text(&record, "label"),
                username: text(&record, "username").unwrap_or_else(|| "root".to_owned()),
                sealed_password: password,
                allow_unauthorized,
                read_only: flag(&record, "readOnly"),
                enabled: flag(&record, "enabled"),
                sealed_http_proxy: text(&record, "httpProxy"),
                pool_name_label: text(&record, "poolNameLabel").or(there.pool_name_label),
                pool_name_description: text(&record, "poolNameDescription").or(there.pool_name_description),
                pool_members_addresses: addresses,
                // Of certificates today's product knows nothing.
                fingerprint: there.fingerprint.filter(|_| there.host == host),
                pool_id: there.pool_id.filter(|_| there.host == host),
                pool_members_fingerprints: there.pool_members_fingerprints.filter(|_| there.host == host),
                host: host.clone(),
            };
            hosts.insert(host, id.clone());
            self.settle(&id, name, &server, notes)?;
        }
        Ok(())
    }

    fn tags(&mut self, records: Vec<RawRecord>) -> Result<(), TransferError> {
        for mut record in records {
            let Some(id) = text(&record, "id") else {
                self.left_out(TagRecord::COLLECTION, "?".to_owned(), "it has no id");
                continue;
            };
            let color = text(&record, "color");
            record.remove("id");
            record.remove("color");
            let tag = TagRecord { color, rest: record };
            self.settle(&id, id.clone(), &tag, Vec::new())?;
        }
        Ok(())
    }
}

/// By address: a time, or an object with one.
fn last_uses(record: &RawRecord) -> BTreeMap<String, i64> {
    let read = |(address, used): (String, Value)| {
        let at = time(Some(&used)).or_else(|| time(used.get("timestamp")))?;
        Some((address, at))
    };
    let mut uses: Vec<(String, i64)> = object(record, "last_uses").into_iter().filter_map(read).collect();
    uses.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    uses.truncate(crate::auth::tokens::LAST_USES);
    uses.into_iter().collect()
}
