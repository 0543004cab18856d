//! All light rows, fed by the `lists` view.

use super::{class::Class, rows::Places};
use crate::{
    client::{self, ViewEvent},
    model::light::{LightHost, LightNetwork, LightPool, LightSr, LightTask, LightVm, LinkRow},
    rpc::view::{ViewSpec, ViewUpdate},
};
use leptos::prelude::*;

#[derive(Clone, Copy)]
pub struct Inventory {
    pub vms: Class<LightVm>,
    pub templates: Class<LightVm>,
    pub snapshots: Class<LightVm>,
    pub controllers: Class<LightVm>,
    pub hosts: Class<LightHost>,
    pub pools: Class<LightPool>,
    pub srs: Class<LightSr>,
    pub networks: Class<LightNetwork>,
    pub tasks: Class<LightTask>,
    pub links: RwSignal<Vec<LinkRow>>,
    /// The first snapshot is complete: empty now means empty.
    pub ready: RwSignal<bool>,
    /// Names of pools and hosts.
    pub places: Memo<Places>,
}

impl Inventory {
    pub fn new() -> Self {
        let hosts = Class::<LightHost>::new();
        let pools = Class::<LightPool>::new();
        let places = Memo::new(move |_| {
            hosts.track_structure();
            pools.track_structure();
            let hosts = hosts
                .all()
                .into_iter()
                .map(|host| (host.light.id.clone(), host.name_label.clone()));
            let pools = pools
                .all()
                .into_iter()
                .map(|pool| (pool.light.id.clone(), pool.name_label.clone()));
            Places(hosts.chain(pools).collect())
        });
        Self {
            vms: Class::new(),
            templates: Class::new(),
            snapshots: Class::new(),
            controllers: Class::new(),
            hosts,
            pools,
            srs: Class::new(),
            networks: Class::new(),
            tasks: Class::new(),
            links: RwSignal::new(Vec::new()),
            ready: RwSignal::new(false),
            places,
        }
    }

    /// Subscribes for as long as the page lives.
    pub fn watch(self) {
        let handle = client::watch(ViewSpec::Lists, move |event| match event {
            ViewEvent::Update(update) => self.apply(*update),
            ViewEvent::Refused(error) => leptos::logging::error!("the inventory is refused: {error}"),
        });
        std::mem::forget(handle);
    }

    fn apply(self, update: ViewUpdate) {
        let gone = &update.gone;
        if update.reset {
            self.each(|class| class.begin_snapshot());
        }
        self.pools.apply(update.pools, gone);
        self.hosts.apply(update.hosts, gone);
        self.vms.apply(update.vms, gone);
        self.templates.apply(update.templates, gone);
        self.snapshots.apply(update.snapshots, gone);
        self.controllers.apply(update.controllers, gone);
        self.srs.apply(update.srs, gone);
        self.networks.apply(update.networks, gone);
        self.tasks.apply(update.tasks, gone);
        if let Some(links) = update.links {
            self.links.set(links);
        }
        if !update.more {
            self.each(|class| class.end_snapshot());
            if !self.ready.get_untracked() {
                self.ready.set(true);
            }
        }
    }

    fn each(self, mut act: impl FnMut(&dyn Snapshots)) {
        act(&self.pools);
        act(&self.hosts);
        act(&self.vms);
        act(&self.templates);
        act(&self.snapshots);
        act(&self.controllers);
        act(&self.srs);
        act(&self.networks);
        act(&self.tasks);
    }
}

impl Default for Inventory {
    fn default() -> Self {
        Self::new()
    }
}

/// What every class does at the ends of a snapshot, whatever its rows are.
trait Snapshots {
    fn begin_snapshot(&self);
    fn end_snapshot(&self);
}

impl<T: super::class::Light> Snapshots for Class<T> {
    fn begin_snapshot(&self) {
        Class::begin_snapshot(self);
    }
    fn end_snapshot(&self) {
        Class::end_snapshot(self);
    }
}
