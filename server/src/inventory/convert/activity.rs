//! message and task (contract/objects.md sections 13 and 14).

use super::{Context, fields::*};
use app::model::{
    activity::{Message, Task},
    values::{Nullable, Number},
};
use std::{borrow::Cow, marker::PhantomData};
use xapi::{OpaqueRef, records};

pub(super) fn message(message: &records::Message) -> Message<'_> {
    Message {
        body: text(&message.body),
        name: text(&message.name),
        time: seconds(message.timestamp),
        object: text(&message.obj_uuid),
        borrowed: PhantomData,
    }
}

pub(super) fn task<'a>(context: &Context<'a>, reference: &OpaqueRef, task: &'a records::Task) -> Task<'a> {
    let applies_to = entry(&task.other_config, "applies_to").map(OpaqueRef::parse);
    Task {
        allowed_operations: texts(&task.allowed_operations),
        created: seconds(task.created),
        finished: seconds(task.finished),
        current_operations: map(&task.current_operations),
        name_label: text(&task.name_label),
        name_description: text(&task.name_description),
        progress: Some(Nullable(task.progress.map(Number))),
        result: text(&task.result),
        status: text(&task.status),
        xapi_ref: Some(Cow::Owned(reference.to_string())),
        applies_to: applies_to.and_then(|reference| context.link_to(&reference)),
        host: context.link(&task.resident_on),
        borrowed: PhantomData,
    }
}
