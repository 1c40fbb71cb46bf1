//! A plugin's tools: `list-tools`, and `call-tool`, the export that is called most.

use std::sync::{Arc, OnceLock};

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, TypedFunc};

use crate::bindings::toolhost::plugin::types as wit;
use crate::sandbox::Sandbox;

/// The package of the plugin interface.
pub(super) const PLUGIN_PACKAGE: &str = "toolhost:plugin";
pub(super) const PLUGIN_VERSION: &str = "0.1.0";

/// The package of the interface whose `call-tool` is async.
pub(super) const CONCURRENT_PACKAGE: &str = "toolhost:concurrent";

/// The functions of a plugin's tools, looked up once. Generated bindings would look up and
/// type-check every function of the interface in every instance.
#[derive(Clone)]
pub(crate) struct Tools {
    pre: InstancePre<Sandbox>,
    list: ComponentExportIndex,
    call: ComponentExportIndex,
    /// Set once the type of `call-tool` was found to be right.
    is_checked: Arc<OnceLock<()>>,
}

type CallTool<'a> = TypedFunc<(&'a wit::Call,), (Result<wit::Output, wit::Error>,)>;

impl Tools {
    /// # Errors
    ///
    /// The component has none.
    pub(super) fn new(pre: InstancePre<Sandbox>) -> Result<Tools, String> {
        let component = pre.component();
        let mut packages = [PLUGIN_PACKAGE, CONCURRENT_PACKAGE].into_iter();
        let tools = packages.find_map(|package| {
            let name = format!("{package}/tools@{PLUGIN_VERSION}");
            component.get_export_index(None, &name)
        });
        let function = |name: &str| {
            let found = tools.and_then(|tools| component.get_export_index(Some(&tools), name));
            found.ok_or_else(|| format!("does not fit this host: it does not export `{name}`"))
        };
        let (list, call) = (function("list-tools")?, function("call-tool")?);
        Ok(Tools {
            pre,
            list,
            call,
            is_checked: Arc::default(),
        })
    }

    pub(super) fn pre(&self) -> &InstancePre<Sandbox> {
        &self.pre
    }

    /// Lists the tools in a new instance.
    pub(super) async fn list(
        &self,
        store: &mut Store<Sandbox>,
    ) -> wasmtime::Result<Vec<wit::Tool>> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        // A plugin whose type is wrong is not loaded.
        self.call_tool(&instance, store)?;
        let list = instance.get_typed_func::<(), (Vec<wit::Tool>,)>(&mut *store, &self.list)?;
        let (tools,) = list.call_async(store, ()).await?;
        Ok(tools)
    }

    /// Calls a tool in a new instance.
    pub(super) async fn call(
        &self,
        store: &mut Store<Sandbox>,
        call: &wit::Call,
    ) -> wasmtime::Result<Result<wit::Output, wit::Error>> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let function = self.call_tool(&instance, store)?;
        let (answer,) = function.call_async(store, (call,)).await?;
        Ok(answer)
    }

    /// Finds `call-tool` in an instance. Its type is that of the component, so it is checked in the
    /// first instance only: comparing it costs a twentieth of a short call.
    fn call_tool<'a>(
        &self,
        instance: &Instance,
        store: &mut Store<Sandbox>,
    ) -> wasmtime::Result<CallTool<'a>> {
        if self.is_checked.get().is_none() {
            let checked = instance.get_typed_func(store, self.call)?;
            let _ = self.is_checked.set(());
            return Ok(checked);
        }
        let function = instance.get_func(store, self.call);
        let function = function.ok_or_else(|| wasmtime::format_err!("`call-tool` is gone"))?;
        // SAFETY: another instance of the same component had a function of this type at the same
        // index, and the types of a component's exports are part of it.
        #[expect(
            unsafe_code,
            reason = "wasmtime has no safe way to check a component's type once"
        )]
        Ok(unsafe { TypedFunc::new_unchecked(function) })
    }
}
