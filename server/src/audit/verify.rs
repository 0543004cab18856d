//! Whether the log is whole: every record as it was written, behind the one that it names.

use super::{
    Key, Record,
    files::{lines, numbered},
};
use std::{collections::HashSet, io, path::Path};

/// Problems that are told one by one.
const MOST_PROBLEMS: usize = 20;

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
