//! PCI, GPU and USB types (contract/objects.md sections 16 and 17).

use super::{object::object, values::*};

object! {
    Pci {
        class_name = "class_name": Text<'a>,
        device_name = "device_name": Text<'a>,
        pci_id = "pci_id": Text<'a>,
        host = "$host": Link<'a>,
    }
}

object! {
    Pgpu {
        dom0_access = "dom0Access": Text<'a>,
        enabled_vgpu_types = "enabledVgpuTypes": Links<'a>,
        supported_vgpu_types = "supportedVgpuTypes": Links<'a>,
        gpu_group = "gpuGroup": Link<'a>,
        is_system_display_device = "isSystemDisplayDevice": bool,
        pci = "pci": Link<'a>,
        host = "host": Link<'a>,
        dollar_host = "$host": Link<'a>,
        vgpus = "vgpus": Links<'a>,
        dollar_vgpus = "$vgpus": Links<'a>,
    }
}

object! {
    Vgpu {
        currently_attached = "currentlyAttached": bool,
        device = "device": Text<'a>,
        gpu_group = "gpuGroup": Link<'a>,
        other_config = "otherConfig": TextMap<'a>,
        resident_on = "resident_on": Link<'a>,
        vgpu_type = "vgpuType": Link<'a>,
        vm = "vm": Link<'a>,
    }
}

object! {
    GpuGroup {
        allocation = "allocation": Text<'a>,
        enabled_vgpu_types = "enabledVgpuTypes": Links<'a>,
        supported_vgpu_types = "supportedVgpuTypes": Links<'a>,
        gpu_types = "gpuTypes": Vec<Text<'a>>,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
        other_config = "otherConfig": TextMap<'a>,
        pgpus = "pgpus": Links<'a>,
        vgpus = "vgpus": Links<'a>,
    }
}

object! {
    VgpuType {
        experimental = "experimental": bool,
        framebuffer_size = "framebufferSize": Nullable<i64>,
        gpu_groups = "gpuGroups": Links<'a>,
        max_heads = "maxHeads": Nullable<i64>,
        max_resolution_x = "maxResolutionX": Nullable<i64>,
        max_resolution_y = "maxResolutionY": Nullable<i64>,
        model_name = "modelName": Text<'a>,
        vendor_name = "vendorName": Text<'a>,
        pgpus = "pgpus": Links<'a>,
        vgpus = "vgpus": Links<'a>,
    }
}

object! {
    Pusb {
        /// `vendor - product`.
        description = "description": Text<'a>,
        host = "host": Link<'a>,
        passthrough_enabled = "passthroughEnabled": bool,
        speed = "speed": Nullable<Number>,
        usb_group = "usbGroup": Link<'a>,
        vendor_id = "vendorId": Text<'a>,
        version = "version": Text<'a>,
    }
}

object! {
    Vusb {
        vm = "vm": Link<'a>,
        currently_attached = "currentlyAttached": bool,
        usb_group = "usbGroup": Link<'a>,
    }
}

object! {
    UsbGroup { pusbs = "PUSBs": Links<'a>, vusbs = "VUSBs": Links<'a>, }
}
