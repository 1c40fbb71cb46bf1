//! MCP over a pair of byte streams, such as this process's stdin and stdout: a message a line.

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
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::server::handler::ClientSession;
use crate::server::server_state::ServerState;
use crate::server::stdio::lines::LineTransport;
use crate::server::stdio::transport::OrderedTransport;

/// Running calls get so long after the end of input, and are cancelled then: rmcp sends what is answered
/// within 5 seconds.
const EOF_GRACE: Duration = Duration::from_secs(4);

/// A client that is gone and does not read keeps nobody from going for longer.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a client could not be served over stdio.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdioError {
    /// What came first was no beginning of a session.
    #[error("no MCP client on stdin")]
    NoClient {
        /// What came instead.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The task that served it ended early.
    #[error("the session ended early")]
    Ended {
        /// Why.
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
    let transport = OrderedTransport::new(transport, client.clone());
    let service = StdioService(client.clone());
    let stop = stop.child_token();
    let session = match serve_server_with_ct(service, transport, stop.clone()).await {
        Ok(session) => session,
        // A client that goes before it said anything is no error.
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
            // Nobody is left to answer what is asked, or will be.
            let owner = client.owner(None);
            let _gone = server.questions.gone(&owner);
            sleep(EOF_GRACE).await;
            stop.cancel();
            sleep(SHUTDOWN_TIMEOUT).await;
        } => Ok(()),
    }
}

/// The client's session, as rmcp serves it: calls go past rmcp's dispatch.
struct StdioService(ClientSession);

impl Service<RoleServer> for StdioService {
    fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ServerResult, ErrorData>> + Send + '_ {
        self.0.answer(request, context)
    }

    fn handle_notification(
        &self,
        notification: ClientNotification,
        context: NotificationContext<RoleServer>,
    ) -> impl Future<Output = Result<(), ErrorData>> + Send + '_ {
        self.0.handle_notification(notification, context)
    }

    fn get_info(&self) -> ServerConfig {
        Service::get_info(&self.0)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Service::supported_protocol_versions(&self.0)
    }
}
