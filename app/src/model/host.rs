//! pool, host, patches (contract/objects.md sections 2, 3 and 15).

use super::{object::object, values::*};
use serde::{Deserialize, Serialize};

object! {
    Pool {
        auto_poweron = "auto_poweron": bool,
        crash_dump_sr = "crashDumpSr": Link<'a>,
        suspend_sr = "suspendSr": Link<'a>,
        default_sr = "default_SR": Link<'a>,
        current_operations = "current_operations": TextMap<'a>,
        ha_enabled = "HA_enabled": bool,
        ha_reboot_vm_on_internal_shutdown = "haRebootVmOnInternalShutdown": bool,
        ha_srs = "haSrs": Links<'a>,
        master = "master": Link<'a>,
        tags = "tags": Vec<Text<'a>>,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
        migration_compression = "migrationCompression": bool,
        other_config = "otherConfig": TextMap<'a>,
        cpus = "cpus": CpuCount,
        zstd_supported = "zstdSupported": bool,
        vtpm_supported = "vtpmSupported": bool,
        platform_version = "platform_version": Text<'a>,
    }
}

object! {
    Host {
        /// Deprecated in favour of `cpus`: the raw `cpu_info`.
        cpu_info = "CPUs": TextMap<'a>,
        cpus = "cpus": CpuCount,
        address = "address": Text<'a>,
        hostname = "hostname": Text<'a>,
        bios_strings = "bios_strings": TextMap<'a>,
        build = "build": Text<'a>,
        chipset_info = "chipset_info": ChipsetInfo,
        enabled = "enabled": bool,
        control_domain = "controlDomain": Link<'a>,
        current_operations = "current_operations": TextMap<'a>,
        iscsi_iqn = "iscsiIqn": Text<'a>,
        zstd_supported = "zstdSupported": bool,
        license_params = "license_params": TextMap<'a>,
        license_server = "license_server": TextMap<'a>,
        logging = "logging": TextMap<'a>,
        license_expiry = "license_expiry": Seconds,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
        memory = "memory": HostMemory,
        multipathing = "multipathing": bool,
        other_config = "otherConfig": TextMap<'a>,
        patches = "patches": Links<'a>,
        power_on_mode = "powerOnMode": Text<'a>,
        power_state = "power_state": Text<'a>,
        resident_vms = "residentVms": Links<'a>,
        start_time = "startTime": Seconds,
        agent_start_time = "agentStartTime": Seconds,
        supplemental_packs = "supplementalPacks": Vec<SupplementalPack<'a>>,
        reboot_required = "rebootRequired": bool,
        tags = "tags": Vec<Text<'a>>,
        version = "version": Text<'a>,
        product_brand = "productBrand": Text<'a>,
        hvm_capable = "hvmCapable": bool,
        certificates = "certificates": Vec<HostCertificate<'a>>,
        pifs = "PIFs": Links<'a>,
        dollar_pifs = "$PIFs": Links<'a>,
        pcis = "PCIs": Links<'a>,
        dollar_pcis = "$PCIs": Links<'a>,
        pgpus = "PGPUs": Links<'a>,
        dollar_pgpus = "$PGPUs": Links<'a>,
        pbds = "$PBDs": Links<'a>,
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuCount {
    pub cores: Nullable<i64>,
    pub sockets: Nullable<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChipsetInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iommu: Option<bool>,
}

/// Bytes; `total` is there only when the host has no metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostMemory {
    pub usage: i64,
    pub size: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SupplementalPack<'a> {
    pub name: Text<'a>,
    pub description: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<Vec<Text<'a>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Links<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vdi: Option<Link<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Nullable<i64>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostCertificate<'a> {
    pub fingerprint: Text<'a>,
    #[serde(rename = "notAfter")]
    pub not_after: Seconds,
}

object! {
    /// A patch applied to one host.
    Patch {
        applied = "applied": bool,
        enforce_homogeneity = "enforceHomogeneity": bool,
        name = "name": Text<'a>,
        description = "description": Text<'a>,
        size = "size": Nullable<i64>,
        guidance = "guidance": Vec<Text<'a>>,
        pool_patch = "pool_patch": Link<'a>,
        time = "time": Seconds,
        host = "$host": Link<'a>,
    }
}

object! {
    PoolPatch {
        data_uuid = "dataUuid": Text<'a>,
        name = "name": Text<'a>,
        description = "description": Text<'a>,
        guidance = "guidance": Vec<Text<'a>>,
        size = "size": Nullable<i64>,
        host_patches = "$host_patches": Links<'a>,
    }
}
