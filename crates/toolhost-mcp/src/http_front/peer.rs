//! [`Peer`]: the address a request came from.

use std::net::IpAddr;

/// The address a request came from, in its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);
