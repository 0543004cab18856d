//! PCI, GPU and USB types (contract/objects.md sections 16 and 17).

use super::{Context, fields::*};
use app::model::{
    device::{GpuGroup, Pci, Pgpu, Pusb, UsbGroup, Vgpu, VgpuType, Vusb},
    values::{Nullable, Number},
};
use std::{borrow::Cow, marker::PhantomData};
use xapi::records;

pub(super) fn pci<'a>(context: &Context<'a>, pci: &'a records::Pci) -> Pci<'a> {
    Pci {
        class_name: text(&pci.class_name),
        device_name: text(&pci.device_name),
        pci_id: text(&pci.pci_id),
        host: context.link(&pci.host),
        borrowed: PhantomData,
    }
}

pub(super) fn pgpu<'a>(context: &Context<'a>, pgpu: &'a records::Pgpu) -> Pgpu<'a> {
    let host = context.link(&pgpu.host);
    let vgpus = context.links(&pgpu.resident_VGPUs);
    Pgpu {
        dom0_access: text(&pgpu.dom0_access),
        enabled_vgpu_types: context.links(&pgpu.enabled_VGPU_types),
        supported_vgpu_types: context.links(&pgpu.supported_VGPU_types),
        gpu_group: context.link(&pgpu.GPU_group),
        is_system_display_device: pgpu.is_system_display_device,
        pci: context.link(&pgpu.PCI),
        host: host.clone(),
        dollar_host: host,
        vgpus: vgpus.clone(),
        dollar_vgpus: vgpus,
        borrowed: PhantomData,
    }
}

pub(super) fn vgpu<'a>(context: &Context<'a>, vgpu: &'a records::Vgpu) -> Vgpu<'a> {
    Vgpu {
        currently_attached: flag(vgpu.currently_attached),
        device: text(&vgpu.device),
        gpu_group: context.link(&vgpu.GPU_group),
        other_config: map(&vgpu.other_config),
        resident_on: context.link(&vgpu.resident_on),
        vgpu_type: context.link(&vgpu.r#type),
        vm: context.link(&vgpu.VM),
        borrowed: PhantomData,
    }
}

pub(super) fn gpu_group<'a>(context: &Context<'a>, group: &'a records::GpuGroup) -> GpuGroup<'a> {
    GpuGroup {
        allocation: text(&group.allocation_algorithm),
        enabled_vgpu_types: context.links(&group.enabled_VGPU_types),
        supported_vgpu_types: context.links(&group.supported_VGPU_types),
        gpu_types: texts(&group.GPU_types),
        name_label: text(&group.name_label),
        name_description: text(&group.name_description),
        other_config: map(&group.other_config),
        pgpus: context.links(&group.PGPUs),
        vgpus: context.links(&group.VGPUs),
        borrowed: PhantomData,
    }
}

pub(super) fn vgpu_type<'a>(context: &Context<'a>, kind: &'a records::VgpuType) -> VgpuType<'a> {
    VgpuType {
        experimental: kind.experimental,
        framebuffer_size: number(kind.framebuffer_size),
        gpu_groups: context.links(&kind.enabled_on_GPU_groups),
        max_heads: number(kind.max_heads),
        max_resolution_x: number(kind.max_resolution_x),
        max_resolution_y: number(kind.max_resolution_y),
        model_name: text(&kind.model_name),
        vendor_name: text(&kind.vendor_name),
        pgpus: context.links(&kind.enabled_on_PGPUs),
        vgpus: context.links(&kind.VGPUs),
        borrowed: PhantomData,
    }
}

pub(super) fn pusb<'a>(context: &Context<'a>, pusb: &'a records::Pusb) -> Pusb<'a> {
    let description = match (pusb.vendor_desc.as_deref(), pusb.product_desc.as_deref()) {
        (None, None) => None,
        (vendor, product) => Some(Cow::Owned(format!(
            "{} - {}",
            vendor.unwrap_or_default(),
            product.unwrap_or_default()
        ))),
    };
    Pusb {
        description,
        host: context.link(&pusb.host),
        passthrough_enabled: pusb.passthrough_enabled,
        speed: Some(Nullable(pusb.speed.map(Number))),
        usb_group: context.link(&pusb.USB_group),
        vendor_id: text(&pusb.vendor_id),
        version: text(&pusb.version),
        borrowed: PhantomData,
    }
}

pub(super) fn vusb<'a>(context: &Context<'a>, vusb: &'a records::Vusb) -> Vusb<'a> {
    Vusb {
        vm: context.link(&vusb.VM),
        currently_attached: flag(vusb.currently_attached),
        usb_group: context.link(&vusb.USB_group),
        borrowed: PhantomData,
    }
}

pub(super) fn usb_group<'a>(context: &Context<'a>, group: &'a records::UsbGroup) -> UsbGroup<'a> {
    UsbGroup {
        pusbs: context.links(&group.PUSBs),
        vusbs: context.links(&group.VUSBs),
        borrowed: PhantomData,
    }
}
