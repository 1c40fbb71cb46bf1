//! Arithmetic with the precision that a person expects, and with units.

use fend_core::Context;
use std::hash::{BuildHasher, Hasher, RandomState};
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
    /// Such as "0.1 + 0.2", "17% of 340", "sqrt(2) * 3^4", "5 ft 3 in to cm", "60 mph * 90 minutes to km", "0xff to binary",
    /// "x = 3; x^2 + 2x".
    expression: String,
    /// Round the result to this many decimal places. Default: exact if possible.
    #[schemars(range(max = 200))]
    decimal_places: Option<u16>,
}

/// Evaluates an arithmetic expression exactly, with units of measure: + - * / ^, parentheses, percentages, functions (sqrt,
/// ln, log10, sin, abs, floor, mod, …), constants (pi, e), conversion of units and number bases with "to". A rounded result
/// starts with "approx.". Currencies are not supported, as rates change.
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
    let expression = with_inches(expression);
    let rounded = match args.decimal_places {
        Some(places) => format!("{expression} to {places} dp"),
        None => expression.clone(),
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

/// fend takes every `in` for a conversion, as in "5 ft in cm". An `in` that has nothing to convert to is a unit: "3 in to cm".
fn with_inches(expression: &str) -> String {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let mut result = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(at) = rest.find("in") {
        let after = &rest[at + 2..];
        result.push_str(&rest[..at]);
        // "3in" is two words, "min" and "inch" are one.
        let is_whole =
            !result.ends_with(|c| is_word(c) && !c.is_ascii_digit()) && !after.starts_with(is_word);
        let follows_number = result.trim_end().ends_with(|c: char| c.is_ascii_digit());
        let next = after.trim_start();
        let word = next.split(|c| !is_word(c)).next().unwrap_or_default();
        let has_target = match word {
            "to" | "as" | "per" | "mod" => false,
            "in" => !follows_number,
            "" => next.starts_with(['(', '\'', '"', '°']),
            _ => true,
        };
        result.push_str(if is_whole && !has_target {
            "inches"
        } else {
            "in"
        });
        rest = after;
    }
    result + rest
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
    fn an_in_is_a_conversion_or_inches() {
        for (expression, expected) in [
            ("5 ft 3 in to cm", "160.02 cm"),
            ("5ft 3in to cm", "160.02 cm"),
            ("3 in in cm", "7.62 cm"),
            ("5.08 cm in in", "2 inches"),
            ("5.08 cm to in", "2 inches"),
            ("1 in + 1 cm to cm", "3.54 cm"),
            ("(1 in)^2 to cm^2", "6.4516 cm^2"),
            ("2 in^2 to cm^2", "12.9032 cm^2"),
            ("5 ft in cm", "152.4 cm"),
            ("255 in hex", "ff"),
            ("90 min in hours", "1.5 hours"),
            ("1 inch to cm", "2.54 cm"),
        ] {
            assert_eq!(result(expression, None), expected, "{expression}");
        }
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
