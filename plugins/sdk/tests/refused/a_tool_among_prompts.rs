//~ `greet` is not a prompt
//~ those with `#[tool]` belong into `tools: […]`

use toolhost_plugin::{plugin, tool};

/// Greets everybody.
#[tool]
fn greet() -> String {
    String::from("Hello!")
}

plugin! { prompts: [greet] }

fn main() {}
