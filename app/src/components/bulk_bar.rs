//! What can be done to the chosen VMs: each action says how many of them it would touch. Those that the
//! filter hides are left out, and that is said.

use super::vm_actions::VmAction;
use crate::{
    model::light::LightVm,
    state::{class::Row, list::List, selection::Selection, use_state},
    ui::{
        button::{Button, Kind},
        format::{self, plural},
        icon::{Glyph, Icon},
    },
};
use leptos::prelude::*;
use std::sync::Arc;

const OFFERED: [VmAction; 6] = [
    VmAction::Start,
    VmAction::Stop,
    VmAction::Restart,
    VmAction::Suspend,
    VmAction::Resume,
    VmAction::Snapshot,
];

#[component]
pub fn BulkBar(list: List<LightVm>, selection: Selection) -> impl IntoView {
    let state = use_state();
    let chosen = Memo::new_with_compare(
        move |_| {
            selection.ids.with(|ids| {
                if ids.is_empty() {
                    return Vec::new();
                }
                list.rows.with(|rows| {
                    rows.iter()
                        .filter(|row| ids.contains(&row.id))
                        .cloned()
                        .collect::<Vec<_>>()
                })
            })
        },
        |_, _| true,
    );
    let hidden = move || selection.ids.with(|ids| ids.len()) - chosen.with(Vec::len);
    let any = Memo::new(move |_| selection.ids.with(|ids| !ids.is_empty()));
    view! {
        <Show when=move || any.get()>
            <div class="bulk" role="toolbar" aria-label="Actions on the selected VMs">
                <span class="bulk__count" role="status">
                    {move || format!("{} selected", plural(chosen.with(Vec::len), "VM"))}
                    {move || {
                        let hidden = hidden();
                        (hidden > 0)
                            .then(|| {
                                view! {
                                    <span class="bulk__hidden">
                                        {format!("{} more not shown by the filter: left out", format::count(hidden))}
                                    </span>
                                }
                            })
                    }}
                </span>
                {OFFERED
                    .into_iter()
                    .map(|action| {
                        let possible = Memo::new(move |_| {
                            chosen.with(|rows| rows.iter().filter(|row| action.blocked(row).is_none()).count())
                        });
                        let reason = move || {
                            chosen.with(|rows| rows.iter().find_map(|row| action.blocked(row)))
                        };
                        let tip = move || {
                            let (possible, all) = (possible.get(), chosen.with(Vec::len));
                            (possible < all)
                                .then(|| {
                                    format!("{} skipped: {}", plural(all - possible, "VM"), reason().unwrap_or_default())
                                })
                        };
                        view! {
                            <button
                                type="button"
                                class="button"
                                aria-disabled=move || (possible.get() == 0).then_some("true")
                                data-tip=tip
                                aria-description=tip
                                on:click=move |_| {
                                    let rows: Vec<Arc<Row<LightVm>>> = chosen
                                        .with_untracked(|rows| {
                                            rows.iter().filter(|row| action.blocked(row).is_none()).cloned().collect()
                                        });
                                    if !rows.is_empty() {
                                        action.run_all(state, &rows);
                                    }
                                }
                            >
                                <Glyph icon=action.icon() />
                                <span>
                                    {move || {
                                        let (possible, all) = (possible.get(), chosen.with(Vec::len));
                                        if possible == all {
                                            action.label().to_owned()
                                        } else {
                                            format!("{} {possible} of {all}", action.label())
                                        }
                                    }}
                                </span>
                            </button>
                        }
                    })
                    .collect_view()}
                <Button label="Clear" icon=Icon::Close kind=Kind::Quiet on_press=move || selection.clear() />
            </div>
        </Show>
    }
}
