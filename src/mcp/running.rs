//! What every request that runs something has: a place among those that run, its notifications on their
//! way, and an end when it is cancelled or the server has to stop.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rmcp::ErrorData;

use crate::host::{CallOptions, Places, ToolHost};
use crate::input::Responder;
use crate::mcp::caller::Caller;
use crate::mcp::elicitation::PeerResponder;
use crate::mcp::notifications::{CallNotifications, Requested};
use crate::mcp::server_state::ServerState;
use crate::mcp::tasks::task::TaskResponder;
use crate::tool::{ToolCall, ToolResult};

/// Runs a call, at the places that it took where it took any.
///
/// # Errors
///
/// Nothing more is started.
pub(crate) async fn run_call(
    server: &ServerState,
    host: &ToolHost,
    call: ToolCall,
    caller: &Caller,
    places: Option<Places>,
) -> Result<ToolResult, ErrorData> {
    let logger = call.name.clone().into();
    let run = |options: CallOptions| {
        let options = options.placed(places);
        async move { host.call_with(call, &options).await }.boxed()
    };
    self::run(server, logger, caller, run).await
}

/// Runs what answers a request: with its notifications on their way, and until it is cancelled or the server has to
/// stop.
///
/// What is run is boxed: it is large, and rmcp moves the future that all of them are in.
///
/// # Errors
///
/// Nothing more is started.
pub(crate) async fn run<'r, T>(
    server: &ServerState,
    logger: Cow<'static, str>,
    caller: &Caller,
    run: impl FnOnce(CallOptions) -> BoxFuture<'r, T>,
) -> Result<T, ErrorData> {
    let _running = server.enter()?;
    let options = CallOptions::new()
        .cancellation(caller.cancel.clone())
        .of_client(caller.order)
        .owned_by(caller.owner.clone())
        .allowed(caller.allowed());
    let options = match caller.is_stateless {
        true => options.advertise(caller.can_ask),
        false => options.responder(responder(server, caller)),
    };
    let changes = server.changes.clone();
    if caller.token.is_none() && caller.level.is_none() {
        let run = run(options.watcher(changes));
        return Ok(until_stop(server, caller, run).await);
    }
    let requested = Requested {
        stream: caller.stream,
        token: caller.token.clone(),
        level: caller.level,
        logger,
        task: caller.task.clone(),
    };
    let notifications = CallNotifications::new(requested, changes, caller.peer.clone());
    let run = run(options.watcher(notifications.clone()));
    let run = pin!(until_stop(server, caller, run));
    Ok(notifications.during(run).await)
}

/// Who answers what is asked in a session.
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
