//! What happens seldom in the life of a pool and changes much of it: hosts that come, go and rule, high availability,
//! machines that move with their disks, storage that comes and goes, bonds.

use serde_json::{Value as Json, json};
use xapi_sim::{Db, SimPool};

use crate::client::Client;
use crate::dice::Dice;
use crate::state_machine::{any, some};

/// One call that was made: its name, its parameters, and the code of its fault.
pub struct Made {
    pub what: String,
    pub fault: Option<String>,
}

/// Logged in at the host that is master now.
pub async fn login(pool: &SimPool) -> Client {
    let url = pool.master_url().expect("a master");
    let address = url.trim_start_matches("http://");
    Client::connect_to(address).await.log_in().await
}

async fn make(client: &mut Client, name: &str, params: Json) -> Made {
    let answer = client.call(name, params.clone()).await;
    let code = |error: Json| error["message"].as_str().unwrap_or("?").to_owned();
    Made {
        what: format!("{name}{params}"),
        fault: answer.err().map(code),
    }
}

/// Makes one of them; `None` when there is nothing to make it with. Sessions may be gone afterwards.
pub async fn upheave(pool: &SimPool, dice: &mut Dice, outsiders: &[SimPool]) -> Option<Made> {
    let mut client = login(pool).await;
    let client = &mut client;
    let is_guest = |db: &Db, vm: &str| !db.get("VM", vm, "is_control_domain").bool();
    Some(match dice.below(9) {
        0 => {
            let host = any(pool, dice, "host")?;
            make(client, "pool.designate_new_master", json!([host])).await
        }
        1 => match pool.read(|db| db.get("pool", &db.pool(), "ha_enabled").bool()) {
            true => make(client, "pool.disable_ha", json!([])).await,
            false => make(client, "pool.enable_ha", json!([[], {}])).await,
        },
        2 | 3 => {
            let may_go = |db: &Db, vm: &str| {
                is_guest(db, vm) && db.get("VM", vm, "allowed_operations").contains("migrate_send")
            };
            let vm = some(pool, dice, "VM", may_go)?;
            let (host, network) = (any(pool, dice, "host")?, any(pool, dice, "network")?);
            let dest = client
                .call("host.migrate_receive", json!([host, network, {}]))
                .await
                .ok()?;
            let of_vm = |db: &Db, vdi: &str| {
                let mut vbds = db.members("VDI", vdi, "VBDs").into_iter();
                vbds.any(|vbd| db.text("VBD", &vbd, "VM") == vm && db.text("VBD", &vbd, "type") == "Disk")
            };
            let holds_disks = |db: &Db, sr: &str| {
                db.get("SR", sr, "shared").bool() && db.get("SR", sr, "content_type").str() == "user"
            };
            let storage = match (
                some(pool, dice, "VDI", of_vm),
                some(pool, dice, "SR", holds_disks),
            ) {
                (Some(vdi), Some(sr)) => json!({ vdi: sr }),
                _ => json!({}),
            };
            make(
                client,
                "VM.migrate_send",
                json!([vm, dest, true, storage, {}, {}]),
            )
            .await
        }
        4 => {
            let host = any(pool, dice, "host")?;
            let config = json!({ "server": "10.0.0.9", "serverpath": "/random" });
            let params = json!([
                host,
                config,
                1_i64 << 40,
                "random SR",
                "",
                "nfs",
                "user",
                dice.below(3) > 0,
                {}
            ]);
            make(client, "SR.create", params).await
        }
        5 => {
            let is_random = |db: &Db, sr: &str| db.get("SR", sr, "name_label").str() == "random SR";
            let sr = some(pool, dice, "SR", is_random)?;
            for pbd in pool.read(|db| db.members("SR", &sr, "PBDs")) {
                // It may be refused: a disk is in use.
                let _ = client.call("PBD.unplug", json!([pbd])).await;
            }
            make(client, "SR.forget", json!([sr])).await
        }
        6 => match (dice.below(2), any(pool, dice, "Bond")) {
            (0, Some(bond)) => make(client, "Bond.destroy", json!([bond])).await,
            _ => {
                let first = any(pool, dice, "PIF")?;
                let host = pool.read(|db| db.text("PIF", &first, "host"));
                let beside = |db: &Db, pif: &str| pif != first && db.text("PIF", pif, "host") == host;
                let second = some(pool, dice, "PIF", beside)?;
                let network = client
                    .ok(
                        "network.create",
                        json!([{ "name_label": "bonded", "name_description": "", "MTU": 1500,
                                                    "other_config": {} }]),
                    )
                    .await;
                let params = json!([network, [first, second], "", "balance-slb", {}]);
                make(client, "Bond.create", params).await
            }
        },
        7 => {
            let outsider = dice.pick(outsiders)?;
            let mut alone = Client::connect(&outsider).await;
            // Who has joined already says HOST_IS_SLAVE, or is the master.
            let session = alone
                .rpc("session.login_with_password", json!(["root", "password"]))
                .await
                .ok()?;
            alone.session = session.as_str()?.to_owned();
            if alone.call("pool.get_all", json!([])).await.ok()?[0] == json!(&*pool.read(|db| db.pool())) {
                return None;
            }
            // Pools find each other by the address of their first host, as long as it is theirs.
            let known = pool.members()[0].address?.to_string();
            make(&mut alone, "pool.join", json!([known, "root", "password"])).await
        }
        _ => {
            let master = pool.read(|db| db.master());
            let host = some(pool, dice, "host", |_, host| host != master)?;
            if pool.read(|db| db.count("host")) < 3 {
                return None;
            }
            let _ = client.call("host.evacuate", json!([host])).await;
            make(client, "pool.eject", json!([host])).await
        }
    })
}
