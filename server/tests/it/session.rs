//! Who is who: sign-in over the socket, by cookie, by form; and what nobody may do.

use crate::support::*;
use serde_json::{Value, json};
use server::auth::tokens::NewToken;

#[tokio::test]
async fn password_name_and_token_open_a_session() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let by_email = client
        .ok("session.signIn", json!({ "email": EMAIL, "password": PASSWORD }))
        .await;
    assert_eq!(
        (&by_email["email"], &by_email["permission"]),
        (&json!(EMAIL), &json!("admin"))
    );
    assert_eq!(
        (&by_email["groups"], &by_email["preferences"]),
        (&json!([]), &json!({}))
    );
    assert_eq!(
        map(&by_email).keys().collect::<Vec<_>>(),
        ["email", "groups", "id", "permission", "preferences"],
        "and no hash of a password"
    );
    assert_eq!(client.ok("session.getUser", json!({})).await, by_email);
    let token = client
        .ok("token.create", json!({ "description": "for a test" }))
        .await;
    assert_eq!(token.as_str().map(str::len), Some(43));
    for credentials in [
        json!({ "username": EMAIL, "password": PASSWORD }),
        json!({ "token": token }),
        json!({ "email": EMAIL.to_uppercase(), "password": PASSWORD }),
    ] {
        let mut other = server.connect().await;
        assert_eq!(
            other.ok("session.signIn", credentials.clone()).await,
            by_email,
            "{credentials}"
        );
    }
    let mut other = server.connect().await;
    assert_eq!(
        other
            .ok("session.signInWithToken", json!({ "token": token }))
            .await,
        by_email
    );
    assert_eq!(
        other
            .ok(
                "session.signInWithPassword",
                json!({ "email": EMAIL, "password": PASSWORD })
            )
            .await,
        by_email
    );
    client.ok("token.deleteOwn", json!({ "tokens": [token] })).await;
    let (code, ..) = server
        .connect()
        .await
        .fails("session.signIn", json!({ "token": token }))
        .await;
    assert_eq!(code, 3, "a deleted token is none");
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_slows_down() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let (code, message, _) = client
        .fails("session.signIn", json!({ "email": EMAIL, "password": "wrong" }))
        .await;
    assert_eq!((code, message.as_str()), (3, "invalid credentials"));
    let (code, message, data) = client
        .fails("session.signIn", json!({ "email": EMAIL, "password": PASSWORD }))
        .await;
    assert_eq!(
        (code, message.as_str(), data),
        (-32000, "unknown error from the peer", Value::Null)
    );
    // Another name is not slowed down, and an unknown one is told the same as a known one.
    let (code, message, _) = client
        .fails(
            "session.signIn",
            json!({ "email": "nobody", "password": "wrong" }),
        )
        .await;
    assert_eq!((code, message.as_str()), (3, "invalid credentials"));
    for nothing in [
        json!({}),
        json!({ "email": EMAIL }),
        json!({ "token": "" }),
        json!({ "token": 7 }),
    ] {
        let (code, ..) = client.fails("session.signIn", nothing).await;
        assert_eq!(code, 3);
    }
    let (code, ..) = client
        .fails("session.signIn", json!({ "email": "someone", "password": "" }))
        .await;
    assert_eq!(code, -32000);
    // After a while the right password is right again.
    let mut admin = None;
    eventually("the delay ends", async || {
        let signed_in = client
            .call("session.signIn", json!({ "email": EMAIL, "password": PASSWORD }))
            .await;
        admin = signed_in.ok();
        admin.is_some().then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_hundred_guesses_at_once_are_one_guess() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    for _ in 0..100 {
        client
            .request("session.signIn", json!({ "email": EMAIL, "password": "guess" }))
            .await;
    }
    let mut verified = 0;
    for _ in 0..100 {
        let answer = client.answer().await;
        verified += u32::from(answer["error"]["code"] == 3);
        assert!(answer.get("result").is_none());
    }
    // More than one only if checking passwords took longer than the delay.
    assert!((1..=8).contains(&verified), "{verified} guesses were checked");
    server.stop().await;
}

#[tokio::test]
async fn without_a_session_only_public_methods_answer() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let info = client.ok("system.getMethodsInfo", json!({})).await;
    for (name, method) in map(&info) {
        if method.get("permission") == Some(&Value::Null) {
            continue;
        }
        let (code, message, data) = client.fails(name, json!({})).await;
        assert_eq!((code, message.as_str()), (2, "not enough permissions"), "{name}");
        assert_eq!(data.get("permission"), method.get("permission"), "{name}");
    }
    for name in [
        "system.getServerVersion",
        "system.getVersion",
        "system.listMethods",
    ] {
        client.ok(name, json!({})).await;
    }
    client
        .call("session.getUser", json!({}))
        .await
        .expect_err("there is no user");
    server.stop().await;
}

#[tokio::test]
async fn signing_out_keeps_the_socket_and_ends_the_news() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let mut client = server.admin().await;
    client.ok("system.getVersion", json!({})).await;
    assert_eq!(client.ok("session.signOut", json!({})).await, true);
    let (code, ..) = client.fails("xo.getAllObjects", json!({})).await;
    assert_eq!(code, 2);
    client.notifications.clear();
    let (vm, uuid) = guest(&pool, "Halted");
    admin.follow().await;
    pool.write(|db| db.set("VM", &vm, "name_label", "secret"));
    admin
        .until("others are told", |objects| {
            objects[&uuid]["name_label"] == "secret"
        })
        .await;
    client.ok("system.getVersion", json!({})).await;
    assert!(client.notifications.is_empty(), "{:?}", client.notifications);
    client
        .ok("session.signIn", json!({ "email": EMAIL, "password": PASSWORD }))
        .await;
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn an_expired_token_closes_the_socket_at_the_next_message() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let user = admin.ok("session.getUser", json!({})).await;
    let secret = server
        .app
        .accounts
        .create_token(NewToken {
            user_id: user["id"].as_str().expect("an id").to_owned(),
            validity_ms: Some(1_500),
            ..NewToken::default()
        })
        .await
        .expect("a token");
    let mut client = server.connect().await;
    client.ok("session.signIn", json!({ "token": secret })).await;
    let closed = eventually("the socket is closed", async || {
        client.request("system.getVersion", json!({})).await;
        match client.next().await {
            Incoming::Text(_) => None,
            Incoming::Closed(code) => Some(code),
            other @ Incoming::Binary(_) => panic!("{other:?}"),
        }
    })
    .await;
    assert_eq!(closed, 1008);
    let (code, ..) = server
        .connect()
        .await
        .fails("session.signIn", json!({ "token": secret }))
        .await;
    assert_eq!(code, 3);
    server.stop().await;
}

#[tokio::test]
async fn tokens_have_bounds() {
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    for expires in [json!(1_000), json!("1 s"), json!("never"), json!("10 years")] {
        let (code, ..) = client
            .fails("token.create", json!({ "expiresIn": expires }))
            .await;
        assert_eq!(code, 10, "{expires}");
    }
    client
        .ok(
            "token.create",
            json!({ "expiresIn": "1h", "client": { "id": "browser" } }),
        )
        .await;
    server.stop().await;
}

fn cookie(headers: &[(String, String)], name: &str) -> Option<String> {
    let mut cookies = headers.iter().filter(|(header, _)| header == "set-cookie");
    cookies
        .find(|(_, value)| value.starts_with(&format!("{name}=")))
        .map(|(_, value)| value.clone())
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(header, _)| header == name)
        .map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn the_form_signs_in_and_the_cookie_opens_sockets() {
    let server = TestServer::start().await;
    let (status, headers, body) = server.get("/signin", "").await;
    assert_eq!(
        (status, header(&headers, "cache-control")),
        (200, Some("no-store"))
    );
    assert!(body.contains("password"));
    assert!(header(&headers, "content-security-policy").is_some());

    let (status, headers, _) = server.get("/vms?s=x", "").await;
    assert_eq!((status, header(&headers, "location")), (302, Some("/signin")));
    let back = cookie(&headers, "return-url").expect("where to come back to");
    assert!(back.starts_with("return-url=/vms?s=x;"), "{back}");

    let form = "username=admin%40example.net&password=correct+horse";
    let (status, headers, _) = server
        .post_form("/signin/local", "Cookie: return-url=/vms?s=x\r\n", form)
        .await;
    assert_eq!((status, header(&headers, "location")), (303, Some("/vms?s=x")));
    let set = cookie(&headers, "token").expect("a token");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(
        !set.contains("Max-Age"),
        "without remember-me the cookie ends with the browser: {set}"
    );
    let (_, headers, _) = server
        .post_form("/signin/local", "", &format!("{form}&remember-me=on"))
        .await;
    assert!(
        cookie(&headers, "token")
            .expect("a token")
            .contains("Max-Age=2592000")
    );

    // Only a page of this server may come back from a sign-in.
    let (_, headers, _) = server
        .post_form("/signin/local", "Cookie: return-url=//evil.example\r\n", form)
        .await;
    assert_eq!(header(&headers, "location"), Some("/"));

    let pair = set.split(';').next().expect("a pair").to_owned();
    let origin = format!("http://{}", server.address);
    let mut client = server
        .connect_with(&[("cookie", &pair), ("origin", &origin)])
        .await;
    assert_eq!(
        client.ok("session.signInWithCookie", json!({})).await["email"],
        EMAIL
    );
    let mut stranger = server
        .connect_with(&[("cookie", &pair), ("origin", "https://intra.example")])
        .await;
    let (code, ..) = stranger.fails("session.signInWithCookie", json!({})).await;
    assert_eq!(
        code, 3,
        "a page of another site has no session, even if it is trusted"
    );
    let (code, ..) = server
        .connect()
        .await
        .fails("session.signInWithCookie", json!({}))
        .await;
    assert_eq!(code, 3);

    // A link only asks; a form of another site is refused.
    let (status, headers, body) = server.get("/signout", &format!("Cookie: {pair}\r\n")).await;
    assert_eq!((status, cookie(&headers, "token")), (200, None));
    assert!(
        body.contains("<form method=\"post\" action=\"/signout\""),
        "{body}"
    );
    for foreign in ["Origin: http://evil.example", "Sec-Fetch-Site: cross-site"] {
        let headers = format!("Cookie: {pair}\r\n{foreign}\r\n");
        let (status, headers, _) = server.post_form("/signout", &headers, "").await;
        assert_eq!((status, cookie(&headers, "token")), (403, None));
    }
    client.ok("session.getUser", json!({})).await;
    let own = format!("Cookie: {pair}\r\nOrigin: {origin}\r\n");
    let (status, headers, _) = server.post_form("/signout", &own, "").await;
    assert_eq!((status, header(&headers, "location")), (303, Some("/signin")));
    assert!(cookie(&headers, "token").expect("cleared").starts_with("token=;"));
    let mut late = server.connect_with(&[("cookie", &pair)]).await;
    let (code, ..) = late.fails("session.signInWithCookie", json!({})).await;
    assert_eq!(code, 3, "the token is gone, not only the cookie");
    server.stop().await;
}

#[tokio::test]
async fn the_cookie_of_a_secure_page_is_secure() {
    let server = TestServer::start().await;
    let form = "username=admin%40example.net&password=correct+horse";
    for (headers, secure) in [
        ("", false),
        ("X-Forwarded-Proto: http\r\n", false),
        (
            "X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.7\r\n",
            true,
        ),
    ] {
        let (_, answered, _) = server.post_form("/signin/local", headers, form).await;
        let set = cookie(&answered, "token").expect("a token");
        assert_eq!(set.ends_with("; Secure"), secure, "{set}");
    }
    // Limits count the client, not the proxy.
    let mut client = server.connect_with(&[("x-forwarded-for", "203.0.113.7")]).await;
    client
        .ok("session.signIn", json!({ "email": EMAIL, "password": PASSWORD }))
        .await;
    let connections = server.app.connections.list();
    assert_eq!(connections[0].address, "203.0.113.7");
    server.stop().await;
}

#[tokio::test]
async fn right_passwords_that_come_together_are_all_right() {
    let server = TestServer::start().await;
    let mut together = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut client = server.connect().await;
        together.spawn(async move {
            client
                .ok("session.signIn", json!({ "email": EMAIL, "password": PASSWORD }))
                .await
        });
    }
    assert_eq!(together.join_all().await.len(), 10);
    server.stop().await;
}

#[tokio::test]
async fn the_form_refuses() {
    let server = TestServer::start().await;
    let form = "username=admin%40example.net&password=wrong";
    let (status, headers, body) = server.post_form("/signin/local", "", form).await;
    assert_eq!(status, 401);
    assert!(cookie(&headers, "token").is_none());
    assert!(!body.contains("wrong"), "a password is not shown again");
    let (status, ..) = server
        .post_form(
            "/signin/local",
            "",
            "username=admin%40example.net&password=correct+horse",
        )
        .await;
    assert_eq!(status, 429, "too soon after a wrong one");
    let (status, headers, _) = server
        .post_form(
            "/signin/local",
            "Origin: http://evil.example\r\n",
            "username=a&password=b",
        )
        .await;
    assert_eq!((status, cookie(&headers, "token")), (403, None));
    let (status, ..) = server.post_form("/signin/local", "", "username=a").await;
    assert_eq!(status, 400);
    let (status, _, body) = server
        .post_form(
            "/signin/local",
            "",
            "username=%3Cscript%3Ealert(1)%3C/script%3E&password=x",
        )
        .await;
    assert_eq!(status, 401);
    assert!(!body.contains("<script>alert(1)"), "what was typed is no markup");
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_token_ends_its_sessions() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let token = admin.ok("token.create", json!({})).await;
    let mut other = server.connect().await;
    other.ok("session.signIn", json!({ "token": token })).await;
    admin.ok("token.delete", json!({ "tokens": [token] })).await;
    assert!(
        matches!(other.next().await, Incoming::Closed(..)),
        "the session ends with its token"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_is_deleted_while_it_opens_a_session_leaves_none() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    for _ in 0..50 {
        let token = admin.ok("token.create", json!({})).await;
        let mut other = server.connect().await;
        let delete = json!({ "tokens": [token] });
        let opening = json!({ "token": token });
        let (opened, deleted) = tokio::join!(
            other.call_if_there("session.signIn", opening),
            admin.call("token.delete", delete)
        );
        deleted.expect("deleted");
        // Refused, or ended: nothing goes on with a token that is no more.
        let still = other.call_if_there("session.getUser", json!({})).await;
        assert!(
            still.as_ref().is_none_or(|answer| answer.get("error").is_some()),
            "{opened:?} {still:?}"
        );
    }
    server.stop().await;
}
