//! Places in order that calls take as their message is read, ahead of rmcp, which begins each request in a
//! task of its own. Over stdio that is between the transport and rmcp, where an `initialize` gets what it
//! lacks, too.

use rmcp::RoleServer;
use rmcp::model::{ClientRequest, GetMeta, JsonRpcMessage, ProtocolVersion};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

use super::found::{Arrived, written};
use super::handler::Session;
use super::initializing;
use crate::tool::ToolCall;

pub(super) struct Arriving<T> {
    transport: T,
    session: Session,
    has_begun: bool,
}

impl<T> Arriving<T> {
    pub(super) fn new(transport: T, session: Session) -> Arriving<T> {
        Arriving {
            transport,
            session,
            has_begun: false,
        }
    }
}

/// Whether a message begins what its client wants of the server. One that asks which versions there are, and
/// gives up or goes on as it likes, has not begun.
fn begins(message: &RxJsonRpcMessage<RoleServer>) -> bool {
    let JsonRpcMessage::Request(request) = message else {
        return false;
    };
    match &request.request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::DiscoverRequest(_) => false,
        request => {
            let meta = request.get_meta();
            let missing = meta.missing_required_keys(&ProtocolVersion::V_2026_07_28);
            let version = meta.protocol_version();
            let is_known = |version| ProtocolVersion::KNOWN_VERSIONS.contains(&version);
            missing.is_empty() && version.is_some_and(is_known)
        }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Arriving<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), T::Error>> + Send + 'static {
        self.transport.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        let mut message = loop {
            let message = self.transport.receive().await?;
            self.has_begun |= begins(&message);
            // rmcp takes anything but a request for the end of a client that has not begun.
            if self.has_begun || matches!(message, JsonRpcMessage::Request(_)) {
                break message;
            }
            tracing::debug!("a message ahead of the first request was left out");
        };
        if let JsonRpcMessage::Request(request) = &mut message {
            if let Some(filled) = initializing::filled(&request.request) {
                request.request = filled;
            }
            initializing::reduce(&mut request.request);
            if let ClientRequest::CallToolRequest(call) = &mut request.request {
                let arguments = written(&call.params.arguments, &call.extensions);
                let asked = ToolCall::new(request.id.to_string(), &*call.params.name, arguments);
                let places = self.session.places(&asked, None);
                call.extensions.insert(Arrived::new(places));
            }
        }
        Some(message)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.transport.close()
    }
}
