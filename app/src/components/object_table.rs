//! A virtualised table of light rows: sticky header, sort by click, selection, keyboard.

use crate::{
    state::{
        class::{Class, Id, Light, Row},
        list::{Compare, List},
        selection::Selection,
        use_state,
    },
    ui::{
        icon::{Glyph, Icon},
        keys::plain_key,
        virtual_window::{reveal, visible_rows},
    },
};
use leptos::{ev, html, prelude::*};
use leptos_router::hooks::use_navigate;
use std::sync::Arc;

/// Height of a row and of the header, px; style/table.scss has the same figures.
const ROW: f64 = 32.0;
const HEADER: f64 = 32.0;

pub struct Column<T: 'static> {
    /// Name in the address and in the filter language.
    pub key: &'static str,
    pub title: &'static str,
    /// CSS width; empty for the rest of the room.
    pub width: &'static str,
    /// Extra classes: `num` for figures, `wide` and `medium` for what narrow screens leave out.
    pub class: &'static str,
    pub compare: Option<Compare<T>>,
    pub cell: fn(&Arc<Row<T>>) -> AnyView,
}

/// Sort column (key) and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub key: &'static str,
    pub descending: bool,
}

#[component]
pub fn ObjectTable<T: Light>(
    class: Class<T>,
    list: List<T>,
    columns: &'static [Column<T>],
    order: RwSignal<Order>,
    href: fn(&str) -> String,
    #[prop(optional)] selection: Option<Selection>,
    #[prop(into)] label: String,
    /// Said when nothing passes the filter, or when there is nothing at all.
    empty: ViewFn,
) -> impl IntoView {
    let state = use_state();
    let container: NodeRef<html::Div> = NodeRef::new();
    let total = Signal::derive(move || list.rows.with(|rows| rows.len()));
    let window = visible_rows(container, ROW, total);
    let cursor = RwSignal::new(None::<usize>);
    let ids = move || {
        list.rows
            .with_untracked(|rows| rows.iter().map(|row| row.id.clone()).collect::<Vec<Id>>())
    };
    let shown = move || {
        let range = window.get();
        list.rows.with(|rows| {
            let end = range.end.min(rows.len());
            rows[range.start.min(end)..end].to_vec()
        })
    };
    let spacer = move |rows: usize| format!("height:{}px", rows as f64 * ROW);
    let before = move || spacer(window.get().start.min(total.get()));
    let after = move || spacer(total.get().saturating_sub(window.get().end));

    let navigate = use_navigate();
    let keys = window_event_listener(ev::keydown, move |event| {
        let Some(key) = plain_key(&event) else { return };
        let number = total.get_untracked();
        if number == 0 {
            return;
        }
        let at = cursor.get_untracked();
        match key.as_str() {
            "j" | "ArrowDown" => cursor.set(Some(at.map_or(0, |at| (at + 1).min(number - 1)))),
            "k" | "ArrowUp" => cursor.set(Some(at.map_or(0, |at| at.saturating_sub(1)))),
            "x" => {
                if let (Some(selection), Some(at)) = (selection, at)
                    && let Some(id) = ids().get(at)
                {
                    selection.toggle(id, false, &[]);
                }
                return;
            }
            "Enter" => {
                // A focused link or button has its own Enter.
                let focused = document()
                    .active_element()
                    .is_some_and(|element| element.tag_name() != "BODY");
                if let (Some(at), false) = (at, focused)
                    && let Some(id) = ids().get(at)
                {
                    navigate(&href(id), Default::default());
                }
                return;
            }
            "Escape" => {
                cursor.set(None);
                if let Some(selection) = selection {
                    selection.clear();
                }
                return;
            }
            _ => return,
        }
        event.prevent_default();
        if let Some(at) = cursor.get_untracked() {
            reveal(container, at, ROW, HEADER);
        }
    });
    on_cleanup(move || keys.remove());

    let all_selected = move || {
        selection.is_some_and(|selection| {
            let chosen = selection.ids.with(|ids| ids.len());
            chosen > 0
                && list
                    .rows
                    .with(|rows| rows.len() <= chosen && rows.iter().all(|row| selection.contains(&row.id)))
        })
    };
    let region = label.clone();
    view! {
        <div class="table-scroll" node_ref=container tabindex="0" role="region" aria-label=region>
            <table class="table" aria-label=label aria-rowcount=move || (total.get() + 1).to_string()>
                <colgroup>
                    {selection.map(|_| view! { <col style="width:36px" /> })}
                    {columns
                        .iter()
                        .map(|column| {
                            let width = if column.width.is_empty() { String::new() } else { format!("width:{}", column.width) };
                            view! { <col class=column.class style=width /> }
                        })
                        .collect_view()}
                </colgroup>
                <thead>
                    <tr aria-rowindex="1">
                        {selection
                            .map(|selection| {
                                view! {
                                    <th class="table__select" scope="col">
                                        <input
                                            type="checkbox"
                                            aria-label="Select all that the filter shows"
                                            prop:checked=all_selected
                                            on:change=move |event| {
                                                if event_target_checked(&event) {
                                                    selection.set_all(ids());
                                                } else {
                                                    selection.clear();
                                                }
                                            }
                                        />
                                    </th>
                                }
                            })}
                        {columns.iter().map(|column| header(column, order)).collect_view()}
                    </tr>
                </thead>
                <tbody>
                    // One cell only: a span over columns that narrow screens hide would bring them back.
                    <tr class="table__spacer" aria-hidden="true">
                        <td style=before></td>
                    </tr>
                    <ForEnumerate
                        each=shown
                        key=|row| row.id.clone()
                        children=move |index, row| {
                            let at = move || window.with(|window| window.start) + index.get();
                            let id = row.id.clone();
                            let signal = class.signal(&id).unwrap_or_else(|| ArcRwSignal::new(row));
                            view! {
                                <tr
                                    aria-rowindex=move || (at() + 2).to_string()
                                    class:table__row--cursor=move || cursor.get().is_some_and(|cursor| cursor == at())
                                    class:table__row--selected=move || {
                                        selection.is_some_and(|selection| selection.contains(&id))
                                    }
                                >
                                    {selection.map(|selection| select_cell(selection, signal.clone(), id.clone(), ids))}
                                    {move || {
                                        let row = signal.get();
                                        columns
                                            .iter()
                                            .map(|column| view! { <td class=column.class>{(column.cell)(&row)}</td> })
                                            .collect_view()
                                    }}
                                </tr>
                            }
                        }
                    />
                    <tr class="table__spacer" aria-hidden="true">
                        <td style=after></td>
                    </tr>
                </tbody>
            </table>
            <Show when=move || !state.inventory.ready.get() && total.get() == 0>
                <div class="table-skeleton" aria-hidden="true">
                    {(0..24).map(|_| view! { <div class="table-skeleton__row"><span></span><span></span><span></span><span></span></div> }).collect_view()}
                </div>
            </Show>
            <Show when=move || state.inventory.ready.get() && total.get() == 0>
                {
                    let empty = empty.clone();
                    move || empty.run()
                }
            </Show>
        </div>
    }
}

fn select_cell<T: Light>(
    selection: Selection,
    signal: ArcRwSignal<Arc<Row<T>>>,
    id: Id,
    ids: impl Fn() -> Vec<Id> + Copy + 'static,
) -> impl IntoView {
    let checked = {
        let id = id.clone();
        move || selection.contains(&id)
    };
    view! {
        <td class="table__select">
            <input
                type="checkbox"
                aria-label=move || format!("Select {}", signal.with(|row| row.light.name().to_owned()))
                prop:checked=checked
                on:click=move |event| {
                    selection.toggle(&id, event.shift_key(), &if event.shift_key() { ids() } else { Vec::new() });
                }
            />
        </td>
    }
}

fn header<T>(column: &'static Column<T>, order: RwSignal<Order>) -> AnyView {
    let class = format!("table__head {}", column.class);
    if column.compare.is_none() {
        return view! { <th scope="col" class=class><span class="table__title">{column.title}</span></th> }
            .into_any();
    }
    let current = move || order.with(|order| (order.key == column.key).then_some(order.descending));
    let direction = move || current().map(|descending| if descending { "descending" } else { "ascending" });
    view! {
        <th scope="col" class=class aria-sort=direction>
            <button
                type="button"
                class="table__title"
                on:click=move |_| {
                    order.update(|order| {
                        let again = order.key == column.key;
                        order.descending = again && !order.descending;
                        order.key = column.key;
                    });
                }
            >
                <span>{column.title}</span>
                {move || {
                    current()
                        .map(|descending| view! { <Glyph icon=if descending { Icon::Down } else { Icon::Up } /> })
                }}
            </button>
        </th>
    }
    .into_any()
}
