//! Settings of hosts and pools that have a call of their own, measurements by name, access of the control domain to
//! devices, drivers, callers, and questions that have a short answer.

mod things;

use super::{Outcome, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::model::{Message, Type};
use crate::rpc::Call;
use crate::value::Value;

/// Nothing that a client could see changes: what they name must be there.
const SILENT: &[&str] = &[
    "host.prepare_for_poweroff",
    "host.send_debug_keys",
    "host.backup_rrds",
    "host.refresh_pack_info",
    "host.reset_networking",
    "host.sm_dp_destroy",
    "host.apply_guest_agent_config",
    "host.rescan_drivers",
    "host.emergency_clear_mandatory_guidance",
    "host.notify_accept_new_pool_secret",
    "host.notify_send_new_pool_secret",
    "host.cleanup_pool_secret",
    "host.allocate_resources_for_vm",
    "pool.enable_binary_storage",
    "pool.disable_binary_storage",
    "pool.rotate_secret",
    "pool.detect_nonhomogeneous_external_auth",
    "network.attach_for_vm",
    "network.detach_for_vm",
    "GPU_group.update_enabled_VGPU_types",
    "GPU_group.update_supported_VGPU_types",
    "Observer.register",
    "Observer.unregister",
    "Host_driver.rescan",
    "Diagnostics.gc_compact",
    "VDI.force_unlock",
    "VM.restart_device_models",
    "pool.enable_local_storage_caching",
    "SR.assert_supports_database_replication",
];

/// Sets a field of what is named first, on all hosts where it is the pool.
const SETS: &[(&str, &str, Setting)] = &[
    ("host.enable_ssh", "ssh_enabled", Setting::Is(true)),
    ("host.disable_ssh", "ssh_enabled", Setting::Is(false)),
    ("pool.enable_ssh", "ssh_enabled", Setting::Is(true)),
    ("pool.disable_ssh", "ssh_enabled", Setting::Is(false)),
    (
        "pool.set_ssh_enabled_timeout",
        "ssh_enabled_timeout",
        Setting::Given,
    ),
    (
        "pool.set_console_idle_timeout",
        "console_idle_timeout",
        Setting::Given,
    ),
    ("pool.set_ssh_auto_mode", "ssh_auto_mode", Setting::Given),
    ("pool.set_https_only", "https_only", Setting::Given),
    ("pool.disable_ssl_legacy", "ssl_legacy", Setting::Is(false)),
    ("pool.apply_edition", "edition", Setting::Given),
    ("host.apply_edition", "edition", Setting::Given),
    (
        "host.enable_local_storage_caching",
        "local_cache_sr",
        Setting::Given,
    ),
];

#[derive(Clone, Copy)]
enum Setting {
    Given,
    Is(bool),
}

const OTHERS: &[&str] = &[
    "host.apply_updates",
    "host.declare_dead",
    "host.emergency_ha_disable",
    "host.license_add",
    "host.license_remove",
    "host.shutdown_agent",
    "pool.sync_updates",
    "pool.check_update_readiness",
    "pool.reset_telemetry_uuid",
    "pool.install_ca_certificate",
    "pool.certificate_install",
    "pool.uninstall_ca_certificate",
    "pool.certificate_uninstall",
    "host.disable_local_storage_caching",
    "pool.disable_local_storage_caching",
    "host.get_sched_gran",
    "host.set_sched_gran",
    "host.enable_display",
    "host.disable_display",
    "host.call_extension",
    "host.dmesg_clear",
    "host.get_system_status_capabilities",
    "host.get_diagnostic_timing_stats",
    "host.get_tracked_user_agents",
    "host.get_ntp_servers_status",
    "host.get_ntp_synchronized",
    "host.list_timezones",
    "host.set_servertime",
    "host.get_thread_diagnostics",
    "host.get_sm_diagnostics",
    "host.ha_xapi_healthcheck",
    "host.management_reconfigure",
    "pool.management_reconfigure",
    "pool.create_VLAN",
    "pool.set_vswitch_controller",
    "pool.enable_tls_verification",
    "pool.enable_redo_log",
    "pool.disable_redo_log",
    "pool.add_repository",
    "pool.remove_repository",
    "pool.enable_client_certificate_auth",
    "pool.disable_client_certificate_auth",
    "pool.configure_repository_proxy",
    "pool.disable_repository_proxy",
    "pool.configure_update_sync",
    "pool.get_guest_secureboot_readiness",
    "pool.initialize_wlb",
    "pool.deconfigure_wlb",
    "pool.send_wlb_configuration",
    "pool.retrieve_wlb_configuration",
    "pool.retrieve_wlb_recommendations",
    "VM.retrieve_wlb_recommendations",
    "host.retrieve_wlb_evacuate_recommendations",
    "VM.query_data_source",
    "host.query_data_source",
    "SR.query_data_source",
    "VM.record_data_source",
    "host.record_data_source",
    "SR.record_data_source",
    "VM.forget_data_source_archives",
    "host.forget_data_source_archives",
    "SR.forget_data_source_archives",
    "SR.get_data_sources",
    "VM.get_data_sources",
    "VM.call_plugin",
    "VM.call_host_plugin",
    "VM.query_services",
    "VM.set_shadow_multiplier_live",
    "VM.update_secureboot_certificates_on_boot",
    "PCI.enable_dom0_access",
    "PCI.disable_dom0_access",
    "PCI.get_dom0_access_status",
    "PGPU.enable_dom0_access",
    "PGPU.disable_dom0_access",
    "VTPM.get_contents",
    "VTPM.set_contents",
    "VDI.checksum",
    "VDI.generate_config",
    "VDI.read_database_pool_uuid",
    "VBD.pause",
    "VBD.unpause",
    "message.destroy_all",
    "role.get_by_permission",
    "role.get_by_permission_name_label",
    "auth.get_subject_identifier",
    "auth.get_subject_information_from_identifier",
    "auth.get_group_membership",
    "Host_driver.select",
    "Host_driver.deselect",
    "Driver_variant.select",
    "Caller.add_group",
    "Caller.remove_group",
    "Caller.query_token_usage",
    "Caller.query_call_count",
    "Caller.query_group_token_usage",
    "Caller.query_group_call_count",
    "Caller.query_all_usage",
    "Rate_limit.add_caller",
    "Rate_limit.remove_caller",
    "PIF.create_VLAN",
    "PIF.destroy",
    "PIF.introduce",
    "PIF.reconfigure_ipv6",
    "Diagnostics.gc_stats",
    "Diagnostics.db_stats",
    "Diagnostics.network_stats",
];

pub fn does(name: &str) -> bool {
    SILENT.contains(&name) || SETS.iter().any(|(set, ..)| *set == name) || OTHERS.contains(&name)
}

pub fn run(call: &Call, class: &str, message: &Message, p: &[Value]) -> Outcome {
    let name = format!("{class}.{}", message.name);
    if !does(&name) {
        return Ok(None);
    }
    // What is named must be there.
    {
        let db = call.pool.db();
        for (param, value) in message.params.iter().zip(p) {
            if let Type::Ref(other) = &param.ty
                && crate::db::class(other).in_database
            {
                db.check(other, value.str())?;
            }
        }
    }
    if SILENT.contains(&&*name) {
        return void();
    }
    if let Some((_, field, setting)) = SETS.iter().find(|(set, ..)| *set == name) {
        return call.write(|db| {
            let value = match setting {
                Setting::Given => p[1].clone(),
                Setting::Is(value) => Value::Bool(*value),
            };
            if *field == "edition" {
                assert_edition(db, p[1].str())?;
            }
            let hosts = match class {
                "pool" => db.refs("host"),
                _ => vec![p[0].str().into()],
            };
            for host in hosts {
                db.set("host", &host, field, value.clone());
            }
            void()
        });
    }
    match class {
        "host" => host(call, &message.name, p),
        "pool" => pool(call, &message.name, p),
        "VM" | "SR" => things::sources(call, class, &message.name, p),
        "PIF" => things::pif(call, &message.name, p),
        "PCI" | "PGPU" | "VTPM" | "VDI" | "VBD" => things::device(call, class, &message.name, p),
        _ => things::rest(call, class, &message.name, p),
    }
}

fn assert_edition(db: &Db, edition: &str) -> Result<(), Fault> {
    let offers = db.get("host", &db.master(), "editions");
    match offers.set().is_empty() || offers.contains(edition) {
        true => Ok(()),
        false => Err(Fault::new("INVALID_EDITION", [edition])),
    }
}

fn host(call: &Call, name: &str, p: &[Value]) -> Outcome {
    let this = p.first().map_or("", Value::str);
    let value = |value: Value| Ok(Some(value));
    match name {
        "disable_local_storage_caching" => call.write(|db| {
            db.set("host", this, "local_cache_sr", Value::null());
            void()
        }),
        "get_sched_gran" => {
            let db = call.pool.db();
            let set = db.get("host", this, "other_config").text("sched-gran").to_owned();
            value(Value::from(if set.is_empty() { "cpu".to_owned() } else { set }))
        }
        "set_sched_gran" => call.write(|db| {
            db.set_entry("host", this, "other_config", "sched-gran", Some(p[1].clone()));
            void()
        }),
        // Takes effect at the next restart.
        "enable_display" | "disable_display" => call.write(|db| {
            let now = db.text("host", this, "display");
            let next = match (name, now.as_str()) {
                ("enable_display", "disabled" | "enable_on_reboot") => "enable_on_reboot",
                ("enable_display", _) => "enabled",
                (_, "enabled" | "disable_on_reboot") => "disable_on_reboot",
                _ => "disabled",
            };
            db.set("host", this, "display", next);
            Ok(Some(Value::from(next)))
        }),
        "call_extension" => Err(Fault::new("MESSAGE_METHOD_UNKNOWN", [p[1].str()])),
        "dmesg_clear" => value(Value::void()),
        "get_system_status_capabilities" => value(Value::from(
            "<?xml version=\"1.0\" ?><system-status-capabilities><capability key=\"xapi\" default-checked=\"yes\"/></system-status-capabilities>",
        )),
        "get_tracked_user_agents" => {
            let db = call.pool.db();
            let agents = db.refs("session").into_iter();
            let agents = agents.map(|session| db.text("session", &session, "originator"));
            let agents = agents.filter(|agent| !agent.is_empty());
            value(Value::map_of(
                agents
                    .map(|agent| (agent, Value::from("")))
                    .collect::<std::collections::BTreeMap<_, _>>(),
            ))
        }
        "get_ntp_servers_status" => {
            let db = call.pool.db();
            let servers = db.get("host", this, "ntp_custom_servers").strings();
            value(Value::map_of(
                servers.into_iter().map(|server| (server, Value::from("^*"))),
            ))
        }
        "get_ntp_synchronized" | "ha_xapi_healthcheck" => value(Value::Bool(true)),
        "list_timezones" => value(Value::set_of([
            "UTC",
            "Europe/Paris",
            "Europe/London",
            "America/New_York",
        ])),
        "set_servertime" => {
            if call.pool.db().text("host", this, "ntp_mode") != "disabled" {
                return Err(Fault::new("NOT_ALLOWED_WHEN_NTP_IS_ENABLED", [this]));
            }
            void()
        }
        "management_reconfigure" => call.write(|db| manage_by(db, this)),
        "query_data_source" | "record_data_source" | "forget_data_source_archives" => {
            things::sources(call, "host", name, p)
        }
        "retrieve_wlb_evacuate_recommendations" => Err(Fault::bare("WLB_NOT_INITIALIZED")),
        "apply_updates" => {
            let db = call.pool.db();
            if db.get("pool", &db.pool(), "repositories").set().is_empty() {
                return Err(Fault::bare("NO_REPOSITORY_ENABLED"));
            }
            if db.get("host", this, "enabled").bool() {
                return Err(Fault::bare("HOST_NOT_DISABLED"));
            }
            value(Value::Set(vec![]))
        }
        "declare_dead" => call.write(|db| {
            let metrics = db.text("host", this, "metrics");
            db.set("host_metrics", &metrics, "live", false);
            super::membership::recover_guests(db, this);
            void()
        }),
        "emergency_ha_disable" => call.write(|db| {
            let pool = db.pool();
            db.set("pool", &pool, "ha_enabled", false);
            void()
        }),
        "license_add" => Err(Fault::bare("LICENSE_PROCESSING_ERROR")),
        "shutdown_agent" => {
            let pool = call.pool.clone();
            call.pool.afterwards(move || pool.restart());
            void()
        }
        _ => value(match name {
            "get_diagnostic_timing_stats" => Value::empty_map(),
            _ => Value::void(),
        }),
    }
}

/// The management interface of a host moves; its address is the host's.
fn manage_by(db: &mut Db, pif: &str) -> Outcome {
    if db.get("pool", &db.pool(), "ha_enabled").bool() {
        return Err(Fault::bare("HA_IS_ENABLED"));
    }
    if db.exists("Bond", db.get("PIF", pif, "bond_slave_of").str()) {
        return Err(Fault::new("CANNOT_PLUG_BOND_SLAVE", [pif]));
    }
    if db.text("PIF", pif, "ip_configuration_mode") == "None" {
        return Err(Fault::new("PIF_HAS_NO_NETWORK_CONFIGURATION", [pif]));
    }
    let host = db.text("PIF", pif, "host");
    for other in db.members("host", &host, "PIFs") {
        db.set("PIF", &other, "management", *other == *pif);
    }
    db.set("PIF", pif, "currently_attached", true);
    void()
}

fn pool(call: &Call, name: &str, p: &[Value]) -> Outcome {
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
                let vlan = super::network::create_vlan(db, &pif, p[2].int(), p[1].str())?;
                made.push(db.text("VLAN", &vlan, "untagged_PIF"));
            }
            Ok(Some(Value::set_of(made)))
        }),
        "set_vswitch_controller" => set(&[("vswitch_controller", p[0].clone())]),
        "enable_tls_verification" => set(&[("tls_verification_enabled", Value::Bool(true))]),
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
        "install_ca_certificate" | "certificate_install" => {
            call.write(|db| install_ca(db, p[0].str(), p[1].str()))
        }
        "uninstall_ca_certificate" | "certificate_uninstall" => call.write(|db| {
            let missing = || Fault::new("CERTIFICATE_DOES_NOT_EXIST", [p[0].str()]);
            let known = db.find("Certificate", "name", p[0].str()).ok_or_else(missing)?;
            db.destroy("Certificate", &known);
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

/// A certificate of an authority that the pool trusts, kept as a file of that name.
fn install_ca(db: &mut Db, name: &str, certificate: &str) -> Outcome {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(Fault::new("CERTIFICATE_NAME_INVALID", [name]));
    }
    if db.find("Certificate", "name", name).is_some() {
        return Err(Fault::new("CERTIFICATE_ALREADY_EXISTS", [name]));
    }
    if !certificate
        .trim_start()
        .starts_with("-----BEGIN CERTIFICATE-----")
    {
        return Err(Fault::bare("CA_CERTIFICATE_INVALID"));
    }
    let digest = <sha2::Sha256 as sha2::Digest>::digest(certificate.trim().as_bytes());
    let print: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    let print = Value::from(print.join(":"));
    let now = db.now();
    db.create(
        "Certificate",
        [
            ("name", Value::from(name)),
            ("type", Value::from("ca")),
            ("not_before", Value::Date(now)),
            ("not_after", Value::Date(now + 3_650 * 86_400)),
            ("fingerprint", print.clone()),
            ("fingerprint_sha256", print),
        ],
    );
    void()
}
