//! The wire formats, as seen from outside: the library's interface, and the binary.

mod bfcl;
mod detect;
mod fit;
mod names;
mod request;
mod roundtrip;
mod shapes;
mod sse;
mod stream;
mod whole;
