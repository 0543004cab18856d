//! `vm.set`: one change of a VM's properties, field by field (contract/methods.md, "vm.set fields").
//!
//! Values that are already so are not written: each write is an event for everybody. What is "already so" is
//! asked of XAPI, or a change could be lost that undoes the one before.

use super::{VmHandle, map_entry};
use crate::rpc::error::{Failure, invalid_param};
use app::rpc::{ErrorCode, RpcError};
use serde_json::{Map, Value, json};
use xapi::{CallError, OpaqueRef, records::Vm};

type Edited = Result<(), Failure>;

/// Applies the changes in `params`, or none of them if one cannot be meant. The reference of `suspendSr`, `affinityHost` was resolved by the caller.
pub async fn edit(vm: &VmHandle, params: &Map<String, Value>, links: &Links) -> Edited {
    for (field, value) in params {
        check(field, value)?;
    }
    let vm = &vm.refreshed().await?;
    for (field, value) in params {
        apply(vm, field, value, links).await?;
    }
    Ok(())
}

/// Objects that params name.
#[derive(Debug, Default)]
pub struct Links {
    pub affinity_host: Option<OpaqueRef>,
    pub suspend_sr: Option<OpaqueRef>,
}

/// What can be told without asking the pool.
fn check(field: &str, value: &Value) -> Edited {
    let one_of = |known: &[&str], words: &str| {
        let text = text_of(value).unwrap_or_default();
        if known.contains(&text.as_str()) {
            return Ok(());
        }
        Err(invalid_param(&format!("/{field}"), words).into())
    };
    match field {
        "vga" => one_of(
            &["std", "cirrus"],
            "the different values that the VGA can take are: std,cirrus",
        ),
        "videoram" => one_of(
            &["1", "2", "4", "8", "16"],
            "the different values that the video RAM can take are: 1,2,4,8,16",
        ),
        // Nothing removes it.
        "hvmBootFirmware" => one_of(&["bios", "uefi", ""], "the firmware is either bios or uefi"),
        "virtualizationMode" => one_of(&["pv", "hvm"], "the virtualization mode is either pv or hvm"),
        "CPUs" | "cpusMax" => integer(value, &format!("/{field}")).map(drop),
        "memory" | "memoryMin" | "memoryMax" | "memoryStaticMax" => {
            bytes(value, &format!("/{field}")).map(drop)
        }
        // Self-service comes with resource sets.
        "resourceSet" | "share" => Err(RpcError::new(ErrorCode::NOT_IMPLEMENTED, "not implemented").into()),
        _ => Ok(()),
    }
}

async fn apply(vm: &VmHandle, field: &str, value: &Value, links: &Links) -> Edited {
    match field {
        "id" => Ok(()),
        "name_label" | "name_description" | "PV_args" => set_text(vm, field, value).await,
        "hasVendorDevice" => {
            set(vm, "has_vendor_device", value, |vm| {
                vm.has_vendor_device.map(Value::from)
            })
            .await
        }
        "high_availability" => {
            set(vm, "ha_restart_priority", value, |vm| {
                vm.ha_restart_priority.as_deref().map(Value::from)
            })
            .await
        }
        "startDelay" => set(vm, "start_delay", value, |vm| vm.start_delay.map(Value::from)).await,
        "affinityHost" => set_reference(vm, "affinity", links.affinity_host.as_ref()).await,
        "suspendSr" => set_reference(vm, "suspend_SR", links.suspend_sr.as_ref()).await,
        "auto_poweron" => set_auto_poweron(vm, value.as_bool() == Some(true)).await,
        "notes" => entry(vm, "other_config", "xo:notes", text_of(value)).await,
        "expNestedHvm" => entry(vm, "platform", "exp-nested-hvm", truth(value)).await,
        "nestedVirt" => entry(vm, "platform", "nested-virt", truth(value)).await,
        "viridian" => entry(vm, "platform", "viridian", text_of(value)).await,
        "secureBoot" => entry(vm, "platform", "secureboot", text_of(value)).await,
        "nicType" => entry(vm, "platform", "nic_type", text_of(value)).await,
        "vga" | "videoram" => entry(vm, "platform", field, text_of(value)).await,
        "coresPerSocket" => set_cores_per_socket(vm, text_of(value)).await,
        "cpuCap" => entry(vm, "VCPUs_params", "cap", text_of(value)).await,
        "cpuWeight" => entry(vm, "VCPUs_params", "weight", text_of(value)).await,
        "cpuMask" => {
            let mask: Vec<String> = value
                .as_array()
                .into_iter()
                .flatten()
                .map(Value::to_string)
                .collect();
            entry(
                vm,
                "VCPUs_params",
                "mask",
                Some(mask.join(",")).filter(|mask| !mask.is_empty()),
            )
            .await
        }
        "hvmBootFirmware" => set_firmware(vm, text_of(value)).await,
        "virtualizationMode" => set_mode(vm, value.as_str().unwrap_or_default()).await,
        "uefiMode" => Ok(vm.call("set_uefi_mode", std::slice::from_ref(value)).await?),
        "blockedOperations" => {
            let operations = value.as_object().into_iter().flatten();
            for (operation, value) in operations {
                let reason = text_of(value).filter(|_| *value != Value::Bool(false));
                entry(vm, "blocked_operations", operation, reason).await?;
            }
            Ok(())
        }
        "xenStoreData" => {
            for (key, value) in value.as_object().into_iter().flatten() {
                let key = if key.starts_with("vm-data/") {
                    key.clone()
                } else {
                    format!("vm-data/{key}")
                };
                entry(vm, "xenstore_data", &key, text_of(value)).await?;
            }
            Ok(())
        }
        "creation" => set_creation(vm, value).await,
        "CPUs" => set_cpus(vm, integer(value, "/CPUs")?).await,
        "cpusMax" => set_cpus_max(vm, integer(value, "/cpusMax")?).await,
        "memory" => set_memory(vm, bytes(value, "/memory")?).await,
        "memoryMin" => set_memory_min(vm, bytes(value, "/memoryMin")?).await,
        "memoryMax" => set_memory_max(vm, bytes(value, "/memoryMax")?).await,
        "memoryStaticMax" => Ok(vm
            .call(
                "set_memory_static_max",
                &[json!(bytes(value, "/memoryStaticMax")?)],
            )
            .await?),
        other => Err(invalid_param(&format!("/{other}"), "unknown property").into()),
    }
}

/// The text of a scalar; `null` and the empty text remove.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

/// `true`, or nothing at all.
fn truth(value: &Value) -> Option<String> {
    (*value == Value::Bool(true)).then(|| "true".to_owned())
}

async fn set_text(vm: &VmHandle, field: &str, value: &Value) -> Edited {
    set(vm, field, value, |vm| {
        let text = match field {
            "name_label" => &vm.name_label,
            "name_description" => &vm.name_description,
            _ => &vm.PV_args,
        };
        text.as_deref().map(Value::from)
    })
    .await
}

async fn set(
    vm: &VmHandle,
    field: &str,
    value: &Value,
    present: impl FnOnce(&Vm) -> Option<Value>,
) -> Edited {
    if vm.read(present).flatten().as_ref() != Some(value) {
        vm.call(&format!("set_{field}"), std::slice::from_ref(value))
            .await?;
    }
    Ok(())
}

async fn set_reference(vm: &VmHandle, field: &str, reference: Option<&OpaqueRef>) -> Edited {
    let reference = reference.cloned().unwrap_or_default();
    Ok(vm.call(&format!("set_{field}"), &[json!(reference)]).await?)
}

async fn entry(vm: &VmHandle, field: &str, key: &str, value: Option<String>) -> Edited {
    let present = vm.read(|vm| {
        let map = match field {
            "other_config" => &vm.other_config,
            "platform" => &vm.platform,
            "VCPUs_params" => &vm.VCPUs_params,
            "blocked_operations" => &vm.blocked_operations,
            _ => &vm.xenstore_data,
        };
        map_entry(map, key)
    });
    if present.flatten() != value {
        vm.set_entry(field, key, value.as_deref()).await?;
    }
    Ok(())
}

async fn set_auto_poweron(vm: &VmHandle, on: bool) -> Edited {
    entry(vm, "other_config", "auto_poweron", on.then(|| "true".to_owned())).await?;
    if !on {
        return Ok(());
    }
    // A VM starts by itself only in a pool that allows it.
    let pool = vm.pool.with_records(|cache| {
        let (reference, pool) = cache.all::<xapi::records::Pool>().next()?;
        let allowed = map_entry(&pool.other_config, "auto_poweron").as_deref() == Some("true");
        (!allowed).then(|| reference.clone())
    });
    if let Some(pool) = pool {
        vm.pool
            .call(
                "pool.remove_from_other_config",
                &[json!(pool), json!("auto_poweron")],
            )
            .await?;
        vm.pool
            .call(
                "pool.add_to_other_config",
                &[json!(pool), json!("auto_poweron"), json!("true")],
            )
            .await?;
    }
    Ok(())
}

/// XAPI checks this entry only when the whole platform is written.
async fn set_cores_per_socket(vm: &VmHandle, cores: Option<String>) -> Edited {
    let platform = vm.read(|vm| {
        let entries = vm.platform.iter().flat_map(|platform| platform.iter());
        entries
            .map(|(key, value)| (key.to_owned(), Value::from(value)))
            .collect::<Map<String, Value>>()
    });
    let mut platform = platform.unwrap_or_default();
    match cores {
        Some(cores) => platform.insert("cores-per-socket".to_owned(), cores.into()),
        None => platform.remove("cores-per-socket"),
    };
    Ok(vm.call("set_platform", &[platform.into()]).await?)
}

async fn set_firmware(vm: &VmHandle, firmware: Option<String>) -> Edited {
    vm.set_entry("HVM_boot_params", "firmware", firmware.as_deref())
        .await?;
    let model = if firmware.as_deref() == Some("uefi") {
        "qemu-upstream-uefi"
    } else {
        "qemu-upstream-compat"
    };
    entry(vm, "platform", "device-model", Some(model.to_owned())).await
}

async fn set_mode(vm: &VmHandle, mode: &str) -> Edited {
    match vm.call("set_domain_type", &[json!(mode)]).await {
        Err(CallError::Fault(fault)) if fault.is("MESSAGE_METHOD_UNKNOWN") => {
            let policy = if mode == "hvm" { "BIOS order" } else { "" };
            Ok(vm.call("set_HVM_boot_policy", &[json!(policy)]).await?)
        }
        other => Ok(other?),
    }
}

/// Only the user is taken; the rest of what was noted stays.
async fn set_creation(vm: &VmHandle, value: &Value) -> Edited {
    let Some(user) = value.get("user").and_then(Value::as_str) else {
        return Ok(());
    };
    let noted = vm.read(|vm| {
        let key = format!("xo:{}", vm.uuid.as_deref()?.get(..8)?);
        let text = map_entry(&vm.other_config, &key);
        Some((key, text))
    });
    let Some((key, text)) = noted.flatten() else {
        return Ok(());
    };
    let mut data: Value = text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_else(|| json!({}));
    if !data.is_object() {
        data = json!({});
    }
    data["creation"]["user"] = user.into();
    entry(vm, "other_config", &key, Some(data.to_string())).await
}

fn integer(value: &Value, path: &str) -> Result<i64, Failure> {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    number
        .filter(|&number| number > 0)
        .ok_or_else(|| invalid_param(path, "must be a positive integer").into())
}

/// A number of bytes, or a text such as `2 GiB`.
fn bytes(value: &Value, path: &str) -> Result<i64, Failure> {
    let read = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => read_size(text),
        _ => None,
    };
    let size = read.filter(|size| (0.0..9e15).contains(size));
    size.map(|size| size as i64)
        .ok_or_else(|| invalid_param(path, "must be a size in bytes, or such as 2 GiB").into())
}

fn read_size(text: &str) -> Option<f64> {
    let text = text.trim();
    let split = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim().trim_end_matches(['b', 'B']);
    let (prefix, base) = match unit.strip_suffix('i') {
        Some(prefix) => (prefix, 1024f64),
        None => (unit, 1000f64),
    };
    let power = match prefix.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * base.powi(power))
}

fn is_running(vm: &VmHandle) -> bool {
    matches!(vm.power_state().as_str(), "Running" | "Paused")
}

async fn set_cpus(vm: &VmHandle, cpus: i64) -> Edited {
    let max = vm.read(|vm| vm.VCPUs_max).flatten().unwrap_or(0);
    if is_running(vm) {
        return Ok(vm.call("set_VCPUs_number_live", &[json!(cpus)]).await?);
    }
    if cpus > max {
        vm.call("set_VCPUs_max", &[json!(cpus)]).await?;
    }
    Ok(vm.call("set_VCPUs_at_startup", &[json!(cpus)]).await?)
}

async fn set_cpus_max(vm: &VmHandle, max: i64) -> Edited {
    let startup = vm.read(|vm| vm.VCPUs_at_startup).flatten().unwrap_or(0);
    if startup > max {
        vm.call("set_VCPUs_at_startup", &[json!(max)]).await?;
    }
    Ok(vm.call("set_VCPUs_max", &[json!(max)]).await?)
}

/// Static minimum, dynamic minimum and maximum, static maximum.
fn limits(vm: &VmHandle) -> [i64; 4] {
    let read = vm.read(|vm| {
        [
            vm.memory_static_min,
            vm.memory_dynamic_min,
            vm.memory_dynamic_max,
            vm.memory_static_max,
        ]
        .map(|limit| limit.unwrap_or(0))
    });
    read.unwrap_or_default()
}

async fn set_memory(vm: &VmHandle, memory: i64) -> Edited {
    let [static_min, dynamic_min, dynamic_max, static_max] = limits(vm);
    if dynamic_min != dynamic_max || dynamic_max != static_max {
        return set_memory_max(vm, memory).await;
    }
    // XAPI's order: static minimum, static maximum, dynamic minimum, dynamic maximum.
    let limits = [
        json!(static_min.min(memory)),
        json!(memory),
        json!(memory),
        json!(memory),
    ];
    Ok(vm.call("set_memory_limits", &limits).await?)
}

async fn set_memory_min(vm: &VmHandle, minimum: i64) -> Edited {
    let [_, _, dynamic_max, _] = limits(vm);
    if minimum > dynamic_max {
        set_memory_max(vm, minimum).await?;
    }
    Ok(vm.call("set_memory_dynamic_min", &[json!(minimum)]).await?)
}

async fn set_memory_max(vm: &VmHandle, maximum: i64) -> Edited {
    let [static_min, dynamic_min, _, static_max] = limits(vm);
    let minimum = dynamic_min.min(maximum);
    if is_running(vm) {
        let set = vm
            .call("set_memory_dynamic_range", &[json!(minimum), json!(maximum)])
            .await;
        return match set {
            Err(CallError::Fault(fault)) if fault.is("MEMORY_CONSTRAINT_VIOLATION") => {
                Err(Failure::internal("Cannot change memory on running VM"))
            }
            other => Ok(other?),
        };
    }
    // XAPI's order: static minimum, static maximum, dynamic minimum, dynamic maximum.
    let limits = [
        json!(static_min.min(minimum)),
        json!(static_max.max(maximum)),
        json!(minimum),
        json!(maximum),
    ];
    Ok(vm.call("set_memory_limits", &limits).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, size) in [
            ("1024", 1024.0),
            ("2 GiB", 2147483648.0),
            ("1.5KiB", 1536.0),
            ("1 MB", 1e6),
            ("3T", 3e12),
        ] {
            assert_eq!(read_size(text), Some(size), "{text}");
        }
        assert_eq!(read_size("much"), None);
        assert_eq!(read_size("2 XiB"), None);
    }
}
