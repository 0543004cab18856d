//! Pools, hosts, their metrics, patches, updates and certificates.
//!
//! Field names are XAPI's own. Fields that nothing here reads are left out and skipped while parsing.

use super::*;

records! {
    /// XAPI class `pool`: singleton pool settings.
    Pool {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        master: Ref<Host>,
        default_SR: Ref<Sr>,
        suspend_image_SR: Ref<Sr>,
        crash_dump_SR: Ref<Sr>,
        other_config: Map,
        ha_enabled: bool,
        ha_statefiles: Texts,
        tags: Texts,
        restrictions: Map,
        allowed_operations: Texts,
        current_operations: Map,
        cpu_info: Map,
        tls_verification_enabled: bool,
        migration_compression: bool,
        ha_reboot_vm_on_internal_shutdown: bool,
        vm_console_idle_timeout: i64,
        auto_update_vm_secureboot_certificates: bool,
    }
    /// XAPI class `host`: physical server.
    Host {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        memory_overhead: i64,
        allowed_operations: Texts,
        current_operations: Map,
        API_version_major: i64,
        API_version_minor: i64,
        API_version_vendor: Text,
        enabled: bool,
        software_version: Map,
        other_config: Map,
        capabilities: Texts,
        resident_VMs: List<Ref<Vm>>,
        logging: Map,
        PIFs: List<Ref<Pif>>,
        suspend_image_sr: Ref<Sr>,
        crash_dump_sr: Ref<Sr>,
        patches: List<Ref<HostPatch>>,
        updates: List<Ref<PoolUpdate>>,
        PBDs: List<Ref<Pbd>>,
        host_CPUs: List<Ref<HostCpu>>,
        cpu_info: Map,
        hostname: Text,
        address: Text,
        metrics: Ref<HostMetrics>,
        license_params: Map,
        tags: Texts,
        license_server: Map,
        bios_strings: Map,
        power_on_mode: Text,
        power_on_config: Map,
        chipset_info: Map,
        PCIs: List<Ref<Pci>>,
        PGPUs: List<Ref<Pgpu>>,
        PUSBs: List<Ref<Pusb>>,
        ssl_legacy: bool,
        virtual_hardware_platform_versions: List<i64>,
        control_domain: Ref<Vm>,
        updates_requiring_reboot: List<Ref<PoolUpdate>>,
        iscsi_iqn: Text,
        multipathing: bool,
        certificates: List<Ref<Certificate>>,
        ssh_enabled: bool,
        ssh_enabled_timeout: i64,
        ssh_expiry: Timestamp,
        console_idle_timeout: i64,
        ssh_auto_mode: bool,
        max_cstate: Text,
        secure_boot: bool,
        ntp_mode: Text,
        ntp_custom_servers: Texts,
        timezone: Text,
    }
    /// XAPI class `host_metrics`: host liveness and memory.
    HostMetrics {
        uuid: Text,
        memory_total: i64,
        /// Gone from the data model, still sent; absent one day.
        memory_free: i64,
        live: bool,
        last_updated: Timestamp,
        other_config: Map,
    }
    /// XAPI class `host_cpu`: one physical CPU (old).
    HostCpu {
        uuid: Text,
        host: Ref<Host>,
        number: i64,
        vendor: Text,
        speed: i64,
        modelname: Text,
        family: i64,
        model: i64,
        stepping: Text,
        flags: Text,
    }
    /// XAPI class `host_patch`: pool_patch on one host.
    HostPatch {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        version: Text,
        host: Ref<Host>,
        applied: bool,
        timestamp_applied: Timestamp,
        size: i64,
        pool_patch: Ref<PoolPatch>,
        other_config: Map,
    }
    /// XAPI class `pool_patch`: legacy hotfix (pre-7.1).
    PoolPatch {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        version: Text,
        size: i64,
        pool_applied: bool,
        host_patches: List<Ref<HostPatch>>,
        after_apply_guidance: Texts,
        pool_update: Ref<PoolUpdate>,
        other_config: Map,
    }
    /// XAPI class `pool_update`: ISO update (7.1+).
    PoolUpdate {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        version: Text,
        installation_size: i64,
        key: Text,
        after_apply_guidance: Texts,
        vdi: Ref<Vdi>,
        hosts: List<Ref<Host>>,
        other_config: Map,
        enforce_homogeneity: bool,
    }
    /// XAPI class `Certificate`: TLS certificate record.
    Certificate {
        uuid: Text,
        name: Text,
        r#type: Text,
        host: Ref<Host>,
        not_before: Timestamp,
        not_after: Timestamp,
        fingerprint: Text,
        fingerprint_sha256: Text,
        fingerprint_sha1: Text,
        purpose: Texts,
    }
}
