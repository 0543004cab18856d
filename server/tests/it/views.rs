//! The typed views of the web client: snapshots in chunks, deltas, coming back.

use crate::support::*;
use serde_json::{Value, json};
use server::limits::Limits;
use std::collections::{BTreeMap, BTreeSet};
use xapi_sim::{PoolConfig, SimPool};

/// Ids of what lists show.
fn listed(objects: &BTreeMap<String, Value>) -> BTreeSet<String> {
    const KINDS: &[&str] = &[
        "pool",
        "host",
        "SR",
        "network",
        "VM",
        "VM-controller",
        "VM-template",
        "VM-snapshot",
        "task",
    ];
    let shown = objects
        .iter()
        .filter(|(_, object)| KINDS.iter().any(|kind| object["type"] == *kind));
    shown.map(|(id, _)| id.clone()).collect()
}

async fn stage() -> (TestServer, SimPool, Client) {
    stage_with(Limits::default()).await
}

async fn stage_with(limits: Limits) -> (TestServer, SimPool, Client) {
    let server = TestServer::start_with(limits).await;
    let pool = pool_with(PoolConfig {
        vms: 300,
        ..PoolConfig::default()
    })
    .await;
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    (server, pool, admin)
}

async fn subscribe(client: &mut Client, params: Value) -> Value {
    client.ok("view.subscribe", params).await
}

async fn lists_are_followed(compress: bool) {
    let (server, pool, mut admin) = stage().await;
    let mut expected = listed(&admin.all_objects().await);
    let mut client = server.admin().await;
    let subscribed = subscribe(
        &mut client,
        json!({ "view": { "scope": "lists" }, "compress": compress }),
    )
    .await;
    assert_eq!(subscribed["epoch"], server.app.epoch);
    let mut lists = Lists::default();
    let first = client.view().await;
    assert_eq!(
        (&first["reset"], &first["more"], &first["view"]),
        (&json!(true), &json!(true), &subscribed["view"])
    );
    lists.apply(&first);
    lists
        .until(&mut client, |lists| lists.rows.len() == expected.len())
        .await;
    assert_eq!(lists.rows.keys().cloned().collect::<BTreeSet<_>>(), expected);
    lists
        .until(&mut client, |lists| lists.links[0]["status"] == "connected")
        .await;
    assert!(
        client
            .notifications
            .iter()
            .all(|message| message["method"] != "all"),
        "views replace `all`"
    );

    let (vm, id) = guest(&pool, "Halted");
    pool.write(|db| db.set("VM", &vm, "name_label", "renamed"));
    let update = loop {
        // Rows of links may come in between.
        let update = client.view().await;
        lists.apply(&update);
        if update.get("VM").is_some() {
            break update;
        }
    };
    assert_eq!(
        update["VM"].as_array().map(Vec::len),
        Some(1),
        "only what changed: {update}"
    );
    assert_eq!(
        (&update["VM"][0][0], &update["VM"][0][1]),
        (&json!(id), &json!("renamed"))
    );
    assert!(update.get("reset").is_none() && update.get("more").is_none());
    pool.write(|db| db.destroy("VM", &vm));
    lists
        .until(&mut client, |lists| !lists.rows.contains_key(&id))
        .await;
    expected.remove(&id);
    assert_eq!(lists.rows.keys().cloned().collect::<BTreeSet<_>>(), expected);

    assert_eq!(
        client
            .ok("view.unsubscribe", json!({ "view": subscribed["view"] }))
            .await,
        true
    );
    assert_eq!(
        client
            .ok("view.unsubscribe", json!({ "view": subscribed["view"] }))
            .await,
        false
    );
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn lists_come_in_chunks_and_then_as_they_change() {
    lists_are_followed(false).await;
}

#[tokio::test]
async fn lists_come_compressed_as_well() {
    lists_are_followed(true).await;
}

#[tokio::test]
async fn who_comes_back_is_told_what_changed_since() {
    let (server, pool, mut admin) = stage().await;
    let mut client = server.admin().await;
    let subscribed = subscribe(&mut client, json!({ "view": { "scope": "lists" } })).await;
    let mut lists = Lists::default();
    let known = listed(&admin.all_objects().await).len();
    lists.until(&mut client, |lists| lists.rows.len() == known).await;
    drop(client);

    let mut halted = guests(&pool, "Halted").into_iter();
    let ((changed, changed_id), (gone, gone_id)) =
        (halted.next().expect("a VM"), halted.next().expect("a VM"));
    pool.write(|db| {
        db.set("VM", &changed, "name_label", "meanwhile");
        db.destroy("VM", &gone)
    });
    admin.follow().await;
    admin
        .until("the server knows", |objects| {
            objects[&changed_id]["name_label"] == "meanwhile" && !objects.contains_key(&gone_id)
        })
        .await;

    let mut client = server.admin().await;
    let since = json!({ "epoch": subscribed["epoch"], "revision": lists.revision });
    subscribe(
        &mut client,
        json!({ "view": { "scope": "lists" }, "since": since }),
    )
    .await;
    let mut told = 0;
    while lists.rows.contains_key(&gone_id) || lists.rows[&changed_id]["row"][1] != "meanwhile" {
        let update = client.view().await;
        assert!(update.get("reset").is_none(), "{update}");
        told += update["VM"].as_array().map_or(0, Vec::len);
        lists.apply(&update);
    }
    assert!(told < 50, "{told} rows were told again");
    let objects = admin.all_objects().await;
    lists
        .until(&mut client, |lists| {
            lists.rows.keys().cloned().collect::<BTreeSet<_>>() == listed(&objects)
        })
        .await;

    for since in [
        json!({ "epoch": 1, "revision": lists.revision }),
        json!({ "epoch": subscribed["epoch"], "revision": 1_u64 << 50 }),
    ] {
        let mut client = server.admin().await;
        subscribe(
            &mut client,
            json!({ "view": { "scope": "lists" }, "since": since }),
        )
        .await;
        assert_eq!(
            client.view().await["reset"],
            true,
            "{since} is unknown: everything anew"
        );
    }
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn an_object_is_shown_with_what_belongs_to_it() {
    let (server, pool) = (TestServer::start().await, pool().await);
    let mut admin = server.admin().await;
    admin.add_pool(&pool).await;
    let (vm, id) = guest(&pool, "Halted");
    let belongs: BTreeSet<String> = pool.read(|db| {
        let mut ids = BTreeSet::from([id.clone()]);
        for vbd in db.members("VM", &vm, "VBDs") {
            ids.insert(db.text("VBD", &vbd, "uuid"));
            let vdi = db.text("VBD", &vbd, "VDI");
            if db.exists("VDI", &vdi) {
                ids.insert(db.text("VDI", &vdi, "uuid"));
            }
        }
        for vif in db.members("VM", &vm, "VIFs") {
            ids.insert(db.text("VIF", &vif, "uuid"));
        }
        ids
    });
    let mut client = server.admin().await;
    let subscribed = subscribe(&mut client, json!({ "view": { "scope": "object", "id": id } })).await;
    let update = client.view().await;
    assert_eq!(
        (&update["reset"], &update["view"]),
        (&json!(true), &subscribed["view"])
    );
    let full = update["full"].as_array().expect("objects");
    let shown: BTreeSet<String> = full
        .iter()
        .map(|object| object["id"].as_str().expect("an id").to_owned())
        .collect();
    assert!(belongs.is_subset(&shown), "{belongs:?} {shown:?}");
    let all = admin.all_objects().await;
    for object in full {
        assert_eq!(
            *object,
            all[object["id"].as_str().expect("an id")],
            "as in xo.getAllObjects"
        );
    }

    pool.write(|db| db.set("VM", &vm, "name_description", "looked at"));
    let update = client.view().await;
    assert_eq!(update["full"].as_array().map(Vec::len), Some(1), "{update}");
    assert_eq!(update["full"][0]["name_description"], "looked at");
    let snapshot = admin.ok("vm.snapshot", json!({ "id": id, "name": "seen" })).await;
    loop {
        let update = client.view().await;
        let full = update["full"].as_array().cloned().unwrap_or_default();
        if full.iter().any(|object| object["id"] == snapshot) {
            break;
        }
    }
    admin.ok("vm.delete", json!({ "id": id })).await;
    loop {
        let update = client.view().await;
        let gone = update["gone"].as_array().cloned().unwrap_or_default();
        if gone.contains(&json!(id)) {
            break;
        }
    }

    let mut stranger = server.admin().await;
    subscribe(
        &mut stranger,
        json!({ "view": { "scope": "object", "id": "nobody" } }),
    )
    .await;
    let update = stranger.view().await;
    assert_eq!((&update["reset"], update.get("full")), (&json!(true), None));
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn many_large_views_take_turns_and_each_is_told_everything() {
    let (server, pool, mut admin) = stage().await;
    let objects = admin.all_objects().await;
    let vifs = |id: &str| objects[id]["VIFs"].as_array().map_or(0, Vec::len);
    let networks = objects.iter().filter(|(_, object)| object["type"] == "network");
    let network = networks
        .map(|(id, _)| id)
        .max_by_key(|id| vifs(id))
        .expect("a network");
    assert!(vifs(network) > 50, "a large page");
    let mut client = server.admin().await;
    let mut untold = BTreeSet::new();
    for _ in 0..16 {
        let view = json!({ "view": { "scope": "object", "id": network } });
        untold.insert(
            subscribe(&mut client, view).await["view"]
                .as_u64()
                .expect("a number"),
        );
    }
    let all = untold.clone();
    while !untold.is_empty() {
        let update = client.view().await;
        assert!(update["full"].as_array().expect("objects").len() > vifs(network));
        assert!(
            untold.remove(&update["view"].as_u64().expect("a number")),
            "{update}"
        );
    }
    pool.write(|db| {
        let networks = db.refs("network");
        let same = |found: &&xapi_sim::Ref| db.text("network", found, "uuid") == *network;
        let found = networks.iter().find(same).expect("there").clone();
        db.set("network", &found, "name_description", "looked at");
    });
    untold = all;
    while !untold.is_empty() {
        let update = client.view().await;
        untold.remove(&update["view"].as_u64().expect("a number"));
    }
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn views_have_bounds_and_their_params_are_checked() {
    let server = TestServer::start().await;
    let mut client = server.admin().await;
    for view in [
        json!({}),
        json!({ "scope": "everything" }),
        json!({ "scope": "object" }),
    ] {
        let (code, ..) = client.fails("view.subscribe", json!({ "view": view })).await;
        assert_eq!(code, 10, "{view}");
    }
    let mut opened = 0;
    while client
        .call("view.subscribe", json!({ "view": { "scope": "lists" } }))
        .await
        .is_ok()
    {
        opened += 1;
        assert!(opened < 1_000);
    }
    assert!(opened >= 3);
    server.stop().await;
}

/// A server that remembers few removals.
async fn forgetful_stage() -> (TestServer, SimPool, Client) {
    let (server, pool, mut admin) = stage_with(Limits {
        removals: 10,
        ..Limits::default()
    })
    .await;
    admin.follow().await;
    (server, pool, admin)
}

/// What is to be told is more than the sockets of clients take that do not read.
async fn more_than_sockets_take(pool: &SimPool, admin: &mut Client) {
    let long = "x".repeat(400 << 10);
    let halted = guests(pool, "Halted");
    pool.write(|db| {
        for (vm, _) in &halted {
            db.set("VM", vm, "name_label", &*long);
        }
    });
    admin
        .until("the names are known", |objects| {
            let renamed = objects.values().filter(|object| object["name_label"] == *long);
            renamed.count() == halted.len()
        })
        .await;
}

async fn more_goes_than_is_remembered(pool: &SimPool, admin: &mut Client) {
    for vms in guests(pool, "Halted").chunks(5).take(4) {
        pool.write(|db| {
            for (vm, _) in vms {
                db.destroy("VM", vm);
            }
        });
        let known = pool.read(ids_of);
        admin
            .until("they are gone", |objects| ids(objects) == known)
            .await;
    }
}

#[tokio::test]
async fn who_reads_too_late_is_sent_away_and_comes_back_to_everything() {
    let (server, pool, mut admin) = forgetful_stage().await;
    let mut all = server.admin().await;
    all.follow().await;
    let mut of_a_user = server.plain_user().await;
    let user = of_a_user.ok("session.getUser", json!({})).await["id"].clone();
    let entry = json!({ "subject": user, "object": pool.read(uuid_of_pool), "action": "viewer" });
    admin.ok("acl.add", entry).await;
    of_a_user
        .until("it sees the pool", |objects| objects.len() > 300)
        .await;
    more_than_sockets_take(&pool, &mut admin).await;
    more_goes_than_is_remembered(&pool, &mut admin).await;
    for mut client in [all, of_a_user] {
        let code = loop {
            match client.next().await {
                Incoming::Text(_) | Incoming::Binary(_) => {}
                Incoming::Closed(code) => break code,
            }
        };
        assert_eq!(code, 1001, "going away, with a reason");
    }
    let mut again = server.admin().await;
    assert_eq!(ids(&again.all_objects().await), pool.read(ids_of));
    server.stop().await;
    pool.stop().await;
}

#[tokio::test]
async fn lists_that_are_read_too_late_begin_anew() {
    let (server, pool, mut admin) = forgetful_stage().await;
    let view = json!({ "view": { "scope": "lists" } });
    let mut complete = server.admin().await;
    subscribe(&mut complete, view.clone()).await;
    let known = listed(&admin.all_objects().await).len();
    let mut shown = Lists::default();
    shown
        .until(&mut complete, |lists| lists.rows.len() == known)
        .await;
    more_than_sockets_take(&pool, &mut admin).await;
    // This one is in the middle of its first snapshot when it stalls.
    let mut beginning = server.admin().await;
    subscribe(&mut beginning, view).await;
    more_goes_than_is_remembered(&pool, &mut admin).await;

    let expected = listed(&admin.all_objects().await);
    for (mut client, mut lists) in [(complete, shown), (beginning, Lists::default())] {
        let mut anew = false;
        while !(lists.complete && lists.rows.keys().cloned().collect::<BTreeSet<_>>() == expected) {
            let update = client.view().await;
            anew |= update["reset"] == true && !lists.rows.is_empty();
            lists.apply(&update);
        }
        assert!(anew, "it was told to forget what it had");
    }
    server.stop().await;
    pool.stop().await;
}
