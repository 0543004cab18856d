//! Users, groups, passwords, one-time passwords: what administrators do, and what everybody may do alone.

use crate::support::*;
use serde_json::{Value, json};
use server::{
    auth::people::{PeopleError, UserChange},
    persist::records::{AclRecord, TokenRecord},
    rpc::registry::Caller,
};
use totp_rs::{Builder, Secret};

const OTP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn code(steps_later: u64) -> String {
    let secret = Secret::try_from_base32(OTP_SECRET).expect("base32");
    let totp = Builder::new().with_secret(secret).build_noncompliant();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    totp.generate(now + 30 * steps_later).to_string()
}

async fn user(admin: &mut Client, name: &str) -> String {
    let user = json!({ "email": name, "password": PASSWORD });
    let id = admin.ok("user.create", user).await;
    id.as_str().expect("an id").to_owned()
}

async fn signed_in(server: &TestServer, name: &str, password: &str) -> Result<Client, Value> {
    let mut client = server.connect().await;
    let credentials = json!({ "email": name, "password": password });
    client.call("session.signIn", credentials).await?;
    Ok(client)
}

/// Closed by the server.
async fn is_closed(client: &mut Client) -> bool {
    matches!(client.next().await, Incoming::Closed(_))
}

#[tokio::test]
async fn a_user_changes_its_own_preferences_and_nobody_elses() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let (ann, bob) = (user(&mut admin, "ann").await, user(&mut admin, "bob").await);
    let mut client = signed_in(&server, "ann", PASSWORD).await.expect("signed in");
    let preferences = |id: &str, preferences: Value| json!({ "id": id, "preferences": preferences });
    client
        .ok(
            "user.set",
            preferences(&ann, json!({ "lang": "fr", "theme": { "dark": true } })),
        )
        .await;
    client
        .ok("user.set", preferences(&ann, json!({ "lang": null })))
        .await;
    let own = client.ok("session.getUser", json!({})).await;
    assert_eq!(own["preferences"], json!({ "theme": { "dark": true } }));

    for refused in [
        preferences(&bob, json!({ "lang": "fr" })),
        json!({ "id": ann, "permission": "admin" }),
        json!({ "id": ann, "email": "anna" }),
        json!({ "id": ann, "password": "another" }),
    ] {
        let error = client
            .call("user.set", refused.clone())
            .await
            .expect_err("refused");
        assert_eq!(error["code"], 2, "{refused}: {error}");
    }
    let large = preferences(&ann, json!({ "large": "x".repeat(300 << 10) }));
    assert_eq!(
        client.call("user.set", large).await.expect_err("refused")["code"],
        10
    );
}

#[tokio::test]
async fn administrators_manage_people() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let own = admin.ok("session.getUser", json!({})).await["id"].clone();
    let ann = user(&mut admin, "ann").await;
    for (method, params, code) in [
        ("user.create", json!({ "email": "ANN", "password": PASSWORD }), 16),
        ("user.create", json!({ "email": " ", "password": PASSWORD }), 10),
        (
            "user.create",
            json!({ "email": "x", "password": PASSWORD, "permission": "root" }),
            10,
        ),
        ("user.delete", json!({ "id": own }), 10),
        ("user.delete", json!({ "id": "nobody" }), 1),
        ("user.set", json!({ "id": own, "permission": "none" }), 10),
        ("user.set", json!({ "id": "nobody", "email": "x" }), 1),
        ("group.addUser", json!({ "id": "none", "userId": ann }), 1),
        (
            "acl.add",
            json!({ "subject": "nobody", "object": "x", "action": "viewer" }),
            1,
        ),
        (
            "acl.add",
            json!({ "subject": ann, "object": "x", "action": "emperor" }),
            10,
        ),
    ] {
        let error = admin.call(method, params.clone()).await.expect_err("refused");
        assert_eq!(error["code"], code, "{method} {params}: {error}");
    }

    let group = admin.ok("group.create", json!({ "name": "team" })).await;
    let with_nobody = json!({ "id": group, "userIds": [ann, "nobody"] });
    let error = admin
        .call("group.setUsers", with_nobody)
        .await
        .expect_err("refused");
    assert_eq!(error["code"], 1, "{error}");
    admin
        .ok("group.setUsers", json!({ "id": group, "userIds": [ann] }))
        .await;
    let groups = admin.ok("group.getAll", json!({})).await;
    assert_eq!(groups[0]["users"], json!([ann]));
    let users = admin.ok("user.getAll", json!({})).await;
    let shown = users
        .as_array()
        .expect("a list")
        .iter()
        .find(|user| user["id"] == ann);
    assert_eq!(shown.expect("ann")["groups"], json!([group]));

    // What is said of a group goes with it.
    let entry = json!({ "subject": group, "object": "some-vm", "action": "operator" });
    admin.ok("acl.add", entry).await;
    admin.ok("group.delete", json!({ "id": group })).await;
    assert_eq!(admin.ok("acl.get", json!({})).await, json!([]));
    let users = admin.ok("user.getAll", json!({})).await;
    let shown = users
        .as_array()
        .expect("a list")
        .iter()
        .find(|user| user["id"] == ann);
    assert_eq!(shown.expect("ann")["groups"], json!([]));
}

#[tokio::test]
async fn a_deleted_user_is_gone_with_its_tokens_rights_and_connections() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let ann = user(&mut admin, "ann").await;
    let entry = json!({ "subject": ann, "object": "some-vm", "action": "viewer" });
    admin.ok("acl.add", entry).await;
    let group = admin.ok("group.create", json!({ "name": "team" })).await;
    admin
        .ok("group.addUser", json!({ "id": group, "userId": ann }))
        .await;
    let mut client = signed_in(&server, "ann", PASSWORD).await.expect("signed in");
    let token = client.ok("token.create", json!({})).await;

    admin.ok("user.delete", json!({ "id": ann })).await;
    assert!(is_closed(&mut client).await);
    assert_eq!(
        signed_in(&server, "ann", PASSWORD).await.err().expect("gone")["code"],
        3
    );
    let mut client = server.connect().await;
    let error = client.call("session.signIn", json!({ "token": token })).await;
    assert_eq!(error.expect_err("gone")["code"], 3);
    assert_eq!(admin.ok("acl.get", json!({})).await, json!([]));
    assert_eq!(admin.ok("group.getAll", json!({})).await[0]["users"], json!([]));
}

#[tokio::test]
async fn a_change_of_permission_ends_what_was_seen_before() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let ann = user(&mut admin, "ann").await;
    let mut client = signed_in(&server, "ann", PASSWORD).await.expect("signed in");
    admin
        .ok("user.set", json!({ "id": ann, "permission": "admin" }))
        .await;
    assert!(is_closed(&mut client).await);
    let mut client = signed_in(&server, "ann", PASSWORD).await.expect("signed in");
    client.ok("server.getAll", json!({})).await;
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    user(&mut admin, "ann").await;
    let mut client = signed_in(&server, "ann", PASSWORD).await.expect("signed in");
    let wrong = json!({ "oldPassword": "guess", "newPassword": "mine now" });
    let error = client
        .call("user.changePassword", wrong)
        .await
        .expect_err("refused");
    assert_eq!(error["code"], 3, "{error}");
    // A wrong guess is throttled, as at sign-in.
    let right = json!({ "oldPassword": PASSWORD, "newPassword": "mine now" });
    client
        .call("user.changePassword", right.clone())
        .await
        .expect_err("too fast");
    eventually("the throttle lets through", async || {
        client.call("user.changePassword", right.clone()).await.ok()
    })
    .await;
    signed_in(&server, "ann", "mine now").await.expect("the new one");
    signed_in(&server, "ann", PASSWORD)
        .await
        .err()
        .expect("not the old one");
}

#[tokio::test]
async fn a_one_time_password_is_asked_for_and_good_for_once() {
    let folder = Folder::new();
    let server = TestServer::start_in(&folder.0).await;
    let mut admin = server.admin().await;
    let ann = user(&mut admin, "ann").await;
    let mut client = signed_in(&server, "ann", PASSWORD).await.expect("signed in");
    let otp = |secret: Value| json!({ "id": ann, "preferences": { "otp": secret } });
    assert_eq!(
        client
            .call("user.set", otp(json!("short")))
            .await
            .expect_err("refused")["code"],
        10
    );
    client.ok("user.set", otp(json!(OTP_SECRET))).await;
    let shown = client.ok("session.getUser", json!({})).await;
    assert!(shown["preferences"]["otp"].is_string(), "{shown}");
    assert_ne!(
        shown["preferences"]["otp"], OTP_SECRET,
        "the secret is told to nobody"
    );
    let token = client.ok("token.create", json!({})).await;

    let sign_in_to = async |server: &TestServer, code: Option<String>| {
        let mut client = server.connect().await;
        let mut credentials = json!({ "email": "ann", "password": PASSWORD });
        if let Some(code) = code {
            credentials["otp"] = json!(code);
        }
        client.call("session.signIn", credentials).await
    };
    let sign_in = |code| sign_in_to(&server, code);
    assert_eq!(sign_in(None).await.expect_err("refused")["code"], 3);
    let right = code(0);
    let spaced = format!("{} {}", &right[..3], &right[3..]);
    sign_in(Some(spaced)).await.expect("signed in");
    assert_eq!(sign_in(Some(right)).await.expect_err("used")["code"], 3);
    // Tokens need none; and the next step's password is good, once the wrong one is forgiven.
    let mut other = server.connect().await;
    other.ok("session.signIn", json!({ "token": token })).await;
    let next = code(1);
    eventually("the throttle lets through", async || {
        sign_in(Some(next.clone())).await.ok()
    })
    .await;

    server.stop().await;
    let server = TestServer::start_in(&folder.0).await;
    let again = sign_in_to(&server, Some(next)).await;
    assert_eq!(again.expect_err("used before the restart")["code"], 3);
    let mut client = server.connect().await;
    client.ok("session.signIn", json!({ "token": token })).await;
    client.ok("user.set", otp(Value::Null)).await;
    eventually("the throttle lets through", async || {
        sign_in_to(&server, None).await.ok()
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn administrators_who_demote_one_another_leave_one() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let first = admin.ok("session.getUser", json!({})).await["id"].clone();
    let first = first.as_str().expect("an id").to_owned();
    for round in 0..10 {
        let second = user(&mut admin, &format!("second {round}")).await;
        let promoted = json!({ "id": second, "permission": "admin" });
        admin.ok("user.set", promoted).await;
        let demotion = || UserChange {
            permission: Some("none".to_owned()),
            ..UserChange::default()
        };
        let accounts = &server.app.accounts;
        let (one, other) = tokio::join!(
            accounts.change_user(&second, demotion(), Some(&first)),
            accounts.change_user(&first, demotion(), Some(&second)),
        );
        assert!(
            one.is_ok() && matches!(other, Err(PeopleError::NoAdministrator)),
            "{one:?} {other:?}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn a_new_password_ends_what_the_old_one_opened() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let ann = user(&mut admin, "ann").await;
    let mut own = signed_in(&server, "ann", PASSWORD).await.expect("signed in");
    let mut other = signed_in(&server, "ann", PASSWORD).await.expect("signed in");
    let token = own.ok("token.create", json!({})).await;
    let mut program = server.connect().await;
    program.ok("session.signIn", json!({ "token": token })).await;
    let form = format!("username=ann&password={}", PASSWORD.replace(' ', "+"));
    let (_, headers, _) = server.post_form("/signin/local", "", &form).await;
    let cookie = headers
        .iter()
        .find(|(name, value)| name == "set-cookie" && value.starts_with("token="));
    let cookie = cookie.expect("a token").1.split(';').next().expect("a value");
    let cookie = format!("Cookie: {cookie}\r\n");
    assert_eq!(server.get("/account", &cookie).await.0, 200);

    let change = json!({ "oldPassword": PASSWORD, "newPassword": "newer" });
    own.ok("user.changePassword", change).await;
    assert!(is_closed(&mut other).await, "whoever was in with the old one");
    assert_ne!(server.get("/account", &cookie).await.0, 200, "browsers, too");
    own.ok("session.getUser", json!({})).await;
    program.ok("session.getUser", json!({})).await;
    let reset = json!({ "id": ann, "password": "by the administrator" });
    admin.ok("user.set", reset).await;
    assert!(is_closed(&mut own).await);
    program.ok("session.getUser", json!({})).await;
    server.stop().await;
}

#[tokio::test]
async fn who_was_here_before_a_restart_is_not_locked_out_by_guesses_from_elsewhere() {
    let folder = Folder::new();
    let server = TestServer::start_in(&folder.0).await;
    let mut admin = server.admin().await;
    let token = admin.ok("token.create", json!({})).await;
    server
        .connect()
        .await
        .ok("session.signIn", json!({ "token": token }))
        .await;
    server.stop().await;

    let server = TestServer::start_in(&folder.0).await;
    for number in 0..40 {
        let address = format!("203.0.113.{number}");
        let mut stranger = server.connect_with(&[("x-forwarded-for", &address)]).await;
        let guess = json!({ "email": EMAIL, "password": "guess" });
        let (code, ..) = stranger.fails("session.signIn", guess).await;
        assert_eq!(code == -32000, number >= 30, "{number}: {code}");
    }
    server.admin().await;
    server.stop().await;
}

#[tokio::test]
async fn the_old_password_opens_nothing_once_it_was_changed() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let ann = user(&mut admin, "ann").await;
    for round in 0..10 {
        let old = format!("password {round}");
        admin.ok("user.set", json!({ "id": ann, "password": old })).await;
        let mut client = server.connect().await;
        let credentials = json!({ "email": "ann", "password": old });
        let form = format!("username=ann&password={}", old.replace(' ', "+"));
        let new = json!({ "id": ann, "password": "the next one" });
        let (_, (_, headers, _), changed) = tokio::join!(
            client.call_if_there("session.signIn", credentials),
            server.post_form("/signin/local", "", &form),
            admin.call("user.set", new),
        );
        changed.expect("changed");
        let still = client.call_if_there("session.getUser", json!({})).await;
        assert!(still.is_none_or(|answer| answer.get("error").is_some()));
        let cookie = headers.iter().find_map(|(name, value)| {
            let value = value.strip_prefix("token=").filter(|_| name == "set-cookie")?;
            value
                .split(';')
                .next()
                .map(|token| format!("Cookie: token={token}\r\n"))
        });
        if let Some(cookie) = cookie {
            assert_ne!(server.get("/account", &cookie).await.0, 200);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_nobody_needs_is_cleaned_away() {
    let folder = Folder::new();
    let server = TestServer::start_in(&folder.0).await;
    let mut admin = server.admin().await;
    let ann = user(&mut admin, "ann").await;
    // As an older version, or a hand in the store, may have left it.
    let stray = AclRecord {
        subject: "nobody".to_owned(),
        action: "viewer".to_owned(),
        object: "1b1fa5d2-4a5c-4be3-9ab1-3e0e5fc8d5e5".to_owned(),
    };
    let kept = AclRecord {
        subject: ann,
        ..stray.clone()
    };
    for entry in [&stray, &kept] {
        server.app.access.add(entry.clone()).await.expect("added");
    }
    let expired = TokenRecord {
        expiration: 1,
        ..TokenRecord::default()
    };
    server.app.store.put("gone", &expired).await.expect("kept");
    let done = json!({ "tokens": 1, "acls": 1 });
    assert_eq!(admin.ok("xo.clean", json!({})).await, done);
    let left: Vec<String> = server
        .app
        .access
        .list()
        .into_iter()
        .map(|(_, entry)| entry.subject)
        .collect();
    assert_eq!(left, [kept.subject]);
    let nothing = json!({ "tokens": 0, "acls": 0 });
    assert_eq!(admin.ok("xo.clean", json!({})).await, nothing);
    server.stop().await;
}

#[tokio::test]
async fn who_has_left_a_group_sees_nothing_through_a_call_that_began_before() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let ann = user(&mut admin, "ann").await;
    let group = admin.ok("group.create", json!({ "name": "operators" })).await;
    admin
        .ok("group.addUser", json!({ "id": group, "userId": ann }))
        .await;
    let object = pool.read(uuid_of_pool);
    let entry = json!({ "subject": group, "object": object, "action": "viewer" });
    admin.ok("acl.add", entry).await;
    let caller = || Caller {
        id: ann.clone(),
        record: server.app.accounts.user(&ann).expect("a user"),
    };
    let before = caller();
    assert!(!server.app.access.visible(&before).is_empty());
    admin
        .ok("group.removeUser", json!({ "id": group, "userId": ann }))
        .await;
    assert!(server.app.access.visible(&before).is_empty());
    assert!(server.app.access.visible(&caller()).is_empty());
    assert!(server.app.access.rights(&before, &object).is_none());
    server.stop().await;
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_administrator_had_begun_makes_nobody() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let evil = json!({ "email": "evil", "password": PASSWORD, "permission": "admin" });
    let id = admin.ok("user.create", evil).await;
    let mut client = signed_in(&server, "evil", PASSWORD).await.expect("signed in");
    // More than there are turns for passwords: they wait for one another.
    for number in 0..40 {
        let ghost = json!({ "email": format!("ghost{number}"), "password": PASSWORD, "permission": "admin" });
        client.request("user.create", ghost).await;
    }
    client.answer().await;
    admin.ok("user.delete", json!({ "id": id })).await;
    let ghosts = || {
        let users = server.app.accounts.users();
        users
            .iter()
            .filter(|user| user.email.starts_with("ghost"))
            .count()
    };
    let before = ghosts();
    assert!(before < 40, "{before} were made before");
    // What was begun comes to its end.
    server.app.stop().await;
    assert_eq!(ghosts(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_new_passwords_with_the_same_old_one_the_first_counts() {
    let server = TestServer::start().await;
    let ann = user(&mut server.admin().await, "ann").await;
    let accounts = &server.app.accounts;
    let change = |new: &'static str| accounts.change_password(&ann, PASSWORD, new, "127.0.0.1", None);
    let (one, other) = tokio::join!(change("one"), change("other"));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    let (kept, lost) = if one.is_ok() {
        ("one", "other")
    } else {
        ("other", "one")
    };
    assert!(signed_in(&server, "ann", kept).await.is_ok());
    assert!(signed_in(&server, "ann", lost).await.is_err());
    server.stop().await;
}
