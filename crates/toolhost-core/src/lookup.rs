//! The addresses of names.
//!
//! `localhost` is this machine, whatever a name server says (RFC 6761, section 6.3): secrets go there without TLS. The
//! C library asks name servers for `x.localhost`, and for `localhost` too where no hosts file has it.

use std::net::IpAddr;

/// Whether a name is this machine's, spelled as in a parsed URL.
pub(crate) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether an address may be one of that name: those of this machine's own names are on loopback.
pub(crate) fn may_be(name: &str, address: IpAddr) -> bool {
    !is_localhost(name) || address.to_canonical().is_loopback()
}

/// The addresses of a name for requests of our own, looked up once.
///
/// # Errors
///
/// There are none, or one of them may not be.
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
