//! Every method, over both transports, as everybody: what it answers to those who may, that it refuses those
//! who may not, and what it says of bad params. `rights.txt` shows who may what; a method that is not in
//! the table below makes this fail.

use crate::support::*;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};
use xapi_sim::SimPool;

/// From the least to the most.
const ROLES: &[&str] = &[
    "nobody",
    "signed in",
    "viewer",
    "operator",
    "admin",
    "administrator",
];

/// These take anything.
const WITHOUT_SCHEMA: &[&str] = &[
    "session.signIn",
    "session.signInWithPassword",
    "session.signInWithToken",
    "session.signInWithCookie",
    "session.signOut",
    "session.getUser",
];

struct World {
    server: TestServer,
    pool: SimPool,
    /// To be registered by calls.
    spare: SimPool,
    admin: Client,
    admin_id: String,
    /// Tokens by role.
    tokens: BTreeMap<&'static str, String>,
    /// Of other tokens.
    secrets: Vec<String>,
    /// To be closed.
    others: Vec<Client>,
    number: usize,
}

impl World {
    async fn new() -> Self {
        let (server, pool, spare) = (TestServer::start().await, pool_of(60).await, pool_of(5).await);
        let mut admin = server.admin().await;
        admin.add_pool(&pool).await;
        let admin_id = text(&admin.ok("session.getUser", json!({})).await["id"]);
        let pool_id = pool.read(|db| {
            let pools = db.refs("pool");
            db.text("pool", &pools[0], "uuid")
        });
        let mut tokens = BTreeMap::new();
        for &role in &ROLES[1..] {
            let permission = if role == "administrator" { "admin" } else { "none" };
            let user = json!({ "email": role, "password": PASSWORD, "permission": permission });
            let user = admin.ok("user.create", user).await;
            if ["viewer", "operator", "admin"].contains(&role) {
                let entry = json!({ "subject": user, "object": pool_id, "action": role });
                admin.ok("acl.add", entry).await;
            }
            let mut client = server.connect().await;
            let credentials = json!({ "email": role, "password": PASSWORD });
            client.ok("session.signIn", credentials).await;
            tokens.insert(role, text(&client.ok("token.create", json!({})).await));
        }
        Self {
            server,
            pool,
            spare,
            admin,
            admin_id,
            tokens,
            secrets: Vec::new(),
            others: Vec::new(),
            number: 0,
        }
    }

    async fn client(&self, over_tcp: bool, role: &str) -> Client {
        let mut client = if over_tcp {
            Client::connect_lines(self.server.lines).await
        } else {
            self.server.connect().await
        };
        if let Some(token) = self.tokens.get(role) {
            client.ok("session.signIn", json!({ "token": token })).await;
        }
        client
    }

    fn name(&mut self, kind: &str) -> String {
        self.number += 1;
        format!("{kind} {}", self.number)
    }

    fn connection_ids(&self) -> BTreeSet<u64> {
        let open = self.server.app.connections.list();
        open.iter().map(|connection| connection.id).collect()
    }

    async fn vm(&mut self, state: &str) -> String {
        // What a call before has done may still be on its way.
        let (pool, admin) = (&self.pool, &mut self.admin);
        let (vm, id) = guest(pool, state);
        eventually("the VM is known in that state", async || {
            let objects = admin.all_objects().await;
            (objects.get(&id)?["power_state"] == state).then_some(())
        })
        .await;
        assert_eq!(pool.read(|db| db.text("VM", &vm, "power_state")), state);
        id
    }

    async fn snapshot(&mut self) -> String {
        let id = self.vm("Running").await;
        let name = self.name("snapshot");
        text(
            &self
                .admin
                .ok("vm.snapshot", json!({ "id": id, "name": name }))
                .await,
        )
    }

    async fn user(&mut self) -> String {
        let email = self.name("user");
        let user = json!({ "email": email, "password": PASSWORD });
        text(&self.admin.ok("user.create", user).await)
    }

    async fn group(&mut self) -> String {
        let name = self.name("group");
        text(&self.admin.ok("group.create", json!({ "name": name })).await)
    }

    /// A task that lasts.
    async fn task(&mut self) -> String {
        let uuid = self.pool.write(|db| {
            let host = db.refs("host")[0].to_string();
            let task = db.create(
                "task",
                [
                    ("name_label", "long".into()),
                    ("status", "pending".into()),
                    ("resident_on", host.into()),
                    (
                        "allowed_operations",
                        xapi_sim::Value::set_of(["cancel", "destroy"]),
                    ),
                ],
            );
            db.text("task", &task, "uuid")
        });
        let admin = &mut self.admin;
        eventually("the task is known", async || {
            admin.all_objects().await.contains_key(&uuid).then_some(())
        })
        .await;
        uuid
    }

    /// A registration without a link.
    async fn registered(&mut self) -> String {
        let all = self.admin.ok("server.getAll", json!({})).await;
        for server in all.as_array().expect("a list") {
            if server["label"] == "spare" {
                self.admin
                    .ok("server.remove", json!({ "id": server["id"] }))
                    .await;
            }
        }
        let mut registration = registration(&self.spare);
        registration["label"] = json!("spare");
        registration["autoConnect"] = json!(false);
        text(&self.admin.ok("server.add", registration).await)
    }

    /// Params with which the method succeeds, once. This is the table.
    async fn params(&mut self, method: &str, role: &str) -> Option<Value> {
        Some(match method {
            "acl.add" | "acl.remove" => {
                json!({ "subject": self.admin_id, "object": self.vm("Running").await, "action": "viewer" })
            }
            "acl.explain" => json!({ "object": self.vm("Running").await, "permission": "operate" }),
            "acl.get" | "acl.getCurrentPermissions" | "role.getAll" => json!({}),
            "api.closeAllConnections" | "api.getConnections" => json!({}),
            "api.closeConnection" => {
                let before: BTreeSet<u64> = self.connection_ids();
                self.others.push(self.server.connect().await);
                json!({ "id": self.connection_ids().difference(&before).next() })
            }
            "audit.getRecords" | "audit.checkIntegrity" => json!({}),
            "group.addUser" | "group.removeUser" => {
                json!({ "id": self.group().await, "userId": self.user().await })
            }
            "group.create" => json!({ "name": self.name("new group") }),
            "group.delete" => json!({ "id": self.group().await }),
            "group.getAll" => json!({}),
            "group.set" => json!({ "id": self.group().await, "name": self.name("renamed") }),
            "group.setUsers" => json!({ "id": self.group().await, "userIds": [self.user().await] }),
            "server.add" => {
                let id = self.registered().await;
                self.admin.ok("server.remove", json!({ "id": id })).await;
                let mut registration = registration(&self.spare);
                registration["label"] = json!("spare");
                registration["autoConnect"] = json!(false);
                registration
            }
            "server.remove" | "server.enable" | "server.disable" => json!({ "id": self.registered().await }),
            "server.set" => json!({ "id": self.registered().await, "label": "spare" }),
            "server.getAll" => json!({}),
            "session.getUser" | "session.signOut" => json!({}),
            "session.signIn" | "session.signInWithPassword" => {
                json!({ "email": EMAIL, "password": PASSWORD })
            }
            "session.signInWithToken" => json!({ "token": self.tokens["viewer"] }),
            "session.signInWithCookie" => json!({}),
            "system.methodSignature" => json!({ "method": "vm.start" }),
            "system.getMethodsInfo" | "system.getServerTimezone" | "system.getServerVersion" => json!({}),
            "system.getStatus" | "system.getVersion" | "system.listMethods" => json!({}),
            "tag.add" | "tag.remove" => json!({ "id": self.vm("Running").await, "tag": "tagged" }),
            "task.cancel" | "task.destroy" => json!({ "id": self.task().await }),
            "token.create" => json!({ "description": "another" }),
            "token.delete" | "token.deleteOwn" => json!({ "tokens": ["unknown"] }),
            "token.set" => {
                let mut own = self.client(false, role).await;
                let secret = match own.call("token.create", json!({})).await {
                    Ok(secret) => secret,
                    Err(_) => json!("nobody's"),
                };
                self.secrets.push(text(&secret));
                json!({ "id": secret, "description": "described" })
            }
            "user.changePassword" => json!({ "oldPassword": PASSWORD, "newPassword": PASSWORD }),
            "user.create" => json!({ "email": self.name("new"), "password": PASSWORD }),
            "user.delete" => json!({ "id": self.user().await }),
            "user.getAll" | "user.getAuthenticationTokens" => json!({}),
            "user.removeAuthProvider" => {
                let id = self.user().await;
                json!({ "id": id, "authProvider": "ldap" })
            }
            "user.set" => json!({ "id": self.user().await, "preferences": { "lang": "fr" } }),
            "view.subscribe" => json!({ "view": { "scope": "lists" } }),
            "view.unsubscribe" => json!({ "view": 1 }),
            "vm.delete" => json!({ "id": self.snapshot().await }),
            "vm.pause" | "vm.suspend" | "vm.restart" | "vm.stop" | "vm.snapshot" => {
                json!({ "id": self.vm("Running").await })
            }
            "vm.start" => json!({ "id": self.vm("Halted").await }),
            "vm.resume" | "vm.unpause" => {
                let (before, state) = match method {
                    "vm.resume" => ("vm.suspend", "Suspended"),
                    _ => ("vm.pause", "Paused"),
                };
                let id = self.vm("Running").await;
                self.admin.ok(before, json!({ "id": id })).await;
                json!({ "id": self.vm(state).await })
            }
            "vm.revert" => json!({ "snapshot": self.snapshot().await }),
            "vm.set" => json!({ "id": self.vm("Running").await, "name_label": self.name("VM") }),
            "xo.clean" | "xo.exportConfig" | "xo.importConfig" => json!({}),
            "xo.getAllObjects" => json!({ "filter": { "type": "VM" } }),
            _ => return None,
        })
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

async fn pool_of(vms: usize) -> SimPool {
    pool_with(xapi_sim::PoolConfig {
        vms,
        seed: vms as u64,
        ..xapi_sim::PoolConfig::default()
    })
    .await
}

/// The line of a method: who may.
async fn try_method(world: &mut World, over_tcp: bool, method: &str) -> String {
    let mut line = String::new();
    for &role in ROLES {
        let params = world
            .params(method, role)
            .await
            .unwrap_or_else(|| panic!("{method} is not in the table of calls"));
        let mut client = world.client(over_tcp, role).await;
        let answer = client.call(method, params.clone()).await;
        let may = match &answer {
            Ok(_) => true,
            Err(error) if error["code"] == 2 => false,
            // It came as far as to look for what is not there: a socket without a cookie, a user without LDAP.
            Err(error) if method == "session.signInWithCookie" => error["code"] != 3,
            Err(error) if method == "user.removeAuthProvider" && error["code"] == 1 => true,
            Err(error) => panic!("{method} {params} as {role}: {error}"),
        };
        line.push_str(if may { " +" } else { " -" });
        if method == "api.closeAllConnections" && may {
            world.admin = world.server.admin().await;
        }
    }
    if !WITHOUT_SCHEMA.contains(&method) {
        let mut client = world.client(over_tcp, "administrator").await;
        let info = client
            .ok("system.methodSignature", json!({ "method": method }))
            .await;
        if info[0].get("params").is_some() {
            let error = client
                .call(method, json!({ "nonsense": 1 }))
                .await
                .expect_err("nonsense is refused");
            assert_eq!(error["code"], 10, "{method}: {error}");
            assert!(
                error["data"]["errors"][0]["message"].is_string(),
                "{method}: {error}"
            );
        }
    }
    line
}

async fn table(over_tcp: bool) -> String {
    let mut world = World::new().await;
    let methods = world.admin.ok("system.listMethods", json!({})).await;
    let mut text = format!("{:34} {}\n", "method", ROLES.join(", "));
    for method in methods.as_array().expect("a list") {
        let method = method.as_str().expect("a name");
        let line = try_method(&mut world, over_tcp, method).await;
        writeln!(text, "{method:34}{line}").expect("written");
    }
    no_secret_is_in_the_log(&world);
    world.server.stop().await;
    world.pool.stop().await;
    world.spare.stop().await;
    text
}

/// All methods were called, with every kind of secret that there is.
fn no_secret_is_in_the_log(world: &World) {
    let log = std::fs::read_to_string(world.server.app.audit.folder().join("audit-000001.jsonl"));
    let log = log.expect("the audit log");
    assert!(log.lines().count() > 100);
    let host_password = registration(&world.spare)["password"]
        .as_str()
        .expect("a text")
        .to_owned();
    let tokens = world.tokens.values().chain(&world.secrets).cloned();
    for secret in tokens.chain([PASSWORD.to_owned(), format!("\"password\":\"{host_password}\"")]) {
        assert!(!log.contains(&secret), "{secret} is in the audit log");
    }
}

/// What the pool was asked to change.
fn changes_asked(pool: &SimPool) -> BTreeMap<String, u64> {
    let calls = pool.stats().calls.into_iter();
    let changes = calls.filter(|(method, _)| {
        let (class, message) = method
            .trim_start_matches("Async.")
            .split_once('.')
            .unwrap_or_default();
        // A task that has ended is cleared away whenever that may be.
        !message.starts_with("get_") && !["session", "event"].contains(&class) && method != "task.destroy"
    });
    changes.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_method_changes_a_pool_that_is_only_to_be_read() {
    let mut world = World::new().await;
    let servers = world.admin.ok("server.getAll", json!({})).await;
    let link = servers[0]["id"].clone();
    let methods = world.admin.ok("system.listMethods", json!({})).await;
    let mut refused = 0;
    for method in methods.as_array().expect("a list") {
        let method = method.as_str().expect("a name");
        let params = world.params(method, "administrator").await.expect("in the table");
        let locked = json!({ "id": link, "readOnly": true });
        world.admin.ok("server.set", locked).await;
        let before = changes_asked(&world.pool);
        let mut client = world.client(false, "administrator").await;
        if let Err(error) = client.call(method, params).await {
            refused += u32::from(error["data"]["code"] == "READ_ONLY");
        }
        assert_eq!(changes_asked(&world.pool), before, "{method}");
        if method == "api.closeAllConnections" {
            world.admin = world.server.admin().await;
        }
        let unlocked = json!({ "id": link, "readOnly": false });
        world.admin.ok("server.set", unlocked).await;
    }
    assert!(refused > 10, "{refused} were refused for that reason");
    world.server.stop().await;
    world.pool.stop().await;
}

fn golden(section: &str) -> String {
    let all = include_str!("rights.txt");
    let parts = all.split("\n\n").find(|part| part.starts_with(section));
    format!("{}\n", parts.expect("the section").trim_end())
}

fn compare(section: &str, found: &str) {
    let expected = golden(section);
    assert!(
        found == expected,
        "rights.txt says otherwise; if it is right so, this is the new text:\n{found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_over_websocket() {
    compare("method", &table(false).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_over_tcp() {
    compare("method", &table(true).await);
}

/// What is seen of each type by those who have rights on all objects of another type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_on_one_thing_give_rights_on_others() {
    let mut world = World::new().await;
    world.snapshot().await;
    let objects = world.admin.all_objects().await;
    let kinds: BTreeSet<&str> = objects
        .values()
        .filter_map(|object| object["type"].as_str())
        .collect();
    let user = world.user().await;
    let token = {
        let record = world.server.app.accounts.user(&user).expect("a user");
        let mut client = world.server.connect().await;
        let credentials = json!({ "email": record.email, "password": PASSWORD });
        client.ok("session.signIn", credentials).await;
        client
    };
    let mut client = token;
    let givers = [
        "pool",
        "host",
        "SR",
        "VM",
        "VM-template",
        "VM-snapshot",
        "network",
        "VDI",
        "VIF",
        "PUSB",
    ];
    let mut text = format!("seen      {}\n", givers.join(" "));
    let mut columns: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for giver in givers {
        let of_kind = objects.iter().filter(|(_, object)| object["type"] == giver);
        let ids: Vec<&String> = of_kind.map(|(id, _)| id).collect();
        for id in &ids {
            let entry = json!({ "subject": user, "object": id, "action": "viewer" });
            world.admin.ok("acl.add", entry).await;
        }
        let seen = client.all_objects().await;
        for kind in &kinds {
            let count =
                |all: &BTreeMap<String, Value>| all.values().filter(|object| object["type"] == *kind).count();
            let what = match (count(&seen), count(&objects)) {
                (0, _) => "-",
                (some, all) if some == all => "all",
                _ => "some",
            };
            columns.entry(kind).or_default().push(what);
        }
        for id in ids {
            let entry = json!({ "subject": user, "object": id, "action": "viewer" });
            world.admin.ok("acl.remove", entry).await;
        }
    }
    for (kind, columns) in columns {
        writeln!(text, "{kind:14} {}", columns.join(" ")).expect("written");
    }
    compare("seen", &text);
}
