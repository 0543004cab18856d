//! The head of an object page: icon, name edited in place, state and links, tags, actions.

use super::tags::TagEditor;
use crate::ui::inline_edit::InlineEdit;
use leptos::prelude::*;

#[component]
pub fn ObjectHeader(
    #[prop(into)] name: Signal<String>,
    #[prop(into)] id: Signal<String>,
    #[prop(into)] tags: Signal<Vec<String>>,
    icon: ViewFn,
    /// State, pool, host.
    meta: ViewFn,
    /// Absent where the name can not be changed.
    #[prop(optional)]
    rename: Option<Callback<String>>,
    #[prop(optional)] children: Option<Children>,
) -> impl IntoView {
    view! {
        <header class="object-head">
            <div class="object-head__line">
                <span class="object-head__icon">{icon.run()}</span>
                <h1 class="object-head__name">
                    {match rename {
                        Some(rename) => {
                            view! { <InlineEdit value=name label="name" placeholder="Without a name" on_apply=move |text| rename.run(text) /> }
                                .into_any()
                        }
                        None => (move || name.get()).into_any(),
                    }}
                </h1>
                <div class="object-head__meta">{meta.run()}</div>
                <TagEditor id=id tags=tags />
            </div>
            {children.map(|children| view! { <div class="object-head__actions" role="toolbar" aria-label="Actions">{children()}</div> })}
        </header>
    }
}
