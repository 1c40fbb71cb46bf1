//! Accepts connections until the server drains, and waits for their end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::warn;

use super::connection::HttpConnection;
use super::connection_limit::ConnectionLimit;
use super::front::Site;
use super::peer::Peer;

/// How long to wait for a descriptor.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A source of connections: a TCP socket, or anything else with byte streams.
///
/// ```
/// # #[cfg(unix)] mod example {
/// # mod toolhost {
/// #     pub use toolhost_mcp::server as mcp;
/// # }
/// use std::io;
/// use std::net::{IpAddr, Ipv4Addr, SocketAddr};
///
/// use tokio::net::{UnixListener, UnixStream};
/// use toolhost::mcp::Listener;
///
/// /// A socket that only processes of this machine can reach.
/// struct Local(UnixListener);
///
/// impl Listener for Local {
///     type Stream = UnixStream;
///
///     fn address(&self) -> io::Result<Option<SocketAddr>> {
///         Ok(None)
///     }
///
///     async fn accept(&mut self) -> io::Result<(UnixStream, IpAddr)> {
///         let (stream, _) = self.0.accept().await?;
///         Ok((stream, Ipv4Addr::LOCALHOST.into()))
///     }
/// }
/// # }
/// ```
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The address that clients connect to; `None` if no network leads to it. Decides whether a
    /// server may run without authentication.
    ///
    /// # Errors
    ///
    /// It is not known.
    fn address(&self) -> io::Result<Option<SocketAddr>>;

    /// The next connection, and its client's address, by which rates are counted. Must be cancel
    /// safe.
    ///
    /// # Errors
    ///
    /// No connection could be accepted; the server calls this again.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, IpAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn address(&self) -> io::Result<Option<SocketAddr>> {
        self.local_addr().map(Some)
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // Whole messages are written; delaying segments would delay the last one.
        if let Err(error) = stream.set_nodelay(true) {
            warn!("no TCP_NODELAY: {error}");
        }
        Ok((stream, address.ip()))
    }
}

/// Accepts connections; returns when all of them have ended, or the server stops.
pub(crate) async fn accept(mut listener: impl Listener, site: Arc<Site>) {
    let Site {
        shared, lifecycle, ..
    } = &*site;
    let mut connections = JoinSet::new();
    let mut next = async || {
        let (stream, address) = take(&mut listener, &shared.slots).await;
        let slot = shared.slots.take().await;
        (stream, Peer(address.to_canonical()), slot)
    };
    loop {
        let (stream, peer, slot) = tokio::select! {
            biased;
            () = lifecycle.drain.cancelled() => break,
            () = lifecycle.stop.cancelled() => break,
            accepted = next() => accepted,
        };
        let connection = HttpConnection {
            peer,
            slot,
            site: Arc::clone(&site),
            state: shared.state(),
        };
        connections.spawn(connection.run(stream));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    // Each connection notices draining itself, and ends at once at a stop.
    while connections.join_next().await.is_some() {}
}

/// Accepts the next connection, retrying after errors.
async fn take<L: Listener>(listener: &mut L, slots: &Arc<ConnectionLimit>) -> (L::Stream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // Caused by the client.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                // Most likely there are no descriptors left, so an idle connection is closed.
                warn!("cannot accept a connection: {error}");
                slots.make_room();
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_front::unread_bytes::UnreadBytes;

    #[tokio::test]
    async fn no_message_waits_for_the_next() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let slots = Arc::new(ConnectionLimit::new(1, UnreadBytes::default()));
        let (accepted, client) = tokio::join!(take(&mut listener, &slots), client);
        assert!(accepted.0.nodelay().unwrap());
        assert!(
            !client.unwrap().nodelay().unwrap(),
            "it is not so by itself"
        );
    }
}
