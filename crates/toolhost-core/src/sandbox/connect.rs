//! Connections of guests, to the addresses that were checked and no others.

use std::io;
use std::net::SocketAddr;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::name_resolution::may_be;
use crate::permissions::special_addresses::special;

/// Why a connection failed.
#[derive(Debug)]
pub(super) enum NoConnection {
    /// An address of this kind: not public, or not of this machine.
    Special(SocketAddr, &'static str),
    /// The name does not resolve.
    Name(io::Error),
    /// No address accepts connections.
    Connect(io::Error),
    /// The TLS handshake failed, or the certificate is not valid.
    Tls(io::Error),
}

/// A bidirectional connection.
pub(super) trait GuestConnection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> GuestConnection for T {}

/// Connects to the first address of `host` that accepts. Unless `any_address`, all addresses must
/// be public: a name with a mix of both is suspicious. Those of `localhost` must be loopback.
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
                // Requests are written whole, so delaying segments only costs time.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(NoConnection::Connect(last))
}

/// Does a TLS handshake with `host`, whose certificate is verified.
pub(super) async fn encrypt(
    stream: TcpStream,
    host: &Host<String>,
) -> Result<impl GuestConnection + use<>, NoConnection> {
    let name = match host {
        Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(*address)),
        Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
        Host::Domain(name) => ServerName::try_from(name.clone())
            .map_err(|error| NoConnection::Tls(io::Error::other(error)))?,
    };
    // The first call reads files.
    let config = tokio::task::spawn_blocking(crate::tls::config).await;
    let config = config.map_err(|error| NoConnection::Tls(error.into()))?;
    let config = config.map_err(|error| NoConnection::Tls(io::Error::other(error)))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(NoConnection::Tls)
}
