//! Connections of guests: to the addresses that were checked, and to no others.

use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::lookup::may_be;
use crate::permissions::address::special;

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// An address is of that kind: none of the public internet, or none of this machine.
    Special(SocketAddr, &'static str),
    /// The name has no address.
    Name(io::Error),
    /// None of the addresses answered.
    Connect(io::Error),
    /// Whoever answered is not who it should be, or no TLS was agreed on.
    Tls(io::Error),
}

/// Both halves of a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to the first address of `host` that answers. Unless `any_address`, all must be public:
/// a name that also stands for others is up to no good, or not ours to reach. Those of `localhost` are on loopback.
pub(super) async fn connect(
    host: &Host<String>,
    port: u16,
    any_address: bool,
) -> Result<TcpStream, NoConnection> {
    let addresses: Vec<SocketAddr> = match host {
        Host::Ipv4(address) => vec![(*address, port).into()],
        Host::Ipv6(address) => vec![(*address, port).into()],
        Host::Domain(name) => {
            let found = tokio::net::lookup_host((&**name, port)).await;
            found.map_err(NoConnection::Name)?.collect()
        }
    };
    for address in &addresses {
        let kind = match host {
            Host::Domain(name) if !may_be(name, address.ip()) => Some("remote"),
            _ if any_address => None,
            _ => special(address.ip()),
        };
        if let Some(kind) = kind {
            return Err(NoConnection::Special(*address, kind));
        }
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name resolves to no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // A request is written whole; waiting for more of it only costs time.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(NoConnection::Connect(last))
}

/// Speaks TLS to `host`, whose certificate is verified.
pub(super) async fn encrypt(
    stream: TcpStream,
    host: &Host<String>,
) -> Result<impl Stream + use<>, NoConnection> {
    let name = match host {
        Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|error| NoConnection::Tls(io::Error::other(error)))?,
    };
    // The first time it reads files.
    let config = tokio::task::spawn_blocking(crate::tls::config).await;
    let config = config.map_err(|error| NoConnection::Tls(error.into()))?;
    let config = config.map_err(|error| NoConnection::Tls(io::Error::other(error)))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(NoConnection::Tls)
}
