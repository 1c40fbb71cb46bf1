//! Starting the MCP servers of a manifest. The core knows no MCP: the crate that turns an
//! `[mcp.NAME]` section into a [`ToolProvider`] registers itself here when it is linked into the
//! program, so that loading a manifest starts its servers.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::error::Diagnostic;
use crate::manifest::McpConfig;
use crate::paths::Paths;
use crate::provider::ToolProvider;

/// A provider, or everything that is wrong with its section.
pub type Started = Result<Arc<dyn ToolProvider>, Vec<Diagnostic>>;

/// Makes providers of `[mcp.NAME]` sections. One is registered, with `inventory::submit!`.
pub struct ServerStarter {
    /// Starts a server and lists its tools. One that may wait is not started before it is needed, if
    /// its tools are cached.
    pub start: for<'a> fn(McpConfig, StartContext<'a>, may_wait: bool) -> BoxFuture<'a, Started>,
    /// Offers the cached tools of a server, without starting it.
    pub recall: fn(McpConfig, StartContext<'_>) -> Arc<dyn ToolProvider>,
}

/// The context of a section.
#[derive(Clone, Copy)]
pub struct StartContext<'a> {
    /// The file of the manifest.
    pub manifest: &'a Path,
    /// Opens files of the host.
    pub paths: &'a Arc<Paths>,
    /// The cache folder of servers.
    pub memory: Option<&'a Path>,
}

inventory::collect!(ServerStarter);

/// The registered starter, if the program has one.
pub(crate) fn starter() -> Option<&'static ServerStarter> {
    inventory::iter::<ServerStarter>.into_iter().next()
}

/// The problem of a section that this program cannot start.
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
