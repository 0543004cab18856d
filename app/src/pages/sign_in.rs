//! The sign-in page: rendered by the server alone, a plain form without scripts.

use crate::{routes, shell::Head, ui::mark::Mark};
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
                    <Mark size=44 />
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

/// The second step: the password was right, a one-time code is wanted. `ticket` stands for the first step.
#[component]
pub fn OtpPage(#[prop(into)] ticket: String, #[prop(optional, into)] error: Option<String>) -> impl IntoView {
    let failed = error.is_some();
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <Head />
                <title>"One-time code · Xen Orchestra"</title>
            </head>
            <body class="sign-in">
                <main class="sign-in__card">
                    <Mark size=44 />
                    <h1>"One-time code"</h1>
                    {error.map(|error| view! { <p class="sign-in__error" role="alert">{error}</p> })}
                    <form method="post" action=routes::SIGN_IN_OTP class="form">
                        <input type="hidden" name="ticket" value=ticket />
                        <label class="field">
                            <span>"The six digits that your authenticator shows now"</span>
                            <input
                                class="input input--large"
                                name="otp"
                                inputmode="numeric"
                                autocomplete="one-time-code"
                                maxlength="20"
                                required
                                autofocus
                                aria-invalid=failed.then_some("true")
                            />
                        </label>
                        <button type="submit" class="button button--primary button--large">"Sign in"</button>
                    </form>
                    <a href=routes::SIGN_IN class="link">"Begin again"</a>
                </main>
            </body>
        </html>
    }
}
