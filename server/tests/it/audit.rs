//! The audit log: what is in it, what never is, and that it is whole.

use crate::support::*;
use serde_json::{Value, json};

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
    assert_eq!(failed["subject"]["userName"], "guess@example.net");
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
    assert_eq!(back, [paused]);
    let count = admin.ok("audit.checkIntegrity", json!({})).await;
    assert!(count.as_u64() >= Some(all.len() as u64), "{count}");
    let unknown = json!({ "newest": "$5$$00" });
    assert_eq!(
        admin
            .call("audit.checkIntegrity", unknown)
            .await
            .expect_err("not there")["code"],
        1
    );
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
    let (whole, said) = verify(&[]).await;
    assert!(!whole && said.contains("was altered"), "{said}");
    server.stop().await;
}
