//! Makes a [`ToolHost`] of a [`Manifest`]: compiles and asks every plugin, side by side.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Shared, ToolHost};
use crate::engine::{CodeCache, Engine, EngineConfig};
use crate::error::{Diagnostic, LoadError};
use crate::manifest::{MAX_CONCURRENCY, Manifest, PluginConfig};
use crate::plugin::{Compiled, Plugin};
use crate::registry::Registry;

/// Plugins that load at once. Compiling takes all cores by itself.
const PARALLEL_LOADS: usize = 4;

/// Options for making a [`ToolHost`].
pub struct Loader {
    manifest: Manifest,
    cache: CodeCache,
    progress: Arc<dyn Fn(LoadEvent) + Send + Sync>,
}

/// How far loading is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadEvent {
    /// So many plugins are to be loaded.
    Started {
        /// How many.
        plugins: usize,
    },
    /// A plugin is being loaded.
    Loading {
        /// Its name.
        plugin: String,
    },
    /// A plugin is loaded, or has failed to.
    Done {
        /// Its name.
        plugin: String,
    },
}

impl Loader {
    /// Default options: the user's code cache, and nobody is told of the progress.
    pub fn new(manifest: Manifest) -> Self {
        Loader {
            manifest,
            cache: CodeCache::default(),
            progress: Arc::new(|_| {}),
        }
    }

    /// Where compiled code is kept.
    #[must_use]
    pub fn code_cache(mut self, cache: CodeCache) -> Self {
        self.cache = cache;
        self
    }

    /// Tells `progress` how far loading is, from several threads.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(LoadEvent) + Send + Sync + 'static) -> Self {
        self.progress = Arc::new(progress);
        self
    }

    /// Loads every plugin.
    ///
    /// # Errors
    ///
    /// [`LoadError::Invalid`] with everything that is wrong with all of them, or
    /// [`LoadError::Engine`].
    pub async fn load(self) -> Result<ToolHost, LoadError> {
        let Manifest {
            file,
            host,
            plugins,
            ..
        } = self.manifest;
        check_caps(&file, host.max_concurrency, &plugins)?;
        let config = EngineConfig {
            instances: host.max_concurrency + PARALLEL_LOADS,
            cache: self.cache,
        };
        (self.progress)(LoadEvent::Started {
            plugins: plugins.len(),
        });
        let engine = Arc::new(Engine::new(&config)?);
        let file = Arc::new(file);
        let turns = Arc::new(Semaphore::new(PARALLEL_LOADS));
        let mut loads = JoinSet::new();
        for (index, plugin) in plugins.into_iter().enumerate() {
            let (engine, file, turns, progress) = (
                engine.clone(),
                file.clone(),
                turns.clone(),
                self.progress.clone(),
            );
            loads.spawn(async move {
                let _turn = turns.acquire().await;
                let name = plugin.name.clone();
                progress(LoadEvent::Loading {
                    plugin: name.clone(),
                });
                let loaded = load_plugin(plugin, file, engine).await;
                progress(LoadEvent::Done { plugin: name });
                (index, loaded)
            });
        }
        let mut loaded = loads.join_all().await;
        loaded.sort_by_key(|(index, _)| *index);
        let mut plugins = Vec::new();
        let mut problems = Vec::new();
        for (_, plugin) in loaded {
            match plugin {
                Ok(plugin) => plugins.push(plugin),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(LoadError::Invalid(problems));
        }
        Ok(ToolHost {
            shared: Arc::new(Shared {
                registry: Registry::new(plugins).map_err(LoadError::Invalid)?,
                permits: Semaphore::new(host.max_concurrency),
                max_concurrency: host.max_concurrency,
            }),
        })
    }
}

/// What a manifest's parser checks, for manifests made in code.
fn check_caps(file: &Path, host: usize, plugins: &[PluginConfig]) -> Result<(), LoadError> {
    let own = plugins.iter().filter_map(|plugin| plugin.max_concurrency);
    match own
        .chain([host])
        .find(|cap| !(1..=MAX_CONCURRENCY).contains(cap))
    {
        None => Ok(()),
        Some(cap) => {
            let message =
                format!("max-concurrency must be from 1 to {MAX_CONCURRENCY}, and is {cap}");
            Err(LoadError::Invalid(vec![Diagnostic::new(
                file, None, message,
            )]))
        }
    }
}

async fn load_plugin(
    plugin: PluginConfig,
    manifest: Arc<PathBuf>,
    engine: Arc<Engine>,
) -> Result<Plugin, Vec<Diagnostic>> {
    let path = plugin.path.clone();
    let file = manifest.clone();
    // Compiling computes for seconds: not on the threads that serve others.
    let compiled = tokio::task::spawn_blocking(move || Compiled::new(plugin, &file, &engine)).await;
    match compiled {
        Ok(compiled) => compiled?.list_tools(&manifest).await,
        Err(error) => Err(vec![Diagnostic::new(
            &path,
            None,
            format!("cannot be compiled: {error}"),
        )]),
    }
}
