//! The state shared by all sessions of a server: the host's catalogue, subscribers to changes, and
//! running requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::server::ServerInfo;
use crate::server::catalogue::Catalogue;
use crate::server::change_notifications::{Change, ChangeNotifier};
use crate::server::pending_questions::PendingQuestions;
use crate::server::request_state::RequestStates;
use crate::server::resource_polling::Polls;
use crate::server::tasks::Tasks;
use toolhost_core::host::ToolHost;
use toolhost_core::result_store::ResultStore;
use toolhost_core::watch::Owner;

pub(crate) struct ServerState {
    /// The catalogue served now; a reload replaces it.
    catalogue: watch::Sender<Arc<Catalogue>>,
    pub(crate) request_states: RequestStates,
    pub(crate) polls: Polls,
    pub(crate) changes: Arc<ChangeNotifier>,
    pub(crate) questions: Arc<PendingQuestions>,
    pub(crate) tasks: Tasks,
    /// Results that were compacted.
    results: Arc<ResultStore>,
    /// The number of the next session.
    next_session: AtomicU64,
    /// Running requests.
    running: TaskTracker,
    /// Cancelled when no more requests may start.
    drain: CancellationToken,
    /// Cancels running requests.
    stop: CancellationToken,
}

/// A permit of an open session. What is kept for the session is dropped with it.
pub(crate) struct SessionPermit {
    number: u64,
    server: Weak<ServerState>,
}

impl SessionPermit {
    pub(crate) fn owner(&self) -> Owner {
        Owner::Session(self.number)
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade() {
            server.questions.end_owner(&self.owner());
            server.tasks.end_owner(&self.owner());
            server.results.end_owner(&self.owner());
        }
    }
}

impl ServerState {
    pub(crate) fn new(host: ToolHost, info: ServerInfo) -> ServerState {
        let results = Arc::new(ResultStore::of_many());
        let questions = Arc::new(PendingQuestions::new(info.ask_timeout));
        let changes = Arc::new(ChangeNotifier::new());
        let catalogue = Arc::new(Catalogue::new(host, info, &results, None));
        let catalogue = watch::Sender::new(catalogue);
        ServerState {
            request_states: RequestStates::new(),
            polls: Polls::new(catalogue.subscribe(), changes.clone()),
            catalogue,
            changes,
            tasks: Tasks::new(questions.clone()),
            questions,
            results,
            next_session: AtomicU64::new(0),
            running: TaskTracker::new(),
            drain: CancellationToken::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.borrow().clone()
    }

    pub(crate) fn replace(&self, host: ToolHost, info: ServerInfo) {
        self.questions.set_patience(info.ask_timeout);
        let before = self.catalogue();
        let new = Arc::new(Catalogue::new(host, info, &self.results, Some(&before)));
        let old = self.catalogue.send_replace(new.clone());
        self.replaced(&old, &new);
    }

    /// Follows changes of the providers' tools until the handle is dropped.
    pub(crate) fn following(self: &Arc<Self>) -> AbortOnDropHandle<()> {
        let server = self.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { server.follow().await }))
    }

    async fn follow(&self) {
        let mut current = self.catalogue.subscribe();
        loop {
            let old = current.borrow_and_update().clone();
            tokio::select! {
                _ = current.changed() => continue,
                () = old.host.tools_changed() => {}
            }
            let (host, info) = (old.loaded.renewed(), old.info.clone());
            let new = Arc::new(Catalogue::new(host, info, &self.results, Some(&old)));
            let is_replaced = self.catalogue.send_if_modified(|current| {
                let is_old = Arc::ptr_eq(current, &old);
                if is_old {
                    *current = new.clone();
                }
                is_old
            });
            if is_replaced {
                self.replaced(&old, &new);
            }
        }
    }

    fn replaced(&self, old: &Catalogue, new: &Catalogue) {
        if old.tools != new.tools {
            self.changes.notify(Change::Tools);
        }
        if old.prompts != new.prompts {
            self.changes.notify(Change::Prompts);
        }
        // Which resources a plugin lists is not known without asking it.
        if old.host.has_resources() || new.host.has_resources() {
            self.changes.notify(Change::Resources);
        }
    }

    /// How the server presents itself.
    pub(crate) fn config(&self) -> ServerConfig {
        let catalogue = self.catalogue();
        let mut capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_tasks()
            .build();
        capabilities.logging = Some(Default::default());
        capabilities
            .prompts
            .take_if(|_| catalogue.prompts.is_empty());
        (capabilities.resources).take_if(|_| !catalogue.host.has_resources());
        (capabilities.completions).take_if(|_| !catalogue.host.completes());
        let mut config = ServerConfig::new(capabilities);
        config.server_info = Implementation::new(&*catalogue.info.name, &*catalogue.info.version);
        config.instructions = catalogue.info.instructions.clone();
        config
    }

    /// Counts a new session.
    pub(crate) fn permit(self: &Arc<Self>) -> SessionPermit {
        SessionPermit {
            number: self.next_session.fetch_add(1, Ordering::Relaxed),
            server: Arc::downgrade(self),
        }
    }

    /// Registers a running request.
    ///
    /// # Errors
    ///
    /// The server is shutting down.
    pub(crate) fn enter(&self) -> Result<TaskTrackerToken, ErrorData> {
        if self.running.is_closed() {
            let message = "the server is shutting down: no new calls are started";
            return Err(ErrorData::internal_error(message, None));
        }
        Ok(self.running.token())
    }

    /// Completes when no more requests may start.
    pub(crate) async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Cancelled when running requests must end.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) async fn drain(&self, grace: Duration) -> usize {
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
        // They end at once; bounded all the same, as the process is waiting to exit.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.running.wait()).await;
        left
    }
}
