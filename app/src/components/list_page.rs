//! What every list page has: its filter and order kept in the address, and `/` to the search box.

use super::object_table::{Column, Order};
use crate::ui::keys::{focus, plain_key};
use leptos::{ev, prelude::*};
use leptos_router::{
    NavigateOptions,
    hooks::{use_location, use_navigate, use_query_map},
};
use std::time::Duration;

#[derive(Clone, Copy)]
pub struct Address {
    pub text: RwSignal<String>,
    pub order: RwSignal<Order>,
}

/// The first column is the order without a choice.
pub fn address<T>(columns: &'static [Column<T>]) -> Address {
    let query = use_query_map();
    let location = use_location();
    let first = columns.first().map_or("name_label", |column| column.key);
    let read = move || {
        query.with(|query| {
            let text = query.get("s").unwrap_or_default();
            let key = query
                .get("sort")
                .and_then(|wanted| columns.iter().find(|column| column.key == wanted))
                .filter(|column| column.compare.is_some())
                .map(|column| column.key);
            (
                text,
                Order {
                    key: key.unwrap_or(first),
                    descending: query.get("desc").is_some(),
                },
            )
        })
    };
    let (text, order) = untrack(read);
    let address = Address {
        text: RwSignal::new(text),
        order: RwSignal::new(order),
    };
    // What was last written there: anything else came from a link or the history.
    let written = StoredValue::new(None::<(String, Order)>);
    Effect::new(move |_| {
        let (text, order) = read();
        let own = written.with_value(|written| written.as_ref() == Some(&(text.clone(), order.clone())));
        if !own {
            if address.text.get_untracked() != text {
                address.text.set(text);
            }
            if address.order.get_untracked() != order {
                address.order.set(order);
            }
        }
    });
    let pathname = location.pathname;
    let navigate = use_navigate();
    let timer = StoredValue::new(None::<TimeoutHandle>);
    Effect::new(move |last: Option<()>| {
        let (text, order) = (address.text.get(), address.order.get());
        if last.is_none() {
            return;
        }
        if let Some(timer) = timer.get_value() {
            timer.clear();
        }
        let navigate = navigate.clone();
        // After the typing: the history API is not meant for every key.
        let handle = set_timeout_with_handle(
            move || {
                let path = pathname.get_untracked();
                let mut query = leptos_router::params::ParamsMap::new();
                if !text.is_empty() {
                    query.insert("s", text.clone());
                }
                if order.key != first || order.descending {
                    query.insert("sort", order.key.to_owned());
                }
                if order.descending {
                    query.insert("desc", "1".to_owned());
                }
                if written.try_set_value(Some((text, order))).is_none() {
                    let target = format!("{path}{}", query.to_query_string());
                    navigate(
                        &target,
                        NavigateOptions {
                            replace: true,
                            scroll: false,
                            ..NavigateOptions::default()
                        },
                    );
                }
            },
            Duration::from_millis(250),
        );
        timer.set_value(handle.ok());
    });
    on_cleanup(move || {
        if let Some(Some(timer)) = timer.try_get_value() {
            timer.clear();
        }
    });
    let keys = window_event_listener(ev::keydown, move |event| {
        if plain_key(&event).as_deref() == Some("/") {
            event.prevent_default();
            focus("#filter");
        }
    });
    on_cleanup(move || keys.remove());
    address
}

/// The line above a list: its title, how many rows, and what stands beside.
#[component]
pub fn ListHead(
    #[prop(into)] title: String,
    #[prop(into)] shown: Signal<usize>,
    #[prop(into)] total: Signal<usize>,
    #[prop(optional)] children: Option<Children>,
) -> impl IntoView {
    let ready = crate::state::use_state().inventory.ready;
    view! {
        <header class="list-head">
            <h1>{title}</h1>
            <p class="list-head__count" role="status">
                {move || {
                    let (shown, total) = (shown.get(), total.get());
                    use crate::ui::format::count;
                    if !ready.get() && total == 0 {
                        "Loading…".to_owned()
                    } else if shown == total {
                        count(total)
                    } else {
                        format!("{} of {}", count(shown), count(total))
                    }
                }}
            </p>
            {children.map(|children| children())}
        </header>
    }
}
