//! Whole numbers, exact or refused.

use crate::{Answer, count, too_large};
use toolhost_plugin::{Error, Json, arguments, tool};

#[arguments]
pub struct BinaryNumbers {
    /// The first binary number.
    a: String,
    /// The second binary number.
    b: String,
}

/// Adds two binary numbers.
#[tool(read_only, idempotent, closed_world)]
pub fn add_binary_numbers(args: BinaryNumbers) -> Answer<String> {
    let parse = |digits: &str, name| {
        u128::from_str_radix(digits, 2)
            .map_err(|error| Error::invalid_arguments(format!("`{name}`: {error}")))
    };
    let sum = parse(&args.a, "a")?.checked_add(parse(&args.b, "b")?);
    Ok(Json(format!("{:b}", sum.ok_or_else(too_large)?)))
}

#[arguments]
pub struct Permutations {
    /// The number of elements in the set.
    n: i64,
    /// The number of elements to choose.
    k: i64,
}

/// Calculates the number of permutations of k elements from a set of n elements.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_permutations(args: Permutations) -> Answer<u128> {
    let (n, k) = (count::<u64>(args.n, "n")?, count::<u64>(args.k, "k")?);
    if k > n {
        return Ok(Json(0));
    }
    product(n - k + 1, n)
}

#[arguments]
pub struct Factorial {
    /// The number to calculate the factorial of.
    n: i64,
}

/// Calculates the factorial of a number.
#[tool(read_only, idempotent, closed_world)]
pub fn math_factorial(args: Factorial) -> Answer<u128> {
    product(1, count(args.n, "n")?)
}

/// All the whole numbers of a range, multiplied.
fn product(first: u64, last: u64) -> Answer<u128> {
    (first..=last)
        .try_fold(1u128, |product, factor| product.checked_mul(factor.into()))
        .map(Json)
        .ok_or_else(too_large)
}

#[arguments]
pub struct FibonacciNumber {
    /// The position of the Fibonacci number.
    n: i64,
}

/// Calculates the nth Fibonacci number.
#[tool(read_only, idempotent, closed_world)]
pub fn get_fibonacci_number(args: FibonacciNumber) -> Answer<u128> {
    let n = count::<usize>(args.n, "n")?;
    let before = n
        .checked_sub(1)
        .ok_or_else(|| Error::invalid_arguments("the first Fibonacci number is number 1"))?;
    fibonacci().nth(before).map(Json).ok_or_else(too_large)
}

#[arguments]
pub struct FibonacciSequence {
    /// The number of Fibonacci numbers to calculate.
    n: i64,
}

/// Calculates the n numbers of the Fibonacci.
#[tool(read_only, idempotent, closed_world)]
pub fn get_fibonacci_sequence(args: FibonacciSequence) -> Answer<Vec<u128>> {
    let n = count::<usize>(args.n, "n")?;
    let sequence: Vec<_> = fibonacci().take(n).collect();
    if sequence.len() < n {
        return Err(too_large());
    }
    Ok(Json(sequence))
}

/// The Fibonacci numbers, as far as they fit.
fn fibonacci() -> impl Iterator<Item = u128> {
    let pairs = std::iter::successors(Some((0u128, 1u128)), |(a, b)| {
        Some((*b, a.checked_add(*b)?))
    });
    pairs.map(|(a, _)| a)
}

#[arguments]
pub struct Composite {
    /// The number to calculate the prime factors of.
    number: i64,
}

/// Calculates the prime factors of a number.
#[tool(read_only, idempotent, closed_world)]
pub fn get_prime_factors(args: Composite) -> Answer<Vec<u64>> {
    let mut rest = count::<u64>(args.number, "number")?;
    if rest == 0 {
        return Err(Error::invalid_arguments("every number divides 0"));
    }
    let mut factors = vec![];
    let mut factor = 2;
    while factor <= rest / factor {
        if rest.is_multiple_of(factor) {
            factors.push(factor);
            rest /= factor;
        } else {
            factor += 1;
        }
    }
    if rest > 1 {
        factors.push(rest);
    }
    Ok(Json(factors))
}

#[arguments]
pub struct Pair {
    /// The first number. This should be the larger number.
    a: i64,
    /// The second number.
    b: i64,
}

/// Calculates the greatest common divisor of two numbers.
#[tool(read_only, idempotent, closed_world)]
pub fn math_gcd(args: Pair) -> Json<u64> {
    Json(gcd(args.a.unsigned_abs(), args.b.unsigned_abs()))
}

/// Calculates the least common multiple of two numbers.
#[tool(read_only, idempotent, closed_world)]
pub fn math_lcm(args: Pair) -> Json<u128> {
    let (a, b) = (args.a.unsigned_abs(), args.b.unsigned_abs());
    Json(match gcd(a, b) {
        0 => 0,
        divisor => u128::from(a / divisor) * u128::from(b),
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
