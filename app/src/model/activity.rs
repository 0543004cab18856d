//! message and task (contract/objects.md sections 13 and 14).

use super::{object::object, values::*};

object! {
    Message {
        body = "body": Text<'a>,
        name = "name": Text<'a>,
        time = "time": Seconds,
        /// The uuid as XAPI has it, whether or not that object is known.
        object = "$object": Text<'a>,
    }
}

object! {
    /// A XAPI task.
    Task {
        allowed_operations = "allowedOperations": Vec<Text<'a>>,
        created = "created": Seconds,
        finished = "finished": Seconds,
        current_operations = "current_operations": TextMap<'a>,
        name_label = "name_label": Text<'a>,
        name_description = "name_description": Text<'a>,
        /// 0 to 1.
        progress = "progress": Nullable<Number>,
        result = "result": Text<'a>,
        status = "status": Text<'a>,
        xapi_ref = "xapiRef": Text<'a>,
        applies_to = "applies_to": Link<'a>,
        host = "$host": Link<'a>,
    }
}
