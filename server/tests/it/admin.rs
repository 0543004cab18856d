//! The administration pages: who gets them, what their forms do, and what is never in them.

use crate::{browser::*, support::*};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ADMIN_PAGES: [&str; 8] = [
    "/admin",
    "/admin/servers",
    "/admin/users",
    "/admin/groups",
    "/admin/rights",
    "/admin/tokens",
    "/admin/connections",
    "/admin/audit",
];

#[tokio::test]
async fn pages_are_for_administrators_and_strangers_sign_in_first() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    server.plain_user().await;
    let names: Vec<String> = admin
        .all_objects()
        .await
        .values()
        .filter_map(|object| object["name_label"].as_str().map(str::to_owned))
        .filter(|name| name.len() > 5)
        .collect();
    assert!(names.len() > 10);
    let mut boss = Browser::signed_in(&server, EMAIL).await;
    let mut reader = Browser::signed_in(&server, READER).await;
    for path in ADMIN_PAGES {
        let shown = boss.get(path).await;
        assert_eq!(shown.status, 200, "{path}: {}", shown.body);
        assert!(
            shown.body.contains("<h1>") && shown.body.contains("Audit log"),
            "{path}"
        );
        let shown = reader.get(path).await;
        assert_eq!(shown.status, 403, "{path}");
        assert!(shown.body.contains("Only administrators") && !shown.body.contains("Audit log"));
        for name in &names {
            assert!(!shown.body.contains(name), "{path} shows {name}");
        }
        let form = [
            ("form", "create"),
            ("email", "x"),
            ("name", "x"),
            ("password", "x"),
        ];
        assert_eq!(
            reader.post(path, &form).await.status,
            if path == "/admin" { 405 } else { 403 }
        );
        let mut stranger = Browser::new(&server);
        let shown = stranger.get(path).await;
        assert_eq!(
            (shown.status, shown.location.as_str()),
            (302, "/signin"),
            "{path}"
        );
        assert!(
            shown.cookies.contains(&format!("return-url={path};")),
            "{}",
            shown.cookies
        );
        let form = [("username", EMAIL), ("password", PASSWORD)];
        assert_eq!(stranger.post("/signin/local", &form).await.location, path);
    }
    for path in ["/admin/users/nobody", "/admin/groups/nothing"] {
        assert_eq!(boss.get(path).await.status, 404, "{path}");
    }
    let own = reader.get("/account").await;
    assert_eq!(own.status, 200);
    for name in &names {
        assert!(!own.body.contains(name), "the account page shows {name}");
    }
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn forms_of_other_sites_and_forms_too_large_are_refused() {
    let server = TestServer::start().await;
    let boss = Browser::signed_in(&server, EMAIL).await;
    let paths = ADMIN_PAGES[1..]
        .iter()
        .chain(&["/account", "/account/otp", "/signin/otp"]);
    for path in paths {
        for foreign in [
            "Origin: http://evil.example\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
        ] {
            let headers = format!("{}{foreign}", boss.headers());
            let (status, _, body) = server.post_form(path, &headers, "form=create&name=x").await;
            assert_eq!(status, 403, "{path} {foreign}: {body}");
        }
    }
    assert!(server.app.accounts.groups().is_empty());
    let large = format!("form=create&name={}", "x".repeat(20_000));
    let (status, ..) = server.post_form("/admin/groups", &boss.headers(), &large).await;
    assert_eq!(status, 413);
    let (status, ..) = server
        .post_form("/admin/groups", &boss.headers(), "form=unheard-of")
        .await;
    assert_eq!(status, 400);
    server.stop().await;
}

#[tokio::test]
async fn people_are_administered_and_what_was_typed_stays() {
    let server = TestServer::start().await;
    let mut boss = Browser::signed_in(&server, EMAIL).await;
    let create = |name, password| {
        [
            ("form", "create"),
            ("email", name),
            ("password", password),
            ("permission", "none"),
        ]
    };
    boss.done(
        "/admin/users",
        &create("ann", "first secret"),
        "The user was created.",
    )
    .await;
    let hostile = "<script>x</script>\"'&\r\nSet-Cookie: a=b";
    for (name, password, word) in [
        ("ann", "second secret", "already exists"),
        ("", "second secret", "This is needed."),
        ("bob", "", "This is needed."),
        (hostile, "second secret", "visible characters"),
    ] {
        let shown = boss.post("/admin/users", &create(name, password)).await;
        assert!([409, 422].contains(&shown.status), "{name}: {}", shown.status);
        assert!(shown.body.contains(word), "{name:?} {password:?}: {}", shown.body);
        assert!(shown.body.contains("aria-invalid=\"true\""));
        assert!(!shown.body.contains("second secret") && !shown.body.contains("<script>x"));
        assert!(!shown.cookies.contains("a=b"));
        if name == "bob" {
            assert!(shown.body.contains("value=\"bob\""), "what was typed stays");
        }
    }
    // A name that means something in HTML is a name.
    boss.done(
        "/admin/users",
        &create("<b>eve</b>", "first secret"),
        "&lt;b&gt;eve",
    )
    .await;
    let ann = server
        .app
        .accounts
        .users()
        .into_iter()
        .find(|user| user.email == "ann")
        .expect("ann")
        .id;
    let page = format!("/admin/users/{ann}");
    boss.done(
        &page,
        &[("form", "set"), ("email", "anna"), ("permission", "none")],
        "The user was changed.",
    )
    .await;
    boss.done(
        &page,
        &[("form", "password"), ("password", PASSWORD)],
        "The password was changed.",
    )
    .await;
    let empty = boss.post(&page, &[("form", "password"), ("password", "")]).await;
    assert_eq!(empty.status, 422);

    boss.done(
        "/admin/groups",
        &[("form", "create"), ("name", "ops")],
        "The group was created.",
    )
    .await;
    let group = server.app.accounts.groups()[0].id.clone();
    let group_page = format!("/admin/groups/{group}");
    let shown = boss
        .post(&group_page, &[("form", "add-user"), ("userId", "nobody")])
        .await;
    assert!(shown.status == 422 && shown.body.contains("No user has this name."));
    boss.done(
        &group_page,
        &[("form", "add-user"), ("userId", "ANNA")],
        "The members were changed.",
    )
    .await;
    let shown = boss.get(&page).await;
    assert!(shown.body.contains("ops"), "{}", shown.body);
    boss.done(
        &page,
        &[("form", "leave"), ("group", &group)],
        "The user was changed.",
    )
    .await;
    boss.done(
        &page,
        &[("form", "join"), ("group", &group)],
        "The user was changed.",
    )
    .await;
    boss.done(
        &group_page,
        &[("form", "set"), ("name", "operators")],
        "The group was changed.",
    )
    .await;

    let mut anna = Browser::signed_in(&server, "anna").await;
    let tokens = server.app.accounts.tokens.list(Some(&ann)).await.expect("tokens");
    let (token, _) = tokens.first().expect("the session");
    let mine = boss.get(&page).await.body;
    assert!(mine.contains(token.as_str()), "its token can be revoked");
    boss.done(
        "/admin/tokens",
        &[("form", "revoke"), ("token", token)],
        "The token was revoked.",
    )
    .await;
    assert_eq!(anna.get("/account").await.status, 302, "signed out");

    let own = server
        .app
        .accounts
        .users()
        .into_iter()
        .find(|user| user.email == EMAIL)
        .expect("the administrator")
        .id;
    let shown = boss
        .post(&format!("/admin/users/{own}"), &[("form", "delete")])
        .await;
    assert!(
        shown.status == 422 && shown.body.contains("cannot delete itself"),
        "{}",
        shown.body
    );
    boss.done(&page, &[("form", "delete")], "The user was deleted.")
        .await;
    boss.done(&group_page, &[("form", "delete")], "The group was deleted.")
        .await;
    assert_eq!(
        boss.post(&page, &[("form", "password"), ("password", "x")])
            .await
            .status,
        404
    );

    // All of that is in the log, under the name of who did it, without any secret.
    let log = std::fs::read_to_string(server.app.audit.folder().join("audit-000001.jsonl")).expect("the log");
    for method in [
        "user.create",
        "user.set",
        "group.addUser",
        "group.set",
        "token.delete",
        "user.delete",
        "group.delete",
    ] {
        let line = log.lines().find(|line| line.contains(&format!("\"{method}\"")));
        let record: Value =
            serde_json::from_str(line.unwrap_or_else(|| panic!("{method} is noted"))).expect("JSON");
        assert_eq!(record["subject"]["userName"], EMAIL, "{method}");
    }
    assert!(!log.contains("first secret") && !log.contains("second secret") && !log.contains(PASSWORD));
    let shown = boss.get("/admin/audit?method=user.delete").await.body;
    assert!(shown.contains("user.delete") && !shown.contains("group.delete"));
    let shown = boss.get("/admin/audit?event=apiCall&user=nobody").await.body;
    assert!(shown.contains("No record."));
    for (query, found) in [
        ("before=2020-01-01T00:00", false),
        ("after=2020-01-01T00:00", true),
    ] {
        let shown = boss.get(&format!("/admin/audit?{query}")).await.body;
        assert_eq!(shown.contains("user.delete"), found, "{query}");
    }
    assert!(
        boss.get("/admin/audit?after=soon")
            .await
            .body
            .contains("A date and a time")
    );
    boss.done("/admin/audit", &[("form", "verify")], "The log is whole:")
        .await;
    server.stop().await;
}

#[tokio::test]
async fn the_log_is_read_in_parts() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    for number in 0..130 {
        admin
            .ok("group.create", json!({ "name": format!("group {number}") }))
            .await;
    }
    let mut boss = Browser::signed_in(&server, EMAIL).await;
    let first = boss.get("/admin/audit?method=group.create").await.body;
    assert!(first.contains("group 129") && !first.contains("group 29\""));
    let (_, rest) = first.split_once("href=\"/admin/audit?id=").expect("older ones");
    let (path, _) = rest.split_once('"').expect("an address");
    let older = boss
        .get(&format!("/admin/audit?id={}", path.replace("&amp;", "&")))
        .await
        .body;
    assert!(
        older.contains("group 29\"") && older.contains("group 0\"") && !older.contains("group 30\""),
        "{older}"
    );
    assert!(!older.contains("Older"));
    let groups = boss.get("/admin/groups?q=group%2011").await.body;
    assert!(groups.contains("11 groups"), "{groups}");
    server.stop().await;
}

#[tokio::test]
async fn rights_are_given_explained_and_taken() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    server.plain_user().await;
    let objects = admin.all_objects().await;
    let pool_object = objects
        .values()
        .find(|object| object["type"] == "pool")
        .expect("the pool");
    let (pool_id, pool_name) = (
        pool_object["id"].as_str().expect("id"),
        pool_object["name_label"].as_str().expect("name"),
    );
    let (_, vm) = guest(&pool, "Running");
    let vm_name = objects[&vm]["name_label"].as_str().expect("a name");
    let mut boss = Browser::signed_in(&server, EMAIL).await;
    boss.done("/admin/groups", &[("form", "create"), ("name", "ops")], "created")
        .await;
    let group = server.app.accounts.groups()[0].id.clone();
    boss.done(
        &format!("/admin/groups/{group}"),
        &[("form", "add-user"), ("userId", READER)],
        "changed",
    )
    .await;

    let explain = format!("/admin/rights?view=explain&user={READER}&permission=operate&object={vm}");
    let shown = boss.get(&explain).await.body;
    assert!(
        shown.contains(&format!("{READER} may not operate {vm_name} (VM).")),
        "{shown}"
    );
    let page = format!("/admin/rights?view=subject&subject={group}");
    for (object, action, word) in [
        ("no such thing", "viewer", "No object has this name"),
        (pool_id, "owner", "operator"),
    ] {
        let form = [
            ("form", "add"),
            ("subject", &group),
            ("object", object),
            ("action", action),
        ];
        let shown = boss.post(&page, &form).await;
        assert_eq!(shown.status, 422, "{object}");
        assert!(
            shown.body.contains(word) && shown.body.contains(object),
            "{}",
            shown.body
        );
    }
    let form = [
        ("form", "add"),
        ("subject", "ops"),
        ("object", pool_name),
        ("action", "operator"),
    ];
    boss.done(&page, &form, "The right was added.").await;
    let shown = boss.get(&explain).await.body;
    assert!(
        shown.contains(&format!("{READER} may operate {vm_name} (VM).")),
        "{shown}"
    );
    assert!(
        shown.contains(&format!(
            "The group ops, which {READER} is in, has the role operator on {pool_name} (pool)."
        )),
        "{shown}"
    );
    for path in [
        page.clone(),
        format!("/admin/rights?view=object&object={pool_id}"),
        format!("/admin/groups/{group}"),
    ] {
        let shown = boss.get(&path).await.body;
        assert!(
            shown.contains("Operator: may see and operate it") && shown.contains(pool_name),
            "{path}: {shown}"
        );
    }
    let part = &vm_name[..vm_name.len() - 1];
    let shown = boss
        .get(&format!(
            "/admin/rights?view=object&object={}",
            ::app::routes::encoded(part)
        ))
        .await
        .body;
    assert!(shown.contains("Which one?") && shown.contains(vm_name), "{shown}");
    let form = [
        ("form", "remove-right"),
        ("subject", &group),
        ("object", pool_id),
        ("action", "operator"),
    ];
    boss.done(&page, &form, "The right was removed.").await;
    assert!(server.app.access.list().is_empty());
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn servers_and_connections_are_administered() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut boss = Browser::signed_in(&server, EMAIL).await;
    let add = |host| {
        [
            ("form", "add"),
            ("host", host),
            ("label", "the lab"),
            ("username", "root"),
            ("password", "password"),
            ("certificate", "verify"),
        ]
    };
    let url = pool.url();
    boss.done("/admin/servers", &add(&url), "The server was added")
        .await;
    let again = boss.post("/admin/servers", &add(&url)).await;
    assert!(again.status == 409 && again.body.contains("already exists") && again.body.contains("the lab"));
    let wrong = boss.post("/admin/servers", &add("")).await;
    assert!(wrong.status == 422 && wrong.body.contains("This is needed."));
    let id = server.app.pools.servers()[0].id.clone();
    let edit = [
        ("form", "edit"),
        ("id", &id),
        ("host", &url),
        ("username", "root"),
        ("label", "lab 2"),
        ("password", ""),
        ("certificate", "keep"),
        ("readOnly", "true"),
    ];
    boss.done("/admin/servers", &edit, "lab 2").await;
    assert!(server.app.pools.servers()[0].read_only);
    boss.done(
        "/admin/servers",
        &[("form", "disable"), ("id", &id)],
        "disconnected",
    )
    .await;
    boss.done(
        "/admin/servers",
        &[("form", "enable"), ("id", &id)],
        "being connected",
    )
    .await;
    boss.done("/admin/servers", &[("form", "remove"), ("id", &id)], "removed")
        .await;
    assert!(server.app.pools.servers().is_empty());
    let gone = boss
        .post("/admin/servers", &[("form", "enable"), ("id", &id)])
        .await;
    assert_eq!(gone.status, 404);

    let mut client = server.admin().await;
    let mut other = server.plain_user().await;
    let shown = boss.get("/admin/connections").await.body;
    assert!(
        shown.contains(READER) && shown.contains("2 connections"),
        "{shown}"
    );
    let open = server.app.connections.list();
    let reader = open
        .iter()
        .max_by_key(|connection| connection.id)
        .expect("open")
        .id
        .to_string();
    boss.done(
        "/admin/connections",
        &[("form", "close"), ("id", &reader)],
        "The connection was closed.",
    )
    .await;
    assert!(matches!(other.next().await, Incoming::Closed(_)));
    client.ok("session.getUser", json!({})).await;
    assert_eq!(
        boss.post("/admin/connections", &[("form", "close"), ("id", "x")])
            .await
            .status,
        422
    );
    boss.done(
        "/admin/connections",
        &[("form", "close-all")],
        "The connections were closed.",
    )
    .await;
    assert!(matches!(client.next().await, Incoming::Closed(_)));
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_form_that_comes_when_its_session_is_over_does_nothing() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let token = admin.ok("token.create", json!({})).await;
    let token = token.as_str().expect("a token");
    let form = format!("form=create&email=backdoor&password={PASSWORD}&permission=admin");
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let head = format!(
        "POST /admin/users HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: token={token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        server.address,
        form.len()
    );
    stream.write_all(head.as_bytes()).await.expect("taken");
    eventually("the server has looked at the token", async || {
        let tokens = server.app.accounts.tokens.list(None).await.expect("a list");
        tokens
            .iter()
            .any(|(_, token)| !token.last_uses.is_empty())
            .then_some(())
    })
    .await;
    admin.ok("token.delete", json!({ "tokens": [token] })).await;
    stream.write_all(form.as_bytes()).await.expect("taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
    let users = admin.ok("user.getAll", json!({})).await;
    assert_eq!(users.as_array().expect("a list").len(), 1, "{users}");
    server.stop().await;
}
