//! The HTTP front: accepts connections, bounds what each may use, and admits to `/mcp` the clients
//! named in `[serve]`.
//!
//! A request passes these checks in order: host and origin ([`names`]), whether the server is
//! draining, authentication ([`auth`]), rate ([`rate`]), and its body ([`body`]), once there is
//! room for it ([`bodies`]). Response bytes that a client has not read are counted ([`sending`],
//! [`unsent`]). The router behind the front belongs to others.

mod accept;
mod auth;
mod bodies;
mod body;
mod connection;
mod cors;
mod error;
mod failures;
mod front;
mod gate;
mod jwks;
mod jwt;
mod lifecycle;
mod metadata;
mod names;
mod peer;
mod principal;
mod rate;
mod refuse;
mod sending;
mod signature;
mod slots;
mod tls;
mod token;
mod unsent;
mod validity;

#[cfg(test)]
mod tests;

pub use accept::Listener;
pub(crate) use accept::accept;
pub(crate) use bodies::{BodyRoom, Short};
pub(crate) use error::FrontError;
pub(crate) use front::{Front, Site};
pub(crate) use lifecycle::Lifecycle;
pub(crate) use principal::Principal;
pub(crate) use slots::activity::TrackedBody;
pub(crate) use unsent::UnreadBytes;
