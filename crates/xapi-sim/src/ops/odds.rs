//! Settings of hosts and pools that have a call of their own, measurements by name, access of the control domain to
//! devices, drivers, callers, and questions that have a short answer.

mod host;
mod pool;
mod things;

pub use host::manage_by;

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
    "VBD.pause",
    "VBD.unpause",
    "message.destroy_all",
    "role.get_by_permission",
    "role.get_by_permission_name_label",
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
        "host" => host::run(call, &message.name, p),
        "pool" => pool::run(call, &message.name, p),
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
