//! Settings of a VM that have rules: memory, virtual CPUs, and small questions about a VM.

use super::{Outcome, lifecycle, void};
use crate::db::Db;
use crate::fault::Fault;
use crate::rpc::Call;
use crate::value::Value;

pub const MESSAGES: &[&str] = &[
    "set_memory_limits",
    "set_memory_static_range",
    "set_memory_dynamic_range",
    "set_memory_static_max",
    "set_memory_static_min",
    "set_memory_dynamic_max",
    "set_memory_dynamic_min",
    "set_memory",
    "set_memory_target_live",
    "wait_memory_target_live",
    "set_VCPUs_max",
    "set_VCPUs_at_startup",
    "set_VCPUs_number_live",
    "add_to_VCPUs_params_live",
    "compute_memory_overhead",
    "maximise_memory",
    "get_allowed_VBD_devices",
    "get_allowed_VIF_devices",
    "get_cooperative",
    "get_boot_record",
    "set_NVRAM_EFI_variables",
    "copy_bios_strings",
    "send_sysrq",
    "send_trigger",
    "get_secureboot_readiness",
    "set_uefi_mode",
    "set_HVM_boot_policy",
    "set_domain_type",
    "set_NVRAM",
];

const LIMITS: [&str; 4] = [
    "memory_static_min",
    "memory_dynamic_min",
    "memory_dynamic_max",
    "memory_static_max",
];

pub fn run(call: &Call, name: &str, p: &[Value]) -> Outcome {
    if !MESSAGES.contains(&name) {
        return Ok(None);
    }
    let vm = p[0].str();
    call.write(|db| {
        db.check("VM", vm)?;
        let limits = |operation: &str, static_min, dynamic_min, dynamic_max, static_max| {
            (
                operation.to_owned(),
                [static_min, dynamic_min, dynamic_max, static_max],
            )
        };
        let given = |at: usize| p.get(at).map(Value::int);
        let (operation, wanted) = match name {
            "set_memory_limits" => limits("changing_memory_limits", given(1), given(3), given(4), given(2)),
            "set_memory_static_range" => limits("changing_static_range", given(1), None, None, given(2)),
            "set_memory_dynamic_range" => limits("changing_dynamic_range", None, given(1), given(2), None),
            "set_memory_static_max" => limits("changing_static_range", None, None, None, given(1)),
            "set_memory_static_min" => limits("changing_static_range", given(1), None, None, None),
            "set_memory_dynamic_max" => limits("changing_dynamic_range", None, None, given(1), None),
            "set_memory_dynamic_min" => limits("changing_dynamic_range", None, given(1), None, None),
            "set_memory" => limits("changing_memory_limits", None, given(1), given(1), given(1)),
            _ => return other(db, vm, name, p),
        };
        lifecycle::check(db, vm, &operation)?;
        set_memory(db, vm, wanted)?;
        void()
    })
}

fn set_memory(db: &mut Db, vm: &str, wanted: [Option<i64>; 4]) -> Result<(), Fault> {
    let mut range = [0; 4];
    for (at, value) in wanted.iter().enumerate() {
        range[at] = value.unwrap_or_else(|| db.get("VM", vm, LIMITS[at]).int());
    }
    if range[0] < 0 || !range.is_sorted() {
        let text = format!("{LIMITS:?} must not decrease: {range:?}");
        return Err(Fault::new("MEMORY_CONSTRAINT_VIOLATION", [text]));
    }
    for (field, value) in LIMITS.iter().zip(range) {
        db.set("VM", vm, field, value);
    }
    if db.get("VM", vm, "power_state").str() == "Running" {
        let metrics = db.text("VM", vm, "metrics");
        db.set("VM", vm, "memory_target", range[2]);
        db.set("VM_metrics", &metrics, "memory_actual", range[2]);
    }
    Ok(())
}

fn other(db: &mut Db, vm: &str, name: &str, p: &[Value]) -> Outcome {
    let cpus = |field: &str| db.get("VM", vm, field).int();
    let (max, startup) = (cpus("VCPUs_max"), cpus("VCPUs_at_startup"));
    match name {
        "set_VCPUs_max" => {
            lifecycle::check(db, vm, "changing_VCPUs")?;
            check_cpus("VCPUs_max", p[1].int(), startup <= p[1].int())?;
            db.set("VM", vm, "VCPUs_max", p[1].clone());
        }
        "set_VCPUs_at_startup" => {
            lifecycle::check(db, vm, "changing_VCPUs")?;
            check_cpus("VCPUs_at_startup", p[1].int(), p[1].int() <= max)?;
            db.set("VM", vm, "VCPUs_at_startup", p[1].clone());
        }
        "set_VCPUs_number_live" => {
            lifecycle::check(db, vm, "changing_VCPUs_live")?;
            check_cpus("VCPUs_number_live", p[1].int(), p[1].int() <= max)?;
            let metrics = db.text("VM", vm, "metrics");
            db.set("VM", vm, "VCPUs_at_startup", p[1].clone());
            db.set("VM_metrics", &metrics, "VCPUs_number", p[1].clone());
        }
        "add_to_VCPUs_params_live" => {
            db.set_entry("VM", vm, "VCPUs_params", p[1].str(), Some(p[2].clone()));
        }
        "set_memory_target_live" => {
            db.set("VM", vm, "memory_target", p[1].clone());
        }
        "set_HVM_boot_policy" => {
            lifecycle::check(db, vm, "changing_VCPUs")?;
            let domain = if p[1].str().is_empty() { "pv" } else { "hvm" };
            db.update(
                "VM",
                vm,
                [
                    ("HVM_boot_policy", p[1].clone()),
                    ("domain_type", Value::from(domain)),
                ],
            );
            lifecycle::refresh(db, "VM", vm);
        }
        "set_domain_type" => {
            lifecycle::check(db, vm, "changing_VCPUs")?;
            db.set("VM", vm, "domain_type", p[1].clone());
        }
        "set_NVRAM" => {
            lifecycle::check(db, vm, "changing_NVRAM")?;
            db.set("VM", vm, "NVRAM", p[1].clone());
        }
        "set_NVRAM_EFI_variables" => db.set_entry("VM", vm, "NVRAM", "EFI-variables", Some(p[1].clone())),
        "copy_bios_strings" => {
            let strings = db.get("host", p[1].str(), "bios_strings").clone();
            db.check("host", p[1].str())?;
            db.set("VM", vm, "bios_strings", strings);
        }
        "set_uefi_mode" | "wait_memory_target_live" | "send_sysrq" | "send_trigger" => {}
        "compute_memory_overhead" => return Ok(Some(db.get("VM", vm, "memory_overhead").clone())),
        "maximise_memory" => return Ok(Some(p[1].clone())),
        "get_cooperative" => return Ok(Some(Value::Bool(true))),
        "get_secureboot_readiness" => return Ok(Some(Value::from("not_supported"))),
        "get_boot_record" => return Ok(Some(plain_record(db, vm))),
        "get_allowed_VBD_devices" => return Ok(Some(free_devices(db, vm, "VBDs", "VBD", "userdevice", 16))),
        "get_allowed_VIF_devices" => return Ok(Some(free_devices(db, vm, "VIFs", "VIF", "device", 7))),
        _ => return Ok(Some(Value::Set(vec![]))),
    }
    void()
}

fn check_cpus(field: &str, count: i64, fits: bool) -> Result<(), Fault> {
    if count > 0 && fits {
        Ok(())
    } else {
        Err(Fault::invalid_value(field, count.to_string()))
    }
}

fn free_devices(db: &Db, vm: &str, list: &str, class: &str, field: &str, count: usize) -> Value {
    let taken: Vec<String> = db
        .members("VM", vm, list)
        .iter()
        .map(|device| db.text(class, device, field))
        .collect();
    Value::set_of(
        (0..count)
            .map(|at| at.to_string())
            .filter(|at| !taken.contains(at)),
    )
}

fn plain_record(db: &Db, vm: &str) -> Value {
    let class = crate::db::class("VM");
    let visible = class.fields.iter().filter(|field| !field.internal);
    Value::map_of(visible.map(|field| (field.name.as_str(), db.get("VM", vm, &field.name).clone())))
}
