//! The HTTP front: accepts connections, bounds what each may use, and admits to `/mcp` the clients
//! named in `[serve]`.
//!
//! A request passes these checks in order: host and origin ([`host_and_origin`]), whether the server is
//! draining, authentication ([`auth`]), rate ([`request_rate_limit`]), and its body ([`body`]), once there is
//! room for it ([`body_memory`]). Response bytes that a client has not read are counted ([`response_body`],
//! [`unread_bytes`]). The router behind the front belongs to others.

mod accept;
mod admission;
mod auth;
mod auth_rate_limit;
mod body;
mod body_memory;
mod certificate_validity;
mod connection;
mod connection_limit;
mod cors;
mod error;
mod front;
mod host_and_origin;
mod jwks;
mod jwt;
mod lifecycle;
mod peer;
mod principal;
mod refuse;
mod request_rate_limit;
mod resource_metadata;
mod response_body;
mod signature;
mod tls;
mod token_table;
mod unread_bytes;

#[cfg(test)]
mod tests;

pub use accept::Listener;
pub(crate) use accept::accept;
pub(crate) use body_memory::{BodyRoom, Short};
pub(crate) use connection_limit::activity::TrackedBody;
pub(crate) use error::FrontError;
pub(crate) use front::{Front, Site};
pub(crate) use lifecycle::Lifecycle;
pub(crate) use principal::Principal;
pub(crate) use unread_bytes::UnreadBytes;
