//! All VMs.

use crate::components::vm_table::{Scope, VmTable};
use leptos::prelude::*;
use leptos_meta::Title;

#[component]
pub fn VmsPage() -> impl IntoView {
    view! {
        <Title text="VMs" />
        <VmTable scope=Scope::All />
    }
}
