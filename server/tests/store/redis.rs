//! Redis that goes away, comes back, loses data, is full, is shared, or is not what it should be.

use crate::{
    contract::{TAGS, TOKENS, USERS, eventually, put, redis, remove, waits},
    redis_server::{Folder, RedisServer, Relay},
};
use server::persist::{
    Backend, StoreError, backend,
    redis::{Address, Owner, Place, Redis, Waits},
};
use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};
use tokio::time::Instant;

async fn value(backend: &impl Backend, id: &str) -> Option<String> {
    let value = backend.get(USERS, id).await.expect("read");
    value.map(|value| String::from_utf8(value).expect("text"))
}

/// Until it answers again, with a value or without.
async fn answers(backend: &impl Backend) -> Option<Vec<u8>> {
    eventually("the store works again", async || {
        backend.get(USERS, "a").await.ok()
    })
    .await
}

async fn fails(backend: &impl Backend, what: fn(&StoreError) -> bool) {
    eventually("the store says what is wrong", async || {
        let error = backend.get(USERS, "a").await.err();
        error.filter(what)
    })
    .await;
    let error = backend
        .commit(vec![put(USERS, "a", b"new")])
        .await
        .expect_err("refused");
    assert!(what(&error), "{error}");
}

fn is_lost(error: &StoreError) -> bool {
    matches!(error, StoreError::Lost(_))
}

#[tokio::test]
async fn while_redis_is_away_calls_fail_at_once_and_afterwards_all_is_there() {
    let mut server = RedisServer::start().await;
    let store = redis(&server.place()).await.expect("opened");
    for round in 0..5 {
        let text = format!("round {round}");
        store
            .commit(vec![put(USERS, "a", text.clone())])
            .await
            .expect("made");
        if round % 2 == 0 {
            server.kill().await;
        } else {
            server.stop().await;
        }
        let start = Instant::now();
        for _ in 0..20 {
            let error = store.get(USERS, "a").await.expect_err("it is away");
            assert!(matches!(error, StoreError::Away(_)), "{error}");
            let error = store.list(USERS).await.expect_err("it is away");
            assert!(matches!(error, StoreError::Away(_)), "{error}");
            let error = store
                .commit(vec![put(USERS, "b", b"x")])
                .await
                .expect_err("it is away");
            assert!(matches!(error, StoreError::Away(_)), "{error}");
        }
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "at once: {:?}",
            start.elapsed()
        );
        assert!(store.status().problem.is_some());
        server.run().await;
        assert_eq!(answers(&store).await.as_deref(), Some(text.as_bytes()));
        assert_eq!(
            value(&store, "b").await,
            None,
            "a change that was refused is not made later"
        );
        assert_eq!(store.status().problem, None);
    }
}

#[tokio::test]
async fn a_change_that_is_on_its_way_when_redis_is_killed_has_a_known_outcome() {
    let mut server = RedisServer::start().await;
    let store = std::sync::Arc::new(redis(&server.place()).await.expect("opened"));
    for round in 0..10 {
        let text = format!("round {round}");
        let (writing, written) = (store.clone(), text.clone());
        // It waits in the socket of a Redis that does not read, and is read or not before it is killed.
        server.signal("STOP").await;
        let change = tokio::spawn(async move { writing.commit(vec![put(USERS, "a", written)]).await });
        tokio::task::yield_now().await;
        if round % 2 == 0 {
            server.signal("CONT").await;
        }
        server.kill().await;
        server.run().await;
        change
            .await
            .expect("ran")
            .expect("it is made, before or afterwards");
        assert_eq!(value(&*store, "a").await, Some(text));
    }
}

#[tokio::test]
async fn lost_questions_are_asked_again_and_lost_answers_are_found_out() {
    let server = RedisServer::start().await;
    let relay = Relay::to(&server).await;
    let quick = Waits {
        answer: Duration::from_millis(500),
        ..waits()
    };
    let address = Address::new(&relay.place()).expect("an address");
    let store = Redis::open(address, Owner::passing(), quick)
        .await
        .expect("opened");
    store.commit(vec![put(USERS, "count", b"0")]).await.expect("made");
    for (round, switch) in [&relay.mute, &relay.deaf, &relay.mute, &relay.deaf]
        .into_iter()
        .enumerate()
    {
        let text = format!("{round}");
        switch.store(true, Ordering::SeqCst);
        let changes = vec![put(USERS, "count", text.clone()), put(TOKENS, &text, b"x")];
        let change = store.commit(changes);
        let heal = async {
            // The change is sent, and not answered: the connection is given up.
            eventually("the loss is noticed", async || store.status().problem).await;
            switch.store(false, Ordering::SeqCst);
            relay.cut();
        };
        let (made, ()) = futures_util::future::join(change, heal).await;
        made.expect("made, and once");
        assert_eq!(value(&store, "count").await, Some(text));
    }
    assert_eq!(store.list(TOKENS).await.expect("listed").len(), 4);
    let revision: u64 = server.ask(&["HGET", "xo2:head", "revision"]).await;
    assert_eq!(revision, 5, "no change was made twice");
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_told_and_nothing_breaks() {
    let mut server = RedisServer::start().await;
    let impatient = Waits {
        answer: Duration::from_millis(300),
        outcome: Duration::from_millis(100),
        ..waits()
    };
    let address = Address::new(&server.place()).expect("an address");
    let store = Redis::open(address, Owner::passing(), impatient)
        .await
        .expect("opened");
    store.commit(vec![put(USERS, "a", b"old")]).await.expect("made");
    server.signal("STOP").await;
    let error = store
        .commit(vec![put(USERS, "a", b"new")])
        .await
        .expect_err("no answer");
    assert!(matches!(error, StoreError::Unknown), "{error}");
    server.kill().await;
    server.run().await;
    assert_eq!(
        answers(&store).await.as_deref(),
        Some(&b"old"[..]),
        "it was never read"
    );
    store.commit(vec![put(USERS, "a", b"newer")]).await.expect("made");
    assert_eq!(value(&store, "a").await.as_deref(), Some("newer"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_changes_at_once_do_not_wait_for_each_other_while_redis_is_away() {
    let mut server = RedisServer::start().await;
    let patient = Waits {
        outcome: Duration::from_secs(20),
        ..waits()
    };
    let address = Address::new(&server.place()).expect("an address");
    let store = Redis::open(address, Owner::passing(), patient)
        .await
        .expect("opened");
    let store = std::sync::Arc::new(store);
    let made = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut writing = tokio::task::JoinSet::new();
    for writer in 0..50 {
        let (store, made) = (store.clone(), made.clone());
        writing.spawn(async move {
            for change in 0.. {
                let id = format!("{writer}-{change}");
                match store.commit(vec![put(USERS, &id, b"x")]).await {
                    Ok(()) => made.fetch_add(1, Ordering::SeqCst),
                    Err(error) => return (id, error),
                };
            }
            unreachable!("it ends with an error")
        });
    }
    eventually("changes are made", async || {
        (made.load(Ordering::SeqCst) > 100).then_some(())
    })
    .await;
    server.kill().await;
    // All but the one that was on its way, which waits for Redis to tell.
    for _ in 0..49 {
        let ended = tokio::time::timeout(Duration::from_secs(5), writing.join_next()).await;
        let (_, error) = ended.expect("at once").expect("one").expect("no panic");
        assert!(matches!(error, StoreError::Away(_)), "{error}");
    }
    server.run().await;
    eventually("the last one goes on", async || {
        store.get(USERS, "0-0").await.ok()
    })
    .await;
    let before = made.load(Ordering::SeqCst);
    // Unless none was on its way in that moment.
    eventually("it makes changes", async || {
        let goes_on = made.load(Ordering::SeqCst) > before + 10;
        (goes_on || writing.try_join_next().is_some()).then_some(())
    })
    .await;
    writing.abort_all();
    while writing.join_next().await.is_some() {}
    let kept = store.list(USERS).await.expect("listed").len();
    // The last ones may be made after their writer was stopped.
    assert!(kept >= made.load(Ordering::SeqCst), "{kept}");
}

#[tokio::test]
async fn redis_that_hangs_is_not_waited_for_without_end() {
    let server = RedisServer::start().await;
    let quick = Waits {
        answer: Duration::from_millis(300),
        outcome: Duration::from_secs(20),
        ..waits()
    };
    let address = Address::new(&server.place()).expect("an address");
    let store = Redis::open(address, Owner::passing(), quick)
        .await
        .expect("opened");
    store.commit(vec![put(USERS, "a", b"1")]).await.expect("made");
    server.signal("STOP").await;
    let start = Instant::now();
    let error = store.get(USERS, "a").await.expect_err("no answer");
    assert!(matches!(error, StoreError::Away(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    server.signal("CONT").await;
    assert_eq!(answers(&store).await.as_deref(), Some(&b"1"[..]));
}

#[tokio::test]
async fn a_store_that_vanished_is_not_taken_for_a_new_one() {
    let mut server = RedisServer::start().await;
    let store = redis(&server.place()).await.expect("opened");
    store
        .commit(vec![put(USERS, "a", b"1"), put(TAGS, "t", b"1")])
        .await
        .expect("made");
    let saved = Folder::new();
    server.stop().await;
    server.copy_to(&saved.0);
    server.wipe();
    server.run().await;
    fails(&store, is_lost).await;
    assert!(store.status().problem.expect("one").contains("lost"));
    let keys: Vec<String> = server.ask(&["KEYS", "xo2:records*"]).await;
    assert!(
        keys.is_empty(),
        "nothing is written into a store that is not ours: {keys:?}"
    );

    // The data are brought back: it goes on.
    server.stop().await;
    server.restore_from(&saved.0);
    server.run().await;
    assert_eq!(answers(&store).await.as_deref(), Some(&b"1"[..]));
    store.commit(vec![put(USERS, "a", b"2")]).await.expect("made");

    // An earlier state is a loss, too.
    server.stop().await;
    server.restore_from(&saved.0);
    server.run().await;
    fails(&store, is_lost).await;
    assert!(store.status().problem.expect("one").contains("1 acknowledged"));
    // A new start goes on with what is there.
    drop(store);
    let late = Waits {
        start: Duration::from_secs(20),
        ..waits()
    };
    let address = Address::new(&server.place()).expect("an address");
    let store = Redis::open(address, Owner::passing(), late)
        .await
        .expect("opened");
    assert_eq!(value(&store, "a").await.as_deref(), Some("1"));
    store.commit(vec![put(USERS, "a", b"3")]).await.expect("made");

    // The same without a restart of Redis.
    let _: () = server.ask(&["FLUSHALL"]).await;
    let error = store.get(USERS, "a").await.expect_err("lost");
    assert!(is_lost(&error), "{error}");
    fails(&store, is_lost).await;
}

#[tokio::test]
async fn one_server_writes_at_a_time() {
    let server = RedisServer::start().await;
    let first = redis(&server.place()).await.expect("opened");
    first.commit(vec![put(USERS, "a", b"first")]).await.expect("made");
    let impatient = Waits {
        start: Duration::ZERO,
        lease: Duration::from_millis(300),
        ..waits()
    };
    let address = Address::new(&server.place()).expect("an address");
    let error = Redis::open(address.clone(), Owner::passing(), impatient).await;
    let error = error.err().expect("refused");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    first.commit(vec![put(USERS, "a", b"still")]).await.expect("made");

    // It ends in order: at once. It dies: when its lease has run out.
    first.close().await.expect("closed");
    drop(first);
    let start = Instant::now();
    let second = redis(&server.place()).await.expect("opened");
    assert!(start.elapsed() < Duration::from_secs(1));
    drop(second);
    let third = redis(&server.place()).await.expect("the lease has run out");
    assert_eq!(value(&third, "a").await.as_deref(), Some("still"));

    // One that slept, and nobody came: it goes on.
    let _: () = server.ask(&["DEL", "xo2:owner"]).await;
    third.commit(vec![put(USERS, "b", b"late")]).await.expect("made");

    // One that slept while another took over finds out, and changes nothing.
    let taken: String = server.ask(&["GET", "xo2:owner"]).await;
    let _: () = server.ask(&["SET", "xo2:owner", &format!("x{taken}")]).await;
    let _: () = server.ask(&["HSET", "xo2:head", "revision", "77"]).await;
    let error = third
        .commit(vec![put(USERS, "a", b"late")])
        .await
        .expect_err("refused");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    let _: () = server.ask(&["DEL", "xo2:owner"]).await;
    fails(&third, |error| matches!(error, StoreError::InUse(_))).await;
    let kept: String = server.ask(&["HGET", "xo2:records:users", "a"]).await;
    assert_eq!(kept, "still");
}

#[tokio::test]
async fn a_killed_server_starts_again_at_once_and_no_second_one_beside_it() {
    let server = RedisServer::start().await;
    let folder = Folder::new();
    let first = backend(&folder.0, &server.place()).await.expect("opened");
    first.commit(vec![put(USERS, "a", b"1")]).await.expect("made");
    let error = backend(&folder.0, &server.place()).await.err().expect("refused");
    assert!(error.to_string().contains("another server runs"), "{error}");
    // What a killed process leaves: the lease is there, the lock of the folder is not.
    let lease: String = server.ask(&["GET", "xo2:owner"]).await;
    drop(first);
    let _: () = server.ask(&["SET", "xo2:owner", &lease, "PX", "60000"]).await;
    let start = Instant::now();
    let second = eventually("it starts", async || {
        backend(&folder.0, &server.place()).await.ok()
    })
    .await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(
        second.get(USERS, "a").await.expect("read").as_deref(),
        Some(&b"1"[..])
    );
    assert_eq!(second.status().kind, "redis");
    assert!(folder.0.join("lock").exists() && !folder.0.join("xo.redb").exists());
}

async fn refused(place: &Place) -> String {
    let start = Instant::now();
    let error = redis(place).await.err().expect("refused").to_string();
    assert!(start.elapsed() < Duration::from_secs(10), "in time");
    error
}

#[tokio::test]
async fn passwords_users_and_databases() {
    let server = RedisServer::start_with("--requirepass s3cret --databases 4").await;
    let with = |password: &str, rest: &str| Place {
        password: Some(password.to_owned()),
        ..server.uri(rest)
    };
    let error = refused(&server.place()).await;
    assert!(error.contains("NOAUTH"), "{error}");
    let error = refused(&with("gu3ss", "?db=1")).await;
    assert!(
        error.contains("redis.sock?db=1") && !error.contains("gu3ss"),
        "{error}"
    );
    let error = refused(&with("s3cret", "?db=9")).await;
    assert!(error.contains("out of range"), "{error}");

    // Databases are apart from each other.
    let one = redis(&with("s3cret", "?db=1")).await.expect("opened");
    let two = redis(&with("s3cret", "?db=2")).await.expect("opened");
    one.commit(vec![put(USERS, "a", b"one")]).await.expect("made");
    two.commit(vec![put(USERS, "a", b"two")]).await.expect("made");
    assert_eq!(value(&one, "a").await.as_deref(), Some("one"));
    assert!(one.status().place.ends_with("?db=1"));

    // A user who may do no more than what docs/storage.md says.
    let client =
        redis::Client::open(format!("unix://{}?pass=s3cret", server.socket().display())).expect("a URI");
    let mut raw = client
        .get_multiplexed_async_connection()
        .await
        .expect("connected");
    let page = include_str!("../../../docs/storage.md");
    let rule = page
        .lines()
        .find(|line| line.starts_with("ACL SETUSER xo "))
        .expect("a rule");
    let rule = rule.replace(">PASSWORD", ">of-xo");
    let mut words = rule.split(' ');
    let mut command = redis::cmd(words.next().expect("a command"));
    for word in words {
        command.arg(word);
    }
    command.exec_async(&mut raw).await.expect("a user");
    let limited = redis(&with("of-xo", "?db=3&user=xo")).await.expect("opened");
    limited
        .commit(vec![put(USERS, "a", b"three"), remove(TAGS, "x")])
        .await
        .expect("made");
    assert_eq!(value(&limited, "a").await.as_deref(), Some("three"));
    let warnings = limited.status().warnings;
    assert!(warnings[0].contains("EVERYTHING is lost"), "{warnings:?}");
}

#[tokio::test]
async fn nothing_there_is_told_in_time() {
    let folder = Folder::new();
    let nobody = Place {
        socket: Some(folder.0.join("nobody.sock")),
        ..Place::default()
    };
    let error = refused(&nobody).await;
    assert!(error.contains("nobody.sock"), "{error}");
}

#[tokio::test]
async fn what_is_not_a_store_of_ours_is_not_touched() {
    let server = RedisServer::start().await;
    for (commands, what) in [
        (
            vec![vec!["HSET", "xo2:records:users", "a", "x"]],
            "xo2:head is not",
        ),
        (
            vec![vec!["HSET", "xo2:head", "layout", "2", "store", "s"]],
            "layout",
        ),
        (vec![vec!["HSET", "xo2:head", "store", "s"]], "no layout"),
        (vec![vec!["SET", "xo2:head", "x"]], "WRONGTYPE"),
    ] {
        let _: () = server.ask(&["FLUSHALL"]).await;
        for command in &commands {
            let _: redis::Value = server.ask(command).await;
        }
        let error = refused(&server.place()).await;
        assert!(error.contains(what), "{error}");
        let _: () = server.ask(&["DEL", "xo2:owner"]).await;
        let keys: Vec<String> = server.ask(&["KEYS", "*"]).await;
        assert_eq!(keys.len(), 1, "{keys:?}");
    }
    // A key of the wrong type is met later: the change is refused as a whole.
    let _: () = server.ask(&["FLUSHALL"]).await;
    let store = redis(&server.place()).await.expect("opened");
    let _: () = server.ask(&["SET", "xo2:records:users", "x"]).await;
    let changes = vec![put(TAGS, "a", b"x"), put(USERS, "a", b"x")];
    let error = store.commit(changes).await.expect_err("refused");
    assert!(error.to_string().contains("wrong type"), "{error}");
    assert_eq!(store.list(TAGS).await.expect("listed"), [], "not half of it");
    store.commit(vec![put(TAGS, "a", b"x")]).await.expect("made");
}

#[tokio::test]
async fn a_full_redis_refuses_whole_changes_and_goes_on() {
    let server = RedisServer::start_with("--maxmemory 6mb --maxmemory-policy noeviction").await;
    let store = redis(&server.place()).await.expect("opened");
    let mut kept = 0;
    let error = loop {
        let changes = vec![
            put(TAGS, &format!("{kept}"), vec![0; 64 << 10]),
            put(USERS, &format!("{kept}"), b"x"),
        ];
        match store.commit(changes).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1000, "it is never full");
    };
    assert!(error.to_string().contains("OOM"), "{error}");
    let tags = store.list(TAGS).await.expect("listed").len();
    assert_eq!(
        (tags, store.list(USERS).await.expect("listed").len()),
        (kept, kept)
    );
    let _: () = server.ask(&["CONFIG", "SET", "maxmemory", "64mb"]).await;
    store.commit(vec![put(USERS, "a", b"again")]).await.expect("made");
}

#[tokio::test]
async fn todays_keys_in_the_same_database_stay_as_they_are() {
    let server = RedisServer::start().await;
    let old = [
        vec!["SADD", "xo::namespaces", "user"],
        vec!["SADD", "xo:user_ids", "u1"],
        vec!["SET", "xo:user:u1", "{\"email\":\"a@b.c\"}"],
        vec!["HSET", "xo:server:s1", "host", "h"],
    ];
    for command in &old {
        let _: redis::Value = server.ask(command).await;
    }
    let dump = async || {
        let mut values = BTreeMap::new();
        for key in server.ask::<Vec<String>>(&["KEYS", "xo:*"]).await {
            let value: redis::Value = server.ask(&["DUMP", &key]).await;
            values.insert(key, format!("{value:?}"));
        }
        values
    };
    let before = dump().await;
    assert_eq!(before.len(), 4);
    let store = redis(&server.place()).await.expect("opened");
    store
        .commit(vec![put(USERS, "u1", b"ours"), put(TAGS, "t", b"x")])
        .await
        .expect("made");
    store.commit(vec![remove(USERS, "u1")]).await.expect("made");
    store.close().await.expect("closed");
    assert_eq!(dump().await, before);
    let ours: Vec<String> = server.ask(&["KEYS", "xo2:*"]).await;
    assert_eq!(ours.len(), 2, "{ours:?}");
}
