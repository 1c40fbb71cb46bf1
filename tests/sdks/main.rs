//! Plugins in every language, from `toolhost new` to a call, with the real compilers: `cargo xtask sdks` runs these tests
//! and has what they need.

mod broken;
mod documents;
mod plugin;

use toolhost_testing as common;
