//! wasmtime, configured once: what it allocates, how it interrupts, what guests may import.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use bytesize::ByteSize;
use tracing::warn;
use wasmtime::component::Linker;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use crate::error::LoadError;
use crate::private;
use crate::sandbox::{
    CORE_INSTANCES_PER_INSTANCE, MEMORIES_PER_INSTANCE, Sandbox, TABLES_PER_INSTANCE, link,
};

/// How often a guest that computes gives way to others, and the grain of deadlines.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// What the host may use of a call's stack, beside the guest.
const HOST_STACK: usize = 1536 << 10;

/// Memory that a slot of the pool keeps between calls: resetting it is much cheaper than having it
/// paged in again.
const KEEP_RESIDENT: usize = 2 << 20;

/// What is kept beside compiled code: see [`CodeCache::folder`].
pub(crate) const BESIDE: &str = "mcp";

/// What the engine must provide for.
pub(crate) struct EngineConfig {
    /// Instances alive at once.
    pub(crate) instances: usize,
    /// The guests' call stack.
    pub(crate) stack: ByteSize,
    /// Where compiled code is kept between starts.
    pub(crate) cache: CodeCache,
}

/// Where compiled code is kept between starts.
///
/// What is read from there is run as native code: a folder that others own or may write to is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodeCache {
    /// wasmtime's folder in the user's cache folder.
    #[default]
    User,
    /// This folder, an absolute path; it is made if it does not exist.
    Folder(PathBuf),
    /// Nowhere: plugins are compiled at every start.
    Off,
}

impl CodeCache {
    /// The folders that it and what lies beside it are in.
    pub fn folders(&self) -> Vec<PathBuf> {
        let own = match self {
            CodeCache::Off => return Vec::new(),
            CodeCache::User => match user_folder() {
                Some(folder) => folder.to_owned(),
                None => return Vec::new(),
            },
            CodeCache::Folder(folder) => folder.clone(),
        };
        let beside = self.folder(BESIDE);
        std::iter::once(own).chain(beside).collect()
    }

    /// A folder beside it for what else is kept between starts. It need not exist.
    pub(crate) fn folder(&self, name: &str) -> Option<PathBuf> {
        let folder = match self {
            CodeCache::Off => return None,
            // wasmtime removes from its own folder what it does not know.
            CodeCache::User => user_folder()?.parent()?.join("toolhost").join(name),
            CodeCache::Folder(folder) => {
                let mut beside = folder.file_name()?.to_owned();
                beside.push(format!("-{name}"));
                folder.with_file_name(beside)
            }
        };
        // What others write there is not gone by.
        private::check_folder(&folder).ok().map(|()| folder)
    }
}

/// wasmtime's folder for the user. A cache starts a thread, so it is asked for once.
fn user_folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let cache = new_cache(CacheConfig::new()).ok()?;
        Some(cache.directory().clone())
    });
    folder.as_deref()
}

pub(crate) struct Engine {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) linker: Linker<Sandbox>,
}

impl Engine {
    pub(crate) fn new(config: &EngineConfig) -> Result<Engine, LoadError> {
        let error = |error: wasmtime::Error| LoadError::Engine {
            source: error.into(),
        };
        let cache = open_cache(&config.cache);
        let engine = match wasmtime::Engine::new(&pooling(config, &cache)) {
            Ok(engine) => engine,
            // The address space may be bounded.
            Err(reason) => {
                warn!(
                    "could not reserve a pool of {} instances ({reason:#}): calls will be slower; a lower \
                     `max-concurrency` needs less address space",
                    config.instances
                );
                wasmtime::Engine::new(&base(config, &cache)).map_err(error)?
            }
        };
        let linker = link(&engine).map_err(error)?;
        start_ticker(&engine)?;
        Ok(Engine { engine, linker })
    }
}

fn base(engine: &EngineConfig, cache: &Option<Cache>) -> Config {
    let stack = engine.stack.as_u64() as usize;
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        .async_stack_size(stack + HOST_STACK)
        // No guest needs them, and they are code that would have to be right. Without the first, 48.0.8
        // has an abort that a guest can reach (GHSA-rc4p-x33f-vpr2).
        .wasm_gc(false)
        .wasm_memory64(false)
        // Component-model async costs every call of every plugin, and WASI 0.2 does without.
        .concurrency_support(false)
        // Both would be read at every start, for nothing but line numbers in a debug log.
        .generate_address_map(false)
        .native_unwind_info(false)
        .cache(cache.clone());
    config
}

fn pooling(config: &EngineConfig, cache: &Option<Cache>) -> Config {
    let slots = u32::try_from(config.instances).unwrap_or(u32::MAX);
    let per_slot = |count: u32| slots.saturating_mul(count);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_stacks(slots)
        .total_memories(per_slot(MEMORIES_PER_INSTANCE))
        .total_tables(per_slot(TABLES_PER_INSTANCE))
        .total_core_instances(per_slot(CORE_INSTANCES_PER_INSTANCE))
        .max_memories_per_component(MEMORIES_PER_INSTANCE)
        .max_tables_per_component(TABLES_PER_INSTANCE)
        .max_core_instances_per_component(CORE_INSTANCES_PER_INSTANCE)
        .max_memories_per_module(MEMORIES_PER_INSTANCE)
        .max_tables_per_module(TABLES_PER_INSTANCE)
        // As much as 32 bits can address: it is reserved anyway, and the limiter bounds what is used.
        .max_memory_size(4 << 30)
        .table_elements(100_000)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(16 << 10)
        // Where the kernel has it: Linux 6.7 and newer.
        .pagemap_scan(Enabled::Auto);
    let mut base = base(config, cache);
    base.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    base
}

/// The cache spares time and nothing depends on it: without one, a warning is enough.
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
        // Before anything is made in it.
        believed(folder)?;
    }
    match new_cache(config) {
        Ok(cache) => believed(cache.directory()).map(|()| cache),
        Err(error) => {
            warn!("compiled plugins will not be cached: {error:#}");
            None
        }
    }
}

/// wasmtime panics where there is no thread to be had for it.
fn new_cache(config: CacheConfig) -> wasmtime::Result<Cache> {
    let cache = std::panic::catch_unwind(|| Cache::new(config));
    cache.unwrap_or_else(|_| Err(wasmtime::Error::msg("cannot start a thread")))
}

/// What is in a folder that others may write is not run.
fn believed(folder: &Path) -> Option<()> {
    let checked = private::check_folder(folder);
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

/// Advances the epoch for as long as the engine is in use.
///
/// A thread of the operating system: a task would be starved by the very guests that it is to
/// interrupt.
fn start_ticker(engine: &wasmtime::Engine) -> Result<(), LoadError> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("toolhost-ticker".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(TICK);
            }
        })
        .map(drop)
        .map_err(|error| LoadError::Engine {
            source: format!("cannot start the ticker thread: {error}").into(),
        })
}
