//! PCI devices, physical and virtual GPUs, USB devices.
//!
//! Field names are XAPI's own. Fields that nothing here reads are left out and skipped while parsing.

use super::*;

records! {
    /// XAPI class `PCI`: PCI device.
    Pci {
        uuid: Text,
        class_name: Text,
        device_name: Text,
        host: Ref<Host>,
        pci_id: Text,
    }
    /// XAPI class `PGPU`: physical GPU.
    Pgpu {
        uuid: Text,
        PCI: Ref<Pci>,
        GPU_group: Ref<GpuGroup>,
        host: Ref<Host>,
        other_config: Map,
        supported_VGPU_types: List<Ref<VgpuType>>,
        enabled_VGPU_types: List<Ref<VgpuType>>,
        resident_VGPUs: List<Ref<Vgpu>>,
        dom0_access: Text,
        is_system_display_device: bool,
        compatibility_metadata: Map,
    }
    /// XAPI class `VGPU`: VM GPU.
    Vgpu {
        uuid: Text,
        VM: Ref<Vm>,
        GPU_group: Ref<GpuGroup>,
        device: Text,
        currently_attached: bool,
        other_config: Map,
        r#type: Ref<VgpuType>,
        resident_on: Ref<Pgpu>,
        scheduled_to_be_resident_on: Ref<Pgpu>,
        compatibility_metadata: Map,
        extra_args: Text,
        PCI: Ref<Pci>,
    }
    /// XAPI class `GPU_group`: group of equal PGPUs.
    GpuGroup {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        PGPUs: List<Ref<Pgpu>>,
        VGPUs: List<Ref<Vgpu>>,
        GPU_types: Texts,
        other_config: Map,
        allocation_algorithm: Text,
        supported_VGPU_types: List<Ref<VgpuType>>,
        enabled_VGPU_types: List<Ref<VgpuType>>,
    }
    /// XAPI class `VGPU_type`: vGPU profile.
    VgpuType {
        uuid: Text,
        vendor_name: Text,
        model_name: Text,
        framebuffer_size: i64,
        max_heads: i64,
        max_resolution_x: i64,
        max_resolution_y: i64,
        supported_on_PGPUs: List<Ref<Pgpu>>,
        enabled_on_PGPUs: List<Ref<Pgpu>>,
        VGPUs: List<Ref<Vgpu>>,
        supported_on_GPU_groups: List<Ref<GpuGroup>>,
        enabled_on_GPU_groups: List<Ref<GpuGroup>>,
        implementation: Text,
        identifier: Text,
        experimental: bool,
        compatible_types_in_vm: List<Ref<VgpuType>>,
    }
    /// XAPI class `PUSB`: physical USB device.
    Pusb {
        uuid: Text,
        USB_group: Ref<UsbGroup>,
        host: Ref<Host>,
        path: Text,
        vendor_id: Text,
        vendor_desc: Text,
        product_id: Text,
        product_desc: Text,
        serial: Text,
        version: Text,
        description: Text,
        passthrough_enabled: bool,
        other_config: Map,
        speed: f64,
    }
    /// XAPI class `VUSB`: USB attached to a VM.
    Vusb {
        uuid: Text,
        allowed_operations: Texts,
        current_operations: Map,
        VM: Ref<Vm>,
        USB_group: Ref<UsbGroup>,
        other_config: Map,
        currently_attached: bool,
    }
    /// XAPI class `USB_group`: group of PUSBs.
    UsbGroup {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        PUSBs: List<Ref<Pusb>>,
        VUSBs: List<Ref<Vusb>>,
        other_config: Map,
    }
}
