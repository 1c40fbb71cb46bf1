//! `call-tool`, the export that is called most.

use wasmtime::component::{ComponentExportIndex, InstancePre};
use wasmtime::{Engine, Store};

use super::component::{PLUGIN_PACKAGE, PLUGIN_VERSION};
use crate::bindings::PluginPre;
use crate::bindings::toolhost::plugin::types as wit;
use crate::sandbox::Sandbox;

/// A plugin's `call-tool`, looked up once. The generated bindings look up and type-check every
/// function of the interface in every instance.
pub(crate) struct CallTool {
    pre: InstancePre<Sandbox>,
    index: ComponentExportIndex,
}

impl CallTool {
    /// # Errors
    ///
    /// The component has none.
    pub(super) fn new(plugin: &PluginPre<Sandbox>) -> Result<CallTool, String> {
        let pre = plugin.instance_pre().clone();
        let component = pre.component();
        let interface = format!("{PLUGIN_PACKAGE}/tools@{PLUGIN_VERSION}");
        let interface = component.get_export_index(None, &interface);
        let index =
            interface.and_then(|tools| component.get_export_index(Some(&tools), "call-tool"));
        match index {
            Some(index) => Ok(CallTool { pre, index }),
            None => Err("does not export `call-tool`".to_owned()),
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        self.pre.engine()
    }

    /// Calls it in a new instance.
    pub(super) async fn call(
        &self,
        store: &mut Store<Sandbox>,
        call: &wit::Call,
    ) -> wasmtime::Result<Result<wit::Output, wit::Error>> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let function = instance
            .get_typed_func::<(&wit::Call,), (Result<wit::Output, wit::Error>,)>(
                &mut *store,
                &self.index,
            )?;
        let (answer,) = function.call_async(store, (call,)).await?;
        Ok(answer)
    }
}
