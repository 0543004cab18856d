//! `event.from`: state-based, coalesced changes since a token. At most one event per object and answer, ordered
//! messages, adds, mods, dels; deletions come from a bounded history, so a client too far behind misses some.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Call, sessions};
use crate::db::{Db, Ref};
use crate::fault::Fault;
use crate::model::{Class, model};
use crate::value::Value;
use crate::wire::{Wire, json, xml};

/// What `event.from` waits at most when the time-out makes no sense.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

pub struct Batch {
    events: Vec<Event>,
    /// Absent for `event.next`, whose answer is a bare list.
    rest: Option<Rest>,
}

struct Rest {
    counts: Vec<(&'static str, usize)>,
    token: String,
}

pub struct Event {
    pub id: u64,
    /// `event.from` has no times: 0.
    pub timestamp: i64,
    pub class: &'static Class,
    pub operation: &'static str,
    pub reference: Ref,
    pub snapshot: Option<Arc<str>>,
}

/// What a client listens to: whole classes, or single objects.
pub struct Subscription {
    everything: bool,
    classes: Vec<bool>,
    objects: Vec<(usize, String)>,
}

impl Subscription {
    pub fn parse(filters: &Value) -> Result<Subscription, Fault> {
        let mut parsed = Subscription {
            everything: false,
            classes: vec![false; model().classes.len()],
            objects: vec![],
        };
        for filter in filters.set() {
            let filter = filter.str();
            let failure = || Fault::new("EVENT_SUBSCRIPTION_PARSE_FAILURE", [filter]);
            if filter == "*" {
                parsed.everything = true;
                continue;
            }
            let mut parts = filter.split('/');
            let name = parts.next().filter(|name| !name.is_empty()).ok_or_else(failure)?;
            let object = parts.next();
            if parts.next().is_some() {
                return Err(failure());
            }
            // Unknown classes are accepted and never match.
            let Some(class) = model().class_of_any_case(name) else {
                continue;
            };
            match object {
                Some(reference) => parsed.objects.push((class.id, reference.to_owned())),
                None => parsed.classes[class.id] = true,
            }
        }
        Ok(parsed)
    }

    pub fn wants(&self, class: usize, reference: &str) -> bool {
        self.wants_class(class)
            || self
                .objects
                .iter()
                .any(|(id, object)| *id == class && object == reference)
    }

    fn wants_class(&self, class: usize) -> bool {
        self.everything || self.classes[class]
    }

    pub fn may_want(&self, class: usize) -> bool {
        self.wants_class(class) || self.objects.iter().any(|(id, _)| *id == class)
    }
}

pub async fn from(call: &Call, params: &[Value]) -> Result<Batch, Fault> {
    let wanted = Subscription::parse(&params[0])?;
    let (since, messages_since) = parse_token(params[1].str())?;
    let timeout = Duration::try_from_secs_f64(params[2].float())
        .unwrap_or(LONGEST_WAIT)
        .min(LONGEST_WAIT);
    let deadline = Instant::now() + timeout;
    let mut changes = call.pool.changes();
    loop {
        changes.mark_unchanged();
        let (mut batch, candidate) = {
            let db = call.pool.db();
            sessions::check(&db, &call.session)?;
            let batch = collect(&db, &wanted, since, messages_since, call.wire);
            let candidate = match call.pool.faults().vanishing.left() {
                0 => None,
                _ => vanishing(&db, &batch.events),
            };
            (batch, candidate)
        };
        let ready = !batch.events.is_empty();
        if let Some(at) = candidate
            && call.pool.faults().vanishing.take()
        {
            let gone = batch.events.remove(at);
            call.write(|db| match gone.class.name.as_str() {
                "VM" => crate::ops::clone::remove(db, &gone.reference),
                class => drop(db.destroy(class, &gone.reference)),
            });
        }
        if ready || Instant::now() >= deadline {
            return Ok(batch);
        }
        if tokio::time::timeout_at(deadline, changes.changed()).await.is_ok() {
            // Changes that belong together arrive together.
            tokio::time::sleep(Duration::from_millis(call.pool.config.batch_ms)).await;
        }
    }
}

/// Which of the events tells of an object that may be gone before it is looked at: a task, above all one that nobody
/// waits for; else a device, a disk that no VM has, or a VM that does not run. The rest does not go by itself.
fn vanishing(db: &Db, events: &[Event]) -> Option<usize> {
    let rank = |event: &Event| -> Option<u8> {
        let present = event.operation != "del" && event.class.in_database;
        if !present || !db.exists(&event.class.name, &event.reference) {
            return None;
        }
        Some(match event.class.name.as_str() {
            "task" => {
                let name = db.get("task", &event.reference, "name_label").str();
                u8::from(name.starts_with("Async."))
            }
            "VIF" | "VUSB" | "blob" => 2,
            "VBD" => 3,
            "VDI" if db.get("VDI", &event.reference, "VBDs").set().is_empty() => 4,
            "VM" if db.get("VM", &event.reference, "power_state").str() == "Halted"
                && !db.get("VM", &event.reference, "is_default_template").bool()
                && db
                    .get("VM", &event.reference, "current_operations")
                    .map()
                    .is_empty() =>
            {
                5
            }
            _ => return None,
        })
    };
    let ranked = events.iter().enumerate();
    let ranked = ranked.filter_map(|(at, event)| Some((rank(event)?, at)));
    ranked.min().map(|(_, at)| at)
}

pub fn token(db: &Db) -> String {
    format!("{0:020},{0:020}", db.generation())
}

fn parse_token(token: &str) -> Result<(u64, u64), Fault> {
    if token.is_empty() {
        return Ok((0, 0));
    }
    let numbers = token
        .split_once(',')
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.ok_or_else(|| Fault::new("EVENT_FROM_TOKEN_PARSE_FAILURE", [token]))
}

fn collect(db: &Db, wanted: &Subscription, since: u64, messages_since: u64, wire: Wire) -> Batch {
    let mut found: Vec<(u8, Event)> = Vec::new();
    let message = crate::db::class("message");
    let event = |order: u8, class: &'static Class, reference: &Ref, generation: u64, snapshot| {
        let id = if class.id == message.id { 0 } else { generation };
        let operation = ["add", "add", "mod", "del"][usize::from(order)];
        (
            order,
            Event {
                id,
                timestamp: 0,
                class,
                operation,
                reference: reference.clone(),
                snapshot,
            },
        )
    };
    for (class, reference) in db.changed_since(since.min(messages_since)) {
        if !wanted.wants(*class, reference) {
            continue;
        }
        let class = &model().classes[*class];
        let Ok(row) = db.row(class, reference) else {
            continue;
        };
        let is_message = class.id == message.id;
        let since = if is_message { messages_since } else { since };
        let order = match (is_message, row.created > since) {
            (true, true) => 0,
            (false, true) => 1,
            (false, false) if row.modified > since => 2,
            _ => continue,
        };
        found.push(event(
            order,
            class,
            reference,
            row.modified,
            Some(row.render(class, wire)),
        ));
    }
    for class in model()
        .classes
        .iter()
        .filter(|class| class.has_events && wanted.may_want(class.id))
    {
        let since = if class.id == message.id {
            messages_since
        } else {
            since
        };
        let lost = db
            .deletions(class)
            .filter(|gone| gone.deleted > since && gone.created <= since);
        let lost = lost.filter(|gone| wanted.wants(class.id, &gone.reference));
        found.extend(lost.map(|gone| event(3, class, &gone.reference, gone.deleted, None)));
    }
    found
        .sort_unstable_by(|(a, x), (b, y)| (a, x.class.id, &x.reference).cmp(&(b, y.class.id, &y.reference)));
    Batch {
        events: found.into_iter().map(|(_, event)| event).collect(),
        rest: Some(Rest {
            counts: db
                .counts()
                .map(|(class, count)| (class.lower_name.as_str(), count))
                .collect(),
            token: token(db),
        }),
    }
}

impl Batch {
    /// The bare list that `event.next` answers.
    pub fn list(events: Vec<Event>) -> Batch {
        Batch { events, rest: None }
    }

    pub fn render(&self, wire: Wire) -> String {
        let size = self
            .events
            .iter()
            .map(|event| 400 + event.snapshot.as_ref().map_or(0, |s| s.len()))
            .sum();
        let mut out = String::with_capacity(size);
        match wire {
            Wire::Json => self.json(&mut out),
            Wire::Xml => self.xml(&mut out),
        }
        out
    }

    fn json(&self, out: &mut String) {
        out.push_str(if self.rest.is_some() {
            r#"{"events":["#
        } else {
            "["
        });
        for (at, event) in self.events.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.extend([
                r#"{"id":""#,
                &event.id.to_string(),
                r#"","timestamp":""#,
                &format!("{}.0", event.timestamp),
            ]);
            out.extend([
                r#"","class":""#,
                &event.class.lower_name,
                r#"","operation":""#,
                event.operation,
            ]);
            out.extend([r#"","ref":"#]);
            json::string(out, &event.reference);
            if let Some(snapshot) = &event.snapshot {
                out.extend([r#","snapshot":"#, snapshot]);
            }
            out.push('}');
        }
        out.push(']');
        let Some(rest) = &self.rest else { return };
        out.push_str(r#","valid_ref_counts":{"#);
        for (at, (class, count)) in rest.counts.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            out.extend([comma, "\"", class, "\":", &count.to_string()]);
        }
        out.extend([r#"},"token":""#, &rest.token, "\"}"]);
    }

    fn xml(&self, out: &mut String) {
        if self.rest.is_some() {
            out.push_str("<value><struct><member><name>events</name>");
        }
        out.push_str("<value><array><data>");
        for event in &self.events {
            let text = |out: &mut String, name: &str, value: &str| {
                out.extend(["<member><name>", name, "</name><value>"]);
                xml::escape(out, value);
                out.push_str("</value></member>");
            };
            out.push_str("<value><struct>");
            text(out, "id", &event.id.to_string());
            text(out, "timestamp", &format!("{}.0", event.timestamp));
            text(out, "class", &event.class.lower_name);
            text(out, "operation", event.operation);
            text(out, "ref", &event.reference);
            if let Some(snapshot) = &event.snapshot {
                out.extend(["<member><name>snapshot</name>", snapshot, "</member>"]);
            }
            out.push_str("</struct></value>");
        }
        out.push_str("</data></array></value>");
        let Some(rest) = &self.rest else { return };
        let counts = rest
            .counts
            .iter()
            .map(|(class, count)| (*class, Value::Int32(*count as i32)));
        out.push_str("</member><member><name>valid_ref_counts</name>");
        xml::write(out, &Value::map_of(counts));
        out.push_str("</member><member><name>token</name>");
        xml::write(out, &Value::from(&rest.token));
        out.push_str("</member></struct></value>");
    }
}
