//! What we are to a server: who we say that we are, what we answer to its requests, and how we hear of its
//! changes.

use std::sync::Arc;

use rmcp::model::{
    ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
    Implementation, ProtocolVersion, SubscriptionFilter,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, ErrorData, Peer, RoleClient};
use serde_json::Value;
use tokio::sync::Notify;

use super::tap::Calls;
use crate::manifest::McpProtocol;
use crate::tool::LogSource;

/// The longest text of a question that is logged, in characters.
const MAX_QUESTION: usize = 1000;

/// A client that can be asked nothing.
pub(super) struct Client {
    pub(super) protocol: McpProtocol,
    pub(super) calls: Calls,
    pub(super) changed: Arc<Notify>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let toolhost = Implementation::new("toolhost", env!("CARGO_PKG_VERSION"));
        // Where tasks are an extension, servers make them only for clients that say they know it.
        let capabilities = match self.protocol {
            McpProtocol::V2026_07_28 => ClientCapabilities::builder().enable_tasks().build(),
            _ => ClientCapabilities::default(),
        };
        let mut config = ClientConfig::new(capabilities, toolhost);
        let mut known = ProtocolVersion::KNOWN_VERSIONS.iter();
        let version = known.find(|known| known.as_str() == self.protocol.as_str());
        config.protocol_version = version.cloned().unwrap_or_default();
        config
    }

    /// The answer is quick and clear, and the call's log says of it.
    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let asked = serde_json::to_value(&request).unwrap_or_default();
        let asked = asked
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let asked: String = asked.chars().take(MAX_QUESTION).collect();
        let line = format!("declined what it asks of the user, as nobody can be asked: {asked}");
        self.calls.say(LogSource::Warning, line);
        Ok(ElicitResult::new(ElicitationAction::Decline))
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

/// Hears of changes where a server tells of them only when it is asked to.
pub(super) async fn listen(peer: Peer<RoleClient>, changed: Arc<Notify>) {
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
