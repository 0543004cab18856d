//! pool, host, patches (contract/objects.md sections 2, 3 and 15).

use super::{Context, fields::*};
use app::model::{
    host::{
        ChipsetInfo, CpuCount, Host, HostCertificate, HostMemory, Patch, Pool, PoolPatch, SupplementalPack,
    },
    values::{Nullable, Text},
};
use std::{borrow::Cow, marker::PhantomData};
use xapi::{
    OpaqueRef, Ref,
    records::{self, Map},
};

const GIB: i64 = 1 << 30;

pub(super) fn pool<'a>(context: &Context<'a>, pool: &'a records::Pool) -> Pool<'a> {
    let allows = |feature| Some(entry(&pool.restrictions, feature) == Some("false"));
    let own_name = pool.name_label.as_deref().filter(|name| !name.is_empty());
    let name_label = match own_name {
        Some(name) => Some(Cow::Borrowed(name)),
        // A pool of one host has no name of its own.
        None => context
            .get(pool.master.as_ref())
            .and_then(|master| text(&master.name_label)),
    };
    Pool {
        auto_poweron: Some(is_true(&pool.other_config, "auto_poweron")),
        crash_dump_sr: context.link(&pool.crash_dump_SR),
        suspend_sr: context.link(&pool.suspend_image_SR),
        default_sr: context.link(&pool.default_SR),
        current_operations: map(&pool.current_operations),
        ha_enabled: pool.ha_enabled,
        ha_reboot_vm_on_internal_shutdown: Some(pool.ha_reboot_vm_on_internal_shutdown.unwrap_or(true)),
        ha_srs: Some(ha_srs(context, pool)),
        master: context.link(&pool.master),
        tags: texts(&pool.tags),
        name_label,
        name_description: text(&pool.name_description),
        migration_compression: pool.migration_compression,
        other_config: map(&pool.other_config),
        cpus: Some(cpu_count(&pool.cpu_info)),
        zstd_supported: allows("restrict_zstd_export"),
        vtpm_supported: allows("restrict_vtpm"),
        platform_version: Some(Cow::Borrowed(&*context.facts.platform_version))
            .filter(|version| !version.is_empty()),
        borrowed: PhantomData,
    }
}

/// The SRs that hold the heartbeat disks.
fn ha_srs<'a>(context: &Context<'a>, pool: &'a records::Pool) -> Vec<Option<Text<'a>>> {
    let disks = pool.ha_statefiles.iter().flat_map(|disks| disks.iter());
    disks
        .filter_map(|disk| context.essence::<records::Vdi>(Some(&Ref::new(OpaqueRef::parse(disk)))))
        .map(|disk| context.link(&disk.SR))
        .collect()
}

fn cpu_count(info: &Option<Map>) -> CpuCount {
    let count = |key| entry(info, key).map_or(Nullable(None), integer_of);
    CpuCount {
        cores: count("cpu_count"),
        sockets: count("socket_count"),
    }
}

pub(super) fn host<'a>(context: &Context<'a>, host: &'a records::Host) -> Host<'a> {
    let version = |key| entry(&host.software_version, key).map(Cow::Borrowed);
    let (pifs, pcis, pgpus) = (
        context.links(&host.PIFs),
        context.links(&host.PCIs),
        context.links(&host.PGPUs),
    );
    let metrics = context.get(host.metrics.as_ref());
    let is_hvm_capable = |capabilities: &xapi::records::Texts| {
        capabilities
            .iter()
            .any(|capability| capability.starts_with("hvm"))
    };
    Host {
        cpu_info: map(&host.cpu_info),
        cpus: Some(cpu_count(&host.cpu_info)),
        address: text(&host.address),
        hostname: text(&host.hostname),
        bios_strings: map(&host.bios_strings),
        build: version("build_number"),
        chipset_info: host.chipset_info.as_ref().map(|info| ChipsetInfo {
            iommu: info.get("iommu").map(|iommu| iommu == "true"),
        }),
        enabled: flag(host.enabled),
        control_domain: context.link(&host.control_domain),
        current_operations: map(&host.current_operations),
        iscsi_iqn: Some(Cow::Borrowed(
            host.iscsi_iqn
                .as_deref()
                .or(entry(&host.other_config, "iscsi_iqn"))
                .unwrap_or_default(),
        )),
        zstd_supported: Some(entry(&host.license_params, "restrict_zstd_export") == Some("false")),
        license_params: map(&host.license_params),
        license_server: map(&host.license_server),
        logging: map(&host.logging),
        license_expiry: Some(seconds_of(entry(&host.license_params, "expiry"))),
        name_label: text(&host.name_label),
        name_description: text(&host.name_description),
        memory: Some(memory(metrics)),
        multipathing: Some(is_true(&host.other_config, "multipathing")),
        other_config: map(&host.other_config),
        patches: context.links(&host.patches),
        power_on_mode: text(&host.power_on_mode),
        power_state: Some(Cow::Borrowed(match metrics {
            Some(metrics) if metrics.live == Some(true) => "Running",
            Some(_) => "Halted",
            None => "Unknown",
        })),
        resident_vms: context.links(&host.resident_VMs),
        start_time: Some(seconds_of(entry(&host.other_config, "boot_time"))),
        agent_start_time: Some(seconds_of(entry(&host.other_config, "agent_start_time"))),
        supplemental_packs: Some(supplemental_packs(context, host)),
        reboot_required: Some(reboot_required(host)),
        tags: texts(&host.tags),
        version: version("product_version"),
        product_brand: version("product_brand"),
        hvm_capable: host.capabilities.as_ref().map(is_hvm_capable),
        certificates: certificates(context, host),
        pifs: pifs.clone(),
        dollar_pifs: pifs,
        pcis: pcis.clone(),
        dollar_pcis: pcis,
        pgpus: pgpus.clone(),
        dollar_pgpus: pgpus,
        pbds: context.links(&host.PBDs),
        borrowed: PhantomData,
    }
}

fn memory(metrics: Option<&records::HostMetrics>) -> HostMemory {
    let Some(metrics) = metrics else {
        return HostMemory {
            usage: 0,
            size: 0,
            total: Some(0),
        };
    };
    // The hypervisor takes a little for itself; people count in whole GiB.
    let total = metrics.memory_total.unwrap_or(0);
    let size = total.saturating_add(GIB - 1) / GIB * GIB;
    let usage = match metrics.live {
        Some(true) => size.saturating_sub(metrics.memory_free.unwrap_or(0)),
        _ => 0,
    };
    HostMemory {
        usage,
        size,
        total: None,
    }
}

fn reboot_required(host: &records::Host) -> bool {
    if entry(&host.software_version, "product_brand") == Some("XCP-ng") {
        let at = |key| seconds_of(entry(&host.other_config, key)).0;
        return match (at("boot_time"), at("rpm_patch_installation_time")) {
            (Some(boot), Some(patched)) => boot < patched,
            _ => false,
        };
    }
    host.updates_requiring_reboot
        .as_ref()
        .is_some_and(|updates| !updates.is_empty())
}

fn certificates<'a>(context: &Context<'a>, host: &'a records::Host) -> Option<Vec<HostCertificate<'a>>> {
    let known = host
        .certificates
        .as_ref()?
        .iter()
        .filter_map(|certificate| context.get(Some(certificate)));
    Some(
        known
            .map(|certificate| HostCertificate {
                fingerprint: text(&certificate.fingerprint).unwrap_or_default(),
                not_after: seconds(certificate.not_after).unwrap_or_default(),
            })
            .collect(),
    )
}

fn supplemental_packs<'a>(context: &Context<'a>, host: &'a records::Host) -> Vec<SupplementalPack<'a>> {
    match &host.updates {
        Some(updates) if is_modern(host) => {
            let known = updates.iter().filter_map(|update| context.get(Some(update)));
            known
                .filter_map(|update| pack_of_update(context, update))
                .collect()
        }
        _ => host
            .software_version
            .iter()
            .flat_map(|version| version.iter())
            .filter_map(pack_of_version)
            .collect(),
    }
}

/// Platform 2.1.1 brought updates as ISO images; before, packs stood in the list of versions.
fn is_modern(host: &records::Host) -> bool {
    let version = entry(&host.software_version, "platform_version").unwrap_or_default();
    let parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
    parts >= vec![2, 1, 1]
}

/// Updates of XenServer itself are named `XS...`; everything else is a supplemental pack.
fn pack_of_update<'a>(
    context: &Context<'a>,
    update: &'a records::PoolUpdate,
) -> Option<SupplementalPack<'a>> {
    let name = update.name_label.as_deref()?;
    if name.starts_with("XS") {
        return None;
    }
    Some(SupplementalPack {
        name: Cow::Borrowed(name),
        description: text(&update.name_description).unwrap_or_default(),
        author: update
            .key
            .as_deref()
            .and_then(|key| key.split('-').nth(3))
            .map(Cow::Borrowed),
        version: text(&update.version),
        guidance: texts(&update.after_apply_guidance),
        hosts: context.links(&update.hosts),
        vdi: context.link(&update.vdi),
        size: number(update.installation_size),
    })
}

/// `author:name` = `description, version X`.
fn pack_of_version<'a>((key, value): (&'a str, &'a str)) -> Option<SupplementalPack<'a>> {
    let (author, name) = key.split_once(':')?;
    let (description, version) = value.split_once(", version ")?;
    Some(SupplementalPack {
        name: Cow::Borrowed(name),
        description: Cow::Borrowed(description),
        author: Some(Cow::Borrowed(author)),
        version: Some(Cow::Borrowed(version)),
        ..SupplementalPack::default()
    })
}

pub(super) fn patch<'a>(context: &Context<'a>, patch: &'a records::HostPatch) -> Patch<'a> {
    let pool_patch = context.get(patch.pool_patch.as_ref());
    Patch {
        applied: flag(patch.applied),
        enforce_homogeneity: pool_patch.and_then(|pool_patch| pool_patch.pool_applied),
        name: pool_patch
            .and_then(|pool_patch| text(&pool_patch.name_label))
            .or_else(|| text(&patch.name_label)),
        description: pool_patch
            .and_then(|pool_patch| text(&pool_patch.name_description))
            .or_else(|| text(&patch.name_description)),
        size: number(pool_patch.and_then(|pool_patch| pool_patch.size).or(patch.size)),
        guidance: pool_patch.and_then(|pool_patch| texts(&pool_patch.after_apply_guidance)),
        pool_patch: context.link(&patch.pool_patch),
        time: seconds(patch.timestamp_applied),
        host: context.link(&patch.host),
        borrowed: PhantomData,
    }
}

pub(super) fn pool_patch<'a>(context: &Context<'a>, patch: &'a records::PoolPatch) -> PoolPatch<'a> {
    PoolPatch {
        data_uuid: text(&patch.uuid),
        name: text(&patch.name_label),
        description: text(&patch.name_description),
        guidance: texts(&patch.after_apply_guidance),
        size: number(patch.size),
        host_patches: context.links(&patch.host_patches),
        borrowed: PhantomData,
    }
}
