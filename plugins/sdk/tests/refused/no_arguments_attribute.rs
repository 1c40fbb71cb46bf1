//~ `Greet` cannot be the arguments of a tool or prompt: they are a struct with `#[arguments]`

use toolhost_plugin::{plugin, tool};

struct Greet {
    name: String,
}

/// Greets somebody.
#[tool]
fn greet(args: Greet) -> String {
    args.name
}

plugin!(greet);

fn main() {}
