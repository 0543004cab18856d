//! VM, VM-controller, VM-snapshot, VM-template (contract/objects.md section 4) and VTPM.

use super::{Context, fields::*, storage};
use app::model::{
    ObjectType,
    values::{Entries, Nullable, Number, Text, TextMap},
    vm::{TemplateDisk, TemplateInfo, Vm, VmCpus, VmMemory, Vtpm, XenTools},
};
use quick_xml::{Reader, events::Event};
use serde_json::{Value, json};
use std::{borrow::Cow, marker::PhantomData};
use xapi::records::{self, VmGuestMetrics, VmMetrics};

pub(super) fn kind(context: &Context<'_>, vm: &records::Vm) -> ObjectType {
    if vm.is_control_domain == Some(true) {
        ObjectType::VmController
    } else if vm.is_a_snapshot == Some(true) || context.link(&vm.snapshot_of).is_some() {
        ObjectType::VmSnapshot
    } else if vm.is_a_template == Some(true) {
        ObjectType::VmTemplate
    } else {
        ObjectType::Vm
    }
}

/// Default templates exist once per pool with the same uuid everywhere: their id needs the pool's.
pub(super) fn is_default_template(vm: &records::Vm) -> bool {
    vm.is_default_template == Some(true) || is_true(&vm.other_config, "default_template")
}

pub(super) fn vm<'a>(context: &Context<'a>, vm: &'a records::Vm, kind: ObjectType) -> Vm<'a> {
    let metrics = context.get(vm.metrics.as_ref());
    let guest = context.get(vm.guest_metrics.as_ref());
    let running = matches!(vm.power_state.as_deref(), Some("Running" | "Paused"));
    let mode = domain_type(vm);
    let is_hvm = mode == "hvm";
    let platform = |key| entry(&vm.platform, key);
    let platform_says = |key| Some(platform(key) == Some("true"));
    let agent = Agent::read(metrics.filter(|_| running), guest);
    let is_snapshot = kind == ObjectType::VmSnapshot;
    let is_template = kind == ObjectType::VmTemplate;
    let vgpus = context.links(&vm.VGPUs);
    Vm {
        addresses: Some(guest.map(addresses).unwrap_or_default()),
        main_ip_address: guest.and_then(main_address),
        affinity_host: context.link(&vm.affinity),
        attached_pcis: entry(&vm.other_config, "pci").map(attached_pcis),
        auto_poweron: Some(is_true(&vm.other_config, "auto_poweron")),
        bios_strings: map(&vm.bios_strings),
        blocked_operations: map(&vm.blocked_operations),
        boot: map(&vm.HVM_boot_params),
        cpus: Some(cpus(vm, metrics.filter(|_| agent.has_tools() && !is_template))),
        creation: creation(vm),
        current_operations: current_operations(context, vm),
        docker: docker(vm),
        exp_nested_hvm: platform_says("exp-nested-hvm"),
        is_nested_virt_enabled: if at_least(&context.facts.platform_version, 3, 4) {
            platform_says("nested-virt")
        } else {
            platform_says("exp-nested-hvm")
        },
        // Which drivers are vulnerable is a vendor's table that we do not have: undecided is absent.
        vulnerabilities: (kind == ObjectType::Vm && platform("device_id") != Some("0002"))
            .then(|| json!({ "xsa468": false })),
        viridian: platform_says("viridian"),
        high_availability: text(&vm.ha_restart_priority),
        is_firmware_supported: Some(is_firmware_supported(vm)),
        memory: Some(memory(vm, running, metrics, guest)),
        install_time: metrics.and_then(|metrics| seconds(metrics.install_time)),
        start_time: metrics.and_then(|metrics| seconds(metrics.start_time)),
        name_label: text(&vm.name_label),
        name_description: text(&vm.name_description),
        needs_vtpm: platform_says("vtpm"),
        notes: entry(&vm.other_config, "xo:notes").map(Cow::Borrowed),
        other: map(&vm.other_config),
        os_version: Some(Nullable(guest.and_then(|guest| map(&guest.os_version)))),
        parent: context.link(&vm.parent),
        power_state: text(&vm.power_state),
        has_vendor_device: vm.has_vendor_device,
        resource_set: resource_set(vm),
        snapshots: context.links(&vm.snapshots),
        start_delay: number(vm.start_delay),
        secure_boot: platform_says("secureboot"),
        suspend_sr: context.link(&vm.suspend_SR),
        tags: texts(&vm.tags),
        vifs: context.links(&vm.VIFs),
        vtpms: context.links(&vm.VTPMs),
        vbds: context.links(&vm.VBDs),
        vgpus: vgpus.clone(),
        dollar_vgpus: vgpus,
        virtualization_mode: Some(Cow::Borrowed(mode)),
        xen_tools: agent.tools,
        management_agent_detected: agent.management,
        pv_drivers_detected: agent.drivers,
        pv_drivers_version: agent.version.map(Cow::Owned),
        pv_drivers_up_to_date: agent.up_to_date,
        container: container(context, vm),
        nic_type: platform("nic_type").map(Cow::Borrowed),
        xen_store_data: map(&vm.xenstore_data),
        vga: is_hvm.then(|| Cow::Borrowed(platform("vga").unwrap_or("cirrus"))),
        videoram: is_hvm.then(|| platform("videoram").map_or(Nullable(Some(Number(4.0))), number_of)),
        cores_per_socket: platform("cores-per-socket").map(integer_of),
        cpu_cap: entry(&vm.VCPUs_params, "cap").map(integer_of),
        cpu_weight: entry(&vm.VCPUs_params, "weight").map(integer_of),
        cpu_mask: entry(&vm.VCPUs_params, "mask").map(|mask| mask.split(',').map(integer_of).collect()),
        pv_args: if is_hvm { None } else { text(&vm.PV_args) },
        snapshot_time: if is_snapshot {
            seconds(vm.snapshot_time)
        } else {
            None
        },
        snapshot_of: if is_snapshot {
            context.link(&vm.snapshot_of)
        } else {
            None
        },
        suspend_vdi: if is_snapshot {
            context.link(&vm.suspend_VDI)
        } else {
            None
        },
        is_default_template: is_template.then(|| is_default_template(vm)),
        template_info: is_template.then(|| template_info(vm)),
        borrowed: PhantomData,
    }
}

fn domain_type(vm: &records::Vm) -> &str {
    match vm.domain_type.as_deref() {
        Some(known) if known != "unspecified" => known,
        _ if vm.HVM_boot_policy.as_deref() == Some("") => "pv",
        _ => "hvm",
    }
}

/// What the guest's agent and drivers tell.
#[derive(Default)]
struct Agent {
    tools: Option<XenTools>,
    management: Option<bool>,
    drivers: Option<bool>,
    version: Option<String>,
    up_to_date: Option<bool>,
}

impl Agent {
    /// `metrics` of a running VM, else nothing is known.
    fn read(metrics: Option<&VmMetrics>, guest: Option<&VmGuestMetrics>) -> Self {
        if metrics.is_none() {
            return Self::default();
        }
        let Some(guest) = guest else {
            return Self {
                tools: Some(XenTools::Missing(false)),
                ..Self::default()
            };
        };
        let part = |key| entry(&guest.PV_drivers_version, key);
        let number = |key| part(key).and_then(|text| integer_of(text).0);
        let version = number("major").zip(number("minor"));
        let detected = guest.PV_drivers_detected.unwrap_or(version.is_some());
        Self {
            tools: Some(match version {
                Some((major, minor)) => XenTools::Version {
                    major,
                    minor,
                    version: number_of(&format!("{major}.{minor}")).0.unwrap_or_default(),
                },
                None => XenTools::Missing(false),
            }),
            management: Some(
                version.is_some() || entry(&guest.other, "feature-static-ip-setting") == Some("1"),
            ),
            drivers: Some(detected),
            version: version.map(|(major, minor)| {
                format!(
                    "{major}.{minor}.{}-{}",
                    part("micro").unwrap_or_default(),
                    part("build").unwrap_or_default()
                )
            }),
            up_to_date: if detected {
                guest.PV_drivers_up_to_date
            } else {
                None
            },
        }
    }

    fn has_tools(&self) -> bool {
        matches!(self.tools, Some(XenTools::Version { .. }))
    }
}

/// `measured` are the metrics that may be believed.
fn cpus(vm: &records::Vm, measured: Option<&VmMetrics>) -> VmCpus {
    let number = match measured {
        Some(metrics) => metrics.VCPUs_number,
        None => vm.VCPUs_at_startup,
    };
    VmCpus {
        max: Nullable(vm.VCPUs_max),
        number: Nullable(number),
    }
}

fn memory(
    vm: &records::Vm,
    running: bool,
    metrics: Option<&VmMetrics>,
    guest: Option<&VmGuestMetrics>,
) -> VmMemory {
    let told = |key| {
        let text = guest.and_then(|guest| entry(&guest.memory, key))?;
        integer_of(text).0
    };
    let used = told("used").filter(|&used| running && used != 0);
    let size = match used {
        _ if !running => vm.memory_dynamic_max,
        Some(_) => told("total"),
        None => metrics
            .and_then(|metrics| metrics.memory_actual)
            .or(vm.memory_dynamic_max),
    };
    VmMemory {
        dynamic: [Nullable(vm.memory_dynamic_min), Nullable(vm.memory_dynamic_max)],
        statics: [Nullable(vm.memory_static_min), Nullable(vm.memory_static_max)],
        size: Nullable(size),
        usage: used,
    }
}

/// The guest's networks by key in the order of text.
fn networks(guest: &VmGuestMetrics) -> Vec<(&str, &str)> {
    let mut networks: Vec<_> = guest
        .networks
        .iter()
        .flat_map(|networks| networks.iter())
        .collect();
    networks.sort_unstable_by_key(|&(key, _)| key);
    networks
}

enum Family {
    V4,
    V6,
}

/// Device and family of a key such as `0/ip`, `0/ipv4/1`, `1/ipv6/0`.
fn address_key(key: &str) -> Option<(&str, Family)> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = key.split('/');
    let device = parts.next().filter(|device| is_number(device))?;
    match (parts.next()?, parts.next(), parts.next()) {
        ("ip", None, _) => Some((device, Family::V4)),
        ("ipv4", Some(index), None) if is_number(index) => Some((device, Family::V4)),
        ("ipv6", Some(index), None) if is_number(index) => Some((device, Family::V6)),
        _ => None,
    }
}

fn addresses(guest: &VmGuestMetrics) -> TextMap<'_> {
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    for (key, value) in networks(guest) {
        let Some((device, family)) = address_key(key) else {
            continue;
        };
        let prefix = format!(
            "{device}/{}",
            if matches!(family, Family::V4) {
                "ipv4"
            } else {
                "ipv6"
            }
        );
        let position = found
            .iter()
            .position(|(known, _)| *known == prefix)
            .unwrap_or_else(|| {
                found.push((prefix, Vec::new()));
                found.len() - 1
            });
        for address in value.split_whitespace() {
            if !found[position].1.contains(&address) {
                found[position].1.push(address);
            }
        }
    }
    let mut entries: Vec<(Text<'_>, Text<'_>)> = Vec::new();
    for (prefix, addresses) in found {
        for (index, address) in addresses.into_iter().enumerate() {
            entries.push((Cow::Owned(format!("{prefix}/{index}")), Cow::Borrowed(address)));
        }
    }
    entries.sort_by(|(left, _), (right, _)| left.cmp(right));
    Entries(entries)
}

fn main_address(guest: &VmGuestMetrics) -> Option<Text<'_>> {
    let networks = networks(guest);
    let first = |wanted: fn(&Family) -> bool| {
        networks
            .iter()
            .find(|(key, _)| address_key(key).is_some_and(|(_, family)| wanted(&family)))
    };
    let (_, address) = first(|family| matches!(family, Family::V4))
        .or_else(|| first(|family| matches!(family, Family::V6)))?;
    Some(Cow::Borrowed(*address))
}

/// `0/0000:01:00.0,0/...` to addresses; an empty item is `null`.
fn attached_pcis(text: &str) -> Vec<Option<Text<'_>>> {
    text.split(',')
        .map(|item| item.split('/').nth(1).map(Cow::Borrowed))
        .collect()
}

/// What Xen Orchestra noted when it made the VM.
fn creation(vm: &records::Vm) -> Option<Value> {
    let key = format!("xo:{}", vm.uuid.as_deref()?.get(..8)?);
    let mut noted: Value = serde_json::from_str(entry(&vm.other_config, &key)?).ok()?;
    Some(noted.get_mut("creation")?.take())
}

fn resource_set(vm: &records::Vm) -> Option<Text<'_>> {
    serde_json::from_str::<String>(entry(&vm.other_config, "xo:resource_set")?)
        .ok()
        .map(Cow::Owned)
}

/// By id of the task; operations of tasks that are not known are left out.
fn current_operations<'a>(context: &Context<'a>, vm: &'a records::Vm) -> Option<TextMap<'a>> {
    let known = vm
        .current_operations
        .as_ref()?
        .iter()
        .filter_map(|(task, operation)| {
            let task = context.link_to(&xapi::OpaqueRef::parse(task))?;
            Some((task, Cow::Borrowed(operation)))
        });
    Some(Entries(known.collect()))
}

fn is_firmware_supported(vm: &records::Vm) -> bool {
    let firmware = entry(&vm.HVM_boot_params, "firmware").unwrap_or("bios");
    !vm.recommendations
        .as_ref()
        .is_some_and(|forbidden| forbidden.forbids(&format!("supports-{firmware}")))
}

fn at_least(version: &str, major: u32, minor: u32) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
}

/// The host where it runs; else the host of a disk that only one host can reach, else the pool.
fn container<'a>(context: &Context<'a>, vm: &records::Vm) -> Option<Text<'a>> {
    if let Some(host) = vm.resident_on.as_ref().filter(|host| !host.is_null()) {
        return context.link_to(host);
    }
    let vbds = vm.VBDs.iter().flat_map(|vbds| vbds.iter());
    let local = vbds
        .filter_map(|vbd| context.essence(context.essence(Some(vbd))?.VDI.as_ref()))
        .filter_map(|vdi| context.essence(vdi.SR.as_ref()))
        .find_map(|sr| storage::local_host(context, sr));
    Some(local.unwrap_or(Cow::Borrowed(&context.facts.id)))
}

/// Containers as XenServer's container monitor (long gone) describes them.
fn docker(vm: &records::Vm) -> Option<Value> {
    if entry(&vm.other_config, "xscontainer-monitor")? == "False" {
        return Some(json!({ "enabled": false }));
    }
    let part = |key: &str, root: &str| {
        let mut document = xml_value(entry(&vm.other_config, key)?)?;
        Some(document.get_mut(root)?.take())
    };
    let mut docker = json!({ "enabled": true });
    if let Some(info) = part("docker_info", "docker_info") {
        docker["info"] = info;
    }
    let process = part("docker_ps", "docker_ps");
    let containers = match process.as_ref().and_then(|list| list.get("item")) {
        Some(Value::Array(items)) => items.clone(),
        Some(item) => vec![item.clone()],
        None => Vec::new(),
    };
    docker["containers"] = containers.into();
    if let Some(process) = process {
        docker["process"] = process;
    }
    if let Some(version) = part("docker_version", "docker_version") {
        docker["version"] = version;
    }
    Some(docker)
}

/// An XML document as nested objects; an element that occurs again makes a list.
fn xml_value(xml: &str) -> Option<Value> {
    const DEEPEST: usize = 16;
    let mut reader = Reader::from_str(xml);
    let mut open: Vec<(String, serde_json::Map<String, Value>, String)> = vec![Default::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) if open.len() <= DEEPEST => {
                open.push((
                    element.name().as_ref().to_owned(),
                    serde_json::Map::new(),
                    String::new(),
                ));
            }
            Event::Start(_) => return None,
            Event::Text(text) => open.last_mut()?.2.push_str(text.as_ref()),
            Event::End(_) => {
                let (name, members, text) = open.pop()?;
                let value = if members.is_empty() {
                    Value::from(text.trim())
                } else {
                    Value::Object(members)
                };
                match open.last_mut()?.1.entry(name) {
                    serde_json::map::Entry::Vacant(vacant) => {
                        vacant.insert(value);
                    }
                    serde_json::map::Entry::Occupied(mut occupied) => match occupied.get_mut() {
                        Value::Array(items) => items.push(value),
                        single => *single = Value::Array(vec![single.take(), value]),
                    },
                }
            }
            Event::Eof => return (open.len() == 1).then(|| Value::Object(open.remove(0).1)),
            _ => {}
        }
    }
}

fn template_info(vm: &records::Vm) -> TemplateInfo<'_> {
    let other = |key| entry(&vm.other_config, key);
    TemplateInfo {
        arch: other("install-arch").map(Cow::Borrowed),
        disks: other("disks").map(template_disks).unwrap_or_default(),
        install_methods: Some(
            other("install-methods")
                .filter(|methods| !methods.is_empty())
                .map(|methods| methods.split(',').map(Cow::Borrowed).collect())
                .unwrap_or_default(),
        ),
        install_repository: other("install-repository").map(Cow::Borrowed),
    }
}

/// The `<disk .../>` elements of a template's provisioning XML.
fn template_disks(xml: &str) -> Vec<TemplateDisk> {
    let mut reader = Reader::from_str(xml);
    let mut disks = Vec::new();
    while let Ok(event) = reader.read_event() {
        let element = match event {
            Event::Start(element) | Event::Empty(element) if element.name().as_ref() == "disk" => element,
            Event::Eof => break,
            _ => continue,
        };
        let attribute = |name: &str| {
            let attribute = element.try_get_attribute(name).ok().flatten();
            attribute
                .map(|attribute| attribute.value.into_owned())
                .unwrap_or_default()
        };
        disks.push(TemplateDisk {
            bootable: attribute("bootable") == "true",
            device: attribute("device"),
            size: integer_of(&attribute("size")),
            kind: attribute("type"),
            sr: attribute("sr"),
        });
    }
    disks
}

pub(super) fn vtpm<'a>(context: &Context<'a>, vtpm: &'a records::Vtpm) -> Vtpm<'a> {
    Vtpm {
        vm: context.link(&vtpm.VM),
        borrowed: PhantomData,
    }
}
