//! The form that registers a server, or changes one.

use crate::{
    rpc::methods::{NewServer, Server, ServerAdd, ServerChange, ServerSet},
    state::use_state,
    ui::{
        button::{Button, Kind},
        dialog::Dialog,
    },
};
use leptos::{ev::SubmitEvent, prelude::*};

/// What the form is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Editing {
    New,
    Old(Box<Server>),
}

/// How the certificate of the pool's master is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Certificate {
    #[default]
    FirstUse,
    Verify,
    Any,
}

const CERTIFICATES: [(Certificate, &str, &str); 3] = [
    (
        Certificate::FirstUse,
        "Trust at first use",
        "Pins the certificate met at the first connection: right for the self-signed certificates that hosts come with",
    ),
    (
        Certificate::Verify,
        "Verify",
        "Only a certificate from an authority that this machine trusts",
    ),
    (
        Certificate::Any,
        "Accept any",
        "No protection against an impostor on the network",
    ),
];

#[component]
pub fn ServerForm(editing: RwSignal<Option<Editing>>, on_done: Callback<()>) -> impl IntoView {
    let actions = use_state().actions;
    let open = RwSignal::new(false);
    let label = RwSignal::new(String::new());
    let host = RwSignal::new(String::new());
    let username = RwSignal::new(String::new());
    let password = RwSignal::new(String::new());
    let certificate = RwSignal::new(Certificate::default());
    Effect::new(move |_| {
        let Some(what) = editing.get() else { return };
        let old = match what {
            Editing::New => Server {
                username: "root".into(),
                ..Server::default()
            },
            Editing::Old(server) => *server,
        };
        certificate.set(if old.allow_unauthorized {
            Certificate::Any
        } else if old.id.is_empty() || old.fingerprint.is_some() {
            Certificate::FirstUse
        } else {
            Certificate::Verify
        });
        label.set(old.label.unwrap_or_default());
        host.set(old.host);
        username.set(old.username);
        password.set(String::new());
        open.set(true);
    });
    Effect::new(move |_| {
        if !open.get() && editing.with_untracked(Option::is_some) {
            editing.set(None);
        }
    });
    let is_new = move || editing.with(|editing| !matches!(editing, Some(Editing::Old(_))));
    let blocked = Signal::derive(move || {
        if host.with(|host| host.trim().is_empty()) {
            Some("Enter the address of the pool's master".to_owned())
        } else if username.with(|name| name.trim().is_empty()) {
            Some("Enter the user name".to_owned())
        } else if is_new() && password.with(String::is_empty) {
            Some("Enter the password".to_owned())
        } else {
            None
        }
    });
    let save = move || {
        if blocked.get_untracked().is_some() {
            return;
        }
        let some = |text: RwSignal<String>| {
            Some(text.get_untracked().trim().to_owned()).filter(|text| !text.is_empty())
        };
        let allow_unauthorized = Some(certificate.get_untracked() == Certificate::Any);
        let pin = (certificate.get_untracked() == Certificate::FirstUse).then(|| "first-use".to_owned());
        let address = host.get_untracked().trim().to_owned();
        match editing.get_untracked() {
            Some(Editing::Old(old)) => {
                // Only what changed: most of it is refused while the server is connected.
                let changed = |text: RwSignal<String>, old: &str| {
                    Some(text.get_untracked().trim().to_owned()).filter(|text| text != old)
                };
                let change = ServerChange {
                    id: old.id.clone(),
                    label: changed(label, old.label.as_deref().unwrap_or_default()),
                    host: changed(host, &old.host),
                    username: changed(username, &old.username),
                    password: some(password),
                    allow_unauthorized: allow_unauthorized.filter(|allow| *allow != old.allow_unauthorized),
                    read_only: None,
                    fingerprint: match (&old.fingerprint, pin) {
                        (None, pin) => pin,
                        (Some(_), Some(_)) => None,
                        // The empty text erases the pin.
                        (Some(_), None) => Some(String::new()),
                    },
                };
                actions.run::<ServerSet>(format!("Change the server {address}"), None, change, move |_| {
                    on_done.run(());
                });
            }
            _ => {
                let server = NewServer {
                    label: some(label),
                    host: address.clone(),
                    username: username.get_untracked().trim().to_owned(),
                    password: password.get_untracked(),
                    auto_connect: Some(true),
                    allow_unauthorized,
                    http_proxy: None,
                    fingerprint: pin,
                };
                actions.run::<ServerAdd>(format!("Add the server {address}"), None, server, move |_| {
                    on_done.run(());
                });
            }
        }
        password.set(String::new());
        open.set(false);
    };
    view! {
        <Dialog open=open title="Server" class="dialog--narrow">
            <form
                class="form"
                on:submit=move |event: SubmitEvent| {
                    event.prevent_default();
                    save();
                }
            >
                <p class="form__hint">"A server is the master of a pool; its other hosts are found by themselves."</p>
                <label class="field">
                    <span>"Address"</span>
                    <input class="input" name="host" required autocomplete="off" placeholder="xcp1.example.org or 192.0.2.10" prop:value=host on:input=move |event| host.set(event_target_value(&event)) />
                </label>
                <div class="form__pair">
                    <label class="field">
                        <span>"User name"</span>
                        <input class="input" name="username" autocomplete="off" prop:value=username on:input=move |event| username.set(event_target_value(&event)) />
                    </label>
                    <label class="field">
                        <span>"Password"</span>
                        <input
                            class="input"
                            name="password"
                            type="password"
                            autocomplete="new-password"
                            placeholder=move || if is_new() { "" } else { "Unchanged" }
                            prop:value=password
                            on:input=move |event| password.set(event_target_value(&event))
                        />
                    </label>
                </div>
                <label class="field">
                    <span>"Label (optional)"</span>
                    <input class="input" name="label" autocomplete="off" prop:value=label on:input=move |event| label.set(event_target_value(&event)) />
                </label>
                <fieldset class="choices">
                    <legend>"Certificate"</legend>
                    {CERTIFICATES
                        .into_iter()
                        .map(|(choice, title, hint)| {
                            view! {
                                <label class="choice">
                                    <input
                                        type="radio"
                                        name="certificate"
                                        prop:checked=move || certificate.get() == choice
                                        on:change=move |_| certificate.set(choice)
                                    />
                                    <span>
                                        <strong>{title}</strong>
                                        <small>{hint}</small>
                                    </span>
                                </label>
                            }
                        })
                        .collect_view()}
                </fieldset>
                // What makes Enter in a field save; the button to press says why it can not.
                <button type="submit" hidden></button>
                <footer class="dialog__foot">
                    <Button label="Cancel" on_press=move || open.set(false) />
                    {move || {
                        let label = if is_new() { "Add and connect" } else { "Save" };
                        view! { <Button label=label kind=Kind::Primary blocked=blocked on_press=save /> }
                    }}
                </footer>
            </form>
        </Dialog>
    }
}
