//~ a tool cannot return `Weather`
//~ return `Json<Weather>`, and put `#[structured]` on the struct

use toolhost_plugin::{plugin, structured, tool};

#[structured]
struct Weather {
    temperature: f64,
}

/// Says how warm it is.
#[tool]
fn weather() -> Weather {
    Weather { temperature: 12.5 }
}

plugin!(weather);

fn main() {}
