//! The page of a list, the same for all classes: title and counts, filter, table, and all of it in the address.

use super::{
    filter_box::{Chip, FilterBox, meaning},
    list_page::{ListHead, address},
    object_table::{Column, ObjectTable},
};
use crate::{
    query::Lookup,
    state::{
        class::{Class, Light},
        list::{self, Kind, List, Sort, Source, Within},
        rows::Placed,
        selection::Selection,
        use_state,
    },
};
use leptos::prelude::*;

/// What is particular to a class.
pub struct Listing<T: 'static> {
    pub class: Class<T>,
    pub columns: &'static [Column<T>],
    /// The page of the object with that id.
    pub href: fn(&str) -> String,
    pub title: &'static str,
    pub placeholder: &'static str,
    pub within: Option<Within<T>>,
    /// Quick filters, with the kind of row that each one leaves.
    pub kind: Option<Kind<T>>,
    pub chips: &'static [(&'static str, &'static str)],
    pub selection: Option<Selection>,
}

/// `empty` is said when nothing is there, given the filter's text; `between` stands above the table.
#[component]
pub fn ObjectList<T: Light>(
    listing: Listing<T>,
    empty: fn(RwSignal<String>) -> AnyView,
    #[prop(optional)] between: Option<fn(List<T>, Selection) -> AnyView>,
) -> impl IntoView
where
    for<'a> Placed<'a, T>: Lookup,
{
    let inventory = use_state().inventory;
    let Listing {
        class,
        columns,
        href,
        title,
        placeholder,
        within,
        kind,
        chips,
        selection,
    } = listing;
    let address = address(columns);
    let text = address.text;
    let (query, error) = meaning(text);
    let sort = Signal::derive(move || {
        let order = address.order.get();
        let column = columns.iter().find(|column| column.key == order.key);
        Sort {
            compare: column
                .and_then(|column| column.compare)
                .unwrap_or(|a, b, _| a.name_key.cmp(&b.name_key)),
            descending: order.descending,
        }
    });
    let list = list::derive(Source {
        class,
        ready: inventory.ready,
        places: inventory.places,
        within,
        query,
        sort,
        kind,
    });
    let chips = Signal::derive(move || {
        list.kinds.with(|counts| {
            let count = |at: usize| counts.get(at).copied().unwrap_or_default();
            chips
                .iter()
                .enumerate()
                // The first two are always offered, so that the place for them does not jump.
                .filter(|(at, _)| *at < 2 || count(*at) > 0)
                .map(|(at, (label, term))| Chip {
                    label,
                    term,
                    count: count(at),
                })
                .collect::<Vec<_>>()
        })
    });
    view! {
        <section class="list">
            <ListHead title=title shown=list.shown total=list.total />
            <FilterBox text=text error=error placeholder=placeholder chips=chips />
            {between.zip(selection).map(|(between, selection)| between(list, selection))}
            <ObjectTable
                list=list
                columns=columns
                order=address.order
                href=href
                selection=selection
                label=title
                empty=ViewFn::from(move || empty(text))
            />
        </section>
    }
}
