//! VM, VM-controller, VM-snapshot, VM-template (contract/objects.md section 4) and VTPM.

use super::{object::object, values::*};
use serde::{Deserialize, Serialize};
use serde_json::Value;

object! {
    /// A guest, control domain, snapshot or template; the type tells which.
    Vm {
        addresses = "addresses": TextMap<'a>,
        main_ip_address = "mainIpAddress": Text<'a>,
        affinity_host = "affinityHost": Link<'a>,
        attached_pcis = "attachedPcis": Vec<Option<Text<'a>>>,
        auto_poweron = "auto_poweron": bool,
        bios_strings = "bios_strings": TextMap<'a>,
        blocked_operations = "blockedOperations": TextMap<'a>,
        boot = "boot": TextMap<'a>,
        cpus = "CPUs": VmCpus,
        creation = "creation": Value,
        /// XAPI task id to operation.
        current_operations = "current_operations": TextMap<'a>,
        docker = "docker": Value,
        /// Deprecated in favour of `isNestedVirtEnabled`.
        exp_nested_hvm = "expNestedHvm": bool,
        is_nested_virt_enabled = "isNestedVirtEnabled": bool,
        vulnerabilities = "vulnerabilities": Value,
        viridian = "viridian": bool,
        high_availability = "high_availability": Text<'a>,
        is_firmware_supported = "isFirmwareSupported": bool,
        memory = "memory": VmMemory,
        install_time = "installTime": Seconds,
        start_time = "startTime": Seconds,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
        needs_vtpm = "needsVtpm": bool,
        notes = "notes": Text<'a>,
        other = "other": TextMap<'a>,
        os_version = "os_version": Nullable<TextMap<'a>>,
        parent = "parent": Link<'a>,
        power_state = "power_state": Text<'a>,
        has_vendor_device = "hasVendorDevice": bool,
        resource_set = "resourceSet": Text<'a>,
        snapshots = "snapshots": Links<'a>,
        /// Seconds.
        start_delay = "startDelay": Nullable<i64>,
        secure_boot = "secureBoot": bool,
        suspend_sr = "suspendSr": Link<'a>,
        tags = "tags": Vec<Text<'a>>,
        vifs = "VIFs": Links<'a>,
        vtpms = "VTPMs": Links<'a>,
        vbds = "$VBDs": Links<'a>,
        vgpus = "VGPUs": Links<'a>,
        dollar_vgpus = "$VGPUs": Links<'a>,
        virtualization_mode = "virtualizationMode": Text<'a>,
        /// Absent, `false`, or the deprecated version object.
        xen_tools = "xenTools": XenTools,
        management_agent_detected = "managementAgentDetected": bool,
        pv_drivers_detected = "pvDriversDetected": bool,
        pv_drivers_version = "pvDriversVersion": Text<'a>,
        pv_drivers_up_to_date = "pvDriversUpToDate": bool,
        container = "$container": Link<'a>,
        nic_type = "nicType": Text<'a>,
        xen_store_data = "xenStoreData": TextMap<'a>,
        vga = "vga": Text<'a>,
        /// MiB.
        videoram = "videoram": Nullable<Number>,
        cores_per_socket = "coresPerSocket": Nullable<i64>,
        cpu_cap = "cpuCap": Nullable<i64>,
        cpu_weight = "cpuWeight": Nullable<i64>,
        cpu_mask = "cpuMask": Vec<Nullable<i64>>,
        pv_args = "PV_args": Text<'a>,
        snapshot_time = "snapshot_time": Seconds,
        snapshot_of = "$snapshot_of": Link<'a>,
        suspend_vdi = "suspendVdi": Link<'a>,
        is_default_template = "isDefaultTemplate": bool,
        template_info = "template_info": TemplateInfo<'a>,
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VmCpus {
    pub max: Nullable<i64>,
    pub number: Nullable<i64>,
}

/// Bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VmMemory {
    pub dynamic: [Nullable<i64>; 2],
    #[serde(rename = "static")]
    pub statics: [Nullable<i64>; 2],
    pub size: Nullable<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum XenTools {
    Missing(bool),
    Version { major: i64, minor: i64, version: Number },
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateInfo<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Text<'a>>,
    pub disks: Vec<TemplateDisk>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_methods: Option<Vec<Text<'a>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_repository: Option<Text<'a>>,
}

/// A disk that the template asks to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateDisk {
    pub bootable: bool,
    pub device: String,
    /// Bytes.
    pub size: Nullable<i64>,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "SR")]
    pub sr: String,
}

object! {
    Vtpm { vm = "vm": Link<'a>, }
}
