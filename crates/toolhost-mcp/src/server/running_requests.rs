//! What all running requests have: a place in the tracker, notifications, and cancellation by the
//! client or at shutdown.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rmcp::ErrorData;
use toolhost_core::Responder;

use crate::server::caller::Caller;
use crate::server::catalogue::Catalogue;
use crate::server::elicitation::PeerResponder;
use crate::server::progress_and_logs::{CallNotifications, Requested};
use crate::server::server_state::ServerState;
use crate::server::tasks::task::TaskResponder;
use toolhost_core::host::{CallOptions, TakenPlaces};
use toolhost_core::tool::{ToolCall, ToolResult};

/// Runs a call, at the places in order taken for it, if any.
///
/// # Errors
///
/// The server is shutting down.
pub(crate) fn run_call<'r>(
    server: &'r ServerState,
    catalogue: &'r Catalogue,
    call: ToolCall,
    caller: &'r Caller,
    places: Option<TakenPlaces>,
) -> impl Future<Output = Result<ToolResult, ErrorData>> + Send + 'r {
    let logger = call.name.clone().into();
    run(server, catalogue, logger, caller, move |options| {
        let options = options.placed(places);
        async move { catalogue.host.call_with(call, &options).await }.boxed()
    })
}

/// Runs a request, with its notifications, until it is cancelled or the server stops.
///
/// The future is boxed: it is large, and rmcp moves the future around it.
///
/// # Errors
///
/// The server is shutting down.
pub(crate) fn run<'r, T: Send + 'r, R>(
    server: &'r ServerState,
    catalogue: &Catalogue,
    logger: Cow<'static, str>,
    caller: &'r Caller,
    run: R,
) -> impl Future<Output = Result<T, ErrorData>> + Send + use<'r, T, R>
where
    R: FnOnce(CallOptions) -> BoxFuture<'r, T>,
{
    let running = server.enter();
    let options = catalogue
        .options(caller.principal.as_ref(), caller.order)
        .cancellation(caller.cancel.clone())
        .owned_by(caller.owner.clone())
        .unless_paused(caller.paused.clone());
    let options = match caller.is_stateless {
        true => options.advertise(caller.can_ask),
        false => options.responder(responder(server, caller)),
    };
    let is_told = caller.token.is_some() || caller.level.is_some();
    let notifications = is_told.then(|| {
        let requested = Requested {
            stream: caller.stream,
            token: caller.token.clone(),
            level: caller.level,
            logger,
            task: caller.task.clone(),
        };
        CallNotifications::new(requested, server.changes.clone(), caller.peer.clone())
    });
    let run = run(match &notifications {
        Some(notifications) => options.watcher(notifications.clone()),
        None => options.watcher(server.changes.clone()),
    });
    async move {
        let _running = running?;
        let run = pin!(until_stop(server, caller, run));
        Ok(match notifications {
            Some(notifications) => notifications.during(run).await,
            None => run.await,
        })
    }
}

/// The responder for questions in a session.
fn responder(server: &ServerState, caller: &Caller) -> Arc<dyn Responder> {
    let peer = PeerResponder {
        stream: caller.stream,
        peer: caller.peer.clone(),
        kinds: caller.can_ask,
        questions: server.questions.clone(),
        owner: caller.owner.clone(),
        client: caller.principal.as_ref().map(|it| it.name.clone()),
    };
    match &caller.task {
        None => Arc::new(peer),
        Some(task) => Arc::new(TaskResponder {
            peer,
            task: task.clone(),
        }),
    }
}

async fn until_stop<T>(server: &ServerState, caller: &Caller, mut run: BoxFuture<'_, T>) -> T {
    tokio::select! {
        biased;
        result = &mut run => result,
        () = server.stop().cancelled() => {
            caller.cancel.cancel();
            run.await
        }
    }
}
