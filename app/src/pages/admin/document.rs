//! The document around an administration page.

use crate::{
    routes::{self, Route},
    shell::Head,
    ui::{
        icon::{Glyph, Icon},
        mark::Mark,
    },
};
use leptos::prelude::*;

/// What is said above a page, of what was just done.
#[derive(Clone, Debug)]
pub enum Notice {
    Done(String),
    Failed(String),
}

/// Who looks, and at what.
#[derive(Clone, Debug, Default)]
pub struct Document {
    pub title: String,
    pub user: String,
    pub is_admin: bool,
    /// The entry of the navigation that is marked.
    pub here: &'static str,
    pub notice: Option<Notice>,
}

const ADMINISTRATION: [(&str, Icon, &str); 9] = [
    (routes::ADMIN, Icon::Columns, "Overview"),
    (routes::ADMIN_SERVERS, Icon::Server, "Servers"),
    (routes::ADMIN_USERS, Icon::User, "Users"),
    (routes::ADMIN_GROUPS, Icon::Pool, "Groups"),
    (routes::ADMIN_RIGHTS, Icon::Check, "Rights"),
    (routes::ADMIN_TOKENS, Icon::Tag, "Tokens"),
    (routes::ADMIN_CONNECTIONS, Icon::Link, "Connections"),
    (routes::ADMIN_AUDIT, Icon::Task, "Audit log"),
    (routes::ACCOUNT, Icon::Keyboard, "My account"),
];

/// The whole document.
pub fn document(about: Document, content: impl IntoView + 'static) -> impl IntoView {
    let Document {
        title,
        user,
        is_admin,
        here,
        notice,
    } = about;
    let entries = ADMINISTRATION
        .into_iter()
        .filter(move |(path, ..)| is_admin || *path == routes::ACCOUNT);
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <Head />
                <title>{format!("{title} · Xen Orchestra")}</title>
                <script type="module" src="/admin.js"></script>
            </head>
            <body>
                <a class="skip" href="#content">"Skip to the content"</a>
                <div class="frame frame--admin">
                    <header class="topbar">
                        <a href=Route::Vms.path() class="mark" aria-label="Xen Orchestra">
                            <Mark />
                            <span class="mark__text">"Xen Orchestra"</span>
                        </a>
                        <a href=Route::Vms.path() class="chip-button">
                            <Glyph icon=Icon::Vm />
                            "Virtual machines"
                        </a>
                        <div class="topbar__right">
                            <a href=routes::ACCOUNT class="chip-button" aria-label=format!("My account: {user}")>
                                <Glyph icon=Icon::User />
                                <span class="chip-button__text">{user.clone()}</span>
                            </a>
                            <form method="post" action=routes::SIGN_OUT>
                                <button type="submit" class="chip-button" aria-label="Sign out">
                                    <Glyph icon=Icon::SignOut />
                                    <span class="chip-button__text">"Sign out"</span>
                                </button>
                            </form>
                        </div>
                    </header>
                    <div class="side">
                        <nav class="nav" aria-label="Administration">
                            {entries
                                .map(|(path, icon, label)| {
                                    view! {
                                        <a href=path class="nav__link" aria-current=(path == here).then_some("page")>
                                            <Glyph icon=icon />
                                            <span>{label}</span>
                                        </a>
                                    }
                                })
                                .collect_view()}
                        </nav>
                    </div>
                    <main id="content" class="content" tabindex="-1">
                        <div class="page page--admin">
                            {notice
                                .map(|notice| match notice {
                                    Notice::Done(text) => {
                                        view! { <p class="said said--done" role="status">{text}</p> }.into_any()
                                    }
                                    Notice::Failed(text) => {
                                        view! { <p class="said said--failed" role="alert">{text}</p> }.into_any()
                                    }
                                })}
                            {content}
                        </div>
                    </main>
                </div>
            </body>
        </html>
    }
}
