//! What all sessions of a server share: the host, as clients see it; who is to be told of changes; and
//! what runs.

pub(super) mod polls;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    Implementation, JsonObject, Prompt, PromptsCapability, ResourceTemplate, ResourcesCapability,
    ServerCapabilities, ServerConfig, TASKS_EXTENSION_ID, Tool, ToolsCapability,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::asks::Asks;
use super::long;
use super::requests;
use super::seal::Seal;
use super::tasks::Tasks;
use super::teller::{Change, Teller};
use super::{ServerInfo, convert};
use crate::host::ToolHost;
use crate::results::{LongResults, ResultStore};
use crate::serve::Principal;
use crate::watch::Owner;
use polls::Polls;

pub(super) struct Hub {
    offer: RwLock<Arc<Offer>>,
    pub(super) seal: Seal,
    pub(super) polls: Polls,
    pub(super) teller: Arc<Teller>,
    pub(super) asks: Arc<Asks>,
    pub(super) tasks: Tasks,
    /// The results that are not shown whole.
    results: Arc<ResultStore>,
    /// Counts the offers.
    version: watch::Sender<u64>,
    /// The number of the session that begins next.
    next_session: AtomicU64,
    /// Requests that run.
    running: TaskTracker,
    /// Nothing more is started.
    drain: CancellationToken,
    /// Ends them.
    stop: CancellationToken,
}

/// What a host offers, in the protocol's types.
pub(super) struct Offer {
    /// As it was loaded.
    loaded: ToolHost,
    /// The same with the server's own tools.
    pub(super) host: ToolHost,
    pub(super) info: ServerInfo,
    pub(super) tools: Vec<Tool>,
    /// Where long results are compacted.
    pub(super) long: Option<Arc<LongResults>>,
    /// The name of the tool that reads on in them, once it has one: clients know it, and no server that lists more
    /// tools while it runs takes it.
    reader: Option<String>,
    by_name: HashMap<String, usize>,
    /// Of the plugins' files, a digest: what was written by others is not read by these.
    pub(super) plugins: String,
    pub(super) prompts: Vec<Prompt>,
    pub(super) templates: Vec<ResourceTemplate>,
}

/// A session that is open. What is kept for it ends with it.
pub(super) struct SessionPermit {
    number: u64,
    hub: Weak<Hub>,
}

impl SessionPermit {
    pub(super) fn owner(&self) -> Owner {
        Owner::Session(self.number)
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.asks.end_owner(&self.owner());
            hub.tasks.end_owner(&self.owner());
            hub.results.end_owner(&self.owner());
        }
    }
}

impl Offer {
    fn new(
        loaded: ToolHost,
        info: ServerInfo,
        results: &Arc<ResultStore>,
        before: Option<&Offer>,
    ) -> Offer {
        let mut reader = before.and_then(|before| before.reader.clone());
        let long = info.max_result_chars.map(|max_chars| {
            let name = reader.get_or_insert_with(|| {
                let names: Vec<&str> = loaded.tools().map(|tool| &*tool.name).collect();
                long::free_name(names.into_iter())
            });
            Arc::new(long::results(max_chars, name, results.clone()))
        });
        let host = match &long {
            Some(long) => loaded.with_provider(long.clone()),
            None => loaded.clone(),
        };
        let mut tools: Vec<Tool> = host.tools().map(convert::tool).collect();
        if let Some(long) = &long {
            long::declare(&mut tools, long);
        }
        let names = tools.iter().map(|tool| tool.name.to_string());
        Offer {
            by_name: names.enumerate().map(|(at, name)| (name, at)).collect(),
            prompts: host.prompts().map(convert::prompt).collect(),
            templates: host.resource_templates().map(convert::template).collect(),
            tools,
            long,
            reader,
            plugins: loaded.plugins_sha256(),
            loaded,
            host,
            info,
        }
    }

    pub(super) fn tool(&self, name: &str) -> Option<&Tool> {
        Some(&self.tools[*self.by_name.get(name)?])
    }

    /// The host as it was loaded.
    pub(super) fn loaded(&self) -> &ToolHost {
        &self.loaded
    }

    /// Whether a tool is there for a client. Everyone may read on in results of its own.
    pub(super) fn may_call(&self, principal: Option<&Principal>, tool: &str) -> bool {
        let is_own = |long: &Arc<LongResults>| long.tool() == tool;
        requests::may_call(principal, tool) || self.long.as_ref().is_some_and(is_own)
    }
}

impl Hub {
    pub(super) fn new(host: ToolHost, info: ServerInfo) -> Hub {
        let results = Arc::new(ResultStore::of_many());
        let asks = Arc::new(Asks::new(info.ask_timeout));
        Hub {
            offer: RwLock::new(Arc::new(Offer::new(host, info, &results, None))),
            seal: Seal::new(),
            polls: Polls::new(),
            teller: Arc::new(Teller::new()),
            tasks: Tasks::new(asks.clone()),
            asks,
            results,
            version: watch::Sender::new(0),
            next_session: AtomicU64::new(0),
            running: TaskTracker::new(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn offer(&self) -> Arc<Offer> {
        let offer = self.offer.read();
        offer.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace(&self, host: ToolHost, info: ServerInfo) {
        self.asks.set_patience(info.ask_timeout);
        let before = self.offer();
        let new = Arc::new(Offer::new(host, info, &self.results, Some(&before)));
        let old = {
            let mut offer = self.offer.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *offer, new.clone())
        };
        self.replaced(&old, &new);
    }

    /// Offers what the providers of the host offer, whenever that is something else.
    pub(super) async fn follow(&self) {
        let mut versions = self.version.subscribe();
        loop {
            let old = self.offer();
            tokio::select! {
                _ = versions.changed() => continue,
                () = old.host.tools_changed() => {}
            }
            let renewed = old.loaded.renewed();
            let info = old.info.clone();
            let new = Arc::new(Offer::new(renewed, info, &self.results, Some(&old)));
            {
                let mut offer = self.offer.write().unwrap_or_else(PoisonError::into_inner);
                if !Arc::ptr_eq(&offer, &old) {
                    continue;
                }
                *offer = new.clone();
            }
            self.replaced(&old, &new);
        }
    }

    fn replaced(&self, old: &Offer, new: &Offer) {
        self.version.send_modify(|version| *version += 1);
        if old.tools != new.tools {
            self.teller.tell(Change::Tools);
        }
        if old.prompts != new.prompts {
            self.teller.tell(Change::Prompts);
        }
        // Which resources a plugin lists is not known without asking it.
        if old.host.has_resources() || new.host.has_resources() {
            self.teller.tell(Change::Resources);
        }
    }

    /// How the server presents itself.
    pub(super) fn config(&self) -> ServerConfig {
        let offer = self.offer();
        let mut capabilities = ServerCapabilities::default();
        let mut tools = ToolsCapability::default();
        tools.list_changed = Some(true);
        capabilities.tools = Some(tools);
        capabilities.logging = Some(Default::default());
        if !offer.prompts.is_empty() {
            let mut prompts = PromptsCapability::default();
            prompts.list_changed = Some(true);
            capabilities.prompts = Some(prompts);
        }
        if offer.host.has_resources() {
            let mut resources = ResourcesCapability::default();
            resources.subscribe = Some(true);
            resources.list_changed = Some(true);
            capabilities.resources = Some(resources);
        }
        if offer.host.completes() {
            capabilities.completions = Some(Default::default());
        }
        capabilities.extensions = Some(
            [(TASKS_EXTENSION_ID.to_owned(), JsonObject::new())]
                .into_iter()
                .collect(),
        );
        let mut config = ServerConfig::new(capabilities);
        config.server_info = Implementation::new(&*offer.info.name, &*offer.info.version);
        config.instructions = offer.info.instructions.clone();
        config
    }

    /// A session more.
    pub(super) fn permit(self: &Arc<Self>) -> SessionPermit {
        SessionPermit {
            number: self.next_session.fetch_add(1, Ordering::Relaxed),
            hub: Arc::downgrade(self),
        }
    }

    /// A place among the requests that run.
    ///
    /// # Errors
    ///
    /// Nothing more is started.
    pub(super) fn enter(&self) -> Result<TaskTrackerToken, ErrorData> {
        if self.running.is_closed() {
            let message = "the server is shutting down: nothing more is started";
            return Err(ErrorData::internal_error(message, None));
        }
        Ok(self.running.token())
    }

    /// Comes when nothing more is started.
    pub(super) async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Ends the requests that run when the server has to stop.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(super) async fn drain(&self, grace: Duration) -> usize {
        self.drain.cancel();
        self.running.close();
        if tokio::time::timeout(grace, self.running.wait())
            .await
            .is_ok()
        {
            return 0;
        }
        let left = self.running.len();
        self.stop.cancel();
        // They end at once; a bound all the same, as somebody waits for this process to go.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.running.wait()).await;
        left
    }
}
