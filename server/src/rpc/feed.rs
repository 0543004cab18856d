//! What changed, as frames that all clients with the same view share.
//!
//! A client has no queue but a revision. When it can take more, it asks for the chunk after its revision;
//! clients that keep pace ask for the same chunk, which is built once. One that fell behind gets what is
//! newest, merged. A pacer decides when there is something to ask for: at once on an idle server, and at
//! intervals that grow with the bytes to be sent on a busy one.

use super::frame::Frame;
use crate::{
    access::Eye,
    inventory::{Delta, Object, Store},
    pools::Pools,
};
use app::model::ObjectType;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Bytes of objects in one chunk: small enough that an answer never waits long behind it.
const CHUNK: usize = 256 << 10;
/// Light rows in one chunk: a browser applies it within a frame.
const LIGHT_CHUNK: usize = 48 << 10;
/// Chunks that are kept for clients that keep pace.
const KEPT: usize = 24;
/// When nothing changes for so long, they are not needed any more.
const SHARED: Duration = Duration::from_secs(1);
/// What loopback or a good network takes; only used to space out bursts.
const BYTES_PER_SECOND: f64 = 400e6;
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// Lets the changes of many pools come together in a burst.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// Who shares a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// `all` notifications.
    All,
    /// A `lists` view with this number on its socket.
    Lists { view: u32, compress: bool, reset: bool },
}

/// Frames that bring a client from one revision to another.
#[derive(Debug)]
pub struct Chunk {
    pub to: u64,
    /// More follows up to the revision that was asked for.
    pub more: bool,
    pub frames: Vec<Frame>,
}

type Key = (Audience, u64, u64);

pub struct Feed {
    inventory: Arc<Store>,
    pools: Pools,
    /// The revision up to which clients may be told.
    pace: watch::Sender<u64>,
    kept: Mutex<VecDeque<(Key, Arc<Chunk>)>>,
    opened: AtomicU64,
    sent: AtomicU64,
}

impl Feed {
    pub fn new(inventory: Arc<Store>, pools: Pools) -> Self {
        Self {
            inventory,
            pools,
            pace: watch::Sender::new(0),
            kept: Mutex::default(),
            opened: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Wakes when there is something to ask for.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.pace.subscribe()
    }

    /// Lets a client that comes at `revision` be told up to there without waiting for the next change.
    pub fn open(&self, revision: u64) {
        self.opened.fetch_max(revision, Ordering::Relaxed);
    }

    /// The revision up to which a client that came lately may be told.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Counts bytes that were written to a client.
    pub fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Runs until cancelled: tells clients of new revisions, not faster than they can be told.
    pub async fn pace(&self, cancel: CancellationToken) {
        let mut changed = self.inventory.subscribe();
        let mut links = self.pools.subscribe();
        let (mut round, mut sent_before) = (Instant::now(), 0);
        let mut idle = tokio::time::interval(SHARED);
        let mut changed_at = Instant::now();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                // Who keeps pace has been told.
                _ = idle.tick() => {
                    if changed_at.elapsed() >= SHARED {
                        self.kept().clear();
                    }
                    continue;
                }
                woken = changed.changed() => {
                    if woken.is_err() {
                        return;
                    }
                    changed_at = Instant::now();
                }
                // A link's row changed: the same revision is told again, views look at the links.
                woken = links.changed() => if woken.is_err() { return },
            }
            // The bytes of the rounds before take their time on the wire; a new round now would only make
            // what is merged less.
            let sent = self.sent.load(Ordering::Relaxed);
            let busy =
                Duration::from_secs_f64((sent - sent_before) as f64 / BYTES_PER_SECOND).min(LONGEST_PAUSE);
            let pause = busy.max(SHORTEST_PAUSE).saturating_sub(round.elapsed());
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            (round, sent_before) = (Instant::now(), self.sent.load(Ordering::Relaxed));
            links.mark_unchanged();
            let revision = *changed.borrow_and_update();
            self.pace.send_replace(revision);
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<Chunk>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunk after `from`, on the way to `upto`.
    pub fn chunk(&self, audience: Audience, from: u64, upto: u64) -> Arc<Chunk> {
        let key = (audience, from, upto);
        let mut kept = self.kept();
        if let Some((_, chunk)) = kept.iter().find(|(known, _)| *known == key) {
            return chunk.clone();
        }
        // Built under the lock: others who want the same chunk wait for it instead of building it too.
        let chunk = Arc::new(self.build(audience, from, upto));
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((key, chunk.clone()));
        chunk
    }

    fn build(&self, audience: Audience, from: u64, upto: u64) -> Chunk {
        match audience {
            Audience::All => {
                let delta = self
                    .inventory
                    .between(from, upto, |object| object.json.len(), CHUNK);
                let more = delta.revision < upto;
                let mut changed = delta.changed;
                changed.retain(|object| object.full_revision > from);
                Chunk {
                    to: delta.revision,
                    more,
                    frames: all_frames(&changed, &delta.gone),
                }
            }
            Audience::Lists {
                view,
                compress,
                reset,
            } => {
                let delta = self.inventory.between(from, upto, light_weight, LIGHT_CHUNK);
                let more = delta.revision < upto;
                let payload = lists_payload(view, reset, more, &delta, from == 0);
                Chunk {
                    to: delta.revision,
                    more,
                    frames: payload
                        .map(|payload| view_frame(payload, compress))
                        .into_iter()
                        .collect(),
                }
            }
        }
    }

    /// As [`Feed::chunk`], of what this user sees.
    pub fn chunk_for(&self, eye: &Eye, audience: Audience, from: u64, upto: u64) -> Arc<Chunk> {
        if eye.sees_everything() {
            return self.chunk(audience, from, upto);
        }
        let (to, frames) = match audience {
            Audience::All => {
                let mut seen = eye.since(from, |object| object.json.len(), CHUNK);
                let untold =
                    |object: &Arc<Object>| object.full_revision > from || seen.came.contains(&object.id);
                seen.changed.retain(untold);
                (seen.to, all_frames(&seen.changed, &seen.gone))
            }
            Audience::Lists {
                view,
                compress,
                reset,
            } => {
                let seen = eye.since(from, light_weight, LIGHT_CHUNK);
                let more = seen.to < upto;
                let delta = Delta {
                    revision: seen.to,
                    changed: seen.changed,
                    gone: seen.gone,
                    incomplete: false,
                };
                let payload = lists_payload(view, reset, more, &delta, from == 0);
                let frames = payload.map(|payload| view_frame(payload, compress));
                (seen.to, frames.into_iter().collect())
            }
        };
        Arc::new(Chunk {
            to,
            more: to < upto,
            frames,
        })
    }
}

fn light_weight(object: &Object) -> usize {
    object.light.as_ref().map_or(0, Bytes::len)
}

/// `enter` with what is new or changed, then `exit`; neither when it would be empty.
fn all_frames(changed: &[Arc<Object>], gone: &[Arc<str>]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut parts = Vec::with_capacity(changed.len() * 4 + 2);
    for object in changed {
        let separator = if parts.is_empty() {
            r#"{"jsonrpc":"2.0","method":"all","params":{"type":"enter","items":{"#
        } else {
            ","
        };
        parts.push(Bytes::from(format!("{separator}{}:", quoted(&object.id))));
        parts.push(object.json.clone());
    }
    if !parts.is_empty() {
        parts.push(Bytes::from_static(b"}}}"));
        // Shared by all clients: joined once, written in one piece.
        frames.push(Frame::text(vec![parts.concat().into()]));
    }
    if !gone.is_empty() {
        let items: Vec<String> = gone.iter().map(|id| format!("{}:0", quoted(id))).collect();
        let text = format!(
            r#"{{"jsonrpc":"2.0","method":"all","params":{{"type":"exit","items":{{{}}}}}}}"#,
            items.join(",")
        );
        frames.push(Frame::text(vec![text.into()]));
    }
    frames
}

/// JSON text of a string.
pub fn quoted(text: &str) -> String {
    // A string always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

/// The types of the `lists` view.
const LISTED: &[ObjectType] = &[
    ObjectType::Pool,
    ObjectType::Host,
    ObjectType::Sr,
    ObjectType::Network,
    ObjectType::Vm,
    ObjectType::VmController,
    ObjectType::VmTemplate,
    ObjectType::VmSnapshot,
    ObjectType::Task,
];

fn lists_payload(view: u32, reset: bool, more: bool, delta: &Delta, is_snapshot: bool) -> Option<String> {
    let mut text = view_opening(view, delta.revision, reset, more);
    let opened = text.len();
    for kind in LISTED {
        let mut first = true;
        for object in delta.changed.iter().filter(|object| object.kind == *kind) {
            let Some(light) = &object.light else { continue };
            text.push_str(&if std::mem::take(&mut first) {
                format!(",{}:[", quoted(kind.as_str()))
            } else {
                ",".to_owned()
            });
            text.push_str(&String::from_utf8_lossy(light));
        }
        if !first {
            text.push(']');
        }
    }
    // A snapshot starts from nothing: there is nothing to take away.
    if !delta.gone.is_empty() && !is_snapshot {
        let gone: Vec<String> = delta.gone.iter().map(|id| quoted(id)).collect();
        text.push_str(&format!(",\"gone\":[{}]", gone.join(",")));
    }
    // Nothing of interest: the revision alone is worth telling only when a snapshot ends with it.
    if text.len() == opened && !reset && !is_snapshot {
        return None;
    }
    text.push_str("}}");
    Some(text)
}

/// `{"jsonrpc":...,"params":{"view":...,"revision":...` without the end.
pub fn view_opening(view: u32, revision: u64, reset: bool, more: bool) -> String {
    let mut text =
        format!(r#"{{"jsonrpc":"2.0","method":"view","params":{{"view":{view},"revision":{revision}"#);
    if reset {
        text.push_str(",\"reset\":true");
    }
    if more {
        text.push_str(",\"more\":true");
    }
    text
}

pub fn view_frame(payload: String, compress: bool) -> Frame {
    if compress {
        Frame::binary(miniz_oxide::deflate::compress_to_vec_zlib(payload.as_bytes(), 3).into())
    } else {
        Frame::text(vec![payload.into()])
    }
}
