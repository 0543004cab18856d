//! xo.getAllObjects: both filter languages, limit, one-time downloads.

use crate::support::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use xapi_sim::SimPool;

async fn stage() -> (TestServer, SimPool, Client) {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut client = server.admin().await;
    client.add_pool(&pool).await;
    client.follow().await;
    (server, pool, client)
}

async fn found(client: &mut Client, filter: Value) -> BTreeSet<String> {
    let objects = client.ok("xo.getAllObjects", json!({ "filter": filter })).await;
    map(&objects).keys().cloned().collect()
}

#[tokio::test]
async fn both_languages_find_what_they_describe() {
    let (server, pool, mut client) = stage().await;
    let objects = client.all_objects().await;
    let of = |condition: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
        objects
            .iter()
            .filter(|(_, object)| condition(object))
            .map(|(id, _)| id.clone())
            .collect()
    };
    let vms = of(&|object| object["type"] == "VM");
    let running = of(&|object| object["type"] == "VM" && object["power_state"] == "Running");
    assert!(!running.is_empty() && running.len() < vms.len());
    let all = of(&|_| true);
    let local_storage = of(&|object| object["content_type"] == "user" && object["shared"] == false);
    assert!(!local_storage.is_empty());
    let host = objects
        .values()
        .find(|object| object["type"] == "host")
        .expect("a host");
    for (filter, expected) in [
        (json!({}), &all),
        (json!(""), &all),
        (json!({ "type": "VM" }), &vms),
        (
            json!("type:VM"),
            &of(&|object| {
                object["type"]
                    .as_str()
                    .is_some_and(|kind| kind.to_lowercase().contains("vm"))
            }),
        ),
        (json!("type:/^VM$/"), &vms),
        // As the storage driver of Kubernetes asks for a host's own storage.
        (
            json!("content_type:user !shared? !inMaintenanceMode? $PBDs:length:>=1"),
            &local_storage,
        ),
        (json!({ "type": "VM", "power_state": "Running" }), &running),
        (json!("type:/^VM$/ power_state:running"), &running),
        (
            json!("type:/^VM$/ !power_state:running"),
            &of(&|object| object["type"] == "VM" && object["power_state"] != "Running"),
        ),
        (
            json!({ "type": "VM", "power_state": { "__not": "Running" } }),
            &of(&|object| object["type"] == "VM" && object["power_state"] != "Running"),
        ),
        (
            json!({ "__or": [{ "type": "host" }, { "type": "pool" }] }),
            &of(&|object| object["type"] == "host" || object["type"] == "pool"),
        ),
        (
            json!("type:|(host pool)"),
            &of(&|object| {
                object["type"]
                    .as_str()
                    .is_some_and(|kind| kind.contains("host") || kind.contains("pool"))
            }),
        ),
        (
            json!({ "id": host["id"] }),
            &of(&|object| object["id"] == host["id"]),
        ),
        (json!({ "type": "no such type" }), &BTreeSet::new()),
        (
            json!("CPUs:number:>1 type:/^VM$/"),
            &of(&|object| object["type"] == "VM" && object["CPUs"]["number"].as_i64() > Some(1)),
        ),
    ] {
        let shown = filter.to_string();
        assert_eq!(found(&mut client, filter).await, *expected, "{shown}");
    }
    for wrong in [json!("(unclosed"), json!(7), json!(["type", "VM"])] {
        let (code, ..) = client.fails("xo.getAllObjects", json!({ "filter": wrong })).await;
        assert_eq!(code, 10, "{wrong}");
    }
    for (limit, expected) in [(0, 0), (3, 3), (100_000, objects.len())] {
        let some = client.ok("xo.getAllObjects", json!({ "limit": limit })).await;
        assert_eq!(map(&some).len(), expected);
    }
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn lines_are_fetched_once() {
    let (server, pool, mut client) = stage().await;
    let offer = client
        .ok(
            "xo.getAllObjects",
            json!({ "ndjson": true, "filter": { "type": "VM" } }),
        )
        .await;
    let path = offer["$getFrom"].as_str().expect("a path").to_owned();
    assert_eq!(map(&offer).len(), 1);
    assert!(
        path.starts_with("/api/") && path.len() >= "/api/".len() + 43,
        "{path}"
    );
    let (status, headers, body) = server.get(&path, "").await;
    assert_eq!(status, 200);
    assert!(
        headers
            .iter()
            .any(|(name, value)| name == "content-type" && value.starts_with("application/json"))
    );
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let lines: BTreeSet<String> = body
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let object: Value = serde_json::from_str(line).expect("an object on each line");
            object["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    assert!(!chunked, "the length is known");
    assert_eq!(lines, found(&mut client, json!({ "type": "VM" })).await);
    let (status, ..) = server.get(&path, "").await;
    assert_eq!(status, 404, "once");
    let (status, ..) = server
        .get("/api/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "")
        .await;
    assert_eq!(status, 404);
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_user_without_rights_sees_nothing() {
    let (server, pool, mut client) = stage().await;
    let mut user = server.plain_user().await;
    assert_eq!(user.ok("xo.getAllObjects", json!({})).await, json!({}));
    assert_eq!(
        user.ok("xo.getAllObjects", json!({ "filter": { "type": "VM" } }))
            .await,
        json!({})
    );
    let (vm, uuid) = guest(&pool, "Halted");
    pool.write(|db| db.set("VM", &vm, "name_label", "not for all"));
    client
        .until("the administrator is told", |objects| {
            objects[&uuid]["name_label"] == "not for all"
        })
        .await;
    user.ok("system.getVersion", json!({})).await;
    assert!(user.notifications.is_empty(), "{:?}", user.notifications);
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_listing_that_is_fetched_later_holds_what_may_be_seen_then() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let mut client = server.plain_user().await;
    let user = client.ok("session.getUser", json!({})).await["id"].clone();
    let entry = json!({ "subject": user, "object": pool.read(uuid_of_pool), "action": "viewer" });
    admin.ok("acl.add", entry.clone()).await;
    let mut offers = Vec::new();
    for _ in 0..2 {
        let offer = client.ok("xo.getAllObjects", json!({ "ndjson": true })).await;
        offers.push(offer["$getFrom"].as_str().expect("a path").to_owned());
    }
    let seen = server.get(&offers[0], "").await.2;
    assert!(seen.lines().filter(|line| line.starts_with('{')).count() > 100);
    admin.ok("acl.remove", entry).await;
    let (status, _, left) = server.get(&offers[1], "").await;
    assert_eq!(
        (status, left.lines().filter(|line| line.starts_with('{')).count()),
        (200, 0)
    );
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn a_filter_that_takes_too_long_is_given_up_and_holds_nobody_up() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let costly = format!("|({})", "/(.{0,40}){45}!/ ".repeat(3));
    let mut slow = server.admin().await;
    for _ in 0..10 {
        slow.request("xo.getAllObjects", json!({ "filter": costly }))
            .await;
    }
    // Others sign in and ask meanwhile.
    let mut other = server.plain_user().await;
    other
        .ok("xo.getAllObjects", json!({ "filter": { "type": "VM" } }))
        .await;
    let first = slow.answer().await;
    assert_eq!(first["error"]["message"], "the filter takes too long", "{first}");
    drop(slow);
    server.stop().await;
    pool.stop().await;
}
