//! xo.*: the inventory, whole or filtered, and the configuration as a file (contract/methods.md).

use crate::{
    audit::without_secrets,
    http::{
        downloads::{Content, Download},
        one_time::Owner,
        uploads::{Done, Taken, Upload},
    },
    inventory::Object,
    rpc::{
        error::{Failure, invalid_param, shortened},
        filter_turns,
        registry::{Call, Method, Outcome, Permission},
        schema::{any_of, array, boolean, number, string},
    },
    transfer::{self, Fate, Line, TransferError},
};
use app::{
    model::ObjectType,
    query::{ast::Query, pattern, text},
    rpc::{ErrorCode, RpcError},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

pub fn methods() -> Vec<Method> {
    vec![
        Method::new(
            "xo.getAllObjects",
            Permission::SignedIn,
            "returns all XO objects",
            get_all_objects,
        )
        .reads()
        .params([
            ("filter", any_of(&["object", "string"]).or_empty().optional()),
            ("limit", number().optional()),
            ("ndjson", boolean().optional()),
        ]),
        Method::new(
            "xo.clean",
            Permission::Admin,
            "remove what nobody needs any more: expired tokens, tokens and rights of users and groups that are gone",
            clean,
        ),
        Method::new(
            "xo.exportConfig",
            Permission::Admin,
            "the configuration as a file, with its secrets",
            export_config,
        )
        .params([
            ("compress", boolean().default_to(true)),
            ("entries", array(string()).optional()),
            ("passphrase", string().secret().optional()),
        ]),
        Method::new(
            "xo.importConfig",
            Permission::Admin,
            "take up a configuration that was exported",
            import_config,
        )
        .params([("passphrase", string().secret().optional())]),
    ]
}

async fn clean(call: Call) -> Result<Outcome, Failure> {
    let (accounts, access) = (&call.app.accounts, &call.app.access);
    let tokens = accounts.sweep_tokens().await?;
    // Nobody comes or goes meanwhile.
    let _people = accounts.hold().await;
    let is_known = |subject: &str| accounts.user(subject).is_some() || accounts.group(subject).is_some();
    let entries = access.forget_strangers(is_known).await?;
    Ok(Outcome::Value(json!({ "tokens": tokens, "acls": entries })))
}

/// Of what an import changed, by name in the audit log.
const MOST_NAMES: usize = 100;
const LONGEST_NAME: usize = 100;

/// Today's product encrypts by OpenPGP; a file that is not is better than one that nobody can read.
fn refuse_passphrase(call: &Call) -> Result<(), Failure> {
    match call.text("passphrase") {
        None => Ok(()),
        Some(_) => {
            let reason = "files with a passphrase (OpenPGP) are not written and read here: use gpg";
            Err(invalid_param("/passphrase", reason).into())
        }
    }
}

async fn export_config(call: Call) -> Result<Outcome, Failure> {
    refuse_passphrase(&call)?;
    let chosen = call.params.get("entries").and_then(Value::as_array);
    let chosen: Option<Vec<String>> = chosen.map(|entries| {
        entries
            .iter()
            .filter_map(|entry| entry.as_str().map(str::to_owned))
            .collect()
    });
    let exported = call.app.export_config(chosen.as_deref()).await;
    let exported = exported.map_err(|error| match error {
        TransferError::UnknownEntry(_) => invalid_param("/entries", &error.to_string()).into(),
        error => Failure::internal(error.to_string()),
    })?;
    let mut bytes = exported.to_string().into_bytes();
    let mut name = format!(
        "XO-config_{}.json",
        jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ")
    );
    let compress = call.flag("compress");
    if compress {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let compressed = encoder.write_all(&bytes).and_then(|()| encoder.finish());
        bytes = compressed.map_err(|error| Failure::internal(error.to_string()))?;
        name.push_str(".gz");
    }
    let kind = if compress {
        "application/gzip"
    } else {
        "application/json"
    };
    let download = Download {
        content_type: kind,
        name: Some(name),
        content: Content::Whole(bytes.into()),
        noted: Some("xo.exportConfig"),
    };
    let path = call.app.downloads.offer(Owner::of(&call)?, download);
    Ok(Outcome::Value(json!({ "$getFrom": path })))
}

async fn import_config(call: Call) -> Result<Outcome, Failure> {
    refuse_passphrase(&call)?;
    let app = call.app.clone();
    let take = move |bytes: Bytes| -> Taken {
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || transfer::read(&bytes)).await;
            let export = read
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())?;
            let lines = app
                .import_config(export)
                .await
                .map_err(|error| error.to_string())?;
            Ok(Done {
                summary: summary(&lines),
                text: lines.iter().map(|line| format!("{line}\n")).collect(),
            })
        })
    };
    let upload = Upload {
        method: "xo.importConfig",
        longest: transfer::LONGEST,
        take: Box::new(take),
    };
    let path = call.app.uploads.expect(Owner::of(&call)?, upload);
    Ok(Outcome::Value(json!({ "$sendTo": path })))
}

/// What an import changed, for the audit log: how many records of each kind, and the first of them by name.
fn summary(lines: &[Line]) -> Value {
    let (mut counts, mut names) = (json!({}), Vec::new());
    for line in lines {
        let fate = match line.fate {
            Fate::New => "new",
            Fate::Changed => "changed",
            Fate::Removed => "removed",
            Fate::Same | Fate::LeftOut => continue,
        };
        let count = &mut counts[line.collection][fate];
        *count = (count.as_u64().unwrap_or_default() + 1).into();
        if names.len() < MOST_NAMES {
            let name = without_secrets(&shortened(&line.name, LONGEST_NAME));
            names.push(format!("{fate} {} {name}", line.collection));
        }
    }
    json!({ "counts": counts, "first": names })
}

/// A filter that takes longer is given up.
const FILTERING: Duration = Duration::from_secs(5);

/// A filter is held against every object: its length times sixty thousand.
const LONGEST_TEXT: usize = 4_096;
/// Values in a pattern, those within others counted.
const LARGEST_PATTERN: usize = 1_000;

fn size(pattern: &Value) -> usize {
    1 + match pattern {
        Value::Array(items) => items.iter().map(size).sum::<usize>(),
        Value::Object(members) => members.values().map(size).sum(),
        Value::String(text) => text.len() / LONGEST_TEXT * LARGEST_PATTERN,
        _ => 0,
    }
}

enum Filter {
    All,
    /// `{type: "VM"}`, which nearly every client sends: needs no look into the JSON.
    Kind(ObjectType),
    Nothing,
    Pattern(Value),
    Text(Query),
}

impl Filter {
    fn read(filter: Option<&Value>) -> Result<Self, Failure> {
        let too_long = match filter {
            Some(Value::String(source)) => source.len() > LONGEST_TEXT,
            Some(pattern) => size(pattern) > LARGEST_PATTERN,
            None => false,
        };
        if too_long {
            return Err(invalid_param("/filter", "the filter is too long").into());
        }
        Ok(match filter {
            None | Some(Value::Null) => Self::All,
            Some(Value::String(source)) if source.trim().is_empty() => Self::All,
            Some(Value::String(source)) => {
                Self::Text(text::parse(source).map_err(|error| invalid_param("/filter", &error.to_string()))?)
            }
            Some(Value::Object(members)) if members.is_empty() => Self::All,
            Some(Value::Object(members)) if members.len() == 1 && members.contains_key("type") => {
                match members["type"].as_str() {
                    Some(name) => name.parse().map_or(Self::Nothing, Self::Kind),
                    None => Self::Pattern(Value::Object(members.clone())),
                }
            }
            Some(other) => Self::Pattern(other.clone()),
        })
    }

    fn is_all(wanted: Option<&Value>) -> bool {
        match wanted {
            None | Some(Value::Null) => true,
            Some(Value::String(source)) => source.trim().is_empty(),
            Some(Value::Object(members)) => members.is_empty(),
            Some(_) => false,
        }
    }

    /// Whether it looks into the JSON of objects.
    fn is_costly(wanted: Option<&Value>) -> bool {
        let by_type = |members: &Map<String, Value>| members.len() == 1 && members["type"].is_string();
        !Self::is_all(wanted)
            && !wanted
                .and_then(Value::as_object)
                .is_some_and(|members| members.contains_key("type") && by_type(members))
    }

    fn matches(&self, object: &Object) -> bool {
        let json = || serde_json::from_slice::<Value>(&object.json).unwrap_or_default();
        match self {
            Self::All => true,
            Self::Kind(kind) => object.kind == *kind,
            Self::Nothing => false,
            Self::Pattern(wanted) => {
                // The type decides in most cases, and is known without a look.
                let of_type = wanted["type"]
                    .as_str()
                    .is_none_or(|name| name == object.kind.as_str());
                of_type && pattern::matches(wanted, &json())
            }
            Self::Text(query) => query.matches(&json()),
        }
    }
}

async fn get_all_objects(call: Call) -> Result<Outcome, Failure> {
    let wanted = call.params.get("filter").cloned();
    let limit = match call.params.get("limit").and_then(Value::as_f64) {
        Some(limit) => limit.max(0.0) as usize,
        None => usize::MAX,
    };
    let user = call.caller()?.clone();
    let app = call.app.clone();
    let ndjson = call.flag("ndjson");
    let all = app.access.sees_everything(&user) && Filter::is_all(wanted.as_ref());
    if all && limit == usize::MAX && !ndjson {
        let whole = app.listings.whole(&user.id, &app.inventory).await?;
        return Ok(Outcome::Json(vec![whole]));
    }
    // One that looks into every object's JSON takes a turn; and all of it is off the threads that answer others.
    let turn = if Filter::is_costly(wanted.as_ref()) {
        Some(filter_turns::of(&user.id).await?)
    } else {
        None
    };
    let closing = call.connection.closing.clone();
    let selected = tokio::task::spawn_blocking(move || -> Result<Vec<Arc<Object>>, Failure> {
        let _turn = turn;
        let until = Instant::now() + FILTERING;
        let filter = Filter::read(wanted.as_ref())?;
        let mut selected = Vec::new();
        for object in app.access.visible(&user) {
            if selected.len() >= limit || closing.is_cancelled() {
                break;
            }
            if Instant::now() > until {
                return Err(RpcError::new(ErrorCode::OPERATION_FAILED, "the filter takes too long").into());
            }
            if filter.matches(&object) {
                selected.push(object);
            }
        }
        Ok(selected)
    });
    let selected = selected
        .await
        .map_err(|error| Failure::internal(error.to_string()))??;
    if ndjson {
        let download = Download {
            content_type: "application/json",
            name: None,
            content: Content::Objects(selected),
            noted: None,
        };
        let path = call.app.downloads.offer(Owner::of(&call)?, download);
        return Ok(Outcome::Value(json!({ "$getFrom": path })));
    }
    let listing = call.app.listings.of(&call.caller()?.id, selected).await?;
    Ok(Outcome::Json(vec![listing]))
}
