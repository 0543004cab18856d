//! Today's Redis, read and never written (contract/storage.md sections 1 and 2).

use super::{
    Export, KINDS, TransferError,
    encryption::{Keys, MARK},
};
use crate::persist::{RawRecord, redis::Address};
use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// For a connection, and for each answer.
const WAIT: Duration = Duration::from_secs(10);
/// Records that are asked for at once.
const AT_ONCE: usize = 200;
/// Layout that is known.
const VERSION: &str = "20170905";
/// Members of a job that are texts; all others hold JSON.
const TEXTS_OF_JOBS: &[&str] = &[
    "type",
    "name",
    "key",
    "method",
    "mode",
    "compression",
    "userId",
    "runId",
];

struct Source<'a> {
    address: &'a Address,
    connection: MultiplexedConnection,
}

impl Source<'_> {
    fn fail(&self, error: impl std::fmt::Display) -> TransferError {
        TransferError::Redis(format!("{}: {error}", self.address))
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, TransferError> {
        let answer = tokio::time::timeout(WAIT, command.query_async(&mut self.connection)).await;
        match answer {
            Ok(answer) => answer.map_err(|error: redis::RedisError| self.fail(error)),
            Err(_) => Err(self.fail("no answer in time")),
        }
    }
}

fn command(name: &str, arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd(name);
    for argument in arguments {
        command.arg(*argument);
    }
    command
}

/// Everything that is there. `keys` are needed where records are encrypted.
pub async fn read(address: &Address, keys: Option<&Keys>) -> Result<Export, TransferError> {
    let connection = address.connect(WAIT).await;
    let connection = connection.map_err(|error| TransferError::Redis(format!("{address}: {error}")))?;
    let mut source = Source { address, connection };
    let mut export = Export::default();
    let mut found = false;
    for kind in KINDS {
        let Some(namespace) = kind.namespace else {
            continue;
        };
        let version: Option<String> = source
            .ask(&command("GET", &[&format!("xo:{namespace}:version")]))
            .await?;
        if let Some(version) = version.filter(|version| version != VERSION) {
            return Err(source.fail(format!(
                "xo:{namespace} has the layout {version}; the one that is known is {VERSION}"
            )));
        }
        let mut ids: Vec<String> = source
            .ask(&command("SMEMBERS", &[&format!("xo:{namespace}_ids")]))
            .await?;
        ids.sort_unstable();
        found |= !ids.is_empty();
        let mut records = Vec::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            for (id, record) in some(&mut source, namespace, ids, keys).await? {
                match record {
                    Ok(record) => records.push(record),
                    // The id of a token is its secret.
                    Err(why) if namespace == "token" => {
                        export.notes.push(format!("a token cannot come: {why}"));
                    }
                    Err(why) => export.notes.push(format!("{namespace} {id} cannot come: {why}")),
                }
            }
        }
        if namespace == "job" {
            records.iter_mut().for_each(unpack);
        }
        export.entries.insert(kind.entry, records);
    }
    if !found {
        return Err(TransferError::NothingThere(address.to_string()));
    }
    export.notes.push(
        "resource sets and IP pools are not in its Redis, but in a LevelDB: a configuration export brings them".to_owned(),
    );
    Ok(export)
}

type Read = Result<RawRecord, String>;

async fn some(
    source: &mut Source<'_>,
    namespace: &str,
    ids: &[String],
    keys: Option<&Keys>,
) -> Result<Vec<(String, Read)>, TransferError> {
    let names: Vec<String> = ids.iter().map(|id| format!("xo:{namespace}:{id}")).collect();
    let mut get = redis::cmd("MGET");
    names.iter().for_each(|name| {
        get.arg(name);
    });
    let texts: Vec<Option<String>> = source.ask(&get).await?;
    let mut records = Vec::with_capacity(ids.len());
    for ((id, name), text) in ids.iter().zip(&names).zip(texts) {
        let record = match text {
            Some(text) => decode(&text, keys, namespace)?,
            // Of yore: a hash. Where there is nothing, it has no members.
            None => {
                let members: Result<BTreeMap<String, String>, _> =
                    source.ask(&command("HGETALL", &[name])).await;
                match members? {
                    members if members.is_empty() => Err("its record is not there".to_owned()),
                    members => Ok(members
                        .into_iter()
                        .map(|(name, value)| (name, Value::String(value)))
                        .collect()),
                }
            }
        };
        let with_id = record.map(|mut record: RawRecord| {
            record.insert("id".to_owned(), id.as_str().into());
            record
        });
        records.push((id.clone(), with_id));
    }
    Ok(records)
}

/// A record that is damaged is left out; a key that is missing or wrong ends everything.
fn decode(text: &str, keys: Option<&Keys>, namespace: &str) -> Result<Read, TransferError> {
    let clear;
    let text = match text.strip_prefix(MARK) {
        None => text,
        Some(encrypted) => {
            let keys = keys.ok_or(TransferError::KeyMissing)?;
            clear = keys
                .decrypt(encrypted)
                .ok_or_else(|| TransferError::WrongKey(namespace.to_owned()))?;
            &clear
        }
    };
    Ok(match serde_json::from_str(text) {
        Ok(Value::Object(record)) => Ok(record),
        Ok(_) => Err("it is no record".to_owned()),
        Err(_) => Err("it is not JSON".to_owned()),
    })
}

/// Every member of a job but its texts is JSON in a text.
fn unpack(job: &mut RawRecord) {
    for (name, value) in job.iter_mut() {
        if name == "id" || TEXTS_OF_JOBS.contains(&name.as_str()) {
            continue;
        }
        if let Some(Ok(inner)) = value.as_str().map(serde_json::from_str) {
            *value = inner;
        }
    }
}
