//! `calculator`: what a person expects of arithmetic, and what no expression may do to a batch.

use serde_json::{Value, json};
use toolhost::ToolResult;

use super::{assert_error, hasty};
use crate::common::{self, call, load, manifest, plugin, text};

async fn answer(arguments: Value) -> ToolResult {
    let host = common::host(&["calculator"]).await;
    host.call(call("calculate", arguments)).await
}

#[tokio::test]
async fn arithmetic_is_exact_where_it_can_be() {
    for (expression, result) in [
        ("0.1 + 0.2", "0.3"),
        ("17% of 340", "57.8"),
        ("2^100", "1267650600228229401496703205376"),
        ("sqrt(2) * 3^4 * sqrt(2)", "162"),
        ("sin(pi / 6)", "0.5"),
        ("0xff to binary", "11111111"),
        ("x = 3; x^2 + 2x", "15"),
        (" 7\n", "7"),
    ] {
        let answered = answer(json!({"expression": expression})).await;
        let answered = text(&answered);
        let answered = answered.strip_prefix("approx. ").unwrap_or(&answered);
        assert_eq!(answered, result, "{expression}");
    }
}

#[tokio::test]
async fn units_are_reckoned_with_and_converted() {
    for (expression, result) in [
        ("5 ft to cm", "152.4 cm"),
        ("5 ft 3 in to cm", "160.02 cm"),
        ("5 ft in cm", "152.4 cm"),
        ("60 mph * 90 minutes to km", "144.84096 km"),
        ("20 C to F", "68 °F"),
        ("2 GiB to MB", "2147.483648 MB"),
    ] {
        let answered = answer(json!({"expression": expression})).await;
        assert_eq!(text(&answered), result, "{expression}");
    }
}

#[tokio::test]
async fn a_rounded_result_says_that_it_is_one() {
    for (expression, places, result) in [
        ("10 / 3", 2, "approx. 3.33"),
        ("2/3", 0, "approx. 1"),
        ("10 / 4", 2, "2.5"),
        ("3 ft to cm", 1, "approx. 91.4 cm"),
    ] {
        let arguments = json!({"expression": expression, "decimal_places": places});
        assert_eq!(text(&answer(arguments).await), result, "{expression}");
    }
}

#[tokio::test]
async fn what_cannot_be_evaluated_says_why() {
    for (expression, words) in [
        ("1/0", "division by zero"),
        ("5 ft to kg", "incompatible"),
        ("1 +", "cannot evaluate"),
        ("nonsense", "nonsense"),
        ("10 EUR to USD", "exchange rates"),
        (" ", "empty"),
        (&format!("{}1", "(".repeat(5000)), "nested"),
        (&"1+".repeat(4000), "split it up"),
        (&"1".repeat(20_000), "longer than"),
    ] {
        let result = answer(json!({"expression": expression})).await;
        assert_error(&result, "invalid-arguments", words);
    }
    for (arguments, words) in [
        (
            json!({"expression": "1", "decimal_places": 201}),
            "/decimal_places",
        ),
        (json!({"expression": "1", "places": 2}), "places"),
        (json!({"expression": true}), "/expression"),
        (json!({}), "expression"),
    ] {
        assert_error(&answer(arguments).await, "invalid-arguments", words);
    }
}

#[tokio::test]
async fn an_endless_calculation_meets_its_deadline_and_its_siblings_answer() {
    let host = load(manifest([plugin("calculator"), hasty("calculator")])).await;
    let calls = [
        ("calculate", "1 + 1"),
        ("hasty_calculate", "9^9^9^9"),
        ("hasty_calculate", "100000!"),
        ("calculate", "2 + 2"),
    ];
    let calls = calls.map(|(tool, expression)| call(tool, json!({"expression": expression})));
    let results = host.run_all(calls).await;
    assert_eq!(text(&results[0]), "2");
    assert_error(&results[1], "timeout", "500 ms");
    // A machine may be quick enough for this one.
    if let Err(error) = &results[2].outcome {
        assert_eq!(error.code(), "timeout", "{error}");
    }
    assert_eq!(text(&results[3]), "4");
}
