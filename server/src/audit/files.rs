//! The files of the log: `audit-000001.jsonl` and so on, each ending where the next one goes on.

use super::{Record, Subject};
use crate::auth::tokens::now_ms;
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A file that has grown to this size is followed by another.
const LARGEST: u64 = 16 << 20;
/// Files that are kept; the oldest go first.
const MOST: usize = 256;
/// A line that is longer is none of ours.
const LONGEST_LINE: u64 = 1 << 20;

pub(super) struct Files {
    folder: PathBuf,
    number: u32,
    file: File,
    size: u64,
    last: Option<String>,
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
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let files = numbered(folder)?;
        let number = files.last().map_or(1, |(number, _)| *number);
        let path = path_of(folder, number);
        put_aside_unfinished(&path)?;
        let mut last = None;
        // The last file may have been begun and nothing written into it.
        for (_, path) in files.iter().rev() {
            last = lines(path)?.last().transpose()?.and_then(|line| id_of(&line));
            if last.is_some() {
                break;
            }
        }
        let file = open(&path)?;
        Ok(Self {
            folder: folder.to_owned(),
            number,
            size: file.metadata()?.len(),
            file,
            last,
        })
    }

    pub(super) fn append(&mut self, event: &str, subject: &Subject, data: Value) -> io::Result<()> {
        let mut who = json!({ "userIp": subject.address });
        if let Some(id) = &subject.user_id {
            who["userId"] = id.as_str().into();
        }
        if let Some(name) = &subject.user_name {
            who["userName"] = name.as_str().into();
        }
        let record = Record::new(self.last.clone(), now_ms(), event, who, data);
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        if self.size >= LARGEST {
            self.next_file()?;
        }
        if let Err(error) = self.file.write_all(&line) {
            // Half a line must not stay: what comes next would be lost with it.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += line.len() as u64;
        self.last = Some(record.id);
        Ok(())
    }

    fn next_file(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let file = open(&path_of(&self.folder, self.number + 1))?;
        (self.number, self.file, self.size) = (self.number + 1, file, 0);
        let files = numbered(&self.folder)?;
        for (_, path) in files.iter().take(files.len().saturating_sub(MOST)) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A crash may have left a line without its end.
fn put_aside_unfinished(path: &Path) -> io::Result<()> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let end = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    if end == text.len() {
        return Ok(());
    }
    tracing::warn!(file = %path.display(), "the last record of the audit log is unfinished and was put aside");
    let mut aside = OpenOptions::new();
    let aside = aside.append(true).create(true).mode(0o600);
    let mut aside = aside.open(path.with_extension("unfinished"))?;
    aside.write_all(&text[end..])?;
    aside.write_all(b"\n")?;
    aside.sync_all()?;
    OpenOptions::new().write(true).open(path)?.set_len(end as u64)
}

fn lines(path: &Path) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let mut reader = BufReader::new(File::open(path)?);
    Ok(std::iter::from_fn(move || {
        let mut line = Vec::new();
        let read = io::Read::take(&mut reader, LONGEST_LINE).read_until(b'\n', &mut line);
        match read {
            Ok(0) => None,
            Ok(_) => Some(Ok(String::from_utf8_lossy(&line).trim_end().to_owned())),
            Err(error) => Some(Err(error)),
        }
    }))
}

fn id_of(line: &str) -> Option<String> {
    serde_json::from_str::<Record>(line).ok().map(|record| record.id)
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
        let all: Vec<String> = lines(path)?.collect::<Result<_, _>>()?;
        for line in all.iter().rev() {
            let Ok(record) = serde_json::from_str::<Record>(line) else {
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
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{file}, line {line}: not a record")]
    Unreadable { file: String, line: usize },
    #[error("{file}, line {line}: the record {id} was altered")]
    Altered { file: String, line: usize, id: String },
    #[error("{file}, line {line}: the record before {id} is missing")]
    Missing { file: String, line: usize, id: String },
    #[error("the record {id} is not there")]
    NotThere { id: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A log that is whole.
#[derive(Debug, Default)]
pub struct Verified {
    pub records: usize,
    pub first: Option<String>,
    pub last: Option<String>,
}

/// Follows the chain from the oldest record that is kept to the newest. `contains` is the id of a record that
/// must be among them: the last one that somebody noted elsewhere.
pub fn verify(folder: &Path, contains: Option<&str>) -> Result<Verified, Problem> {
    let mut verified = Verified::default();
    let mut met = contains.is_none();
    for (_, path) in numbered(folder)? {
        let file = path.display().to_string();
        for (index, line) in lines(&path)?.enumerate() {
            let (line, number) = (line?, index + 1);
            let file = file.clone();
            let Ok(record) = serde_json::from_str::<Record>(&line) else {
                return Err(Problem::Unreadable { file, line: number });
            };
            let id = record.id.clone();
            if record.hash() != id {
                return Err(Problem::Altered {
                    file,
                    line: number,
                    id,
                });
            }
            // The records before the first that is kept may have been dropped for their age.
            if verified.records > 0 && record.previous_id != verified.last {
                return Err(Problem::Missing {
                    file,
                    line: number,
                    id,
                });
            }
            met |= contains == Some(id.as_str());
            verified.records += 1;
            verified.first.get_or_insert_with(|| id.clone());
            verified.last = Some(id);
        }
    }
    if !met {
        let id = contains.unwrap_or_default().to_owned();
        return Err(Problem::NotThere { id });
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

    fn write(folder: &Folder, records: usize) {
        let mut files = Files::open(&folder.0).expect("opened");
        for number in 0..records {
            let subject = Subject::default();
            files
                .append("apiCall", &subject, json!({ "n": number }))
                .expect("written");
        }
    }

    fn text(folder: &Folder) -> String {
        fs::read_to_string(path_of(&folder.0, 1)).expect("read")
    }

    #[test]
    fn a_log_goes_on_where_it_ended_and_is_whole() {
        let folder = folder();
        write(&folder, 3);
        // A crash in the middle of a line.
        let broken = text(&folder) + "{\"id\":\"$5$$";
        fs::write(path_of(&folder.0, 1), broken).expect("written");
        write(&folder, 2);
        let verified = verify(&folder.0, None).expect("whole");
        assert_eq!(verified.records, 5);
        verify(&folder.0, verified.last.as_deref()).expect("contains its last");
        let newest = read_back(&folder.0, None, 2, |_| true).expect("read");
        let numbers: Vec<&Value> = newest.iter().map(|record| &record.data["n"]).collect();
        assert_eq!(numbers, [1, 0]);
    }

    #[test]
    fn whatever_is_done_to_it_is_noticed() {
        let folder = folder();
        write(&folder, 4);
        let (path, whole) = (path_of(&folder.0, 1), text(&folder));
        let lines: Vec<&str> = whole.lines().collect();
        let check = |lines: &[&str], contains: Option<&str>| {
            fs::write(&path, lines.join("\n") + "\n").expect("written");
            verify(&folder.0, contains)
        };
        let altered = lines[1].replace("\"n\":1", "\"n\":7");
        assert!(matches!(
            check(&[lines[0], &altered, lines[2]], None),
            Err(Problem::Altered { line: 2, .. })
        ));
        assert!(matches!(
            check(&[lines[0], lines[2]], None),
            Err(Problem::Missing { line: 2, .. })
        ));
        assert!(matches!(
            check(&[lines[0], lines[2], lines[1]], None),
            Err(Problem::Missing { line: 2, .. })
        ));
        assert!(matches!(
            check(&[lines[0], "{}"], None),
            Err(Problem::Unreadable { line: 2, .. })
        ));
        let last = id_of(lines[3]).expect("an id");
        assert!(matches!(
            check(&lines[..3], Some(&last)),
            Err(Problem::NotThere { .. })
        ));
        check(&lines, Some(&last)).expect("whole");
    }
}
