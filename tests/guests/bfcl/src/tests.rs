//! The functions against the data, without a host.

use crate::{NAMES, call};
use toolhost_plugin::ErrorKind;
use toolhost_plugin::serde_json::{self, Value, json};

const DATA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../data/bfcl/exec_parallel.jsonl"
);

#[test]
fn every_call_of_the_data_answers_what_it_expects() {
    let data = std::fs::read_to_string(DATA).unwrap();
    let (mut answered, mut unknown) = (0, 0);
    for line in data.lines() {
        let batch: Value = serde_json::from_str(line).unwrap();
        let calls = &batch["response"]["choices"][0]["message"]["tool_calls"];
        for tool_call in calls.as_array().unwrap() {
            let id = tool_call["id"].as_str().unwrap();
            let name = tool_call["function"]["name"].as_str().unwrap();
            let arguments = tool_call["function"]["arguments"].as_str().unwrap();
            match &batch["expected"][id]["value"] {
                Value::Null => {
                    assert_eq!(batch["expected"][id]["error"], "unknown-tool", "{id}");
                    assert!(!NAMES.contains(&name), "{id}: {name}");
                    unknown += 1;
                }
                expected => {
                    let actual = value(name, arguments);
                    assert!(alike(&actual, expected), "{id}: {actual} for {expected}");
                    answered += 1;
                }
            }
        }
    }
    assert_eq!((answered, unknown), (101, 87));
}

#[test]
fn there_are_28_functions() {
    assert_eq!(NAMES.len(), 28);
}

#[test]
fn what_the_data_does_not_call_is_right_too() {
    for (name, arguments, expected) in [
        ("get_fibonacci_number", r#"{"n":1}"#, json!(0)),
        ("get_fibonacci_number", r#"{"n":2}"#, json!(1)),
        (
            "get_fibonacci_number",
            r#"{"n":90}"#,
            json!(1_779_979_416_004_714_189_u64),
        ),
        ("math_factorial", r#"{"n":0}"#, json!(1)),
        (
            "math_factorial",
            r#"{"n":20}"#,
            json!(2_432_902_008_176_640_000_u64),
        ),
        ("math_gcd", r#"{"a":0,"b":0}"#, json!(0)),
        ("math_lcm", r#"{"a":0,"b":5}"#, json!(0)),
        ("calculate_permutations", r#"{"n":2,"k":3}"#, json!(0)),
        ("get_prime_factors", r#"{"number":1}"#, json!([])),
        (
            "quadratic_roots",
            r#"{"a":1,"b":2,"c":5}"#,
            json!([{ "real": -1.0, "imaginary": 2.0 }, { "real": -1.0, "imaginary": -2.0 }]),
        ),
        (
            "mortgage_calculator",
            r#"{"loan_amount":1200,"interest_rate":0,"loan_period":1}"#,
            json!(100.0),
        ),
    ] {
        let actual = value(name, arguments);
        assert!(alike(&actual, &expected), "{name} {arguments}: {actual}");
    }
}

#[test]
fn impossible_arguments_are_refused() {
    for (name, arguments) in [
        ("add_binary_numbers", r#"{"a":"2","b":"0"}"#),
        ("calc_binomial_probability", r#"{"n":1,"k":2,"p":0.5}"#),
        (
            "calculate_cosine_similarity",
            r#"{"vectorA":[0],"vectorB":[1]}"#,
        ),
        ("calculate_density", r#"{"mass":1,"volume":0}"#),
        ("calculate_mean", r#"{"numbers":[]}"#),
        ("get_distance", r#"{"pointA":[1],"pointB":[1,2]}"#),
        ("get_fibonacci_number", r#"{"n":0}"#),
        ("get_fibonacci_sequence", r#"{"n":1000}"#),
        ("get_prime_factors", r#"{"number":0}"#),
        ("linear_regression", r#"{"x":[1,1],"y":[1,2],"point":3}"#),
        ("mat_mul", r#"{"matA":[[1]],"matB":[[1],[2]]}"#),
        ("math_factorial", r#"{"n":-1}"#),
        ("math_factorial", r#"{"n":1000}"#),
        (
            "order_food",
            r#"{"item":["pizza"],"quantity":[],"price":[1]}"#,
        ),
        ("quadratic_roots", r#"{"a":0,"b":1,"c":1}"#),
    ] {
        let error = call(name, arguments).unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::InvalidArguments,
            "{name} {arguments}: {error}"
        );
    }
}

/// What the tool answers, which has to be the same for a program and for a model.
fn value(name: &str, arguments: &str) -> Value {
    let output =
        call(name, arguments).unwrap_or_else(|error| panic!("{name} {arguments}: {error}"));
    let structured = output.structured().unwrap();
    let [toolhost_plugin::Content::Text(text)] = output.content() else {
        panic!("{name} answered other than one text");
    };
    assert_eq!(text, structured);
    serde_json::from_str(structured).unwrap()
}

/// Equal, numbers within a relative 1e-9.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}
