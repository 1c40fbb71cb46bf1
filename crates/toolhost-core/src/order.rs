//! Order: calls that change something run one at a time, in the order they were handed over.
//!
//! A `Domain` is what a set of calls may change: overlapping folders, or the data behind one MCP
//! server. It is a fair readers-writer lock whose places are taken synchronously, so that a call's
//! `PlaceInOrder` depends on its position in the message and not on when it is first polled. Which
//! folders share a domain is decided in `order/folder_domains.rs`; the states of a place are in
//! `order/line.rs`. `FairSemaphore` are permits shared fairly between clients.
//!
//! Domains belong to the process, not to a host, so that the hosts before and after a reload do not
//! edit side by side. When a plugin is loaded whose folders connect two domains, they are merged:
//! one takes over the other's line, and places in the merged domain find it through
//! `DomainState::Merged`.

mod fair_semaphore;
mod folder_domains;
mod line;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};
use std::time::Instant;

pub(crate) use fair_semaphore::{FairSemaphore, Permit};
use folder_domains::{FolderAccess, Folders};
use line::{DomainLine, Waiter};

use crate::locks;
use crate::paths::FolderId;

/// How a call uses its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DomainAccess {
    /// Runs beside other readers.
    Read,
    /// Runs alone.
    Change,
}

/// A batch or a session: its calls run in the order they were handed over. Parties take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderClient {
    number: u64,
    party: Party,
}

/// The unit of fairness, which gets one turn among others: all batches and sessions of one name, or
/// a single one without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// Identified by a hash of the name.
    Named(u64),
    Unnamed(u64),
    /// All requests without a name and a session together.
    Passing,
}

impl Default for OrderClient {
    fn default() -> Self {
        OrderClient::new()
    }
}

impl OrderClient {
    /// A new client, different from all others.
    pub(crate) fn new() -> OrderClient {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        OrderClient {
            number,
            party: Party::Unnamed(number),
        }
    }

    /// The same client, in the party of that name.
    pub fn named(self, name: &str) -> OrderClient {
        static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        OrderClient {
            party: Party::Named(HASHES.hash_one(name)),
            ..self
        }
    }

    /// A new client in the same party.
    pub(crate) fn beside(self) -> OrderClient {
        OrderClient {
            party: self.party,
            ..OrderClient::new()
        }
    }

    /// The same client, in the party of all requests without a name and a session.
    pub fn passing(self) -> OrderClient {
        OrderClient {
            party: Party::Passing,
            ..self
        }
    }

    pub(crate) fn party(self) -> Party {
        self.party
    }
}

/// The folders, or the MCP server, that a set of calls may change.
pub(crate) struct Domain(Mutex<DomainState>);

enum DomainState {
    Own(DomainLine),
    /// A plugin was loaded whose folders connect this domain with another.
    Merged(Arc<Domain>),
}

impl Domain {
    /// A domain that is not shared.
    pub(crate) fn new() -> Arc<Domain> {
        Arc::new(Domain(Mutex::new(DomainState::Own(DomainLine::default()))))
    }

    /// The domains of plugins with these granted folders. They belong to the process: other hosts
    /// with an overlapping folder share them. `None` for a plugin without folders, and for folders
    /// that no plugin can write, unless `may_be_written` says that a write grant may come later.
    pub(crate) fn of_folders(
        granted: &[GrantedFolders],
        may_be_written: bool,
    ) -> Vec<Option<Arc<Domain>>> {
        domains().folders.assign(granted, may_be_written)
    }

    /// The domain of calls with these folders, merged with another.
    pub(crate) fn of_folders_in(
        granted: &GrantedFolders,
        with: Option<&Arc<Domain>>,
    ) -> Option<Arc<Domain>> {
        let mut domains = domains();
        let own = domains.folders.assign(std::slice::from_ref(granted), true);
        let own = own.into_iter().next().flatten();
        if let (Some(own), Some(with)) = (&own, with) {
            own.merge(with);
        }
        own.or_else(|| with.cloned())
    }

    /// The domain for a key, shared by the whole process.
    pub(crate) fn named(key: &str) -> Arc<Domain> {
        let mut domains = domains();
        domains.named.retain(|_, domain| domain.strong_count() > 0);
        if let Some(domain) = domains.named.get(key).and_then(Weak::upgrade) {
            return domain;
        }
        let domain = Domain::new();
        let known = Arc::downgrade(&domain);
        domains.named.insert(key.to_owned(), known);
        domain
    }

    fn state(&self) -> MutexGuard<'_, DomainState> {
        locks::lock(&self.0)
    }

    /// Runs `run` on the line, following merges.
    fn with_line<T>(self: &Arc<Self>, run: impl FnOnce(&mut DomainLine) -> T) -> T {
        let mut domain = self.clone();
        loop {
            let next = match &mut *domain.state() {
                DomainState::Own(line) => return run(line),
                DomainState::Merged(other) => other.clone(),
            };
            domain = next;
        }
    }

    /// The domain that it was merged into, or itself.
    fn merged(self: &Arc<Self>) -> Arc<Domain> {
        let next = match &*self.state() {
            DomainState::Own(_) => return self.clone(),
            DomainState::Merged(other) => other.clone(),
        };
        next.merged()
    }

    /// Merges two domains. Call only under the lock of all domains.
    fn merge(self: &Arc<Self>, other: &Arc<Domain>) {
        let (into, from) = (self.merged(), other.merged());
        if Arc::ptr_eq(&into, &from) {
            return;
        }
        // Lock both, so that a call that leaves meanwhile is in one of them. Everyone else locks
        // one at a time.
        let (mut left, mut kept) = (from.state(), into.state());
        if let (DomainState::Own(line), DomainState::Own(own)) = (&mut *left, &mut *kept) {
            own.append(mem::take(line));
        }
        *left = DomainState::Merged(into.clone());
    }

    /// Whether both are the same domain now.
    pub(crate) fn is_same(self: &Arc<Self>, other: &Arc<Domain>) -> bool {
        Arc::ptr_eq(&self.merged(), &other.merged())
    }

    /// Takes a place behind all calls of `client`; `label` names the call in errors of those behind
    /// it.
    pub(crate) fn enter(
        self: &Arc<Self>,
        client: OrderClient,
        access: DomainAccess,
        label: impl FnOnce() -> String,
    ) -> PlaceInOrder {
        self.enter_as(client, access, false, label)
    }

    /// The same for a call that must be [released](PlaceInOrder::release) before it may run; other clients
    /// pass it by.
    pub(crate) fn enter_held(
        self: &Arc<Self>,
        client: OrderClient,
        access: DomainAccess,
        label: impl FnOnce() -> String,
    ) -> PlaceInOrder {
        self.enter_as(client, access, true, label)
    }

    fn enter_as(
        self: &Arc<Self>,
        client: OrderClient,
        access: DomainAccess,
        is_held: bool,
        label: impl FnOnce() -> String,
    ) -> PlaceInOrder {
        let (ticket, waiter) = self.with_line(|line| line.enter(client, access, is_held, label));
        PlaceInOrder {
            domain: self.clone(),
            client,
            access,
            is_held,
            ticket,
            waiter,
        }
    }
}

/// A call that another waits for.
pub(crate) struct Ahead {
    /// Its tool and id; `None` if it is another client's.
    pub(crate) label: Option<String>,
    /// When it began to run.
    pub(crate) running: Option<Instant>,
}

/// A call's place in its domain, given up on drop.
pub(crate) struct PlaceInOrder {
    domain: Arc<Domain>,
    client: OrderClient,
    access: DomainAccess,
    /// Whether the place was taken as one to be [released](PlaceInOrder::release) first.
    is_held: bool,
    ticket: u64,
    /// `None` if it was granted at once.
    waiter: Option<Arc<Waiter>>,
}

impl PlaceInOrder {
    /// Whether the place is in the line of this domain, with sufficient access.
    pub(crate) fn serves(&self, domain: &Arc<Domain>, access: DomainAccess, is_held: bool) -> bool {
        self.domain.is_same(domain) && self.access >= access && self.is_held == is_held
    }

    /// Whether the call may run.
    pub(crate) fn is_granted(&self) -> bool {
        self.waiter
            .as_ref()
            .is_none_or(|waiter| waiter.is_granted())
    }

    /// Waits until the call may run. Dropping the future keeps the place.
    pub(crate) async fn granted(&self) {
        if let Some(waiter) = &self.waiter {
            waiter.granted().await;
        }
    }

    /// Whether the call has to be released before it may run.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Releases a call that was held.
    pub(crate) fn release(&self) {
        if !self.is_held {
            return;
        }
        self.domain
            .with_line(|line| line.release(self.client, self.ticket));
    }

    /// Notes that the call has its permits: calls behind it wait for it from now on.
    pub(crate) fn begin(&self) {
        self.domain.with_line(|line| line.begin(self.ticket));
    }

    /// The call that this one waits for.
    pub(crate) fn ahead(&self) -> Option<Ahead> {
        self.domain.with_line(|line| line.ahead(self.client))
    }
}

impl Drop for PlaceInOrder {
    fn drop(&mut self) {
        self.domain
            .with_line(|line| line.leave(self.client, self.ticket));
    }
}

/// The folders granted to one plugin, and whether each is writable.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrantedFolders(pub(crate) Vec<(FolderId, bool)>);

impl GrantedFolders {
    /// Whether one of them is `folder`, lies in it or contains it.
    pub(crate) fn overlap(&self, folder: &FolderId) -> bool {
        self.0.iter().any(|(own, _)| own.overlaps(folder))
    }

    fn members(&self) -> impl Iterator<Item = FolderAccess<'_>> {
        self.0.iter().map(|(folder, is_writable)| FolderAccess {
            folder,
            is_writable: *is_writable,
        })
    }
}

/// The domains of this process.
#[derive(Default)]
struct Domains {
    folders: Folders,
    named: HashMap<String, Weak<Domain>>,
}

fn domains() -> MutexGuard<'static, Domains> {
    static DOMAINS: LazyLock<Mutex<Domains>> = LazyLock::new(Mutex::default);
    locks::lock(&DOMAINS)
}
