//! Start, stop, restart and their kin.

use super::VmHandle;
use crate::rpc::error::{Failure, forbidden_operation, invalid_param};
use app::rpc::{ErrorCode, RpcError};
use rustc_hash::FxHashSet;
use serde_json::json;
use std::time::Duration;
use xapi::{CallError, OpaqueRef, Record, records::Vm};

#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Where; XAPI chooses when not given.
    pub host: Option<OpaqueRef>,
    /// Lift the operator's block of this operation for the moment.
    pub force: bool,
    /// Start even if another running VM has the same MAC address.
    pub ignore_mac_addresses: bool,
}

/// Starts a halted VM, unpauses a paused one, resumes a suspended one.
pub async fn start(vm: &VmHandle, start: Start) -> Result<(), Failure> {
    match vm.power_state().as_str() {
        "Paused" => return Ok(vm.run("unpause", &[]).await.map(drop)?),
        "Suspended" => return Ok(vm.run("resume", &[json!(false), json!(true)]).await.map(drop)?),
        _ => {}
    }
    if !start.force && !start.ignore_mac_addresses && has_duplicated_mac_address(vm) {
        return Err(RpcError::new(ErrorCode::OPERATION_FAILED, "operation failed")
            .with_data(json!({ "objectId": &*vm.object.id, "code": "DUPLICATED_MAC_ADDRESS" }))
            .into());
    }
    let operation = if start.host.is_some() { "start_on" } else { "start" };
    let started = unblocked(vm, operation, start.force, async || match &start.host {
        Some(host) => {
            vm.run("start_on", &[json!(host), json!(false), json!(false)])
                .await
        }
        None => vm.run("start", &[json!(false), json!(false)]).await,
    });
    match started.await {
        Err(CallError::Fault(fault)) if fault.is("OPERATION_BLOCKED") => {
            Err(forbidden_operation("Start", fault.param(1)).into())
        }
        other => Ok(other.map(drop)?),
    }
}

/// A VM of the same pool that is not halted has one of this VM's addresses on the same network.
fn has_duplicated_mac_address(vm: &VmHandle) -> bool {
    vm.pool.with_records(|cache| {
        let Some(this) = cache.get(&vm.reference()) else {
            return false;
        };
        let own: FxHashSet<(&str, &OpaqueRef)> = interfaces(cache, this).collect();
        if own.is_empty() {
            return false;
        }
        cache.iter().any(|(_, reference, record)| match record {
            Record::Vm(other) => {
                *reference != vm.object.reference
                    && matches!(other.power_state.as_deref(), Some("Running" | "Paused"))
                    && interfaces(cache, other).any(|interface| own.contains(&interface))
            }
            _ => false,
        })
    })
}

fn interfaces<'a>(cache: &'a xapi::Cache, vm: &'a Vm) -> impl Iterator<Item = (&'a str, &'a OpaqueRef)> {
    let vifs = vm.VIFs.iter().flat_map(|vifs| vifs.iter());
    vifs.filter_map(|vif| {
        let vif = cache.get(vif)?;
        Some((vif.MAC.as_deref()?, &**vif.network.as_ref()?))
    })
}

/// Runs `action` with the operator's block of `operation` lifted, if `bypass` asks for it and there is one.
async fn unblocked<T>(
    vm: &VmHandle,
    operation: &str,
    bypass: bool,
    action: impl AsyncFnOnce() -> Result<T, CallError>,
) -> Result<T, CallError> {
    let reason = match bypass {
        true => vm.refreshed().await?.blocked(operation),
        false => None,
    };
    let Some(reason) = reason else {
        return action().await;
    };
    vm.call("remove_from_blocked_operations", &[json!(operation)])
        .await?;
    let result = action().await;
    // Whatever came of it, the block is the operator's and comes back.
    let restored = vm
        .call("add_to_blocked_operations", &[json!(operation), json!(reason)])
        .await;
    if let Err(error) = restored {
        tracing::error!(vm = %vm.object.id, operation, %error, "a blocked operation could not be blocked again");
    }
    result
}

#[derive(Clone, Copy, Debug)]
pub enum Shutdown {
    /// Ask the guest.
    Clean,
    /// Ask the guest, and pull the plug when it has not obeyed in time.
    CleanThenHard(Duration),
    /// Pull the plug.
    Hard,
}

pub async fn stop(vm: &VmHandle, how: Shutdown, bypass_blocked: bool) -> Result<(), Failure> {
    let hard = async || vm.run("hard_shutdown", &[]).await;
    let clean = async || vm.run("clean_shutdown", &[]).await;
    let stopped = match how {
        Shutdown::Hard => unblocked(vm, "hard_shutdown", bypass_blocked, hard).await,
        Shutdown::Clean => unblocked(vm, "clean_shutdown", bypass_blocked, clean).await,
        Shutdown::CleanThenHard(patience) => {
            // The patience ends within the lifted block: what is lifted must be put back.
            let asked = async || match tokio::time::timeout(patience, clean()).await {
                Ok(stopped) => stopped.map(Some),
                Err(_) => Ok(None),
            };
            match unblocked(vm, "clean_shutdown", bypass_blocked, asked).await {
                Ok(Some(stopped)) => Ok(stopped),
                Ok(None) => unblocked(vm, "hard_shutdown", bypass_blocked, hard).await,
                Err(error) => Err(error),
            }
        }
    };
    match stopped {
        Err(CallError::Fault(fault))
            if fault.is("VM_MISSING_PV_DRIVERS") || fault.is("VM_LACKS_FEATURE_SHUTDOWN") =>
        {
            Err(invalid_param("/force", "clean shutdown requires PV drivers").into())
        }
        other => Ok(other.map(drop)?),
    }
}

pub async fn restart(vm: &VmHandle, hard: bool, bypass_blocked: bool) -> Result<(), Failure> {
    let operation = if hard { "hard_reboot" } else { "clean_reboot" };
    let bypass = hard || bypass_blocked;
    unblocked(vm, operation, bypass, async || vm.run(operation, &[]).await).await?;
    Ok(())
}

pub async fn suspend(vm: &VmHandle) -> Result<(), Failure> {
    Ok(vm.run("suspend", &[]).await.map(drop)?)
}

pub async fn resume(vm: &VmHandle) -> Result<(), Failure> {
    Ok(vm.run("resume", &[json!(false), json!(true)]).await.map(drop)?)
}

pub async fn pause(vm: &VmHandle) -> Result<(), Failure> {
    Ok(vm.run("pause", &[]).await.map(drop)?)
}

pub async fn unpause(vm: &VmHandle) -> Result<(), Failure> {
    Ok(vm.run("unpause", &[]).await.map(drop)?)
}
