//! A server that is not started: it offers the tools cached when it last ran.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::BoxFuture;

use super::settings::Settings;
use super::tool_listing::{self, Offered};
use toolhost_core::error::CallError;
use toolhost_core::limits::Limits;
use toolhost_core::manifest::{McpConfig, Order};
use toolhost_core::paths::Paths;
use toolhost_core::provider::{
    CallContext, NotStarted, Pin, ProvidedTool, Provider, RunOutcome, ToolNote, ToolProvider,
};
use toolhost_core::tool::{Tool, ToolCall};

struct Recalled {
    settings: Settings,
    offered: Offered,
    /// When it listed them; `None` if none are cached.
    listed: Option<SystemTime>,
}

/// A server as the cache folder remembers it.
pub(crate) fn recall(
    config: McpConfig,
    manifest: &Path,
    paths: &Arc<Paths>,
    memory: Option<&Path>,
) -> Arc<dyn ToolProvider> {
    let settings = Settings::to_look_at(config, manifest, paths, memory);
    let (mut offered, mut listed) = (Offered::default(), None);
    if let Some((tools, when)) = settings.memory.recall_tools() {
        let problems;
        (offered, problems) = tool_listing::select_tools(&tools, &settings, manifest);
        // Whether they still exist will be seen at a start.
        for problem in problems {
            tracing::warn!("{problem}");
        }
        listed = Some(when);
    }
    Arc::new(Recalled {
        settings,
        offered,
        listed,
    })
}

/// The tools that a server last listed, if there is nothing wrong with them.
pub(super) fn tools(settings: &Settings, manifest: &Path) -> Option<Offered> {
    let (tools, _) = settings.memory.recall_tools()?;
    let (offered, problems) = tool_listing::select_tools(&tools, settings, manifest);
    problems.is_empty().then_some(offered)
}

impl ToolProvider for Recalled {
    fn name(&self) -> &str {
        &self.settings.config.name
    }

    fn title(&self) -> String {
        format!("MCP server `{}`", self.name())
    }

    fn provenance(&self) -> Provider<'_> {
        Provider::Server(&self.settings.config)
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        self.offered
            .tools
            .iter()
            .map(|it| it.tool.clone())
            .collect()
    }

    fn limits(&self) -> &Limits {
        &self.settings.config.limits
    }

    fn order(&self) -> Order {
        self.settings.config.order
    }

    fn may_change(&self, _: &Tool) -> bool {
        true
    }

    fn left_out(&self) -> Vec<ToolNote> {
        self.offered.left_out.clone()
    }

    fn pins(&self) -> Vec<Pin> {
        self.offered
            .tools
            .iter()
            .map(|tool| tool.pin.clone())
            .collect()
    }

    fn not_started(&self) -> Option<NotStarted> {
        Some(NotStarted::new(self.listed, None))
    }

    fn call<'c>(
        &'c self,
        _: &'c ProvidedTool,
        _: &'c ToolCall,
        _: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        let message = format!("its MCP server `{}` is not started", self.name());
        let refused = RunOutcome::refused(CallError::Failed { message });
        Box::pin(std::future::ready(refused))
    }
}
