//! The command palette: every object, page and action by name, from anywhere.

use super::{power_state::Power, power_state::PowerIcon, vm_actions::VmAction};
use crate::{
    model::light::LightVm,
    routes::Route,
    state::{State, class::Row, preferences::Theme, use_state},
    ui::{
        dialog::Dialog,
        icon::{Glyph, Icon},
        keys::focus,
    },
};
use leptos::{ev::KeyboardEvent, prelude::*};
use leptos_router::hooks::use_navigate;
use std::sync::Arc;

const SHOWN: usize = 40;

#[derive(Clone)]
enum Target {
    Go(String),
    Act(VmAction, Arc<Row<LightVm>>),
    Theme(Theme),
    Tasks,
    Help,
}

#[derive(Clone)]
struct Entry {
    title: String,
    kind: &'static str,
    glyph: Result<Icon, Power>,
    target: Target,
    /// Why the action is not possible now.
    blocked: Option<String>,
}

#[component]
pub fn Palette() -> impl IntoView {
    let state = use_state();
    let open = state.panels.palette;
    let text = RwSignal::new(String::new());
    let at = RwSignal::new(0_usize);
    let entries: Memo<Arc<Vec<Entry>>> = Memo::new_with_compare(
        move |_| {
            Arc::new(if open.get() {
                search(state, &text.get())
            } else {
                Vec::new()
            })
        },
        |_, _| true,
    );
    Effect::new(move |_| {
        if open.get() {
            text.set(String::new());
            at.set(0);
            request_animation_frame(|| focus("#palette-input"));
        }
    });
    let navigate = use_navigate();
    let choose = StoredValue::new_local(move |entry: &Entry| {
        if entry.blocked.is_some() {
            return;
        }
        open.set(false);
        match &entry.target {
            Target::Go(path) => navigate(path, Default::default()),
            Target::Act(action, row) => match action.question(state, row) {
                // What needs a question is asked on the object's own page.
                Some(_) => navigate(&Route::Vm(row.id.to_string()).path(), Default::default()),
                None => action.run(state, row),
            },
            Target::Theme(theme) => state.preferences.set_theme(*theme),
            Target::Tasks => state.panels.tasks.set(true),
            Target::Help => state.panels.help.set(true),
        }
    });
    let key = move |event: KeyboardEvent| {
        let number = entries.with(|entries| entries.len());
        match event.key().as_str() {
            "ArrowDown" => at.update(|at| *at = (*at + 1).min(number.saturating_sub(1))),
            "ArrowUp" => at.update(|at| *at = at.saturating_sub(1)),
            "Enter" => {
                if let Some(entry) = entries.with(|entries| entries.get(at.get_untracked()).cloned()) {
                    choose.with_value(|choose| choose(&entry));
                }
            }
            _ => return,
        }
        event.prevent_default();
        if let Ok(Some(option)) = document().query_selector(&format!("#palette-{}", at.get_untracked())) {
            option.scroll_into_view_with_bool(false);
        }
    };
    view! {
        <Dialog open=open title="Find anything, do anything" class="dialog--palette">
            <div class="palette">
                <div class="palette__box">
                    <Glyph icon=Icon::Search />
                    <input
                        id="palette-input"
                        role="combobox"
                        aria-expanded="true"
                        aria-controls="palette-list"
                        aria-autocomplete="list"
                        aria-activedescendant=move || format!("palette-{}", at.get())
                        aria-label="Find anything, do anything"
                        placeholder="A VM, host, pool or page; or start web-01"
                        autocomplete="off"
                        spellcheck="false"
                        prop:value=text
                        on:input=move |event| {
                            text.set(event_target_value(&event));
                            at.set(0);
                        }
                        on:keydown=key
                    />
                </div>
                <div id="palette-list" class="palette__list" role="listbox" aria-label="Results">
                    {move || {
                        entries
                            .get()
                            .iter()
                            .cloned()
                            .enumerate()
                            .map(|(index, entry)| {
                                let glyph = match entry.glyph {
                                    Ok(icon) => view! { <Glyph icon=icon /> }.into_any(),
                                    Err(power) => view! { <PowerIcon power=power /> }.into_any(),
                                };
                                let blocked = entry.blocked.clone();
                                let disabled = blocked.is_some().to_string();
                                let (title, kind) = (entry.title.clone(), entry.kind);
                                view! {
                                    <div
                                        id=format!("palette-{index}")
                                        role="option"
                                        class="palette__entry"
                                        aria-selected=move || (at.get() == index).to_string()
                                        aria-disabled=disabled
                                        on:click=move |_| choose.with_value(|choose| choose(&entry))
                                    >
                                        {glyph}
                                        <span class="palette__title">{title}</span>
                                        <span class="palette__kind">{blocked.unwrap_or_else(|| kind.to_owned())}</span>
                                    </div>
                                }
                            })
                            .collect_view()
                    }}
                </div>
                <Show when=move || entries.with(|entries| entries.is_empty())>
                    <p class="palette__none" role="status">"Nothing has that name."</p>
                </Show>
            </div>
        </Dialog>
    }
}

fn go(title: impl Into<String>, kind: &'static str, icon: Icon, route: Route) -> Entry {
    Entry {
        title: title.into(),
        kind,
        glyph: Ok(icon),
        target: Target::Go(route.path()),
        blocked: None,
    }
}

fn search(state: State, text: &str) -> Vec<Entry> {
    let wanted = text.trim().to_lowercase();
    let mut found: Vec<(u8, Entry)> = Vec::new();
    let rank = |name: &str| -> Option<u8> {
        let at = name.find(&wanted)?;
        Some(if name.len() == wanted.len() {
            0
        } else if at == 0 {
            1
        } else if !name[..at].ends_with(char::is_alphanumeric) {
            2
        } else {
            3
        })
    };
    let mut fixed = vec![
        go("Virtual machines", "Page", Icon::Vm, Route::Vms),
        go("Hosts", "Page", Icon::Host, Route::Hosts),
        go("Pools", "Page", Icon::Pool, Route::Pools),
        go("Tasks", "Page", Icon::Task, Route::Tasks),
    ];
    if state
        .user
        .with_untracked(|user| user.as_ref().is_some_and(crate::rpc::methods::User::is_admin))
    {
        fixed.push(go("Servers", "Administration", Icon::Server, Route::Servers));
    }
    let command = |title: &str, icon, target| Entry {
        title: title.into(),
        kind: "Action",
        glyph: Ok(icon),
        target,
        blocked: None,
    };
    fixed.push(command("Show running tasks", Icon::Task, Target::Tasks));
    fixed.push(command("Keyboard shortcuts", Icon::Keyboard, Target::Help));
    fixed.push(command("Theme: light", Icon::Theme, Target::Theme(Theme::Light)));
    fixed.push(command("Theme: dark", Icon::Theme, Target::Theme(Theme::Dark)));
    fixed.push(command(
        "Theme: as the system",
        Icon::Theme,
        Target::Theme(Theme::Auto),
    ));
    found.extend(
        fixed
            .into_iter()
            .filter_map(|entry| rank(&entry.title.to_lowercase()).map(|rank| (rank, entry))),
    );
    if wanted.is_empty() {
        return found.into_iter().map(|(_, entry)| entry).collect();
    }
    let inventory = state.inventory;
    let first_line = |haystack: &str| haystack.lines().next().unwrap_or_default().to_owned();
    for pool in inventory.pools.all() {
        if let Some(rank) = rank(&first_line(&pool.haystack)) {
            found.push((
                rank,
                go(
                    pool.shown_name(),
                    "Pool",
                    Icon::Pool,
                    Route::Pool(pool.id.to_string()),
                ),
            ));
        }
    }
    for host in inventory.hosts.all() {
        if let Some(rank) = rank(&first_line(&host.haystack)) {
            found.push((
                rank,
                go(
                    host.shown_name(),
                    "Host",
                    Icon::Host,
                    Route::Host(host.id.to_string()),
                ),
            ));
        }
    }
    let vms = inventory.vms.all();
    let mut named: Vec<(u8, &Arc<Row<LightVm>>)> = vms
        .iter()
        .filter_map(|vm| rank(vm.haystack.lines().next().unwrap_or_default()).map(|rank| (rank, vm)))
        .collect();
    named.sort_by(|a, b| (a.0, &a.1.name_key).cmp(&(b.0, &b.1.name_key)));
    found.extend(named.into_iter().take(SHOWN).map(|(rank, vm)| {
        let mut entry = go(vm.shown_name(), "VM", Icon::Vm, Route::Vm(vm.id.to_string()));
        entry.glyph = Err(Power::of(&vm.power_state));
        (rank, entry)
    }));
    // `start web-01`: a verb, then a name.
    if let Some((verb, name)) = wanted.rsplit_once(' ').filter(|(verb, _)| verb.len() >= 3) {
        for action in VmAction::ALL
            .into_iter()
            .filter(|action| action.label().to_lowercase().starts_with(verb))
        {
            let mut matching: Vec<_> = vms
                .iter()
                .filter(|vm| vm.haystack.lines().next().unwrap_or_default().contains(name))
                .collect();
            matching.sort_by(|a, b| a.name_key.cmp(&b.name_key));
            found.extend(matching.into_iter().take(8).map(|vm| {
                let blocked = action.blocked(vm);
                let entry = Entry {
                    title: format!("{} {}", action.label(), vm.name_label),
                    kind: "Action",
                    glyph: Ok(action.icon()),
                    target: Target::Act(action, vm.clone()),
                    blocked: blocked.clone(),
                };
                (if blocked.is_some() { 5 } else { 1 }, entry)
            }));
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().take(SHOWN).map(|(_, entry)| entry).collect()
}
