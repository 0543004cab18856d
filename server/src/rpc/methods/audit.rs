//! audit.*: what was done, and whether the log of it is whole (contract/methods.md; a plugin in today's product).

use crate::{
    audit::{self, Problem, Record, Wanted},
    http::{
        downloads::{Content, Download},
        one_time::Owner,
    },
    rpc::{
        error::{Failure, shortened},
        registry::{Call, Method, Outcome, Permission},
        schema::{any_of, boolean, number, string},
    },
};
use app::rpc::{ErrorCode, RpcError};
use serde_json::{Value, json};
use std::{ops::ControlFlow, path::Path};

/// Records in one answer, unless fewer are asked for.
const MOST_RECORDS: usize = 1_000;

pub fn methods() -> Vec<Method> {
    vec![
        Method::new(
            "audit.getRecords",
            Permission::Admin,
            "records of the audit log, newest first; from `id` back",
            get_records,
        )
        .reads()
        .params([
            ("id", string().optional()),
            ("maxRecords", any_of(&["number", "null"]).optional()),
            ("ndjson", boolean().optional()),
            ("user", string().optional()),
            ("method", string().optional()),
            ("event", string().optional()),
            ("after", number().optional()),
            ("before", number().optional()),
        ]),
        Method::new(
            "audit.checkIntegrity",
            Permission::Admin,
            "follow the chain of records; returns how many are valid",
            check,
        )
        .reads()
        .params([("newest", string().optional()), ("oldest", string().optional())]),
    ]
}

async fn get_records(call: Call) -> Result<Outcome, Failure> {
    let owned = |name| call.text(name).map(str::to_owned);
    let (newest, user, method, event) = (owned("id"), owned("user"), owned("method"), owned("event"));
    let wanted = call.params.get("maxRecords").and_then(Value::as_f64);
    let most = wanted.map_or(MOST_RECORDS, |most| most.max(0.0) as usize);
    let ms = |name| call.params.get(name).and_then(Value::as_f64);
    let (after, before) = (ms("after"), ms("before"));
    let ndjson = call.flag("ndjson");
    let fits = move |record: &Record| {
        let is = |value: &Value, wanted: &Option<String>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| value.as_str() == Some(wanted))
        };
        let by = &record.subject;
        (is(&by["userId"], &user) || is(&by["userName"], &user))
            && is(&record.data["method"], &method)
            && event.as_deref().is_none_or(|event| record.event == event)
            && after.is_none_or(|after| record.time as f64 >= after)
            && before.is_none_or(|before| record.time as f64 <= before)
    };
    let folder = call.app.audit.folder().to_owned();
    if ndjson {
        let download = Download {
            content_type: "application/x-ndjson",
            name: Some("audit.ndjson".to_owned()),
            content: Content::Read(Box::new(move |sender| {
                let send = |record: &Record| sender.send(Ok(format!("{}\n", json!(record)).into()));
                if let Err(error) = walk_fitting(&folder, newest.as_deref(), most, fits, send) {
                    tracing::error!(%error, "the audit log cannot be read");
                    sender.send(Err(error));
                }
            })),
            noted: None,
        };
        let path = call.app.downloads.offer(Owner::of(&call)?, download);
        return Ok(Outcome::Value(json!({ "$getFrom": path })));
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut records = Vec::new();
        let keep = |record: &Record| {
            records.push(record.clone());
            true
        };
        walk_fitting(&folder, newest.as_deref(), most.min(MOST_RECORDS), fits, keep)?;
        Ok(records)
    });
    let records: Vec<Record> = read
        .await
        .map_err(std::io::Error::other)
        .and_then(|read| read)
        .map_err(|error| Failure::internal(error.to_string()))?;
    Outcome::of(records)
}

/// The newest records first that fit, no more than so many, as long as `keep` wants more.
fn walk_fitting(
    folder: &Path,
    newest: Option<&str>,
    most: usize,
    fits: impl Fn(&Record) -> bool,
    mut keep: impl FnMut(&Record) -> bool,
) -> std::io::Result<()> {
    let mut left = most;
    audit::walk_back(folder, newest, |record| {
        if left > 0 && fits(&record) {
            left -= 1;
            if !keep(&record) {
                left = 0;
            }
        }
        if left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
}

async fn check(call: Call) -> Result<Outcome, Failure> {
    let owned = |name| call.text(name).map(str::to_owned);
    let (oldest, newest) = (owned("oldest"), owned("newest"));
    let (folder, key) = (call.app.audit.folder().to_owned(), call.app.audit.key().clone());
    let checked = tokio::task::spawn_blocking(move || {
        let wanted = Wanted {
            oldest: oldest.as_deref(),
            newest: newest.as_deref(),
            contains: None,
        };
        audit::verify(&folder, Some(&key), wanted)
    });
    let checked = checked
        .await
        .map_err(std::io::Error::other)
        .and_then(|checked| checked)
        .map_err(|error| Failure::internal(error.to_string()))?;
    // Today's product looks back from the newest record: the first problem that it meets is our last.
    let valid = checked.valid;
    let altered = |record: Box<Record>| {
        let data = json!({ "id": record.id, "record": record, "nValid": valid });
        RpcError::new(ErrorCode::ALTERED_AUDIT_RECORD, "altered record").with_data(data)
    };
    let missing = |id: String| {
        let data = json!({ "id": shortened(&id, 200), "nValid": valid });
        RpcError::new(ErrorCode::MISSING_AUDIT_RECORD, "missing record").with_data(data)
    };
    match checked.problems.into_iter().last() {
        None => Outcome::of(checked.records),
        Some(Problem::Altered { record, .. } | Problem::Unsealed { record, .. }) => {
            Err(altered(record).into())
        }
        Some(Problem::Missing { id, .. } | Problem::Beheaded { id } | Problem::NotThere { id }) => {
            Err(missing(id).into())
        }
        Some(problem @ Problem::Unreadable { .. }) => Err(Failure::internal(problem.to_string())),
    }
}
