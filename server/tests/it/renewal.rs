//! Hashes of today's product become ours at the first sign-in, and nobody notices.

use crate::support::*;
use futures_util::future::join_all;
use serde_json::json;
use server::transfer::Export;

/// By the library that today's product hashes with.
const PASSWORD_OF_YORE: &str = "pässword of yore";
const BCRYPT: &str = "$2a$04$abcdefghijklmnopqrstuuWc6twB3jPMUqee3fXZBQb2BH0uMniha";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_the_renewal_of_their_hash_and_not_a_new_password() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let export =
        json!({ "users": [{ "id": "u-bob", "email": "bob", "pw_hash": BCRYPT, "permission": "none" }] });
    let export = Export::from_json(export).expect("an export");
    server.app.import_config(export).await.expect("imported");
    let credentials = json!({ "email": "bob", "password": PASSWORD_OF_YORE });
    let hash = || {
        server
            .app
            .accounts
            .user("u-bob")
            .expect("bob")
            .password_hash
            .clone()
    };
    assert_eq!(hash().as_deref(), Some(BCRYPT));

    // At the same time: each finds the old hash, and one of them replaces it.
    let signing_in = (0..3).map(async |_| {
        let mut client = server.connect().await;
        client.ok("session.signIn", credentials.clone()).await;
        client
    });
    let mut clients = join_all(signing_in).await;
    let renewed = hash().expect("a hash");
    assert!(renewed.starts_with("$argon2id$"), "{renewed}");
    // Whatever is changed, those who rest upon nothing any more are sent away.
    let team = admin.ok("group.create", json!({ "name": "team" })).await;
    admin
        .ok("group.addUser", json!({ "id": team, "userId": "u-bob" }))
        .await;
    let other = json!({ "id": "u-bob", "preferences": { "theme": "dark" } });
    admin.ok("user.set", other).await;
    for client in &mut clients {
        assert_eq!(client.ok("session.getUser", json!({})).await["id"], "u-bob");
    }

    let change = json!({ "oldPassword": PASSWORD_OF_YORE, "newPassword": "new secret" });
    let mut own = clients.pop().expect("a client");
    own.ok("user.changePassword", change).await;
    assert_eq!(own.ok("session.getUser", json!({})).await["id"], "u-bob");
    for client in &mut clients {
        assert!(matches!(client.next().await, Incoming::Closed(_)));
    }
    server.stop().await;
}
