//! What happened and what is going on: messages and tasks.
//!
//! Field names are XAPI's own. Fields that nothing here reads are left out and skipped while parsing.

use super::*;

records! {
    /// XAPI class `message`: alert (stored in files, not the DB).
    Message {
        uuid: Text,
        name: Text,
        priority: i64,
        obj_uuid: Text,
        timestamp: Timestamp,
        body: Text,
    }
    /// XAPI class `task`: progress/result of a call.
    Task {
        uuid: Text,
        name_label: Text,
        name_description: Text,
        allowed_operations: Texts,
        current_operations: Map,
        created: Timestamp,
        finished: Timestamp,
        status: Text,
        resident_on: Ref<Host>,
        progress: f64,
        result: Text,
        error_info: Texts,
        other_config: Map,
        subtask_of: Ref<Task>,
        subtasks: List<Ref<Task>>,
    }
}
