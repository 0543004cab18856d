//! Tabs that are links: the address names the tab, so it can be shared and gone back to.

use leptos::prelude::*;
use leptos_router::components::A;

#[derive(Clone, Debug, PartialEq)]
pub struct Tab {
    pub label: String,
    pub href: String,
    pub count: Option<usize>,
}

#[component]
pub fn Tabs(#[prop(into)] label: String, #[prop(into)] tabs: Signal<Vec<Tab>>) -> impl IntoView {
    view! {
        <nav class="tabs" aria-label=label>
            {move || {
                tabs.get()
                    .into_iter()
                    .map(|tab| {
                        view! {
                            <A href=tab.href attr:class="tabs__tab" exact=true scroll=false>
                                {tab.label}
                                {tab.count.map(|count| view! { <span class="badge">{super::format::count(count)}</span> })}
                            </A>
                        }
                    })
                    .collect_view()
            }}
        </nav>
    }
}
