//! The files of the log: `audit-000001.jsonl` and so on, each ending where the next one goes on.

use super::{Key, Record, Subject};
use crate::{auth::tokens::now_ms, rpc::error::shortened};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
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
/// Problems that are told one by one.
const MOST_PROBLEMS: usize = 20;

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
fn numbered(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
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

struct Line {
    /// Empty when it is longer than any of ours.
    text: String,
    /// Where the next one begins.
    end: u64,
}

impl Line {
    fn record(&self) -> Option<Record> {
        serde_json::from_str(&self.text).ok()
    }
}

fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<Line>>> {
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

/// The newest records first, from `newest` back (or the last one), as many as wanted that fit.
pub(super) fn read_back(
    folder: &Path,
    newest: Option<&str>,
    most: usize,
    fits: impl Fn(&Record) -> bool,
) -> io::Result<Vec<Record>> {
    let (mut found, mut begun) = (Vec::new(), newest.is_none());
    for (_, path) in numbered(folder)?.iter().rev() {
        let all: Vec<Line> = lines(path)?.collect::<Result<_, _>>()?;
        for line in all.iter().rev() {
            let Some(record) = line.record() else {
                continue;
            };
            begun |= newest == Some(record.id.as_str());
            if begun && fits(&record) {
                found.push(record);
                if found.len() >= most {
                    return Ok(found);
                }
            }
        }
    }
    Ok(found)
}

/// What is wrong with a log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Problem {
    #[error("{file}, line {line}: not a record")]
    Unreadable { file: String, line: usize },
    #[error("{file}, line {line}: the record {} was altered", record.id)]
    Altered {
        file: String,
        line: usize,
        record: Box<Record>,
    },
    #[error(
        "{file}, line {line}: the record {} is not sealed with the key of this installation: it was altered and \
         its hash computed anew, or the key file is another one", record.id
    )]
    Unsealed {
        file: String,
        line: usize,
        record: Box<Record>,
    },
    #[error("{file}, line {line}: the record {id}, which comes before this one, is missing")]
    Missing { file: String, line: usize, id: String },
    #[error("what came up to the record {id} is missing from the beginning, and the log does not tell why")]
    Beheaded { id: String },
    #[error("the record {id} is not there")]
    NotThere { id: String },
}

/// Which records are to be looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// From this record on.
    pub oldest: Option<&'a str>,
    /// Up to this one.
    pub newest: Option<&'a str>,
    /// This one must be among them: the last one that somebody noted elsewhere.
    pub contains: Option<&'a str>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verified {
    pub records: usize,
    pub first: Option<String>,
    pub last: Option<String>,
    /// The last record that was dropped for its age, before the first that is kept.
    pub dropped: Option<String>,
    /// Records from the time before they were sealed.
    pub unsealed: usize,
    /// The oldest and the newest problem and those in between, as long as there are not too many.
    pub problems: Vec<Problem>,
    /// Problems that are not told.
    pub more: usize,
    /// Records that are as they should be and newer than any problem.
    pub valid: usize,
}

impl Verified {
    fn note(&mut self, problem: Problem) {
        self.valid = 0;
        if self.problems.len() >= MOST_PROBLEMS {
            self.problems.pop();
            self.more += 1;
        }
        self.problems.push(problem);
    }
}

/// Follows the chain from the oldest record that is kept, or wanted, to the newest. Without a key the seals are
/// not looked at.
pub fn verify(folder: &Path, key: Option<&Key>, wanted: Wanted) -> io::Result<Verified> {
    let mut verified = Verified::default();
    let mut missing: Vec<&str> = [wanted.oldest, wanted.newest, wanted.contains]
        .into_iter()
        .flatten()
        .collect();
    let mut begun = wanted.oldest.is_none();
    let mut sealed = false;
    // None when the line before is not readable: whatever the next one follows is gone already.
    let mut previous: Option<String> = None;
    let mut trimmed: HashSet<String> = HashSet::new();
    let mut head: Option<Record> = None;
    'files: for (_, path) in numbered(folder)? {
        for (index, line) in lines(&path)?.enumerate() {
            let (text, line, file) = (line?, index + 1, path.display().to_string());
            let Some(record) = text.record() else {
                if begun {
                    verified.note(Problem::Unreadable { file, line });
                }
                previous = None;
                continue;
            };
            if !begun && wanted.oldest != Some(record.id.as_str()) {
                continue;
            }
            if !begun || head.is_none() {
                (begun, previous) = (true, None);
                head.get_or_insert_with(|| record.clone());
            }
            missing.retain(|id| *id != record.id);
            if let Some(expected) = previous.take()
                && record.previous_id.as_ref() != Some(&expected)
            {
                let id = record.previous_id.clone().unwrap_or(expected);
                let file = file.clone();
                verified.note(Problem::Missing { file, line, id });
            }
            previous = Some(record.id.clone());
            verified.records += 1;
            verified.first.get_or_insert_with(|| record.id.clone());
            verified.last = Some(record.id.clone());
            if record.event == "logTrimmed"
                && let Some(last) = record.data["last"].as_str()
            {
                trimmed.insert(last.to_owned());
            }
            let is_newest = wanted.newest == Some(record.id.as_str());
            let is_altered = record.hash() != record.id;
            let is_sealed = match (&record.mac, key) {
                (Some(mac), Some(key)) => key.mac(&record.id) == *mac,
                (Some(_), None) => true,
                (None, _) => !sealed,
            };
            sealed |= record.mac.is_some();
            verified.unsealed += usize::from(record.mac.is_none());
            let record = Box::new(record);
            if is_altered {
                verified.note(Problem::Altered { file, line, record });
            } else if !is_sealed {
                verified.note(Problem::Unsealed { file, line, record });
            } else {
                verified.valid += 1;
            }
            if is_newest {
                break 'files;
            }
        }
    }
    if let Some(head) = head.filter(|_| wanted.oldest.is_none())
        && let Some(before) = head.previous_id
    {
        // Logs of before tell nothing of what was dropped.
        if head.mac.is_some() && !trimmed.contains(&before) && wanted.newest.is_none() {
            // Older than any other problem: what is valid behind those stays as it is.
            let id = before.clone();
            verified.problems.insert(0, Problem::Beheaded { id });
        }
        verified.dropped = Some(before);
    }
    for id in missing {
        let id = id.to_owned();
        verified.note(Problem::NotThere { id });
    }
    Ok(verified)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            // A folder left behind does no harm.
            drop(fs::remove_dir_all(&self.0));
        }
    }

    fn folder() -> Folder {
        let path = std::env::temp_dir().join(format!("xo-audit-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).expect("made");
        Folder(path)
    }

    fn key(text: &str) -> Key {
        let path = std::env::temp_dir().join(format!("xo-key-{}", uuid::Uuid::new_v4()));
        let text = format!("{text:32}");
        fs::write(&path, &text).expect("written");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("changed");
        let secrets = crate::persist::secrets::Secrets::open(&path).expect("a key");
        fs::remove_file(path).expect("removed");
        Key::of(&secrets)
    }

    fn opened(folder: &Folder, keep: Keep) -> Files {
        Files::open(&folder.0, key("ours"), keep).expect("opened")
    }

    fn append(files: &mut Files, data: Value) {
        files
            .append("apiCall", &Subject::default(), data)
            .expect("written");
    }

    fn write(folder: &Folder, records: usize) {
        let mut files = opened(folder, Keep::default());
        for number in 0..records {
            append(&mut files, json!({ "n": number }));
        }
    }

    fn text(folder: &Folder) -> String {
        fs::read_to_string(path_of(&folder.0, 1)).expect("read")
    }

    fn check(folder: &Folder, wanted: Wanted) -> Verified {
        verify(&folder.0, Some(&key("ours")), wanted).expect("read")
    }

    fn whole(folder: &Folder) -> Verified {
        let verified = check(folder, Wanted::default());
        assert!(verified.problems.is_empty(), "{verified:?}");
        verified
    }

    fn events(folder: &Folder) -> Vec<String> {
        let mut all = read_back(&folder.0, None, usize::MAX, |_| true).expect("read");
        all.reverse();
        all.into_iter().map(|record| record.event).collect()
    }

    #[test]
    fn a_log_goes_on_where_it_ended_and_is_whole() {
        let folder = folder();
        write(&folder, 3);
        // A crash in the middle of a line.
        let broken = text(&folder) + "{\"id\":\"$5$$";
        fs::write(path_of(&folder.0, 1), broken).expect("written");
        write(&folder, 2);
        let verified = whole(&folder);
        assert_eq!(
            events(&folder),
            [
                "logBegins",
                "apiCall",
                "apiCall",
                "apiCall",
                "logDamaged",
                "apiCall",
                "apiCall"
            ]
        );
        assert_eq!((verified.records, verified.unsealed), (7, 0));
        let contains = verified.last.as_deref();
        let wanted = Wanted {
            contains,
            ..Wanted::default()
        };
        assert!(check(&folder, wanted).problems.is_empty());
        let newest = read_back(&folder.0, None, 2, |_| true).expect("read");
        let numbers: Vec<&Value> = newest.iter().map(|record| &record.data["n"]).collect();
        assert_eq!(numbers, [1, 0]);
    }

    #[test]
    fn whatever_is_done_to_it_is_noticed() {
        let folder = folder();
        write(&folder, 4);
        let (path, all) = (path_of(&folder.0, 1), text(&folder));
        let lines: Vec<&str> = all.lines().skip(1).collect();
        let first = all.lines().next().expect("the beginning");
        let put = |lines: &[&str]| {
            fs::write(&path, format!("{first}\n{}\n", lines.join("\n"))).expect("written");
        };
        let problems = |lines: &[&str], contains: Option<&str>| {
            put(lines);
            let wanted = Wanted {
                contains,
                ..Wanted::default()
            };
            check(&folder, wanted)
        };
        let altered = lines[1].replace("\"n\":1", "\"n\":7");
        let found = problems(&[lines[0], &altered, lines[2]], None);
        assert!(
            matches!(&found.problems[..], [Problem::Altered { line: 3, .. }]),
            "{found:?}"
        );
        assert_eq!((found.records, found.valid), (4, 1));
        let found = problems(&[lines[0], lines[2]], None);
        let removed: Record = serde_json::from_str(lines[1]).expect("a record");
        assert!(
            matches!(&found.problems[..], [Problem::Missing { line: 3, id, .. }] if *id == removed.id),
            "{found:?}"
        );
        let found = problems(&[lines[0], lines[2], lines[1]], None);
        assert!(
            matches!(&found.problems[0], Problem::Missing { line: 3, .. }),
            "{found:?}"
        );
        let found = problems(&[lines[0], "{}", lines[2], lines[3]], None);
        assert!(
            matches!(&found.problems[..], [Problem::Unreadable { line: 3, .. }]),
            "{found:?}"
        );
        assert_eq!(found.valid, 2);
        let last: Record = serde_json::from_str(lines[3]).expect("a record");
        let found = problems(&lines[..3], Some(&last.id));
        assert!(
            matches!(&found.problems[..], [Problem::NotThere { .. }]),
            "{found:?}"
        );
        // From the beginning.
        fs::write(&path, lines.join("\n") + "\n").expect("written");
        let found = check(&folder, Wanted::default());
        assert!(
            matches!(&found.problems[..], [Problem::Beheaded { .. }]),
            "{found:?}"
        );
        put(&lines);
        assert_eq!(whole(&folder).records, 5);
    }

    #[test]
    fn who_has_no_key_cannot_write_it_anew() {
        let folder = folder();
        write(&folder, 3);
        let path = path_of(&folder.0, 1);
        let records: Vec<Record> = text(&folder)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a record"))
            .collect();
        let anew = |mac: &dyn Fn(&Record) -> Option<String>| {
            let (mut last, mut all) = (None, String::new());
            for old in records.iter().filter(|record| record.data["n"] != 1) {
                let mut record =
                    Record::new(last, old.time, &old.event, old.subject.clone(), old.data.clone());
                record.mac = mac(&record);
                last = Some(record.id.clone());
                all += &(serde_json::to_string(&record).expect("text") + "\n");
            }
            fs::write(&path, all).expect("written");
            check(&folder, Wanted::default())
        };
        let other = key("another");
        let found = anew(&|record| Some(other.mac(&record.id)));
        assert!(
            matches!(&found.problems[..], [Problem::Unsealed { .. }, ..]),
            "{found:?}"
        );
        // Without seals it looks like a log of before, and is said to be one.
        let found = anew(&|_| None);
        assert_eq!((found.records, found.unsealed, found.problems.len()), (3, 3, 0));
        // The chain alone is right.
        let found = verify(&folder.0, None, Wanted::default()).expect("read");
        assert!(found.problems.is_empty());
        // What is not sealed does not come after what is.
        write(&folder, 1);
        let (first, rest) = (found.last, text(&folder));
        let tail: Record = serde_json::from_str(rest.lines().last().expect("one")).expect("a record");
        let forged = Record::new(
            Some(tail.id),
            1,
            "apiCall",
            json!({}),
            json!({ "follows": first }),
        );
        let forged = serde_json::to_string(&forged).expect("text");
        fs::write(&path, format!("{rest}{forged}\n")).expect("written");
        let found = check(&folder, Wanted::default());
        assert!(
            matches!(&found.problems[..], [Problem::Unsealed { line: 6, .. }]),
            "{found:?}"
        );
        assert_eq!(events(&folder)[3], "logIsSealed");
    }

    #[test]
    fn a_part_is_looked_at() {
        let folder = folder();
        write(&folder, 4);
        let all = read_back(&folder.0, None, 9, |_| true).expect("read");
        let ids: Vec<&str> = all.iter().rev().map(|record| record.id.as_str()).collect();
        let part = |oldest, newest| {
            let wanted = Wanted {
                oldest,
                newest,
                ..Wanted::default()
            };
            let found = check(&folder, wanted);
            (found.records, found.problems.len())
        };
        assert_eq!(part(None, None), (5, 0));
        assert_eq!(part(Some(ids[2]), None), (3, 0));
        assert_eq!(part(None, Some(ids[2])), (3, 0));
        assert_eq!(part(Some(ids[1]), Some(ids[2])), (2, 0));
        assert_eq!(part(Some("bogus"), None), (0, 1));
        assert_eq!(part(None, Some("bogus")), (5, 1));
    }

    #[test]
    fn a_log_whose_end_is_not_readable_goes_on_from_what_is_and_says_so() {
        for garbage in ["garbage".to_owned(), "x".repeat(3 << 20)] {
            let folder = folder();
            write(&folder, 2);
            let before = whole(&folder).last;
            let path = path_of(&folder.0, 1);
            fs::write(&path, text(&folder) + &garbage + "\n").expect("written");
            write(&folder, 1);
            let tail = read_back(&folder.0, None, 2, |_| true).expect("read");
            assert_eq!(
                (tail[1].event.as_str(), &tail[1].previous_id),
                ("logDamaged", &before)
            );
            assert_eq!(tail[1].data["bytes"], garbage.len() + 1);
            let found = check(&folder, Wanted::default());
            assert!(
                matches!(&found.problems[..], [Problem::Unreadable { line: 4, .. }]),
                "{found:?}"
            );
            assert_eq!(found.valid, 2);
            let oldest = Some(tail[1].id.as_str());
            let wanted = Wanted {
                oldest,
                ..Wanted::default()
            };
            assert!(check(&folder, wanted).problems.is_empty());
        }
    }

    #[test]
    fn a_record_is_never_longer_than_can_be_read() {
        let folder = folder();
        let mut files = opened(&folder, Keep::default());
        let huge = "\u{1}".repeat(2 << 20);
        let subject = Subject {
            user_id: Some(huge.clone()),
            user_name: Some(huge.clone()),
            pseudonym: Some(huge.clone()),
            address: huge.clone(),
        };
        let data = json!({ "method": "x.y", "outcome": "failure", "error": { "message": huge } });
        files.append("apiCall", &subject, data).expect("written");
        let longest = text(&folder).lines().map(str::len).max();
        assert!(longest <= Some(LONGEST_RECORD), "{longest:?}");
        let record = &read_back(&folder.0, None, 1, |_| true).expect("read")[0];
        assert_eq!(
            (&record.data["method"], &record.data["outcome"]),
            (&json!("x.y"), &json!("failure"))
        );
        whole(&folder);
    }

    #[test]
    fn files_are_dropped_only_when_they_are_old_and_many_and_the_log_tells() {
        let folder = folder();
        let keep = Keep {
            bytes: 20_000,
            time: Duration::from_secs(3600),
            file: 4_000,
        };
        let mut files = opened(&folder, keep);
        for number in 0..300 {
            append(&mut files, json!({ "n": number, "text": "x".repeat(100) }));
        }
        let count = || numbered(&folder.0).expect("listed").len();
        let many = count();
        assert!(many > 20, "many and young: {many}");
        assert_eq!(whole(&folder).records, 301);
        files.keep.time = Duration::ZERO;
        for number in 300..400 {
            append(&mut files, json!({ "n": number, "text": "x".repeat(100) }));
        }
        assert!(count() < 10, "{}", count());
        let verified = whole(&folder);
        assert!(verified.dropped.is_some() && verified.records < 100);
        // The next file goes by somebody else's hand.
        fs::remove_file(&numbered(&folder.0).expect("listed")[0].1).expect("removed");
        let found = check(&folder, Wanted::default());
        assert!(
            matches!(&found.problems[..], [Problem::Beheaded { .. }]),
            "{found:?}"
        );
    }
}
