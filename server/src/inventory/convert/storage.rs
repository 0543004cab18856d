//! SR, SM, PBD, VDI, VBD (contract/objects.md sections 5, 6, 7, 9 and 10).

use super::{Context, fields::*};
use app::model::{
    ObjectType,
    storage::{Pbd, Sm, Sr, Vbd, Vdi},
    values::{Entries, Nullable, Text, TextMap},
};
use std::{borrow::Cow, marker::PhantomData};
use xapi::records::{self, Map};

/// Longest chain of disks that is followed: a ring of parents must not hang the server. XAPI's own
/// coalescing keeps chains below 30.
const LONGEST_CHAIN: usize = 256;

pub(super) fn sr<'a>(context: &Context<'a>, sr: &'a records::Sr) -> Sr<'a> {
    Sr {
        sr_type: text(&sr.r#type),
        content_type: text(&sr.content_type),
        size: number(sr.physical_size),
        physical_usage: number(sr.physical_utilisation),
        usage: number(sr.virtual_allocation),
        allocation_strategy: allocation_strategy(context, sr),
        current_operations: map(&sr.current_operations),
        in_maintenance_mode: Some(entry(&sr.other_config, "xo:maintenanceState").is_some()),
        name_label: text(&sr.name_label),
        name_description: text(&sr.name_description),
        tags: texts(&sr.tags),
        shared: flag(sr.shared),
        vdis: context.links(&sr.VDIs),
        other_config: map(&sr.other_config),
        sm_config: map(&sr.sm_config),
        container: container(context, sr),
        pbds: context.links(&sr.PBDs),
        borrowed: PhantomData,
    }
}

/// The pool of a shared SR or of one that no host knows, else the host of its first PBD.
fn container<'a>(context: &Context<'a>, sr: &'a records::Sr) -> Option<Text<'a>> {
    match first_pbd(sr) {
        Some(pbd) if sr.shared != Some(true) => context.link(&context.essence(Some(pbd))?.host),
        _ => Some(Cow::Borrowed(&context.facts.id)),
    }
}

/// The host of the only place where this SR is; `None` for a shared one.
pub(super) fn local_host<'a>(context: &Context<'a>, sr: &'a records::Sr) -> Option<Text<'a>> {
    if sr.shared == Some(true) {
        return None;
    }
    context.link(&context.essence(first_pbd(sr))?.host)
}

fn first_pbd(sr: &records::Sr) -> Option<&xapi::Ref<records::Pbd>> {
    sr.PBDs.as_ref()?.first()
}

fn allocation_strategy<'a>(context: &Context<'a>, sr: &'a records::Sr) -> Option<Text<'a>> {
    let strategy = match sr.r#type.as_deref()? {
        "linstor" => {
            let pbd = context.get(first_pbd(sr));
            pbd.and_then(|pbd| entry(&pbd.device_config, "provisioning"))
                .unwrap_or("unknown")
        }
        "ext" | "file" | "nfs" | "shm" | "smb" | "zfs" => "thin",
        "hba" | "iscsi" | "lvhd" | "lvhdofcoe" | "lvhdohba" | "lvhdoiscsi" | "lvm" | "lvmofcoe"
        | "lvmohba" | "lvmoiscsi" | "ocfs" | "ocfsohba" | "ocfsoiscsi" | "rawhba" | "rawiscsi" | "udev" => {
            "thick"
        }
        _ => return None,
    };
    Some(Cow::Borrowed(strategy))
}

pub(super) fn sm(sm: &records::Sm) -> Sm<'_> {
    let features = sm.features.as_ref();
    Sm {
        sm_type: text(&sm.r#type),
        configuration: map(&sm.configuration),
        vendor: text(&sm.vendor),
        features: features.map(|features| {
            Entries(
                features
                    .iter()
                    .map(|(name, value)| (Cow::Borrowed(name), value))
                    .collect(),
            )
        }),
        driver_filename: text(&sm.driver_filename),
        required_cluster_stack: texts(&sm.required_cluster_stack),
        supported_image_formats: texts(&sm.supported_image_formats).or_else(|| Some(Vec::new())),
        name_label: text(&sm.name_label),
        name_description: text(&sm.name_description),
        borrowed: PhantomData,
    }
}

pub(super) fn pbd<'a>(context: &Context<'a>, pbd: &'a records::Pbd) -> Pbd<'a> {
    Pbd {
        attached: flag(pbd.currently_attached),
        host: context.link(&pbd.host),
        sr: context.link(&pbd.SR),
        device_config: pbd.device_config.as_ref().map(obfuscated),
        other_config: map(&pbd.other_config),
        borrowed: PhantomData,
    }
}

/// Storage credentials never leave the server.
fn obfuscated(config: &Map) -> TextMap<'_> {
    let is_secret = |key: &str| {
        matches!(key, "token" | "passphrase" | "encryptionKey")
            || key.to_ascii_lowercase().contains("password")
    };
    let shown = |(key, value)| {
        let value = if is_secret(key) { "* obfuscated *" } else { value };
        (Cow::Borrowed(key), Cow::Borrowed(value))
    };
    Entries(config.iter().map(shown).collect())
}

pub(super) fn vdi_kind(context: &Context<'_>, vdi: &records::Vdi) -> ObjectType {
    if vdi.is_a_snapshot == Some(true) || context.link(&vdi.snapshot_of).is_some() {
        ObjectType::VdiSnapshot
    } else if vdi.managed == Some(false) {
        ObjectType::VdiUnmanaged
    } else {
        ObjectType::Vdi
    }
}

pub(super) fn vdi<'a>(context: &Context<'a>, vdi: &'a records::Vdi, kind: ObjectType) -> Vdi<'a> {
    let is_snapshot = kind == ObjectType::VdiSnapshot;
    Vdi {
        size: number(vdi.virtual_size),
        usage: number(vdi.physical_utilisation),
        vdi_type: text(&vdi.r#type),
        cbt_enabled: vdi.cbt_enabled,
        missing: vdi.missing,
        name_label: text(&vdi.name_label),
        name_description: text(&vdi.name_description),
        tags: texts(&vdi.tags),
        other_config: map(&vdi.other_config),
        current_operations: map(&vdi.current_operations),
        parent: parent(vdi).map(Cow::Borrowed),
        image_format: entry(&vdi.sm_config, "image-format").map(Cow::Borrowed),
        snapshots: context.links(&vdi.snapshots),
        sr: context.link(&vdi.SR),
        vbds: context.links(&vdi.VBDs),
        chain_physical_usage: (kind == ObjectType::Vdi).then(|| chain_physical_usage(context, vdi)),
        snapshot_time: if is_snapshot {
            seconds(vdi.snapshot_time)
        } else {
            None
        },
        snapshot_of: if is_snapshot {
            context.link(&vdi.snapshot_of)
        } else {
            None
        },
        borrowed: PhantomData,
    }
}

/// uuid of the disk on which this one's image is based.
pub(in crate::inventory) fn parent(vdi: &records::Vdi) -> Option<&str> {
    entry(&vdi.sm_config, "vhd-parent")
}

fn chain_physical_usage<'a>(context: &Context<'a>, vdi: &'a records::Vdi) -> i64 {
    let usage = |vdi: &records::Vdi| vdi.physical_utilisation.unwrap_or(0);
    let mut sum = usage(vdi);
    let mut next = parent(vdi);
    for _ in 0..LONGEST_CHAIN {
        let slot = next.and_then(|uuid| context.disks.disk(uuid));
        let Some(ancestor) = slot.and_then(|slot| context.in_slot::<records::Vdi>(slot)) else {
            break;
        };
        sum = sum.saturating_add(usage(ancestor));
        next = parent(ancestor);
    }
    sum
}

pub(super) fn vbd<'a>(context: &Context<'a>, vbd: &'a records::Vbd) -> Vbd<'a> {
    let device = vbd.device.as_deref().filter(|device| !device.is_empty());
    Vbd {
        attached: flag(vbd.currently_attached),
        bootable: flag(vbd.bootable),
        device: Some(Nullable(device.map(Cow::Borrowed))),
        is_cd_drive: Some(vbd.r#type.as_deref() == Some("CD")),
        position: text(&vbd.userdevice),
        read_only: Some(vbd.mode.as_deref() == Some("RO")),
        vdi: context.link(&vbd.VDI),
        vm: context.link(&vbd.VM),
        borrowed: PhantomData,
    }
}
