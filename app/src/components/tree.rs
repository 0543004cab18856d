//! The infrastructure tree: pools, their hosts, their VMs; VMs without a host under the pool.
//!
//! Flattened into the visible nodes and virtualised, so that ten thousand VMs cost what forty do. Its
//! structure is worked out at most twice a second; names and states of what is shown are live.

use super::power_state::{Power, PowerIcon};
use crate::{
    model::light::LightVm,
    routes::Route,
    state::{State, class::Id, class::Row, use_state},
    ui::{
        icon::{Glyph, Icon},
        virtual_window::visible_rows,
    },
};
use leptos::{html, prelude::*};
use leptos_router::{components::A, hooks::use_location};
use rustc_hash::FxHashMap;
use std::{sync::Arc, time::Duration};

/// Height of a node, px; style/tree.scss has the same.
const NODE: f64 = 26.0;
/// With more VMs than this, hosts start folded.
const FOLD_ABOVE: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Pool,
    Host,
    Vm,
}

#[derive(Clone, Debug, PartialEq)]
struct Node {
    kind: Kind,
    id: Id,
    depth: u8,
    /// Open or folded; nothing to fold when `None`.
    open: Option<bool>,
    /// VMs below.
    count: usize,
}

#[component]
pub fn Tree() -> impl IntoView {
    let state = use_state();
    let inventory = state.inventory;
    let filter = RwSignal::new(String::new());
    let nodes: RwSignal<Arc<Vec<Node>>> = RwSignal::new(Arc::default());
    let waiting = StoredValue::new(false);
    Effect::new(move |_| {
        inventory.vms.track_structure();
        inventory.hosts.track_structure();
        inventory.pools.track_structure();
        // Unfolding each chunk of the first snapshot would be work for nothing.
        if !inventory.ready.get() {
            return;
        }
        if !waiting.get_value() {
            waiting.set_value(true);
            set_timeout(
                move || {
                    waiting.try_set_value(false);
                    nodes.try_set(Arc::new(flatten(state, &filter.get_untracked())));
                },
                // The first look must not wait.
                if nodes.with_untracked(|nodes| nodes.is_empty()) {
                    Duration::ZERO
                } else {
                    Duration::from_millis(500)
                },
            );
        }
    });
    Effect::new(move |_| {
        state.preferences.folded.track();
        let filter = filter.get();
        nodes.set(Arc::new(flatten(state, &filter)));
    });
    let container: NodeRef<html::Div> = NodeRef::new();
    let total = Signal::derive(move || nodes.with(|nodes| nodes.len()));
    let window = visible_rows(container, NODE, total);
    let shown = move || {
        let range = window.get();
        nodes.with(|nodes| {
            let end = range.end.min(nodes.len());
            nodes[range.start.min(end)..end].to_vec()
        })
    };
    let pathname = use_location().pathname;
    view! {
        <section class="tree" aria-label="Infrastructure">
            <div class="tree__filter">
                <Glyph icon=Icon::Search />
                <input
                    type="search"
                    placeholder="Find in the tree"
                    aria-label="Find in the tree"
                    autocomplete="off"
                    spellcheck="false"
                    prop:value=filter
                    on:input=move |event| filter.set(event_target_value(&event))
                />
            </div>
            <div class="tree__scroll" node_ref=container>
                <div style=move || format!("height:{}px", total.get() as f64 * NODE)>
                    <ul
                        class="tree__nodes"
                        style=move || format!("transform:translateY({}px)", window.get().start as f64 * NODE)
                    >
                        <For each=shown key=|node| (node.id.clone(), node.depth, node.open, node.count) let:node>
                            <NodeView node=node pathname=pathname />
                        </For>
                    </ul>
                </div>
                <Show when=move || !inventory.ready.get()>
                    <div class="skeleton" aria-hidden="true">
                        {(0..8).map(|_| view! { <span class="skeleton__line"></span> }).collect_view()}
                    </div>
                </Show>
            </div>
        </section>
    }
}

#[component]
fn NodeView(node: Node, pathname: Memo<String>) -> impl IntoView {
    let state = use_state();
    let inventory = state.inventory;
    let id = node.id.to_string();
    let route = match node.kind {
        Kind::Pool => Route::Pool(id.clone()),
        Kind::Host => Route::Host(id.clone()),
        Kind::Vm => Route::Vm(id.clone()),
    };
    let path = route.path();
    let current = {
        let path = path.clone();
        Memo::new(move |_| {
            pathname.with(|now| {
                now.strip_prefix(&path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        })
    };
    let name = {
        let id = id.clone();
        move || {
            let name = match node.kind {
                Kind::Pool => inventory.pools.get(&id).map(|row| row.shown_name()),
                Kind::Host => inventory.hosts.get(&id).map(|row| row.shown_name()),
                Kind::Vm => inventory.vms.get(&id).map(|row| row.shown_name()),
            };
            name.unwrap_or_default()
        }
    };
    let icon = {
        let id = id.clone();
        move || match node.kind {
            Kind::Pool => view! { <Glyph icon=Icon::Pool /> }.into_any(),
            Kind::Host => {
                let down = inventory
                    .hosts
                    .get(&id)
                    .is_some_and(|host| host.power_state != "Running");
                view! { <span class:tree__down=down><Glyph icon=Icon::Host /></span> }.into_any()
            }
            Kind::Vm => {
                let state = inventory
                    .vms
                    .get(&id)
                    .map(|vm| vm.power_state.clone())
                    .unwrap_or_default();
                view! { <PowerIcon power=Power::of(&state) label=state /> }.into_any()
            }
        }
    };
    let fold_name = name.clone();
    view! {
        <li class="tree__node" style=format!("padding-left:{}px", 6 + u32::from(node.depth) * 14)>
            {match node.open {
                Some(open) => {
                    view! {
                        <button
                            type="button"
                            class="tree__fold"
                            aria-expanded=open.to_string()
                            aria-label=move || format!("{} {}", if open { "Fold" } else { "Unfold" }, fold_name())
                            on:click=move |_| state.preferences.toggle_fold(&id)
                        >
                            <Glyph icon=Icon::Chevron />
                        </button>
                    }
                        .into_any()
                }
                None => view! { <span class="tree__fold"></span> }.into_any(),
            }}
            <A href=path attr:class="tree__link" attr:data-current=move || current.get().to_string() scroll=false>
                {icon}
                <span class="tree__name">{name}</span>
            </A>
            {(node.count > 0).then(|| view! { <span class="tree__count" aria-label=format!("{} VMs", node.count)>{crate::ui::format::count(node.count)}</span> })}
        </li>
    }
}

/// The visible nodes in order.
fn flatten(state: State, filter: &str) -> Vec<Node> {
    let inventory = state.inventory;
    let wanted = filter.trim().to_lowercase();
    let searching = !wanted.is_empty();
    let toggled = state.preferences.folded.get_untracked();
    let vms = inventory.vms.all();
    let fold_hosts = vms.len() > FOLD_ABOVE;
    let mut by_container: FxHashMap<&str, Vec<&Arc<Row<LightVm>>>> = FxHashMap::default();
    let mut counts: FxHashMap<&str, usize> = FxHashMap::default();
    for vm in &vms {
        *counts.entry(&vm.container).or_default() += 1;
        if vm.container != vm.pool {
            *counts.entry(&vm.pool).or_default() += 1;
        }
        if !searching || vm.haystack.contains(&wanted) {
            by_container.entry(&vm.container).or_default().push(vm);
        }
    }
    let mut pools = inventory.pools.all();
    pools.sort_by(|a, b| a.name_key.cmp(&b.name_key));
    let mut hosts = inventory.hosts.all();
    hosts.sort_by(|a, b| a.name_key.cmp(&b.name_key));
    let is_open =
        |id: &str, by_default: bool| searching || (toggled.iter().any(|other| other == id) != by_default);
    let mut nodes = Vec::new();
    let push_vms = |nodes: &mut Vec<Node>, vms: Option<Vec<&Arc<Row<LightVm>>>>, depth: u8| {
        let mut vms = vms.unwrap_or_default();
        vms.sort_by(|a, b| a.name_key.cmp(&b.name_key));
        nodes.extend(vms.into_iter().map(|vm| Node {
            kind: Kind::Vm,
            id: vm.id.clone(),
            depth,
            open: None,
            count: 0,
        }));
    };
    for pool in pools {
        let open = is_open(&pool.id, true);
        let start = nodes.len();
        let count = counts.get(&*pool.id).copied().unwrap_or_default();
        nodes.push(Node {
            kind: Kind::Pool,
            id: pool.id.clone(),
            depth: 0,
            open: Some(open),
            count,
        });
        if !open {
            continue;
        }
        for host in hosts.iter().filter(|host| host.pool == *pool.id) {
            let vms = by_container.remove(&*host.id);
            let matches = !searching || host.haystack.contains(&wanted);
            if !matches && vms.is_none() {
                continue;
            }
            let count = counts.get(&*host.id).copied().unwrap_or_default();
            let open = is_open(&host.id, !fold_hosts);
            let foldable = (count > 0).then_some(open);
            nodes.push(Node {
                kind: Kind::Host,
                id: host.id.clone(),
                depth: 1,
                open: foldable,
                count,
            });
            if open {
                push_vms(&mut nodes, vms, 2);
            }
        }
        push_vms(&mut nodes, by_container.remove(&*pool.id), 1);
        if searching && nodes.len() == start + 1 && !pool.haystack.contains(&wanted) {
            nodes.pop();
        }
    }
    nodes
}
