//! A host as a machine: its management interface, what it uploads, and what hosts ask each other while one joins.

use super::{Outcome, odds, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::pool::neighbours;
use crate::rpc::Call;
use crate::value::Value;

/// `Class.message`.
pub const MESSAGES: &[&str] = &[
    "host.create",
    "host.bugreport_upload",
    "host.management_disable",
    "host.local_management_reconfigure",
    "pool.hello",
    "pool.initial_auth",
    "pool.emergency_reset_master",
    "pool.send_test_post",
];

/// How long the report takes to collect, at time scale 1.
const REPORT_SECONDS: f64 = 30.0;

pub async fn run(call: &Call, class: &str, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    match (class, name) {
        ("host", "create") => call.write(|db| create(db, p)),
        ("host", "bugreport_upload") => {
            call.pool.db().check("host", this)?;
            check_url(p[1].str())?;
            // Nothing is sent anywhere.
            call.work(REPORT_SECONDS).await?;
            void()
        }
        ("host", "management_disable") => disable_management(call),
        ("host", "local_management_reconfigure") => call.write(|db| {
            let pifs = db.members("host", &db.master(), "PIFs").into_iter();
            let mut pifs = pifs.filter(|pif| {
                let network = db.text("PIF", pif, "network");
                this == db.text("network", &network, "bridge") || this == db.text("PIF", pif, "device")
            });
            let missing = || Fault::internal(format!("there is no interface {this}"));
            let pif = pifs.next().ok_or_else(missing)?;
            odds::manage_by(db, &pif)
        }),
        ("pool", "hello") => {
            let db = call.pool.db();
            let answer = match db.by_uuid("host", this) {
                None => "unknown_host",
                Some(host) => {
                    let reachable = db.text("host", &host, "address") == p[1].str() && call.pool.is_up(&host);
                    if reachable { "ok" } else { "cannot_talk_back" }
                }
            };
            Ok(Some(Value::from(answer)))
        }
        ("pool", "initial_auth") => Ok(Some(Value::from(secret(&call.pool.db())))),
        // Asked of the master; a supporter answers before this.
        ("pool", "emergency_reset_master") => {
            let master = call.pool.db().master();
            let own = call.pool.db().text("host", &master, "address");
            if this == own {
                return Err(Fault::bare("HOST_ITS_OWN_SLAVE"));
            }
            call.pool.believe(&master, Some(this.to_owned()));
            // The toolstack restarts as a supporter of that address.
            let pool = call.pool.clone();
            call.pool.afterwards(move || pool.restart());
            void()
        }
        ("pool", "send_test_post") => {
            let (port, address) = (p[1].int().to_string(), format!("{this}:{}", p[1].int()));
            let failed = || Fault::new("TLS_CONNECTION_FAILED", [this, &port]);
            // No pool but those of this process is reached.
            let target = neighbours::find(&address, 0).filter(|pool| pool.config.tls);
            let target = target.ok_or_else(failed)?;
            let answer = crate::http::posted(&target, p[2].str()).await;
            Ok(Some(Value::from(answer)))
        }
        _ => Ok(None),
    }
}

/// Where something can be uploaded to; to the maker when nothing is said.
pub fn check_url(url: &str) -> Result<(), Fault> {
    let known = ["http://", "https://", "ftp://"];
    match url.is_empty() || known.iter().any(|known| url.starts_with(known)) {
        true => Ok(()),
        false => Err(Fault::invalid_value("url", url)),
    }
}

/// The record of a host that is about to join. No machine stands behind it until one does.
fn create(db: &mut Db, p: &[Value]) -> Outcome {
    let class = crate::db::class("host");
    let message = class.message("create");
    let names = message.iter().flat_map(|message| &message.params);
    if db.by_uuid("host", p[0].str()).is_some() {
        let fault = ["host", "uuid", p[0].str()];
        return Err(Fault::new("DB_UNIQUENESS_CONSTRAINT_VIOLATION", fault));
    }
    let given = |name: &str| {
        let at = message.and_then(|message| message.params.iter().position(|param| param.name == name));
        at.map_or_else(Value::void, |at| p[at].clone())
    };
    let own = ["external_auth_type", "external_auth_service_name"].map(|name| given(name).str().to_owned());
    if own != super::directory::membership(db, &db.master()) {
        return Err(Fault::bare("POOL_JOINING_EXTERNAL_AUTH_MISMATCH"));
    }
    let fields = names
        .zip(p)
        .filter(|(param, _)| class.field(&param.name).is_some());
    let fields: Vec<(&str, Value)> = fields
        .map(|(param, value)| (param.name.as_str(), value.clone()))
        .collect();
    let metrics = db.create("host_metrics", [("live", Value::Bool(false))]);
    let more = [
        ("enabled", Value::Bool(false)),
        ("metrics", Value::from(&*metrics)),
    ];
    let host = db.create("host", fields.into_iter().chain(more));
    super::lifecycle::refresh(db, "host", &host);
    Ok(Some(Value::from(&*host)))
}

/// Nobody reaches the host over the network any more: the answer is the last thing that it says. Its console could
/// bring it back; here `power-on` of the control port does.
fn disable_management(call: &Call) -> Outcome {
    let master = call.pool.db().master();
    call.write(|db| {
        if db.get("pool", &db.pool(), "ha_enabled").bool() {
            return Err(Fault::bare("HA_IS_ENABLED"));
        }
        for pif in db.members("host", &master, "PIFs") {
            db.set("PIF", &pif, "management", false);
        }
        Ok(())
    })?;
    let pool = call.pool.clone();
    call.pool.afterwards(move || {
        if let Some(at) = pool.index_of(&master) {
            let own = pool.clone();
            pool.spawn(async move { own.close(at).await });
        }
    });
    void()
}

/// What the hosts of a pool know each other by: made of the pool's uuid, so that it is the same after a dump.
fn secret(db: &Db) -> String {
    let uuid = db.text("pool", &db.pool(), "uuid");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(uuid.as_bytes());
    let mut seed = 0_u64;
    for byte in digest {
        seed = seed.rotate_left(8) ^ u64::from(byte);
    }
    let mut seed = crate::seed::Seed::new(seed);
    format!("{}/{}/{}", seed.uuid(), seed.uuid(), seed.uuid())
}
