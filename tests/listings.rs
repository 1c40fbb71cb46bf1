//! What a plugin listed is kept by its digest, beside the compiled code: a host is there before the
//! code of its plugins is.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use toolhost::manifest::PluginConfig;
use toolhost::{CodeCache, Loader, Manifest, Tool, ToolHost};

use crate::common::{call, guest, manifest, text};

/// A plugin in a folder of its own, with a cache of its own.
struct Start {
    folder: TempDir,
}

impl Start {
    fn new() -> Start {
        let folder = tempfile::tempdir().unwrap();
        let start = Start { folder };
        start.install("echo");
        start
    }

    /// Puts a guest where the plugin is.
    fn install(&self, name: &str) {
        fs::copy(guest(name), self.plugin()).unwrap();
    }

    fn plugin(&self) -> PathBuf {
        self.folder.path().join("plugin.wasm")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache/code")
    }

    fn loader(&self) -> Loader {
        self.loader_of(PluginConfig::new("plugin", self.plugin()))
    }

    fn loader_of(&self, plugin: PluginConfig) -> Loader {
        Loader::new(manifest([plugin])).code_cache(CodeCache::Folder(self.cache()))
    }

    /// The files with what plugins listed.
    fn listings(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("cache/code-tools"));
        let entries = entries.into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |path: PathBuf| if path.is_dir() { files(&path) } else { 1 };
    entries.map(|entry| count(entry.path())).sum()
}

fn tools(host: &ToolHost) -> Vec<Tool> {
    host.tools().cloned().collect()
}

async fn echoes(host: &ToolHost, tool: &str) {
    let result = host
        .call(call(tool, serde_json::json!({ "text": "well" })))
        .await;
    assert_eq!(text(&result), "well");
}

#[tokio::test]
async fn a_host_of_known_plugins_is_there_before_their_code() {
    let start = Start::new();
    let first = start.loader().load().await.unwrap();
    assert_eq!(start.listings().len(), 1);
    // What was compiled is gone, so that compiling it would be seen.
    fs::remove_dir_all(start.cache()).unwrap();
    let lazy = start.loader().lazy().load().await.unwrap();
    assert_eq!(tools(&lazy), tools(&first));
    assert_eq!(lazy.plugins_sha256(), first.plugins_sha256());
    assert_eq!(files(&start.cache()), 0);
    echoes(&lazy, "echo").await;
    echoes(&lazy.ready_for(&[]).await.unwrap(), "echo").await;
}

#[tokio::test]
async fn calls_at_once_wait_for_the_code() {
    let start = Start::new();
    start.loader().load().await.unwrap();
    let host = start.loader().lazy().load().await.unwrap();
    let calls = (0..50).map(|number| crate::common::echo(number, "well"));
    for result in host.run_all(calls).await {
        assert_eq!(text(&result), "well");
    }
}

#[tokio::test]
async fn code_that_is_not_loaded_yet_is_that_of_the_file_that_was_loaded() {
    let start = Start::new();
    start.loader().load().await.unwrap();
    let host = start.loader().lazy().load().await.unwrap();
    fs::write(start.plugin(), "something else").unwrap();
    echoes(&host, "echo").await;
}

#[tokio::test]
async fn a_changed_plugin_is_asked_again() {
    let start = Start::new();
    start.loader().load().await.unwrap();
    start.install("time");
    let host = start.loader().lazy().load().await.unwrap();
    assert!(host.tool("time_now").is_some());
    assert_eq!(start.listings().len(), 2);
}

#[tokio::test]
async fn the_manifest_chooses_and_names_what_was_listed_before() {
    let start = Start::new();
    start.loader().load().await.unwrap();
    let plugin = PluginConfig::new("plugin", start.plugin());
    let host = start.loader_of(plugin.with_prefix("my_"));
    echoes(&host.lazy().load().await.unwrap(), "my_echo").await;
    let path = start.plugin();
    let text = format!(
        "[plugin.p]\npath = '{}'\ntools = ['none']\n",
        path.display()
    );
    let manifest = Manifest::parse(&text, "toolhost.toml").unwrap();
    let loader = Loader::new(manifest).code_cache(CodeCache::Folder(start.cache()));
    let error = loader.load().await.unwrap_err();
    assert!(error.to_string().contains("`none`"), "{error}");
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_or_is_of_another_host_is_not_used() {
    let start = Start::new();
    let expected = tools(&start.loader().load().await.unwrap());
    let listings = start.listings();
    let whole = fs::read_to_string(&listings[0]).unwrap();
    let other = whole.replace("\"echo\"", "\"planted\"");
    let of_other_host = other.replace(env!("CARGO_PKG_VERSION"), "0.0.1");
    assert_ne!(other, whole);
    for text in ["", "{}", &whole[..whole.len() / 2], &of_other_host] {
        fs::write(&listings[0], text).unwrap();
        let host = start.loader().lazy().load().await.unwrap();
        assert_eq!(tools(&host), expected);
    }
}

/// What is listed there is shown to the model.
#[cfg(unix)]
#[tokio::test]
async fn listings_that_others_could_write_are_not_used() {
    let start = Start::new();
    let expected = tools(&start.loader().load().await.unwrap());
    let listings = start.listings();
    let whole = fs::read_to_string(&listings[0]).unwrap();
    fs::write(&listings[0], whole.replace("\"echo\"", "\"planted\"")).unwrap();
    let folder = listings[0].parent().unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(folder, everybody).unwrap();
    let host = start.loader().lazy().load().await.unwrap();
    assert_eq!(tools(&host), expected);
}
