//! Requests of a call, over the connection that it began with.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{ClientRequest, CustomRequest, ErrorData, ServerResult};
use rmcp::service::{PeerRequestOptions, RequestHandle};
use rmcp::{RoleClient, ServiceError};
use serde_json::Value;

use super::answer::bounded_failure;
use super::connection::{Connection, shown};
use super::settings::Settings;
use super::tap::Running;
use super::{reading, stdio};
use crate::error::CallError;
use crate::provider::output_limit;

/// How long is waited for an answer that does not matter.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Asking {
    pub(super) settings: Arc<Settings>,
    pub(super) connection: Arc<Connection>,
}

impl Asking {
    /// The result of a request, as the server wrote it.
    ///
    /// # Errors
    ///
    /// The server's, or why it cannot be asked.
    pub(super) async fn request(
        &self,
        method: &str,
        params: Value,
        running: &Running,
    ) -> Result<String, CallError> {
        match self.send(method, params, Some(running)).await {
            Ok(result) => reading::raw(result)
                .ok_or_else(|| CallError::internal("an answer was not read as text")),
            Err(error) => Err(self.failure(error).await),
        }
    }

    /// A request whose answer does not matter.
    pub(super) async fn tell(&self, method: &str, params: Value) {
        let _ = tokio::time::timeout(PATIENCE, self.send(method, params, None)).await;
    }

    async fn send(
        &self,
        method: &str,
        params: Value,
        running: Option<&Running>,
    ) -> Result<ServerResult, ServiceError> {
        let mut request = CustomRequest::new(method, Some(params));
        if let Some(running) = running {
            request.extensions.insert(running.clone());
        }
        let request = ClientRequest::CustomRequest(request);
        let options = PeerRequestOptions::no_options();
        let peer = self.connection.peer();
        let handle = peer.send_request_with_option(request, options).await?;
        Unanswered(Some(handle)).wait().await
    }

    async fn failure(&self, error: ServiceError) -> CallError {
        let limits = &self.settings.config.limits;
        let name = &self.settings.config.name;
        let message = match error {
            ServiceError::McpError(ErrorData { code, .. }) if code == stdio::TOO_LONG => {
                return output_limit(limits);
            }
            ServiceError::McpError(error) => error.message.into_owned(),
            ServiceError::TransportClosed => {
                let how = self.connection.end().await;
                format!("its MCP server `{name}` {how} before it answered")
            }
            error => match self.connection.trouble() {
                Some(trouble) => format!("its MCP server `{name}` {trouble}"),
                None => format!("its MCP server `{name}` cannot be asked: {}", shown(&error)),
            },
        };
        bounded_failure(message, limits)
    }
}

/// A request that was sent. If it is dropped before its answer comes, the server is told.
struct Unanswered(Option<RequestHandle<RoleClient>>);

impl Unanswered {
    async fn wait(&mut self) -> Result<ServerResult, ServiceError> {
        let Some(handle) = &mut self.0 else {
            return Err(ServiceError::TransportClosed);
        };
        let answer = (&mut handle.rx).await;
        self.0 = None;
        answer.unwrap_or(Err(ServiceError::TransportClosed))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Some(handle) = self.0.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // It waits where the server does not read, for as long as there is a connection.
            runtime.spawn(async move {
                let reason = "nobody waits for it any more".to_owned();
                let _ = handle.cancel(Some(reason)).await;
            });
        }
    }
}
