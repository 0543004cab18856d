//! A VM's page: header with its actions, and its tabs.

mod overview;
mod snapshots;

use super::gone::Gone;
use crate::{
    components::{
        activity::Activity,
        confirm::{Confirm, Question},
        object_header::ObjectHeader,
        object_link::{HostLink, PoolLink},
        power_state::{Power, PowerIcon, PowerState},
        vm_actions::VmAction,
    },
    model::light::LightVm,
    routes::Route,
    rpc::methods::VmSet,
    state::{class::Row, object, use_state},
    ui::{
        button::{Button, Kind},
        icon::{Glyph, Icon},
        live_title::LiveTitle,
        menu::Menu,
        tabs::{Tab, Tabs},
    },
};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;
use serde_json::{Map, Value};
use std::sync::Arc;

#[component]
pub fn VmPage() -> impl IntoView {
    let state = use_state();
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get("id").unwrap_or_default()));
    let tab = Memo::new(move |_| params.with(|params| params.get("tab").unwrap_or_default()));
    let object = object::watch(id);
    let row = Memo::new_with_compare(
        move |_| state.inventory.vms.get(&id.get()),
        |old: Option<&Option<Arc<Row<LightVm>>>>, new| match (
            old.and_then(Option::as_ref),
            new.and_then(Option::as_ref),
        ) {
            (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
            (None, None) => old.is_none(),
            _ => true,
        },
    );
    let there = Memo::new(move |_| row.with(Option::is_some));
    let name = Memo::new(move |_| {
        row.with(|row| row.as_ref().map(|row| row.name_label.clone()).unwrap_or_default())
    });
    let tags =
        Memo::new(move |_| row.with(|row| row.as_ref().map(|row| row.tags.clone()).unwrap_or_default()));
    let asked: RwSignal<Option<Question>> = RwSignal::new(None);
    let rename = Callback::new(move |text: String| {
        let id = id.get_untracked();
        let title = format!("Rename {} to {text}", name.get_untracked());
        let mut params = Map::new();
        params.insert("id".into(), Value::String(id.clone()));
        params.insert("name_label".into(), Value::String(text));
        state.actions.run::<VmSet>(title, Some(id.into()), params, |_| {});
    });
    let tabs = Signal::derive(move || {
        let route = Route::Vm(id.get());
        let snapshots = row.with(|row| row.as_ref().map(|row| row.snapshots as usize));
        vec![
            Tab {
                label: "Overview".into(),
                href: route.tab(""),
                count: None,
            },
            Tab {
                label: "Snapshots".into(),
                href: route.tab("snapshots"),
                count: snapshots.filter(|count| *count > 0),
            },
            Tab {
                label: "Activity".into(),
                href: route.tab("activity"),
                count: None,
            },
        ]
    });
    view! {
        <LiveTitle text=name />
        <Show when=move || there.get() fallback=|| view! { <Gone what="VM" list=Route::Vms /> }>
            <ObjectHeader
                name=name
                id=id
                tags=tags
                rename=rename
                icon=ViewFn::from(move || {
                    move || row.get().map(|row| view! { <PowerIcon power=Power::of(&row.power_state) /> })
                })
                meta=ViewFn::from(move || {
                    move || {
                        row.get()
                            .map(|row| {
                                let on_host = row.container != row.pool && !row.container.is_empty();
                                view! {
                                    <PowerState state=row.power_state.clone() operation=row.operation.clone() />
                                    {on_host.then(|| view! { <HostLink id=row.container.clone() icon=true /> })}
                                    <PoolLink id=row.pool.clone() icon=true />
                                }
                            })
                    }
                })
            >
                <Actions row=row asked=asked />
            </ObjectHeader>
            <Tabs label="VM" tabs=tabs />
            {move || match tab.get().as_str() {
                "snapshots" => view! { <snapshots::Snapshots row=row asked=asked /> }.into_any(),
                "activity" => view! { <Activity id=id object=object /> }.into_any(),
                _ => view! { <overview::Overview row=row object=object /> }.into_any(),
            }}
        </Show>
        <Confirm asked=asked />
    }
}

/// The likely actions of the present state as buttons, the rest in a menu.
#[component]
fn Actions(row: Memo<Option<Arc<Row<LightVm>>>>, asked: RwSignal<Option<Question>>) -> impl IntoView {
    let state = use_state();
    let press = move |action: VmAction| {
        if let Some(row) = row.get_untracked() {
            match action.question(state, &row) {
                Some(question) => asked.set(Some(question)),
                None => action.run(state, &row),
            }
        }
    };
    let power = Memo::new(move |_| row.with(|row| row.as_ref().map(|row| Power::of(&row.power_state))));
    let blocked = move |action: VmAction| {
        Signal::derive(move || row.with(|row| row.as_ref().and_then(|row| action.blocked(row))))
    };
    let shown = [
        VmAction::Start,
        VmAction::Resume,
        VmAction::Unpause,
        VmAction::Stop,
        VmAction::Restart,
        VmAction::Suspend,
        VmAction::Pause,
        VmAction::Snapshot,
    ];
    let open = RwSignal::new(false);
    view! {
        {move || {
            power.track();
            let suits = |action: &VmAction| row.with_untracked(|row| row.as_ref().is_some_and(|row| action.suits(row)));
            shown
                .into_iter()
                .filter(suits)
                .enumerate()
                .map(|(at, action)| {
                    let first = at == 0 && matches!(action, VmAction::Start | VmAction::Resume | VmAction::Unpause);
                    let kind = if first { Kind::Primary } else { Kind::Plain };
                    view! { <Button label=action.label() icon=action.icon() kind=kind blocked=blocked(action) on_press=move || press(action) /> }
                })
                .collect_view()
        }}
        <Menu
            label=Signal::derive(|| "More actions".to_owned())
            class="button"
            open=open
            trigger=ViewFn::from(|| view! { <Glyph icon=Icon::More /><span>"More"</span> })
        >
            {[VmAction::ForceStop, VmAction::ForceRestart, VmAction::Delete]
                .into_iter()
                .map(|action| {
                    let reason = blocked(action);
                    view! {
                        <button
                            type="button"
                            class="menu-item menu-item--danger"
                            aria-disabled=move || reason.with(|reason| reason.is_some().then_some("true"))
                            title=move || reason.get()
                            on:click=move |_| {
                                if reason.with_untracked(Option::is_none) {
                                    open.set(false);
                                    press(action);
                                }
                            }
                        >
                            <Glyph icon=action.icon() />
                            {action.label()}
                            "…"
                        </button>
                    }
                })
                .collect_view()}
        </Menu>
    }
}
