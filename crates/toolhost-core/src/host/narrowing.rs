//! Narrowing: calls that may touch less than the manifest grants, or something else in its place
//! ([`ToolHost::narrow`]).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::nested_grants::{Nested, PluginGrant, nested};
use super::{HostShared, ToolHost};
use crate::ancestor::Ancestor;
use crate::error::{CallError, similar};
use crate::mask::Mask;
use crate::narrowing::{NarrowError, Narrowing, ProviderNarrowing};
use crate::paths::FolderId;
use crate::permissions::{Access, FileGrant, Secret};
use crate::provider::NarrowedGrants;
use crate::provider::narrowed_grants::GrantsOfCall;
use crate::registry::Registered;

/// A [`Narrowing`] that a host has checked, with its folders open. Good for any number of calls of
/// that host and its [renewals](ToolHost::renewed); a host loaded in its place needs its own.
#[derive(Clone)]
pub struct Narrowed(Arc<Inner>);

struct Inner {
    of: Weak<HostShared>,
    client: Option<Arc<str>>,
    /// Masks the secrets of the host and of the user, if the user has any.
    mask: Option<Arc<Mask>>,
    /// Keyed by provider name.
    grants: HashMap<String, Arc<NarrowedGrants>>,
}

impl std::fmt::Debug for Narrowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Narrowed")
            .field("client", &self.0.client)
            .field("providers", &self.0.grants.keys())
            .finish()
    }
}

impl Narrowed {
    /// The client that the narrowing names.
    pub fn client(&self) -> Option<&str> {
        self.0.client.as_deref()
    }
}

/// The client of a call, its narrowed grants, and the call that made it, if one did.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    pub(super) client: Option<Arc<str>>,
    pub(super) narrowed: Option<Narrowed>,
    pub(super) by: Option<Arc<Ancestor>>,
}

impl Whose {
    pub(super) fn client(&self) -> Option<&Arc<str>> {
        let of_narrowed = self.narrowed.as_ref();
        let of_narrowed = of_narrowed.and_then(|it| it.0.client.as_ref());
        self.client.as_ref().or(of_narrowed)
    }

    /// How many calls a call is nested in.
    pub(super) fn depth(&self) -> usize {
        self.by.as_ref().map_or(0, |by| by.depth + 1)
    }
}

impl ToolHost {
    /// Checks a narrowing and opens its folders: see [`Narrowing`]. This reads a few files; keep
    /// what it returns for further calls of the same user.
    ///
    /// # Errors
    ///
    /// It would widen what the manifest grants, a folder cannot be opened, or a provider cannot
    /// enforce it.
    pub fn narrow(&self, narrowing: Narrowing) -> Result<Narrowed, NarrowError> {
        if let Some(client) = &narrowing.client {
            let checked = crate::permissions::client_folders::folder_name(client);
            checked.map_err(|problem| NarrowError::Client {
                client: client.to_string(),
                problem,
            })?;
        }
        // Twice: if one folder lies in another, no link can be put on the path to it after the
        // first pass.
        self.grants_for(&narrowing)?;
        let grants = self.grants_for(&narrowing)?;
        self.check_nested(&narrowing, &grants)?;
        Ok(Narrowed(Arc::new(Inner {
            of: Arc::downgrade(&self.shared),
            mask: self.mask_with(&narrowing)?,
            grants,
            client: narrowing.client,
        })))
    }

    fn grants_for(
        &self,
        narrowing: &Narrowing,
    ) -> Result<HashMap<String, Arc<NarrowedGrants>>, NarrowError> {
        let providers = &self.registry.providers;
        let mut grants = HashMap::new();
        for (name, of_provider) in &narrowing.providers {
            let mut found = providers.iter().filter(|it| it.provider.name() == name);
            let registered = found.next().ok_or_else(|| NarrowError::UnknownProvider {
                provider: name.clone(),
                similar: similar(name, providers.iter().map(|it| it.provider.name())),
            })?;
            check_secrets(name, of_provider)?;
            let narrowed = registered.narrow(of_provider, narrowing.client.as_deref())?;
            grants.insert(name.clone(), Arc::new(narrowed));
        }
        Ok(grants)
    }

    /// Adds the secrets of a narrowing to the mask, if it has any.
    fn mask_with(&self, narrowing: &Narrowing) -> Result<Option<Arc<Mask>>, NarrowError> {
        let all = narrowing.providers.iter();
        let all = all.flat_map(|(provider, it)| it.secrets.iter().map(move |it| (provider, it)));
        let mut secrets =
            all.filter_map(|(provider, (name, it))| Some((provider, name, it.as_ref()?)));
        let Some((provider, name, _)) = secrets.clone().next() else {
            return Ok(None);
        };
        let mask = self
            .shared
            .mask
            .with(secrets.by_ref().map(|(_, _, secret)| secret));
        let failed = |problem| NarrowError::Secret {
            provider: provider.clone(),
            name: name.clone(),
            problem,
        };
        Ok(Some(Arc::new(mask.map_err(failed)?)))
    }

    /// The mask for everything seen of a call.
    pub(super) fn mask_of<'h>(&'h self, whose: &'h Whose) -> &'h Arc<Mask> {
        let narrowed = whose.narrowed.as_ref();
        let own = narrowed.and_then(|it| it.0.mask.as_ref());
        own.unwrap_or(&self.shared.mask)
    }

    /// The grants of a call, if they differ from its provider's.
    ///
    /// # Errors
    ///
    /// The options of the call do not fit this host.
    pub(super) fn grants_of(&self, registered: &Registered, whose: &Whose) -> GrantsOfCall {
        let refused = |message: String| Err(Box::new(CallError::InvalidOptions { message }));
        if let Some(Narrowed(narrowed)) = &whose.narrowed {
            if !std::ptr::eq(narrowed.of.as_ptr(), &*self.shared) {
                let message = "the narrowing belongs to another host, or to this one before a reload: create a \
                               new one with `ToolHost::narrow`";
                return refused(message.to_owned());
            }
            if let (Some(client), Some(other)) = (&whose.client, &narrowed.client)
                && client != other
            {
                return refused(format!(
                    "the options are for client {client:?}, but the narrowing is for {other:?}"
                ));
            }
            if let Some(found) = narrowed.grants.get(registered.provider.name()) {
                return Ok(Some(found.clone()));
            }
        }
        registered.grants_of(whose.client().map(|it| &**it))
    }

    /// # Errors
    ///
    /// A folder of the narrowing lies in one that another plugin may write, or the other way round.
    fn check_nested(
        &self,
        narrowing: &Narrowing,
        grants: &HashMap<String, Arc<NarrowedGrants>>,
    ) -> Result<(), NarrowError> {
        let mut effective: Vec<(&str, FileGrant, Option<FolderId>)> = Vec::new();
        for plugin in self.plugins().map(|it| it.config) {
            let narrowed = narrowing.providers.get(&plugin.name);
            let opened = grants.get(&plugin.name);
            for grant in &plugin.permissions.files {
                let mut grant = grant.clone();
                let folder = narrowed.and_then(|it| it.folders.get(&grant.guest));
                if folder.is_some_and(|it| it.is_withheld) {
                    continue;
                }
                if folder.is_some_and(|it| it.is_read_only) {
                    grant.access = Access::ReadOnly;
                }
                // Identified by the open folder, since its path may lead to another one by now.
                let mut id = None;
                if let Some(host) = folder.and_then(|it| it.host.as_ref()) {
                    grant.host.clone_from(host);
                    let mut own = opened.iter().flat_map(|it| it.own_folders());
                    let own = own.find(|it| it.guest == grant.guest);
                    id = own.map(|it| it.id.clone());
                }
                effective.push((&plugin.name, grant, id));
            }
        }
        let granted = effective.iter().map(|(plugin, grant, id)| {
            let as_loaded = PluginGrant::of(plugin, grant, &self.shared.paths);
            PluginGrant {
                id: id.clone().or(as_loaded.id),
                ..as_loaded
            }
        });
        let granted: Vec<_> = granted.collect();
        match nested(&granted).first() {
            None => Ok(()),
            Some(Nested { inner, outer }) => Err(NarrowError::Nested {
                plugin: inner.plugin.to_owned(),
                guest: inner.grant.guest.clone(),
                host: inner.grant.host.clone(),
                other: outer.plugin.to_owned(),
            }),
        }
    }
}

fn check_secrets(provider: &str, narrowing: &ProviderNarrowing) -> Result<(), NarrowError> {
    for (name, secret) in &narrowing.secrets {
        if let Some(problem) = secret.as_ref().and_then(Secret::problem) {
            return Err(NarrowError::Secret {
                provider: provider.to_owned(),
                name: name.clone(),
                problem,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::error::CallError;
    use crate::host::{CallOptions, Loader};
    use crate::manifest::Manifest;
    use crate::narrowing::Narrowing;
    use crate::native::NativeTools;
    use crate::tool::{Tool, ToolCall};

    /// A call takes its places when its message is read; after a reload another host may run it.
    #[tokio::test]
    async fn a_call_has_what_the_host_grants_that_runs_it() {
        let host = || {
            let tools = NativeTools::new("mine");
            let tools = tools.tool_with_schema(
                Tool::new("a", ""),
                json!({ "type": "object" }),
                async |_: Value| "it ran",
            );
            Loader::new(Manifest::default()).provider(tools).load()
        };
        let (before, now) = (host().await.unwrap(), host().await.unwrap());
        let narrowing = Narrowing::new().client("alice").folder("mine", "/a", "/a");
        let narrowed = before.narrow(narrowing).unwrap();
        let options = CallOptions::new().narrowed(&narrowed);
        let call = ToolCall::new("1", "a", "{}");
        let places = || Some(before.places(&call, &options));
        let own = before
            .call_with(call.clone(), &options.clone().placed(places()))
            .await;
        assert!(own.outcome.is_ok(), "{own:?}");
        let late = now
            .call_with(call.clone(), &options.clone().placed(places()))
            .await;
        assert!(
            matches!(late.outcome, Err(CallError::InvalidOptions { .. })),
            "{late:?}"
        );
    }
}
