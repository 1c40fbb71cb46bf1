//! One connection: its handshake, its requests, and when it ends.

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

use super::front::{Site, State};
use super::gate::{Answers, MAX_STREAMS};
use super::peer::Peer;
use super::sending::Sending;
use super::slots::Slot;
use super::slots::activity::{Activity, Received, Watched};

/// How long a connection that has nothing to do may stay once the server drains: who sends a request
/// just then is told so, and does not have to guess.
const LINGER: Duration = Duration::from_secs(2);

/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// The headers of a request.
const MAX_HEADERS: usize = 100;

/// What they may be long together, and what is read ahead.
const MAX_HEAD: u32 = 64 << 10;

/// Requests of HTTP/2 that a client takes back before they are looked at.
const MAX_RESETS: usize = 20;

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) slot: Slot,
    pub(super) site: Arc<Site>,
    /// As the configuration was when it was accepted.
    pub(super) state: Arc<State>,
}

impl Connection {
    pub(super) async fn run(self, stream: impl Stream) {
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

    async fn serve(&self, stream: impl Stream) {
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

    async fn speak(&self, stream: impl Stream) {
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
                let farewell = tokio::time::timeout(FAREWELL, connection).await;
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
        // Whoever was idle before is so for a little longer.
        tokio::time::sleep(LINGER.min(idle)).await;
        activity.expired(head.min(LINGER), idle.min(LINGER)).await;
    }
}

/// A future that is polled when it was woken, and not whenever one beside it was.
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
    // It runs from now on, whenever that is looked at.
    let running = activity.begin(request.version());
    let is_multiplexed = request.version() == Version::HTTP_2;
    let mut request = request.map(|body| {
        Body::new(Received {
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
