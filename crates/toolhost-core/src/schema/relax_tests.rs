//! Property test: a schema with patterns that are not enforced accepts whatever it accepts with
//! them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use toolhost_schema::Watch;

use super::Schema;

const NAMES: [&str; 4] = ["a", "b", "ab", "ba"];

/// Some can be matched in linear time, and some cannot.
const PATTERNS: [&str; 8] = [
    "^a",
    "b$",
    "^[ab]*$",
    r"^\w{2}$",
    "^(?!a)",
    "a(?=b)",
    "(?<=a)b",
    r"^(a|b)\1",
];

fn patterns() -> impl Strategy<Value = &'static str> {
    select(PATTERNS.to_vec())
}

fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => patterns().prop_map(|pattern| json!({ "pattern": pattern })),
        2 => patterns().prop_map(|pattern| json!({ "type": "string", "pattern": pattern })),
        2 => select(vec!["string", "object", "array", "integer"]).prop_map(|it| json!({ "type": it })),
        1 => select(NAMES.to_vec()).prop_map(|name| json!({ "const": name })),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(json!({ "$ref": "#" })),
        3 => select(vec!["x", "y"]).prop_map(|it| json!({ "$ref": format!("#/$defs/{it}") })),
        1 => Just(json!({ "$dynamicRef": "#z" })),
        1 => Just(json!({ "$ref": "#/$defs/y/not" })),
        1 => Just(json!({ "minLength": 2 })),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let of = |key: &'static str| {
            vec(inner.clone(), 1..4).prop_map(move |parts| json!({ key: parts }))
        };
        let one = |key: &'static str| inner.clone().prop_map(move |part| json!({ key: part }));
        let named = |key: &'static str| {
            let parts = vec((select(NAMES.to_vec()), inner.clone()), 1..3);
            parts.prop_map(move |parts| json!({ key: Map::from_iter(parts.into_iter().map(own)) }))
        };
        let by_pattern = vec((patterns(), inner.clone()), 1..3).prop_map(
            |parts| json!({ "patternProperties": Map::from_iter(parts.into_iter().map(own)) }),
        );
        let contains = (inner.clone(), 0..3_u8, 0..3_u8).prop_map(|(part, least, most)| {
            json!({ "contains": part, "minContains": least, "maxContains": most })
        });
        let condition = (
            inner.clone(),
            proptest::option::of(inner.clone()),
            proptest::option::of(inner.clone()),
        );
        let condition = condition.prop_map(|(part, then, otherwise)| {
            let mut schema = json!({ "if": part });
            schema.as_object_mut().into_iter().for_each(|it| {
                it.extend(then.iter().map(|then| ("then".to_owned(), then.clone())))
            });
            if let Some(otherwise) = otherwise {
                schema["else"] = otherwise;
            }
            schema
        });
        let keyword = prop_oneof![
            3 => named("properties"),
            3 => by_pattern,
            2 => one("additionalProperties"),
            2 => one("propertyNames"),
            2 => one("unevaluatedProperties"),
            1 => named("dependentSchemas"),
            1 => one("items"),
            1 => of("prefixItems"),
            2 => contains,
            2 => one("unevaluatedItems"),
            2 => one("not"),
            2 => of("oneOf"),
            2 => of("anyOf"),
            2 => of("allOf"),
            3 => condition,
            1 => Just(json!({ "$ref": "#/$defs/x" })),
        ];
        // Several beside each other: what one evaluates, the others see.
        vec(keyword, 1..4).prop_map(|parts| {
            let mut all = Map::new();
            for part in parts {
                all.extend(part.as_object().cloned().unwrap_or_default());
            }
            Value::Object(all)
        })
    })
}

fn own((name, part): (&str, Value)) -> (String, Value) {
    (name.to_owned(), part)
}

fn values() -> impl Strategy<Value = Value> {
    let text = "[ab]{0,3}";
    let leaf = prop_oneof![
        5 => text.prop_map(Value::from),
        1 => Just(json!(1)),
        1 => Just(json!(null)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            vec((select(NAMES.to_vec()), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().map(own).collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8 * ProptestConfig::default().cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_a_whole_schema_takes_its_relaxation_takes(
        schema in schemas(),
        definitions in (schemas(), schemas(), schemas()),
        values in vec(values(), 6),
    ) {
        let Value::Object(mut schema) = schema else {
            return Ok(());
        };
        let (x, not, z) = definitions;
        schema.insert(
            "$defs".to_owned(),
            json!({ "x": x, "y": { "not": not }, "z": { "$dynamicAnchor": "z", "anyOf": [z] } }),
        );
        let mut schema = Value::Object(schema);
        super::old_drafts::modernize(&mut schema);
        // What such a schema accepts is not defined.
        if holds_loop(&schema, &schema) {
            return Ok(());
        }
        let Ok((_, ours)) = Schema::parse(&schema.to_string()) else {
            return Ok(());
        };
        // With an engine that supports all of these patterns.
        let whole = jsonschema::options().offline().build(&schema).unwrap();
        let whole = std::panic::AssertUnwindSafe(whole);
        let watch = Watch::steps(u64::MAX);
        for value in values {
            // It panics on some circular references.
            let Ok(is_whole) = std::panic::catch_unwind(|| whole.is_valid(&value)) else {
                continue;
            };
            let taken = ours.check_json(&value.to_string(), &watch).unwrap();
            if is_whole {
                prop_assert_eq!(taken, Ok(()), "{} under {}", value, schema);
            } else if ours.unenforced.is_empty() {
                prop_assert!(taken.is_err(), "{} under {}", value, schema);
            }
        }
    }
}

/// Whether a schema, or one inside it, requires of a value that it match that schema itself.
fn holds_loop(schema: &Value, root: &Value) -> bool {
    loops(schema, root, &mut Vec::new())
        || match schema {
            Value::Array(parts) => parts.iter().any(|part| holds_loop(part, root)),
            Value::Object(parts) => parts.values().any(|part| holds_loop(part, root)),
            _ => false,
        }
}

/// Whether a schema requires of a value that it match the schema itself.
fn loops<'s>(schema: &'s Value, root: &'s Value, open: &mut Vec<&'s Value>) -> bool {
    if open.iter().any(|it| std::ptr::eq(*it, schema)) {
        return true;
    }
    open.push(schema);
    let mut parts: Vec<&Value> = Vec::new();
    for (key, value) in schema.as_object().into_iter().flatten() {
        match (&**key, value) {
            ("allOf" | "anyOf" | "oneOf", Value::Array(all)) => parts.extend(all),
            ("dependentSchemas", Value::Object(all)) => parts.extend(all.values()),
            ("not" | "if" | "then" | "else", part) => parts.push(part),
            ("$ref" | "$dynamicRef", Value::String(reference)) => {
                let pointer = match &**reference {
                    "#z" => "/$defs/z",
                    reference => &reference[1..],
                };
                parts.extend(root.pointer(pointer));
            }
            _ => {}
        }
    }
    let is_loop = parts.into_iter().any(|part| loops(part, root, open));
    open.pop();
    is_loop
}

fn takes(schema: &Value, value: &Value) -> bool {
    let (_, schema) = Schema::parse(&schema.to_string()).unwrap();
    let watch = Watch::steps(u64::MAX);
    schema
        .check_json(&value.to_string(), &watch)
        .unwrap()
        .is_ok()
}

/// What stands beside such a pattern, and does not depend on it, is enforced.
#[test]
fn no_more_is_taken_than_has_to_be() {
    let loose = json!({ "pattern": "^(?!a)" });
    for (schema, value) in [
        (json!({ "type": "string", "pattern": "^(?!a)" }), json!(1)),
        (json!({ "minLength": 2, "pattern": "^(?!a)" }), json!("b")),
        (
            json!({ "anyOf": [{ "type": "string", "pattern": "^(?!a)" }, { "type": "null" }] }),
            json!(1),
        ),
        (
            json!({ "oneOf": [{ "type": "string", "pattern": "^(?!a)" }, { "type": "null" }] }),
            json!(1),
        ),
        (
            json!({ "properties": { "x": loose, "y": { "type": "null" } } }),
            json!({ "y": 1 }),
        ),
        (
            json!({ "patternProperties": { "^(?!a)": true }, "required": ["a"] }),
            json!({}),
        ),
        (
            json!({ "patternProperties": { "^(?!a)": true, "^a": { "type": "null" } } }),
            json!({ "a": 1 }),
        ),
        (
            json!({ "if": loose, "then": { "type": "null" }, "else": { "type": "null" } }),
            json!(1),
        ),
        (
            json!({ "contains": { "pattern": "^(?!a)" }, "minContains": 2 }),
            json!(["b"]),
        ),
        (
            json!({ "contains": { "type": "null", "pattern": "^(?!a)" } }),
            json!([1]),
        ),
        (
            json!({ "allOf": [loose, { "not": { "type": "null" } }] }),
            json!(null),
        ),
        (
            json!({ "$ref": "#/$defs/x", "$defs": { "x": { "type": "null", "pattern": "^(?!a)" } } }),
            json!(1),
        ),
        (
            json!({ "pattern": "^a", "properties": { "x": loose } }),
            json!("b"),
        ),
    ] {
        assert!(!takes(&schema, &value), "{value} under {schema}");
    }
}

#[test]
fn what_would_be_written_again_and_again_is_refused() {
    let mut definition = json!({ "enum": vec![1; 20_000], "pattern": "^(?!a)" });
    for _ in 0..30 {
        definition = json!({ "items": definition });
    }
    let mut place = "#/$defs/x".to_owned();
    let mut properties = Map::new();
    for level in 0..=30 {
        properties.insert(format!("p{level}"), json!({ "$ref": place }));
        place += "/items";
    }
    let schema = json!({ "properties": properties, "$defs": { "x": definition } });
    let why = Schema::parse(&schema.to_string()).unwrap_err();
    assert!(why.contains("is too complex"), "{why}");
}

#[test]
fn every_place_that_is_not_enforced_is_named() {
    for (schema, places) in [
        (
            json!({ "properties": { "x": { "pattern": "^(?!a)" } } }),
            &["/properties/x/pattern"][..],
        ),
        (
            json!({ "properties": { "a/b": { "not": { "pattern": "^(?!a)" } } } }),
            &["/properties/a~1b/not"],
        ),
        (
            json!({ "items": { "$ref": "#/$defs/x" }, "$defs": { "x": { "pattern": "(a)\\1" } } }),
            &["/$defs/x/pattern"],
        ),
        (
            json!({ "patternProperties": { "^(?!a)": {} } }),
            &["/patternProperties/^(?!a)"],
        ),
        // Supported ones are enforced: those of ECMA 262 are translated.
        (
            json!({ "properties": { "x": { "pattern": "^[\\d\\cA\\u{61}\\/\\-]\\b$" } } }),
            &[],
        ),
        // So is what only looks like an unsupported one.
        (
            json!({ "properties": { "x": { "const": { "pattern": "^(?!a)" } } } }),
            &[],
        ),
        (
            json!({ "properties": { "pattern": { "pattern": "a" } } }),
            &[],
        ),
    ] {
        let (shown, parsed) = Schema::parse(&schema.to_string()).unwrap();
        assert_eq!(shown, schema, "what is shown is what was written");
        let found: Vec<&str> = parsed.unenforced.iter().map(|it| &*it.place).collect();
        assert_eq!(found, places, "{schema}");
    }
}

#[test]
fn patterns_are_those_of_ecma_262() {
    for (pattern, text, matches) in [
        (r"^\d+$", "12", true),
        (r"^\d+$", "١", false),
        (r"^\w$", "é", false),
        (r"^\cA$", "\u{1}", true),
        (r"^[\cA-\cC]$", "\u{2}", true),
        (r"^\u{1f600}$", "😀", true),
        (r"^\/x$", "/x", true),
        (r"\bb", "éb", true),
        (r"\bb", "ab", false),
        (r"^.$", "\u{2028}", false),
        (r"^\s$", "\u{feff}", true),
        (r"^[^a]{2,3}$", "éé", true),
        (r"^(ab|c){2}$", "abc", true),
        (r"a$", "ab", false),
    ] {
        let schema = json!({ "pattern": pattern, "type": "string" });
        let is_taken = takes(&schema, &json!(text));
        assert_eq!(is_taken, matches, "{pattern} on {text:?}");
    }
}
