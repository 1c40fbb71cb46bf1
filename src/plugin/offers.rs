//! What a plugin may offer beside tools: resources, prompts and completion.

use wasmtime::component::InstancePre;

use super::component::{PLUGIN_PACKAGE, PLUGIN_VERSION};
use super::{convert, questions};
use crate::bindings::completion::CompletionProviderPre;
use crate::bindings::completion::exports::toolhost::plugin::completion as wit_completion;
use crate::bindings::prompts::PromptProviderPre;
use crate::bindings::prompts::exports::toolhost::plugin::prompts as wit_prompts;
use crate::bindings::resources::ResourceProviderPre;
use crate::bindings::resources::exports::toolhost::plugin::resources as wit_resources;
use crate::prompt::{Completing, FilledPrompt, Prompt, PromptArgument, Subject, Suggestions};
use crate::resource::{Resource, ResourceTemplate};
use crate::sandbox::Sandbox;

/// What it exports beside its tools, ready to be instantiated.
pub(crate) struct Exported {
    pub(super) resources: Option<ResourceProviderPre<Sandbox>>,
    pub(super) prompts: Option<PromptProviderPre<Sandbox>>,
    pub(super) completion: Option<CompletionProviderPre<Sandbox>>,
}

/// What was listed of it when it was loaded.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) templates: Vec<ResourceTemplate>,
    pub(crate) prompts: Vec<PluginPrompt>,
}

pub(crate) struct PluginPrompt {
    /// As a client sees it.
    pub(crate) prompt: Prompt,
    /// As the plugin has it, without the manifest's prefix.
    pub(super) own_name: String,
}

impl Exported {
    /// # Errors
    ///
    /// An interface that it exports is not this host's.
    pub(super) fn new(pre: &InstancePre<Sandbox>, exports: &[String]) -> Result<Exported, String> {
        Ok(Exported {
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

fn is_exported(interface: &str, exports: &[String]) -> Result<bool, String> {
    let prefix = format!("{PLUGIN_PACKAGE}/{interface}@");
    let mut versions = exports
        .iter()
        .filter_map(|export| export.strip_prefix(&prefix));
    match versions.next() {
        None => Ok(false),
        Some(PLUGIN_VERSION) => Ok(true),
        Some(version) => Err(format!(
            "exports {prefix}{version}, and this host serves {PLUGIN_VERSION}"
        )),
    }
}

fn misfit(error: wasmtime::Error) -> String {
    format!("does not fit this host: {error:#}")
}

pub(super) fn resource(listed: wit_resources::Resource) -> Resource {
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

pub(super) fn filled(filled: wit_prompts::Filled) -> FilledPrompt {
    let messages = filled.messages.into_iter();
    FilledPrompt {
        description: filled.description,
        messages: messages.map(questions::message).collect(),
    }
}

/// As the plugin has it, whose prompts have a prefix.
pub(super) fn completing(request: Completing, prefix: &str) -> wit_completion::Request {
    wit_completion::Request {
        of: match request.of {
            Subject::Prompt(name) => {
                let own = name.strip_prefix(prefix).unwrap_or(&name);
                wit_completion::Subject::Prompt(own.to_owned())
            }
            Subject::Template(template) => wit_completion::Subject::Template(template),
        },
        argument: request.argument,
        value: request.value,
        others: request.others,
    }
}

pub(super) fn suggestions(suggestions: wit_completion::Suggestions) -> Suggestions {
    Suggestions {
        values: suggestions.values,
        total: suggestions.total,
    }
}
