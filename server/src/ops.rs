//! What is done to pools on somebody's behalf. The edges (RPC now, REST later) check and translate; here
//! is what a start or a snapshot means in XAPI calls. Nothing here touches the inventory: changes come
//! back through the event stream.

pub mod vm_delete;
pub mod vm_edit;
pub mod vm_power;
pub mod vm_snapshot;

use crate::{inventory::Object, pools::Pool};
use serde_json::{Value, json};
use std::sync::Arc;
use xapi::{
    CallError, Ref,
    records::{Map, Vm},
};

/// A VM and the pool that it is in.
#[derive(Clone)]
pub struct VmHandle {
    pub pool: Arc<Pool>,
    pub object: Arc<Object>,
    /// The record as XAPI has it at this moment, for decisions that must not rest on what is known here:
    /// that lags behind the caller's own last change by an event.
    fresh: Option<Arc<Vm>>,
}

impl VmHandle {
    pub fn new(pool: Arc<Pool>, object: Arc<Object>) -> Self {
        Self {
            pool,
            object,
            fresh: None,
        }
    }

    /// The same VM, of which the record is read from XAPI now.
    pub async fn refreshed(&self) -> Result<Self, CallError> {
        let record = self.pool.call("VM.get_record", &[self.param()]).await?;
        Ok(Self {
            fresh: Some(Arc::new(record.parse()?)),
            ..self.clone()
        })
    }

    /// The reference as a param of calls.
    pub fn param(&self) -> Value {
        json!(self.object.reference)
    }

    fn reference(&self) -> Ref<Vm> {
        Ref::new(self.object.reference.clone())
    }

    /// Reads from the VM's record; `None` when it is gone.
    pub fn read<T>(&self, read: impl FnOnce(&Vm) -> T) -> Option<T> {
        if let Some(fresh) = &self.fresh {
            return Some(read(fresh));
        }
        self.pool
            .with_records(|cache| cache.get(&self.reference()).map(read))
    }

    pub fn power_state(&self) -> String {
        self.read(|vm| vm.power_state.as_deref().unwrap_or_default().to_owned())
            .unwrap_or_default()
    }

    /// What the operator wrote as the reason for which `operation` is blocked.
    pub fn blocked(&self, operation: &str) -> Option<String> {
        self.read(|vm| map_entry(&vm.blocked_operations, operation))
            .flatten()
    }

    pub async fn run(&self, method: &str, more: &[Value]) -> Result<Value, CallError> {
        self.pool
            .run(&format!("VM.{method}"), &self.with_param(more))
            .await
    }

    pub async fn call(&self, method: &str, more: &[Value]) -> Result<(), CallError> {
        self.pool
            .call(&format!("VM.{method}"), &self.with_param(more))
            .await
            .map(drop)
    }

    fn with_param(&self, more: &[Value]) -> Vec<Value> {
        std::iter::once(self.param())
            .chain(more.iter().cloned())
            .collect()
    }

    /// Sets or removes one entry of a map field. XAPI has no call that replaces: remove, then add.
    pub async fn set_entry(&self, field: &str, key: &str, value: Option<&str>) -> Result<(), CallError> {
        self.call(&format!("remove_from_{field}"), &[json!(key)]).await?;
        match value {
            Some(value) => {
                self.call(&format!("add_to_{field}"), &[json!(key), json!(value)])
                    .await
            }
            None => Ok(()),
        }
    }
}

fn map_entry(map: &Option<Map>, key: &str) -> Option<String> {
    map.as_ref()?.get(key).map(str::to_owned)
}
