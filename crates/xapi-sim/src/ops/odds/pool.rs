//! Settings of the pool as a whole, or of all its hosts together.

use super::host::manage_by;
use crate::fault::Fault;
use crate::ops::{Outcome, network, void};
use crate::rpc::Call;
use crate::value::Value;

pub fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let pool = call.pool.db().pool();
    let set = |fields: &[(&str, Value)]| {
        call.write(|db| {
            db.update(
                "pool",
                &pool,
                fields.iter().map(|(field, value)| (*field, value.clone())),
            );
        });
        void()
    };
    match name {
        "disable_local_storage_caching" => call.write(|db| {
            for host in db.refs("host") {
                db.set("host", &host, "local_cache_sr", Value::null());
            }
            void()
        }),
        "management_reconfigure" => call.write(|db| {
            let pifs: Vec<String> = db.members("network", p[0].str(), "PIFs");
            for host in db.refs("host") {
                if !pifs.iter().any(|pif| db.text("PIF", pif, "host") == *host) {
                    return Err(Fault::new("PIF_NOT_PRESENT", [&*host, p[0].str()]));
                }
            }
            for pif in &pifs {
                manage_by(db, pif)?;
            }
            void()
        }),
        "create_VLAN" => call.write(|db| {
            let device = p[0].str();
            let physical: Vec<_> = db
                .refs("PIF")
                .into_iter()
                .filter(|pif| {
                    db.text("PIF", pif, "device") == device && db.get("PIF", pif, "VLAN").int() == -1
                })
                .collect();
            let mut made = Vec::new();
            for pif in physical {
                let vlan = network::create_vlan(db, &pif, p[2].int(), p[1].str())?;
                made.push(db.text("VLAN", &vlan, "untagged_PIF"));
            }
            Ok(Some(Value::set_of(made)))
        }),
        "set_vswitch_controller" => set(&[("vswitch_controller", p[0].clone())]),
        "enable_tls_verification" => call.write(|db| {
            for host in db.refs("host") {
                db.set("host", &host, "tls_verification_enabled", true);
            }
            db.set("pool", &pool, "tls_verification_enabled", true);
            void()
        }),
        "enable_redo_log" => set(&[("redo_log_enabled", Value::Bool(true))]),
        "disable_redo_log" => set(&[("redo_log_enabled", Value::Bool(false))]),
        "add_repository" | "remove_repository" => call.write(|db| {
            let repository = p[1].str();
            let known = db.get("pool", &pool, "repositories").set().iter();
            let mut known: Vec<Value> = known.filter(|known| known.str() != repository).cloned().collect();
            if name == "add_repository" {
                known.push(p[1].clone());
            }
            db.set("pool", &pool, "repositories", Value::Set(known));
            void()
        }),
        "enable_client_certificate_auth" => set(&[
            ("client_certificate_auth_enabled", Value::Bool(true)),
            ("client_certificate_auth_name", p[1].clone()),
        ]),
        "disable_client_certificate_auth" => set(&[
            ("client_certificate_auth_enabled", Value::Bool(false)),
            ("client_certificate_auth_name", Value::from("")),
        ]),
        "configure_repository_proxy" => {
            let url = p[1].str();
            if !url.starts_with("http://") && !url.starts_with("https://") {
                return Err(Fault::new("INVALID_REPOSITORY_PROXY_URL", [url]));
            }
            set(&[
                ("repository_proxy_url", p[1].clone()),
                ("repository_proxy_username", p[2].clone()),
            ])
        }
        "disable_repository_proxy" => set(&[
            ("repository_proxy_url", Value::from("")),
            ("repository_proxy_username", Value::from("")),
            ("repository_proxy_password", Value::null()),
        ]),
        "configure_update_sync" => {
            let day = p[2].int();
            let fits = match p[1].str() {
                "daily" => day == 0,
                _ => (0..=6).contains(&day),
            };
            if !fits {
                return Err(Fault::new("INVALID_UPDATE_SYNC_DAY", [day.to_string()]));
            }
            set(&[
                ("update_sync_frequency", p[1].clone()),
                ("update_sync_day", p[2].clone()),
            ])
        }
        "get_guest_secureboot_readiness" => {
            let has = !call.pool.db().text("pool", &pool, "uefi_certificates").is_empty();
            Ok(Some(Value::from(if has { "ready" } else { "not_ready" })))
        }
        "sync_updates" => {
            if call.pool.db().get("pool", &pool, "repositories").set().is_empty() {
                return Err(Fault::bare("NO_REPOSITORY_ENABLED"));
            }
            let now = Value::Date(call.pool.db().now());
            set(&[("last_update_sync", now)])?;
            Ok(Some(Value::from(
                "0000000000000000000000000000000000000000000000000000000000000000",
            )))
        }
        "check_update_readiness" => Ok(Some(Value::Set(vec![]))),
        "reset_telemetry_uuid" => call.write(|db| {
            let uuid = Value::from(db.seed.uuid());
            let secret = db.create("secret", [("value", uuid)]);
            let old = db.text("pool", &pool, "telemetry_uuid");
            db.set("pool", &pool, "telemetry_uuid", &*secret);
            db.destroy("secret", &old);
            void()
        }),
        "deconfigure_wlb" => set(&[
            ("wlb_url", Value::from("")),
            ("wlb_username", Value::from("")),
            ("wlb_enabled", Value::Bool(false)),
        ]),
        // There is no such appliance to reach.
        "initialize_wlb" => Err(Fault::bare("WLB_CONNECTION_REFUSED")),
        _ => Err(Fault::bare("WLB_NOT_INITIALIZED")),
    }
}
