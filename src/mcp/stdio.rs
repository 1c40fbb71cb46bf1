//! MCP over this process's stdin and stdout: a message a line.

use rmcp::service::{ServerInitializeError, serve_server_with_ct};
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::io::stdio_pipes;
use tokio_util::sync::CancellationToken;

use super::Server;

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
        let transport = AsyncRwTransport::new_server(reader, writer)
            .with_max_line_length(self.hub.offer().info.max_message);
        let session = match serve_server_with_ct(self.session(), transport, stop).await {
            Ok(session) => session,
            // A client that goes before it said anything is no error.
            Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => {
                return Ok(());
            }
            Err(error) => {
                return Err(StdioError::NoClient {
                    message: error.to_string(),
                });
            }
        };
        let ended = session.waiting().await;
        ended.map(drop).map_err(|error| StdioError::Ended {
            message: error.to_string(),
        })
    }
}
