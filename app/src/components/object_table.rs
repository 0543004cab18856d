//! A virtualised table of light rows: sticky header, sort by click, selection, keyboard.

pub mod cell;
mod painter;

use crate::{
    state::{
        State,
        class::{Id, Light, Row},
        list::{Compare, List},
        rows::Places,
        selection::Selection,
        use_state,
    },
    ui::{
        icon::{Glyph, Icon},
        keys::plain_key,
        virtual_window::{reveal, visible_rows},
    },
};
use cell::Cell;
use leptos::{ev, html, prelude::*};
use leptos_router::hooks::use_navigate;
use painter::{Look, Painter};
use std::sync::Arc;
use wasm_bindgen::JsCast;

/// Height of a row and of the header, px; style/table.scss has the same figures.
const ROW: f64 = 32.0;
const HEADER: f64 = 32.0;
/// `aria-rowindex` of the first row: the header is row 1.
const FIRST_ROW: usize = 2;

pub struct Column<T: 'static> {
    /// Name in the address and in the filter language.
    pub key: &'static str,
    pub title: &'static str,
    /// Its share of the width, as a style.
    pub style: &'static str,
    /// Extra classes: `num` for figures, `wide` and `medium` for what narrow screens leave out.
    pub class: &'static str,
    pub compare: Option<Compare<T>>,
    pub cell: fn(&Row<T>, &Around<'_>) -> Cell,
}

/// What a cell may need beside its row. What it reads of the state is followed.
pub struct Around<'a> {
    pub state: State,
    pub places: &'a Places,
}

/// Sort column (key) and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub key: &'static str,
    pub descending: bool,
}

#[component]
pub fn ObjectTable<T: Light>(
    list: List<T>,
    columns: &'static [Column<T>],
    order: RwSignal<Order>,
    href: fn(&str) -> String,
    selection: Option<Selection>,
    #[prop(into)] label: String,
    /// Said when nothing passes the filter, or when there is nothing at all.
    empty: ViewFn,
) -> impl IntoView {
    let state = use_state();
    let container: NodeRef<html::Div> = NodeRef::new();
    let body: NodeRef<html::Tbody> = NodeRef::new();
    let total = list.shown;
    let window = visible_rows(container, ROW, total.into());
    let cursor = RwSignal::new(None::<usize>);
    let id_at = move |at: usize| {
        list.rows
            .with_untracked(|rows| rows.get(at).map(|row| row.id.clone()))
    };
    let ids = move || {
        list.rows
            .with_untracked(|rows| rows.iter().map(|row| row.id.clone()).collect::<Vec<Id>>())
    };
    Effect::new(move |painter: Option<Painter>| {
        let mut painter = painter.unwrap_or_default();
        let Some(body) = body.get() else { return painter };
        let range = window.get();
        let marked = cursor.get();
        state.inventory.places.with(|places| {
            list.rows.with(|rows| {
                let around = Around { state, places };
                let range = range.start.min(rows.len())..range.end.min(rows.len());
                let above = range.start as f64 * ROW;
                let below = (rows.len() - range.end) as f64 * ROW;
                let look = |(at, row): (usize, &Arc<Row<T>>)| Look {
                    id: row.id.clone(),
                    at,
                    cursor: marked == Some(at),
                    chosen: selection.map(|chosen| (chosen.contains(&row.id), row.light.name().to_owned())),
                    cells: columns.iter().map(|column| (column.cell)(row, &around)).collect(),
                };
                let looks = range.clone().zip(&rows[range]).map(look).collect();
                painter.paint(
                    &body,
                    columns.iter().map(|column| (column.class, column.style)),
                    looks,
                    above,
                    below,
                );
            });
        });
        painter
    });
    // One handler for all boxes.
    let choose = move |event: ev::MouseEvent| {
        let Some(selection) = selection else { return };
        let row = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::HtmlInputElement>().ok())
            .and_then(|input| input.closest("tr").ok().flatten())
            .and_then(|row| row.get_attribute("aria-rowindex")?.parse::<usize>().ok());
        if let Some(id) = row.and_then(|row| id_at(row.checked_sub(FIRST_ROW)?)) {
            selection.toggle(&id, event.shift_key(), ids);
        }
    };

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
                if let (Some(selection), Some(id)) = (selection, at.and_then(id_at)) {
                    selection.toggle(&id, false, ids);
                }
                return;
            }
            "Enter" => {
                // A focused link or button has its own Enter.
                let focused = document()
                    .active_element()
                    .is_some_and(|element| element.tag_name() != "BODY");
                if let (Some(id), false) = (at.and_then(id_at), focused) {
                    navigate(&href(&id), Default::default());
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
            selection.ids.with(|chosen| {
                !chosen.is_empty()
                    && list.rows.with(|rows| {
                        rows.len() <= chosen.len() && rows.iter().all(|row| chosen.contains(&row.id))
                    })
            })
        })
    };
    let region = label.clone();
    view! {
        <div class="table-scroll" node_ref=container tabindex="0" role="region" aria-label=region>
            <table class="table" role="table" aria-label=label aria-rowcount=move || (total.get() + 1).to_string()>
                <thead role="rowgroup">
                    <tr role="row" aria-rowindex="1">
                        {selection
                            .map(|selection| {
                                view! {
                                    <th class="table__select" role="columnheader" scope="col">
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
                <tbody role="rowgroup" node_ref=body on:click=choose></tbody>
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

fn header<T>(column: &'static Column<T>, order: RwSignal<Order>) -> AnyView {
    let class = format!("table__head {}", column.class);
    if column.compare.is_none() {
        return view! { <th role="columnheader" scope="col" class=class style=column.style><span class="table__title">{column.title}</span></th> }
            .into_any();
    }
    let current = move || order.with(|order| (order.key == column.key).then_some(order.descending));
    let direction = move || current().map(|descending| if descending { "descending" } else { "ascending" });
    view! {
        <th role="columnheader" scope="col" class=class style=column.style aria-sort=direction>
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
