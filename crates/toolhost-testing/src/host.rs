//! Built guests, hosts of them, and the binary.

use std::path::PathBuf;
use std::process::Command;

use sha2::{Digest, Sha256};
use toolhost::manifest::{Manifest, PluginConfig};
use toolhost::{CallError, CodeCache, Loader, ToolCall, ToolHost, ToolResult};

use crate::root;

/// A built guest.
pub fn guest(name: &str) -> PathBuf {
    let path = root().join("target/guests").join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "{} is missing: build the guests with `cargo xtask guests`",
        path.display()
    );
    path
}

/// Where all tests keep compiled code: a guest is compiled once for all of them.
pub fn code_cache() -> PathBuf {
    root().join("target/code-cache")
}

/// A plugin of the guest of that name.
pub fn plugin(name: &str) -> PluginConfig {
    PluginConfig::new(name, guest(name))
}

pub fn manifest(plugins: impl IntoIterator<Item = PluginConfig>) -> Manifest {
    let mut manifest = Manifest::default();
    manifest.plugins.extend(plugins);
    manifest
}

/// The SHA-256 digest in lower-case hexadecimal.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub async fn load(manifest: Manifest) -> ToolHost {
    match try_load(manifest).await {
        Ok(host) => host,
        Err(error) => panic!("{error}"),
    }
}

pub async fn try_load(manifest: Manifest) -> Result<ToolHost, toolhost::LoadError> {
    loader(manifest).load().await
}

/// A loader that keeps compiled code where all tests do.
pub fn loader(manifest: Manifest) -> Loader {
    Loader::new(manifest).code_cache(CodeCache::Folder(code_cache()))
}

/// A host of guests with default limits and no permissions.
pub async fn host(guests: &[&str]) -> ToolHost {
    load(manifest(guests.iter().map(|name| plugin(name)))).await
}

/// What ends, however long it takes.
///
/// # Panics
///
/// If it never does.
pub async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(crate::PATIENCE, work).await;
    ended.expect("it never ends")
}

pub fn call(name: &str, arguments: serde_json::Value) -> ToolCall {
    ToolCall::new("id", name, arguments.to_string())
}

pub fn echo(id: impl ToString, text: &str) -> ToolCall {
    let arguments = serde_json::json!({ "text": text });
    ToolCall::new(id.to_string(), "echo", arguments.to_string())
}

/// The text of a result that must be no error.
#[track_caller]
pub fn text(result: &ToolResult) -> String {
    match &result.outcome {
        Ok(output) => output.to_text(),
        Err(error) => panic!("{}: {error}", result.name),
    }
}

/// The error of a result that must be one.
#[track_caller]
pub fn error(result: &ToolResult) -> &CallError {
    match &result.outcome {
        Ok(output) => panic!("{} answered {}", result.name, output.to_text()),
        Err(error) => error,
    }
}

/// The binary, with the tests' code cache, no manifest from outside and none that is trusted.
pub fn toolhost() -> Command {
    let binary = std::env::var_os("CARGO_BIN_EXE_toolhost").map(PathBuf::from);
    let mut command = Command::new(binary.unwrap_or_else(|| built("toolhost")));
    command
        .env("TOOLHOST_CODE_CACHE", code_cache())
        .env("XDG_CONFIG_HOME", root().join("target/no-config"))
        .env_remove("TOOLHOST_MANIFEST")
        .env_remove("TOOLHOST_LOG");
    command
}

/// One of the programs in `examples/`, which cargo puts beside the tests.
pub fn example(name: &str) -> Command {
    Command::new(built(&format!("examples/{name}")))
}

/// What cargo has put into the folder that the tests' own is in.
fn built(path: &str) -> PathBuf {
    let path = beside_tests(path);
    assert!(
        path.is_file(),
        "{} is missing: `cargo build --bins --examples` builds it",
        path.display()
    );
    path
}

/// A path in the folder that the tests' own is in.
pub(crate) fn beside_tests(path: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a test knows its path");
    let folder = tests.ancestors().nth(2).expect("the folder of a profile");
    folder.join(path)
}

/// A component that also instantiates a core module of its own, which nothing uses.
pub fn with_core_module(component: &[u8], module: &[u8]) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    const CORE_INSTANCE: u8 = 2;
    let mut modules = 0;
    let mut rest = &component[8..];
    while let [id, after @ ..] = rest {
        let (size, after) = read_leb128(after);
        modules += u32::from(*id == CORE_MODULE);
        rest = &after[size as usize..];
    }
    let mut out = component.to_vec();
    let mut section = |id: u8, content: &[u8]| {
        out.push(id);
        out.extend(leb128(content.len() as u32));
        out.extend(content);
    };
    section(CORE_MODULE, module);
    // One instance, by instantiating that module, with no arguments.
    let instance = [&[1, 0], &*leb128(modules), &[0]].concat();
    section(CORE_INSTANCE, &instance);
    out
}

pub fn leb128(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn read_leb128(mut bytes: &[u8]) -> (u32, &[u8]) {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        bytes = &bytes[1..];
        value |= u32::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return (value, bytes);
        }
    }
}
