//! MCP over a pair of byte streams, such as this process's stdin and stdout: a message a line.

use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use rmcp::model::{
    ClientNotification, ClientRequest, ProtocolVersion, ServerConfig, ServerResult,
    SubscriptionsListenResult,
};
use rmcp::service::{
    NotificationContext, RequestContext, ServerInitializeError, serve_server_with_ct,
};
use rmcp::transport::io::stdio_pipes;
use rmcp::{ErrorData, RoleServer, Service};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Server;
use super::arriving::Arriving;
use super::handler::Session;
use super::lines::Lines;

/// Running calls get so long after the end of input, and are cancelled then: rmcp sends what is answered
/// within 5 seconds.
const AFTER_THE_END: Duration = Duration::from_secs(4);

/// A client that is gone and does not read keeps nobody from going for longer.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why a client could not be served over stdio.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StdioError {
    /// What came first was no beginning of a session.
    #[error("no MCP client speaks on stdin: {message}")]
    NoClient {
        /// What came instead.
        message: String,
    },
    /// The task that served it ended early.
    #[error("the session ended early: {message}")]
    Ended {
        /// Why.
        message: String,
    },
}

impl Server {
    /// Serves the client at stdin and stdout until its end of input, or until `stop`.
    ///
    /// At the end of input running calls get a few seconds to answer, and are cancelled then.
    ///
    /// # Errors
    ///
    /// What came first was no beginning of a session.
    pub async fn serve_stdio(&self, stop: CancellationToken) -> Result<(), StdioError> {
        let (reader, writer) = stdio_pipes();
        self.serve_stream(reader, writer, stop).await
    }

    /// Serves the client at the other end of two byte streams, as [`serve_stdio`](Server::serve_stdio) does: one
    /// JSON-RPC message a line.
    ///
    /// # Errors
    ///
    /// What came first was no beginning of a session.
    pub async fn serve_stream<R, W>(
        &self,
        reader: R,
        writer: W,
        stop: CancellationToken,
    ) -> Result<(), StdioError>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let _following = self.follow();
        let end = CancellationToken::new();
        let reader = ToldOf {
            reader,
            end: end.clone(),
        };
        let transport = Lines::new(reader, writer, self.hub.offer().info.max_message);
        let session = self.session();
        let transport = Arriving::new(transport, session.clone());
        let own = session.clone();
        let client = Client {
            session,
            end: end.clone(),
        };
        let stop = stop.child_token();
        let session = match serve_server_with_ct(client, transport, stop.clone()).await {
            Ok(session) => session,
            // A client that goes before it said anything is no error.
            Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
                return Ok(());
            }
            Err(ServerInitializeError::ExpectedInitializeRequest(_)) => {
                let message = "its first message begins no session".to_owned();
                return Err(StdioError::NoClient { message });
            }
            Err(error) => {
                return Err(StdioError::NoClient {
                    message: error.to_string(),
                });
            }
        };
        tokio::select! {
            ended = session.waiting() => ended.map(drop).map_err(|error| StdioError::Ended {
                message: error.to_string(),
            }),
            () = async {
                end.cancelled().await;
                // Nobody is left to answer what is asked, or will be.
                let owner = own.owner(None);
                let _gone = self.hub.asks.gone(&owner);
                sleep(AFTER_THE_END).await;
                stop.cancel();
                sleep(LAST_WORDS).await;
            } => Ok(()),
        }
    }
}

/// The client's session. Of all that a client may ask for at once, most are calls: rmcp's own future has
/// room for every kind of request in each.
struct Client {
    session: Session,
    /// The end of input.
    end: CancellationToken,
}

impl Client {
    /// A stream that a client listens on. It ends with the input: rmcp sends no notification after that, and the server
    /// would stay for as long as it waits for those that run.
    async fn listen(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<ServerResult, ErrorData> {
        let mut result = SubscriptionsListenResult::complete(context.id.clone());
        tokio::select! {
            answer = self.session.handle_request(request, context) => answer,
            () = self.end.cancelled() => {
                result.meta.set_server_info(self.get_info().server_info);
                Ok(ServerResult::SubscriptionsListenResult(result))
            }
        }
    }
}

impl Service<RoleServer> for Client {
    fn handle_request(
        &self,
        request: ClientRequest,
        context: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ServerResult, ErrorData>> + Send + '_ {
        let Client { session, .. } = self;
        match request {
            ClientRequest::CallToolRequest(request)
                if session.is_plain(&request.params, &context) =>
            {
                session.call_plainly(request.params, context).boxed()
            }
            request @ ClientRequest::SubscriptionsListenRequest(_) => {
                self.listen(request, context).boxed()
            }
            request => session.handle_request(request, context).boxed(),
        }
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

/// A reader whose end is told.
struct ToldOf<R> {
    reader: R,
    end: CancellationToken,
}

impl<R: AsyncRead + Unpin> AsyncRead for ToldOf<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.reader).poll_read(context, buffer);
        if read.is_ready() && buffer.filled().len() == before {
            self.end.cancel();
        }
        read
    }
}
