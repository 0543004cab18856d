//! The one search box of a list: the filter language, its errors in words, and chips for common terms.

use crate::{
    query::{Query, ast::Needle, parse},
    ui::icon::{Glyph, Icon},
};
use leptos::prelude::*;
use std::sync::Arc;

/// A term that a click adds or removes, with how many rows it would leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chip {
    pub label: &'static str,
    pub term: &'static str,
    pub count: usize,
}

/// What the text means; a text that can not be read is searched for as it stands.
pub fn meaning(text: RwSignal<String>) -> (Memo<Arc<Query>>, Memo<Option<String>>) {
    let read = Memo::new(move |_| parse(&text.get()).map_err(|error| error.to_string()).err());
    let query = RwSignal::new(Arc::new(Query::default()));
    let query_of = move || {
        text.with(|text| match parse(text) {
            Ok(query) => Arc::new(query),
            Err(_) => Arc::new(Query::Text(Needle::new(text.trim()))),
        })
    };
    Effect::new(move |_| query.set(query_of()));
    // Queries hold compiled expressions, which have no equality: identity stands for it.
    let memo = Memo::new_with_compare(
        move |_| query.get(),
        |old: Option<&Arc<Query>>, new| match (old, new) {
            (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
            _ => true,
        },
    );
    (memo, read)
}

#[component]
pub fn FilterBox(
    text: RwSignal<String>,
    error: Memo<Option<String>>,
    #[prop(into)] placeholder: String,
    #[prop(into)] chips: Signal<Vec<Chip>>,
) -> impl IntoView {
    view! {
        <div class="filter">
            <div class="filter__box">
                <Glyph icon=Icon::Search />
                <input
                    id="filter"
                    type="search"
                    class="filter__input"
                    placeholder=placeholder.clone()
                    aria-label=placeholder
                    autocomplete="off"
                    spellcheck="false"
                    prop:value=text
                    on:input=move |event| text.set(event_target_value(&event))
                    on:keydown=move |event| {
                        if event.key() == "Escape"
                            && let Some(element) = document().active_element()
                            && let Ok(element) = wasm_bindgen::JsCast::dyn_into::<web_sys::HtmlElement>(element)
                        {
                            let _ = element.blur();
                        }
                    }
                />
                <kbd class="filter__key" aria-hidden="true">"/"</kbd>
            </div>
            <div class="filter__chips" role="group" aria-label="Quick filters">
                <For each=move || chips.get() key=|chip| chip.term let:chip>
                    {
                        let term = chip.term;
                        let pressed = Memo::new(move |_| text.with(|text| has_term(text, term)));
                        let number = Memo::new(move |_| {
                            chips.with(|chips| chips.iter().find(|chip| chip.term == term).map_or(0, |chip| chip.count))
                        });
                        view! {
                            <button
                                type="button"
                                class="chip"
                                aria-pressed=move || pressed.get().to_string()
                                on:click=move |_| text.update(|text| *text = toggle_term(text, term))
                            >
                                {chip.label}
                                <span class="chip__count">{move || crate::ui::format::count(number.get())}</span>
                            </button>
                        }
                    }
                </For>
            </div>
            <p class="filter__error" role="status">
                {move || error.get().map(|error| format!("Searched as plain text: {error}"))}
            </p>
        </div>
    }
}

fn has_term(text: &str, term: &str) -> bool {
    text.split_whitespace().any(|word| word == term)
}

fn toggle_term(text: &str, term: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    match words.iter().position(|word| *word == term) {
        Some(at) => {
            words.remove(at);
        }
        None => {
            // One state at a time: another term of the same property gives way.
            if let Some((property, _)) = term.split_once(':') {
                words.retain(|word| word.split_once(':').is_none_or(|(other, _)| other != property));
            }
            words.push(term);
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::toggle_term;

    #[test]
    fn chips_change_the_text() {
        assert_eq!(toggle_term("web", "state:halted"), "web state:halted");
        assert_eq!(toggle_term("web state:halted", "state:halted"), "web");
        assert_eq!(
            toggle_term("state:running web", "state:halted"),
            "web state:halted"
        );
    }
}
