//! The wire formats, as seen from outside: the library's interface, and the binary.

mod back;
mod bfcl;
mod detect;
mod ends;
mod fit;
mod foreign;
mod kept;
mod names;
mod ollama;
mod partial_args;
mod pieces;
mod reported;
mod request;
mod roundtrip;
mod shapes;
mod sse;
mod stream;
mod twice;
mod unknown;
mod unread;
mod void;
mod whole;
