//! Places in order that calls take as their message is read, ahead of rmcp, which begins each request in a
//! task of its own. Over stdio that is between the transport and rmcp.

use rmcp::RoleServer;
use rmcp::model::{ClientRequest, GetMeta, JsonRpcMessage, ProtocolVersion};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

use crate::server::dispatch::{self, ArrivedCall};
use crate::server::handler::ClientSession;

pub(crate) struct OrderedTransport<T> {
    transport: T,
    session: ClientSession,
    has_begun: bool,
}

impl<T> OrderedTransport<T> {
    pub(crate) fn new(transport: T, session: ClientSession) -> OrderedTransport<T> {
        OrderedTransport {
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

impl<T: Transport<RoleServer>> Transport<RoleServer> for OrderedTransport<T> {
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
            tracing::debug!("skipped a message before the first request");
        };
        if let JsonRpcMessage::Request(request) = &mut message
            && let ClientRequest::CallToolRequest(call) = &mut request.request
        {
            let read = || dispatch::as_read(&call.params, &request.id);
            let called = call.extensions.remove().unwrap_or_else(read);
            let places = self.session.places(&called, None);
            call.extensions.insert(ArrivedCall::new(called, places));
        }
        Some(message)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.transport.close()
    }
}
