//! SR, SM, PBD, VDI, VBD (contract/objects.md sections 5, 6, 7, 9 and 10).

use super::{object::object, values::*};

object! {
    Sr {
        sr_type = "SR_type": Text<'a>,
        content_type = "content_type": Text<'a>,
        /// Bytes, as the two below.
        size = "size": Nullable<i64>,
        physical_usage = "physical_usage": Nullable<i64>,
        usage = "usage": Nullable<i64>,
        allocation_strategy = "allocationStrategy": Text<'a>,
        current_operations = "current_operations": TextMap<'a>,
        in_maintenance_mode = "inMaintenanceMode": bool,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
        tags = "tags": Vec<Text<'a>>,
        shared = "shared": bool,
        vdis = "VDIs": Links<'a>,
        other_config = "other_config": TextMap<'a>,
        sm_config = "sm_config": TextMap<'a>,
        container = "$container": Link<'a>,
        pbds = "$PBDs": Links<'a>,
    }
}

object! {
    Sm {
        sm_type = "SM_type": Text<'a>,
        configuration = "configuration": TextMap<'a>,
        vendor = "vendor": Text<'a>,
        features = "features": Entries<'a, i64>,
        driver_filename = "driver_filename": Text<'a>,
        required_cluster_stack = "required_cluster_stack": Vec<Text<'a>>,
        supported_image_formats = "supported_image_formats": Vec<Text<'a>>,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
    }
}

object! {
    Pbd {
        attached = "attached": bool,
        host = "host": Link<'a>,
        sr = "SR": Link<'a>,
        /// Secrets read `* obfuscated *`.
        device_config = "device_config": TextMap<'a>,
        other_config = "otherConfig": TextMap<'a>,
    }
}

object! {
    /// VDI, VDI-snapshot or VDI-unmanaged; the type tells which.
    Vdi {
        /// Bytes, as `usage`.
        size = "size": Nullable<i64>,
        usage = "usage": Nullable<i64>,
        vdi_type = "VDI_type": Text<'a>,
        cbt_enabled = "cbt_enabled": bool,
        missing = "missing": bool,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
        tags = "tags": Vec<Text<'a>>,
        other_config = "other_config": TextMap<'a>,
        current_operations = "current_operations": TextMap<'a>,
        /// A uuid, whether or not that VDI is known.
        parent = "parent": Text<'a>,
        image_format = "image_format": Text<'a>,
        snapshots = "snapshots": Links<'a>,
        sr = "$SR": Link<'a>,
        vbds = "$VBDs": Links<'a>,
        /// Bytes, with all ancestors; plain VDIs only.
        chain_physical_usage = "chainPhysicalUsage": i64,
        snapshot_time = "snapshot_time": Seconds,
        snapshot_of = "$snapshot_of": Link<'a>,
    }
}

object! {
    Vbd {
        attached = "attached": bool,
        bootable = "bootable": bool,
        device = "device": Nullable<Text<'a>>,
        is_cd_drive = "is_cd_drive": bool,
        position = "position": Text<'a>,
        read_only = "read_only": bool,
        vdi = "VDI": Link<'a>,
        vm = "VM": Link<'a>,
    }
}
