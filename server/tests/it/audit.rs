//! The audit log: what is in it, what never is, and that it is whole.

use crate::support::*;
use serde_json::{Value, json};
use server::{
    audit::{Flood, Record},
    limits::Limits,
    persist::memory::Memory,
};
use std::{sync::Arc, time::Duration};

async fn records(admin: &mut Client, params: Value) -> Vec<Value> {
    let records = admin.ok("audit.getRecords", params).await;
    records.as_array().expect("a list").clone()
}

#[tokio::test]
async fn who_did_what_on_what_and_with_what_outcome() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let (_, id) = guest(&pool, "Running");
    let name = pool.read(|db| {
        let vm = db
            .refs("VM")
            .into_iter()
            .find(|vm| db.text("VM", vm, "uuid") == id);
        db.text("VM", &vm.expect("the VM"), "name_label")
    });
    admin.ok("vm.pause", json!({ "id": id })).await;
    let mut plain = server.plain_user().await;
    plain
        .call("vm.stop", json!({ "id": id }))
        .await
        .expect_err("refused");
    let guess = json!({ "email": "guess@example.net", "password": "guess" });
    server
        .connect()
        .await
        .call("session.signIn", guess)
        .await
        .expect_err("refused");

    let all = records(&mut admin, json!({})).await;
    let of = |method: &str| {
        let record = all.iter().find(|record| record["data"]["method"] == method);
        record.unwrap_or_else(|| panic!("{method} is noted")).clone()
    };
    let paused = of("vm.pause");
    assert_eq!(paused["event"], "apiCall");
    assert_eq!(paused["subject"]["userName"], EMAIL);
    assert_eq!(paused["subject"]["userIp"], "127.0.0.1");
    assert_eq!(paused["data"]["outcome"], "success");
    assert_eq!(
        paused["data"]["params"]["$objects"]["id"],
        json!({ "id": id, "type": "VM", "name": name })
    );
    let refused = of("vm.stop");
    assert_eq!(refused["subject"]["userName"], "reader@example.net");
    assert_eq!(
        (&refused["data"]["outcome"], &refused["data"]["error"]["code"]),
        (&json!("failure"), &json!(2))
    );
    let failed = all
        .iter()
        .find(|record| record["event"] == "signInFailed")
        .expect("noted");
    // Nobody has this name: it may be a password in the wrong field.
    assert_eq!(failed["subject"]["userName"], Value::Null);
    assert_eq!(
        failed["subject"]["namePseudonym"],
        server.app.audit.key().pseudonym(" Guess@example.net")
    );
    assert!(
        all.iter()
            .all(|record| record["data"]["method"] != "xo.getAllObjects"),
        "what only answers is not noted"
    );

    let own = records(
        &mut admin,
        json!({ "user": "reader@example.net", "event": "apiCall" }),
    )
    .await;
    assert_eq!(own.len(), 1);
    let back = records(&mut admin, json!({ "id": paused["id"], "maxRecords": 1 })).await;
    assert_eq!(back, std::slice::from_ref(&paused));
    let count = admin.ok("audit.checkIntegrity", json!({})).await;
    assert!(count.as_u64() >= Some(all.len() as u64), "{count}");
    let part = json!({ "oldest": paused["id"], "newest": paused["id"] });
    assert_eq!(admin.ok("audit.checkIntegrity", part).await, 1);
    for end in ["newest", "oldest"] {
        let (code, _, data) = admin.fails("audit.checkIntegrity", json!({ end: "bogus" })).await;
        assert_eq!((code, data), (22, json!({ "id": "bogus", "nValid": 0 })), "{end}");
    }
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn an_altered_record_is_noticed_and_the_log_goes_on_after_a_restart() {
    let folder = Folder::new();
    let server = TestServer::start_in(&folder.0).await;
    let mut admin = server.admin().await;
    admin.ok("group.create", json!({ "name": "first" })).await;
    server.stop().await;
    let server = TestServer::start_in(&folder.0).await;
    let mut admin = server.admin().await;
    admin.ok("group.create", json!({ "name": "second" })).await;
    let before = admin.ok("audit.checkIntegrity", json!({})).await;
    assert!(
        before.as_u64() >= Some(4),
        "{before}: two sign-ins and two groups"
    );

    // The command, beside the running server.
    let verify = async |more: &[&str]| {
        let program = env!("CARGO_BIN_EXE_xo-server");
        let mut command = tokio::process::Command::new(program);
        command
            .args(["audit", "verify", "--data-dir"])
            .arg(&folder.0)
            .args(more);
        let output = command.output().await.expect("it ran");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).expect("text"))
    };
    let (whole, said) = verify(&[]).await;
    assert!(whole && said.contains("none altered"), "{said}");
    let last = records(&mut admin, json!({ "maxRecords": 1 })).await[0]["id"].clone();
    let (whole, _) = verify(&["--contains", last.as_str().expect("an id")]).await;
    assert!(whole);
    let (whole, said) = verify(&["--contains", "$5$$00"]).await;
    assert!(!whole && said.contains("is not there"), "{said}");

    let path = folder.0.join("audit-000001.jsonl");
    let text = std::fs::read_to_string(&path).expect("the log");
    std::fs::write(&path, text.replace("first", "worst")).expect("altered");
    let error = admin
        .call("audit.checkIntegrity", json!({}))
        .await
        .expect_err("altered");
    assert_eq!(error["code"], 23, "{error}");
    let record = &error["data"]["record"];
    assert_eq!(record["data"]["params"]["name"], "worst", "{error}");
    assert_eq!(error["data"]["id"], record["id"]);
    // The start after it, a sign-in and the second group came later.
    assert!(error["data"]["nValid"].as_u64() >= Some(2), "{error}");
    let (whole, said) = verify(&[]).await;
    assert!(!whole && said.contains("was altered"), "{said}");
    server.stop().await;
}

/// Servers that keep their log in this folder, and nothing else.
async fn logging_in(folder: &Folder, limits: Limits) -> TestServer {
    TestServer::on(Arc::new(Memory::default()), &folder.0, limits).await
}

fn log(server: &TestServer) -> String {
    std::fs::read_to_string(server.app.audit.folder().join("audit-000001.jsonl")).expect("the log")
}

#[tokio::test]
async fn nobody_breaks_the_chain_by_a_huge_name() {
    let folder = Folder::new();
    let large = || Limits {
        message: 8 << 20,
        ..Limits::default()
    };
    let server = logging_in(&folder, large()).await;
    let mut user = server.plain_user().await;
    let huge = "A".repeat(2 << 20);
    // The limit grows when the sign-in has been answered.
    user.ok("system.getVersion", json!({})).await;
    for (method, params) in [
        ("token.set", json!({ "id": huge, "description": "x" })),
        ("vm.start", json!({ "id": huge })),
        ("user.delete", json!({ "id": huge })),
        ("vm.start", json!({ huge.clone(): huge })),
    ] {
        let error = user.call(method, params).await.expect_err("refused");
        assert!(error.to_string().len() < 3_000, "{method}");
    }
    let longest = log(&server).lines().map(str::len).max();
    assert!(longest < Some(5_000), "{longest:?}");
    let mut admin = server.admin().await;
    let before = admin.ok("audit.checkIntegrity", json!({})).await;
    admin.ok("system.getVersion", json!({})).await;
    let error = admin
        .call("group.delete", json!({ "id": huge }))
        .await
        .expect_err("there is none");
    assert!(error.to_string().len() < 1_000);
    server.stop().await;
    let server = logging_in(&folder, large()).await;
    let mut admin = server.admin().await;
    let after = admin.ok("audit.checkIntegrity", json!({})).await;
    assert!(after.as_u64() > before.as_u64());
    let all = records(&mut admin, json!({})).await;
    let beginnings = all.iter().filter(|record| record["previousId"].is_null());
    assert_eq!(beginnings.count(), 1);
    server.stop().await;
}

#[tokio::test]
async fn who_is_refused_all_the_time_is_counted() {
    let server = TestServer::start_with(Limits {
        refused: Flood {
            failures: 5,
            within: Duration::from_millis(300),
        },
        ..Limits::default()
    })
    .await;
    let (mut admin, mut user) = (server.admin().await, server.plain_user().await);
    for _ in 0..500 {
        user.fails("vm.start", json!({ "id": "v".repeat(15_000) })).await;
    }
    user.fails("vm.stop", json!({ "id": "v" })).await;
    admin.fails("vm.stop", json!({ "id": "v" })).await;
    let of_user = async |admin: &mut Client, event: &str| {
        records(admin, json!({ "user": "reader@example.net", "event": event })).await
    };
    eventually("all are told or counted", async || {
        let told = of_user(&mut admin, "apiCall").await.len() as u64;
        let left_out = of_user(&mut admin, "apiCallsRefused").await;
        let counts = left_out
            .iter()
            .filter_map(|record| record["data"]["count"].as_u64());
        (told + counts.sum::<u64>() == 501).then_some(())
    })
    .await;
    assert!(of_user(&mut admin, "apiCall").await.len() < 250);
    let left_out = of_user(&mut admin, "apiCallsRefused").await;
    assert!(
        left_out
            .iter()
            .any(|record| record["data"]["methods"]["vm.start"].is_u64())
    );
    let own = records(&mut admin, json!({ "user": EMAIL, "method": "vm.stop" })).await;
    assert_eq!(own.len(), 1, "others are told as ever");
    let size = log(&server).len();
    assert!(size < 300_000, "{size}: not 500 times 15,000 bytes");
    server.stop().await;
}

#[tokio::test]
async fn no_secret_comes_into_the_log_by_a_side_door() {
    let server = TestServer::start().await;
    let (mut admin, mut user) = (server.admin().await, server.plain_user().await);
    let text = |value: Value| value.as_str().expect("a text").to_owned();
    let foreign = text(admin.ok("token.create", json!({})).await);
    let own = text(user.ok("token.create", json!({})).await);
    let described = json!({ "id": foreign, "description": "x" });
    let error = user.call("token.set", described).await.expect_err("not the own");
    assert!(!error.to_string().contains(&foreign), "{error}");
    user.ok("token.set", json!({ "id": own, "description": "x" }))
        .await;
    let positional = json!({
        "jsonrpc": "2.0", "id": 7, "method": "user.changePassword", "params": [PASSWORD, "PositionalNew"],
    });
    user.send_text(positional.to_string()).await;
    assert_eq!(user.answer().await["error"]["code"], 10);
    for host in ["root:S3cretPw@10.1.2.3:99999", "https://root:S3cretPw@h:99999"] {
        let server = json!({ "host": host, "username": "root", "password": "x", "autoConnect": false });
        admin.call("server.add", server).await.expect_err("no host");
    }
    let other = json!({ "host": "root:S3cretPw@10.1.2.3", "username": "root", "password": "x", "autoConnect": false });
    drop(admin.call("server.add", other).await);
    user.fails(
        "vm.start",
        json!({ "id": "vm", "xenStoreData": { "vm-data/x": "XenStoreSecret" } }),
    )
    .await;
    user.fails("vm.start", json!({ "id": format!("x {foreign}") }))
        .await;
    let mut stranger = server.connect().await;
    for name in ["TypedPassword", EMAIL] {
        let guess = json!({ "email": name, "password": "WrongPassword" });
        assert_eq!(stranger.fails("session.signIn", guess).await.0, 3);
    }
    let log = log(&server);
    for secret in [
        &foreign,
        &own,
        PASSWORD,
        "PositionalNew",
        "S3cretPw",
        "XenStoreSecret",
        "TypedPassword",
        "WrongPassword",
    ] {
        assert!(!log.contains(secret), "{secret}");
    }
    // What is there.
    let failed = records(&mut admin, json!({ "event": "signInFailed" })).await;
    assert_eq!(
        failed[0]["subject"]["userName"], EMAIL,
        "the name of somebody is told"
    );
    assert_eq!(failed[1]["subject"]["userName"], Value::Null);
    let changed = records(&mut admin, json!({ "method": "user.changePassword" })).await;
    assert_eq!(changed[0]["data"]["params"], json!({ "$unknown": 2 }));
    let added = records(&mut admin, json!({ "method": "server.add" })).await;
    assert_eq!(added[0]["data"]["params"]["host"], "********@10.1.2.3");
    server.stop().await;
}

#[tokio::test]
async fn a_log_that_is_written_anew_without_the_key_is_found_out() {
    let folder = Folder::new();
    let server = logging_in(&folder, Limits::default()).await;
    let mut admin = server.admin().await;
    admin.ok("group.create", json!({ "name": "mine" })).await;
    let (path, text) = (folder.0.join("audit-000001.jsonl"), log(&server));
    let anew = |sealed: bool| {
        let (mut last, mut all) = (None, String::new());
        for line in text.lines() {
            let old: Record = serde_json::from_str(line).expect("a record");
            let data = serde_json::from_str(&old.data.to_string().replace("mine", "nothing")).expect("JSON");
            let mut record = Record::new(last, old.time, &old.event, old.subject, data);
            record.mac = old.mac.filter(|_| sealed);
            last = Some(record.id.clone());
            all += &(json!(record).to_string() + "\n");
        }
        std::fs::write(&path, all).expect("written");
    };
    let verify = async |key: bool| {
        let place = if key {
            folder.0.clone()
        } else {
            Folder::new().0.clone()
        };
        if !key {
            std::fs::create_dir_all(&place).expect("made");
            std::fs::copy(&path, place.join("audit-000001.jsonl")).expect("copied");
        }
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_xo-server"));
        command.args(["audit", "verify", "--data-dir"]).arg(&place);
        let output = command.output().await.expect("it ran");
        if !key {
            assert!(!place.join("key").exists(), "looking makes no key");
            std::fs::remove_dir_all(&place).expect("removed");
        }
        let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        (output.status.success(), said)
    };
    let (whole, said) = verify(true).await;
    assert!(
        whole && said.contains("none altered") && !said.contains("not sealed"),
        "{said}"
    );
    anew(true);
    let error = admin
        .call("audit.checkIntegrity", json!({}))
        .await
        .expect_err("forged");
    assert_eq!(error["code"], 23, "{error}");
    let (whole, said) = verify(true).await;
    assert!(!whole && said.contains("is not sealed with the key"), "{said}");
    let (whole, said) = verify(false).await;
    assert!(whole && said.contains("there is no key file here"), "{said}");
    // As logs of before are: that is said.
    anew(false);
    let (whole, said) = verify(true).await;
    assert!(whole && said.contains("records are not sealed"), "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_sign_out_on_the_page_is_noted() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let token = admin.ok("token.create", json!({})).await;
    let cookie = format!("Cookie: token={}\r\n", token.as_str().expect("a text"));
    let (status, ..) = server.post_form("/signout", &cookie, "").await;
    assert_eq!(status, 303);
    let noted = records(&mut admin, json!({ "event": "signOut" })).await;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0]["subject"]["userName"], EMAIL);
    // A token that opens nothing signs nobody out.
    server.post_form("/signout", &cookie, "").await;
    assert_eq!(records(&mut admin, json!({ "event": "signOut" })).await.len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn what_reached_a_pool_and_failed_is_noted_whatever_was_refused_before() {
    let server = TestServer::start_with(Limits {
        refused: Flood {
            failures: 3,
            within: Duration::from_secs(60),
        },
        ..Limits::default()
    })
    .await;
    let pool = pool().await;
    let (mut admin, mut user) = (server.admin().await, server.plain_user().await);
    admin.add_pool(&pool).await;
    let (_, vm) = guest(&pool, "Running");
    let whose = user.ok("session.getUser", json!({})).await["id"].clone();
    let right = json!({ "subject": whose, "object": vm, "action": "operator" });
    admin.ok("acl.add", right).await;
    for _ in 0..10 {
        user.fails("vm.stop", json!({ "id": "unknown" })).await;
    }
    user.fails("vm.start", json!({ "id": vm })).await;
    let of_user = json!({ "user": "reader@example.net", "method": "vm.start" });
    assert_eq!(records(&mut admin, of_user).await.len(), 1);
    let refused = json!({ "user": "reader@example.net", "method": "vm.stop" });
    assert_eq!(records(&mut admin, refused).await.len(), 3);
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn what_goes_on_when_the_server_stops_is_noted() {
    let (folder, pool) = (Folder::new(), pool().await);
    let limits = || Limits {
        stopping: Duration::from_millis(200),
        ..Limits::default()
    };
    let server = logging_in(&folder, limits()).await;
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let (_, vm) = guest(&pool, "Running");
    pool.set_black_hole(true);
    admin.request("tag.add", json!({ "id": vm, "tag": "late" })).await;
    eventually("it is under way", async || {
        (pool.stats().calls_of("VM.add_tags") == 1).then_some(())
    })
    .await;
    server.stop().await;
    let server = logging_in(&folder, limits()).await;
    let mut admin = server.admin().await;
    let noted = records(&mut admin, json!({ "method": "tag.add" })).await;
    assert_eq!(noted.len(), 1);
    let said = noted[0]["data"]["error"]["message"].as_str();
    assert!(
        said.is_some_and(|said| said.starts_with("the server stopped before")),
        "{}",
        noted[0]
    );
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn the_log_can_be_fetched_as_a_whole() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let own = admin.ok("session.getUser", json!({})).await["id"].clone();
    for number in 0..1_010 {
        let change = json!({ "id": own, "preferences": { "n": number } });
        admin.ok("user.set", change).await;
    }
    let wanted = json!({ "ndjson": true, "maxRecords": 1e9, "method": "user.set" });
    let offer = admin.ok("audit.getRecords", wanted).await;
    let (status, _, lines) = server.get(offer["$getFrom"].as_str().expect("a path"), "").await;
    assert_eq!(status, 200);
    let times: Vec<i64> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["time"].as_i64())
        .collect();
    assert_eq!(times.len(), 1_010);
    assert!(times.is_sorted_by(|later, earlier| later >= earlier));
    server.stop().await;
}
