//! Storage repositories, drivers, their attachment to hosts, disks and their attachment to VMs.
//!
//! Field names are XAPI's own. Fields that nothing here reads are left out and skipped while parsing.

use super::*;

records! {
    /// XAPI class `SR`: storage repository.
    Sr {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        allowed_operations: Texts,
        current_operations: Map,
        VDIs: List<Ref<Vdi>>,
        PBDs: List<Ref<Pbd>>,
        virtual_allocation: i64,
        physical_utilisation: i64,
        physical_size: i64,
        r#type: Text,
        content_type: Text,
        shared: bool,
        other_config: Map,
        tags: Texts,
        sm_config: Map,
    }
    /// XAPI class `SM`: storage driver plugin.
    Sm {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        r#type: Text,
        vendor: Text,
        configuration: Map,
        driver_filename: Text,
        features: IntMap,
        required_cluster_stack: Texts,
        supported_image_formats: Texts,
    }
    /// XAPI class `PBD`: host to SR attachment.
    Pbd {
        uuid: Text,
        host: Ref<Host>,
        SR: Ref<Sr>,
        device_config: Map,
        currently_attached: bool,
        other_config: Map,
    }
    /// XAPI class `VDI`: virtual disk.
    Vdi {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        current_operations: Map,
        SR: Ref<Sr>,
        VBDs: List<Ref<Vbd>>,
        virtual_size: i64,
        physical_utilisation: i64,
        r#type: Text,
        read_only: bool,
        other_config: Map,
        managed: bool,
        missing: bool,
        parent: Ref<Vdi>,
        sm_config: Map,
        is_a_snapshot: bool,
        snapshot_of: Ref<Vdi>,
        snapshots: List<Ref<Vdi>>,
        snapshot_time: Timestamp,
        tags: Texts,
        cbt_enabled: bool,
    }
    /// XAPI class `VBD`: VM to VDI attachment.
    Vbd {
        uuid: Text,
        VM: Ref<Vm>,
        VDI: Ref<Vdi>,
        device: Text,
        userdevice: Text,
        bootable: bool,
        mode: Text,
        r#type: Text,
        empty: bool,
        currently_attached: bool,
    }
}
