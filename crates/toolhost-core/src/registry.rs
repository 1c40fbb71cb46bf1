//! The registry: finds the provider of a tool by the tool's name.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::error::{CallError, Diagnostic, similar};
use crate::manifest::Order;
use crate::narrowing::{NarrowError, ProviderNarrowing};
use crate::order::{Domain, DomainAccess, FairSemaphore, Party};
use crate::plugin::Plugin;
use crate::provider::narrowed_grants::{GrantsOfCall, Sandboxed};
use crate::provider::{NarrowedGrants, ProvidedTool, Provider, ToolProvider};
use crate::tool::Tool;
use crate::tool_caller::CallableTools;
use crate::typescript;
use crate::wire::template_remnants;

/// The deepest nesting of calls.
pub(crate) const MAX_DEPTH: usize = 16;

/// A provider, and what its calls share.
pub(crate) struct Registered {
    pub(crate) provider: Arc<dyn ToolProvider>,
    /// Permits, if it has a limit of its own below the host's.
    pub(crate) permits: Option<FairSemaphore<Party>>,
    /// The order domain of its calls, if they need one.
    domain: Option<Arc<Domain>>,
    /// The provider if it is a plugin, whose grants can be narrowed.
    plugin: Option<Arc<Plugin>>,
    /// Up to which depth its calls may call tools, if it is a plugin that may.
    max_depth: Option<usize>,
    /// Permits for its calls at each depth, if it is no plugin and bounds how many may be suspended.
    suspended: Vec<FairSemaphore<Party>>,
}

impl Registered {
    pub(crate) fn new(
        provider: Arc<dyn ToolProvider>,
        max_concurrency: usize,
        domain: Option<Arc<Domain>>,
    ) -> Registered {
        let own = provider.max_concurrency();
        Registered {
            permits: own
                .filter(|own| *own < max_concurrency)
                .map(|own| FairSemaphore::new(own as u64)),
            domain,
            max_depth: match provider.callable_tools() {
                CallableTools::Matching([_, ..]) => Some(provider.limits().max_depth as usize),
                _ => None,
            },
            suspended: match provider.max_suspended() {
                Some(most) => (0..=MAX_DEPTH)
                    .map(|_| FairSemaphore::new(most as u64))
                    .collect(),
                None => Vec::new(),
            },
            provider,
            plugin: None,
        }
    }

    pub(crate) fn of_plugin(
        plugin: Arc<Plugin>,
        max_concurrency: usize,
        domain: Option<Arc<Domain>>,
    ) -> Registered {
        Registered {
            plugin: Some(plugin.clone()),
            ..Registered::new(plugin, max_concurrency, domain)
        }
    }

    /// The grants of a client's calls, if the plugin has folders for each client.
    ///
    /// # Errors
    ///
    /// It has, and there is no client or no such folder.
    pub(crate) fn grants_of(&self, client: Option<&str>) -> GrantsOfCall {
        match &self.plugin {
            Some(plugin) => plugin.grants_of(client, self.domain.as_ref()),
            None => Ok(None),
        }
    }

    /// Whether its calls at that depth may call tools, and hold an instance while they wait.
    pub(crate) fn suspends_at(&self, depth: usize) -> bool {
        self.max_depth.is_some_and(|most| depth < most) || depth < self.suspended.len()
    }

    /// Its own permits for calls that may be suspended.
    pub(crate) fn suspended_at(&self, depth: usize) -> Option<&FairSemaphore<Party>> {
        self.suspended.get(depth)
    }

    /// Why none of its calls can run.
    pub(crate) fn lacks(&self) -> Option<CallError> {
        self.plugin.as_ref()?.lacks()
    }

    /// The grants of narrowed calls.
    ///
    /// # Errors
    ///
    /// They would exceed the provider's, something of them is missing, or the provider cannot
    /// enforce them.
    pub(crate) fn narrow(
        &self,
        narrowing: &ProviderNarrowing,
        client: Option<&str>,
    ) -> Result<NarrowedGrants, NarrowError> {
        if let Some(plugin) = &self.plugin {
            return plugin.narrow(narrowing, client, self.domain.as_ref());
        }
        match self.provider.provenance() {
            Provider::Server(server) => Err(NarrowError::NotEnforceable {
                server: server.name.clone(),
            }),
            _ => Ok(NarrowedGrants {
                narrowing: narrowing.clone(),
                sandboxed: None,
            }),
        }
    }

    fn domain<'r>(&'r self, narrowed: Option<&'r NarrowedGrants>) -> Option<&'r Arc<Domain>> {
        match narrowed.and_then(|it| it.sandboxed.as_ref()) {
            Some(sandboxed) => sandboxed.domain.as_ref(),
            None => self.domain.as_ref(),
        }
    }

    /// The order domain and access of requests that read what calls may change.
    pub(crate) fn beside_calls<'r>(
        &'r self,
        narrowed: Option<&'r NarrowedGrants>,
    ) -> Option<(&'r Arc<Domain>, DomainAccess)> {
        let domain = self.domain(narrowed)?;
        match self.provider.order() {
            Order::Parallel => None,
            Order::Auto => Some((domain, DomainAccess::Read)),
            Order::InOrder => Some((domain, DomainAccess::Change)),
        }
    }

    /// The order domain and access of a call of that tool, by its folders.
    pub(crate) fn order<'r>(
        &'r self,
        tool: &ProvidedTool,
        narrowed: Option<&'r NarrowedGrants>,
    ) -> Option<(&'r Arc<Domain>, DomainAccess)> {
        let domain = self.domain(narrowed)?;
        let may_write = || {
            let sandboxed = narrowed.and_then(|it| it.sandboxed.as_ref());
            sandboxed.is_none_or(Sandboxed::may_write)
        };
        let changes = match self.provider.order() {
            Order::Parallel => return None,
            Order::InOrder => true,
            Order::Auto => self.provider.may_change(&tool.tool) && may_write(),
        };
        Some((
            domain,
            match changes {
                true => DomainAccess::Change,
                false => DomainAccess::Read,
            },
        ))
    }
}

/// A snapshot of the providers and their tools.
pub(crate) struct Registry {
    pub(crate) providers: Vec<Arc<Registered>>,
    /// In the order of the providers, and of each one's own listing.
    pub(crate) tools: Vec<Arc<ProvidedTool>>,
    /// Indexes into `providers` and `tools`.
    by_name: HashMap<String, (usize, usize)>,
    /// The descriptions of tools that call others, as their plugins wrote them.
    templates: HashMap<String, String>,
    /// The [version](ToolProvider::changes) of each provider's tools.
    versions: Vec<Option<u64>>,
}

impl Registry {
    /// # Errors
    ///
    /// One for each tool name that two providers offer.
    pub(crate) fn new(
        providers: Vec<Arc<Registered>>,
        manifest: &Path,
    ) -> Result<Registry, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let registry = Registry::collect(providers, |first, second, name| {
            problems.push(offered_twice(first, second, name, manifest));
        });
        match problems[..] {
            [] => Ok(registry),
            _ => Err(problems),
        }
    }

    /// A new snapshot of the same providers and `more`. If two offer the same name, the host's own
    /// wins, then the first.
    pub(crate) fn renewed(&self, more: impl IntoIterator<Item = Arc<Registered>>) -> Registry {
        let providers = self.providers.iter().cloned().chain(more).collect();
        Registry::collect(providers, |first, second, name| {
            tracing::warn!(
                "skipped the tool `{name}` of the {}: the {} has one with that name",
                second.title(),
                first.title()
            );
        })
    }

    fn collect(
        providers: Vec<Arc<Registered>>,
        mut twice: impl FnMut(&dyn ToolProvider, &dyn ToolProvider, &str),
    ) -> Registry {
        // Read before the tools: a change in between is then seen twice rather than missed.
        let versions = providers.iter().map(|it| version(&*it.provider)).collect();
        let offered: Vec<_> = providers.iter().map(|it| it.provider.tools()).collect();
        // A server that lists other tools later takes no name from the host.
        let mut own = HashMap::new();
        for (index, registered) in providers.iter().enumerate() {
            if matches!(registered.provider.provenance(), Provider::Host) {
                let names = offered[index].iter().map(|tool| &*tool.tool.name);
                own.extend(names.map(|name| (name, index)));
            }
        }
        let mut tools = Vec::new();
        let mut by_name: HashMap<String, (usize, usize)> = HashMap::new();
        for (index, registered) in providers.iter().enumerate() {
            for tool in offered[index].iter() {
                let name = &tool.tool.name;
                let of_host = own.get(&**name).filter(|first| **first != index);
                let first = of_host.or(by_name.get(name).map(|(first, _)| first));
                if let Some(first) = first {
                    twice(&*providers[*first].provider, &*registered.provider, name);
                    continue;
                }
                by_name.insert(name.clone(), (index, tools.len()));
                tools.push(tool.clone());
            }
        }
        let mut registry = Registry {
            providers,
            tools,
            by_name,
            templates: HashMap::new(),
            versions,
        };
        registry.describe();
        registry
    }

    /// Names the tools that others call in the descriptions of those.
    fn describe(&mut self) {
        let has_place = |tool: &&Arc<ProvidedTool>| {
            let (provider, _) = self.by_name[&tool.tool.name];
            let tools = self.providers[provider].provider.callable_tools();
            matches!(tools, CallableTools::Matching(_))
                && tool.tool.description.contains(typescript::PLACEHOLDER)
        };
        let found = self.tools.iter().filter(has_place);
        self.templates = found
            .map(|tool| (tool.tool.name.clone(), tool.tool.description.clone()))
            .collect();
        for name in self.templates.keys() {
            let (_, at) = self.by_name[name];
            let described = self
                .description_for(&self.tools[at].tool, None)
                .into_owned();
            self.tools[at] = Arc::new(self.tools[at].described(described));
        }
    }

    /// The description of a tool for a client that may call only these tools.
    pub(crate) fn description_for<'t>(
        &self,
        tool: &'t Tool,
        allowed: Option<&BTreeSet<String>>,
    ) -> Cow<'t, str> {
        let Some(template) = self.templates.get(&tool.name) else {
            return Cow::Borrowed(&tool.description);
        };
        let (own, _) = self.by_name[&tool.name];
        let provider = &self.providers[own].provider;
        let CallableTools::Matching(patterns) = provider.callable_tools() else {
            return Cow::Borrowed(&tool.description);
        };
        let calls_itself = provider.limits().max_depth > 1;
        let callable = self.tools.iter().map(|it| &it.tool).filter(|other| {
            let (provider, _) = self.by_name[&other.name];
            let is_of_host = matches!(
                self.providers[provider].provider.provenance(),
                Provider::Host
            );
            (calls_itself || provider != own)
                && !is_of_host
                && allowed.is_none_or(|allowed| allowed.contains(&other.name))
                && patterns.iter().any(|pattern| pattern.matches(&other.name))
        });
        let overview = typescript::overview(callable);
        Cow::Owned(template.replace(typescript::PLACEHOLDER, &overview))
    }

    /// Waits until a provider's tools differ from this snapshot; forever if none can change.
    pub(crate) async fn outdated(&self) {
        let known = self.providers.iter().zip(&self.versions);
        let waits: Vec<_> = known
            .filter_map(|(registered, seen)| Some((registered.provider.changes()?, *seen)))
            .map(|(mut changes, seen)| {
                Box::pin(async move {
                    // The provider is gone and changes no more.
                    if changes.wait_for(|now| Some(*now) != seen).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                })
            })
            .collect();
        match waits.is_empty() {
            true => std::future::pending().await,
            false => drop(futures_util::future::select_all(waits).await),
        }
    }

    /// Finds the tool for a name: its provider's index, the provider, and the tool.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, &Arc<Registered>, &Arc<ProvidedTool>)> {
        let name = template_remnants::find(name, |name| self.by_name.contains_key(name))?;
        let (provider, tool) = *self.by_name.get(name)?;
        Some((provider, &self.providers[provider], &self.tools[tool]))
    }

    /// The same, for a client that may call only these tools.
    pub(crate) fn find_for(
        &self,
        name: &str,
        allowed: Option<&BTreeSet<String>>,
    ) -> Option<(usize, &Arc<Registered>, &Arc<ProvidedTool>)> {
        let found = self.find(name)?;
        self.is_allowed(found.0, &found.2.tool.name, allowed)
            .then_some(found)
    }

    /// The same, with an error.
    ///
    /// # Errors
    ///
    /// There is no such tool for it; similar names are suggested.
    pub(crate) fn find_allowed(
        &self,
        name: &str,
        allowed: Option<&BTreeSet<String>>,
    ) -> Result<(usize, &Arc<Registered>, &Arc<ProvidedTool>), CallError> {
        self.find_for(name, allowed).ok_or_else(|| {
            let named = self.by_name.iter();
            let named = named.filter(|(name, (index, _))| self.is_allowed(*index, name, allowed));
            CallError::UnknownTool {
                similar: similar(name, named.map(|(name, _)| name.as_str())),
            }
        })
    }

    fn is_allowed(&self, provider: usize, tool: &str, allowed: Option<&BTreeSet<String>>) -> bool {
        let is_own = || {
            let provider = &self.providers[provider].provider;
            matches!(provider.provenance(), Provider::Host)
        };
        allowed.is_none_or(|allowed| allowed.contains(tool) || is_own())
    }
}

fn version(provider: &dyn ToolProvider) -> Option<u64> {
    Some(*provider.changes()?.borrow())
}

fn offered_twice(
    first: &dyn ToolProvider,
    second: &dyn ToolProvider,
    name: &str,
    manifest: &Path,
) -> Diagnostic {
    let message = match (first.provenance(), second.provenance()) {
        (Provider::Plugin(first), Provider::Plugin(second)) => format!(
            "the plugins `{}` ({}) and `{}` both offer a tool named `{name}`",
            first.name,
            first.path.display(),
            second.name
        ),
        _ => {
            let (first, second) = (first.title(), second.title());
            format!("the {first} and the {second} both offer a tool named `{name}`")
        }
    };
    let problem = match second.provenance() {
        Provider::Plugin(plugin) => Diagnostic::new(&plugin.path, None, message),
        Provider::Server(server) => Diagnostic::new(manifest, server.at, message),
        Provider::Native(_) | Provider::Host => Diagnostic::new(manifest, None, message),
    };
    problem.help("give one of them a `prefix`, or choose its `tools`, in the manifest")
}
