//! Resources, prompts and completion of plugins and of the manifest. Each request of a plugin waits
//! for its turn and runs in a fresh instance, as a call does.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::debug_span;

use super::question_rounds::answered;
use super::{Admitted, CallOptions, LoadedPlugin, ToolHost, within};
use crate::error::{CallError, Diagnostic};
use crate::manifest::{StaticBody, StaticPrompt, StaticResource};
use crate::order::{DomainAccess, PlaceInOrder};
use crate::paths::FolderId;
use crate::plugin::{Plugin, PluginPrompt};
use crate::prompt::{
    CompletionRequest, CompletionTarget, Prompt, PromptRequest, RenderedPrompt, Suggestions,
};
use crate::provider::{CallContext, Payload, RunOutcome, ToolProvider};
use crate::resource::{Resource, ResourceContents, ResourceRequest, ResourceTemplate};
use crate::tool::ToolCall;

/// The resources and prompts written in the manifest.
pub(super) struct StaticContent {
    pub(super) resources: Vec<StaticResource>,
    pub(super) prompts: Vec<StaticPrompt>,
}

impl StaticContent {
    /// # Errors
    ///
    /// One for each prompt name that is used twice.
    pub(super) fn check(
        &self,
        manifest: &Path,
        plugins: &[Arc<Plugin>],
    ) -> Result<(), Vec<Diagnostic>> {
        let mut owners: HashMap<&str, String> = HashMap::new();
        for own in &self.prompts {
            owners.insert(&own.prompt.name, "the manifest".to_owned());
        }
        let mut problems = Vec::new();
        for plugin in plugins {
            let title = plugin.title();
            for own in &plugin.listed.prompts {
                let prompt = &own.prompt.name;
                if let Some(first) = owners.insert(prompt, format!("the {title}")) {
                    let message =
                        format!("{first} and the {title} both offer a prompt named `{prompt}`");
                    let help = "give the plugin a `prefix` in the manifest";
                    problems.push(Diagnostic::new(manifest, plugin.config.at, message).help(help));
                }
            }
        }
        match problems[..] {
            [] => Ok(()),
            _ => Err(problems),
        }
    }
}

impl ToolHost {
    /// Whether there are any resources.
    pub fn has_resources(&self) -> bool {
        let mut plugins = self.shared.plugins.iter();
        !self.shared.own.resources.is_empty() || plugins.any(|loaded| loaded.plugin.has_resources())
    }

    /// Whether any plugin completes arguments.
    pub fn completes(&self) -> bool {
        let mut plugins = self.shared.plugins.iter();
        plugins.any(|loaded| loaded.plugin.completes())
    }

    /// The resource templates, ordered by plugin name.
    pub fn resource_templates(&self) -> impl Iterator<Item = &ResourceTemplate> {
        let plugins = self.shared.plugins.iter();
        plugins.flat_map(|loaded| &loaded.plugin.listed.templates)
    }

    /// The resource templates of one plugin.
    pub fn resource_templates_of(&self, plugin: &str) -> impl Iterator<Item = &ResourceTemplate> {
        let mut plugins = self.shared.plugins.iter();
        let found = plugins.find(|loaded| loaded.plugin.config.name == plugin);
        found
            .into_iter()
            .flat_map(|loaded| &loaded.plugin.listed.templates)
    }

    /// The prompts: those of the manifest, then those of the plugins ordered by name.
    pub fn prompts(&self) -> impl Iterator<Item = &Prompt> {
        let own = self.shared.own.prompts.iter().map(|prompt| &prompt.prompt);
        let plugins = self.shared.plugins.iter();
        let prompts = plugins.flat_map(|loaded| &loaded.plugin.listed.prompts);
        own.chain(prompts.map(|own| &own.prompt))
    }

    /// Lists the resources: those of the manifest, then what each plugin lists now, ordered by
    /// plugin name. A plugin that fails is skipped and logged.
    pub async fn list_resources(&self, options: &CallOptions) -> Vec<Resource> {
        let own = self.shared.own.resources.iter();
        let mut all: Vec<Resource> = own.map(|own| own.resource.clone()).collect();
        for (number, loaded) in self.shared.plugins.iter().enumerate() {
            if !loaded.plugin.has_resources() {
                continue;
            }
            match self.listed_by(number, loaded, options).await {
                Ok(listed) => all.extend(listed),
                Err(error) => {
                    let plugin = &loaded.plugin.config.name;
                    if self.shared.unlisted.is_due(plugin) {
                        tracing::warn!("plugin {plugin} cannot list its resources: {error}");
                    }
                }
            }
        }
        all
    }

    async fn listed_by(
        &self,
        number: usize,
        loaded: &LoadedPlugin,
        options: &CallOptions,
    ) -> Result<Vec<Resource>, CallError> {
        let request = request("resources/list", &json!({}));
        let run = async |turn: CallContext<'_>| loaded.plugin.list_resources(turn).await;
        let listed = self.exchange(loaded, &request, options, run).await?;
        self.shared.owners.list(number, &listed);
        Ok(listed)
    }

    /// Reads a resource.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use toolhost::tool::ResourceBody;
    /// use toolhost::{CallOptions, Manifest, ToolHost};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// let manifest = r#"
    ///     [resource.rules]
    ///     uri = "docs://rules"
    ///     text = "Be kind."
    /// "#;
    /// let host = ToolHost::load(Manifest::parse(manifest, "toolhost.toml")?).await?;
    /// let contents = host.read_resource("docs://rules", &CallOptions::new()).await.unwrap();
    /// assert_eq!(contents[0].body, ResourceBody::Text("Be kind.".to_owned()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError::NotFound`], or why the plugin did not answer.
    pub async fn read_resource(
        &self,
        request: impl Into<ResourceRequest>,
        options: &CallOptions,
    ) -> Result<Vec<ResourceContents>, CallError> {
        let ResourceRequest { uri, resumed } = request.into();
        let uri = &*uri;
        let mut own = self.shared.own.resources.iter();
        if let Some(own) = own.find(|own| own.resource.uri == uri) {
            let place = self.place_of_file(own, options);
            if let Some(place) = &place {
                let queue = &self.shared.queue;
                let cancel = &options.context().cancel;
                queue.in_order(place, Instant::now(), cancel).await?;
            }
            return own.read(&self.shared.paths).await;
        }
        let loaded = self.owner(uri, options).await?;
        let request = self::request("resources/read", &json!({ "uri": uri }));
        let (loaded, request) = (&loaded, &request);
        let read = answered("resources/read", resumed, options, |resumed| {
            Box::pin(async move {
                let plugin = &loaded.plugin;
                let run =
                    async |turn: CallContext<'_>| plugin.read_resource(uri, resumed, turn).await;
                self.exchange(loaded, request, options, run).await
            })
        });
        read.await.map_err(|error| match error {
            CallError::InvalidArguments { .. } => not_found(uri),
            error => error,
        })
    }

    /// The place in order of a read of a manifest's file, if a plugin may write that file.
    fn place_of_file(&self, own: &StaticResource, options: &CallOptions) -> Option<PlaceInOrder> {
        let StaticBody::File(path) = &own.body else {
            return None;
        };
        let folder = FolderId::now(path.parent()?).ok()?;
        let mut plugins = self.shared.plugins.iter();
        let (domain, _) = plugins.find_map(|loaded| {
            let order = loaded.registered.beside_calls(None)?;
            loaded.plugin.folders().overlap(&folder).then_some(order)
        })?;
        let label = || own.resource.uri.clone();
        Some(domain.enter(options.order(), DomainAccess::Read, label))
    }

    /// A version that changes whenever the resource does.
    ///
    /// # Errors
    ///
    /// As for [`read_resource`](ToolHost::read_resource).
    pub async fn resource_version(
        &self,
        uri: &str,
        options: &CallOptions,
    ) -> Result<String, CallError> {
        let mut own = self.shared.own.resources.iter();
        if let Some(own) = own.find(|own| own.resource.uri == uri) {
            return Ok(own.version(&self.shared.paths).await);
        }
        let loaded = self.owner(uri, options).await?;
        let request = request("resources/subscribe", &json!({ "uri": uri }));
        let run = async |turn: CallContext<'_>| loaded.plugin.resource_version(uri, turn).await;
        let version = self.exchange(&loaded, &request, options, run).await;
        version.map_err(|error| match error {
            CallError::InvalidArguments { .. } => not_found(uri),
            error => error,
        })
    }

    /// Finds the plugin that a URI belongs to: the first with a matching template, else the first
    /// that lists it.
    async fn owner(&self, uri: &str, options: &CallOptions) -> Result<LoadedPlugin, CallError> {
        let plugins = &self.shared.plugins;
        let fits = |loaded: &&LoadedPlugin| {
            let mut templates = loaded.plugin.listed.templates.iter();
            templates.any(|template| template.matches(uri))
        };
        if let Some(loaded) = plugins.iter().find(fits) {
            return Ok(loaded.clone());
        }
        let with_resources = plugins
            .iter()
            .enumerate()
            .filter(|(_, loaded)| loaded.plugin.has_resources());
        for (number, loaded) in with_resources {
            let listed = self.listed_by(number, loaded, options).await;
            if listed.is_ok_and(|listed| listed.iter().any(|resource| resource.uri == uri)) {
                return Ok(loaded.clone());
            }
        }
        Err(not_found(uri))
    }

    /// Renders a prompt.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use toolhost::prompt::PromptRequest;
    /// use toolhost::{CallOptions, Manifest, ToolHost};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// let manifest = r#"
    ///     [prompt.review]
    ///     text = "Review this {{language}} code."
    ///     arguments.language = { required = true }
    /// "#;
    /// let host = ToolHost::load(Manifest::parse(manifest, "toolhost.toml")?).await?;
    /// let request = PromptRequest::new("review").argument("language", "Rust");
    /// let prompt = host.get_prompt(request, &CallOptions::new()).await.unwrap();
    /// assert_eq!(prompt.messages[0].content, "Review this Rust code.".into());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError::NotFound`], [`CallError::InvalidArguments`] if an argument is missing, or why
    /// the plugin did not answer.
    pub async fn get_prompt(
        &self,
        request: PromptRequest,
        options: &CallOptions,
    ) -> Result<RenderedPrompt, CallError> {
        let PromptRequest {
            name,
            arguments,
            resumed,
        } = request;
        let name = &*name;
        let mut own = self.shared.own.prompts.iter();
        if let Some(own) = own.find(|own| own.prompt.name == name) {
            check_arguments(&own.prompt, &arguments)?;
            return Ok(own.fill(&arguments));
        }
        let (loaded, prompt) = self.prompt(name).ok_or_else(|| not_found(name))?;
        check_arguments(&prompt.prompt, &arguments)?;
        let request = self::request("prompts/get", &json!({ "name": name }));
        let request = &request;
        answered("prompts/get", resumed, options, |resumed| {
            let arguments = arguments.clone();
            Box::pin(async move {
                let run = async |context: CallContext<'_>| {
                    let plugin = &loaded.plugin;
                    plugin.get_prompt(prompt, arguments, resumed, context).await
                };
                self.exchange(loaded, request, options, run).await
            })
        })
        .await
    }

    fn prompt(&self, name: &str) -> Option<(&LoadedPlugin, &PluginPrompt)> {
        self.shared.plugins.iter().find_map(|loaded| {
            let mut prompts = loaded.plugin.listed.prompts.iter();
            Some((loaded, prompts.find(|own| own.prompt.name == name)?))
        })
    }

    /// Suggests values for an argument. Empty if no plugin completes it.
    ///
    /// # Errors
    ///
    /// [`CallError::NotFound`] if there is no such prompt or template, or why the plugin did not
    /// answer.
    pub async fn complete(
        &self,
        request: CompletionRequest,
        options: &CallOptions,
    ) -> Result<Suggestions, CallError> {
        let loaded = match &request.of {
            CompletionTarget::Prompt(name) => {
                let mut own = self.shared.own.prompts.iter();
                if own.any(|own| own.prompt.name == *name) {
                    return Ok(Suggestions::default());
                }
                self.prompt(name).map(|(loaded, _)| loaded)
            }
            CompletionTarget::Template(uri) => self.shared.plugins.iter().find(|loaded| {
                let mut templates = loaded.plugin.listed.templates.iter();
                templates.any(|template| template.uri_template == *uri || template.matches(uri))
            }),
        };
        let loaded = loaded.ok_or_else(|| match &request.of {
            CompletionTarget::Prompt(what) | CompletionTarget::Template(what) => not_found(what),
        })?;
        if !loaded.plugin.completes() {
            return Ok(Suggestions::default());
        }
        let detail = json!({ "argument": request.argument, "value": request.value });
        let call = self::request("completion/complete", &detail);
        let run = async |turn: CallContext<'_>| loaded.plugin.complete(request, turn).await;
        self.exchange(loaded, &call, options, run).await
    }

    /// Sends a plugin a request that is not a call, under the same caps and audit log as calls.
    async fn exchange<T: Payload>(
        &self,
        loaded: &LoadedPlugin,
        request: &ToolCall,
        options: &CallOptions,
        run: impl AsyncFnOnce(CallContext<'_>) -> RunOutcome<T>,
    ) -> Result<T, CallError> {
        let LoadedPlugin { plugin, registered } = loaded;
        let queued = Instant::now();
        let mut context = options.context();
        // Idempotency keys are for calls only.
        context.key = None;
        let (context, whose) = (&context, &options.whose);
        let (narrowed, misfit) = match self.grants_of(registered, whose) {
            Ok(narrowed) => (narrowed, None),
            Err(error) => (None, Some(*error)),
        };
        let narrowed = narrowed.as_deref();
        // It reads what calls may change.
        let place = registered.beside_calls(narrowed).map(|(domain, access)| {
            let label = || request.name.clone();
            domain.enter(context.client, access, label)
        });
        let (call, by) = ((request, &*request.name), Some(&**registered));
        let ended = self.ending(queued, call, by, &[], (whose, narrowed));
        let ready = match misfit.or_else(|| plugin.lacks()) {
            Some(error) => Err(error),
            None => self.ready(narrowed, &context.cancel).await,
        };
        if let Err(error) = ready {
            return ended.refused(error).outcome;
        }
        let queue = &self.shared.queue;
        let permits = queue.wait(registered, queued, context, (None, None), place.as_ref());
        let _permits = match permits.await {
            Ok(permits) => permits,
            Err(error) => return ended.refused(error).outcome,
        };
        let admitted = Admitted {
            ended,
            nested: None,
            place,
            start: Instant::now(),
            spent: Duration::ZERO,
            limits: &within(&plugin.config.limits, context.timeout),
            context,
            client: whose.client().map(|it| &**it),
            narrowed,
            span: debug_span!(
                "request",
                method = request.name,
                plugin = plugin.config.name
            ),
        };
        // Boxed because these futures are large.
        let run = async |context: CallContext<'_>| Box::pin(run(context)).await;
        admitted.run(run).await.outcome
    }
}

/// The request as the audit log shows it.
fn request(method: &str, detail: &serde_json::Value) -> ToolCall {
    let mut call = ToolCall::default();
    method.clone_into(&mut call.name);
    call.arguments = detail.to_string();
    call
}

fn not_found(what: &str) -> CallError {
    let end = what.floor_char_boundary(1_000);
    CallError::NotFound {
        what: what[..end].to_owned(),
    }
}

fn check_arguments(prompt: &Prompt, given: &[(String, String)]) -> Result<(), CallError> {
    let is_missing = |name: &str| given.iter().all(|(given, _)| given != name);
    let required = prompt.arguments.iter().filter(|argument| argument.required);
    let missing: Vec<&str> = required
        .map(|argument| &*argument.name)
        .filter(|name| is_missing(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("the prompt needs {}", missing.join(", "));
    Err(CallError::invalid_arguments("", message))
}
