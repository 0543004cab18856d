//! token.*: describing and deleting tokens, one's own and others'.

use crate::support::*;
use serde_json::{Value, json};

async fn opens(server: &TestServer, secret: &Value) -> bool {
    let mut client = server.connect().await;
    client
        .call("session.signIn", json!({ "token": secret }))
        .await
        .is_ok()
}

async fn create(client: &mut Client, description: &str) -> Value {
    client
        .ok("token.create", json!({ "description": description }))
        .await
}

#[tokio::test]
async fn a_description_is_changed_by_its_owner() {
    let server = TestServer::start().await;
    let (mut admin, mut user) = (server.admin().await, server.plain_user().await);
    let secret = create(&mut user, "before").await;
    let described = async || {
        let tokens = server.app.accounts.tokens.list(None).await.expect("a list");
        tokens[0].1.description.clone()
    };
    let set = |text: Value| json!({ "id": secret, "description": text });
    assert_eq!(user.ok("token.set", set(json!("after"))).await, true);
    assert_eq!(described().await.as_deref(), Some("after"));
    let (code, ..) = admin.fails("token.set", set(json!("mine"))).await;
    assert_eq!(code, 1, "another's token is none");
    user.ok("token.set", json!({ "id": secret })).await;
    assert_eq!(described().await.as_deref(), Some("after"));
    user.ok("token.set", set(Value::Null)).await;
    assert_eq!(described().await, None);
    let (code, ..) = user
        .fails("token.set", json!({ "id": "none", "description": "x" }))
        .await;
    assert_eq!(code, 1);
    assert!(opens(&server, &secret).await);
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_deleted_by_list_and_by_pattern() {
    let server = TestServer::start().await;
    let (mut admin, mut user) = (server.admin().await, server.plain_user().await);
    let user_id = user.ok("session.getUser", json!({})).await["id"].clone();
    let (first, second) = (
        create(&mut admin, "first").await,
        create(&mut admin, "second").await,
    );
    let (third, fourth) = (
        create(&mut user, "first").await,
        create(&mut user, "second").await,
    );

    // A user reaches only his own, by secret or by pattern, and knows no other way.
    user.ok("token.deleteOwn", json!({ "tokens": [first, "nobody's"] }))
        .await;
    user.ok(
        "token.deleteOwn",
        json!({ "pattern": { "description": "first" } }),
    )
    .await;
    assert!(opens(&server, &first).await && !opens(&server, &third).await);
    let (code, ..) = user.fails("token.delete", json!({ "tokens": [fourth] })).await;
    assert_eq!(code, 2);

    // An administrator reaches all.
    admin
        .ok("token.delete", json!({ "pattern": { "user_id": user_id } }))
        .await;
    assert!(!opens(&server, &fourth).await && opens(&server, &second).await);
    let more = create(&mut user, "more").await;
    admin
        .ok(
            "token.delete",
            json!({ "tokens": [more, second], "pattern": { "description": "first" } }),
        )
        .await;
    for secret in [&first, &second, &more] {
        assert!(!opens(&server, secret).await);
    }
    assert_eq!(server.app.accounts.tokens.list(None).await.expect("a list"), []);
    // Nothing named is nothing deleted.
    let last = create(&mut user, "last").await;
    admin.ok("token.delete", json!({})).await;
    assert!(opens(&server, &last).await);
    server.stop().await;
}

#[tokio::test]
async fn many_names_of_tokens_hold_nobody_up() {
    let server = TestServer::start().await;
    let mut client = server.plain_user().await;
    let token = client.ok("token.create", json!({})).await;
    let names = |count: usize| {
        (0..count)
            .map(|name| json!(name.to_string()))
            .collect::<Vec<Value>>()
    };
    let (code, ..) = client
        .fails("token.deleteOwn", json!({ "tokens": names(5_000) }))
        .await;
    assert_eq!(code, 10);
    let mut some = names(1_000);
    some.push(token.clone());
    client.ok("token.deleteOwn", json!({ "tokens": some })).await;
    let (code, ..) = server
        .connect()
        .await
        .fails("session.signIn", json!({ "token": token }))
        .await;
    assert_eq!(code, 3);
    server.stop().await;
}
