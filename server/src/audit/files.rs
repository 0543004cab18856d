//! The files of the log: `audit-000001.jsonl` and so on, each ending where the next one goes on.

use super::{Key, Record, Subject};
use crate::{auth::tokens::now_ms, rpc::error::shortened};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// A line that is longer is none of ours.
const LONGEST_LINE: u64 = 1 << 20;
/// What is written of a record; of a longer one the size is.
const LONGEST_RECORD: usize = 64 << 10;
/// Characters of a name, an id or an address of who did it.
const LONGEST_WHO: usize = 200;
/// What is kept: the oldest files go when there are more bytes than that, and never before their time.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    pub bytes: u64,
    pub time: Duration,
    /// A file that has grown to this size is followed by another.
    pub file: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            bytes: 4 << 30,
            time: Duration::from_secs(90 * 24 * 3600),
            file: 16 << 20,
        }
    }
}

pub(super) struct Files {
    folder: PathBuf,
    key: Key,
    keep: Keep,
    number: u32,
    file: File,
    size: u64,
    last: Option<String>,
    /// There was none before.
    pub(super) is_new: bool,
}

/// The files in their order.
pub(super) fn numbered(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let number = name
            .strip_prefix("audit-")
            .and_then(|name| name.strip_suffix(".jsonl"));
        if let Some(number) = number.and_then(|number| number.parse().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

fn path_of(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("audit-{number:06}.jsonl"))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

impl Files {
    /// Goes on where the log ends. What cannot be gone on from is never passed over in silence: the first record
    /// tells of it, and is chained to the last one that can be read.
    pub(super) fn open(folder: &Path, key: Key, keep: Keep) -> io::Result<Self> {
        let files = numbered(folder)?;
        let number = files.last().map_or(1, |(number, _)| *number);
        let path = path_of(folder, number);
        let aside = put_aside_unfinished(&path)?;
        let end = End::of(&files)?;
        let file = open(&path)?;
        let mut log = Self {
            folder: folder.to_owned(),
            key,
            keep,
            number,
            size: file.metadata()?.len(),
            file,
            is_new: end.last.is_none(),
            last: end.last.as_ref().map(|record| record.id.clone()),
        };
        let mut tell = |event, data| log.append(event, &Subject::default(), data);
        if let Some(mut aside) = aside {
            tracing::warn!(file = %path.display(), "the last record of the audit log is unfinished and was put aside");
            aside["why"] = "the last record was unfinished: it was put aside".into();
            tell("logDamaged", aside)?;
        }
        if let Some(mut damage) = end.damage {
            tracing::error!(
                %damage,
                "the end of the audit log is not readable: it was altered or damaged. It goes on behind that"
            );
            damage["why"] =
                "what stands before this record and after the previous one is not readable".into();
            tell("logDamaged", damage)?;
        }
        match end.last {
            None => tell("logBegins", json!({}))?,
            Some(last) if last.mac.is_none() => tell("logIsSealed", json!({ "unsealedUpTo": last.id }))?,
            Some(_) => {}
        }
        Ok(log)
    }

    pub(super) fn append(&mut self, event: &str, subject: &Subject, data: Value) -> io::Result<()> {
        if self.size >= self.keep.file {
            self.next_file()?;
        }
        let mut who = json!({});
        let members = [
            (
                "userIp",
                Some(&subject.address).filter(|address| !address.is_empty()),
            ),
            ("userId", subject.user_id.as_ref()),
            ("userName", subject.user_name.as_ref()),
            ("namePseudonym", subject.pseudonym.as_ref()),
        ];
        for (name, text) in members {
            if let Some(text) = text {
                who[name] = shortened(text, LONGEST_WHO).into();
            }
        }
        let record = |data| {
            let mut record = Record::new(self.last.clone(), now_ms(), event, who.clone(), data);
            record.mac = Some(self.key.mac(&record.id));
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            Ok::<_, io::Error>((record.id, line))
        };
        // What must be told whatever the rest is.
        let brief = json!({ "method": data["method"], "outcome": data["outcome"] });
        let (mut id, mut line) = record(data)?;
        if line.len() > LONGEST_RECORD {
            let mut data = brief;
            data["omitted"] = format!("{} bytes", line.len()).into();
            (id, line) = record(data)?;
        }
        if let Err(error) = self.file.write_all(&line) {
            // Half a line must not stay: what comes next would be lost with it.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += line.len() as u64;
        self.last = Some(id);
        Ok(())
    }

    /// Begins another file, and drops the oldest ones if it is time: the log tells of that before they go.
    fn next_file(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let file = open(&path_of(&self.folder, self.number + 1))?;
        (self.number, self.file, self.size) = (self.number + 1, file, 0);
        let files = numbered(&self.folder)?;
        let mut sizes = Vec::new();
        for (_, path) in &files {
            let metadata = path.metadata()?;
            sizes.push((metadata.len(), metadata.modified()?));
        }
        let mut total: u64 = sizes.iter().map(|(size, _)| size).sum();
        let mut dropped = 0;
        for (size, modified) in &sizes[..files.len() - 1] {
            let age = SystemTime::now().duration_since(*modified).unwrap_or_default();
            if total <= self.keep.bytes || age < self.keep.time {
                break;
            }
            total -= size;
            dropped += 1;
        }
        if dropped == 0 {
            return Ok(());
        }
        let (mut records, mut first, mut last, mut until) = (0, None, None, 0);
        for (_, path) in &files[..dropped] {
            for line in lines(path)? {
                if let Some(record) = line?.record() {
                    records += 1;
                    first.get_or_insert_with(|| record.id.clone());
                    (last, until) = (Some(record.id), record.time);
                }
            }
        }
        let data =
            json!({ "files": dropped, "records": records, "first": first, "last": last, "until": until });
        self.append("logTrimmed", &Subject::default(), data)?;
        self.file.sync_all()?;
        for (_, path) in &files[..dropped] {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Where a log ends.
struct End {
    last: Option<Record>,
    /// What stands behind it.
    damage: Option<Value>,
}

impl End {
    fn of(files: &[(u32, PathBuf)]) -> io::Result<Self> {
        let mut damage = None;
        // The last file may have been begun and nothing written into it.
        for (_, path) in files.iter().rev() {
            let (mut last, mut end, mut length) = (None, 0, 0);
            for line in lines(path)? {
                let line = line?;
                length = line.end;
                if let Some(record) = line.record() {
                    (last, end) = (Some(record), line.end);
                }
            }
            if length > end {
                damage.get_or_insert(hash_from(path, end)?);
            }
            if last.is_some() {
                return Ok(Self { last, damage });
            }
        }
        Ok(Self { last: None, damage })
    }
}

/// What stands in a file from there on, so that it can be recognised.
fn hash_from(path: &Path, start: u64) -> io::Result<Value> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read;
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Ok(json!({ "file": name, "bytes": bytes, "sha256": hash }))
}

/// A crash may have left a line without its end.
fn put_aside_unfinished(path: &Path) -> io::Result<Option<Value>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let end = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if end == text.len() {
        return Ok(None);
    }
    let told = hash_from(path, end as u64)?;
    let mut aside = OpenOptions::new();
    let aside = aside.append(true).create(true).mode(0o600);
    let mut aside = aside.open(path.with_extension("unfinished"))?;
    aside.write_all(&text[end..])?;
    aside.write_all(b"\n")?;
    aside.sync_all()?;
    OpenOptions::new().write(true).open(path)?.set_len(end as u64)?;
    Ok(Some(told))
}

pub(super) struct Line {
    /// Empty when it is longer than any of ours.
    text: String,
    /// Where the next one begins.
    end: u64,
}

impl Line {
    pub(super) fn record(&self) -> Option<Record> {
        serde_json::from_str(&self.text).ok()
    }
}

pub(super) fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Line>>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut end = 0;
    Ok(std::iter::from_fn(move || {
        next_line(&mut reader, &mut end)
            .map(|text| text.map(|text| Line { text, end }))
            .transpose()
    }))
}

fn next_line(reader: &mut BufReader<File>, end: &mut u64) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut part = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    if part == 0 {
        return Ok(None);
    }
    *end += part as u64;
    if line.last() == Some(&b'\n') || (part as u64) < LONGEST_LINE {
        return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
    }
    while part > 0 && line.last() != Some(&b'\n') {
        line.clear();
        part = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        *end += part as u64;
    }
    Ok(Some(String::new()))
}

/// The newest records first, from `newest` back (or the last one), as long as `each` goes on. One file is in memory at
/// a time. Reads files: not on a thread that answers others.
pub fn walk_back(
    folder: &Path,
    newest: Option<&str>,
    mut each: impl FnMut(Record) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut begun = newest.is_none();
    for (_, path) in numbered(folder)?.iter().rev() {
        let all: Vec<Line> = lines(path)?.collect::<Result<_, _>>()?;
        for line in all.iter().rev() {
            let Some(record) = line.record() else {
                continue;
            };
            begun |= newest == Some(record.id.as_str());
            if begun && each(record).is_break() {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
