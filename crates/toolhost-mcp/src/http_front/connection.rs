//! Serves one connection: handshake, requests, and its end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::admission::{Answers, MAX_STREAMS};
use super::connection_limit::ConnectionPermit;
use super::connection_limit::activity::{Activity, RequestBody, Watched};
use super::front::{FrontState, Site};
use super::peer::Peer;
use super::response_body::Sending;

/// How long an idle connection may stay while the server drains: a request that is just being sent
/// then gets an answer instead of a closed connection.
const DRAIN_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long closing a connection may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The most headers of a request.
const MAX_HEADERS: usize = 100;

/// The longest head of a request, and the read buffer.
const MAX_HEAD: u32 = 64 << 10;

/// The most HTTP/2 requests that a client may reset before they are handled.
const MAX_RESETS: usize = 20;

/// A connection's byte stream.
pub(super) trait ConnectionStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ConnectionStream for S {}

pub(super) struct HttpConnection {
    pub(super) peer: Peer,
    pub(super) slot: ConnectionPermit,
    pub(super) site: Arc<Site>,
    /// The configuration when it was accepted.
    pub(super) state: Arc<FrontState>,
}

impl HttpConnection {
    pub(super) async fn run(self, stream: impl ConnectionStream) {
        let (stop, evicted) = (
            self.site.lifecycle.stop.clone(),
            self.slot.activity.evicted.clone(),
        );
        let ended = aside(async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = evicted.cancelled() => debug!("closed an idle connection to make room"),
            }
        });
        tokio::select! {
            biased;
            () = self.serve(stream) => {}
            () = ended => {}
        }
    }

    async fn serve(&self, stream: impl ConnectionStream) {
        let Some(tls) = &self.state.tls else {
            return self.speak(stream).await;
        };
        let patience = self.state.config.header_timeout;
        match tokio::time::timeout(patience, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => debug!("TLS handshake with {} failed: {error}", self.peer.0),
            Err(_) => debug!("TLS handshake with {} timed out", self.peer.0),
        }
    }

    async fn speak(&self, stream: impl ConnectionStream) {
        let activity = &self.slot.activity;
        let stream = TokioIo::new(Watched {
            stream,
            activity: Arc::clone(activity),
            is_blocked: false,
        });
        let answers = Answers::new((self.site.longest_answer)());
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD as usize);
        builder
            .http2()
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_header_list_size(MAX_HEAD);
        let (site, peer) = (&self.site, self.peer);
        let service = hyper::service::service_fn(|request| {
            respond(Arc::clone(site), peer, &answers, activity, request)
        });
        let mut connection = pin!(builder.serve_connection(stream, service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = aside(self.expired(activity)) => {
                connection.as_mut().graceful_shutdown();
                let farewell = tokio::time::timeout(SHUTDOWN_TIMEOUT, connection).await;
                farewell.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!("connection from {}: {error}", self.peer.0);
        }
    }

    async fn expired(&self, activity: &Activity) {
        let config = &self.state.config;
        let (head, idle) = (config.header_timeout, config.idle_timeout);
        tokio::select! {
            () = activity.expired(head, idle) => return,
            () = self.site.lifecycle.drain.cancelled() => {}
        }
        // A connection that was idle before stays a little longer.
        tokio::time::sleep(DRAIN_IDLE_TIMEOUT.min(idle)).await;
        activity
            .expired(head.min(DRAIN_IDLE_TIMEOUT), idle.min(DRAIN_IDLE_TIMEOUT))
            .await;
    }
}

/// Polls a future only when it was woken itself, not when a sibling was.
async fn aside(future: impl Future<Output = ()>) {
    let mut alone: FuturesUnordered<_> = [future].into_iter().collect();
    alone.next().await;
}

fn respond(
    site: Arc<Site>,
    peer: Peer,
    answers: &Answers,
    activity: &Arc<Activity>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<http::Response<Sending>, Infallible>> + use<> {
    // The request counts as running from now on, whenever the future is polled.
    let running = activity.begin(request.version());
    let is_multiplexed = request.version() == Version::HTTP_2;
    let mut request = request.map(|body| {
        Body::new(RequestBody {
            body,
            number: running.number(),
            activity: Arc::clone(running.activity()),
            is_waited_for: false,
        })
    });
    request.extensions_mut().insert(peer);
    if is_multiplexed {
        request.extensions_mut().insert(answers.clone());
    }
    async move {
        let response = site.respond(request).await;
        Ok(response.map(|body| Sending::new(body, running)))
    }
}
