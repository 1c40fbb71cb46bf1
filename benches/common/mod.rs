//! What the benchmarks share.

#![allow(dead_code)] // each benchmark uses its part

use std::path::{Path, PathBuf};

use toolhost::manifest::{Manifest, PluginConfig};
use toolhost::{CodeCache, Loader, ToolCall, ToolHost};

pub mod bare;
#[path = "../../tests/common/resident.rs"]
pub mod resident;

pub const ARGUMENTS: &str = r#"{"text":"hello"}"#;

pub fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("target/guests").join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "{} is missing: cargo xtask guests",
        path.display()
    );
    path
}

pub fn code_cache() -> CodeCache {
    CodeCache::Folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/code-cache"))
}

/// A host of the echo guest that runs so many calls at once.
pub async fn echo_host(max_concurrency: usize) -> ToolHost {
    let mut manifest = Manifest::default();
    manifest.host.max_concurrency = max_concurrency;
    manifest
        .plugins
        .push(PluginConfig::new("echo", guest("echo")));
    let loader = Loader::new(manifest).code_cache(code_cache());
    loader.load().await.expect("the echo guest loads")
}

pub fn echo() -> ToolCall {
    ToolCall::new("call", "echo", ARGUMENTS)
}

pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
