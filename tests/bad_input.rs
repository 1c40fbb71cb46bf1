//! Bad input to survive: files that are no plugins, plugins that cannot be loaded, arguments and
//! answers of every wrong kind, guests that misbehave, and responses that are none. Where it is
//! about one call, healthy ones stand beside it and answer.

mod answers;
mod arguments;
mod components;
mod listings;
mod responses;

use toolhost::error::Diagnostic;
use toolhost::manifest::PluginConfig;
use toolhost::{LoadError, ToolCall, ToolHost};

use crate::common::binary::Folder;
use crate::common::{echo, manifest, text, try_load};

/// What is wrong with one plugin.
async fn refused(plugin: PluginConfig) -> Diagnostic {
    let path = plugin.path.clone();
    match try_load(manifest([plugin])).await {
        Err(LoadError::Invalid(mut problems)) => {
            assert_eq!(problems.len(), 1, "{problems:?}");
            let problem = problems.remove(0);
            assert_eq!(problem.file, path);
            problem
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{} loads", path.display()),
    }
}

/// What is wrong with a file of these contents.
async fn refused_file(contents: impl AsRef<[u8]>) -> String {
    let folder = Folder::empty();
    let path = folder.write("plugin.wasm", contents);
    refused(PluginConfig::new("plugin", path)).await.message
}

/// The calls, each between two healthy ones that must answer.
async fn between_siblings(host: &ToolHost, calls: Vec<ToolCall>) -> Vec<toolhost::ToolResult> {
    let mut batch = vec![echo("first", "hello")];
    for call in calls {
        batch.push(call);
        batch.push(echo("sibling", "hello"));
    }
    let count = batch.len();
    let results = host.run_all(batch).await;
    assert_eq!(results.len(), count);
    let (siblings, bad): (Vec<_>, Vec<_>) = results
        .into_iter()
        .enumerate()
        .partition(|(index, _)| index % 2 == 0);
    for (_, sibling) in siblings {
        assert_eq!(text(&sibling), "hello");
    }
    bad.into_iter().map(|(_, result)| result).collect()
}

fn echo_with(arguments: impl Into<String>) -> ToolCall {
    ToolCall::new("bad", "echo", arguments)
}

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
