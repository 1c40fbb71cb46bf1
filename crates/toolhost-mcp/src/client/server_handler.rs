//! Handles a server's requests and notifications: client info and capabilities, questions, list
//! changes.

use std::sync::{Arc, Once};

use rmcp::model::{
    ClientConfig, CustomRequest, CustomResult, ErrorCode, Implementation, ProtocolVersion,
    SubscriptionFilter,
};
use rmcp::service::{InboundStreamOrigin, NotificationContext, RequestContext};
use rmcp::{ClientHandler, ErrorData, Peer, RoleClient};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::call_messages::ConnectionCalls;
use super::questions::{self, OURS};
use toolhost_core::input::{Question, QuestionKinds};
use toolhost_core::manifest::McpProtocol;
use toolhost_core::tool::LogSource;

/// The error that tells a server that nobody answered.
const REJECTED: ErrorCode = ErrorCode(-1);

pub(super) struct ServerHandler {
    /// The server's name in the manifest.
    pub(super) name: String,
    pub(super) protocol: McpProtocol,
    /// The kinds of questions that the server is told it may ask.
    pub(super) may_ask: QuestionKinds,
    pub(super) calls: ConnectionCalls,
    pub(super) changed: Arc<Notify>,
    /// Whether it was reported that the server asks outside any call.
    pub(super) warned: Once,
}

impl ServerHandler {
    /// Answers a question of the server.
    async fn answer(&self, method: &str, params: &str, context: &ServerContext) -> QuestionAnswer {
        let question = questions::question(method, params);
        let question = question.map_err(|why| ErrorData::invalid_params(why, None))?;
        let task = questions::related_task(params);
        let origin = context.extensions.get::<InboundStreamOrigin>();
        let Some(running) = self.calls.asking(task.as_deref(), origin) else {
            // It may ask for roots without end.
            if !matches!(question, Question::Roots) {
                let name = &self.name;
                self.warned.call_once(|| {
                    tracing::warn!(
                        "refused `{method}` from mcp.{name}: it belongs to no known call"
                    );
                });
            }
            return questions::refused(&question).map_err(rejected);
        };
        let key = "question";
        let asked = vec![(key.to_owned(), question)];
        let answered = context.ct.run_until_cancelled(running.responses(asked));
        let answered = answered
            .await
            .unwrap_or_else(|| Err("it was cancelled".to_owned()));
        if let Err(why) = &answered {
            let line = format!("`{method}` was not answered: {why}");
            running.log(LogSource::Warning, line);
        }
        let response = answered.map(|mut responses| responses.remove(key));
        response
            .map_err(rejected)?
            .ok_or_else(|| rejected("there is no answer".to_owned()))
    }
}

type ServerContext = RequestContext<RoleClient>;

type QuestionAnswer = Result<Box<RawValue>, ErrorData>;

fn rejected(why: String) -> ErrorData {
    ErrorData::new(REJECTED, why, None)
}

impl ClientHandler for ServerHandler {
    fn get_info(&self) -> ClientConfig {
        let toolhost = Implementation::new("toolhost", env!("CARGO_PKG_VERSION"));
        let capabilities = questions::capabilities(self.protocol, self.may_ask);
        let mut config = ClientConfig::new(capabilities, toolhost);
        let mut known = ProtocolVersion::KNOWN_VERSIONS.iter();
        let version = known.find(|known| known.as_str() == self.protocol.as_str());
        config.protocol_version = version.cloned().unwrap_or_default();
        config
    }

    /// The [`Reader`](super::message_reader::MessageReader) turns requests that ask something into these.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: ServerContext,
    ) -> Result<CustomResult, ErrorData> {
        let params = request.params.as_ref().and_then(|it| it.get("params"));
        match (request.method.strip_prefix(OURS), params) {
            (Some(method), Some(Value::String(params))) => {
                let answer = self.answer(method, params, &context).await?;
                Ok(CustomResult(json!(answer.get())))
            }
            _ => Err(ErrorData::new(
                ErrorCode::METHOD_NOT_FOUND,
                request.method,
                None,
            )),
        }
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

/// Subscribes to list changes, for servers that notify only on request.
pub(super) async fn follow_changes(peer: Peer<RoleClient>, changed: Arc<Notify>) {
    let mut filter = SubscriptionFilter::default();
    filter.tools_list_changed = Some(true);
    let subscription = peer.listen(filter).await;
    let Ok(mut subscription) = subscription else {
        return;
    };
    while let Ok(Some(_)) = subscription.next().await {
        changed.notify_one();
    }
}
