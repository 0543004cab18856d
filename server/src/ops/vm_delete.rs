//! Deleting a VM: with its snapshots, and with the disks that are only its own.

use super::VmHandle;
use crate::rpc::error::{Failure, forbidden_operation, incorrect_state};
use rustc_hash::FxHashSet;
use serde_json::json;
use xapi::{
    Cache, CallError, OpaqueRef, Ref,
    records::{Vdi, Vm},
};

#[derive(Clone, Copy, Debug)]
pub struct Delete {
    pub with_disks: bool,
    pub force_default_template: bool,
    /// Delete a VM whose deletion the operator has blocked.
    pub force_blocked: bool,
}

/// A VM and everything that goes with it, in the order in which it goes.
struct Plan {
    vms: Vec<(Ref<Vm>, bool)>,
    disks: Vec<Ref<Vdi>>,
}

pub async fn delete(vm: &VmHandle, delete: Delete) -> Result<(), Failure> {
    let is_default = vm.read(|vm| {
        vm.is_default_template == Some(true)
            || super::map_entry(&vm.other_config, "default_template").as_deref() == Some("true")
    });
    if is_default == Some(true) && !delete.force_default_template {
        return Err(incorrect_state(&vm.object.id, "isDefaultTemplate", json!(true), json!(false)).into());
    }
    if let Some(reason) = vm.blocked("destroy") {
        if !delete.force_blocked {
            return Err(forbidden_operation("destroy", &reason).into());
        }
        vm.call("remove_from_blocked_operations", &[json!("destroy")])
            .await?;
    }
    if is_default == Some(true) {
        vm.call("set_is_default_template", &[json!(false)]).await?;
    }
    let plan = vm
        .pool
        .with_records(|cache| plan(cache, &vm.object.reference, delete.with_disks));
    for (reference, running) in &plan.vms {
        if *running {
            vm.pool.run("VM.hard_shutdown", &[json!(reference)]).await?;
        }
        vm.pool
            .call("VM.set_is_a_template", &[json!(reference), json!(false)])
            .await?;
        vm.pool.run("VM.destroy", &[json!(reference)]).await?;
    }
    let mut failed = None;
    for disk in &plan.disks {
        match vm.pool.run("VDI.destroy", &[json!(disk)]).await {
            Ok(_) => {}
            // Gone with its VM or its parent.
            Err(CallError::Fault(fault)) if fault.is("HANDLE_INVALID") => {}
            Err(error) => {
                tracing::warn!(vm = %vm.object.id, disk = %**disk, %error, "a disk of a deleted VM remains");
                failed = Some(error);
            }
        }
    }
    // The other disks are gone all the same; the first trouble is told.
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// Snapshots go first, then the VM, then the disks that nothing else uses.
fn plan(cache: &Cache, main: &OpaqueRef, with_disks: bool) -> Plan {
    let main: Ref<Vm> = Ref::new(main.clone());
    let snapshots = cache.get(&main).and_then(|vm| vm.snapshots.as_ref());
    let order: Vec<Ref<Vm>> = snapshots
        .into_iter()
        .flat_map(|snapshots| snapshots.iter().cloned())
        .chain([main])
        .collect();
    let doomed: FxHashSet<&OpaqueRef> = order.iter().map(|vm| &**vm).collect();
    let mut disks = Vec::new();
    for vm in order.iter().filter_map(|vm| cache.get(vm)) {
        for vbd in vm
            .VBDs
            .iter()
            .flat_map(|vbds| vbds.iter())
            .filter_map(|vbd| cache.get(vbd))
        {
            let Some(disk) = vbd.VDI.clone().filter(|_| vbd.r#type.as_deref() != Some("CD")) else {
                continue;
            };
            let shared = cache.get(&disk).is_none_or(|vdi| {
                let users = vdi
                    .VBDs
                    .iter()
                    .flat_map(|vbds| vbds.iter())
                    .filter_map(|vbd| cache.get(vbd)?.VM.clone());
                users.into_iter().any(|user| !doomed.contains(&*user))
            });
            if with_disks && !shared && !disks.contains(&disk) {
                disks.push(disk);
            }
        }
    }
    let vms = order
        .iter()
        .map(|reference| {
            let state = cache
                .get(reference)
                .and_then(|vm| vm.power_state.as_deref())
                .unwrap_or("Halted");
            (reference.clone(), state != "Halted")
        })
        .collect();
    Plan { vms, disks }
}
