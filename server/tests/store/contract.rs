//! What every backend does.

use crate::redis_server::{DEADLINE, Folder, RedisServer};
use server::persist::{
    Backend, Change, MAX_COMMIT, Record, SCHEMA_VERSION, Store, StoreError,
    embedded::Embedded,
    memory::Memory,
    records::{TagRecord, TokenRecord, UserRecord},
    redis::{Address, Owner, Place, Redis, Waits},
    secrets::Secrets,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::time::Instant;

pub const USERS: &str = UserRecord::COLLECTION;
pub const TOKENS: &str = TokenRecord::COLLECTION;
pub const TAGS: &str = TagRecord::COLLECTION;

/// Long enough for a busy machine, short enough to be waited for.
pub fn waits() -> Waits {
    Waits {
        start: Duration::from_millis(300),
        answer: Duration::from_secs(3),
        lease: Duration::from_secs(2),
        outcome: Duration::from_secs(10),
        pause: Duration::from_millis(50),
    }
}

pub async fn redis(place: &Place) -> Result<Redis, StoreError> {
    Redis::open(Address::new(place)?, Owner::passing(), waits()).await
}

pub fn put(collection: &'static str, id: &str, value: impl Into<Vec<u8>>) -> Change {
    Change {
        collection,
        id: id.to_owned(),
        value: Some(value.into()),
    }
}

pub fn remove(collection: &'static str, id: &str) -> Change {
    Change {
        collection,
        id: id.to_owned(),
        value: None,
    }
}

/// A store that can be closed and opened again.
enum Kept {
    Embedded(Folder),
    Redis(Box<RedisServer>),
}

impl Kept {
    async fn all() -> [Self; 2] {
        [
            Self::Embedded(Folder::new()),
            Self::Redis(Box::new(RedisServer::start().await)),
        ]
    }

    async fn open(&self) -> Arc<dyn Backend> {
        match self {
            Self::Embedded(folder) => Arc::new(Embedded::open(&folder.0.join("xo.redb")).expect("opened")),
            Self::Redis(server) => Arc::new(redis(&server.place()).await.expect("opened")),
        }
    }
}

/// Every backend, empty; what it lives in is held beside it.
async fn every() -> Vec<(Arc<dyn Backend>, Option<Kept>)> {
    let mut all: Vec<(Arc<dyn Backend>, Option<Kept>)> = vec![(Arc::new(Memory::default()), None)];
    for kept in Kept::all().await {
        all.push((kept.open().await, Some(kept)));
    }
    all
}

fn secrets(folder: &Path) -> Secrets {
    Secrets::open(&folder.join("key")).expect("a key")
}

/// Ids that a backend could take for something of its own.
const IDS: &[&str] = &[
    "",
    " ",
    "a",
    "a\0b",
    "a\nb",
    "a:b",
    "{a}",
    "*",
    "é",
    "日本\u{10ffff}",
    "\u{1}",
    "xo2:head",
];

#[tokio::test]
async fn records_come_back_as_they_were_put() {
    for (backend, _kept) in every().await {
        let kind = backend.status().kind;
        let every_byte: Vec<u8> = (0..=255).collect();
        let values = [&b""[..], b"x", b"\r\n$-1\r\n", &every_byte];
        let mut expected = Vec::new();
        let mut changes = Vec::new();
        for (number, id) in IDS.iter().enumerate() {
            let value = values[number % values.len()].to_vec();
            changes.push(put(USERS, id, value.clone()));
            changes.push(put(TAGS, id, b"of another collection"));
            expected.push(((*id).to_owned(), value));
        }
        expected.sort();
        backend.commit(changes).await.expect("made");
        assert_eq!(backend.list(USERS).await.expect("listed"), expected, "{kind}");
        for (id, value) in &expected {
            let found = backend.get(USERS, id).await.expect("read");
            assert_eq!(found.as_ref(), Some(value), "{kind}: {id:?}");
        }
        assert_eq!(backend.get(USERS, "b").await.expect("read"), None, "{kind}");
        assert_eq!(backend.list(TOKENS).await.expect("listed"), [], "{kind}");

        // The last of several changes of one record holds; what is not there can be removed.
        let several = vec![
            put(USERS, "a", b"1"),
            remove(USERS, "a"),
            put(USERS, "a", b"2"),
            put(USERS, "é", b"3"),
            remove(USERS, "é"),
            remove(USERS, "nobody"),
        ];
        backend.commit(several).await.expect("made");
        backend.commit(Vec::new()).await.expect("nothing to do");
        assert_eq!(
            backend.get(USERS, "a").await.expect("read").as_deref(),
            Some(&b"2"[..]),
            "{kind}"
        );
        assert_eq!(backend.get(USERS, "é").await.expect("read"), None, "{kind}");
        assert_eq!(
            backend.get(TAGS, "é").await.expect("read").as_deref(),
            Some(&b"of another collection"[..]),
            "{kind}"
        );
        let all: Vec<Change> = IDS.iter().map(|id| remove(USERS, id)).collect();
        backend.commit(all).await.expect("made");
        assert_eq!(backend.list(USERS).await.expect("listed"), [], "{kind}");
    }
}

#[tokio::test]
async fn large_records_are_kept_and_too_large_changes_are_refused() {
    let folder = Folder::new();
    for (backend, _kept) in every().await {
        let kind = backend.status().kind;
        let store = Store::open(backend.clone(), &secrets(&folder.0))
            .await
            .expect("opened");
        let large: Vec<u8> = (0..24 << 20).map(|index: u32| (index % 251) as u8).collect();
        let several = vec![
            put(TAGS, "one", large.clone()),
            put(TAGS, "two", large.clone()),
            put(TAGS, "three", b"small"),
        ];
        store.commit(several).await.expect("made");
        assert!(
            backend.get(TAGS, "two").await.expect("read") == Some(large),
            "{kind}"
        );
        assert_eq!(backend.list(TAGS).await.expect("listed").len(), 3, "{kind}");
        let too_large = vec![put(TAGS, "one", b"x"), put(TAGS, "four", vec![0; MAX_COMMIT])];
        let error = store.commit(too_large).await.expect_err("too large");
        assert!(matches!(error, StoreError::TooLarge { .. }), "{kind}: {error}");
        assert_eq!(backend.list(TAGS).await.expect("listed").len(), 3, "{kind}");
    }
}

/// Writers change two records at once, readers never see one without the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_are_made_whole_and_none_is_lost_among_many() {
    const WRITERS: usize = 8;
    const CHANGES: usize = 60;
    for (backend, _kept) in every().await {
        let kind = backend.status().kind;
        let mut writing = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let backend = backend.clone();
            writing.spawn(async move {
                for change in 1..=CHANGES {
                    let value = format!("{writer} {change}");
                    let pair = vec![
                        put(USERS, "left", value.clone()),
                        put(TOKENS, &format!("{writer} {change}"), b"x"),
                        remove(TOKENS, &format!("{writer} {}", change - 1)),
                        put(USERS, "right", value),
                    ];
                    backend.commit(pair).await.expect("made");
                }
            });
        }
        let reading = backend.clone();
        let reader = tokio::spawn(async move {
            let mut seen = 0;
            loop {
                // A store that answers at once would leave the writers no turn.
                tokio::task::yield_now().await;
                let pair = reading.list(USERS).await.expect("listed");
                let [(_, left), (_, right)] = pair.as_slice() else {
                    assert!(pair.is_empty(), "half a change");
                    continue;
                };
                assert_eq!(left, right, "half a change");
                // One of each writer, from its first change on.
                let tokens = reading.list(TOKENS).await.expect("listed");
                assert!((1..=WRITERS).contains(&tokens.len()));
                seen += 1;
                if tokens.len() == WRITERS
                    && tokens.iter().all(|(id, _)| id.ends_with(&format!(" {CHANGES}")))
                {
                    return seen;
                }
            }
        });
        let written = tokio::time::timeout(DEADLINE, writing.join_all()).await;
        written.unwrap_or_else(|_| panic!("{kind}: in time"));
        assert!(reader.await.expect("whole") > 0, "{kind}");
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_new_start() {
    for kept in Kept::all().await {
        let folder = Folder::new();
        let backend = kept.open().await;
        let store = Store::open(backend.clone(), &secrets(&folder.0))
            .await
            .expect("opened");
        let tag = TagRecord {
            color: Some("#123456".to_owned()),
            rest: serde_json::Map::from_iter([("later".to_owned(), true.into())]),
        };
        store.put("prod", &tag).await.expect("kept");
        store.close().await.expect("closed");
        drop((store, backend));
        let backend = kept.open().await;
        let store = Store::open(backend, &secrets(&folder.0)).await.expect("opened");
        assert_eq!(store.get::<TagRecord>("prod").await.expect("read"), Some(tag));
    }
}

#[tokio::test]
async fn a_schema_that_is_not_known_is_not_touched() {
    let folder = Folder::new();
    for (backend, _kept) in every().await {
        let kind = backend.status().kind;
        let newer = (SCHEMA_VERSION + 1).to_string();
        for (version, what) in [
            (newer.as_str(), "later version"),
            ("\"yesterday\"", "cannot be read"),
        ] {
            let before = vec![put("meta", "schema", version), put(USERS, "a", b"not even JSON")];
            backend.commit(before).await.expect("made");
            let error = Store::open(backend.clone(), &secrets(&folder.0))
                .await
                .err()
                .expect("refused");
            assert!(error.to_string().contains(what), "{kind}: {error}");
            let after = backend.get("meta", "schema").await.expect("read").expect("there");
            assert_eq!(after, version.as_bytes(), "{kind}");
        }
    }
}

/// Waits for a condition, with a limit.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
