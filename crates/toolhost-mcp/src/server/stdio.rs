//! MCP over a pair of byte streams, such as this process's stdin and stdout: newline-delimited
//! JSON-RPC.

mod lines;
mod transport;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{ClientNotification, ClientRequest, ProtocolVersion, ServerConfig, ServerResult};
use rmcp::service::{
    NotificationContext, RequestContext, ServerInitializeError, serve_server_with_ct,
};
use rmcp::{ErrorData, RoleServer, Service};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::server::handler::ClientSession;
use crate::server::server_state::ServerState;
use crate::server::stdio::lines::{LineTransport, Runs};
use crate::server::stdio::transport::OrderedTransport;
use toolhost_core::watch::Paused;

/// How long running calls get after end of input; rmcp sends answers for 5 seconds.
const EOF_GRACE: Duration = Duration::from_secs(4);

/// How long a client that does not read may delay shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a client could not be served over stdio.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdioError {
    /// The first message did not begin a session.
    #[error("no MCP client on stdin")]
    NoClient {
        /// What came instead.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The task that served it ended early.
    #[error("the session ended early")]
    Ended {
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Serves the client at the other end of two byte streams, until its end of input or until `stop`.
pub(crate) async fn serve<R, W>(
    server: &Arc<ServerState>,
    reader: R,
    writer: W,
    stop: CancellationToken,
) -> Result<(), StdioError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let _following = server.following();
    let client = ClientSession::new(server.clone());
    let end = client.gone().clone();
    let longest = server.catalogue().info.max_message;
    let transport = LineTransport::new(reader, writer, longest, end.clone());
    let service = StdioService::new(client.clone(), transport.paused());
    let transport = OrderedTransport::new(transport, client.clone());
    let stop = stop.child_token();
    let session = match serve_server_with_ct(service, transport, stop.clone()).await {
        Ok(session) => session,
        // A client that leaves before its first message is not an error.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
            return Ok(());
        }
        Err(ServerInitializeError::ExpectedInitializeRequest(_)) => {
            let source = "its first message does not start a session".into();
            return Err(StdioError::NoClient { source });
        }
        Err(error) => {
            return Err(StdioError::NoClient {
                source: error.into(),
            });
        }
    };
    tokio::select! {
        ended = session.waiting() => ended.map(drop).map_err(|error| StdioError::Ended {
            source: error.into(),
        }),
        () = async {
            end.cancelled().await;
            // Nobody is left to answer questions.
            let owner = client.owner(None);
            let _gone = server.questions.gone(&owner);
            sleep(EOF_GRACE).await;
            stop.cancel();
            sleep(SHUTDOWN_TIMEOUT).await;
        } => Ok(()),
    }
}

/// The most requests other than calls that are answered at once: what they return is not bounded by
/// the permits of the host.
const MAX_OTHERS: usize = 16;

/// The client's session as rmcp's service, with calls bypassing rmcp's dispatch. While the client
/// does not read its answers, nothing more is started: calls wait for their permits, and other
/// requests here.
struct StdioService {
    session: ClientSession,
    paused: Paused,
    others: Semaphore,
}

impl StdioService {
    fn new(session: ClientSession, paused: Paused) -> StdioService {
        session.unless_paused(paused.clone());
        StdioService {
            session,
            paused,
            others: Semaphore::new(MAX_OTHERS),
        }
    }

    /// Waits until a request may start. `None` if it needs no turn.
    async fn turn(&self, request: &ClientRequest) -> Option<SemaphorePermit<'_>> {
        if !has_long_answer(request) {
            return None;
        }
        // The semaphore is never closed.
        let turn = self.others.acquire().await.ok();
        // Without a sender the transport is gone.
        let _ = self.paused.clone().wait_for(|is_paused| !is_paused).await;
        turn
    }
}

/// Whether the answer to a request may be long and is not that of a call.
fn has_long_answer(request: &ClientRequest) -> bool {
    matches!(
        request,
        ClientRequest::ListToolsRequest(_)
            | ClientRequest::ListResourcesRequest(_)
            | ClientRequest::ListResourceTemplatesRequest(_)
            | ClientRequest::ListPromptsRequest(_)
            | ClientRequest::ReadResourceRequest(_)
            | ClientRequest::GetPromptRequest(_)
            | ClientRequest::CompleteRequest(_)
            | ClientRequest::GetTaskRequest(_)
            | ClientRequest::DiscoverRequest(_)
    )
}

impl Service<RoleServer> for StdioService {
    async fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        let is_held_back =
            has_long_answer(&request) || matches!(request, ClientRequest::CallToolRequest(_));
        let (runs, cancel) = (context.extensions.get::<Runs>().cloned(), &context.ct);
        let Some(_turn) = cancel.run_until_cancelled(self.turn(&request)).await else {
            // rmcp drops the answer of a cancelled request.
            return Err(ErrorData::internal_error("cancelled", None));
        };
        let answer = self.session.answer(request, context).await;
        if let (true, Some(runs), Ok(result)) = (is_held_back, &runs, &answer) {
            runs.ended(result);
        }
        answer
    }

    fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> impl Future<Output = Result<(), ErrorData>> + Send + '_ {
        self.session.handle_notification(notification, context)
    }

    fn get_info(&self) -> ServerConfig {
        Service::get_info(&self.session)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Service::supported_protocol_versions(&self.session)
    }
}
