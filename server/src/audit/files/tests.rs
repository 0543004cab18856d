//! The log in a folder, written and verified.

use super::*;
use crate::audit::{Problem, Verified, Wanted, verify};

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

/// The newest records first, so many.
fn newest(folder: &Folder, most: usize) -> Vec<Record> {
    let mut found = Vec::new();
    let each = |record| {
        found.push(record);
        if found.len() < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    };
    walk_back(&folder.0, None, each).expect("read");
    found
}

fn events(folder: &Folder) -> Vec<String> {
    let mut all = newest(folder, usize::MAX);
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
    let last = newest(&folder, 2);
    let numbers: Vec<&Value> = last.iter().map(|record| &record.data["n"]).collect();
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
            let mut record = Record::new(last, old.time, &old.event, old.subject.clone(), old.data.clone());
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
    let all = newest(&folder, 9);
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
        let tail = newest(&folder, 2);
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
    let record = &newest(&folder, 1)[0];
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
