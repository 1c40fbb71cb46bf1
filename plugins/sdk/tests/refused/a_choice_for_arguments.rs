//~ `Colour` cannot be the arguments of a tool or prompt

use toolhost_plugin::{arguments, plugin, tool};

#[arguments]
enum Colour {
    Red,
}

/// Paints.
#[tool]
fn paint(colour: Colour) {
    let Colour::Red = colour;
}

plugin!(paint);

fn main() {}
