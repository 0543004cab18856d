//! vm.*: what can be done with a VM (contract/methods.md).

use crate::{
    ops::{VmHandle, vm_delete, vm_edit, vm_power, vm_snapshot},
    persist::records::AclRecord,
    rpc::{
        error::{Failure, no_such_object, unauthorized},
        registry::{Call, Method, Outcome, Permission, Resolve, Right},
        schema::{any_of, array, boolean, integer, map_of, members, number, string},
    },
};
use app::model::ObjectType as Type;
use serde_json::Value;
use std::time::Duration;

const OPERATE: &[Resolve] = &[Resolve {
    param: "id",
    types: &[Type::Vm],
    right: Right::Operate,
}];
const ANY_VM: &[Type] = &[Type::Vm, Type::VmSnapshot, Type::VmTemplate];

pub fn methods() -> Vec<Method> {
    let method = |name, description, run: fn(Call) -> crate::rpc::registry::Answer| {
        Method::new(name, Permission::SignedIn, description, run)
    };
    vec![
        method("vm.start", "start a VM", |call| Box::pin(start(call)))
            .params([
                ("id", string()),
                ("host", string().optional()),
                ("force", boolean().optional()),
                ("bypassMacAddressesCheck", boolean().optional()),
            ])
            .resolve(&[
                Resolve {
                    param: "id",
                    types: &[Type::Vm],
                    right: Right::Operate,
                },
                Resolve {
                    param: "host",
                    types: &[Type::Host],
                    right: Right::Operate,
                },
            ]),
        method("vm.stop", "shut a VM down", |call| Box::pin(stop(call)))
            .params([
                ("id", string()),
                ("force", boolean().optional()),
                ("forceShutdownDelay", number().default_to(0)),
                ("bypassBlockedOperation", boolean().optional()),
            ])
            .resolve(OPERATE),
        method("vm.restart", "reboot a VM", |call| Box::pin(restart(call)))
            .params([
                ("id", string()),
                ("force", boolean().optional()),
                ("bypassBlockedOperation", boolean().optional()),
            ])
            .resolve(OPERATE),
        method("vm.suspend", "suspend a VM to disk", |call| {
            Box::pin(suspend(call))
        })
        .params([("id", string())])
        .resolve(OPERATE),
        method("vm.resume", "resume a suspended VM", |call| {
            Box::pin(resume(call))
        })
        .params([("id", string())])
        .resolve(OPERATE),
        method("vm.pause", "pause a VM", |call| Box::pin(pause(call)))
            .params([("id", string())])
            .resolve(OPERATE),
        method("vm.unpause", "let a paused VM go on", |call| {
            Box::pin(unpause(call))
        })
        .params([("id", string())])
        .resolve(OPERATE),
        method("vm.snapshot", "take a snapshot of a VM", |call| {
            Box::pin(snapshot(call))
        })
        .params([
            ("id", string()),
            ("name", string().optional()),
            ("description", string().or_empty().optional()),
            ("saveMemory", boolean().optional()),
        ])
        .resolve(OPERATE),
        method("vm.revert", "take a VM back to a snapshot", |call| {
            Box::pin(revert(call))
        })
        .params([("snapshot", string())])
        .resolve(&[Resolve {
            param: "snapshot",
            types: &[Type::VmSnapshot],
            right: Right::View,
        }]),
        method("vm.delete", "delete a VM, a snapshot or a template", |call| {
            Box::pin(delete(call))
        })
        .params([
            ("id", string()),
            ("deleteDisks", boolean().default_to(true)),
            ("force", boolean().optional()),
            ("forceDeleteDefaultTemplate", boolean().optional()),
            ("forceBlockedOperation", boolean().optional()),
        ])
        .resolve(&[Resolve {
            param: "id",
            types: ANY_VM,
            right: Right::Administrate,
        }]),
        set_method(),
    ]
}

fn set_method() -> Method {
    let size = || any_of(&["integer", "string"]).optional();
    let flag = || boolean().optional();
    let erasable = || any_of(&["string", "null"]).optional();
    let erasable_integer = || any_of(&["integer", "null"]).optional();
    Method::new(
        "vm.set",
        Permission::SignedIn,
        "change the properties of a VM",
        set,
    )
    .params([
        ("id", string()),
        ("auto_poweron", flag()),
        ("name_label", string().optional()),
        ("name_description", string().or_empty().optional()),
        ("notes", erasable().or_empty().longest(2048)),
        (
            "high_availability",
            string().one_of(&["best-effort", "restart", ""]).optional(),
        ),
        ("CPUs", integer().optional()),
        ("cpusMax", size()),
        ("memory", size()),
        ("memoryMin", size()),
        ("memoryMax", size()),
        ("memoryStaticMax", size()),
        ("PV_args", string().or_empty().optional()),
        ("cpuMask", array(integer()).optional()),
        ("cpuWeight", erasable_integer()),
        ("cpuCap", erasable_integer()),
        ("affinityHost", erasable()),
        ("vga", string().optional()),
        ("videoram", number().optional()),
        ("coresPerSocket", any_of(&["string", "number", "null"]).optional()),
        ("hasVendorDevice", flag()),
        ("expNestedHvm", flag()),
        ("nestedVirt", flag()),
        ("resourceSet", erasable()),
        ("share", flag()),
        ("startDelay", integer().optional()),
        ("secureBoot", flag()),
        ("nicType", erasable()),
        ("hvmBootFirmware", erasable()),
        ("virtualizationMode", string().optional()),
        ("viridian", flag()),
        (
            "blockedOperations",
            map_of(any_of(&["boolean", "null", "string"])).optional(),
        ),
        ("creation", members([("user", string().optional())]).optional()),
        ("suspendSr", erasable()),
        ("uefiMode", string().one_of(&["setup", "user"]).optional()),
        (
            "xenStoreData",
            map_of(any_of(&["null", "string"])).secret().optional(),
        ),
    ])
    .resolve(&[
        Resolve {
            param: "id",
            types: ANY_VM,
            right: Right::Administrate,
        },
        Resolve {
            param: "suspendSr",
            types: &[Type::Sr],
            right: Right::Administrate,
        },
        Resolve {
            param: "affinityHost",
            types: &[Type::Host],
            right: Right::View,
        },
    ])
}

fn handle(call: &Call, param: &'static str) -> Result<VmHandle, Failure> {
    let object = call.object(param)?.clone();
    Ok(VmHandle::new(call.app.pool_of(&object)?, object))
}

async fn start(call: Call) -> Result<Outcome, Failure> {
    let start = vm_power::Start {
        host: call.objects.get("host").map(|host| host.reference.clone()),
        force: call.flag("force"),
        ignore_mac_addresses: call.flag("bypassMacAddressesCheck"),
    };
    vm_power::start(&handle(&call, "id")?, start).await?;
    Outcome::done()
}

async fn stop(call: Call) -> Result<Outcome, Failure> {
    let patience_ms = call
        .params
        .get("forceShutdownDelay")
        .and_then(Value::as_f64)
        .unwrap_or(0.0);
    let how = if call.flag("force") {
        vm_power::Shutdown::Hard
    } else if patience_ms > 0.0 {
        // A day is patience enough, and a number that no clock overflows on.
        vm_power::Shutdown::CleanThenHard(Duration::from_millis(patience_ms.min(86_400_000.0) as u64))
    } else {
        vm_power::Shutdown::Clean
    };
    vm_power::stop(&handle(&call, "id")?, how, call.flag("bypassBlockedOperation")).await?;
    Outcome::done()
}

async fn restart(call: Call) -> Result<Outcome, Failure> {
    vm_power::restart(
        &handle(&call, "id")?,
        call.flag("force"),
        call.flag("bypassBlockedOperation"),
    )
    .await?;
    Outcome::done()
}

async fn suspend(call: Call) -> Result<Outcome, Failure> {
    vm_power::suspend(&handle(&call, "id")?).await?;
    Outcome::done()
}

async fn resume(call: Call) -> Result<Outcome, Failure> {
    vm_power::resume(&handle(&call, "id")?).await?;
    Outcome::done()
}

async fn pause(call: Call) -> Result<Outcome, Failure> {
    vm_power::pause(&handle(&call, "id")?).await?;
    Outcome::done()
}

async fn unpause(call: Call) -> Result<Outcome, Failure> {
    vm_power::unpause(&handle(&call, "id")?).await?;
    Outcome::done()
}

async fn snapshot(call: Call) -> Result<Outcome, Failure> {
    let snapshot = vm_snapshot::Snapshot {
        name: call.text("name").map(str::to_owned),
        description: call.text("description").map(str::to_owned),
        with_memory: call.flag("saveMemory"),
    };
    let caller = call.caller()?;
    if !caller.is_admin() {
        // Its maker's right is to be kept with it.
        call.app.store.check()?;
    }
    let id = vm_snapshot::take(&handle(&call, "id")?, snapshot).await?;
    if !caller.is_admin() {
        // Who made it may do with it what they like.
        let entry = AclRecord {
            subject: caller.id.clone(),
            object: id.clone(),
            action: "admin".to_owned(),
        };
        if let Err(error) = call.app.access.add(entry).await {
            // The snapshot is there, whatever else fails: its id must be told.
            tracing::error!(snapshot = %id, user = %caller.id, %error, "the right of its maker was not kept");
        }
    }
    Outcome::of(id)
}

async fn revert(call: Call) -> Result<Outcome, Failure> {
    let snapshot = handle(&call, "snapshot")?;
    let parent = vm_snapshot::parent(&snapshot).ok_or_else(|| no_such_object(&snapshot.object.id, "VM"))?;
    let vm = call.app.inventory.get(&parent);
    if !call
        .app
        .access
        .allows(call.user.as_ref(), vm.as_deref(), Right::Operate)
    {
        return Err(unauthorized(Some("operate"), Some(&parent)).into());
    }
    vm_snapshot::revert(&snapshot).await?;
    Outcome::done()
}

async fn delete(call: Call) -> Result<Outcome, Failure> {
    let delete = vm_delete::Delete {
        with_disks: call.flag("deleteDisks"),
        force_default_template: call.flag("forceDeleteDefaultTemplate"),
        force_blocked: call.flag("forceBlockedOperation"),
    };
    let id = &call.object("id")?.id;
    if call.app.access.speaks_of(id) {
        call.app.store.check()?;
    }
    vm_delete::delete(&handle(&call, "id")?, delete).await?;
    if let Err(error) = call.app.access.forget_object(id).await {
        // The VM is gone, and an entry for what is not there gives nothing.
        tracing::error!(vm = %id, %error, "rights on a deleted VM were not removed");
    }
    Outcome::done()
}

async fn set(call: Call) -> Result<Outcome, Failure> {
    let links = vm_edit::Links {
        affinity_host: call
            .objects
            .get("affinityHost")
            .map(|host| host.reference.clone()),
        suspend_sr: call.objects.get("suspendSr").map(|sr| sr.reference.clone()),
    };
    vm_edit::edit(&handle(&call, "id")?, &call.params, &links).await?;
    Outcome::done()
}
