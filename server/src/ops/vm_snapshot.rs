//! Snapshots: take, revert to.

use super::VmHandle;
use crate::rpc::error::Failure;
use serde_json::{Value, json};
use xapi::{
    CallError, Ref,
    records::{Vm, XapiRecord},
};

/// Disks whose name holds this are left out of snapshots.
const LEFT_OUT: &str = "[NOSNAP]";

#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub name: Option<String>,
    pub description: Option<String>,
    /// With the memory of the running guest.
    pub with_memory: bool,
}

/// Takes a snapshot; answers its id (uuid).
pub async fn take(vm: &VmHandle, snapshot: Snapshot) -> Result<String, Failure> {
    let name = match snapshot.name {
        Some(name) => name,
        None => {
            let vm_name = vm
                .read(|vm| vm.name_label.as_deref().unwrap_or_default().to_owned())
                .unwrap_or_default();
            format!(
                "{vm_name}_{}",
                jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
            )
        }
    };
    let result = if snapshot.with_memory {
        vm.run("checkpoint", &[json!(name)]).await?
    } else {
        let left_out = disks_left_out(vm);
        if left_out.is_empty() {
            vm.run("snapshot", &[json!(name)]).await?
        } else {
            // Only hosts of 2022 and later know the third param; it is sent when it is needed.
            vm.run("snapshot", &[json!(name), json!(left_out)]).await?
        }
    };
    let reference = result
        .as_str()
        .ok_or_else(|| Failure::internal("XAPI named no snapshot"))?
        .to_owned();
    let call = |method: &'static str, params: Vec<Value>| {
        let pool = vm.pool.clone();
        async move { pool.call(method, &params).await }
    };
    if let Some(description) = snapshot.description {
        call(
            "VM.set_name_description",
            vec![json!(reference), json!(description)],
        )
        .await?;
    }
    // Until XenServer 7 a snapshot was published as a template, and today's product undoes that.
    call("VM.set_is_a_template", vec![json!(reference), json!(false)]).await?;
    let uuid = call("VM.get_uuid", vec![json!(reference)]).await?;
    Ok(uuid.parse::<String>()?)
}

/// References of the VM's disks that are not to be in snapshots.
fn disks_left_out(vm: &VmHandle) -> Vec<String> {
    vm.pool.with_records(|cache| {
        let Some(this) = cache.get(&vm.reference()) else {
            return Vec::new();
        };
        let vbds = this.VBDs.iter().flat_map(|vbds| vbds.iter());
        let disks = vbds.filter_map(|vbd| cache.get(vbd)?.VDI.clone());
        let marked = disks.filter(|disk| {
            cache.get(disk).is_some_and(|vdi| {
                vdi.name_label
                    .as_deref()
                    .is_some_and(|name| name.contains(LEFT_OUT))
            })
        });
        marked.map(|disk| disk.to_string()).collect()
    })
}

/// The VM of which `snapshot` is one.
pub fn parent(snapshot: &VmHandle) -> Option<String> {
    snapshot.pool.with_records(|cache| {
        let parent: Ref<Vm> = cache.get(&snapshot.reference())?.snapshot_of.clone()?;
        cache.get(&parent)?.uuid().map(str::to_owned)
    })
}

/// Takes the VM back to a snapshot; it runs again if it did when the snapshot was taken.
pub async fn revert(snapshot: &VmHandle) -> Result<(), Failure> {
    let parent = snapshot.read(|snapshot| snapshot.snapshot_of.clone()).flatten();
    let parent = parent.filter(|parent| !parent.is_null());
    let was_running = was_running(snapshot).await;
    snapshot.run("revert", &[]).await?;
    if let Some(parent) = parent
        && was_running
    {
        let params = [json!(parent), json!(false), json!(false)];
        match snapshot.pool.run("VM.start", &params).await {
            // A snapshot with memory is resumed by XAPI's revert itself on some releases.
            Err(CallError::Fault(fault)) if fault.is("VM_BAD_POWER_STATE") => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// What the snapshot's own notes say; they are read anew, since no list shows them.
async fn was_running(snapshot: &VmHandle) -> bool {
    let answer = snapshot
        .pool
        .call("VM.get_snapshot_info", &[snapshot.param()])
        .await;
    let info: Result<Value, CallError> = answer.and_then(|answer| answer.parse());
    info.is_ok_and(|info| info["power-state-at-snapshot"] == "Running")
}
