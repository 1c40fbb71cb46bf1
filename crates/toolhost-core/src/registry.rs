//! From a tool's name to the provider that offers it.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::error::{CallError, Diagnostic, similar};
use crate::manifest::Order;
use crate::narrowing::{NarrowError, ProviderNarrowing};
use crate::order::{Access, Domain, Party, Turns};
use crate::plugin::Plugin;
use crate::provider::narrowed::{GrantsOfCall, Sandboxed};
use crate::provider::{NarrowedGrants, ProvidedTool, Provider, ToolProvider};
use crate::wire::leaks;

/// A provider, with what its calls share.
pub(crate) struct Registered {
    pub(crate) provider: Arc<dyn ToolProvider>,
    /// Where it has a cap of its own, below the host's.
    pub(crate) permits: Option<Turns<Party>>,
    /// Where its calls may have to run in order.
    domain: Option<Arc<Domain>>,
    /// The provider, if that is a plugin: what its calls may touch can be narrowed.
    plugin: Option<Arc<Plugin>>,
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
                .map(|own| Turns::new(own as u64)),
            domain,
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

    /// What the calls of a client have, where its plugin has folders for each client.
    ///
    /// # Errors
    ///
    /// It has, and there is no client, or no such folder.
    pub(crate) fn grants_of(&self, client: Option<&str>) -> GrantsOfCall {
        match &self.plugin {
            Some(plugin) => plugin.grants_of(client, self.domain.as_ref()),
            None => Ok(None),
        }
    }

    /// Why none of its calls runs.
    pub(crate) fn lacks(&self) -> Option<CallError> {
        self.plugin.as_ref()?.lacks()
    }

    /// What calls have that are narrowed so.
    ///
    /// # Errors
    ///
    /// It would be more than the provider is granted, something of it is not there, or nobody would see to it.
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

    /// The order of requests beside calls, which read what calls may change.
    pub(crate) fn beside_calls<'r>(
        &'r self,
        narrowed: Option<&'r NarrowedGrants>,
    ) -> Option<(&'r Arc<Domain>, Access)> {
        let domain = self.domain(narrowed)?;
        match self.provider.order() {
            Order::Parallel => None,
            Order::Auto => Some((domain, Access::Read)),
            Order::InOrder => Some((domain, Access::Change)),
        }
    }

    /// The order that a call of that tool has to keep, and with what: by the folders that it has.
    pub(crate) fn order<'r>(
        &'r self,
        tool: &ProvidedTool,
        narrowed: Option<&'r NarrowedGrants>,
    ) -> Option<(&'r Arc<Domain>, Access)> {
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
                true => Access::Change,
                false => Access::Read,
            },
        ))
    }
}

/// The providers and their tools at one time.
pub(crate) struct Registry {
    pub(crate) providers: Vec<Arc<Registered>>,
    /// In the order of the providers, and of each one's own listing.
    pub(crate) tools: Vec<Arc<ProvidedTool>>,
    /// Indexes into `providers` and `tools`.
    by_name: HashMap<String, (usize, usize)>,
    /// Which [changes](ToolProvider::changes) of each provider these are after.
    versions: Vec<Option<u64>>,
}

impl Registry {
    /// # Errors
    ///
    /// One for each name that two providers offer.
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

    /// What the same providers, and more of them, offer now. Where two offer one name it is the host's own, or the
    /// first's.
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
        // Ahead of the tools: a change in between is seen once more, and not missed.
        let versions = providers.iter().map(|it| version(&*it.provider)).collect();
        let offered: Vec<_> = providers.iter().map(|it| it.provider.tools()).collect();
        // A server that lists something else while it runs takes no name from the host.
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
        Registry {
            providers,
            tools,
            by_name,
            versions,
        }
    }

    /// Waits until a provider offers other tools than these; for ever where none can.
    pub(crate) async fn outdated(&self) {
        let known = self.providers.iter().zip(&self.versions);
        let waits: Vec<_> = known
            .filter_map(|(registered, seen)| Some((registered.provider.changes()?, *seen)))
            .map(|(mut changes, seen)| {
                Box::pin(async move {
                    // A provider that is gone changes no more.
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

    /// The tool that a call of that name is for: its provider's index among all, the provider, and the
    /// tool.
    pub(crate) fn find(&self, name: &str) -> Option<(usize, &Arc<Registered>, &Arc<ProvidedTool>)> {
        let name = leaks::find(name, |name| self.by_name.contains_key(name))?;
        let (provider, tool) = *self.by_name.get(name)?;
        Some((provider, &self.providers[provider], &self.tools[tool]))
    }

    /// The same, for a client that may call these tools alone.
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
    /// There is none for it: the names most like `name` of those that there are.
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
