//! One's own account on the page that the server renders, and the second step of the sign-in.

use crate::{browser::*, support::*};
use serde_json::json;
use totp_rs::{Builder, Secret};

fn code(secret: &str, steps_later: u64) -> String {
    let secret = Secret::try_from_base32(secret).expect("base32");
    let totp = Builder::new().with_secret(secret).build_noncompliant();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    totp.generate(now.expect("after 1970").as_secs() + 30 * steps_later)
        .to_string()
}

#[tokio::test]
async fn everybody_has_an_account_page_and_sees_no_one_elses() {
    let server = TestServer::start().await;
    server.plain_user().await;
    let secret_of_boss = {
        let mut admin = server.admin().await;
        let made = admin
            .ok("token.create", json!({ "description": "of the boss" }))
            .await;
        made.as_str().expect("a secret").to_owned()
    };
    let mut reader = Browser::signed_in(&server, READER).await;
    let create = [
        ("form", "create-token"),
        ("description", "backup script"),
        ("expiresIn", "7 days"),
    ];
    let posted = reader.post("/account", &create).await;
    assert_eq!(posted.status, 303);
    // The ticket is of no use to somebody else.
    let mut boss = Browser::signed_in(&server, EMAIL).await;
    let shown = reader.get("/account").await;
    let (_, rest) = shown.body.split_once("class=\"secret\">").expect("the secret");
    let secret = rest.split('<').next().expect("its end").to_owned();
    assert_eq!(secret.len(), 43);
    assert!(
        !reader.get("/account").await.body.contains(&secret),
        "it is shown once"
    );
    server
        .connect()
        .await
        .ok("session.signIn", json!({ "token": secret }))
        .await;
    for body in [shown.body, reader.get("/account").await.body] {
        assert!(!body.contains("of the boss") && !body.contains(&secret_of_boss) && !body.contains(EMAIL));
    }
    let everything = boss.get("/admin/tokens").await.body;
    assert!(everything.contains("backup script") && everything.contains(READER));
    assert!(!everything.contains(&secret) && !everything.contains(&secret_of_boss));

    let boss_token = server
        .app
        .accounts
        .tokens
        .get(&secret_of_boss)
        .await
        .expect("read");
    assert!(boss_token.is_some());
    let id = server::auth::tokens::id_of(&secret_of_boss);
    reader
        .post("/account", &[("form", "revoke"), ("token", &id)])
        .await;
    assert!(
        server
            .app
            .accounts
            .tokens
            .get(&secret_of_boss)
            .await
            .expect("read")
            .is_some(),
        "not the reader's to revoke"
    );
    let own = server::auth::tokens::id_of(&secret);
    reader
        .done(
            "/account",
            &[("form", "revoke"), ("token", &own)],
            "The token was revoked.",
        )
        .await;
    assert!(
        server
            .app
            .accounts
            .tokens
            .get(&secret)
            .await
            .expect("read")
            .is_none()
    );

    let change = |old, new, again| {
        [
            ("form", "password"),
            ("oldPassword", old),
            ("newPassword", new),
            ("again", again),
        ]
    };
    let shown = reader
        .post("/account", &change(PASSWORD, "new secret", "other secret"))
        .await;
    assert!(
        shown.status == 422 && shown.body.contains("another password") && !shown.body.contains("secret\"")
    );
    let shown = reader
        .post("/account", &change("wrong", "new secret", "new secret"))
        .await;
    assert!(
        shown.status == 422 && shown.body.contains("aria-invalid"),
        "{}",
        shown.body
    );
    eventually("the delay after a wrong password ends", async || {
        let shown = reader
            .post("/account", &change(PASSWORD, "new secret", "new secret"))
            .await;
        (shown.status == 303).then_some(())
    })
    .await;
    let credentials = json!({ "email": READER, "password": "new secret" });
    server.connect().await.ok("session.signIn", credentials).await;
    server.stop().await;
}

#[tokio::test]
async fn one_time_codes_are_confirmed_before_they_count_and_asked_for_in_a_second_step() {
    let server = TestServer::start().await;
    server.plain_user().await;
    let mut reader = Browser::signed_in(&server, READER).await;
    assert_eq!(
        reader.get("/account/otp").await.location,
        "/account",
        "nothing is begun"
    );
    assert_eq!(
        reader.post("/account", &[("form", "otp-begin")]).await.location,
        "/account/otp"
    );
    let shown = reader.get("/account/otp").await.body;
    let (_, rest) = shown.split_once("?secret=").expect("the address");
    let secret: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    assert!(secret.len() == 32 && shown.contains("<path d=\"M"), "{shown}");
    let wrong = reader
        .post("/account/otp", &[("form", "confirm"), ("code", "12")])
        .await;
    assert!(
        wrong.status == 422 && wrong.body.contains("not the code of now") && wrong.body.contains(&secret)
    );
    Browser::signed_in(&server, READER).await;
    let right = [("form", "confirm"), ("code", &code(&secret, 0)[..])];
    reader
        .done("/account/otp", &right, "One-time codes are asked for")
        .await;
    assert!(!reader.get("/account").await.body.contains(&secret));
    assert_eq!(
        reader.get("/account/otp").await.location,
        "/account",
        "the secret is not shown again"
    );

    let mut other = Browser::new(&server);
    let first = [("username", READER), ("password", PASSWORD)];
    assert_eq!(other.get("/account").await.status, 302);
    let shown = other.post("/signin/local", &first).await;
    assert!(shown.status == 200 && !shown.body.contains(PASSWORD), "{shown:?}");
    assert!(!shown.cookies.contains("token="), "not signed in yet");
    let (_, rest) = shown
        .body
        .split_once("name=\"ticket\" value=\"")
        .expect("a ticket");
    let ticket = rest.split('"').next().expect("its end").to_owned();
    let second = |ticket: &str, otp: &str| {
        vec![
            ("ticket".to_owned(), ticket.to_owned()),
            ("otp".to_owned(), otp.to_owned()),
        ]
    };
    let send = async |browser: &mut Browser<'_>, form: Vec<(String, String)>| {
        let form: Vec<(&str, &str)> = form
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        browser.post("/signin/otp", &form).await
    };
    let shown = send(&mut other, second("made-up", "123456")).await;
    assert!(shown.status == 401 && shown.body.contains("begin again"));
    let shown = send(&mut other, second(&ticket, "000000")).await;
    assert!(
        shown.status == 401 && shown.body.contains("not the code of now"),
        "{shown:?}"
    );
    let shown = send(&mut other, second(&ticket, &code(&secret, 1))).await;
    assert_eq!(shown.status, 429, "a wrong code slows down");
    eventually("the right code opens the session", async || {
        let shown = send(&mut other, second(&ticket, &code(&secret, 1))).await;
        assert!([303, 429].contains(&shown.status), "{shown:?}");
        (shown.status == 303 && shown.location == "/account").then_some(())
    })
    .await;
    assert_eq!(other.get("/account").await.status, 200);
    let shown = send(&mut Browser::new(&server), second(&ticket, &code(&secret, 1))).await;
    assert_eq!(shown.status, 401, "a ticket is good for one session");

    // After so many wrong codes the password is wanted again; the right code is too late then.
    let shown = Browser::new(&server).post("/signin/local", &first).await;
    let (_, rest) = shown
        .body
        .split_once("name=\"ticket\" value=\"")
        .expect("a ticket");
    let ticket = rest.split('"').next().expect("its end").to_owned();
    let mut wrong = 0;
    eventually("the ticket is void", async || {
        let shown = send(&mut Browser::new(&server), second(&ticket, "000000")).await;
        wrong += u32::from(shown.body.contains("not the code of now"));
        shown.body.contains("begin again").then_some(())
    })
    .await;
    assert_eq!(wrong, 5);

    other
        .done("/account", &[("form", "otp-off")], "not asked for any more")
        .await;
    let log = std::fs::read_to_string(server.app.audit.folder().join("audit-000001.jsonl")).expect("the log");
    assert!(!log.contains(&secret) && log.contains("one-time code"));
    server.stop().await;
}
