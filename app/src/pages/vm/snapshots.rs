//! A VM's snapshots, newest first: take, revert, delete.

use crate::{
    components::{confirm::Question, vm_actions::VmAction},
    model::light::LightVm,
    rpc::methods::{Id as IdParam, Snapshot, VmDelete, VmRevert},
    state::{class::Row, use_state},
    ui::{
        button::{Button, Kind},
        empty::Empty,
        format,
        icon::Icon,
    },
};
use leptos::prelude::*;
use std::sync::Arc;

#[component]
pub fn Snapshots(row: Memo<Option<Arc<Row<LightVm>>>>, asked: RwSignal<Option<Question>>) -> impl IntoView {
    let state = use_state();
    let snapshots = state.inventory.snapshots;
    let ours = Memo::new_with_compare(
        move |_| {
            snapshots.track();
            let Some(id) = row.with(|row| row.as_ref().map(|row| row.id.clone())) else {
                return Vec::new();
            };
            let mut all: Vec<_> = snapshots
                .all()
                .into_iter()
                .filter(|other| *other.snapshot_of == *id)
                .collect();
            all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.snapshot_time));
            all
        },
        |old: Option<&Vec<Arc<Row<LightVm>>>>, new: Option<&Vec<Arc<Row<LightVm>>>>| match (old, new) {
            (Some(old), Some(new)) => {
                old.len() != new.len() || old.iter().zip(new).any(|(old, new)| !Arc::ptr_eq(old, new))
            }
            _ => true,
        },
    );
    let blocked =
        Signal::derive(move || row.with(|row| row.as_ref().and_then(|row| VmAction::Snapshot.blocked(row))));
    let take = move || {
        if let Some(row) = row.get_untracked() {
            VmAction::Snapshot.run(state, &row);
        }
    };
    let vm_name =
        move || row.with_untracked(|row| row.as_ref().map(|row| row.name_label.clone()).unwrap_or_default());
    let revert = move |snapshot: &Arc<Row<LightVm>>| {
        let (id, name, vm) = (snapshot.id.to_string(), snapshot.name_label.clone(), vm_name());
        asked.set(Some(Question {
            title: format!("Revert {vm} to {name}?"),
            consequences: vec![
                format!(
                    "Everything written on its disks since {} is lost.",
                    format::local(snapshot.snapshot_time as f64 * 1000.0)
                ),
                "Take a snapshot first to be able to come back.".to_owned(),
            ],
            verb: "Revert".to_owned(),
            name: None,
            action: Arc::new(move || {
                let params = Snapshot { snapshot: id.clone() };
                state
                    .actions
                    .run::<VmRevert>(format!("Revert {vm} to {name}"), None, params, |_| {});
            }),
        }));
    };
    let delete = move |snapshot: &Arc<Row<LightVm>>| {
        let (id, name) = (snapshot.id.to_string(), snapshot.name_label.clone());
        asked.set(Some(Question {
            title: format!("Delete the snapshot {name}?"),
            consequences: vec!["Reverting to it is not possible any more. The VM stays as it is.".to_owned()],
            verb: "Delete".to_owned(),
            name: None,
            action: Arc::new(move || {
                let params = IdParam { id: id.clone() };
                state
                    .actions
                    .run::<VmDelete>(format!("Delete the snapshot {name}"), None, params, |_| {});
            }),
        }));
    };
    view! {
        <div class="cards">
            <section class="card card--wide card--flush">
                <header class="card__head">
                    <h2>"Snapshots"</h2>
                    <Button label="Take a snapshot" icon=Icon::Snapshot blocked=blocked on_press=take />
                </header>
                <Show when=move || ours.with(Vec::is_empty)>
                    <Empty text="No snapshot yet." />
                </Show>
                <For each=move || ours.get() key=|snapshot| (snapshot.id.clone(), snapshot.name_label.clone()) let:snapshot>
                    {
                        let time = snapshot.snapshot_time as f64 * 1000.0;
                        let memory = snapshot.power_state == "Suspended";
                        let (reverted, deleted) = (snapshot.clone(), snapshot.clone());
                        view! {
                            <div class="line">
                                <div class="line__what">
                                    <strong>{snapshot.name_label.clone()}</strong>
                                    {memory.then(|| view! { <span class="note">"with memory"</span> })}
                                </div>
                                <span class="line__when" title=format::absolute(time)>
                                    {format::local(time)} " · " {move || format::ago(state.clock.now.get(), time)}
                                </span>
                                <Button label="Revert" icon=Icon::Revert on_press=move || revert(&reverted) />
                                <Button label="Delete" icon=Icon::Trash kind=Kind::Quiet on_press=move || delete(&deleted) />
                            </div>
                        }
                    }
                </For>
            </section>
        </div>
    }
}
