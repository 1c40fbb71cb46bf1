//! The requests of a call, over the connection that it began on.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    ClientRequest, CustomRequest, ErrorCode, ErrorData, RequestMetaObject, ServerResult,
};
use rmcp::service::{PeerRequestOptions, RequestHandle};
use rmcp::{RoleClient, ServiceError};
use serde_json::Value;

use super::call_result::bounded_failure;
use super::connection::{Connection, error_text};
use super::encode::Written;
use super::questions::{Questions, pages};
use super::running_call::RunningCall;
use super::settings::Settings;
use super::{message_reader, stdio};
use toolhost_core::error::CallError;
use toolhost_core::provider::output_limit;

/// How long to wait for a response that does not matter.
const BEST_EFFORT_TIMEOUT: Duration = Duration::from_secs(5);

/// The error of a call that requires pages to be visited.
const PAGES_REQUIRED: ErrorCode = ErrorCode(-32_042);

#[derive(Clone)]
pub(super) struct CallRequests {
    pub(super) settings: Arc<Settings>,
    pub(super) connection: Arc<Connection>,
}

/// The response to a `tools/call`.
pub(super) enum CallResponse {
    Result(String),
    /// The call can be made once these are visited.
    Pages {
        message: String,
        pages: Questions,
    },
}

impl CallRequests {
    /// Sends a `tools/call`, with members of its parameters as they were written.
    ///
    /// # Errors
    ///
    /// The server's, or why it cannot be reached.
    pub(super) async fn call(
        &self,
        params: Value,
        written: Written,
        running: &RunningCall,
    ) -> Result<CallResponse, CallError> {
        let sent = self.send("tools/call", params, written, Some(running));
        match sent.await {
            Ok(result) => raw(result).map(CallResponse::Result),
            Err(ServiceError::McpError(error)) if error.code == PAGES_REQUIRED => {
                match error.data.as_ref().and_then(pages) {
                    Some(pages) => Ok(CallResponse::Pages {
                        message: error.message.into_owned(),
                        pages,
                    }),
                    None => Err(self.failure(ServiceError::McpError(error)).await),
                }
            }
            Err(error) => Err(self.failure(error).await),
        }
    }

    /// Sends another request. Returns the result as the server wrote it.
    ///
    /// # Errors
    ///
    /// As for [`call`](CallRequests::call).
    pub(super) async fn request(
        &self,
        method: &str,
        params: Value,
        written: Written,
        running: &RunningCall,
    ) -> Result<String, CallError> {
        match self.send(method, params, written, Some(running)).await {
            Ok(result) => raw(result),
            Err(error) => Err(self.failure(error).await),
        }
    }

    /// Sends a request whose response does not matter.
    pub(super) async fn send_best_effort(&self, method: &str, params: Value) {
        let sent = self.send(method, params, Written::default(), None);
        let _ = tokio::time::timeout(BEST_EFFORT_TIMEOUT, sent).await;
    }

    async fn send(
        &self,
        method: &str,
        params: Value,
        written: Written,
        running: Option<&RunningCall>,
    ) -> Result<ServerResult, ServiceError> {
        let mut request = CustomRequest::new(method, Some(params));
        if !written.0.is_empty() {
            request.extensions.insert(written);
        }
        let mut options = PeerRequestOptions::no_options();
        if let Some(running) = running {
            request.extensions.insert(running.clone());
            // In protocol versions with capabilities in each request, those of this call's client.
            if let Some(capabilities) = self.connection.capabilities(running.can_ask()) {
                let mut meta = RequestMetaObject::new();
                meta.set_client_capabilities(capabilities);
                options = options.with_meta(meta);
            }
        }
        let request = ClientRequest::CustomRequest(request);
        let peer = self.connection.peer();
        let handle = peer.send_request_with_option(request, options).await?;
        InFlight(Some(handle)).wait().await
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
                None => format!(
                    "its MCP server `{name}` cannot be reached: {}",
                    error_text(&error, &self.settings.mask)
                ),
            },
        };
        bounded_failure(message, limits)
    }
}

fn raw(result: ServerResult) -> Result<String, CallError> {
    message_reader::raw(result).ok_or_else(|| CallError::internal("an answer was not read as text"))
}

/// A request that was sent. Dropping it before the response cancels it on the server.
struct InFlight(Option<RequestHandle<RoleClient>>);

impl InFlight {
    async fn wait(&mut self) -> Result<ServerResult, ServiceError> {
        let Some(handle) = &mut self.0 else {
            return Err(ServiceError::TransportClosed);
        };
        let answer = (&mut handle.rx).await;
        self.0 = None;
        answer.unwrap_or(Err(ServiceError::TransportClosed))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let Some(handle) = self.0.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Sending blocks while the server does not read, for as long as the connection lasts.
            runtime.spawn(async move {
                let reason = "nobody waits for it any more".to_owned();
                let _ = handle.cancel(Some(reason)).await;
            });
        }
    }
}
