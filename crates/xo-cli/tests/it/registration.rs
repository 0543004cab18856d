//! Who is let in, what is kept, and what is told when it does not work.

use crate::support::*;
use serde_json::json;
use server::config::Tls;
use std::os::unix::fs::PermissionsExt;
use totp_rs::{Builder, Secret};

const OTP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn otp(steps_later: u64) -> String {
    let secret = Secret::try_from_base32(OTP_SECRET).expect("base32");
    let totp = Builder::new().with_secret(secret).build_noncompliant();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    totp.generate(now.expect("after 1970").as_secs() + 30 * steps_later)
        .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_kept_without_the_password_and_taken_back() {
    let server = TestServer::start().await;
    for url in [server.http(), format!("ws://{}/", server.address), server.tcp()] {
        let home = Home::new();
        home.register(&url).await;
        let text = std::fs::read_to_string(home.config()).expect("a file");
        assert!(!text.contains(PASSWORD) && !text.contains("horse"), "{text}");
        let kept = home.registration();
        let mut keys: Vec<_> = kept.as_object().expect("an object").keys().collect();
        keys.sort();
        assert_eq!(keys, ["server", "token"]);
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&home.config()), 0o600);
        assert_eq!(mode(home.config().parent().expect("a folder")), 0o700);
        assert_eq!(home.json(&["session.getUser", "--json"]).await["email"], EMAIL);

        let token = home.token();
        let ran = home.xo(&["unregister"]).await;
        assert_eq!((ran.code, home.config().exists()), (0, false), "{ran:?}");
        let mut late = home.command(&["--url", &url, "session.getUser"]);
        late.env("XO_TOKEN", &token);
        let ran = run(late, "").await;
        assert_eq!(ran.code, 1, "the token is gone on the server, too: {ran:?}");
        assert!(ran.err.contains("expired or was deleted"), "{ran:?}");
        let ran = home.xo(&["unregister"]).await;
        assert_eq!(ran.code, 0, "nothing to do is no failure: {ran:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registering_again_replaces_the_token() {
    let server = TestServer::start().await;
    let home = Home::new();
    home.register(&server.http()).await;
    let before = home.token();
    // With a token in place of a password, a token of our own is made all the same.
    let ran = home
        .xo(&[
            "register",
            "--expiresIn",
            "1h",
            "--token",
            &before,
            &server.http(),
        ])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_ne!(home.token(), before);
    let mut old = home.command(&["--url", &server.http(), "session.getUser"]);
    old.env("XO_TOKEN", &before);
    assert_eq!(run(old, "").await.code, 1, "the one before is taken back");
    let mut by_variable = home.command(&["register", &server.http(), EMAIL]);
    by_variable.env("XO_PASSWORD", PASSWORD);
    assert_eq!(run(by_variable, "").await.code, 0);
    let ran = home.xo(&["--register", &server.http(), EMAIL, PASSWORD]).await;
    assert_eq!(ran.code, 0, "as of old: {ran:?}");
    let tokens = server.app.accounts.tokens.list(None).await.expect("tokens");
    assert_eq!(tokens.len(), 1);

    let ran = home
        .xo(&["register", "--expiresIn", "1s", &server.http(), EMAIL, PASSWORD])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("expiresIn: invalid expiresIn duration"),
        "{ran:?}"
    );
    home.json(&["session.getUser"]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_factors() {
    let server = TestServer::start().await;
    let home = Home::new();
    home.register(&server.http()).await;
    let admin = home.json(&["session.getUser"]).await["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let preferences = format!("preferences=json:{}", json!({ "otp": OTP_SECRET }));
    home.json(&["user.set", &format!("id={admin}"), &preferences])
        .await;

    let other = Home::new();
    let ran = other
        .xo_reading(&["register", &server.http(), EMAIL], PASSWORD)
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("--otp") && !other.config().exists(), "{ran:?}");
    // After a wrong one the server wants a pause.
    eventually("the one-time password is taken", async || {
        let ran = other
            .xo_reading(&["register", "--otp", &otp(0), &server.http(), EMAIL], PASSWORD)
            .await;
        (ran.code == 0).then_some(())
    })
    .await;
    assert_eq!(other.json(&["session.getUser"]).await["id"], admin.as_str());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_told_by_words_and_exit_code() {
    let server = TestServer::start().await;
    let home = Home::new();
    let ran = home
        .xo_reading(&["register", &server.http(), EMAIL], "wrong")
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("invalid credentials") && !ran.err.contains("wrong\n"),
        "{ran:?}"
    );

    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound");
    let nobody = format!("http://{free}");
    for (arguments, code, said) in [
        (vec!["register", "ftp://host", EMAIL, "x"], 2, "https://"),
        (
            vec!["register", "http://ann:s3cret@host", EMAIL, "x"],
            2,
            "password",
        ),
        (vec!["register", &nobody, EMAIL, "x"], 3, "refused"),
        (vec!["register", &server.http(), EMAIL], 2, "password is empty"),
        (vec!["register", &server.http()], 2, "EMAIL"),
        (vec!["register"], 2, "<URL>"),
        (
            vec!["register", "--token", "x", &server.http(), EMAIL],
            2,
            "--token",
        ),
        (vec!["list-objects"], 2, "no server is registered"),
        (vec!["vm.start", "id=x"], 2, "no server is registered"),
        (vec!["frobnicate"], 2, "frobnicate"),
        (vec!["--url", &nobody, "vm.start", "id=x"], 3, "refused"),
        (
            vec!["--url", &server.http(), "vm.start", "id=x"],
            1,
            "not enough permissions",
        ),
        (
            vec!["--url", &format!("http://{}", server.lines), "vm.start"],
            3,
            "does not answer",
        ),
        (
            vec!["--url", &server.http(), "--fingerprint", "AA", "vm.start"],
            2,
            "--fingerprint",
        ),
        (vec!["--config", "/proc/self/mem", "watch"], 4, "/proc/self/mem"),
    ] {
        let ran = home.xo(&arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(
            ran.err.contains(said) && !ran.err.contains("s3cret"),
            "{arguments:?}: {ran:?}"
        );
        assert!(
            ran.out.is_empty() && !home.config().exists(),
            "{arguments:?}: {ran:?}"
        );
    }
    std::fs::write(home.file("broken"), "{").expect("written");
    let ran = home.xo(&["--config", "broken", "watch"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");

    // What needs nobody, without being registered.
    let ran = home
        .xo(&["--url", &server.http(), "system.getServerVersion"])
        .await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, concat!(env!("CARGO_PKG_VERSION"), "\n"))
    );

    // After the wrong password the server wants a pause.
    eventually("the right one is taken", async || {
        let ran = home
            .xo_reading(&["register", &server.http(), EMAIL], PASSWORD)
            .await;
        (ran.code == 0).then_some(())
    })
    .await;
    let token = home.token();
    let address = server.http();
    server.stop().await;
    let ran = home.xo(&["list-objects"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains(&address), "{ran:?}");
    let ran = home.xo(&["unregister"]).await;
    assert_eq!((ran.code, home.token()), (3, token), "{ran:?}");
    assert!(ran.err.contains("--force"), "{ran:?}");
    let ran = home.xo(&["unregister", "--force"]).await;
    assert_eq!((ran.code, home.config().exists()), (0, false), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_goes_to_its_server_only() {
    let (server, other) = (TestServer::start().await, TestServer::start().await);
    let home = Home::new();
    home.register(&server.http()).await;
    let ran = home.xo(&["--url", &other.http(), "xo.getAllObjects"]).await;
    assert_eq!(ran.code, 1, "nobody is signed in there: {ran:?}");
    assert!(ran.err.contains("not enough permissions"), "{ran:?}");
    let ran = home.xo(&["--url", &server.http(), "session.getUser"]).await;
    assert_eq!(ran.code, 0, "the same server, written out: {ran:?}");
    // Others on this machine could read the token.
    std::fs::set_permissions(home.config(), PermissionsExt::from_mode(0o644)).expect("changed");
    let ran = home.xo(&["session.getUser"]).await;
    assert!(ran.code == 0 && ran.err.contains("chmod 600"), "{ran:?}");
    server.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_verified_pinned_or_not_looked_at() {
    let server = TestServer::start_with(Some(Tls::SelfSigned)).await;
    let fingerprint = server.fingerprint.clone().expect("a fingerprint");
    for url in [
        format!("https://{}", server.address),
        format!("tls://{}", server.lines),
    ] {
        let home = Home::new();
        let ran = home.xo(&["register", &url, EMAIL, PASSWORD]).await;
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(
            ran.err.contains(&format!("--fingerprint {fingerprint}")),
            "{ran:?}"
        );

        let ran = home
            .xo(&["register", "--allowUnauthorized", &url, EMAIL, PASSWORD])
            .await;
        assert!(ran.code == 0 && ran.err.contains(&fingerprint), "{ran:?}");
        assert_eq!(home.registration()["allowUnauthorized"], true);
        home.json(&["session.getUser"]).await;

        let ran = home
            .xo(&[
                "register",
                "--fingerprint",
                &fingerprint.to_lowercase(),
                &url,
                EMAIL,
                PASSWORD,
            ])
            .await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(home.registration()["fingerprint"], fingerprint.as_str());
        home.json(&["session.getUser"]).await;
        let ran = home.xo(&["register", &url, EMAIL, PASSWORD]).await;
        assert_eq!(ran.code, 0, "the pin is remembered: {ran:?}");
        if url.starts_with("https") {
            let listed = home.xo(&["xo.getAllObjects", "ndjson=true", "@"]).await;
            assert_eq!((listed.code, listed.out.as_str()), (0, ""), "{listed:?}");
        }

        let mut kept = home.registration();
        kept["fingerprint"] = vec!["AA"; 32].join(":").into();
        std::fs::write(home.config(), kept.to_string()).expect("written");
        for arguments in [vec!["session.getUser"], vec!["register", &url, EMAIL, PASSWORD]] {
            let ran = home.xo(&arguments).await;
            assert_eq!(ran.code, 3, "another certificate than the pinned one: {ran:?}");
            assert!(ran.err.contains("certificate changed"), "{ran:?}");
        }
    }
    server.stop().await;
}
