//! Areas and distances.

use crate::{Answer, finite};
use toolhost_plugin::{Error, Json, arguments, tool};

#[arguments]
pub struct Triangle {
    /// The base of the triangle, in meters.
    base: i64,
    /// The height of the triangle, in meters.
    height: i64,
}

/// Calculates the area of a triangle given its base and height.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_triangle_area(args: Triangle) -> Json<f64> {
    Json(args.base as f64 * args.height as f64 / 2.0)
}

#[arguments]
pub struct Circle {
    /// The radius of the circle, in feet.
    radius: i64,
}

/// Calculates the area of a circle.
#[tool(read_only, idempotent, closed_world)]
pub fn geometry_area_circle(args: Circle) -> Json<f64> {
    Json(std::f64::consts::PI * (args.radius as f64).powi(2))
}

#[arguments]
pub struct Points {
    /// The first point.
    #[serde(rename = "pointA")]
    a: Vec<f64>,
    /// The second point.
    #[serde(rename = "pointB")]
    b: Vec<f64>,
}

/// Calculates the distance between two 2D points.
#[tool(read_only, idempotent, closed_world)]
pub fn get_distance(args: Points) -> Answer<f64> {
    let (a, b) = (point(&args.a)?, point(&args.b)?);
    finite((a.0 - b.0).hypot(a.1 - b.1))
}

#[arguments]
pub struct Polygon {
    /// The vertices of the polygon, where each vertex is a 2 element list [x, y].
    vertices: Vec<Vertex>,
}

/// A single vertex represented by a 2 element list [x, y].
#[arguments]
struct Vertex(Vec<f64>);

/// Calculate the area of a polygon given its vertices using the shoelace formula.
#[tool(read_only, idempotent, closed_world)]
pub fn polygon_area(args: Polygon) -> Answer<f64> {
    let vertices = args.vertices.iter().map(|vertex| point(&vertex.0));
    let vertices = vertices.collect::<Result<Vec<_>, _>>()?;
    let next = vertices.iter().cycle().skip(1);
    let edges = vertices.iter().zip(next);
    let twice: f64 = edges.map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum();
    finite(twice.abs() / 2.0)
}

/// The schemas of the data let a point have any number of coordinates.
fn point(coordinates: &[f64]) -> Result<(f64, f64), Error> {
    match coordinates {
        [x, y] => Ok((*x, *y)),
        _ => Err(Error::invalid_arguments("a point has two coordinates")),
    }
}
