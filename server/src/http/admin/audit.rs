//! `/admin/audit`

use super::visit::{Admin, AdminForm, Page, Visit, Wrong};
use crate::audit::Record;
use ::app::{
    pages::admin::audit::{self, AuditLog, AuditPage, AuditPageProps},
    routes::{self, encoded},
};
use serde_json::{Value, json};

const RECORDS: usize = 100;
/// Bytes of the details of one record.
const LONGEST_DETAILS: usize = 8 << 10;

pub async fn show(Admin(visit): Admin) -> Page {
    page(&visit, Wrong::default()).await
}

/// `2026-11-23T03:30` in UTC, as browsers write it.
fn time(text: &str) -> Option<i64> {
    let time: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_millisecond())
}

async fn page(visit: &Visit, mut wrong: Wrong) -> Page {
    let query = &visit.query;
    let mut params = query.params(&[], &["id", "user", "method", "event"]);
    params.insert("maxRecords".to_owned(), (RECORDS + 1).into());
    wrong.entered.form = "filter".to_owned();
    wrong.entered.typed = query.0.clone();
    for name in ["after", "before"] {
        let text = query.get(name);
        match time(text) {
            _ if text.is_empty() => {}
            Some(at) => drop(params.insert(name.to_owned(), at.into())),
            None => {
                let words = "A date and a time are expected, such as 2026-11-23T09:30.";
                wrong.entered.errors.push((name.to_owned(), words.to_owned()));
            }
        }
    }
    let mut records: Vec<Record> = visit.read("audit.getRecords", params).await?;
    let next = records.get(RECORDS).map(|record| record.id.clone());
    records.truncate(RECORDS);
    let older = next.map(|id| {
        let kept = query
            .0
            .iter()
            .filter(|(name, value)| name != "id" && !value.is_empty());
        let kept: String = kept
            .map(|(name, value)| format!("&{}={}", encoded(name), encoded(value)))
            .collect();
        format!("{}?id={}{kept}", routes::ADMIN_AUDIT, encoded(&id))
    });
    let log = AuditLog {
        records: records.iter().map(shown).collect(),
        older,
        is_past: !query.get("id").is_empty(),
        entered: wrong.entered.clone(),
    };
    visit.page("Audit log", routes::ADMIN_AUDIT, &wrong, || {
        AuditPage(AuditPageProps { log })
    })
}

/// Names of the objects that a call was about, as they were then.
fn on_what(params: &Value) -> String {
    let objects = params["$objects"].as_object().into_iter().flatten();
    let names = objects.filter_map(|(_, object)| object["name"].as_str().or(object["id"].as_str()));
    names.map(|name| format!(" {name}")).collect()
}

fn shown(record: &Record) -> audit::Record {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (subject, data) = (&record.subject, &record.data);
    let event = match record.event.as_str() {
        "apiCall" => format!("{}{}", text(&data["method"]), on_what(&data["params"])),
        "signIn" => format!("signed in with {}", text(&data["with"])),
        "signInFailed" => format!("tried to sign in with {}", text(&data["with"])),
        "signOut" => "signed out".to_owned(),
        "apiCallsRefused" => "calls that were refused, too many to be noted one by one".to_owned(),
        "logBegins" => "the log begins".to_owned(),
        "logIsSealed" => "the log is sealed from here on".to_owned(),
        "logDamaged" => "the end of the log was not readable".to_owned(),
        "logTrimmed" => "the oldest records were dropped".to_owned(),
        other => other.to_owned(),
    };
    let failed = match (&record.event[..], data["outcome"].as_str()) {
        ("signInFailed", _) => Some("refused".to_owned()),
        (_, Some("failure")) => Some(text(&data["error"]["message"])),
        _ => None,
    };
    let mut details = serde_json::to_string_pretty(data).unwrap_or_default();
    if details.len() > LONGEST_DETAILS {
        let mut end = LONGEST_DETAILS;
        while !details.is_char_boundary(end) {
            end -= 1;
        }
        details.truncate(end);
        details.push('…');
    }
    audit::Record {
        id: record.id.clone(),
        time: record.time,
        event,
        user: [text(&subject["userName"]), text(&subject["userId"])]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or_else(|| {
                let whose = if record.event.starts_with("log") {
                    "the server"
                } else {
                    "somebody"
                };
                whose.to_owned()
            }),
        address: text(&subject["userIp"]),
        failed,
        details,
    }
}

pub async fn change(AdminForm(visit, form): AdminForm) -> Page {
    if form.get("form") != "verify" {
        return visit.unknown_form();
    }
    match visit.call("audit.checkIntegrity", json!({})).await {
        Ok(records) => visit.done(routes::ADMIN_AUDIT, &format!("audit-whole.{records}")),
        Err(error) => page(&visit, Wrong::of(&error, &form, &[])).await,
    }
}
