//~ a tool cannot return `u64`
//~ a number as `value.to_string()`

use toolhost_plugin::{Error, plugin, tool};

/// Counts.
#[tool]
fn count() -> Result<u64, Error> {
    Ok(7)
}

plugin!(count);

fn main() {}
