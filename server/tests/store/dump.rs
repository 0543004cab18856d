//! Everything that a store holds, as a file, from one store into another.

use crate::{
    contract::{put, redis},
    redis_server::{Folder, RedisServer},
};
use serde_json::{Value, json};
use server::persist::{
    Change, RawRecord, Record, SCHEMA_VERSION, Store,
    dump::{self, Dump, DumpError, Import},
    embedded::Embedded,
    memory::Memory,
    records::{COLLECTIONS, PluginRecord, RemoteRecord, ServerRecord, UserRecord},
    secrets::Secrets,
};
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

const PASSPHRASE: &str = "un mot de passe";

fn secrets(folder: &Path) -> Secrets {
    Secrets::open(&folder.join("key")).expect("a key")
}

fn object(value: Value) -> RawRecord {
    match value {
        Value::Object(record) => record,
        other => panic!("{other}"),
    }
}

async fn embedded(folder: &Path) -> (Store, Secrets) {
    let secrets = secrets(folder);
    let backend = Arc::new(Embedded::open(&folder.join("xo.redb")).expect("opened"));
    (Store::open(backend, &secrets).await.expect("opened"), secrets)
}

/// A record in every collection, sealed secrets among them.
async fn fill(store: &Store, secrets: &Secrets) {
    let mut changes: Vec<Change> = COLLECTIONS
        .iter()
        .map(|collection| {
            let record =
                json!({ "name": format!("one of {collection}"), "ünd": [1, null, { "a": "\u{1}" }] });
            Change::put_raw(collection, "id\0\"é", object(record))
        })
        .collect();
    let server = ServerRecord {
        host: "pool.example".to_owned(),
        username: "root".to_owned(),
        sealed_password: secrets.seal("pool's password"),
        sealed_http_proxy: Some(secrets.seal("http://u:p@proxy")),
        ..ServerRecord::default()
    };
    changes.push(Change::put("s1", &server));
    let user = UserRecord {
        email: "a@b.c".to_owned(),
        sealed_otp: Some(secrets.seal("ABCDEF")),
        ..UserRecord::default()
    };
    changes.push(Change::put("u1", &user));
    let remote = json!({ "name": "nas", "sealed_url": secrets.seal("smb://u:p@nas") });
    changes.push(Change::put("r1", &RemoteRecord(object(remote))));
    let plugin = json!({ "autoload": true, "sealed_configuration": secrets.seal("{\"token\":1}") });
    changes.push(Change::put("p1", &PluginRecord(object(plugin))));
    store.commit(changes).await.expect("made");
}

/// All records with their secrets in clear.
async fn contents(store: &Store, secrets: &Secrets) -> BTreeMap<(&'static str, String), RawRecord> {
    let mut contents = BTreeMap::new();
    for collection in COLLECTIONS {
        for (id, mut record) in store.list_raw(collection).await.expect("listed") {
            secrets.unseal_members(&mut record).expect("our key");
            contents.insert((*collection, id), record);
        }
    }
    contents
}

fn again(dump: &Dump) -> Dump {
    Dump::read(&serde_json::to_vec(dump).expect("JSON")).expect("read")
}

#[tokio::test]
async fn everything_moves_between_stores_and_installations() {
    let (here, there, elsewhere) = (Folder::new(), Folder::new(), Folder::new());
    let server = RedisServer::start().await;
    let (store, ours) = embedded(&here.0).await;
    fill(&store, &ours).await;
    let all = contents(&store, &ours).await;
    assert_eq!(all.len(), COLLECTIONS.len() + 4);

    // Into Redis with the same key file, and to another installation with a passphrase.
    let dump = dump::export(&store, &ours, None).await.expect("exported");
    let backend = Arc::new(redis(&server.place()).await.expect("opened"));
    let in_redis = Store::open(backend, &ours).await.expect("opened");
    let counts = dump::import(&in_redis, &ours, again(&dump), Import::default())
        .await
        .expect("imported");
    assert_eq!(counts.values().sum::<usize>(), all.len());
    assert_eq!(contents(&in_redis, &ours).await, all);

    let sealed = dump::export(&in_redis, &ours, Some(PASSPHRASE))
        .await
        .expect("exported");
    let text = serde_json::to_string(&sealed).expect("JSON");
    for secret in ["pool's password", "ABCDEF", "u:p@", PASSPHRASE] {
        assert!(!text.contains(secret), "{secret}");
    }
    let (third, theirs) = embedded(&there.0).await;
    let with = Import {
        passphrase: Some(PASSPHRASE),
        ..Import::default()
    };
    dump::import(&third, &theirs, again(&sealed), with)
        .await
        .expect("imported");
    assert_eq!(contents(&third, &theirs).await, all);

    // The wrong key, no passphrase, the wrong one: nothing is written.
    let (fourth, others) = embedded(&elsewhere.0).await;
    let error = dump::import(&fourth, &others, again(&dump), Import::default())
        .await
        .expect_err("refused");
    assert!(matches!(error, DumpError::OtherKey), "{error}");
    let error = dump::import(&fourth, &others, again(&sealed), Import::default())
        .await
        .expect_err("refused");
    assert!(matches!(error, DumpError::PassphraseMissing), "{error}");
    let wrong = Import {
        passphrase: Some("un mot de passé"),
        ..Import::default()
    };
    let error = dump::import(&fourth, &others, again(&sealed), wrong)
        .await
        .expect_err("refused");
    assert!(matches!(error, DumpError::WrongPassphrase), "{error}");
    let dry = Import {
        dry_run: true,
        ..with
    };
    dump::import(&fourth, &others, again(&sealed), dry)
        .await
        .expect("checked");
    assert!(contents(&fourth, &others).await.is_empty());

    // A store with records is replaced only when that is said, and then as a whole.
    fourth
        .commit(vec![put(UserRecord::COLLECTION, "mine", b"{}")])
        .await
        .expect("made");
    let error = dump::import(&fourth, &others, again(&sealed), with)
        .await
        .expect_err("refused");
    assert!(matches!(error, DumpError::NotEmpty(1)), "{error}");
    let replace = Import {
        replace: true,
        ..with
    };
    dump::import(&fourth, &others, again(&sealed), replace)
        .await
        .expect("imported");
    assert_eq!(contents(&fourth, &others).await, all);

    // A secret that cannot be read is not left out in silence.
    let lost = json!({ "sealed_url": others.seal("nfs://nas") });
    store.put("r2", &RemoteRecord(object(lost))).await.expect("kept");
    assert_eq!(
        store.unreadable_secrets(&ours).await.expect("read"),
        ["remotes/r2"]
    );
    let error = dump::export(&store, &ours, Some(PASSPHRASE))
        .await
        .err()
        .expect("refused");
    assert!(
        error.to_string().contains("r2") && error.to_string().contains("sealed_url"),
        "{error}"
    );
}

#[tokio::test]
async fn files_that_are_no_exports_or_of_another_time_are_refused_or_migrated() {
    let folder = Folder::new();
    let ours = secrets(&folder.0);
    let store = Store::open(Arc::new(Memory::default()), &ours)
        .await
        .expect("opened");
    fill(&store, &ours).await;
    let dump =
        serde_json::to_value(dump::export(&store, &ours, None).await.expect("exported")).expect("JSON");
    let read = |change: &dyn Fn(&mut Value)| {
        let mut changed = dump.clone();
        change(&mut changed);
        Dump::read(changed.to_string().as_bytes())
    };
    assert!(matches!(Dump::read(b"").err(), Some(DumpError::NotADump(_))));
    assert!(matches!(
        Dump::read(b"{\"users\":[]}").err(),
        Some(DumpError::NotADump(_))
    ));
    for (name, value) in [("version", 2), ("schema", SCHEMA_VERSION + 1)] {
        let error = read(&|dump| dump[name] = value.into()).err();
        assert!(matches!(error, Some(DumpError::TooNew { .. })));
    }
    assert!(matches!(
        read(&|dump| dump["more"] = 1.into()).err(),
        Some(DumpError::NotADump(_))
    ));

    let target = Store::open(Arc::new(Memory::default()), &ours)
        .await
        .expect("opened");
    let unknown = read(&|dump| dump["records"]["unknown"] = json!({ "id": {} })).expect("read");
    let error = dump::import(&target, &ours, unknown, Import::default())
        .await
        .expect_err("refused");
    assert!(matches!(error, DumpError::UnknownCollection(_)), "{error}");
    assert!(contents(&target, &ours).await.is_empty());

    // One of an earlier version is migrated on its way: the proxy was in clear once.
    let old = read(&|dump| {
        dump["schema"] = 1.into();
        dump["records"] = json!({ "servers": { "s": { "host": "h", "http_proxy": "http://u:p@proxy" } } });
    });
    dump::import(&target, &ours, old.expect("read"), Import::default())
        .await
        .expect("imported");
    let server = target
        .get::<ServerRecord>("s")
        .await
        .expect("read")
        .expect("there");
    let proxy = server.sealed_http_proxy.and_then(|sealed| ours.unseal(&sealed));
    assert_eq!(proxy.as_deref(), Some("http://u:p@proxy"));
}

fn run(arguments: &[&str], folder: &Path, input: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xo-server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("XO_") {
            command.env_remove(name);
        }
    }
    if let Some(input) = input {
        command.stdin(std::fs::File::open(input).expect("a file"));
    }
    let output = command.args(arguments).arg("--data-dir").arg(folder).output();
    output.expect("it ran")
}

#[tokio::test]
async fn the_program_exports_and_imports() {
    let (here, there, aside) = (Folder::new(), Folder::new(), Folder::new());
    let server = RedisServer::start().await;
    let (store, ours) = embedded(&here.0).await;
    fill(&store, &ours).await;
    let all = contents(&store, &ours).await;
    let file = aside.0.join("store.json");
    let name = file.to_str().expect("a path");
    let passphrase = aside.0.join("passphrase");
    std::fs::write(&passphrase, format!("{PASSPHRASE}\nmore\n")).expect("written");
    let sealed_by = ["--passphrase-file", passphrase.to_str().expect("a path")];
    let says = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();

    // The store is in use.
    let output = run(&["store", "export", name], &here.0, None);
    assert!(
        !output.status.success() && says(&output).contains("must be stopped"),
        "{}",
        says(&output)
    );
    drop(store);
    let output = run(
        &[&["store", "export", name][..], &sealed_by].concat(),
        &here.0,
        None,
    );
    assert!(output.status.success(), "{}", says(&output));
    assert!(
        says(&output).contains(&format!("{} records exported", all.len())),
        "{}",
        says(&output)
    );
    let mode = std::fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = run(&["store", "export", name], &here.0, None);
    assert!(!output.status.success(), "a file that is there stays as it is");
    let output = run(&["store", "export", "-"], &here.0, None);
    Dump::read(&output.stdout).expect("an export");

    // Into the Redis of another installation, from standard input.
    let socket = server.socket();
    let redis_socket = ["--redis-socket", socket.to_str().expect("a path")];
    let import = |more: &[&str]| {
        let arguments = [&["store", "import", "-"][..], &sealed_by, &redis_socket, more].concat();
        run(&arguments, &there.0, Some(&file))
    };
    let output = import(&["--dry-run"]);
    assert!(
        output.status.success() && says(&output).contains("would come"),
        "{}",
        says(&output)
    );
    let output = import(&[]);
    assert!(
        output.status.success() && says(&output).contains("imported"),
        "{}",
        says(&output)
    );
    let output = import(&[]);
    assert!(
        !output.status.success() && says(&output).contains("not empty"),
        "{}",
        says(&output)
    );
    let output = import(&["--replace"]);
    assert!(output.status.success(), "{}", says(&output));
    let theirs = secrets(&there.0);
    let backend = Arc::new(redis(&server.place()).await.expect("opened at once"));
    let store = Store::open(backend, &theirs).await.expect("opened");
    assert_eq!(contents(&store, &theirs).await, all);
}
