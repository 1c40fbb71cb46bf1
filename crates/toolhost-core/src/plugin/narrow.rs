//! What some calls of a plugin have of what it is granted: by a [`Narrowing`](crate::Narrowing), and the folders of
//! clients.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Plugin;
use crate::error::CallError;
use crate::manifest::Order;
use crate::narrowing::{FolderNarrowing, NarrowError, ProviderNarrowing};
use crate::order::Domain;
use crate::paths::Holder;
use crate::permissions::{Access, FileGrant, Secret};
use crate::provider::NarrowedGrants;
use crate::provider::narrowed::{GrantsOfCall, Sandboxed, folders_of};
use crate::sandbox::{Folder, Grants};
use crate::seldom::Seldom;

/// Clients whose folders are held open, of one plugin.
const MOST_CLIENTS: usize = 256;

/// Of a plugin that is granted folders for each client: the clients that have called, with what they have.
pub(super) struct Clients {
    /// The path of the first such folder.
    guest: String,
    seen: Mutex<Seen>,
    refused: Seldom,
}

#[derive(Default)]
struct Seen {
    clients: HashMap<String, Client>,
    calls: u64,
}

struct Client {
    grants: Arc<NarrowedGrants>,
    last: u64,
}

impl Clients {
    /// `None` where no folder is a client's own.
    pub(super) fn of(grants: &[FileGrant]) -> Option<Clients> {
        let first = grants.iter().find(|grant| grant.is_per_client())?;
        Some(Clients {
            guest: first.guest.clone(),
            seen: Mutex::default(),
            refused: Seldom::default(),
        })
    }

    fn get(&self, client: &str) -> Option<Arc<NarrowedGrants>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.calls += 1;
        let calls = seen.calls;
        let known = seen.clients.get_mut(client)?;
        known.last = calls;
        Some(known.grants.clone())
    }

    /// Keeps what a client has, or what it was found to have meanwhile.
    fn keep(&self, client: &str, grants: Arc<NarrowedGrants>) -> Arc<NarrowedGrants> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.calls;
        if let Some(known) = seen.clients.get(client)
            && known.grants.is_current()
        {
            return known.grants.clone();
        }
        if seen.clients.len() >= MOST_CLIENTS {
            let oldest = seen.clients.iter().min_by_key(|(_, known)| known.last);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                seen.clients.remove(&oldest);
            }
        }
        let grants = Client { grants, last };
        let known = seen.clients.entry(client.to_owned());
        known.insert_entry(grants).get().grants.clone()
    }
}

impl Plugin {
    /// What the calls of a client have, where folders are the client's own. `domain` is what keeps all its calls in order.
    ///
    /// # Errors
    ///
    /// There is no client, or it has no such folder.
    pub(crate) fn grants_of(
        &self,
        client: Option<&str>,
        domain: Option<&Arc<Domain>>,
    ) -> GrantsOfCall {
        let Some(clients) = &self.clients else {
            return Ok(None);
        };
        let guest = &clients.guest;
        let refused = |message: String| Box::new(CallError::InvalidOptions { message });
        let Some(client) = client else {
            let name = &self.config.name;
            return Err(refused(format!(
                "`plugin.{name}` has a folder {guest} per client, but this call has no client: name one \
                 (`--client NAME`, a token in `[serve.auth]`, or `CallOptions::client`)"
            )));
        };
        if let Some(known) = clients.get(client).filter(|it| it.is_current()) {
            return Ok(Some(known));
        }
        let narrow = || self.narrow(&ProviderNarrowing::default(), Some(client), domain);
        // Twice: where one of its folders lies in another, no link leads there from the first look on.
        let narrowed = narrow().and_then(|_| narrow());
        let narrowed = narrowed.map_err(|error| {
            if let NarrowError::Client { problem, .. } = error {
                return refused(problem);
            }
            // Where things are on this machine is not the client's to know.
            let (name, why) = (&self.config.name, crate::error::causes(&error));
            if clients.refused.is_due(client) {
                tracing::warn!("plugin.{name}: calls of client {client:?} cannot run: {why}");
            }
            refused(format!(
                "cannot open the client's folder {guest} of `plugin.{name}`: see the host's log"
            ))
        })?;
        Ok(Some(clients.keep(client, Arc::new(narrowed))))
    }

    /// What calls have that are narrowed so. It is to be asked twice where one of the folders may lie in another.
    ///
    /// # Errors
    ///
    /// It would be more than the plugin is granted, or something of it is not there.
    pub(crate) fn narrow(
        &self,
        narrowing: &ProviderNarrowing,
        client: Option<&str>,
        domain: Option<&Arc<Domain>>,
    ) -> Result<NarrowedGrants, NarrowError> {
        let mut grants = Grants::clone(&self.grants);
        grants.folders = self.folders_for(narrowing, client)?;
        self.narrow_secrets(narrowing, &mut grants)?;
        self.narrow_hosts(narrowing, &mut grants)?;
        let domain = match self.config.order {
            Order::Parallel => None,
            // Whoever writes there may come later.
            Order::Auto => Domain::of_folders(&[folders_of(&grants)], true).remove(0),
            // Its calls are alone, whosever they are.
            Order::InOrder => Domain::of_folders_in(&folders_of(&grants), domain),
        };
        Ok(NarrowedGrants {
            narrowing: narrowing.clone(),
            sandboxed: Some(Sandboxed::new(grants, domain)),
        })
    }

    fn folders_for(
        &self,
        narrowing: &ProviderNarrowing,
        client: Option<&str>,
    ) -> Result<Vec<Arc<Folder>>, NarrowError> {
        for guest in narrowing.folders.keys() {
            if !self
                .config
                .permissions
                .files
                .iter()
                .any(|it| it.guest == *guest)
            {
                return Err(self.not_granted(format!("the folder `{guest}`")));
            }
        }
        let mut folders = Vec::new();
        for grant in &self.config.permissions.files {
            let narrowed = narrowing.folders.get(&grant.guest);
            if narrowed.is_some_and(|it| it.is_withheld) {
                continue;
            }
            folders.push(self.folder_for(grant, narrowed, client)?);
        }
        Ok(folders)
    }

    fn folder_for(
        &self,
        grant: &FileGrant,
        narrowed: Option<&FolderNarrowing>,
        client: Option<&str>,
    ) -> Result<Arc<Folder>, NarrowError> {
        let mut grant = grant.clone();
        let is_read_only = narrowed.is_some_and(|it| it.is_read_only);
        if is_read_only {
            grant.access = Access::ReadOnly;
            (grant.max_disk, grant.max_files) = (None, None);
        }
        let failed = |host: &Path| {
            let (plugin, guest, host) = (&self.config.name, &grant.guest, host.to_owned());
            let (plugin, guest) = (plugin.clone(), guest.clone());
            move |source| NarrowError::Folder {
                plugin,
                guest,
                host,
                source,
            }
        };
        let paths = &self.grants.paths;
        if let Some(host) = narrowed.and_then(|it| it.host.as_deref()) {
            let opened = Folder::open_for(&grant, host, Holder::Everyone, paths);
            return opened.map(Arc::new).map_err(failed(host));
        }
        let Some(of_clients) = grant.client_folders() else {
            let mut granted = self.grants.folders.iter();
            let granted = granted.find(|it| it.guest == grant.guest);
            let granted = granted.expect("it was opened when the plugin was loaded");
            return match is_read_only && granted.access == Access::ReadWrite {
                false => Ok(granted.clone()),
                true => {
                    let folder = granted.read_only();
                    folder.map(Arc::new).map_err(failed(granted.host()))
                }
            };
        };
        let problem = |problem: String| NarrowError::Client {
            client: client.unwrap_or_default().to_owned(),
            problem,
        };
        let Some(name) = client else {
            let what = "no client is named: use `Narrowing::client`".to_owned();
            return Err(problem(what));
        };
        let host = of_clients.folder(name).map_err(problem)?;
        if grant.create {
            let made = paths.make_folder(&host, &of_clients.base);
            made.map_err(failed(&host))?;
        } else if host.symlink_metadata().is_err() {
            let folder = of_clients.base.file_name().unwrap_or_default();
            let below = host.strip_prefix(&of_clients.base).unwrap_or(&host);
            let shown = Path::new(folder).join(below);
            return Err(problem(format!(
                "the client's folder {} does not exist: create it, or set `create = true` in the grant",
                shown.display()
            )));
        }
        let opened = Folder::open_for(&grant, &host, Holder::Client, paths);
        opened.map(Arc::new).map_err(failed(&host))
    }

    fn narrow_secrets(
        &self,
        narrowing: &ProviderNarrowing,
        grants: &mut Grants,
    ) -> Result<(), NarrowError> {
        if narrowing.secrets.is_empty() {
            return Ok(());
        }
        for (name, secret) in &narrowing.secrets {
            if !self.config.permissions.secrets.contains_key(name) {
                return Err(self.not_granted(format!("the secret `{name}`")));
            }
            match secret {
                Some(secret) => grants.secrets.insert(name.clone(), secret.clone()),
                None => grants.secrets.remove(name),
            };
        }
        let is_there = |name: &str| grants.secrets.contains_key(name);
        let headers = self.config.permissions.http_headers.iter();
        let headers = headers.filter(|header| header.secrets().all(is_there));
        let headers = headers.map(|header| {
            let value = header.value(|name| grants.secrets.get(name).map(Secret::reveal));
            let value = value.map_err(|problem| NarrowError::Secret {
                provider: self.config.name.clone(),
                name: header.secrets().next().unwrap_or_default().to_owned(),
                problem,
            });
            Ok((header.clone(), value?))
        });
        let headers = headers.collect::<Result<_, _>>()?;
        grants.headers = headers;
        Ok(())
    }

    fn narrow_hosts(
        &self,
        narrowing: &ProviderNarrowing,
        grants: &mut Grants,
    ) -> Result<(), NarrowError> {
        let granted = &self.config.permissions;
        if let Some(rules) = &narrowing.http {
            for rule in rules {
                if !granted.http.iter().any(|it| it.covers(rule)) {
                    return Err(self.not_granted(format!("http {rule}")));
                }
            }
            grants.narrowed_http = Some(rules.clone());
        }
        if let Some(rules) = &narrowing.sockets {
            for rule in rules {
                if !granted.sockets.contains(rule) {
                    return Err(self.not_granted(format!("the socket {rule}")));
                }
            }
            grants.permissions.sockets.clone_from(rules);
        }
        Ok(())
    }

    fn not_granted(&self, what: String) -> NarrowError {
        NarrowError::NotGranted {
            plugin: self.config.name.clone(),
            what,
        }
    }
}
