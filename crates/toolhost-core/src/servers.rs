//! Who starts the MCP servers of a manifest. The core knows no MCP: what makes a [`ToolProvider`] of an `[mcp.NAME]`
//! section is registered by the crate that can, wherever that is linked into the program, so that loading a manifest
//! starts its servers without being told of them.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::error::Diagnostic;
use crate::manifest::McpConfig;
use crate::paths::Paths;
use crate::provider::ToolProvider;

/// A provider, or everything that is wrong with its section.
pub type Started = Result<Arc<dyn ToolProvider>, Vec<Diagnostic>>;

/// What makes providers of `[mcp.NAME]` sections. One is registered, by `inventory::submit!`.
pub struct ServerStarter {
    /// Starts a server and asks for its tools. One that may wait is not started before it is needed, if it is
    /// remembered which tools it has.
    pub start: for<'a> fn(McpConfig, Surroundings<'a>, may_wait: bool) -> BoxFuture<'a, Started>,
    /// Has the tools that are remembered of a server, and does not start it.
    pub recall: fn(McpConfig, Surroundings<'_>) -> Arc<dyn ToolProvider>,
}

/// Where a section is, and where its server runs.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The file of the manifest.
    pub manifest: &'a Path,
    /// The way to files of the host.
    pub paths: &'a Arc<Paths>,
    /// The folder for what is remembered of servers.
    pub memory: Option<&'a Path>,
}

inventory::collect!(ServerStarter);

/// The one that is registered, if the program has any.
pub(crate) fn starter() -> Option<&'static ServerStarter> {
    inventory::iter::<ServerStarter>.into_iter().next()
}

/// What is wrong with a section that nothing in this program can start.
pub(crate) fn missing(server: &McpConfig, manifest: &Path) -> Vec<Diagnostic> {
    let message = format!(
        "`mcp.{}`: this toolhost was built without the feature `mcp`",
        server.name
    );
    vec![Diagnostic::new(manifest, server.at, message).help("build it with the feature `mcp`")]
}

#[cfg(test)]
mod tests {
    use crate::host::ToolHost;
    use crate::manifest::Manifest;

    #[tokio::test]
    async fn a_program_that_starts_no_servers_names_the_feature_that_would() {
        let text = "[mcp.notes]\ncommand = \"notes\"\n";
        let manifest = Manifest::parse(text, "toolhost.toml").unwrap();
        let error = ToolHost::load(manifest).await.unwrap_err().to_string();
        let expected = "`mcp.notes`: this toolhost was built without the feature `mcp`";
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("build it with the feature `mcp`"), "{error}");
    }
}
