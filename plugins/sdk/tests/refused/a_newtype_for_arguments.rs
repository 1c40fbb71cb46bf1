//~ `Name` cannot be the arguments of a tool or prompt

use toolhost_plugin::{arguments, plugin, prompt};

#[arguments]
struct Name(String);

/// Greets.
#[prompt]
fn greet(name: Name) -> String {
    name.0
}

plugin! { prompts: [greet] }

fn main() {}
