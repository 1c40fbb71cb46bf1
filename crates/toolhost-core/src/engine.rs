//! The wasmtime engine: allocation, interruption, and what guests may import.

mod ticker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytesize::ByteSize;
use tracing::warn;
use wasmtime::component::Linker;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use crate::error::LoadError;
use crate::locks;
use crate::private_files;
use crate::sandbox::{
    CORE_INSTANCES_PER_INSTANCE, MEMORIES_PER_INSTANCE, Sandbox, TABLES_PER_INSTANCE, link,
    link_concurrent,
};
pub(crate) use ticker::RunningGuest;
pub use ticker::when_idle;

/// How often a computing guest yields, and the granularity of deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// The stack for the host's own frames of a call, beside the guest's.
const HOST_STACK: usize = 1536 << 10;

/// Memory of a pool slot kept resident between calls: resetting it is much cheaper than page
/// faults.
const KEEP_RESIDENT: usize = 2 << 20;

/// The stacks of one instance of the concurrent engine: one for what it computes, and one for a task
/// that waits in a function which it called synchronously. `plugin/async_features.rs` refuses
/// components that could use more.
const CONCURRENT_STACKS: u32 = 2;

/// The name of the folder beside compiled code: see [`CodeCache::folder`].
pub(crate) const SIDE_FOLDER: &str = "tools";

/// The engine's settings.
pub(crate) struct EngineConfig {
    /// Instances alive at once.
    pub(crate) instances: usize,
    /// The guests' call stack.
    pub(crate) stack: ByteSize,
    /// Where compiled code is cached.
    pub(crate) cache: CodeCache,
}

/// Where compiled code is cached.
///
/// Cached code is executed natively, so a folder that others own or may write is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodeCache {
    /// wasmtime's folder in the user's cache folder.
    #[default]
    User,
    /// This folder, an absolute path; created if it does not exist.
    Folder(PathBuf),
    /// Nowhere: plugins are compiled at every start.
    Off,
}

impl CodeCache {
    /// The folders that contain the cache and what lies beside it.
    pub fn folders(&self) -> Vec<PathBuf> {
        let own = match self {
            CodeCache::Off => return Vec::new(),
            CodeCache::User => match user_folder() {
                Some(folder) => folder.to_owned(),
                None => return Vec::new(),
            },
            CodeCache::Folder(folder) => folder.clone(),
        };
        let beside = self.folder(SIDE_FOLDER);
        std::iter::once(own).chain(beside).collect()
    }

    /// A folder beside it for other caches. It need not exist.
    pub(crate) fn folder(&self, name: &str) -> Option<PathBuf> {
        let folder = match self {
            CodeCache::Off => return None,
            // wasmtime removes unknown files from its own folder.
            CodeCache::User => user_folder()?.parent()?.join("toolhost").join(name),
            CodeCache::Folder(folder) => {
                let mut beside = folder.file_name()?.to_owned();
                beside.push(format!("-{name}"));
                folder.with_file_name(beside)
            }
        };
        // What others may write is not trusted.
        private_files::check_folder(&folder).ok().map(|()| folder)
    }
}

/// wasmtime's folder for the user. Looked up once, as a cache starts a thread.
fn user_folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let cache = new_cache(CacheConfig::new()).ok()?;
        Some(cache.directory().clone())
    });
    folder.as_deref()
}

/// Whether several tasks of one instance can run at a time, as components need that import WASI 0.3
/// or use the component model's async features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concurrency {
    /// It is faster, and all that WASI 0.2 needs.
    Off,
    On,
}

/// The engines for plugins with the same stack size: see docs/adr/0024.
pub(crate) struct Engines {
    config: EngineConfig,
    sequential: Arc<Engine>,
    /// Created for the first plugin that needs it.
    concurrent: Mutex<Option<Arc<Engine>>>,
}

impl Engines {
    pub(crate) fn new(config: EngineConfig) -> Result<Engines, LoadError> {
        Ok(Engines {
            sequential: Arc::new(Engine::new(&config, Concurrency::Off)?),
            concurrent: Mutex::default(),
            config,
        })
    }

    pub(crate) fn get(&self, concurrency: Concurrency) -> Result<Arc<Engine>, LoadError> {
        if concurrency == Concurrency::Off {
            return Ok(self.sequential.clone());
        }
        let mut concurrent = locks::lock(&self.concurrent);
        if let Some(engine) = &*concurrent {
            return Ok(engine.clone());
        }
        let engine = Arc::new(Engine::new(&self.config, concurrency)?);
        Ok(concurrent.insert(engine).clone())
    }
}

pub(crate) struct Engine {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) linker: Linker<Sandbox>,
}

impl Engine {
    pub(crate) fn new(
        config: &EngineConfig,
        concurrency: Concurrency,
    ) -> Result<Engine, LoadError> {
        let error = |error: wasmtime::Error| LoadError::Engine {
            source: error.into(),
        };
        let cache = open_cache(&config.cache);
        let engine = match wasmtime::Engine::new(&pooling(config, concurrency, &cache)) {
            Ok(engine) => engine,
            // The address space may be limited.
            Err(reason) => {
                warn!(
                    "could not reserve a pool of {} instances ({reason:#}): calls will be slower; a lower \
                     `max-concurrency` needs less address space",
                    config.instances
                );
                wasmtime::Engine::new(&base(config, concurrency, &cache)).map_err(error)?
            }
        };
        let linker = match concurrency {
            Concurrency::Off => link(&engine),
            Concurrency::On => link_concurrent(&engine),
        };
        let linker = linker.map_err(error)?;
        ticker::add(&engine).map_err(|error| LoadError::Engine {
            source: format!("cannot start the ticker thread: {error}").into(),
        })?;
        Ok(Engine { engine, linker })
    }
}

fn base(engine: &EngineConfig, concurrency: Concurrency, cache: &Option<Cache>) -> Config {
    let stack = engine.stack.as_u64() as usize;
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        .async_stack_size(stack + HOST_STACK)
        // Guests do not need these proposals, and they are code that would have to be right.
        // Without the first, 48.0.8 has an abort that a guest can reach (GHSA-rc4p-x33f-vpr2).
        .wasm_gc(false)
        .wasm_memory64(false)
        // It costs every call, and WASI 0.2 does not use it. The further proposals (stackful lifts,
        // threads, error contexts) stay off.
        .concurrency_support(concurrency == Concurrency::On)
        .wasm_component_model_async(concurrency == Concurrency::On)
        // Both would be read at every start, only for line numbers in a debug log.
        .generate_address_map(false)
        .native_unwind_info(false)
        .cache(cache.clone());
    config
}

fn pooling(config: &EngineConfig, concurrency: Concurrency, cache: &Option<Cache>) -> Config {
    let slots = u32::try_from(config.instances).unwrap_or(u32::MAX);
    let per_slot = |count: u32| slots.saturating_mul(count);
    let stacks = match concurrency {
        Concurrency::Off => 1,
        Concurrency::On => CONCURRENT_STACKS,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(per_slot(stacks))
        .total_memories(per_slot(MEMORIES_PER_INSTANCE))
        .total_tables(per_slot(TABLES_PER_INSTANCE))
        .total_core_instances(per_slot(CORE_INSTANCES_PER_INSTANCE))
        .max_memories_per_component(MEMORIES_PER_INSTANCE)
        .max_tables_per_component(TABLES_PER_INSTANCE)
        .max_core_instances_per_component(CORE_INSTANCES_PER_INSTANCE)
        .max_memories_per_module(MEMORIES_PER_INSTANCE)
        .max_tables_per_module(TABLES_PER_INSTANCE)
        // The 32-bit address space: it is reserved anyway, and the limiter bounds what is used.
        .max_memory_size(4 << 30)
        .table_elements(100_000)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(16 << 10)
        // On Linux 6.7 and newer.
        .pagemap_scan(Enabled::Auto);
    let mut base = base(config, concurrency, cache);
    base.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    base
}

/// The cache only saves time: if it cannot be opened, a warning is enough.
fn open_cache(cache: &CodeCache) -> Option<Cache> {
    let mut config = CacheConfig::new();
    match cache {
        CodeCache::Off => return None,
        CodeCache::User => {}
        CodeCache::Folder(folder) => {
            config.with_directory(folder);
        }
    }
    if let CodeCache::Folder(folder) = cache {
        // Before anything is created in it.
        check_private(folder)?;
    }
    match new_cache(config) {
        Ok(cache) => check_private(cache.directory()).map(|()| cache),
        Err(error) => {
            warn!("compiled plugins will not be cached: {error:#}");
            None
        }
    }
}

/// wasmtime panics if it cannot start a thread for it.
fn new_cache(config: CacheConfig) -> wasmtime::Result<Cache> {
    let cache = std::panic::catch_unwind(|| Cache::new(config));
    cache.unwrap_or_else(|_| Err(wasmtime::Error::msg("cannot start a thread")))
}

/// `None` for a folder that others may write, whose code must not be run.
fn check_private(folder: &Path) -> Option<()> {
    let checked = private_files::check_folder(folder);
    checked
        .inspect_err(|why| {
            warn!(
                "not using the code cache {}, so plugins are compiled at every start: {why}; make sure only you \
                 can write to the folder, or set TOOLHOST_CODE_CACHE to another",
                folder.display()
            );
        })
        .ok()
}
