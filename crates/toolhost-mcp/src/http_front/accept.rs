//! Takes connections in, until the server drains, and sees them to their end.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::warn;

use super::connection::Connection;
use super::front::Site;
use super::peer::Peer;
use super::slots::Slots;

/// How long to wait for a descriptor.
const BREATH: Duration = Duration::from_millis(50);

/// Where a server takes its connections from: a TCP socket, or anything else that has streams of bytes.
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The address that clients connect to; `None` where no network leads to it. It decides whether a server
    /// may be without authentication.
    ///
    /// # Errors
    ///
    /// It is not known.
    fn address(&self) -> io::Result<Option<SocketAddr>>;

    /// The next connection, and its client's address, by which rates are counted. May be cancelled.
    ///
    /// # Errors
    ///
    /// There is none to be had; the server calls this again.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, IpAddr)>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    fn address(&self) -> io::Result<Option<SocketAddr>> {
        self.local_addr().map(Some)
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, address) = TcpListener::accept(self).await?;
        // What is written is whole messages: waiting for more of them delays the last.
        if let Err(error) = stream.set_nodelay(true) {
            warn!("no TCP_NODELAY: {error}");
        }
        Ok((stream, address.ip()))
    }
}

/// Returns when all connections are over, or the server stops.
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
        let connection = Connection {
            peer,
            slot,
            site: Arc::clone(&site),
            state: shared.state(),
        };
        connections.spawn(connection.run(stream));
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    // Each sees for itself that the server drains, and ends at once when it stops.
    while connections.join_next().await.is_some() {}
}

/// The next connection, however often there is none to be had.
async fn take<L: Listener>(listener: &mut L, slots: &Arc<Slots>) -> (L::Stream, IpAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client's doing.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => {
                // Most likely there are no descriptors left: whoever does nothing gives up one.
                warn!("cannot accept a connection: {error}");
                slots.make_room();
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_front::unsent::Unsent;

    #[tokio::test]
    async fn no_message_waits_for_the_next() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let slots = Arc::new(Slots::new(1, Unsent::default()));
        let (accepted, client) = tokio::join!(take(&mut listener, &slots), client);
        assert!(accepted.0.nodelay().unwrap());
        assert!(
            !client.unwrap().nodelay().unwrap(),
            "it is not so by itself"
        );
    }
}
