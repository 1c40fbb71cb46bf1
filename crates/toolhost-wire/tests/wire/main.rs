//! The wire formats through the library's interface; the tests of `toolhost` hold its binary to them too.

mod detect;
mod ends;
mod fit;
mod foreign;
mod kept;
mod partial_args;
mod pieces;
mod request;
mod roundtrip;
mod shapes;
mod stream;
mod twice;

use toolhost_testing as common;
