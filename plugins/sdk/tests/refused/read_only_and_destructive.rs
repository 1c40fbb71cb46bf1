//~ a tool that is `read_only` changes nothing: it is neither `destructive` nor `additive`

use toolhost_plugin::{plugin, tool};

/// Looks, and deletes.
#[tool(read_only, destructive)]
fn look() {}

plugin!(look);

fn main() {}
