//! `[resource.NAME]` and `[prompt.NAME]`: resources and prompts written in the manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::is_name;
use super::reader::{
    ManifestSource, ManifestTable, Value, expect_string, expect_table, mismatch, path_in,
};
use crate::bounded_read;
use crate::error::CallError;
use crate::input::{Message, Role};
use crate::paths::Paths;
use crate::prompt::{Prompt, PromptArgument, RenderedPrompt};
use crate::resource::{Resource, ResourceContents};
use crate::tool::{EmbeddedResource, ResourceBody};

/// The largest file of a resource, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// `[resource.NAME]`
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StaticResource {
    /// The resource as clients see it.
    pub resource: Resource,
    /// Its contents.
    pub body: StaticBody,
    /// Whether plugins may write its file, if it lies in a folder that they may write.
    pub is_writable: bool,
}

/// The contents of an [`StaticResource`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaticBody {
    /// Literal text.
    Text(String),
    /// A file, read on each request.
    File(PathBuf),
}

/// `[prompt.NAME]`
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StaticPrompt {
    /// The prompt as clients see it.
    pub prompt: Prompt,
    /// The messages; `{{argument}}` is replaced by the argument's value.
    pub messages: Vec<(Role, String)>,
}

impl StaticResource {
    /// Reads its contents.
    pub(crate) async fn read(
        &self,
        paths: &Arc<Paths>,
    ) -> Result<Vec<ResourceContents>, CallError> {
        let body = match &self.body {
            StaticBody::Text(text) => ResourceBody::Text(text.clone()),
            StaticBody::File(path) => {
                let (path, paths) = (path.clone(), paths.clone());
                let read = tokio::task::spawn_blocking(move || {
                    let file = paths.open_regular(&path)?;
                    paths.expect_accepted(&path)?;
                    bounded_read::read(&file, MAX_FILE)
                })
                .await;
                let bytes = read.map_err(CallError::internal)?;
                let bytes = bytes.map_err(|error| CallError::Failed {
                    message: format!("cannot be read: {error}"),
                })?;
                match String::from_utf8(bytes) {
                    Ok(text) => ResourceBody::Text(text),
                    Err(error) => ResourceBody::Blob(error.into_bytes()),
                }
            }
        };
        let contents = EmbeddedResource::new(&self.resource.uri, body);
        Ok(vec![
            contents.with_mime_type(self.resource.mime_type.clone()),
        ])
    }

    /// A version that changes whenever the contents do.
    pub(crate) async fn version(&self, paths: &Arc<Paths>) -> String {
        let StaticBody::File(path) = self.body.clone() else {
            return String::new();
        };
        let paths = paths.clone();
        let changed = move || {
            let file = paths.open_regular(&path).ok()?;
            paths.expect_accepted(&path).ok()?;
            let metadata = file.metadata().ok()?;
            let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some(format!("{} {}", modified.as_nanos(), metadata.len()))
        };
        let changed = tokio::task::spawn_blocking(changed).await;
        changed.ok().flatten().unwrap_or_default()
    }
}

impl StaticPrompt {
    /// Renders the messages with these arguments; a missing one is empty.
    pub(crate) fn fill(&self, arguments: &[(String, String)]) -> RenderedPrompt {
        let messages = self.messages.iter();
        let messages =
            messages.map(|(role, text)| Message::new(*role, self.filled(text, arguments)));
        RenderedPrompt {
            description: self.prompt.description.clone(),
            messages: messages.collect(),
        }
    }

    /// Replaces placeholders in one pass, so that values are not searched for placeholders.
    fn filled(&self, text: &str, arguments: &[(String, String)]) -> String {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            filled.push_str(before);
            match after.split_once("}}") {
                Some((name, after)) if self.has(name.trim()) => {
                    let mut given = arguments.iter();
                    if let Some((_, value)) = given.find(|(given, _)| given == name.trim()) {
                        filled.push_str(value);
                    }
                    rest = after;
                }
                _ => {
                    filled.push_str("{{");
                    rest = after;
                }
            }
        }
        filled + rest
    }

    fn has(&self, name: &str) -> bool {
        let mut arguments = self.prompt.arguments.iter();
        arguments.any(|argument| argument.name == name)
    }
}

pub(super) fn read_resources(
    table: ManifestTable,
    folder: &Path,
    source: &mut ManifestSource,
) -> Vec<StaticResource> {
    let mut resources: Vec<StaticResource> = Vec::new();
    for (key, value, path) in table.entries() {
        let Some(mut table) = expect_table(value, path.clone(), source) else {
            continue;
        };
        let owned = |text: &str| text.to_owned();
        let resource = Resource {
            uri: table.string("uri", source).map(owned).unwrap_or_default(),
            name: key.get_ref().to_string(),
            title: table.string("title", source).map(owned),
            description: table.string("description", source).map(owned),
            mime_type: table.string("mime-type", source).map(owned),
            ..Resource::default()
        };
        if !table.has("uri") {
            source.problem(key.span(), format!("`{path}` needs `uri`"));
        } else if url::Url::parse(&resource.uri).is_err() {
            let message = format!("`{path}.uri` must be a URI, such as \"docs://readme\"");
            source.problem(value.span(), message);
        } else if resources
            .iter()
            .any(|other| other.resource.uri == resource.uri)
        {
            let message = format!("`{path}` has the same URI as another resource");
            source.problem(key.span(), message);
        }
        let text = table.string("text", source).map(owned);
        let file = table.get("path").and_then(|at| {
            let file = path_in(folder, table.string("path", source)?);
            if !file.is_file() {
                let message = format!("`{path}.path`: {} is not a file", file.display());
                source.problem(at.span(), message);
            }
            Some(file)
        });
        let is_writable = table.bool("writable", source).unwrap_or_default();
        if table.has("writable") && !table.has("path") {
            let message = format!("`{path}.writable` is only for a resource with `path`");
            source.problem(key.span(), message);
        }
        let body = match (text, file) {
            (Some(text), None) => StaticBody::Text(text),
            (None, Some(file)) => StaticBody::File(file),
            _ => {
                source.problem(
                    key.span(),
                    format!("`{path}` needs either `text` or `path`"),
                );
                StaticBody::Text(String::new())
            }
        };
        table.finish(source);
        resources.push(StaticResource {
            resource,
            body,
            is_writable,
        });
    }
    resources
}

pub(super) fn read_prompts(table: ManifestTable, source: &mut ManifestSource) -> Vec<StaticPrompt> {
    let mut prompts = Vec::new();
    for (key, value, path) in table.entries() {
        let name = key.get_ref().to_string();
        if !is_name(&name) || name.len() > 64 {
            let message = format!(
                "`{name}` is not a prompt name: use up to 64 of A-Z, a-z, 0-9, `_` and `-`"
            );
            source.problem(key.span(), message);
        }
        let Some(mut table) = expect_table(value, path.clone(), source) else {
            continue;
        };
        let owned = |text: &str| text.to_owned();
        let mut prompt = Prompt {
            name,
            title: table.string("title", source).map(owned),
            description: table.string("description", source).map(owned),
            ..Prompt::default()
        };
        let text = table.string("text", source).map(owned);
        let mut messages: Vec<(Role, String)> = Vec::new();
        if let Some(items) = table.array("messages", source) {
            let path = table.path("messages");
            messages = items
                .iter()
                .filter_map(|item| read_message(item, &path, source))
                .collect();
        }
        if text.is_some() == table.has("messages") {
            source.problem(
                key.span(),
                format!("`{path}` needs either `text` or `messages`"),
            );
        }
        messages.extend(text.map(|text| (Role::User, text)));
        if let Some(arguments) = table.table("arguments", source) {
            for (key, value, path) in arguments.entries() {
                let Some(mut table) = expect_table(value, path, source) else {
                    continue;
                };
                prompt.arguments.push(PromptArgument {
                    name: key.get_ref().to_string(),
                    title: table.string("title", source).map(owned),
                    description: table.string("description", source).map(owned),
                    required: table.bool("required", source).unwrap_or_default(),
                });
                table.finish(source);
            }
        }
        table.finish(source);
        prompts.push(StaticPrompt { prompt, messages });
    }
    prompts
}

/// `{ role = "user", text = "…" }`
fn read_message(item: &Value, path: &str, source: &mut ManifestSource) -> Option<(Role, String)> {
    let mut table = expect_table(item, path.to_owned(), source)?;
    let role = match table.get("role") {
        None => Role::User,
        Some(value) => match expect_string(value, &format!("{path}.role"), source)? {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => {
                let expected = "\"user\" or \"assistant\"";
                mismatch(value, &format!("{path}.role"), expected, source);
                Role::User
            }
        },
    };
    let text = table.string("text", source).map(str::to_owned);
    if text.is_none() {
        source.problem(item.span(), format!("`{path}` needs `text`"));
    }
    table.finish(source);
    Some((role, text.unwrap_or_default()))
}
