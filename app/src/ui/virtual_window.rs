//! Which rows of a long list are on the screen: the scroll position and size of its container, in rows.

use leptos::{html, prelude::*};
use std::ops::Range;
use wasm_bindgen::{JsCast, prelude::Closure};

/// Rows drawn beyond each edge, so that a scroll finds them ready.
const MARGIN: usize = 4;
/// What the server renders and the first paint shows, before anything is measured.
const FIRST: usize = 24;

/// Follows a scrolling container whose rows all have one height (px).
pub fn visible_rows(
    container: NodeRef<html::Div>,
    row_height: f64,
    total: Signal<usize>,
) -> Memo<Range<usize>> {
    let position = RwSignal::new((0.0_f64, FIRST as f64 * row_height));
    Effect::new(move |_| {
        let Some(node) = container.get() else { return };
        let measure = {
            let node = node.clone();
            move || {
                position.try_set((f64::from(node.scroll_top()), f64::from(node.client_height())));
            }
        };
        // Called a first time as soon as there is a layout: asking for it here would cost one more.
        let on_resize = Closure::<dyn FnMut()>::new(measure.clone());
        let observer = web_sys::ResizeObserver::new(on_resize.as_ref().unchecked_ref()).ok();
        if let Some(observer) = &observer {
            observer.observe(&node);
        }
        let on_scroll = Closure::<dyn FnMut()>::new(measure);
        let _ = node.add_event_listener_with_callback("scroll", on_scroll.as_ref().unchecked_ref());
        // The closures live as long as what calls them.
        let kept = StoredValue::new_local((observer, on_resize, on_scroll));
        on_cleanup(move || {
            kept.try_update_value(|(observer, ..)| {
                if let Some(observer) = observer {
                    observer.disconnect();
                }
            });
        });
    });
    Memo::new(move |_| {
        let (top, height) = position.get();
        let total = total.get();
        let first = ((top / row_height) as usize).saturating_sub(MARGIN).min(total);
        let last = ((top + height) / row_height).ceil() as usize + MARGIN;
        // Steps of four rows: not every scrolled pixel builds a row.
        let first = first - first % 4;
        first..last.next_multiple_of(4).min(total).max(first)
    })
}

/// Scrolls so that a row is inside the container, below a sticky header of that height.
pub fn reveal(container: NodeRef<html::Div>, row: usize, row_height: f64, header: f64) {
    let Some(node) = container.get_untracked() else {
        return;
    };
    let top = row as f64 * row_height;
    let (from, height) = (
        f64::from(node.scroll_top()),
        f64::from(node.client_height()) - header,
    );
    if top < from {
        node.set_scroll_top(top as i32);
    } else if top + row_height > from + height {
        node.set_scroll_top((top + row_height - height).ceil() as i32);
    }
}
