//~ `additive`: another option says that already

use toolhost_plugin::{plugin, tool};

/// Adds, and deletes.
#[tool(destructive, additive)]
fn change() {}

plugin!(change);

fn main() {}
