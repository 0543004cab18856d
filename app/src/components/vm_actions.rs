//! What can be done to a VM: its words, why it is not possible now, and the call.

use super::{
    confirm::Question,
    power_state::{Power, operation_words},
};
use crate::{
    model::light::{LightVm, VmOperations},
    rpc::methods::{
        Id as IdParam, VmDelete, VmForce, VmPause, VmRestart, VmResume, VmSnapshot, VmSnapshotParams,
        VmStart, VmStartParams, VmStop, VmSuspend, VmUnpause,
    },
    state::{State, class::Row},
    ui::{format::plural, icon::Icon},
};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmAction {
    Start,
    Stop,
    Restart,
    Suspend,
    Resume,
    Pause,
    Unpause,
    Snapshot,
    ForceStop,
    ForceRestart,
    Delete,
}

impl VmAction {
    pub const ALL: [VmAction; 11] = [
        VmAction::Start,
        VmAction::Stop,
        VmAction::Restart,
        VmAction::Suspend,
        VmAction::Resume,
        VmAction::Pause,
        VmAction::Unpause,
        VmAction::Snapshot,
        VmAction::ForceStop,
        VmAction::ForceRestart,
        VmAction::Delete,
    ];

    pub fn label(self) -> &'static str {
        match self {
            VmAction::Start => "Start",
            VmAction::Stop => "Stop",
            VmAction::Restart => "Restart",
            VmAction::Suspend => "Suspend",
            VmAction::Resume => "Resume",
            VmAction::Pause => "Pause",
            VmAction::Unpause => "Unpause",
            VmAction::Snapshot => "Snapshot",
            VmAction::ForceStop => "Force stop",
            VmAction::ForceRestart => "Force restart",
            VmAction::Delete => "Delete",
        }
    }

    pub fn icon(self) -> Icon {
        match self {
            VmAction::Start => Icon::Start,
            VmAction::Stop | VmAction::ForceStop => Icon::Stop,
            VmAction::Restart | VmAction::ForceRestart => Icon::Restart,
            VmAction::Suspend => Icon::Suspend,
            VmAction::Resume | VmAction::Unpause => Icon::Resume,
            VmAction::Pause => Icon::Pause,
            VmAction::Snapshot => Icon::Snapshot,
            VmAction::Delete => Icon::Trash,
        }
    }

    fn operation(self) -> VmOperations {
        match self {
            VmAction::Start => VmOperations::START,
            VmAction::Stop => VmOperations::CLEAN_SHUTDOWN,
            VmAction::Restart => VmOperations::CLEAN_REBOOT,
            VmAction::Suspend => VmOperations::SUSPEND,
            VmAction::Resume => VmOperations::RESUME,
            VmAction::Pause => VmOperations::PAUSE,
            VmAction::Unpause => VmOperations::UNPAUSE,
            VmAction::Snapshot => VmOperations::SNAPSHOT,
            VmAction::ForceStop => VmOperations::HARD_SHUTDOWN,
            VmAction::ForceRestart => VmOperations::HARD_REBOOT,
            VmAction::Delete => VmOperations::DESTROY,
        }
    }

    /// Why this is not possible now; `None` when it is.
    pub fn blocked(self, vm: &LightVm) -> Option<String> {
        let power = Power::of(&vm.power_state);
        // Deleting stops the VM first.
        if self == VmAction::Delete && vm.operation.is_empty() {
            return None;
        }
        if vm.allowed.allows(self.operation()) {
            return None;
        }
        if !vm.operation.is_empty() {
            return Some(format!(
                "Wait: {} is under way",
                operation_words(&vm.operation).to_lowercase()
            ));
        }
        let state = vm.power_state.to_lowercase();
        let wanted = match self {
            VmAction::Start => power == Power::Halted,
            VmAction::Resume => power == Power::Suspended,
            VmAction::Unpause => power == Power::Paused,
            VmAction::Stop | VmAction::Restart | VmAction::Suspend | VmAction::Pause => {
                power == Power::Running
            }
            VmAction::ForceStop => power != Power::Halted,
            VmAction::ForceRestart => matches!(power, Power::Running | Power::Paused),
            VmAction::Snapshot | VmAction::Delete => true,
        };
        if !wanted {
            return Some(format!("The VM is {state}"));
        }
        if matches!(self, VmAction::Stop | VmAction::Restart | VmAction::Suspend) && !vm.drivers {
            return Some("No guest tools detected: the guest can not be asked. Use the force variant".into());
        }
        Some("The pool does not allow this now".into())
    }

    /// Whether the action suits the state at all: others are not offered first.
    pub fn suits(self, vm: &LightVm) -> bool {
        match Power::of(&vm.power_state) {
            Power::Running => !matches!(self, VmAction::Start | VmAction::Resume | VmAction::Unpause),
            Power::Halted => matches!(self, VmAction::Start | VmAction::Snapshot | VmAction::Delete),
            Power::Paused => matches!(
                self,
                VmAction::Unpause
                    | VmAction::Snapshot
                    | VmAction::ForceStop
                    | VmAction::ForceRestart
                    | VmAction::Delete
            ),
            Power::Suspended => {
                matches!(
                    self,
                    VmAction::Resume | VmAction::Snapshot | VmAction::ForceStop | VmAction::Delete
                )
            }
            Power::Unknown => true,
        }
    }

    /// What must be confirmed before it is done to this VM.
    pub fn question(self, state: State, row: &Arc<Row<LightVm>>) -> Option<Question> {
        let name = &row.name_label;
        let (title, consequences, typed) = match self {
            VmAction::ForceStop => (
                format!("Force stop {name}?"),
                vec!["Like pulling the power cord: what the guest has not written yet is lost.".to_owned()],
                None,
            ),
            VmAction::ForceRestart => (
                format!("Force restart {name}?"),
                vec!["Like the reset button: what the guest has not written yet is lost.".to_owned()],
                None,
            ),
            VmAction::Delete => {
                let mut lost = vec![format!("The VM {name} and its settings")];
                if row.disk > 0 {
                    lost.push(format!(
                        "All of its disks: {}",
                        crate::ui::format::bytes(row.disk)
                    ));
                }
                if row.snapshots > 0 {
                    lost.push(plural(row.snapshots as usize, "snapshot"));
                }
                if row.power_state != "Halted" {
                    lost.push("It is stopped first, without asking the guest".to_owned());
                }
                lost.push("This can not be undone.".to_owned());
                (format!("Delete {name}?"), lost, Some(name.clone()))
            }
            _ => return None,
        };
        let row = row.clone();
        Some(Question {
            title,
            consequences,
            verb: self.label().to_owned(),
            name: typed,
            action: Arc::new(move || self.run(state, &row)),
        })
    }

    pub fn run(self, state: State, row: &Row<LightVm>) {
        let id = row.id.to_string();
        let title = format!("{} {}", self.label(), row.name_label);
        let object = Some(row.id.clone());
        let actions = state.actions;
        let plain = IdParam { id: id.clone() };
        match self {
            VmAction::Start => actions.run::<VmStart>(title, object, start(id), |_| {}),
            VmAction::Stop => actions.run::<VmStop>(title, object, force(id, false), |_| {}),
            VmAction::ForceStop => actions.run::<VmStop>(title, object, force(id, true), |_| {}),
            VmAction::Restart => actions.run::<VmRestart>(title, object, force(id, false), |_| {}),
            VmAction::ForceRestart => actions.run::<VmRestart>(title, object, force(id, true), |_| {}),
            VmAction::Suspend => actions.run::<VmSuspend>(title, object, plain, |_| {}),
            VmAction::Resume => actions.run::<VmResume>(title, object, plain, |_| {}),
            VmAction::Pause => actions.run::<VmPause>(title, object, plain, |_| {}),
            VmAction::Unpause => actions.run::<VmUnpause>(title, object, plain, |_| {}),
            VmAction::Snapshot => actions.run::<VmSnapshot>(title, object, snapshot(id), |_| {}),
            VmAction::Delete => actions.run::<VmDelete>(title, object, plain, |_| {}),
        }
    }

    /// Does it to many; those it is not possible for are passed over by the caller.
    pub fn run_all(self, state: State, rows: &[Arc<Row<LightVm>>]) {
        let verb = self.label();
        let actions = state.actions;
        fn jobs<P>(rows: &[Arc<Row<LightVm>>], params: impl Fn(String) -> P) -> Vec<(String, Arc<str>, P)> {
            rows.iter()
                .map(|row| (row.name_label.clone(), row.id.clone(), params(row.id.to_string())))
                .collect()
        }
        let plain = |id| IdParam { id };
        match self {
            VmAction::Start => actions.run_all::<VmStart>(verb, jobs(rows, start)),
            VmAction::Stop => actions.run_all::<VmStop>(verb, jobs(rows, |id| force(id, false))),
            VmAction::ForceStop => actions.run_all::<VmStop>(verb, jobs(rows, |id| force(id, true))),
            VmAction::Restart => actions.run_all::<VmRestart>(verb, jobs(rows, |id| force(id, false))),
            VmAction::ForceRestart => actions.run_all::<VmRestart>(verb, jobs(rows, |id| force(id, true))),
            VmAction::Suspend => actions.run_all::<VmSuspend>(verb, jobs(rows, plain)),
            VmAction::Resume => actions.run_all::<VmResume>(verb, jobs(rows, plain)),
            VmAction::Pause => actions.run_all::<VmPause>(verb, jobs(rows, plain)),
            VmAction::Unpause => actions.run_all::<VmUnpause>(verb, jobs(rows, plain)),
            VmAction::Snapshot => actions.run_all::<VmSnapshot>(verb, jobs(rows, snapshot)),
            VmAction::Delete => actions.run_all::<VmDelete>(verb, jobs(rows, plain)),
        }
    }
}

fn start(id: String) -> VmStartParams {
    VmStartParams {
        id,
        ..VmStartParams::default()
    }
}

fn force(id: String, force: bool) -> VmForce {
    VmForce {
        id,
        force: force.then_some(true),
    }
}

fn snapshot(id: String) -> VmSnapshotParams {
    VmSnapshotParams {
        id,
        ..VmSnapshotParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_why_an_action_is_not_possible() {
        let mut vm = LightVm {
            power_state: "Running".into(),
            ..LightVm::default()
        };
        assert_eq!(VmAction::Start.blocked(&vm).as_deref(), Some("The VM is running"));
        assert!(
            VmAction::Stop
                .blocked(&vm)
                .is_some_and(|why| why.contains("guest tools"))
        );
        vm.allowed = VmOperations::CLEAN_SHUTDOWN;
        assert_eq!(VmAction::Stop.blocked(&vm), None);
        vm.operation = "pool_migrate".into();
        vm.allowed = VmOperations::default();
        assert_eq!(
            VmAction::Stop.blocked(&vm).as_deref(),
            Some("Wait: migrating is under way")
        );
    }
}
