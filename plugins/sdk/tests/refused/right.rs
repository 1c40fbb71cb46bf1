use toolhost_plugin::{Json, arguments, plugin, structured, tool};

#[arguments]
enum Shape {
    Circle { radius: f64 },
}

#[arguments]
struct Only<T> {
    value: T,
}

#[structured]
struct Area {
    area: f64,
}

/// The area of a shape.
#[tool(read_only, idempotent)]
fn area(args: Shape) -> Json<Area> {
    let Shape::Circle { radius } = args;
    Json(Area {
        area: 3.14 * radius * radius,
    })
}

/// Says it.
#[tool]
fn say(args: Only<String>) -> String {
    args.value
}

plugin!(area, say);

fn main() {}
