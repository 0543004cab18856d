//! The inventory: listed, filtered, watched.

use crate::support::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::io::{AsyncBufReadExt, BufReader};
use xapi_sim::{PoolConfig, SimPool};

async fn with_pool(home: &Home) -> (TestServer, SimPool) {
    let (server, pool) = (TestServer::start().await, pool().await);
    home.register(&server.http()).await;
    let host = format!("host={}", pool.url());
    home.json(&[
        "server.add",
        "--json",
        &host,
        "username=root",
        "password=password",
    ])
    .await;
    eventually("the pool is connected", async || {
        let servers = home.json(&["server.getAll"]).await;
        (servers[0]["status"] == "connected").then_some(())
    })
    .await;
    (server, pool)
}

async fn pool() -> SimPool {
    let config = PoolConfig {
        vms: 30,
        time_scale: 0.0,
        batch_ms: 5,
        ..PoolConfig::default()
    };
    SimPool::start(config).await.expect("a pool")
}

fn ids<'a>(objects: impl IntoIterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    objects
        .into_iter()
        .filter_map(|object| object["id"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_listed_and_filtered() {
    let home = Home::new();
    let (server, _pool) = with_pool(&home).await;
    let all = home.json(&["xo.getAllObjects"]).await;
    let all: Vec<&Value> = all.as_object().expect("objects").values().collect();
    let some_vm = all.iter().find(|object| object["type"] == "VM").expect("a VM");
    let name = some_vm["name_label"].as_str().expect("a name");
    let halted = |object: &&Value| object["type"] == "VM" && object["power_state"] == "Halted";
    for url in [server.http(), server.tcp()] {
        home.register(&url).await;
        let listed = home.json(&["list-objects"]).await;
        assert_eq!(ids(listed.as_array().expect("a list")), ids(all.iter().copied()));
        assert_eq!(listed.as_array().map(Vec::len), Some(all.len()));

        // A pattern, a text, and both.
        let expected = ids(all.iter().copied().filter(halted));
        assert!(!expected.is_empty() && expected.len() < all.len());
        for arguments in [
            &["list-objects", "type=VM", "power_state=Halted"][..],
            &["list-objects", "type:/^VM$/", "power_state:halted"],
            &["--list-objects", "type:/^VM$/ power_state:halted"],
            &["list-objects", "type=VM", "power_state:halted", "--id", "--json"],
        ] {
            let listed = home.json(arguments).await;
            assert_eq!(ids(listed.as_array().expect("a list")), expected, "{arguments:?}");
        }
        let by_name = format!("name_label={name}");
        let listed = home
            .json(&[
                "list-objects",
                "--name_label",
                "--type",
                "--nothing",
                &by_name,
                "type=VM",
            ])
            .await;
        assert_eq!(listed, json!([{ "name_label": name, "type": "VM" }]));
        let cpus = |object: &&Value| object["type"] == "VM" && object["CPUs"]["number"].as_u64() > Some(2);
        let listed = home.json(&["list-objects", "type=VM", "CPUs:number:>2"]).await;
        assert_eq!(
            ids(listed.as_array().expect("a list")),
            ids(all.iter().copied().filter(cpus))
        );
        assert_eq!(
            home.json(&["list-objects", "type=VM", "name_label:nothing-is-named-so"])
                .await,
            json!([])
        );

        let ran = home.xo(&["list-objects", "name_label:("]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("position 12"), "{ran:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_sees_a_rename() {
    let home = Home::new();
    let (server, _pool) = with_pool(&home).await;
    let listed = home
        .json(&["list-objects", "type=VM", "power_state=Running", "--id"])
        .await;
    let id = listed[0]["id"].as_str().expect("a VM").to_owned();
    for url in [server.http(), server.tcp()] {
        home.register(&url).await;
        eventually("those before are gone", async || {
            (server.signed_in() == 0).then_some(())
        })
        .await;
        let mut watching = home.command(&["watch"]).spawn().expect("a process");
        let mut lines = BufReader::new(watching.stdout.take().expect("its output")).lines();
        eventually("it is signed in", async || {
            (server.signed_in() == 1).then_some(())
        })
        .await;
        let name = format!("renamed over {url}");
        home.json(&["vm.set", &format!("id={id}"), &format!("name_label={name}")])
            .await;
        loop {
            let line = tokio::time::timeout(DEADLINE, lines.next_line()).await;
            let line = line.expect("in time").expect("readable").expect("a line");
            let told: Value = serde_json::from_str(&line).expect("a JSON document per line");
            assert_eq!(told["method"], "all", "{line}");
            if told["params"]["type"] == "enter"
                && told["params"]["items"][&id]["name_label"] == name.as_str()
            {
                break;
            }
        }
        // Ctrl-C is how one stops watching.
        let pid = watching.id().expect("it runs").to_string();
        let interrupted = tokio::process::Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .await;
        assert!(interrupted.expect("kill").success());
        let ended = tokio::time::timeout(DEADLINE, watching.wait()).await;
        assert_eq!(ended.expect("in time").expect("ended").code(), Some(0));
    }

    let gone = async || (server.signed_in() == 0).then_some(());
    eventually("those before are gone", gone).await;
    let watching = home.command(&["watch"]).spawn().expect("a process");
    eventually("it is signed in", async || {
        (server.signed_in() == 1).then_some(())
    })
    .await;
    server.stop().await;
    let ended = tokio::time::timeout(DEADLINE, watching.wait_with_output()).await;
    let ran = Ran::from(ended.expect("in time").expect("ended"));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("is lost"), "{ran:?}");
}
