//~ Vec<u8>` cannot be the arguments of a tool or prompt

use toolhost_plugin::{plugin, tool};

/// Counts.
#[tool]
fn count(bytes: Vec<u8>) -> String {
    bytes.len().to_string()
}

plugin!(count);

fn main() {}
