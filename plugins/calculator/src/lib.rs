//! Arithmetic with the precision that a person expects, and with units.

use fend_core::Context;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};
use toolhost_plugin::{Error, arguments, plugin, tool};

plugin!(calculate);

/// More than any calculation by hand has.
const MAX_LENGTH: usize = 10_000;
/// fend parses and evaluates by recursion, and a sandbox's stack is small: this is what it stands.
const MAX_DEPTH: usize = 100;
const MAX_OPERATORS: usize = 400;

#[arguments]
#[serde(deny_unknown_fields)]
struct Calculate {
    /// As in "0.1 + 0.2", "17% of 340", "sqrt(2) * 3^4", "5 ft 3 in to cm", "60 mph * 90 minutes to km", "0xff to binary",
    /// "x = 3; x^2 + 2x".
    expression: String,
    /// Round the result to so many decimal places. If not given, exact where that is possible.
    #[schemars(range(max = 200))]
    decimal_places: Option<u16>,
}

/// Evaluates an arithmetic expression exactly, with units of measure: + - * / ^, parentheses, percentages, functions (sqrt,
/// ln, log10, sin, abs, floor, mod, …), constants (pi, e), conversion of units and number bases with "to". A result that is
/// rounded starts with "approx.". Currencies are not known, for rates change.
#[tool(title = "Calculator", read_only, closed_world)]
fn calculate(args: Calculate) -> Result<String, Error> {
    let expression = args.expression.trim();
    if expression.is_empty() {
        return Err(Error::invalid_arguments("the expression is empty"));
    }
    if expression.len() > MAX_LENGTH {
        return Err(Error::invalid_arguments(format!(
            "the expression is longer than {MAX_LENGTH} bytes"
        )));
    }
    let (depth, operators) = complexity(expression);
    if depth > MAX_DEPTH {
        return Err(Error::invalid_arguments(format!(
            "the expression is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    if operators > MAX_OPERATORS {
        return Err(Error::invalid_arguments(format!(
            "the expression has more than {MAX_OPERATORS} operators and words: split it up"
        )));
    }

    let mut context = Context::new();
    context.set_random_u32_fn(random);
    if let Ok(since) = SystemTime::now().duration_since(UNIX_EPOCH) {
        context.set_current_time_v1(since.as_millis().try_into().unwrap_or(u64::MAX), 0);
    }
    let rounded = match args.decimal_places {
        Some(places) => format!("{expression} to {places} dp"),
        None => expression.to_owned(),
    };
    let result = fend_core::evaluate(&rounded, &mut context).map_err(|error| {
        Error::invalid_arguments(format!("cannot evaluate the expression: {error}"))
    })?;
    let result = result.get_main_result();
    if result.is_empty() {
        return Err(Error::invalid_arguments(format!(
            "{expression:?} has no result"
        )));
    }
    Ok(result.to_owned())
}

/// How deep brackets nest, and how many operators and words there are. Each may be a level of recursion, `2^2^2` as well as
/// `1+1+1` and `sqrt sqrt 2`.
fn complexity(expression: &str) -> (usize, usize) {
    let (mut depth, mut deepest, mut operators) = (0_usize, 0, 0);
    let mut in_word = false;
    for character in expression.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        let is_word = character.is_alphabetic() || character == '_';
        let is_operator = !is_word
            && !character.is_ascii_digit()
            && !matches!(character, ' ' | '.' | ',' | '(' | ')');
        if is_operator || is_word && !in_word {
            operators += 1;
        }
        in_word = is_word;
    }
    (deepest, operators)
}

/// The keys that the standard library hashes with are random: enough for dice, and no crate more.
fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

#[cfg(test)]
mod tests {
    use super::{Calculate, calculate};

    fn result(expression: &str, decimal_places: Option<u16>) -> String {
        match calculate(Calculate {
            expression: expression.into(),
            decimal_places,
        }) {
            Ok(result) => result,
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn results_are_what_a_person_expects() {
        assert_eq!(result("0.1 + 0.2", None), "0.3");
        assert_eq!(result("5 ft to cm", None), "152.4 cm");
        assert_eq!(result("17% of 340", None), "57.8");
        assert_eq!(result("10 / 3", Some(2)), "approx. 3.33");
        assert_eq!(result("2^100", None), "1267650600228229401496703205376");
        assert_eq!(result("x = 3; x^2 + 2x", None), "15");
    }

    #[test]
    fn what_cannot_be_evaluated_is_said() {
        for expression in [
            "",
            "1 +",
            "1/0",
            "5 ft to kg",
            "nonsense",
            "((((",
            "0^0",
            "1 = 2",
            "10 EUR to USD",
        ] {
            assert!(
                result(expression, None).starts_with("InvalidArguments("),
                "{expression}: {}",
                result(expression, None)
            );
        }
        let nested = format!("{}1{}", "(".repeat(5000), ")".repeat(5000 - 1));
        assert!(result(&nested[..9000], None).contains("nested"));
        assert!(result(&format!("{}1", "1+".repeat(4000)), None).contains("split it up"));
    }
}
