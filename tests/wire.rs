//! The wire formats as the binary meets them; what needs only the library is in crates/toolhost-wire/tests/wire.

mod back;
mod bfcl;
mod fit;
mod foreign;
mod names;
mod ollama;
mod reported;
mod sse;
mod twice;
mod unknown;
mod unread;
mod void;
mod whole;
