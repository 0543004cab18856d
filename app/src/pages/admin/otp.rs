//! One-time codes: the secret for an authenticator, confirmed with a code before it counts.

use super::{Entered, parts::*};
use crate::routes;
use leptos::prelude::*;

#[derive(Clone, Debug, Default)]
pub struct Enrolment {
    /// In groups of four.
    pub secret: String,
    pub uri: String,
    /// Modules of the code on a side, and the path that draws the dark ones; nothing when it cannot be drawn.
    pub picture: Option<(usize, String)>,
    pub entered: Entered,
}

#[component]
pub fn EnrolmentPage(enrolment: Enrolment) -> impl IntoView {
    let Enrolment {
        secret,
        uri,
        picture,
        entered,
    } = enrolment;
    view! {
        <p class="crumbs">
            <a class="link" href=routes::ACCOUNT>"My account"</a>
        </p>
        <h1>"Turn one-time codes on"</h1>
        <div class="panels">
            <section class="card">
                <h2>"1. Tell your authenticator"</h2>
                {picture
                    .map(|(side, path)| {
                        // Readers want a margin of four modules, dark on light in both themes.
                        let box_ = format!("-4 -4 {0} {0}", side + 8);
                        view! {
                            <svg class="qr" viewBox=box_ role="img" aria-label="QR code of the address below" shape-rendering="crispEdges">
                                <rect x="-4" y="-4" width="100%" height="100%" fill="#fff" />
                                <path d=path fill="#000" />
                            </svg>
                        }
                    })}
                <p>"Scan the picture, or type the secret:"</p>
                <pre class="secret" data-copy="">{secret}</pre>
                <p>
                    <a class="link" href=uri.clone()>"Open in an authenticator on this device"</a>
                </p>
                <details>
                    <summary class="link">"The address in the picture"</summary>
                    <pre class="details">{uri}</pre>
                </details>
            </section>
            <section class="card">
                <h2>"2. Enter the code that it shows"</h2>
                <form method="post" action=routes::ACCOUNT_OTP class="form">
                    {hidden("confirm", &[])}
                    {field(&entered, Field { form: "confirm", name: "code", label: "Six digits", autocomplete: "one-time-code", hint: "Only then codes are asked for at sign-in", ..Field::default() })}
                    <div class="form__buttons">
                        <button type="submit" class="button button--primary">"Turn on"</button>
                        <a class="button" href=routes::ACCOUNT>"Cancel"</a>
                    </div>
                </form>
            </section>
        </div>
    }
}
