//! From XAPI records to XO objects: pure functions, no clock, no async.
//!
//! A conversion reads records through a [`Context`], which notes what was read and how: a *link* needs only
//! the other object's identity, *content* needs the record. `inventory::graph` recomputes an object when
//! something that it was computed from changes, whatever that is.

mod activity;
mod device;
mod fields;
mod host;
mod light;
mod network;
mod storage;
mod vm;

use app::model::{
    ObjectType,
    object::Head,
    values::{Links, Text},
};
use bytes::Bytes;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};
use std::{borrow::Cow, cell::RefCell, io, sync::Arc};
pub(in crate::inventory) use storage::parent as parent_of_disk;
use xapi::{
    Cache, OpaqueRef, Record, Ref, Slot,
    records::{List, Pool, XapiRecord},
};

/// An object as it is published.
#[derive(Debug)]
pub struct Converted {
    pub id: Arc<str>,
    pub kind: ObjectType,
    /// The full object.
    pub json: Bytes,
    /// The light row, for the types that lists show.
    pub light: Option<Bytes>,
    /// uuid of the object that a message is about.
    pub about: Option<Box<str>>,
}

/// How an object depends on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Its identity, and the few fields of [`essence_changed`].
    Link,
    /// All of it.
    Content,
}

/// A record that was asked for.
#[derive(Debug)]
pub enum Asked {
    Known(Slot, Need),
    /// It was not there; its arrival matters.
    Dangling(OpaqueRef),
}

/// What is the same for all objects of a pool. When it changes, all are recomputed: to depend on the
/// master's record would recompute every VM whenever any VM starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolFacts {
    /// uuid of the pool, the `$pool` of everything.
    pub id: String,
    /// `software_version.platform_version` of the master.
    pub platform_version: String,
}

impl PoolFacts {
    /// The facts, once the pool's record is known.
    pub fn read(cache: &Cache) -> Option<Self> {
        let (reference, pool) = cache.all::<Pool>().next()?;
        let master = pool.master.as_ref().and_then(|master| cache.get(master));
        let platform_version = master
            .and_then(|host| host.software_version.as_ref()?.get("platform_version"))
            .unwrap_or_default()
            .to_owned();
        Some(Self {
            id: pool.uuid().map_or_else(|| reference.to_string(), str::to_owned),
            platform_version,
        })
    }
}

/// Finds disks by uuid, which is how a disk names its parent.
pub trait DiskIndex {
    fn disk(&self, uuid: &str) -> Option<Slot>;
}

/// What a conversion may read.
pub struct Context<'a> {
    pub cache: &'a Cache,
    pub facts: &'a PoolFacts,
    pub disks: &'a dyn DiskIndex,
    asked: RefCell<Vec<Asked>>,
}

impl<'a> Context<'a> {
    pub fn new(cache: &'a Cache, facts: &'a PoolFacts, disks: &'a dyn DiskIndex) -> Self {
        Self {
            cache,
            facts,
            disks,
            asked: RefCell::default(),
        }
    }

    /// What was read since the last call.
    pub fn take_asked(&self) -> Vec<Asked> {
        self.asked.take()
    }

    fn ask(&self, reference: &OpaqueRef, need: Need) -> Option<&'a Record> {
        if reference.is_null() {
            return None;
        }
        let found = self
            .cache
            .slot(reference)
            .and_then(|slot| Some((slot, self.cache.record(slot)?)));
        self.asked.borrow_mut().push(match found {
            Some((slot, _)) => Asked::Known(slot, need),
            None => Asked::Dangling(reference.clone()),
        });
        found.map(|(_, record)| record)
    }

    /// The record itself; any change of it recomputes the object.
    fn get<T: XapiRecord>(&self, reference: Option<&Ref<T>>) -> Option<&'a T> {
        T::from_record(self.ask(reference?, Need::Content)?)
    }

    /// The record, of which only the fields of [`essence_changed`] are read.
    fn essence<T: XapiRecord>(&self, reference: Option<&Ref<T>>) -> Option<&'a T> {
        T::from_record(self.ask(reference?, Need::Link)?)
    }

    /// The record in a slot that the disk index found.
    fn in_slot<T: XapiRecord>(&self, slot: Slot) -> Option<&'a T> {
        self.asked.borrow_mut().push(Asked::Known(slot, Need::Content));
        T::from_record(self.cache.record(slot)?)
    }

    /// Id of what a reference leads to; absent when it leads nowhere.
    fn link<T>(&self, reference: &Option<Ref<T>>) -> Option<Text<'a>> {
        self.link_to(reference.as_deref()?)
    }

    fn link_to(&self, reference: &OpaqueRef) -> Option<Text<'a>> {
        let record = self.ask(reference, Need::Link)?;
        Some(id_of(reference, record))
    }

    /// Ids of a list in its order, `null` for what leads nowhere; absent when the field is unknown.
    fn links<T>(&self, list: &Option<List<Ref<T>>>) -> Option<Links<'a>> {
        Some(
            list.as_ref()?
                .iter()
                .map(|reference| self.link_to(reference))
                .collect(),
        )
    }
}

/// XAPI's `$id`: the uuid, or the reference of what has none. Pool patches are known by their reference.
fn id_of<'a>(reference: &OpaqueRef, record: &'a Record) -> Text<'a> {
    match record.uuid() {
        Some(uuid) if !uuid.is_empty() && !matches!(record, Record::PoolPatch(_)) => Cow::Borrowed(uuid),
        _ => Cow::Owned(reference.to_string()),
    }
}

/// Whether fields changed that are read through mere links: they are few, and change rarely, unlike the
/// usage figures of the same records.
pub fn essence_changed(old: &Record, new: &Record) -> bool {
    match (old, new) {
        // Nothing that is published: where a pool's hosts are is to be remembered.
        (Record::Host(old), Record::Host(new)) => old.address != new.address,
        (Record::Sr(old), Record::Sr(new)) => old.shared != new.shared || old.PBDs != new.PBDs,
        (Record::Pbd(old), Record::Pbd(new)) => old.host != new.host,
        (Record::Vbd(old), Record::Vbd(new)) => old.VDI != new.VDI || old.r#type != new.r#type,
        (Record::Vdi(old), Record::Vdi(new)) => old.SR != new.SR || old.virtual_size != new.virtual_size,
        _ => false,
    }
}

/// The object of a record; `None` for classes that are not published.
pub fn convert(context: &Context<'_>, reference: &OpaqueRef, record: &Record) -> Option<Converted> {
    use ObjectType as Type;
    let plain = |kind| Builder {
        context,
        reference,
        record,
        kind,
        id: id_of(reference, record),
    };
    Some(match record {
        Record::Pool(pool) => plain(Type::Pool).light(host::pool(context, pool), light::pool),
        Record::Host(host) => plain(Type::Host).light(host::host(context, host), light::host),
        Record::HostPatch(patch) => plain(Type::Patch).full(host::patch(context, patch)),
        Record::PoolPatch(patch) => plain(Type::PoolPatch).full(host::pool_patch(context, patch)),
        Record::Vm(vm) => {
            let kind = vm::kind(context, vm);
            let mut builder = plain(kind);
            if kind == Type::VmTemplate && vm::is_default_template(vm) {
                builder.id = Cow::Owned(format!("{}-{}", context.facts.id, builder.id));
            }
            builder.light(vm::vm(context, vm, kind), |head, object| {
                light::vm(context, vm, head, object)
            })
        }
        Record::Vtpm(vtpm) => plain(Type::Vtpm).full(vm::vtpm(context, vtpm)),
        Record::Sr(sr) => plain(Type::Sr).light(storage::sr(context, sr), light::sr),
        Record::Sm(sm) => plain(Type::Sm).full(storage::sm(sm)),
        Record::Pbd(pbd) => plain(Type::Pbd).full(storage::pbd(context, pbd)),
        Record::Vdi(vdi) => {
            let kind = storage::vdi_kind(context, vdi);
            plain(kind).full(storage::vdi(context, vdi, kind))
        }
        Record::Vbd(vbd) => plain(Type::Vbd).full(storage::vbd(context, vbd)),
        Record::Network(network) => {
            plain(Type::Network).light(network::network(context, network), light::network)
        }
        Record::Vif(vif) => plain(Type::Vif).full(network::vif(context, vif)),
        Record::Pif(pif) => plain(Type::Pif).full(network::pif(context, pif)),
        Record::Bond(bond) => plain(Type::Bond).full(network::bond(context, bond)),
        Record::Pci(pci) => plain(Type::Pci).full(device::pci(context, pci)),
        Record::Pgpu(pgpu) => plain(Type::Pgpu).full(device::pgpu(context, pgpu)),
        Record::Vgpu(vgpu) => plain(Type::Vgpu).full(device::vgpu(context, vgpu)),
        Record::GpuGroup(group) => plain(Type::GpuGroup).full(device::gpu_group(context, group)),
        Record::VgpuType(kind) => plain(Type::VgpuType).full(device::vgpu_type(context, kind)),
        Record::Pusb(pusb) => plain(Type::Pusb).full(device::pusb(context, pusb)),
        Record::Vusb(vusb) => plain(Type::Vusb).full(device::vusb(context, vusb)),
        Record::UsbGroup(group) => plain(Type::UsbGroup).full(device::usb_group(context, group)),
        Record::Message(message) => {
            let about = message.obj_uuid.clone();
            Converted {
                about,
                ..plain(Type::Message).full(activity::message(message))
            }
        }
        Record::Task(task) => plain(Type::Task)
            .light(activity::task(context, reference, task), |head, object| {
                light::task(task, head, object)
            }),
        Record::HostMetrics(_)
        | Record::HostCpu(_)
        | Record::VmMetrics(_)
        | Record::VmGuestMetrics(_)
        | Record::PifMetrics(_)
        | Record::PoolUpdate(_)
        | Record::Vlan(_)
        | Record::Tunnel(_)
        | Record::Console(_)
        | Record::Certificate(_) => return None,
    })
}

struct Builder<'c, 'a> {
    context: &'c Context<'a>,
    reference: &'c OpaqueRef,
    record: &'a Record,
    kind: ObjectType,
    id: Text<'a>,
}

impl Builder<'_, '_> {
    fn head(&self) -> Head<'_> {
        let pool: &str = &self.context.facts.id;
        let reference = self.reference.to_string();
        let uuid = match self.record {
            // Clients know a pool patch by its reference only; its real uuid is in `dataUuid`.
            Record::PoolPatch(_) => Some(Cow::Owned(reference.clone())),
            record => record.uuid().map(Cow::Borrowed),
        };
        Head {
            id: Cow::Borrowed(&self.id),
            kind: self.kind,
            uuid,
            pool: Cow::Borrowed(pool),
            pool_id: Cow::Borrowed(pool),
            xapi_ref: Cow::Owned(reference),
        }
    }

    fn full(self, object: impl Serialize) -> Converted {
        let json = join(&self.head(), &object);
        Converted {
            id: Arc::from(&*self.id),
            kind: self.kind,
            json,
            light: None,
            about: None,
        }
    }

    fn light<O: Serialize, L: Serialize>(
        self,
        object: O,
        light: impl FnOnce(&Head<'_>, &O) -> L,
    ) -> Converted {
        let head = self.head();
        let json = join(&head, &object);
        let row = light(&head, &object);
        let light = exact(|json| write_json(json, &row));
        drop(row);
        drop(head);
        Converted {
            id: Arc::from(&*self.id),
            kind: self.kind,
            json,
            light: Some(light),
            about: None,
        }
    }
}

/// `{head..., properties...}` without a detour over a generic map.
fn join(head: &Head<'_>, object: &impl Serialize) -> Bytes {
    exact(|json| {
        write_json(json, head);
        let end = json.len();
        write_json(json, object);
        if json.len() > end + "{}".len() {
            json[end - 1] = b',';
            json.remove(end);
        } else {
            json.truncate(end);
        }
    })
}

/// What is written, in an allocation of its size: sixty thousand of these are kept, and a grown one that is
/// merely told to shrink stays where and as large as it is.
fn exact(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    thread_local! {
        static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        write(scratch);
        Bytes::copy_from_slice(scratch)
    })
}

fn write_json(json: &mut Vec<u8>, value: &impl Serialize) {
    let start = json.len();
    let mut serializer = serde_json::Serializer::with_formatter(&mut *json, AsJavaScript);
    // Plain data with text keys: serialising it into memory cannot fail.
    if let Err(error) = value.serialize(&mut serializer) {
        tracing::error!(%error, "an object cannot be serialised");
        json.truncate(start);
        json.extend_from_slice(b"{}");
    }
}

/// Writes whole numbers without a fraction, as today's server does: a client that reads `videoram` into an
/// integer stumbles over `4.0`.
struct AsJavaScript;

impl Formatter for AsJavaScript {
    fn write_f64<W: io::Write + ?Sized>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        const LARGEST: f64 = (1_u64 << 53) as f64;
        if value.fract() == 0.0 && value.abs() < LARGEST {
            self.write_i64(writer, value as i64)
        } else {
            CompactFormatter.write_f64(writer, value)
        }
    }
}
