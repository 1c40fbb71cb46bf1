//! wasmtime itself, in the configuration in which it is fastest, without anything that a host adds:
//! the limit that the library is held against.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, HasSelf, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store,
    StoreLimits, StoreLimitsBuilder,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

wasmtime::component::bindgen!({
    path: "wit/0.1.0",
    world: "plugin",
    exports: { default: async },
});

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: StoreLimits,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl toolhost::plugin::types::Host for State {}

impl toolhost::plugin::host::Host for State {
    fn log(&mut self, _: toolhost::plugin::host::Level, _: String) {}
    fn progress(&mut self, _: f64, _: Option<f64>, _: Option<String>) {}
    fn can_ask(&mut self, _: toolhost::plugin::host::QuestionKind) -> bool {
        false
    }
    fn resource_updated(&mut self, _: String) {}
    fn resources_changed(&mut self) {}
    fn config(&mut self, _: String) -> Option<String> {
        None
    }
    fn secret(&mut self, _: String) -> Option<String> {
        None
    }
}

pub struct Bare {
    engine: Engine,
    pre: PluginPre<State>,
}

impl Bare {
    pub fn new(guest: &std::path::Path) -> Arc<Bare> {
        let engine = engine(Enabled::Yes)
            .or_else(|_| engine(Enabled::No))
            .expect("a pooling engine");
        let component = Component::from_file(&engine, guest).expect("a component");
        let mut linker: Linker<State> = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI");
        Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).expect("the host");
        let pre = linker
            .instantiate_pre(&component)
            .and_then(PluginPre::new)
            .expect("a plugin");
        let ticker = engine.weak();
        std::thread::spawn(move || {
            while let Some(engine) = ticker.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Arc::new(Bare { engine, pre })
    }

    /// A fresh instance, one call of `echo`, a drop.
    pub async fn call(&self) {
        let limits = StoreLimitsBuilder::new().memory_size(64 << 20).build();
        let state = State {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
            limits,
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let plugin = self
            .pre
            .instantiate_async(&mut store)
            .await
            .expect("an instance");
        let call = toolhost::plugin::types::Call {
            id: "call".to_owned(),
            name: "echo".to_owned(),
            arguments: super::ARGUMENTS.to_owned(),
            resumed: None,
        };
        let answer = plugin
            .toolhost_plugin_tools()
            .call_call_tool(&mut store, &call)
            .await;
        answer.expect("no trap").expect("an answer");
    }
}

fn engine(pagemap_scan: Enabled) -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(1000)
        .total_core_instances(1000)
        .total_memories(1000)
        .total_tables(1000)
        .total_stacks(1000)
        .max_memory_size(64 << 20)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(16 << 10)
        .pagemap_scan(pagemap_scan);
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .concurrency_support(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}
