//! Resources, prompts and completion of plugins.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::tools::{PLUGIN_PACKAGE, PLUGIN_VERSION};
use super::{Plugin, convert, questions};
use crate::bindings::completion::CompletionProviderPre;
use crate::bindings::completion::exports::toolhost::plugin::completion as wit_completion;
use crate::bindings::prompts::PromptProviderPre;
use crate::bindings::prompts::exports::toolhost::plugin::prompts as wit_prompts;
use crate::bindings::resources::ResourceProviderPre;
use crate::bindings::resources::exports::toolhost::plugin::resources as wit_resources;
use crate::bindings::toolhost::plugin::types as wit;
use crate::error::CallError;
use crate::input::Resumption;
use crate::prompt::{
    CompletionRequest, CompletionTarget, Prompt, PromptArgument, RenderedPrompt, Suggestions,
};
use crate::provider::{CallContext, Payload, RunOutcome};
use crate::resource::{
    Resource, ResourceContents, ResourceOwner, ResourceOwners, ResourceTemplate,
};
use crate::sandbox::Sandbox;

/// The optional exports of a plugin, ready to be instantiated.
#[derive(Default)]
pub(crate) struct OptionalExports {
    pub(super) resources: Option<ResourceProviderPre<Sandbox>>,
    pub(super) prompts: Option<PromptProviderPre<Sandbox>>,
    pub(super) completion: Option<CompletionProviderPre<Sandbox>>,
}

/// What it listed when it was loaded.
#[derive(Default)]
pub(crate) struct OptionalListings {
    pub(crate) templates: Vec<ResourceTemplate>,
    pub(crate) prompts: Vec<PluginPrompt>,
}

pub(crate) struct PluginPrompt {
    /// As clients see it.
    pub(crate) prompt: Prompt,
    /// Its name in the plugin, without the manifest's prefix.
    pub(super) own_name: String,
}

impl OptionalExports {
    /// # Errors
    ///
    /// An exported interface does not match this host's.
    pub(super) fn new(
        pre: &InstancePre<Sandbox>,
        exports: &[String],
    ) -> Result<OptionalExports, String> {
        Ok(OptionalExports {
            resources: is_exported("resources", exports)?
                .then(|| ResourceProviderPre::new(pre.clone()))
                .transpose()
                .map_err(misfit)?,
            prompts: is_exported("prompts", exports)?
                .then(|| PromptProviderPre::new(pre.clone()))
                .transpose()
                .map_err(misfit)?,
            completion: is_exported("completion", exports)?
                .then(|| CompletionProviderPre::new(pre.clone()))
                .transpose()
                .map_err(misfit)?,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_none() && self.prompts.is_none() && self.completion.is_none()
    }
}

impl Plugin {
    /// Whether it has resources at all.
    pub(crate) fn has_resources(&self) -> bool {
        self.exported.resources.is_some()
    }

    /// What is known of its resources without asking it.
    pub(crate) fn owner(&self) -> ResourceOwner {
        ResourceOwner::new(self.has_resources(), &self.listed.templates)
    }

    /// Sets which resources are its own, among those of all plugins.
    pub(crate) fn set_owners(&self, owners: Arc<ResourceOwners>, plugin: usize) {
        let _ = self.grants.resources.set((owners, plugin));
    }

    /// Whether it completes arguments.
    pub(crate) fn completes(&self) -> bool {
        self.exported.completion.is_some()
    }

    /// Lists its resources now.
    pub(crate) async fn list_resources(
        &self,
        context: CallContext<'_>,
    ) -> RunOutcome<Vec<Resource>> {
        let ask = async |resources: &wit_resources::Guest, store: &mut Store<Sandbox>| {
            resources.call_list_resources(store).await
        };
        let convert = |listed: Vec<_>| listed.into_iter().map(resource).collect();
        self.of_resources(context, ask, convert).await
    }

    pub(crate) async fn read_resource(
        &self,
        uri: &str,
        resumed: Option<Resumption>,
        context: CallContext<'_>,
    ) -> RunOutcome<Vec<ResourceContents>> {
        let request = wit_resources::Read {
            uri: uri.to_owned(),
            resumed: resumed.map(questions::resumption),
        };
        let ask = async |resources: &wit_resources::Guest, store: &mut Store<Sandbox>| {
            resources.call_read_resource(store, &request).await
        };
        let convert = |contents: Vec<_>| contents.into_iter().map(convert::embedded).collect();
        self.of_resources(context, ask, convert).await
    }

    pub(crate) async fn resource_version(
        &self,
        uri: &str,
        context: CallContext<'_>,
    ) -> RunOutcome<String> {
        let ask = async |resources: &wit_resources::Guest, store: &mut Store<Sandbox>| {
            resources.call_resource_version(store, uri).await
        };
        self.of_resources(context, ask, |version| version).await
    }

    /// Calls its resources export.
    async fn of_resources<R, T: Payload>(
        &self,
        context: CallContext<'_>,
        ask: impl AsyncFnOnce(
            &wit_resources::Guest,
            &mut Store<Sandbox>,
        ) -> wasmtime::Result<Result<R, wit::Error>>,
        convert: impl FnOnce(R) -> T,
    ) -> RunOutcome<T> {
        let limits = &self.config.limits;
        let Some(pre) = &self.exported.resources else {
            return RunOutcome::refused(no_such("resources"));
        };
        let run = async |store: &mut Store<Sandbox>| {
            let plugin = pre.instantiate_async(&mut *store).await?;
            ask(plugin.toolhost_plugin_resources(), store).await
        };
        let ended = self.run(pre.engine(), context, run).await;
        ended.into_served(limits, |found| Ok(convert(found)))
    }

    pub(crate) async fn get_prompt(
        &self,
        prompt: &PluginPrompt,
        arguments: Vec<(String, String)>,
        resumed: Option<Resumption>,
        context: CallContext<'_>,
    ) -> RunOutcome<RenderedPrompt> {
        let limits = &self.config.limits;
        let Some(pre) = &self.exported.prompts else {
            return RunOutcome::refused(no_such("prompts"));
        };
        let request = wit_prompts::Get {
            name: prompt.own_name.clone(),
            arguments,
            resumed: resumed.map(questions::resumption),
        };
        let run = async |store: &mut Store<Sandbox>| {
            let plugin = pre.instantiate_async(&mut *store).await?;
            let prompts = plugin.toolhost_plugin_prompts();
            prompts.call_get_prompt(store, &request).await
        };
        let ended = self.run(pre.engine(), context, run).await;
        ended.into_served(limits, |answer| Ok(filled(answer)))
    }

    pub(crate) async fn complete(
        &self,
        request: CompletionRequest,
        context: CallContext<'_>,
    ) -> RunOutcome<Suggestions> {
        let limits = &self.config.limits;
        let Some(pre) = &self.exported.completion else {
            return RunOutcome::refused(no_such("completions"));
        };
        let request = completing(request, &self.config.prefix);
        let run = async |store: &mut Store<Sandbox>| {
            let plugin = pre.instantiate_async(&mut *store).await?;
            let completion = plugin.toolhost_plugin_completion();
            completion.call_complete(store, &request).await
        };
        let ended = self.run(pre.engine(), context, run).await;
        ended.into_served(limits, |found| Ok(suggestions(found)))
    }
}

fn no_such(what: &str) -> CallError {
    CallError::internal(format!("the plugin has no {what}"))
}

fn is_exported(interface: &str, exports: &[String]) -> Result<bool, String> {
    let prefix = format!("{PLUGIN_PACKAGE}/{interface}@");
    let mut versions = exports
        .iter()
        .filter_map(|export| export.strip_prefix(&prefix));
    match versions.next() {
        None => Ok(false),
        Some(PLUGIN_VERSION) => Ok(true),
        Some(version) => Err(format!(
            "exports {prefix}{version}, but this host supports {PLUGIN_VERSION}"
        )),
    }
}

fn misfit(error: wasmtime::Error) -> String {
    format!("does not fit this host: {error:#}")
}

fn resource(listed: wit_resources::Resource) -> Resource {
    Resource {
        uri: listed.uri,
        name: listed.name,
        title: listed.title,
        description: listed.description,
        mime_type: listed.mime_type,
        size: listed.size,
        icons: convert::icons(listed.icons),
    }
}

pub(super) fn template(listed: wit_resources::Template) -> ResourceTemplate {
    ResourceTemplate {
        uri_template: listed.uri_template,
        name: listed.name,
        title: listed.title,
        description: listed.description,
        mime_type: listed.mime_type,
        icons: convert::icons(listed.icons),
    }
}

pub(super) fn prompt(listed: wit_prompts::Prompt, name: String) -> PluginPrompt {
    let argument = |argument: wit_prompts::Argument| PromptArgument {
        name: argument.name,
        title: argument.title,
        description: argument.description,
        required: argument.required,
    };
    PluginPrompt {
        own_name: listed.name,
        prompt: Prompt {
            name,
            title: listed.title,
            description: listed.description,
            icons: convert::icons(listed.icons),
            arguments: listed.arguments.into_iter().map(argument).collect(),
        },
    }
}

fn filled(filled: wit_prompts::Filled) -> RenderedPrompt {
    let messages = filled.messages.into_iter();
    RenderedPrompt {
        description: filled.description,
        messages: messages.map(questions::message).collect(),
    }
}

/// The request in the plugin's terms, without the prefix of prompt names.
fn completing(request: CompletionRequest, prefix: &str) -> wit_completion::Request {
    wit_completion::Request {
        of: match request.of {
            CompletionTarget::Prompt(name) => {
                let own = name.strip_prefix(prefix).unwrap_or(&name);
                wit_completion::Subject::Prompt(own.to_owned())
            }
            CompletionTarget::Template(template) => wit_completion::Subject::Template(template),
        },
        argument: request.argument,
        value: request.value,
        others: request.others,
    }
}

fn suggestions(suggestions: wit_completion::Suggestions) -> Suggestions {
    Suggestions {
        values: suggestions.values,
        total: suggestions.total,
    }
}
