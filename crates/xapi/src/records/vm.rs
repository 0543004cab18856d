//! Virtual machines and what hangs on them: metrics, guest metrics, consoles, virtual TPMs.
//!
//! Field names are XAPI's own. Fields that nothing here reads are left out and skipped while parsing.

use super::*;

records! {
    /// XAPI class `VM`: guest, template, snapshot or dom0.
    Vm {
        uuid: Text,
        allowed_operations: Texts,
        current_operations: Map,
        name_label: Text,
        name_description: Text,
        power_state: Text,
        is_a_template: bool,
        is_default_template: bool,
        suspend_VDI: Ref<Vdi>,
        resident_on: Ref<Host>,
        scheduled_to_be_resident_on: Ref<Host>,
        affinity: Ref<Host>,
        memory_static_max: i64,
        memory_dynamic_max: i64,
        memory_dynamic_min: i64,
        memory_static_min: i64,
        VCPUs_params: Map,
        VCPUs_max: i64,
        VCPUs_at_startup: i64,
        consoles: List<Ref<Console>>,
        VIFs: List<Ref<Vif>>,
        VBDs: List<Ref<Vbd>>,
        VUSBs: List<Ref<Vusb>>,
        VTPMs: List<Ref<Vtpm>>,
        PV_args: Text,
        HVM_boot_policy: Text,
        HVM_boot_params: Map,
        platform: Map,
        other_config: Map,
        domid: i64,
        is_control_domain: bool,
        metrics: Ref<VmMetrics>,
        guest_metrics: Ref<VmGuestMetrics>,
        recommendations: Restrictions,
        xenstore_data: Map,
        ha_always_run: bool,
        ha_restart_priority: Text,
        is_a_snapshot: bool,
        snapshot_of: Ref<Vm>,
        snapshots: List<Ref<Vm>>,
        snapshot_time: Timestamp,
        tags: Texts,
        parent: Ref<Vm>,
        children: List<Ref<Vm>>,
        bios_strings: Map,
        start_delay: i64,
        blocked_operations: Map,
        VGPUs: List<Ref<Vgpu>>,
        suspend_SR: Ref<Sr>,
        has_vendor_device: bool,
        domain_type: Text,
        secureboot_certificates_state: Text,
    }
    /// XAPI class `VM_metrics`: hypervisor-side VM facts.
    VmMetrics {
        uuid: Text,
        memory_actual: i64,
        VCPUs_number: i64,
        start_time: Timestamp,
        install_time: Timestamp,
        hvm: bool,
        nested_virt: bool,
        nomigrate: bool,
        current_domain_type: Text,
        numa_optimised: bool,
        numa_nodes: i64,
    }
    /// XAPI class `VM_guest_metrics`: facts told by the guest agent.
    VmGuestMetrics {
        uuid: Text,
        os_version: Map,
        PV_drivers_version: Map,
        PV_drivers_up_to_date: bool,
        memory: Map,
        networks: Map,
        other: Map,
        last_updated: Timestamp,
        other_config: Map,
        PV_drivers_detected: bool,
        services: Map,
    }
    /// XAPI class `console`: VM console endpoint.
    Console {
        uuid: Text,
        protocol: Text,
        location: Text,
        VM: Ref<Vm>,
        other_config: Map,
    }
    /// XAPI class `VTPM`: virtual TPM.
    Vtpm {
        uuid: Text,
        allowed_operations: Texts,
        current_operations: Map,
        VM: Ref<Vm>,
        backend: Ref<Vm>,
        persistence_backend: Text,
        is_unique: bool,
        is_protected: bool,
    }
}
