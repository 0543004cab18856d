//! The configuration as a file: out of one server, into another that runs.

use crate::support::*;
use serde_json::{Value, json};

async fn fetch(server: &TestServer, path: &str) -> String {
    let (status, headers, body) = server.get(path, "").await;
    assert_eq!(status, 200, "{body}");
    let disposition = headers.iter().find(|(name, _)| name == "content-disposition");
    assert!(
        disposition.is_some_and(|(_, value)| value.contains("XO-config_")),
        "{headers:?}"
    );
    body
}

async fn send(server: &TestServer, path: &str, body: &str) -> (u16, String) {
    let host = server.address;
    let (status, _, answer) = server
        .http(&format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
    (status, answer)
}

async fn import(server: &TestServer, admin: &mut Client, text: &str) -> (u16, String) {
    let answer = admin.ok("xo.importConfig", json!({})).await;
    send(server, answer["$sendTo"].as_str().expect("a path"), text).await
}

#[tokio::test]
async fn a_configuration_moves_to_a_server_that_runs() {
    let (first, pool) = (TestServer::start().await, pool().await);
    let mut admin = first.admin().await;
    admin.add_pool(&pool).await;
    let user = json!({ "email": "ann", "password": "her password" });
    let ann = admin.ok("user.create", user).await;
    let group = admin.ok("group.create", json!({ "name": "team" })).await;
    admin
        .ok("group.addUser", json!({ "id": group, "userId": ann }))
        .await;
    let (_, vm) = guest(&pool, "Running");
    let entry = json!({ "subject": group, "object": vm, "action": "viewer" });
    admin.ok("acl.add", entry).await;
    let answer = admin.ok("xo.exportConfig", json!({ "compress": false })).await;
    let exported = fetch(&first, answer["$getFrom"].as_str().expect("a path")).await;
    first.stop().await;

    let second = TestServer::start().await;
    let mut admin = second.admin().await;
    let (status, report) = import(&second, &mut admin, &exported).await;
    assert_eq!(status, 200, "{report}");
    assert!(report.contains("ann"), "each record is told: {report}");
    // The same name with another id: the administrator of here is the one of there now, and comes back.
    let mut admin = second.admin().await;
    let servers = admin.ok("server.getAll", json!({})).await;
    let id = servers[0]["id"].as_str().expect("the server came").to_owned();
    admin.connected(&id).await;
    assert_eq!(
        admin.ok("group.getAll", json!({})).await[0]["users"],
        json!([ann])
    );

    let mut client = second.connect().await;
    let credentials = json!({ "email": "ann", "password": "her password" });
    client.ok("session.signIn", credentials).await;
    let seen = client.all_objects().await;
    assert!(seen.contains_key(&vm), "rights came, and count");
    assert!(seen.values().all(|object| object["type"] != "host"));
    second.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn what_is_no_configuration_changes_nothing() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let before = admin.ok("user.getAll", json!({})).await;
    for text in ["", "{", "[]", "{\"users\": 1}", "-----BEGIN PGP MESSAGE-----"] {
        let (status, answer) = import(&server, &mut admin, text).await;
        assert_eq!(status, 400, "{text}: {answer}");
        assert!(answer.len() > 10, "{text}: {answer}");
    }
    assert_eq!(admin.ok("user.getAll", json!({})).await, before);
    for (method, params, path) in [
        ("xo.exportConfig", json!({ "passphrase": "x" }), "/passphrase"),
        ("xo.importConfig", json!({ "passphrase": "x" }), "/passphrase"),
        ("xo.exportConfig", json!({ "entries": ["nonsense"] }), "/entries"),
    ] {
        let error: Value = admin.call(method, params).await.expect_err("refused");
        assert_eq!(error["data"]["errors"][0]["instancePath"], path, "{error}");
    }
    // A path is good for once.
    let answer = admin.ok("xo.importConfig", json!({})).await;
    let path = answer["$sendTo"].as_str().expect("a path");
    assert_eq!(send(&server, path, "{").await.0, 400);
    assert_eq!(send(&server, path, "{").await.0, 404);
}

/// A link to send a configuration to, asked for by an administrator who then loses the right to it.
#[tokio::test]
async fn a_link_is_worth_no_more_than_its_owner() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let exported = admin.ok("xo.exportConfig", json!({ "compress": false })).await;
    let config = fetch(&server, exported["$getFrom"].as_str().expect("a path")).await;
    let before = admin.ok("user.getAll", json!({})).await;
    for (number, loss) in ["demoted", "deleted", "password", "token", "sign-out"]
        .into_iter()
        .enumerate()
    {
        let name = format!("second{number}");
        let user = json!({ "email": name, "password": PASSWORD, "permission": "admin" });
        let id = admin.ok("user.create", user).await;
        let mut second = server.connect().await;
        let credentials = json!({ "email": name, "password": PASSWORD });
        second.ok("session.signIn", credentials).await;
        let token = second.ok("token.create", json!({})).await;
        let mut third = server.connect().await;
        third.ok("session.signIn", json!({ "token": token })).await;
        // The token was made for a program, and opens sessions whatever the password is.
        let third = if loss == "password" {
            &mut second
        } else {
            &mut third
        };
        let path = |offer: Value, kind: &str| offer[kind].as_str().expect("a path").to_owned();
        let upload = path(third.ok("xo.importConfig", json!({})).await, "$sendTo");
        let download = path(third.ok("xo.exportConfig", json!({})).await, "$getFrom");
        match loss {
            "demoted" => {
                let none = json!({ "id": id, "permission": "none" });
                admin.ok("user.set", none).await;
            }
            "deleted" => drop(admin.ok("user.delete", json!({ "id": id })).await),
            "password" => {
                let new = json!({ "id": id, "password": "another" });
                admin.ok("user.set", new).await;
            }
            "token" => drop(admin.ok("token.delete", json!({ "tokens": [token] })).await),
            _ => drop(third.ok("session.signOut", json!({})).await),
        }
        let expected = if loss == "sign-out" { 404 } else { 403 };
        assert_eq!(send(&server, &upload, &config).await.0, expected, "{loss}");
        assert_eq!(server.get(&download, "").await.0, expected, "{loss}");
        if loss != "deleted" {
            admin.ok("user.delete", json!({ "id": id })).await;
        }
    }
    assert_eq!(admin.ok("user.getAll", json!({})).await, before);
    let refused = admin
        .ok("audit.getRecords", json!({ "method": "xo.importConfig" }))
        .await;
    let refused = refused.as_array().expect("a list").iter();
    let refused: Vec<&Value> = refused
        .filter(|record| record["data"]["params"]["stage"] == "upload")
        .collect();
    assert_eq!(refused.len(), 4);
    for record in refused {
        assert_eq!(record["data"]["outcome"], "failure");
        assert!(
            record["data"]["error"]["message"]
                .as_str()
                .is_some_and(|text| text.contains("not use it any more"))
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn an_import_is_in_the_log_with_what_it_changed() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let config = json!({ "tags": [{ "id": "blue", "color": "#0000ff" }] }).to_string();
    let (status, report) = import(&server, &mut admin, &config).await;
    assert_eq!(status, 200, "{report}");
    let (status, _) = import(&server, &mut admin, "[]").await;
    assert_eq!(status, 400);
    let noted = admin
        .ok("audit.getRecords", json!({ "method": "xo.importConfig" }))
        .await;
    let noted: Vec<&Value> = noted
        .as_array()
        .expect("a list")
        .iter()
        .filter(|record| record["data"]["params"]["stage"] == "upload")
        .collect();
    assert_eq!(noted.len(), 2);
    assert_eq!(noted[0]["data"]["outcome"], "failure");
    let (done, data) = (noted[1], &noted[1]["data"]);
    assert_eq!(
        (&done["subject"]["userName"], &data["outcome"]),
        (&json!(EMAIL), &json!("success"))
    );
    assert_eq!(data["params"]["bytes"], config.len());
    assert_eq!(data["params"]["summary"]["counts"]["tags"], json!({ "new": 1 }));
    assert_eq!(data["params"]["summary"]["first"], json!(["new tags blue"]));
    server.stop().await;
}
