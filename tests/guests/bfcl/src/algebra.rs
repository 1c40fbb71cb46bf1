//! Vectors, matrices, equations, lists.

use crate::{Answer, finite, same_length, too_large};
use toolhost_plugin::{Error, Json, arguments, structured, tool};

#[arguments]
pub struct Vectors {
    /// The first vector.
    #[serde(rename = "vectorA")]
    a: Vec<f64>,
    /// The second vector.
    #[serde(rename = "vectorB")]
    b: Vec<f64>,
}

/// Calculates the cosine similarity of two vectors.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_cosine_similarity(Vectors { a, b }: Vectors) -> Answer<f64> {
    same_length(&a, &b)?;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    finite(dot(&a, &b) / (dot(&a, &a).sqrt() * dot(&b, &b).sqrt()))
}

type Matrix = Vec<Vec<i64>>;

#[arguments]
pub struct Matrices {
    /// The first matrix.
    #[serde(rename = "matA")]
    a: Matrix,
    /// The second matrix.
    #[serde(rename = "matB")]
    b: Matrix,
}

/// Multiplies two matrices.
#[tool(read_only, idempotent, closed_world)]
pub fn mat_mul(Matrices { a, b }: Matrices) -> Answer<Matrix> {
    let columns = b.first().map_or(0, Vec::len);
    // One call of the data has a first matrix with more columns than the second has rows, and expects that what is over
    // counts for nothing; fewer are an error there too.
    if a.iter().any(|row| row.len() < b.len()) || b.iter().any(|row| row.len() != columns) {
        return Err(Error::invalid_arguments(
            "the matrices do not fit each other",
        ));
    }
    let cell = |row: &[i64], column: usize| {
        row.iter().zip(&b).try_fold(0i64, |sum, (a, row)| {
            sum.checked_add(a.checked_mul(row[column])?)
        })
    };
    a.iter()
        .map(|row| (0..columns).map(|column| cell(row, column)).collect())
        .collect::<Option<_>>()
        .map(Json)
        .ok_or_else(too_large)
}

#[arguments]
pub struct Quadratic {
    /// The first coefficient.
    a: i64,
    /// The second coefficient.
    b: i64,
    /// The third coefficient.
    c: i64,
}

#[structured]
#[serde(untagged)]
pub enum Root {
    Real(f64),
    Complex { real: f64, imaginary: f64 },
}

/// Calculates the roots of a quadratic equation.
#[tool(read_only, idempotent, closed_world)]
pub fn quadratic_roots(Quadratic { a, b, c }: Quadratic) -> Answer<[Root; 2]> {
    if a == 0 {
        return Err(Error::invalid_arguments("with `a` 0 it is not quadratic"));
    }
    let (a, b, c) = (a as f64, b as f64, c as f64);
    let discriminant = b * b - 4.0 * a * c;
    let root = discriminant.abs().sqrt();
    Ok(Json(if discriminant < 0.0 {
        [1.0, -1.0].map(|sign| Root::Complex {
            real: -b / (2.0 * a),
            imaginary: sign * root / (2.0 * a),
        })
    } else {
        [1.0, -1.0].map(|sign| Root::Real((-b + sign * root) / (2.0 * a)))
    }))
}

#[arguments]
pub struct Sort {
    /// The array of numbers.
    array: Vec<i64>,
    /// Whether to sort the array in reverse order, i.e., descending order. Default is False
    #[serde(default)]
    reverse: bool,
}

/// Sorts an array of numbers.
#[tool(read_only, idempotent, closed_world)]
pub fn sort_array(Sort { mut array, reverse }: Sort) -> Json<Vec<i64>> {
    array.sort_unstable();
    if reverse {
        array.reverse();
    }
    Json(array)
}
