//! The HTML document, and the root of the application in it.

use crate::{
    layouts::frame::Frame,
    pages::{
        host::HostPage, hosts::HostsPage, not_found::NotFound, pool::PoolPage, pools::PoolsPage,
        servers::ServersPage, tasks::TasksPage, vm::VmPage, vms::VmsPage,
    },
    routes,
    state::State,
};
use leptos::prelude::*;
use leptos_meta::{MetaTags, Title, provide_meta_context};
use leptos_router::{
    components::{Route, Router, Routes},
    path,
};

/// The document that the server renders for every page of the application.
///
/// The client is started by a file of ours (public/start.js) rather than Leptos' inline script, so that
/// the content security policy needs no exception.
pub fn shell(_options: LeptosOptions) -> impl IntoView {
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <Head />
                <link rel="modulepreload" href=routes::CLIENT_SCRIPT />
                <link rel="preload" href=routes::CLIENT_MODULE r#as="fetch" type="application/wasm" crossorigin="anonymous" />
                <script type="module" src="/start.js"></script>
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// What every document of ours has in its head.
#[component]
pub fn Head() -> impl IntoView {
    view! {
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href=routes::STYLE_SHEET />
        <script src="/theme.js"></script>
    }
}

#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    State::provide();
    view! {
        <Title formatter=|title: String| if title.is_empty() { "Xen Orchestra".to_owned() } else { format!("{title} · Xen Orchestra") } />
        <Router>
            <Frame>
                <Routes fallback=NotFound>
                    <Route path=path!("/") view=VmsPage />
                    <Route path=path!("/vms") view=VmsPage />
                    <Route path=path!("/vms/:id/:tab?") view=VmPage />
                    <Route path=path!("/hosts") view=HostsPage />
                    <Route path=path!("/hosts/:id/:tab?") view=HostPage />
                    <Route path=path!("/pools") view=PoolsPage />
                    <Route path=path!("/pools/:id/:tab?") view=PoolPage />
                    <Route path=path!("/tasks") view=TasksPage />
                    <Route path=path!("/administration/servers") view=ServersPage />
                </Routes>
            </Frame>
        </Router>
    }
}
