//! The wire formats, as seen from outside: the library's interface, and the binary.

mod back;
mod bfcl;
mod detect;
mod foreign;
mod names;
mod ollama;
mod request;
mod roundtrip;
mod shapes;
mod sse;
mod stream;
mod whole;
