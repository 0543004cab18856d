//! The WebAssembly entry: brings the server-rendered page to life.

#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
    if let Some(body) = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.body())
    {
        // Tests wait for this before they touch anything.
        let _ = body.dataset().set("hydrated", "");
    }
}
