//! What serves the calls of a plugin: a component, or an MCP server in its place.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use wasmtime::Store;

use super::call::{self, Ended, Served};
use super::call_tool::CallTool;
use super::offers::Exported;
use super::{PluginTool, Turn, convert};
use crate::bindings::toolhost::plugin::types as wit;
use crate::limits::Limits;
use crate::manifest::McpConfig;
use crate::permissions::Secret;
use crate::sandbox::{Grants, Sandbox};
use crate::tool::ToolCall;

pub(super) enum Backend {
    Component(Box<Component>),
    #[cfg_attr(not(feature = "mcp"), expect(dead_code, reason = "nobody makes one"))]
    Server(Box<dyn Server>),
}

/// A component that is ready to be instantiated.
pub(crate) struct Component {
    /// The SHA-256 digest of its file, in hexadecimal.
    pub(super) sha256: Arc<str>,
    /// What it imports, such as `wasi:cli/environment@0.2.6`.
    pub(crate) imports: Vec<String>,
    /// The permissions that it can make use of, as the manifest has them.
    pub(crate) usable: Vec<&'static str>,
    pub(super) call_tool: CallTool,
    pub(super) exported: Exported,
    pub(super) grants: Arc<Grants>,
}

/// A tool that an MCP server lists, and that is not offered, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name, as the server has it.
    pub tool: String,
    /// What becomes of it and why, as the end of a sentence that begins with its name.
    pub why: String,
}

/// What a tool of an MCP server says of itself, to be pinned.
#[derive(Clone, Debug, PartialEq)]
pub struct Pin {
    /// Its name, as the server has it.
    pub tool: String,
    /// As the manifest has it: `sha256:` and the digest of the text.
    pub digest: String,
    /// Its names, description, schemas and annotations, the members in order.
    pub text: serde_json::Value,
}

impl LeftOut {
    #[cfg(feature = "mcp")]
    pub(crate) fn new(tool: &str, why: impl Into<String>) -> Self {
        LeftOut {
            tool: tool.chars().take(200).collect(),
            why: why.into(),
        }
    }
}

/// An MCP server, which is in no sandbox.
pub(crate) trait Server: Send + Sync {
    /// What the manifest says of it.
    fn config(&self) -> &McpConfig;

    /// The secrets of its manifest.
    fn secrets(&self) -> Vec<&Secret>;

    /// What is to be said of its tools, beside what is offered.
    fn left_out(&self) -> Vec<LeftOut>;

    /// What its tools say of themselves.
    fn pins(&self) -> Vec<Pin>;

    /// Serves one call, whose arguments are as the tool asks for them. Whatever the server does, it
    /// ends at its deadline.
    fn call<'c>(
        &'c self,
        tool: &'c PluginTool,
        call: &'c ToolCall,
        arguments: String,
        turn: Turn<'c>,
    ) -> BoxFuture<'c, Served>;
}

impl Component {
    pub(super) async fn call(
        &self,
        request: wit::Call,
        tool: &PluginTool,
        limits: &Limits,
        turn: Turn<'_>,
    ) -> Served {
        let run = async |store: &mut Store<Sandbox>| self.call_tool.call(store, &request).await;
        let ended = self.run(limits, turn, run).await;
        ended.into_served(limits, |output| {
            convert::output(output, tool.output.as_ref())
        })
    }

    /// Has `run` make an instance and call an export of it.
    pub(super) async fn run<R>(
        &self,
        limits: &Limits,
        turn: Turn<'_>,
        run: impl AsyncFnOnce(&mut Store<Sandbox>) -> wasmtime::Result<R>,
    ) -> Ended<R> {
        call::in_sandbox(
            self.call_tool.engine(),
            &self.grants,
            turn.journal,
            limits.deadline(turn.start),
            turn.cancel,
            run,
        )
        .await
    }
}
