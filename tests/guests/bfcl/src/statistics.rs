//! Samples and probabilities.

use crate::{Answer, count, finite, same_length};
use toolhost_plugin::{Error, arguments, tool};

#[arguments]
pub struct Trials {
    /// The number of trials.
    n: i64,
    /// The number of successes.
    k: i64,
    /// The probability of success.
    p: f64,
}

/// Calculates the probability of getting k successes in n trials.
#[tool(read_only, idempotent, closed_world)]
pub fn calc_binomial_probability(args: Trials) -> Answer<f64> {
    let (n, k) = (count::<u64>(args.n, "n")?, count::<u64>(args.k, "k")?);
    let failures = n
        .checked_sub(k)
        .ok_or_else(|| Error::invalid_arguments("more successes than trials"))?;
    if !(0.0..=1.0).contains(&args.p) {
        return Err(Error::invalid_arguments("`p` is not a probability"));
    }
    let fewer = k.min(failures);
    let ways: f64 = (1..=fewer)
        .map(|i| (n - fewer + i) as f64 / i as f64)
        .product();
    finite(ways * args.p.powf(k as f64) * (1.0 - args.p).powf(failures as f64))
}

#[arguments]
pub struct Numbers {
    /// The list of numbers.
    numbers: Vec<f64>,
}

/// Calculates the mean of a list of numbers.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_mean(args: Numbers) -> Answer<f64> {
    finite(mean(&args.numbers))
}

/// Calculates the standard deviation of a list of numbers.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_standard_deviation(args: Numbers) -> Answer<f64> {
    let mean_value = mean(&args.numbers);
    let squares = args
        .numbers
        .iter()
        .map(|number| (number - mean_value).powi(2));
    finite(mean(&squares.collect::<Vec<_>>()).sqrt())
}

#[arguments]
pub struct Points {
    /// The x coordinates of the points.
    x: Vec<i64>,
    /// The y coordinates of the points.
    y: Vec<i64>,
    /// The point to calculate the linear regression at.
    point: i64,
}

/// Finds the linear regression of a set of points and evaluates it at a given point.
#[tool(read_only, idempotent, closed_world)]
pub fn linear_regression(args: Points) -> Answer<f64> {
    same_length(&args.x, &args.y)?;
    let floats = |numbers: &[i64]| {
        numbers
            .iter()
            .map(|number| *number as f64)
            .collect::<Vec<_>>()
    };
    let (x, y) = (floats(&args.x), floats(&args.y));
    let (mean_x, mean_y) = (mean(&x), mean(&y));
    let covariance: f64 = x
        .iter()
        .zip(&y)
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let variance: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    finite(mean_y + covariance / variance * (args.point as f64 - mean_x))
}

/// Not a number if there are none.
fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}
