//! Where a request came from.

use std::net::IpAddr;

/// Where a request came from, in its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);
