//! The 28 functions of tests/data/bfcl, as its `tools` declare them. The calls to other functions that the
//! data has are there to find no tool.
//!
//! One schema is not the data's: it declares the matrices of `mat_mul` as arrays of integers and then calls it with arrays
//! of arrays, which a host that validates would refuse.

mod algebra;
mod everyday;
mod geometry;
mod numbers;
mod physics;
mod statistics;

use toolhost_plugin::{Error, Json};

macro_rules! tools {
    ($($module:ident::$tool:ident),+ $(,)?) => {
        toolhost_plugin::plugin!($($module::$tool),+);

        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($tool)),+];

        #[cfg(test)]
        fn call(name: &str, arguments: &str) -> Result<toolhost_plugin::Output, Error> {
            use toolhost_plugin::{IntoResult, serde_json};
            match name {
                $(stringify!($tool) => $module::$tool(serde_json::from_str(arguments)?).into_result(),)+
                _ => Err(Error::failed("unknown tool")),
            }
        }
    };
}

tools!(
    algebra::calculate_cosine_similarity,
    algebra::mat_mul,
    algebra::quadratic_roots,
    algebra::sort_array,
    everyday::calculate_future_value,
    everyday::calculate_nutritional_needs,
    everyday::mortgage_calculator,
    everyday::order_food,
    geometry::calculate_triangle_area,
    geometry::geometry_area_circle,
    geometry::get_distance,
    geometry::polygon_area,
    numbers::add_binary_numbers,
    numbers::calculate_permutations,
    numbers::get_fibonacci_number,
    numbers::get_fibonacci_sequence,
    numbers::get_prime_factors,
    numbers::math_factorial,
    numbers::math_gcd,
    numbers::math_lcm,
    physics::calculate_density,
    physics::calculate_displacement,
    physics::calculate_electrostatic_potential_energy,
    physics::calculate_final_velocity,
    statistics::calc_binomial_probability,
    statistics::calculate_mean,
    statistics::calculate_standard_deviation,
    statistics::linear_regression,
);

/// What a function answers, or why the arguments are wrong.
type Answer<T> = Result<Json<T>, Error>;

/// JSON has no other numbers than these.
fn finite(number: f64) -> Answer<f64> {
    if number.is_finite() {
        Ok(Json(number))
    } else {
        Err(Error::invalid_arguments(
            "for these arguments there is no finite result",
        ))
    }
}

/// Counts things: what JSON Schema calls an integer may be negative.
fn count<T: TryFrom<i64>>(number: i64, name: &str) -> Result<T, Error> {
    T::try_from(number)
        .map_err(|_| Error::invalid_arguments(format!("`{name}` is negative or too large")))
}

fn too_large() -> Error {
    Error::invalid_arguments("the result is too large")
}

fn same_length<A, B>(a: &[A], b: &[B]) -> Result<(), Error> {
    if a.len() == b.len() {
        Ok(())
    } else {
        Err(Error::invalid_arguments("the lists differ in length"))
    }
}

#[cfg(test)]
mod tests;
