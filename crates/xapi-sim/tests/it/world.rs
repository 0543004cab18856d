//! The seeded world: stable, whole and plausible.

use serde_json::{Value as Json, json};
use xapi_sim::{PoolConfig, SimPool};

use crate::client::{Client, pool, pool_with};

#[tokio::test]
async fn the_same_seed_makes_the_same_world() {
    let start = |seed: u64| {
        pool_with(PoolConfig {
            seed,
            tasks: 12,
            ..PoolConfig::default()
        })
    };
    let worlds = [start(1).await, start(1).await, start(2).await];
    // All of it, but for the port where it listens and the moment when it started.
    let seen = |pool: &SimPool| {
        let text = serde_json::to_string(&pool.read(|db| db.snapshot())).expect("JSON");
        let text = text.replace(&format!(":{}", pool.addr().port()), ":PORT");
        without_moments(&text)
    };
    let (first, again) = (seen(&worlds[0]), seen(&worlds[1]));
    assert_eq!(first.len(), again.len());
    let differ = first.iter().zip(&again).find(|(one, other)| one != other);
    assert!(differ.is_none(), "{differ:?}");
    let refs = |pool: &SimPool| pool.read(|db| (db.refs("VM"), db.refs("task"), db.refs("message")));
    assert_eq!(refs(&worlds[0]), refs(&worlds[1]));
    assert_ne!(refs(&worlds[0]), refs(&worlds[2]));
    let states = worlds[0].read(|db| {
        let tasks = db.refs("task").into_iter();
        tasks
            .map(|task| db.text("task", &task, "status"))
            .collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(
        states.into_iter().collect::<Vec<_>>(),
        ["cancelled", "failure", "pending", "success"]
    );
}

/// Members of the text, without those that hold the time of the start.
fn without_moments(text: &str) -> Vec<String> {
    let moments = [
        "last_updated",
        "last_active",
        "boot_time",
        "agent_start_time",
        "created",
        "finished",
    ];
    let members = text
        .split(',')
        .filter(|member| !moments.iter().any(|moment| member.contains(moment)));
    members.map(str::to_owned).collect()
}

#[tokio::test]
async fn references_lead_somewhere() {
    let pool = pool_with(PoolConfig {
        vms: 60,
        hosts: 3,
        ..PoolConfig::default()
    })
    .await;
    let snapshot = pool.read(|db| db.snapshot());
    let all: std::collections::HashSet<&String> =
        snapshot.values().flat_map(|records| records.keys()).collect();
    let mut dangling = Vec::new();
    for (class, records) in &snapshot {
        for record in records.values() {
            for (field, value) in record.as_object().expect("a record") {
                let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                for text in values.iter().filter_map(Json::as_str) {
                    if text.starts_with("OpaqueRef:")
                        && text != "OpaqueRef:NULL"
                        && !all.contains(&text.to_owned())
                    {
                        dangling.push(format!("{class}.{field}"));
                    }
                }
            }
        }
    }
    assert!(dangling.is_empty(), "{dangling:?}");
}

#[tokio::test]
async fn there_are_about_six_visible_objects_per_vm() {
    let pool = pool_with(PoolConfig {
        vms: 500,
        hosts: 4,
        ..PoolConfig::default()
    })
    .await;
    let visible: usize = pool.read(|db| {
        ["VM", "VBD", "VDI", "VIF"]
            .iter()
            .map(|class| db.count(class))
            .sum()
    });
    assert!((2600..3500).contains(&visible), "{visible}");
    let states: std::collections::BTreeSet<String> = pool.read(|db| {
        db.refs("VM")
            .iter()
            .map(|vm| db.text("VM", vm, "power_state"))
            .collect()
    });
    assert_eq!(states.len(), 4, "{states:?}");
}

#[tokio::test]
async fn measurements_come_newest_first_with_a_legend() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let session = client.session.clone();
    let path =
        format!("/rrd_updates?cf=AVERAGE&host=true&json=true&interval=5&start=-300&session_id={session}");
    let answer = client.request("GET", &path, "").await.expect("answer");
    let json: Json = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(json["meta"]["step"], "5");
    let legend = json["meta"]["legend"].as_array().expect("legend");
    assert!(
        legend
            .iter()
            .any(|entry| entry.as_str().is_some_and(|entry| entry.ends_with(":cpu0")))
    );
    let rows = json["data"].as_array().expect("rows");
    assert!(rows.len() >= 58, "{}", rows.len());
    assert_eq!(rows[0]["t"], json["meta"]["end"]);
    assert_eq!(rows[0]["values"].as_array().map(Vec::len), Some(legend.len()));
    let path = "/rrd_updates?start=0&host=true";
    assert_eq!(client.request("GET", path, "").await.expect("answer").status, 401);
    client.ok("session.logout", json!([])).await;
}

#[tokio::test]
async fn supporters_answer_at_their_own_addresses() {
    let pool = pool().await;
    let mut client = Client::login(&pool).await;
    let hosts = client.ok("host.get_all_records", json!([])).await;
    let mut hosts = hosts.as_object().expect("a map").values();
    let master = pool.addr().ip().to_string();
    let supporter = hosts
        .find(|host| host["address"] != master)
        .expect("a second host");
    let address = format!(
        "{}:{}",
        supporter["address"].as_str().expect("text"),
        pool.addr().port()
    );
    let mut there = Client::connect_to(&address).await;
    let error = there
        .rpc("session.login_with_password", json!(["root", "password"]))
        .await
        .expect_err("refused");
    assert_eq!(
        (&error["message"], &error["data"]),
        (&json!("HOST_IS_SLAVE"), &json!([master]))
    );
    let path = format!(
        "/rrd_updates?start=-60&host=true&json=true&cf=AVERAGE&session_id={}",
        client.session
    );
    let answer = there.request("GET", &path, "").await.expect("answer");
    assert!(answer.body.contains(&format!(
        "AVERAGE:host:{}:cpu0",
        supporter["uuid"].as_str().expect("uuid")
    )));
}

#[tokio::test]
async fn https_presents_the_certificate_of_the_fingerprint() {
    let pool = pool_with(PoolConfig {
        tls: true,
        ..PoolConfig::default()
    })
    .await;
    assert!(pool.url().starts_with("https://127.0.0.1:"));
    let print = pool.fingerprint_sha256().expect("a fingerprint");
    assert_eq!(print.len(), 32 * 3 - 1);
    let known = pool.read(|db| db.find("Certificate", "fingerprint_sha256", &print));
    assert!(known.is_some(), "the pool's own record says the same");
}

#[tokio::test]
async fn whole_archives_come_oldest_first_and_agree_with_the_updates() {
    let pool = pool_with(PoolConfig {
        hosts: 2,
        ..PoolConfig::default()
    })
    .await;
    let mut client = Client::login(&pool).await;
    let session = client.session.clone();
    let answer = client
        .request("GET", &format!("/host_rrd?json=true&session_id={session}"), "")
        .await
        .expect("an answer");
    let dump: Json = serde_json::from_str(&answer.body).expect("JSON");
    let archives = dump["rra"].as_array().expect("archives");
    let kinds: Vec<_> = archives
        .iter()
        .map(|archive| (archive["cf"].as_str(), archive["pdp_per_row"].as_str()))
        .collect();
    assert_eq!(kinds.len(), 10);
    assert_eq!(
        kinds[..3],
        [
            (Some("AVERAGE"), Some("1")),
            (Some("AVERAGE"), Some("12")),
            (Some("MIN"), Some("12"))
        ]
    );
    let path =
        format!("/rrd_updates?cf=AVERAGE&host=true&vm_uuid=none&json=true&start=-300&session_id={session}");
    let answer = client.request("GET", &path, "").await.expect("an answer");
    let updates: Json = serde_json::from_str(&answer.body).expect("JSON");
    let (newest, last): (i64, i64) = (
        updates["data"][0]["t"]
            .as_str()
            .expect("a time")
            .parse()
            .expect("a number"),
        dump["lastupdate"]
            .as_str()
            .expect("a time")
            .parse()
            .expect("a number"),
    );
    // The same moment in both, though a step may have passed between the answers.
    let rows = archives[0]["database"].as_array().expect("rows");
    let steps = ((newest - last / 5 * 5) / 5) as usize;
    assert_eq!(rows.len(), 120);
    assert_eq!(rows[119], updates["data"][steps]["values"]);
    // Lowest, mean, highest of the same row.
    let row = |archive: usize| {
        archives[archive]["database"][100][0]
            .as_str()
            .expect("text")
            .parse::<f64>()
            .expect("a number")
    };
    assert!(row(2) <= row(1) && row(1) <= row(3));
    let without =
        format!("/rrd_updates?host=true&vm_uuid=none&json=true&interval=60&start=-900&session_id={session}");
    let answer = client.request("GET", &without, "").await.expect("an answer");
    assert!(
        answer.body.contains("\"MIN:host:")
            && answer.body.contains("\"MAX:host:")
            && !answer.body.contains("MIN:vm:")
    );
    // A guest's are with its host, those of one that rests with the master.
    let master = pool.members()[0].host.clone();
    let (here, there, rests) = pool.read(|db| {
        let find = |fits: &dyn Fn(&str) -> bool| {
            let vms = db
                .refs("VM")
                .into_iter()
                .filter(|vm| !db.get("VM", vm, "is_a_template").bool());
            let mut vms = vms.filter(|vm| fits(db.get("VM", vm, "resident_on").str()));
            db.text("VM", &vms.next().expect("a VM"), "uuid")
        };
        (
            find(&|host| host == &*master),
            find(&|host| host.len() > 20 && host != &*master),
            find(&|host| host == "OpaqueRef:NULL"),
        )
    });
    for (uuid, status) in [
        (here.as_str(), 200),
        (&there, 302),
        (&rests, 200),
        ("nobody", 404),
    ] {
        let path = format!("/vm_rrd?uuid={uuid}&session_id={session}");
        let answer = client.request("GET", &path, "").await.expect("an answer");
        assert_eq!(answer.status, status, "{uuid}");
        if status == 200 {
            assert!(
                answer.body.starts_with("<?xml")
                    && answer.body.contains("<cf>AVERAGE</cf>")
                    && !answer.body.contains("<cf>MIN</cf>")
            );
        }
        if status == 302 {
            let second = pool.members()[1].address.expect("an address");
            assert!(
                answer
                    .head
                    .contains(&format!("Location: http://{second}/vm_rrd?uuid={uuid}")),
                "{}",
                answer.head
            );
        }
    }
    let answer = client
        .request("GET", &format!("/vm_rrd?session_id={session}"), "")
        .await
        .expect("an answer");
    assert_eq!(answer.status, 400);
}
