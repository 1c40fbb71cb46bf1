//! The catalogue: what a host offers, as clients see it.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rmcp::model::{Prompt, ResourceTemplate, Tool};

use crate::http_front::Principal;
use crate::server::{ServerInfo, convert, long_results};
use toolhost_core::host::{CallOptions, ToolHost};
use toolhost_core::order;
use toolhost_core::result_store::{LongResults, ResultStore};

/// What a host offers, in the protocol's types.
pub(crate) struct Catalogue {
    /// The host as it was loaded.
    pub(crate) loaded: ToolHost,
    /// The host with the server's own tools.
    pub(crate) host: ToolHost,
    pub(crate) info: ServerInfo,
    pub(crate) tools: Vec<Tool>,
    /// Compacts long results, if that is configured.
    pub(crate) long: Option<Arc<LongResults>>,
    /// The name of the tool that reads on in them, once chosen: clients know it, and no server that
    /// lists more tools later takes it.
    reader: Option<String>,
    by_name: HashMap<String, usize>,
    /// A digest of the plugins' files: a state written by other plugins is not read by these.
    pub(crate) plugins: String,
    pub(crate) prompts: Vec<Prompt>,
    pub(crate) templates: Vec<ResourceTemplate>,
}

impl Catalogue {
    pub(crate) fn new(
        loaded: ToolHost,
        info: ServerInfo,
        results: &Arc<ResultStore>,
        before: Option<&Catalogue>,
    ) -> Catalogue {
        let mut reader = before.and_then(|before| before.reader.clone());
        let long = info.max_result_chars.map(|max_chars| {
            let name = reader.get_or_insert_with(|| {
                let names: Vec<&str> = loaded.tools().map(|tool| &*tool.name).collect();
                long_results::free_name(names.into_iter())
            });
            Arc::new(long_results::results(max_chars, name, results.clone()))
        });
        let host = match &long {
            Some(long) => loaded.with_provider(long.clone()),
            None => loaded.clone(),
        };
        let mut tools: Vec<Tool> = host.offered_tools().map(convert::tool).collect();
        if let Some(long) = &long {
            long_results::declare(&mut tools, long);
        }
        let names = tools.iter().map(|tool| tool.name.to_string());
        Catalogue {
            by_name: names.enumerate().map(|(at, name)| (name, at)).collect(),
            prompts: host.prompts().map(convert::prompt).collect(),
            templates: host.resource_templates().map(convert::template).collect(),
            tools,
            long,
            reader,
            plugins: loaded.plugins_sha256(),
            loaded,
            host,
            info,
        }
    }

    /// The options for a caller's request.
    pub(crate) fn options(
        &self,
        principal: Option<&Principal>,
        order: order::OrderClient,
    ) -> CallOptions {
        self.options_of(principal.and_then(Principal::own_name))
            .of_client(order)
            .allowed(principal.and_then(|it| it.tools.clone()))
    }

    /// The options for a client, with its name if it has one.
    pub(crate) fn options_of(&self, client: Option<Arc<str>>) -> CallOptions {
        let options = CallOptions::new();
        match client.or_else(|| self.info.client.clone()) {
            Some(name) => options.client(name),
            None => options,
        }
    }

    pub(crate) fn tool(&self, name: &str) -> Option<&Tool> {
        Some(&self.tools[*self.by_name.get(name)?])
    }

    /// A tool as a client sees it that may call only `allowed`.
    pub(crate) fn described(&self, tool: &Tool, allowed: Option<&BTreeSet<String>>) -> Tool {
        let mut tool = tool.clone();
        if allowed.is_some()
            && let Some(own) = self.host.tool(&tool.name)
            && let Cow::Owned(description) = self.host.description_for(own, allowed)
        {
            tool.description = Some(description.into());
        }
        tool
    }

    /// Whether a client may call a tool. Every client may read on in its own results.
    pub(crate) fn may_call(&self, principal: Option<&Principal>, tool: &str) -> bool {
        let is_own = |long: &Arc<LongResults>| long.tool() == tool;
        principal
            .and_then(|it| it.tools.as_ref())
            .is_none_or(|tools| tools.contains(tool))
            || self.long.as_ref().is_some_and(is_own)
    }
}
