//! TLS for servers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A connection that says when it ends.
pub struct Tls(StreamOwned<ServerConnection, TcpStream>);

/// What puts TLS over each connection: see [`Server::behind`](super::Server::behind).
pub fn wrap(
    config: Arc<ServerConfig>,
) -> impl Fn(TcpStream) -> io::Result<Tls> + Send + Sync + 'static {
    move |stream| {
        let connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
        Ok(Tls(StreamOwned::new(connection, stream)))
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }
}
