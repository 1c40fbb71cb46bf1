//! Name resolution.
//!
//! `localhost` is this machine, whatever a name server says (RFC 6761, section 6.3): secrets go
//! there without TLS. The C library asks name servers for `x.localhost`, and for `localhost` too if
//! no hosts file has it.

use std::net::IpAddr;

/// Whether a name means this machine, spelled as in a parsed URL.
pub(crate) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether a name may resolve to this address: names of this machine must resolve to loopback.
pub(crate) fn may_be(name: &str, address: IpAddr) -> bool {
    !is_localhost(name) || address.to_canonical().is_loopback()
}

/// Resolves a name once, for requests of the host itself.
///
/// # Errors
///
/// There is no address, or one of them is not allowed.
#[cfg(feature = "http-client")]
pub(crate) async fn addresses(name: &str) -> std::io::Result<Vec<std::net::SocketAddr>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    let found: Vec<_> = found.collect();
    match found.iter().find(|it| !may_be(name, it.ip())) {
        None => Ok(found),
        Some(address) => Err(std::io::Error::other(format!(
            "`{name}` resolves to {}, which is not this machine",
            address.ip()
        ))),
    }
}
