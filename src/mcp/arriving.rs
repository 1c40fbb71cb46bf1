//! Stands between a transport and rmcp, which begins each request in a task of its own: a call takes its
//! place in order here, as its message is read, and an `initialize` gets what it lacks.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{ClientRequest, JsonRpcMessage};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;

use super::handler::Session;
use super::initializing;
use crate::order::Place;

/// The place of a call, for whoever takes it first.
#[derive(Clone)]
pub(super) struct Arrived(Arc<Mutex<Option<Place>>>);

impl Arrived {
    pub(super) fn take(&self) -> Option<Place> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place.take()
    }
}

pub(super) struct Arriving<T> {
    pub(super) transport: T,
    pub(super) session: Session,
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
        let mut message = self.transport.receive().await?;
        if let JsonRpcMessage::Request(request) = &mut message
            && let Some(filled) = initializing::filled(&request.request)
        {
            request.request = filled;
        }
        if let JsonRpcMessage::Request(request) = &mut message
            && let ClientRequest::CallToolRequest(call) = &mut request.request
            && let Some(place) = self.session.place(&request.id, &call.params.name)
        {
            let arrived = Arrived(Arc::new(Mutex::new(Some(place))));
            call.extensions.insert(arrived);
        }
        Some(message)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), T::Error>> + Send {
        self.transport.close()
    }
}
