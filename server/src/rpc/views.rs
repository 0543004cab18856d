//! The typed views of a client (design decision 3): light rows for lists, full objects for what is open.

use super::{
    feed::{Audience, Feed, quoted, view_frame, view_opening},
    frame::Frame,
};
use crate::{
    access::Eye,
    inventory::{Object, Store},
    pools::Pools,
};
use app::{model::ObjectType, rpc::view::ViewSpec};
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;
use std::{cell::RefCell, sync::Arc};

/// Views of one client: a page needs two or three.
pub const MAX_VIEWS: usize = 16;
/// Bytes of frames after which no other view is looked at before they are written.
const ROUND: usize = 256 << 10;
/// Objects that one object's page shows with it.
const MAX_RELATED: usize = 2_000;

tokio::task_local! {
    /// The views that the message at hand has opened.
    static OPENED: RefCell<Vec<u32>>;
}

/// Runs `answering`; the views that it opened are held until they are released.
pub async fn noting_opened(answering: impl Future<Output = ()>) -> Vec<u32> {
    let answered = async {
        answering.await;
        OPENED.with(RefCell::take)
    };
    OPENED.scope(RefCell::default(), answered).await
}

/// The open views of one client.
#[derive(Default)]
pub struct Views {
    views: Vec<View>,
    last: u32,
}

struct View {
    number: u32,
    /// The answer to its subscription is not on its way yet: nobody could tell what rows are of.
    held: bool,
    compress: bool,
    kind: Kind,
    /// Revision of the links that were last told.
    links: Option<u64>,
}

enum Kind {
    Lists {
        cursor: u64,
        reset: bool,
        /// Revision at which the client began: what went before it was never told of.
        began: u64,
    },
    Object {
        id: String,
        told: FxHashMap<Arc<str>, u64>,
        opened: bool,
    },
}

/// A client has as many views as it may have.
#[derive(Debug)]
pub struct TooManyViews;

impl Views {
    pub fn clear(&mut self) {
        self.views.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Opens a view at revision `now`; `since` is one from which the client can be brought up to date.
    pub fn open(
        &mut self,
        spec: ViewSpec,
        since: Option<u64>,
        now: u64,
        compress: bool,
    ) -> Result<u32, TooManyViews> {
        if self.views.len() >= MAX_VIEWS {
            return Err(TooManyViews);
        }
        self.last += 1;
        let kind = match spec {
            ViewSpec::Lists => Kind::Lists {
                cursor: since.unwrap_or(0),
                reset: since.is_none(),
                began: since.unwrap_or(now),
            },
            ViewSpec::Object { id } => Kind::Object {
                id,
                told: FxHashMap::default(),
                opened: false,
            },
        };
        // Without a scope nothing would release it.
        let held = OPENED
            .try_with(|opened| opened.borrow_mut().push(self.last))
            .is_ok();
        self.views.push(View {
            number: self.last,
            held,
            compress,
            kind,
            links: None,
        });
        Ok(self.last)
    }

    /// Lets the rows of views flow whose subscription was answered.
    pub fn release(&mut self, numbers: &[u32]) {
        for view in self
            .views
            .iter_mut()
            .filter(|view| numbers.contains(&view.number))
        {
            view.held = false;
        }
    }

    pub fn close(&mut self, number: u32) -> bool {
        let before = self.views.len();
        self.views.retain(|view| view.number != number);
        self.views.len() != before
    }

    /// The next frames, and whether more can be had at once: what they take is bounded, and views take turns.
    pub fn next(
        &mut self,
        feed: &Feed,
        eye: &Eye,
        inventory: &Store,
        pools: &Pools,
        upto: u64,
    ) -> (Vec<Frame>, bool) {
        let (mut frames, mut more) = (Vec::<Frame>::new(), false);
        let mut looked_at = 0;
        for view in &mut self.views {
            if frames.iter().map(Frame::memory).sum::<usize>() >= ROUND {
                more = true;
                break;
            }
            looked_at += 1;
            if view.held {
                continue;
            }
            let compress = view.compress;
            match &mut view.kind {
                Kind::Lists { cursor, reset, began } => {
                    if *cursor < upto || *reset {
                        let audience = Audience::Lists {
                            view: view.number,
                            compress,
                            reset: *reset,
                        };
                        let chunk = feed.chunk_for(eye, audience, *cursor, upto);
                        // Looked at after the chunk was made: what it left out may have been forgotten meanwhile.
                        if eye.has_forgotten((*cursor).max(*began)) {
                            (*cursor, *reset, *began) = (0, true, inventory.revision());
                            more = true;
                            continue;
                        }
                        frames.extend(chunk.frames.iter().cloned());
                        *cursor = chunk.to;
                        *reset = false;
                        more |= chunk.more;
                    }
                    let revision = pools.revision();
                    // Servers are the administrators' matter.
                    if view.links != Some(revision) && eye.sees_everything() {
                        // Plain data always serialises.
                        let links = serde_json::to_string(&pools.rows()).unwrap_or_default();
                        let opening = view_opening(view.number, *cursor, false, *cursor < upto);
                        frames.push(view_frame(format!("{opening},\"links\":{links}}}}}"), compress));
                        view.links = Some(revision);
                    }
                }
                Kind::Object { id, told, opened } => {
                    let opening = view_opening(view.number, upto, !*opened, false);
                    let first = !std::mem::replace(opened, true);
                    let text = object_text(opening, page(id, inventory, eye), told, first);
                    frames.extend(text.map(|text| view_frame(text, compress)));
                }
            }
        }
        self.views.rotate_left(looked_at);
        (frames, more)
    }
}

/// What changed of an object's page since it was last told.
fn object_text(
    opening: String,
    present: Vec<Arc<Object>>,
    told: &mut FxHashMap<Arc<str>, u64>,
    first: bool,
) -> Option<String> {
    let changed: Vec<&Arc<Object>> = present
        .iter()
        .filter(|object| told.get(&object.id) != Some(&object.full_revision))
        .collect();
    let ids: FxHashSet<&str> = present.iter().map(|object| &*object.id).collect();
    let gone: Vec<String> = told
        .keys()
        .filter(|id| !ids.contains(&***id))
        .map(|id| quoted(id))
        .collect();
    if changed.is_empty() && gone.is_empty() && !first {
        return None;
    }
    let mut text = opening;
    for (index, object) in changed.iter().enumerate() {
        text.push_str(if index == 0 { ",\"full\":[" } else { "," });
        text.push_str(&String::from_utf8_lossy(&object.json));
    }
    if !changed.is_empty() {
        text.push(']');
    }
    if !gone.is_empty() && !first {
        text.push_str(&format!(",\"gone\":[{}]", gone.join(",")));
    }
    text.push_str("}}");
    *told = present
        .iter()
        .map(|object| (object.id.clone(), object.full_revision))
        .collect();
    Some(text)
}

/// Properties that lead from an object to what its page shows.
fn properties(kind: ObjectType) -> &'static [&'static str] {
    match kind {
        ObjectType::Vm | ObjectType::VmSnapshot | ObjectType::VmTemplate | ObjectType::VmController => {
            &["$VBDs", "VIFs", "snapshots", "VTPMs", "VGPUs"]
        }
        ObjectType::Vbd => &["VDI"],
        ObjectType::Vif => &["$network"],
        ObjectType::Vdi => &["$SR"],
        ObjectType::Host => &["PIFs", "$PBDs", "patches", "controlDomain", "PCIs", "PGPUs"],
        ObjectType::Pif => &["$network"],
        ObjectType::Pbd => &["SR"],
        ObjectType::Pool => &["master", "default_SR"],
        ObjectType::Sr => &["$PBDs"],
        ObjectType::Network => &["PIFs", "VIFs"],
        _ => &[],
    }
}

/// The object and what its page shows with it: two steps along links, and the messages about it.
fn page(id: &str, inventory: &Store, eye: &Eye) -> Vec<Arc<Object>> {
    let Some(main) = inventory.get(id).filter(|object| eye.sees(object)) else {
        return Vec::new();
    };
    let mut seen: FxHashSet<Arc<str>> = FxHashSet::from_iter([main.id.clone()]);
    let mut page = vec![main.clone()];
    let mut ring = vec![main.clone()];
    for depth in 0..3 {
        let mut next = Vec::new();
        for object in &ring {
            // A template's or a network's neighbours are lists of their own.
            if depth > 0
                && !matches!(
                    object.kind,
                    ObjectType::Vbd | ObjectType::Vif | ObjectType::Vdi | ObjectType::Pif | ObjectType::Pbd
                )
            {
                continue;
            }
            for found in linked(object, inventory) {
                if page.len() < MAX_RELATED && seen.insert(found.id.clone()) && eye.sees(&found) {
                    page.push(found.clone());
                    next.push(found);
                }
            }
        }
        ring = next;
    }
    let uuid = main.json_text("uuid").unwrap_or_else(|| main.id.to_string());
    let messages = inventory.messages(&uuid).into_iter();
    page.extend(messages.filter(|message| eye.sees(message)).take(MAX_RELATED));
    page
}

fn linked(object: &Object, inventory: &Store) -> Vec<Arc<Object>> {
    let names = properties(object.kind);
    if names.is_empty() {
        return Vec::new();
    }
    let Ok(Value::Object(json)) = serde_json::from_slice::<Value>(&object.json) else {
        return Vec::new();
    };
    let ids = names
        .iter()
        .filter_map(|name| json.get(*name))
        .flat_map(|value| match value {
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
            Value::String(id) => vec![id.as_str()],
            _ => Vec::new(),
        });
    ids.filter_map(|id| inventory.get(id)).collect()
}
