//! Requests of a call, over the connection that it began with.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    ClientRequest, CustomRequest, ErrorCode, ErrorData, RequestMetaObject, ServerResult,
};
use rmcp::service::{PeerRequestOptions, RequestHandle};
use rmcp::{RoleClient, ServiceError};
use serde_json::Value;

use super::answer::bounded_failure;
use super::connection::{Connection, shown};
use super::encode::Written;
use super::questions::{Questions, pages};
use super::running::Running;
use super::settings::Settings;
use super::{reading, stdio};
use crate::error::CallError;
use crate::provider::output_limit;

/// How long is waited for an answer that does not matter.
const PATIENCE: Duration = Duration::from_secs(5);

/// The error of a call before which pages have to be visited.
const PAGES_REQUIRED: ErrorCode = ErrorCode(-32_042);

#[derive(Clone)]
pub(super) struct Asking {
    pub(super) settings: Arc<Settings>,
    pub(super) connection: Arc<Connection>,
}

/// What a call of a tool is answered with.
pub(super) enum Answered {
    Result(String),
    /// It can be made once these are visited.
    Pages {
        message: String,
        pages: Questions,
    },
}

impl Asking {
    /// A call of a tool, with members of its parameters as they were written.
    ///
    /// # Errors
    ///
    /// The server's, or why it cannot be asked.
    pub(super) async fn call(
        &self,
        params: Value,
        written: Written,
        running: &Running,
    ) -> Result<Answered, CallError> {
        let sent = self.send("tools/call", params, written, Some(running));
        match sent.await {
            Ok(result) => raw(result).map(Answered::Result),
            Err(ServiceError::McpError(error)) if error.code == PAGES_REQUIRED => {
                match error.data.as_ref().and_then(pages) {
                    Some(pages) => Ok(Answered::Pages {
                        message: error.message.into_owned(),
                        pages,
                    }),
                    None => Err(self.failure(ServiceError::McpError(error)).await),
                }
            }
            Err(error) => Err(self.failure(error).await),
        }
    }

    /// The result of another request, as the server wrote it.
    ///
    /// # Errors
    ///
    /// As of [`call`](Asking::call).
    pub(super) async fn request(
        &self,
        method: &str,
        params: Value,
        written: Written,
        running: &Running,
    ) -> Result<String, CallError> {
        match self.send(method, params, written, Some(running)).await {
            Ok(result) => raw(result),
            Err(error) => Err(self.failure(error).await),
        }
    }

    /// A request whose answer does not matter.
    pub(super) async fn tell(&self, method: &str, params: Value) {
        let sent = self.send(method, params, Written::default(), None);
        let _ = tokio::time::timeout(PATIENCE, sent).await;
    }

    async fn send(
        &self,
        method: &str,
        params: Value,
        written: Written,
        running: Option<&Running>,
    ) -> Result<ServerResult, ServiceError> {
        let mut request = CustomRequest::new(method, Some(params));
        if !written.0.is_empty() {
            request.extensions.insert(written);
        }
        let mut options = PeerRequestOptions::no_options();
        if let Some(running) = running {
            request.extensions.insert(running.clone());
            // Where each request says it, it is what this call's maker can be asked.
            if let Some(capabilities) = self.connection.capabilities(running.can_ask()) {
                let mut meta = RequestMetaObject::new();
                meta.set_client_capabilities(capabilities);
                options = options.with_meta(meta);
            }
        }
        let request = ClientRequest::CustomRequest(request);
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
                None => format!(
                    "its MCP server `{name}` cannot be reached: {}",
                    shown(&error, &self.settings.mask)
                ),
            },
        };
        bounded_failure(message, limits)
    }
}

fn raw(result: ServerResult) -> Result<String, CallError> {
    reading::raw(result).ok_or_else(|| CallError::internal("an answer was not read as text"))
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
