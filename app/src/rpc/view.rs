//! The typed view subscription of the web client (design decision 3): a snapshot, then deltas.
//!
//! `view.subscribe` answers at once; rows then come as notifications `view` on the same socket. A
//! snapshot comes in chunks (`more: true` until the last) so that no chunk takes a frame to apply.
//! With `compress`, every `view` notification comes as a *binary* frame that holds the zlib stream of
//! the same JSON text; everything else stays text.
//!
//! Each row of a type replaces the client's row of that id; `gone` removes. `reset: true` on a chunk
//! means: forget everything of this view first. After a cut the client subscribes again with the last
//! `epoch` and `revision` it applied, and gets only what changed since, if the server still knows.

use super::Method;
use crate::model::light::{LightHost, LightNetwork, LightPool, LightSr, LightTask, LightVm, LinkRow};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a view shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "camelCase")]
pub enum ViewSpec {
    /// Light rows of all VMs, hosts, pools, SRs, networks, templates, snapshots, tasks, and the links.
    Lists,
    /// The full object `id` and the full objects that its page shows with it: a VM's VBDs, VDIs, VIFs,
    /// snapshots; a host's PIFs, PBDs, patches, control domain; a pool's; and messages about it.
    Object { id: String },
}

/// A point in the server's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// Differs after each start of the server.
    pub epoch: u64,
    pub revision: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscribeParams {
    pub view: ViewSpec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    #[serde(default)]
    pub compress: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Number of this view on this socket; `view` notifications carry it.
    pub view: u32,
    pub epoch: u64,
}

pub struct Subscribe;
impl Method for Subscribe {
    const NAME: &'static str = "view.subscribe";
    type Params = SubscribeParams;
    type Output = Subscribed;
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnsubscribeParams {
    pub view: u32,
}

pub struct Unsubscribe;
impl Method for Unsubscribe {
    const NAME: &'static str = "view.unsubscribe";
    type Params = UnsubscribeParams;
    type Output = bool;
}

/// Name of the notification.
pub const NOTIFICATION: &str = "view";

/// Params of one `view` notification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ViewUpdate {
    pub view: u32,
    /// Revision that the view shows once this update (and those before it) is applied.
    pub revision: u64,
    #[serde(skip_serializing_if = "is_false")]
    pub reset: bool,
    /// More chunks of the same snapshot follow.
    #[serde(skip_serializing_if = "is_false")]
    pub more: bool,
    #[serde(rename = "VM", skip_serializing_if = "Vec::is_empty")]
    pub vms: Vec<LightVm>,
    #[serde(rename = "VM-template", skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<LightVm>,
    #[serde(rename = "VM-snapshot", skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<LightVm>,
    #[serde(rename = "VM-controller", skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<LightVm>,
    #[serde(rename = "host", skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<LightHost>,
    #[serde(rename = "pool", skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<LightPool>,
    #[serde(rename = "SR", skip_serializing_if = "Vec::is_empty")]
    pub srs: Vec<LightSr>,
    #[serde(rename = "network", skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<LightNetwork>,
    #[serde(rename = "task", skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<LightTask>,
    /// All links, whenever one of them changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<Vec<LinkRow>>,
    /// Full objects, as in `xo.getAllObjects`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub full: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_rows_travel_as_arrays() {
        let update = ViewUpdate {
            view: 1,
            revision: 7,
            hosts: vec![LightHost {
                id: "h".into(),
                name_label: "one".into(),
                ..LightHost::default()
            }],
            ..ViewUpdate::default()
        };
        let text = serde_json::to_string(&update).expect("serialisable");
        assert_eq!(
            text,
            r#"{"view":1,"revision":7,"host":[["h","one","","","",false,0,0,0,"","",[],false,0,""]]}"#
        );
        assert_eq!(
            serde_json::from_str::<ViewUpdate>(&text).expect("reads back"),
            update
        );
    }
}
