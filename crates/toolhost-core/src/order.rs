//! Order: calls that change something run one at a time, in the order in which they were handed over.
//!
//! A [`Domain`] is what a set of calls may change: folders that overlap, or the data behind one MCP
//! server. It is a fair readers-writer lock whose places are taken synchronously, so that a call's
//! [`Place`] is decided by its position in the message and not by when it is first polled. [`Turns`] are permits that
//! clients share fairly.

mod folders;
mod line;
mod turns;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use folders::{Folders, Member};
use line::{Line, Waiter};
pub(crate) use turns::{Permit, Turns};

use crate::paths::FolderId;

/// What a call does to its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// It runs beside others that read.
    Read,
    /// It runs alone.
    Change,
}

/// Whose calls run in the order they were handed over: a batch, a session. Parties take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    number: u64,
    party: Party,
}

/// Who has one turn among others: all batches and sessions of one name, or one without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// By a hash of the name.
    Named(u64),
    Unnamed(u64),
    /// All that come and go without a name.
    Passing,
}

impl Default for Client {
    fn default() -> Self {
        Client::new()
    }
}

impl Client {
    /// One that is no other.
    pub(crate) fn new() -> Client {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Client {
            number,
            party: Party::Unnamed(number),
        }
    }

    /// The same, which has its turns together with all others of that name.
    pub fn named(self, name: &str) -> Client {
        static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Client {
            party: Party::Named(HASHES.hash_one(name)),
            ..self
        }
    }

    /// The same, which has its turns together with all others that have no name and come once.
    pub fn passing(self) -> Client {
        Client {
            party: Party::Passing,
            ..self
        }
    }

    pub(crate) fn party(self) -> Party {
        self.party
    }
}

/// The folders, or the MCP server, that a set of calls may change.
pub(crate) struct Domain(Mutex<State>);

enum State {
    Own(Line),
    /// A plugin was loaded whose folders join this domain with another.
    Merged(Arc<Domain>),
}

impl Domain {
    /// One of its own.
    pub(crate) fn new() -> Arc<Domain> {
        Arc::new(Domain(Mutex::new(State::Own(Line::default()))))
    }

    /// The domain of plugins with these granted folders. It is the process's: other hosts that are granted an overlapping
    /// folder share it. `None` where there are none, and where none can be written unless `may_be_written` says that
    /// somebody may be granted them later.
    pub(crate) fn of_folders(
        granted: &[GrantedFolders],
        may_be_written: bool,
    ) -> Vec<Option<Arc<Domain>>> {
        domains().folders.assign(granted, may_be_written)
    }

    /// The domain of calls with these folders, which is in one with another.
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

    /// The domain of what `key` names, for the whole process.
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `run` look at the line, wherever that is by now.
    fn with_line<T>(self: &Arc<Self>, run: impl FnOnce(&mut Line) -> T) -> T {
        let mut domain = self.clone();
        loop {
            let next = match &mut *domain.state() {
                State::Own(line) => return run(line),
                State::Merged(other) => other.clone(),
            };
            domain = next;
        }
    }

    /// The domain that it was merged into, or itself.
    fn merged(self: &Arc<Self>) -> Arc<Domain> {
        let next = match &*self.state() {
            State::Own(_) => return self.clone(),
            State::Merged(other) => other.clone(),
        };
        next.merged()
    }

    /// Makes one of two. Only under the lock of all domains.
    fn merge(self: &Arc<Self>, other: &Arc<Domain>) {
        let (into, from) = (self.merged(), other.merged());
        if Arc::ptr_eq(&into, &from) {
            return;
        }
        // Both at once: a call that leaves meanwhile is in one of them. Everybody else locks one at a time.
        let (mut left, mut kept) = (from.state(), into.state());
        if let (State::Own(line), State::Own(own)) = (&mut *left, &mut *kept) {
            own.append(mem::take(line));
        }
        *left = State::Merged(into.clone());
    }

    /// Whether calls of the two are in one line.
    pub(crate) fn is_same(self: &Arc<Self>, other: &Arc<Domain>) -> bool {
        Arc::ptr_eq(&self.merged(), &other.merged())
    }

    /// Takes a place behind all calls of `client`; `label` names the call to those behind it.
    pub(crate) fn enter(
        self: &Arc<Self>,
        client: Client,
        access: Access,
        label: impl FnOnce() -> String,
    ) -> Place {
        self.enter_as(client, access, false, label)
    }

    /// The same for a call that does not run before its place is [released](Place::release): other clients pass it by.
    pub(crate) fn enter_held(
        self: &Arc<Self>,
        client: Client,
        access: Access,
        label: impl FnOnce() -> String,
    ) -> Place {
        self.enter_as(client, access, true, label)
    }

    fn enter_as(
        self: &Arc<Self>,
        client: Client,
        access: Access,
        is_held: bool,
        label: impl FnOnce() -> String,
    ) -> Place {
        let (ticket, waiter) = self.with_line(|line| line.enter(client, access, is_held, label));
        Place {
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
    /// Its tool and id; `None` where it is another client's.
    pub(crate) label: Option<String>,
    /// Since when it runs.
    pub(crate) running: Option<Instant>,
}

/// A call's place in the line of its domain, left when it is dropped.
pub(crate) struct Place {
    domain: Arc<Domain>,
    client: Client,
    access: Access,
    /// Whether it was to be [released](Place::release) when it was taken.
    is_held: bool,
    ticket: u64,
    /// `None` where it was granted at once.
    waiter: Option<Arc<Waiter>>,
}

impl Place {
    /// Whether it is in the line of a domain, and good for what a call does there.
    pub(crate) fn serves(&self, domain: &Arc<Domain>, access: Access, is_held: bool) -> bool {
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

    /// Lets a call run that was held.
    pub(crate) fn release(&self) {
        self.domain
            .with_line(|line| line.release(self.client, self.ticket));
    }

    /// The call has its permits: from now on it is what others wait for.
    pub(crate) fn begin(&self) {
        self.domain.with_line(|line| line.begin(self.ticket));
    }

    /// The call that this one waits for.
    pub(crate) fn ahead(&self) -> Option<Ahead> {
        self.domain.with_line(|line| line.ahead(self.client))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.domain
            .with_line(|line| line.leave(self.client, self.ticket));
    }
}

/// The folders that one plugin is granted.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrantedFolders(pub(crate) Vec<(FolderId, bool)>);

impl GrantedFolders {
    /// Whether one of them is `folder`, lies in it or around it.
    pub(crate) fn overlap(&self, folder: &FolderId) -> bool {
        self.0.iter().any(|(own, _)| own.overlaps(folder))
    }

    fn members(&self) -> impl Iterator<Item = Member<'_>> {
        self.0.iter().map(|(folder, is_writable)| Member {
            folder,
            is_writable: *is_writable,
        })
    }
}

/// The domains of this process, which outlive hosts: the old one and the new do not edit side by side.
#[derive(Default)]
struct Domains {
    folders: Folders,
    named: HashMap<String, Weak<Domain>>,
}

fn domains() -> MutexGuard<'static, Domains> {
    static DOMAINS: LazyLock<Mutex<Domains>> = LazyLock::new(Mutex::default);
    DOMAINS.lock().unwrap_or_else(PoisonError::into_inner)
}
