//! Code mode: clients see three tools, of which one runs programs that call all others.
//!
//! The host keeps all its tools; what a client may not call directly, a program of that client may
//! call, as far as the client and the grant of the plugin that runs it allow.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use super::ToolHost;
use crate::error::{CallError, Diagnostic, LoadError};
use crate::limits::Limits;
use crate::provider::{CallContext, ProvidedTool, Provider, RunOutcome, ToolProvider};
use crate::registry::Registered;
use crate::tool::{Annotations, Output, Tool, ToolCall};
use crate::tool_caller::{CallableTools, ToolCaller};

/// The tool that runs programs, by its plugin's own name: the first that there is.
const RUNNERS: [&str; 2] = [RUN_SCRIPT, "run_python"];
const RUN_SCRIPT: &str = "run_script";
const SEARCH_TOOLS: &str = "search_tools";
const DESCRIBE_TOOL: &str = "describe_tool";

/// The most tools that one search finds.
const MAX_FOUND: usize = 50;

impl ToolHost {
    /// The same host in code mode.
    ///
    /// # Errors
    ///
    /// No plugin runs programs, or `permissions.tools` grants it nothing.
    pub(super) fn in_code_mode(&self, manifest: &Path) -> Result<ToolHost, LoadError> {
        let runs = |name: &'static str| {
            self.registry.tools.iter().find(move |tool| {
                let found = self.registry.find(&tool.tool.name);
                let is_plugin = |(_, by, _): (usize, &Arc<Registered>, &Arc<ProvidedTool>)| {
                    matches!(by.provider.provenance(), Provider::Plugin(_))
                };
                tool.own_name == name && found.is_some_and(is_plugin)
            })
        };
        let invalid = |message: String, help: &str| {
            LoadError::Invalid(vec![Diagnostic::new(manifest, None, message).help(help)])
        };
        let Some(runner) = RUNNERS.into_iter().find_map(runs) else {
            let message = format!("code mode needs a plugin that offers `{RUN_SCRIPT}`");
            return Err(invalid(
                message,
                "add the plugin `script` that ships, with `permissions.tools = [\"*\"]`",
            ));
        };
        let name = runner.tool.name.clone();
        let by = self.registry.find(&name).map(|(_, by, _)| by);
        let Some(by) = by.filter(|by| by.suspends_at(0)) else {
            let message = format!("the programs of `{name}` may call no tools");
            let help = "grant them in the plugin's `permissions.tools`, such as `[\"*\"]` for all";
            return Err(invalid(message, help));
        };
        let provider = Arc::new(CodeTools::new(by.provider.clone()));
        let mut host = self.with_provider(provider);
        host.front = Some(Arc::new(BTreeSet::from([name])));
        Ok(host)
    }

    /// The tools that clients can call directly: all, but in [code mode](crate::Loader::code_mode).
    pub fn offered_tools(&self) -> impl Iterator<Item = &Tool> {
        self.tools().filter(|tool| !self.is_hidden(&tool.name))
    }

    /// Whether only programs can call a tool.
    pub(super) fn is_hidden(&self, tool: &str) -> bool {
        self.front
            .as_ref()
            .is_some_and(|front| !front.contains(tool))
            && !self.is_own(tool)
    }

    /// Whether it is a tool of the host itself.
    pub(super) fn is_own(&self, tool: &str) -> bool {
        let found = self.registry.find(tool);
        found.is_some_and(|(_, by, _)| matches!(by.provider.provenance(), Provider::Host))
    }

    /// The error for a direct call of a tool that only programs can call.
    pub(super) fn hidden(&self, tool: &str) -> CallError {
        let front = self.front.iter().flat_map(|front| front.iter());
        let runner = front.map(String::as_str).next().unwrap_or(RUN_SCRIPT);
        CallError::denied(format!(
            "{tool} is called by programs only: call `{runner}` with a program that calls it"
        ))
    }
}

/// The host's own tools in code mode.
struct CodeTools {
    /// What runs programs.
    runner: Arc<dyn ToolProvider>,
    tools: Arc<[Arc<ProvidedTool>]>,
    limits: Limits,
}

#[derive(Deserialize)]
struct SearchArguments {
    #[serde(default)]
    words: String,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct DescribeArguments {
    name: String,
}

impl CodeTools {
    fn new(runner: Arc<dyn ToolProvider>) -> CodeTools {
        let annotations = Annotations::default()
            .with_read_only(true)
            .with_open_world(false);
        let search = Tool::new(
            SEARCH_TOOLS,
            "Finds the tools that programs can call. Returns their names and the beginnings of their descriptions.",
        );
        let describe = Tool::new(
            DESCRIBE_TOOL,
            "Describes a tool that programs can call: its TypeScript signature and its whole description.",
        );
        let tools = [
            (
                search,
                json!({
                    "type": "object",
                    "properties": {
                        "words": { "type": "string", "description": "Words to look for; all tools without any" },
                        "limit": { "type": "integer", "minimum": 1, "maximum": MAX_FOUND, "default": 10 },
                    },
                    "additionalProperties": false,
                }),
            ),
            (
                describe,
                json!({
                    "type": "object",
                    "properties": { "name": { "type": "string" } },
                    "required": ["name"],
                    "additionalProperties": false,
                }),
            ),
        ];
        let tools = tools.map(|(tool, schema)| {
            let tool = tool.with_annotations(annotations).with_sandboxed(true);
            let tool = ProvidedTool::new(tool.with_input_schema(schema));
            Arc::new(tool.expect("its schema is valid"))
        });
        CodeTools {
            runner,
            tools: tools.into(),
            limits: Limits::default(),
        }
    }
}

fn answer(name: &str, arguments: &str, caller: &dyn ToolCaller) -> Result<Output, CallError> {
    let invalid = |error: serde_json::Error| CallError::invalid_arguments("", error.to_string());
    if name == DESCRIBE_TOOL {
        let asked: DescribeArguments = serde_json::from_str(arguments).map_err(invalid)?;
        let described = caller.describe(&asked.name).map(Output::text);
        // Its own name would be said to be unknown.
        return described.map_err(|error| match error {
            CallError::UnknownTool { .. } => CallError::failed(format!(
                "programs can call no tool {:?}: `{SEARCH_TOOLS}` finds those that they can call",
                asked.name
            )),
            error => error,
        });
    }
    let asked: SearchArguments = serde_json::from_str(arguments).map_err(invalid)?;
    let found = caller.search(&asked.words, asked.limit.unwrap_or(10).min(MAX_FOUND));
    if found.is_empty() {
        return Ok(Output::text(
            "No tool fits. Try other words, or none for all tools.",
        ));
    }
    let lines = found.into_iter().map(|(name, description)| {
        let first = description.lines().next().unwrap_or_default();
        format!("{name}: {first}")
    });
    Ok(Output::text(lines.collect::<Vec<_>>().join("\n")))
}

impl ToolProvider for CodeTools {
    fn name(&self) -> &str {
        "code mode"
    }

    fn title(&self) -> String {
        self.name().to_owned()
    }

    fn provenance(&self) -> Provider<'_> {
        Provider::Host
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        self.tools.clone()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn may_change(&self, _: &Tool) -> bool {
        false
    }

    fn is_isolated(&self) -> bool {
        true
    }

    fn callable_tools(&self) -> CallableTools<'_> {
        match self.runner.callable_tools() {
            CallableTools::Matching(patterns) => CallableTools::MatchingOf {
                provider: self.runner.name(),
                patterns,
                max_depth: self.runner.limits().max_depth,
            },
            others => others,
        }
    }

    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        call: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        let outcome = match context.caller {
            Some(caller) => answer(&tool.own_name, call.arguments_text(), &**caller),
            None => Err(CallError::internal("the call has no host")),
        };
        Box::pin(std::future::ready(outcome.into()))
    }
}
