"""A life cycle with the official Python binding (PyPI XenAPI, XML-RPC): life_cycle.py URL"""

import sys

import XenAPI


def wait(session, task):
    """Follows a task by its events, as the binding's documentation does, and gives its result."""
    token, status = "", "pending"
    while status == "pending":
        batch = session.xenapi.event_from(["task/" + task], token, 10.0)
        token = batch["token"]
        for event in batch["events"]:
            if event["ref"] == task and "snapshot" in event:
                status = event["snapshot"]["status"]
    record = session.xenapi.task.get_record(task)
    session.xenapi.task.destroy(task)
    assert record["status"] == "success", record["error_info"]
    return record["result"]


def refused(code, call, *params):
    try:
        call(*params)
    except XenAPI.Failure as failure:
        assert failure.details[0] == code, failure.details
        return failure.details
    raise AssertionError(f"{code} was expected")


def main(url):
    refused("SESSION_AUTHENTICATION_FAILED", XenAPI.Session(url).login_with_password, "root", "wrong")
    session = XenAPI.Session(url)
    session.login_with_password("root", "password", "2.3", "life cycle")
    xapi = session.xenapi
    pool = xapi.pool.get_all()[0]
    host = xapi.pool.get_master(pool)
    assert xapi.host.get_record(host)["enabled"] is True
    token = xapi.event_from(["vm"], "", 5.0)["token"]

    template = xapi.VM.get_by_name_label("Other install media")[0]
    vm = xapi.VM.clone(template, "python")
    xapi.VM.set_is_a_template(vm, False)
    xapi.VM.set_other_config(vm, {"made-by": "life_cycle.py"})
    refused("MAP_DUPLICATE_KEY", xapi.VM.add_to_other_config, vm, "made-by", "twice")
    assert xapi.VM.get_other_config(vm)["made-by"] == "life_cycle.py"
    # Numbers are text on this wire.
    assert int(xapi.VM.get_VCPUs_max(vm)) >= 1

    storage = xapi.pool.get_default_SR(pool)
    disk = xapi.VDI.create(
        {
            "name_label": "disk",
            "name_description": "",
            "SR": storage,
            "virtual_size": str(1 << 30),
            "type": "user",
            "sharable": False,
            "read_only": False,
            "other_config": {},
        }
    )
    xapi.VBD.create(
        {
            "VM": vm,
            "VDI": disk,
            "userdevice": "0",
            "bootable": True,
            "mode": "RW",
            "type": "Disk",
            "empty": False,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
    )
    assert len(xapi.VDI.get_VBDs(disk)) == 1

    xapi.VM.start(vm, False, False)
    assert xapi.VM.get_power_state(vm) == "Running"
    details = refused("VM_BAD_POWER_STATE", xapi.VM.start, vm, False, False)
    assert details[1:] == [vm, "halted", "running"], details
    snapshot = wait(session, xapi.Async.VM.snapshot(vm, "before", []))
    assert snapshot.startswith("<value>OpaqueRef:"), snapshot
    snapshot = snapshot[len("<value>") : -len("</value>")]
    wait(session, xapi.Async.VM.hard_reboot(vm))
    wait(session, xapi.Async.VM.hard_shutdown(vm))
    xapi.VM.revert(snapshot)
    xapi.VM.destroy(snapshot)
    xapi.VM.destroy(vm)
    refused("HANDLE_INVALID", xapi.VM.get_record, vm)
    batch = xapi.event_from(["vm"], token, 5.0)
    # Made and destroyed since the token: as if it had never been.
    assert vm not in [event["ref"] for event in batch["events"]]
    session.logout()


main(sys.argv[1])
