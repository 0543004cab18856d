//! The sign-in page: rendered by the server alone, a plain form without scripts.

use crate::{routes, shell::Head};
use leptos::prelude::*;

/// The whole document. `error` is said above the form; `username` is put back after a failure.
#[component]
pub fn SignInPage(
    #[prop(optional, into)] error: Option<String>,
    #[prop(optional, into)] username: String,
) -> impl IntoView {
    let failed = error.is_some();
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <Head />
                <title>"Sign in · Xen Orchestra"</title>
            </head>
            <body class="sign-in">
                <main class="sign-in__card">
                    <svg viewBox="0 0 32 32" width="44" height="44" aria-hidden="true">
                        <rect width="32" height="32" rx="8" fill="var(--mark)" />
                        <g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round">
                            <path d="M9 10.5 16 16l7-5.5M9 21.5 16 16l7 5.5" />
                        </g>
                        <g fill="#fff">
                            <circle cx="9" cy="10.5" r="3" />
                            <circle cx="23" cy="10.5" r="3" />
                            <circle cx="9" cy="21.5" r="3" />
                            <circle cx="23" cy="21.5" r="3" />
                            <circle cx="16" cy="16" r="3.4" />
                        </g>
                    </svg>
                    <h1>"Xen Orchestra"</h1>
                    {error.map(|error| view! { <p class="sign-in__error" role="alert">{error}</p> })}
                    <form method="post" action=routes::SIGN_IN_LOCAL class="form">
                        <label class="field">
                            <span>"User name"</span>
                            <input
                                class="input input--large"
                                name="username"
                                autocomplete="username"
                                autocapitalize="none"
                                spellcheck="false"
                                required
                                value=username
                                autofocus=!failed
                                aria-invalid=failed.then_some("true")
                            />
                        </label>
                        <label class="field">
                            <span>"Password"</span>
                            <input
                                class="input input--large"
                                name="password"
                                type="password"
                                autocomplete="current-password"
                                required
                                autofocus=failed
                                aria-invalid=failed.then_some("true")
                            />
                        </label>
                        <label class="check">
                            <input type="checkbox" name="remember-me" />
                            <span>"Keep me signed in on this device"</span>
                        </label>
                        <button type="submit" class="button button--primary button--large">"Sign in"</button>
                    </form>
                </main>
            </body>
        </html>
    }
}
