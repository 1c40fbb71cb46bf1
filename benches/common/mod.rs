//! What the benchmarks share.

#![allow(dead_code)] // each benchmark uses its part

use std::time::Duration;

use toolhost::limits::ByteSize;
use toolhost::manifest::{Manifest, PluginConfig};
use toolhost::permissions::SecretSource;
use toolhost::{CodeCache, Loader, ToolCall, ToolHost};

pub mod bare;
pub use toolhost_testing::guest;

pub const ARGUMENTS: &str = r#"{"text":"hello"}"#;

pub fn code_cache() -> CodeCache {
    CodeCache::Folder(toolhost_testing::code_cache())
}

/// A host of the echo guest that runs so many calls at once.
pub async fn echo_host(max_concurrency: usize) -> ToolHost {
    load(echo_manifest(max_concurrency)).await
}

pub async fn load(manifest: Manifest) -> ToolHost {
    let loader = Loader::new(manifest).code_cache(code_cache());
    loader.load().await.expect("the echo guest loads")
}

pub fn echo_manifest(max_concurrency: usize) -> Manifest {
    let mut manifest = Manifest::default();
    manifest.host.max_concurrency = max_concurrency;
    manifest
        .plugins
        .push(PluginConfig::new("echo", guest("echo")));
    manifest
}

/// The same with every limit on that there is, and a secret to look for in its results.
pub fn limited_manifest(max_concurrency: usize) -> Manifest {
    let mut manifest = echo_manifest(max_concurrency);
    let host = &mut manifest.host;
    host.max_queue = Some(100_000);
    host.queue_timeout = Some(Duration::from_secs(60));
    host.total_memory = Some(ByteSize::gib(64));
    let plugin = &mut manifest.plugins[0];
    plugin.max_concurrency = Some(max_concurrency);
    plugin.limits.cpu = Some(Duration::from_secs(10));
    let secret = SecretSource::Env("PATH".to_owned());
    plugin.permissions.secrets.insert("PATH".to_owned(), secret);
    manifest
}

/// A plugin of the concurrent engine, with its limits as they are by default.
pub fn concurrent_manifest(max_concurrency: usize) -> Manifest {
    let mut manifest = Manifest::default();
    manifest.host.max_concurrency = max_concurrency;
    let plugin = PluginConfig::new("concurrent", guest("concurrent"));
    manifest.plugins.push(plugin);
    manifest
}

/// A call that plugin answers at once.
pub fn answer() -> ToolCall {
    ToolCall::new("call", "answer", ARGUMENTS)
}

pub fn echo() -> ToolCall {
    ToolCall::new("call", "echo", ARGUMENTS)
}

pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
