//! The part of the server that faces the network: it accepts connections, bounds what each may take,
//! and lets through to `/mcp` whom the manifest's `[serve]` names.
//!
//! A request passes, in this order: what it calls the server and where its page is from ([`names`]),
//! whether the server takes any, who sent it ([`auth`]), how often ([`rate`]), and its body ([`body`]), once there is
//! room for it ([`bodies`]). What a client does not take of its answers is counted ([`sending`], [`unsent`]).
//! What answers it behind all that is somebody else's router.

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
pub(crate) use bodies::{Room, Short};
pub(crate) use error::FrontError;
pub(crate) use front::{Front, Site};
pub(crate) use lifecycle::Lifecycle;
pub(crate) use principal::Principal;
pub(crate) use slots::activity::Response;
pub(crate) use unsent::Unsent;
