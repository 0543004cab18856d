//! Records that are kept for modules that come later: their secrets are sealed, the rest stays as it is.

use super::values::{flag, parsed, text};
use crate::persist::{RawRecord, secrets::SEALED};
use serde_json::Value;

/// What it is called in today's record, and in ours behind [`SEALED`].
const SECRETS: &[(&str, &str, &str)] = &[
    ("remotes", "url", "url"),
    ("plugins", "configuration", "configuration"),
    ("proxies", "authenticationToken", "authentication_token"),
];

/// Ours of today's; secrets are in clear still, under their sealed names.
pub(super) fn ours(entry: &str, mut record: RawRecord) -> RawRecord {
    record.remove("id");
    for (of, theirs, ours) in SECRETS {
        if of == &entry
            && let Some(secret) = record.remove(*theirs)
            && !secret.is_null()
        {
            let secret = match secret {
                Value::String(text) => text,
                other => other.to_string(),
            };
            record.insert(format!("{SEALED}{ours}"), secret.into());
        }
    }
    match entry {
        "remotes" => {
            record.remove("error");
            boolean(&mut record, "enabled");
            if let Some(benchmarks) = parsed(&record, "benchmarks") {
                record.insert("benchmarks".to_owned(), benchmarks);
            }
        }
        "plugins" => boolean(&mut record, "autoload"),
        "schedules" => {
            boolean(&mut record, "enabled");
            if let Some(job) = record.remove("job")
                && text(&record, "jobId").is_none()
            {
                record.insert("jobId".to_owned(), job);
            }
        }
        // What runs there does not run here.
        "jobs" => {
            record.remove("runId");
        }
        _ => {}
    }
    record
}

/// Today's of ours.
pub(super) fn theirs(entry: &str, id: &str, mut record: RawRecord) -> RawRecord {
    for (of, theirs, ours) in SECRETS {
        if of == &entry
            && let Some(secret) = record.remove(&format!("{SEALED}{ours}"))
        {
            // A configuration is a value there; a text that is no JSON stays a text.
            let value = match secret.as_str().map(serde_json::from_str) {
                Some(Ok(value)) if *theirs == "configuration" => value,
                _ => secret,
            };
            record.insert((*theirs).to_owned(), value);
        }
    }
    record.insert("id".to_owned(), id.into());
    record
}

fn boolean(record: &mut RawRecord, name: &str) {
    if record.contains_key(name) {
        let value = flag(record, name);
        record.insert(name.to_owned(), value.into());
    }
}
