//! Schemas as each API takes them: one bad tool never breaks a request.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use toolhost_wire::wire::{Format, LeftOut, Names};
use toolhost_wire::{Tool, ToolCall};

use crate::common::responses::MODELS;

/// Whose arguments have plain names.
const PLAIN_NAMES: [Format; 2] = [Format::Anthropic, Format::Bedrock];

/// Whose schemas refer to nothing.
const NO_REFS: [Format; 3] = [Format::Gemini, Format::Ollama, Format::Bedrock];

fn tool(name: &str, schema: Value) -> Tool {
    Tool::new(name, "Does it.")
        .with_input_schema(schema)
        .with_plugin("p")
        .with_sandboxed(true)
}

/// What a request has of each tool: name, description and schema; and what it has not.
fn declared(format: Format, tools: &[Tool]) -> (Vec<(String, String, Value)>, Vec<LeftOut>) {
    let tools: Vec<&Tool> = tools.iter().collect();
    let names = Names::of_tools(format, &tools);
    let declared = format.declare(&tools, &names);
    let all: Value = serde_json::from_str(declared.tools.get()).unwrap();
    let list = match format {
        Format::Gemini => all[0]["functionDeclarations"].clone(),
        Format::Mcp => all["tools"].clone(),
        _ => all,
    };
    let list = list.as_array().unwrap().iter().map(|one| {
        let inner = one.get("function").or(one.get("toolSpec"));
        let one = inner.unwrap_or(one);
        let schema = [
            "parameters",
            "input_schema",
            "parametersJsonSchema",
            "inputSchema",
        ];
        let schema = schema.iter().find_map(|key| one.get(*key)).unwrap();
        let schema = match format {
            Format::Bedrock => &schema["json"],
            _ => schema,
        };
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        (text("name"), text("description"), schema.clone())
    });
    (list.collect(), declared.left_out)
}

/// The one schema that is declared, with what the description has beside.
fn fitted(format: Format, schema: Value) -> Result<(Value, String), String> {
    let (list, left_out) = declared(format, &[tool("t", schema)]);
    match (&list[..], &left_out[..]) {
        ([(_, description, schema)], []) => {
            let beside = description.strip_prefix("Does it.").unwrap();
            Ok((schema.clone(), beside.trim().to_owned()))
        }
        ([], [left_out]) => Err(left_out.why.clone()),
        other => panic!("{other:?}"),
    }
}

/// What an API refuses in a schema, as its errors say; written beside the code that keeps to it.
fn refusals(format: Format, schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if schema.get("type") != Some(&json!("object")) {
        found.push("the top is no object".to_owned());
    }
    for key in ["anyOf", "oneOf", "allOf", "enum", "not", "$ref", "$schema"] {
        if schema.get(key).is_some() {
            found.push(format!("`{key}` at the top"));
        }
    }
    if PLAIN_NAMES.contains(&format) {
        for key in schema["properties"]
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
        {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            if key.is_empty() || key.len() > 64 || !key.chars().all(is_plain) {
                found.push(format!("the key {key:?}"));
            }
        }
    }
    refusals_within(format, schema, schema, &mut found);
    found
}

fn refusals_within(format: Format, root: &Value, schema: &Value, found: &mut Vec<String>) {
    let Value::Object(members) = schema else {
        found.push(format!("{schema} is no schema"));
        return;
    };
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    if kinds.contains(&json!("array")) && !members.contains_key("items") {
        found.push("an array without `items`".to_owned());
    }
    if kinds.contains(&json!("object")) && !members.contains_key("properties") {
        found.push("an object without `properties`".to_owned());
    }
    if schema["exclusiveMinimum"].is_boolean() || schema["items"].is_array() {
        found.push("an older draft".to_owned());
    }
    if let Some(reference) = members.get("$ref") {
        let name = reference
            .as_str()
            .and_then(|it| it.strip_prefix("#/$defs/"));
        if NO_REFS.contains(&format) || name.and_then(|it| root["$defs"].get(it)).is_none() {
            found.push(format!("the reference {reference}"));
        }
    }
    for (key, value) in members {
        match (&**key, value) {
            ("items" | "not" | "if" | "then" | "else" | "contains" | "propertyNames", value) => {
                refusals_within(format, root, value, found);
            }
            ("additionalProperties", value) if !value.is_boolean() => {
                refusals_within(format, root, value, found);
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(values)) => {
                values
                    .iter()
                    .for_each(|value| refusals_within(format, root, value, found));
            }
            (
                "properties" | "$defs" | "patternProperties" | "dependentSchemas",
                Value::Object(all),
            ) => {
                all.values()
                    .for_each(|value| refusals_within(format, root, value, found));
            }
            _ => {}
        }
    }
}

#[test]
fn a_choice_at_the_top_moves_into_the_description() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    });
    for format in MODELS {
        let (schema, beside) = fitted(format, schema.clone()).unwrap();
        let properties = json!({"a": {"type": "string"}, "b": {"type": "string"}});
        assert_eq!(schema, json!({"type": "object", "properties": properties}));
        assert_eq!(
            beside,
            r#"The arguments must also match this JSON Schema: {"anyOf":[{"required":["a"]},{"required":["b"]}]}"#
        );
    }
    let (passed_on, beside) = fitted(Format::Mcp, schema.clone()).unwrap();
    assert_eq!((passed_on, &*beside), (schema, ""));
}

#[test]
fn a_choice_between_objects_becomes_one_with_all_of_their_arguments() {
    let circle = json!({
        "type": "object", "additionalProperties": false, "required": ["kind", "radius"],
        "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}},
    });
    let square = json!({
        "type": "object", "additionalProperties": false, "required": ["kind", "side"],
        "properties": {"kind": {"const": "square"}, "side": {"type": "number", "description": "Its length."}},
    });
    let schema = json!({
        "oneOf": [{"$ref": "#/$defs/circle"}, {"$ref": "#/$defs/square"}],
        "$defs": {"circle": circle, "square": square},
    });
    for format in MODELS {
        let (schema, beside) = fitted(format, schema.clone()).unwrap();
        assert_eq!(schema["required"], json!(["kind"]));
        assert_eq!(
            schema["properties"],
            json!({
                "kind": {"anyOf": [{"const": "circle"}, {"const": "square"}]},
                "radius": {"type": "number"},
                "side": {"type": "number", "description": "Its length."},
            })
        );
        assert!(beside.contains("oneOf"), "{beside}");
        assert_eq!(refusals(format, &schema), [""; 0]);
    }
    // A branch that does not mention an argument allows any value for it.
    let open = json!({"anyOf": [{"properties": {"a": {"type": "string", "title": "A"}}}, {"required": ["b"]}]});
    let (schema, _) = fitted(Format::Anthropic, open).unwrap();
    assert_eq!(schema["properties"], json!({"a": {"title": "A"}}));
}

#[test]
fn what_goes_without_saying_is_said() {
    for format in MODELS {
        for (before, after) in [
            (json!({}), json!({"type": "object", "properties": {}})),
            (
                json!({"type": "object"}),
                json!({"type": "object", "properties": {}}),
            ),
            (
                json!({"type": ["object", "null"], "properties": {"l": {"type": ["array", "null"]}}}),
                json!({"type": "object", "properties": {"l": {"type": ["array", "null"], "items": {}}}}),
            ),
            (
                json!({"properties": {"a": true, "b": false, "o": {"type": "object"}}}),
                json!({"type": "object", "properties": {"a": {}, "o": {"type": "object", "properties": {}}}}),
            ),
            (
                json!({"type": "object", "required": ["a"]}),
                json!({"type": "object", "required": ["a"], "properties": {"a": {}}}),
            ),
        ] {
            assert_eq!(fitted(format, before).unwrap(), (after, String::new()));
        }
    }
}

#[test]
fn what_is_referred_to_is_written_out_where_an_api_needs_it() {
    let defined = json!({
        "type": "object", "properties": {"a": {"$ref": "#/$defs/A", "description": "d"}}, "$defs": {"A": {"type": "string"}},
    });
    let (schema, _) = fitted(Format::Anthropic, defined.clone()).unwrap();
    assert_eq!(schema, defined);
    let (schema, _) = fitted(Format::Gemini, defined).unwrap();
    let written =
        json!({"type": "object", "properties": {"a": {"type": "string", "description": "d"}}});
    assert_eq!(schema, written);
    // Of a place that is no definition no API knows.
    let elsewhere = json!({"properties": {"a": {"type": "string"}, "b": {"type": "array", "items": {"$ref": "#/properties/a"}}}});
    for format in MODELS {
        let (schema, _) = fitted(format, elsewhere.clone()).unwrap();
        assert_eq!(
            schema["properties"]["b"]["items"],
            json!({"type": "string"})
        );
    }
    // What holds itself, is anything somewhere.
    let tree = json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"left": {"$ref": "#/$defs/n"}}}}});
    for format in MODELS {
        let (schema, _) = fitted(format, tree.clone()).unwrap();
        assert_eq!(refusals(format, &schema), [""; 0], "{schema}");
        assert!(schema["properties"]["left"].is_object());
    }
}

#[test]
fn one_bad_tool_is_left_out_and_named_and_the_others_are_declared() {
    let tools = [
        tool("good", json!({"type": "object", "properties": {}})),
        tool("not_object", json!({"type": "string"})),
        tool(
            "odd_key",
            json!({"properties": {"a b": {"type": "string"}}}),
        ),
        tool("long_key", json!({"properties": {"k".repeat(65): {}}})),
        tool(
            "key_that_decides",
            json!({"properties": {"a b": {}}, "propertyNames": {"maxLength": 3}}),
        ),
        tool(
            "key_that_is_noted",
            json!({"properties": {"a b": {}}, "not": {"required": ["a b"]}}),
        ),
        tool(
            "deep_odd_key",
            json!({"properties": {"o": {"type": "object", "properties": {"a b": {}}}}}),
        ),
    ];
    for format in MODELS {
        let (list, left_out) = declared(format, &tools);
        let list: Vec<&str> = list.iter().map(|(name, _, _)| &**name).collect();
        let names: Vec<&str> = left_out.iter().map(|it| &*it.tool).collect();
        match format {
            Format::Anthropic | Format::Bedrock => {
                assert_eq!(list, ["good", "odd_key", "long_key", "deep_odd_key"]);
                assert_eq!(
                    names,
                    ["not_object", "key_that_decides", "key_that_is_noted"]
                );
                assert!(left_out[1].why.contains("an argument named \"a b\""));
            }
            _ => {
                assert_eq!((list.len(), names), (6, vec!["not_object"]));
            }
        }
        assert_eq!(
            left_out[0].why,
            "has arguments of type \"string\", but arguments are always an object"
        );
    }
    assert_eq!(declared(Format::Mcp, &tools).1.len(), 1);
}

#[test]
fn names_of_arguments_lead_back_to_the_tools_own() {
    let long = "k".repeat(65);
    let schema = json!({
        "type": "object", "required": ["filter[id]", "plain"],
        "properties": {"filter[id]": {"type": "string"}, "$top": {}, "plain": {}, (long.clone()): {}},
    });
    let tools = [tool("t", schema)];
    let format = Format::Anthropic;
    let (list, left_out) = declared(format, &tools);
    assert_eq!(left_out, []);
    let properties = list[0].2["properties"].as_object().unwrap();
    let wire: Vec<&String> = properties.keys().collect();
    assert_eq!(refusals(format, &list[0].2), [""; 0]);
    assert!(
        wire.iter().any(|name| name.starts_with("filter_id__")),
        "{wire:?}"
    );
    let required = list[0].2["required"].as_array().unwrap();
    assert!(
        required
            .iter()
            .all(|name| properties.contains_key(name.as_str().unwrap()))
    );
    let restored = |arguments: &str| {
        let mut calls = [ToolCall::new("1", "t", arguments)];
        Names::of_tools(format, &[&tools[0]]).restore(&mut calls);
        calls[0].arguments.clone()
    };
    let mut own: Vec<String> = wire
        .iter()
        .map(|name| {
            let value: Value =
                serde_json::from_str(&restored(&json!({ (*name): 1.50 }).to_string())).unwrap();
            value.as_object().unwrap().keys().next().unwrap().clone()
        })
        .collect();
    own.sort();
    assert_eq!(own, ["$top", "filter[id]", &long, "plain"]);
    // Whatever else there is stays to the letter.
    let top = wire.iter().find(|name| name.contains("top")).unwrap();
    let text = format!(r#"{{ "{top}" : 1.50e1, "plain":"\u00e9", "plain": [ 1 ] }}"#);
    assert_eq!(
        restored(&text),
        r#"{"$top":1.50e1,"plain":"\u00e9","plain":[ 1 ]}"#
    );
    for same in ["", "[1]", "{", r#"{"plain": 1}"#, r#"{"plain":1} x"#] {
        assert_eq!(restored(same), same);
    }
    // Names that do not lead back are not declared.
    let names = Names::new(format, ["t"]);
    assert_eq!(format.declare(&[&tools[0]], &names).left_out.len(), 1);
}

#[test]
fn names_that_no_api_takes_are_offered_under_others() {
    let long = "n".repeat(100);
    let names = ["a.b.c", "ns/x", &long, "ok"];
    let tools = names.map(|name| tool(name, json!({"type": "object", "properties": {}})));
    for format in MODELS {
        let (list, left_out) = declared(format, &tools);
        assert_eq!((list.len(), left_out), (4, Vec::new()));
        let mapping = Names::new(format, names);
        for ((wire, _, _), name) in list.iter().zip(names) {
            assert_eq!(mapping.tool(wire), name);
            assert!(
                wire.len() <= 64
                    && wire
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
            );
        }
    }
}

#[test]
fn a_long_choice_is_cut_in_the_description() {
    let choices: Vec<Value> = (0..500)
        .map(|at| json!({"required": [format!("é{at}")]}))
        .collect();
    let (_, beside) = fitted(Format::OpenaiChat, json!({"anyOf": choices})).unwrap();
    assert!(beside.len() < 2000 && beside.ends_with('…'), "{beside}");
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "items", "not", "a b", "ß"]).prop_map(str::to_owned)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..4).prop_map(Value::from),
        prop::sample::select(vec!["", "x", "yy"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..3).prop_map(|all| json!(all)),
        ]
    })
}

/// Schemas that use most of what there is, one or two keywords each, all within a document with two definitions.
fn schema() -> impl Strategy<Value = Value> {
    let kind = || prop::sample::select(vec!["object", "array", "string", "integer", "null"]);
    let reference = prop::sample::select(vec![
        "#",
        "#/$defs/d",
        "#/$defs/e",
        "#/properties/a",
        "#/anyOf/0",
        "#/nowhere",
    ]);
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        kind().prop_map(|kind| json!({ "type": kind })),
        (kind(), kind()).prop_map(|(a, b)| if a == b {
            json!({"type": a})
        } else {
            json!({"type": [a, b]})
        }),
        any_value().prop_map(|value| json!({ "const": value })),
        prop::collection::vec(name(), 0..3).prop_map(|mut names| {
            names.dedup();
            names.sort();
            names.dedup();
            json!({ "required": names })
        }),
        reference.prop_map(|to| json!({ "$ref": to })),
        (0u64..3).prop_map(|n| json!({"minItems": n, "minProperties": n, "minLength": n})),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..3);
        let named = prop::collection::btree_map(name(), inner.clone(), 0..3);
        let one = prop::sample::select(vec![
            "items",
            "additionalProperties",
            "not",
            "contains",
            "if",
            "then",
            "else",
            "propertyNames",
            "unevaluatedProperties",
            "unevaluatedItems",
        ]);
        let many = prop::sample::select(vec!["anyOf", "oneOf", "allOf", "prefixItems"]);
        let map = prop::sample::select(vec!["properties", "dependentSchemas"]);
        let part = prop_oneof![
            (one, inner).prop_map(|(key, schema)| json!({ key: schema })),
            (many, several).prop_map(|(key, schemas)| json!({ key: schemas })),
            (map, named).prop_map(|(key, schemas)| json!({ key: schemas })),
        ];
        prop::collection::vec(part, 1..4).prop_map(|parts| {
            let parts = parts
                .into_iter()
                .filter_map(|part| part.as_object().cloned());
            Value::Object(parts.flatten().collect())
        })
    })
}

fn document() -> impl Strategy<Value = Value> {
    (schema(), schema(), schema()).prop_map(|(root, d, e)| {
        let mut root = root.as_object().cloned().unwrap_or_default();
        root.insert("$defs".to_owned(), json!({"d": d, "e": e}));
        Value::Object(root)
    })
}

/// Arguments by the names that they have on the wire.
fn wired(value: &Value, fitted: &Value, names: &Names) -> Value {
    let mut wired = value.as_object().cloned().unwrap_or_default();
    for key in fitted["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
    {
        let mut calls = [ToolCall::new("1", "t", json!({ (key): null }).to_string())];
        names.restore(&mut calls);
        let own: Map<String, Value> = serde_json::from_str(&calls[0].arguments).unwrap();
        let own = own.keys().next().unwrap();
        if own != key
            && let Some(value) = wired.remove(own)
        {
            wired.insert(key.clone(), value);
        }
    }
    Value::Object(wired)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the schema: the API takes what is declared, and whatever fits the original fits that too.
    #[test]
    fn every_schema_fits_its_api_and_takes_what_it_took(
        schema in document(),
        values in prop::collection::vec(prop::collection::btree_map(name(), any_value(), 0..4), 8),
    ) {
        let original = jsonschema::options().build(&schema).ok();
        for format in MODELS {
            let Ok((fitted, _)) = fitted(format, schema.clone()) else {
                continue;
            };
            prop_assert_eq!(refusals(format, &fitted), Vec::<String>::new(), "{}: {} of {}", format, fitted, schema);
            let rewritten = jsonschema::draft202012::new(&fitted);
            prop_assert!(rewritten.is_ok(), "{}: {}", format, fitted);
            let rewritten = rewritten.unwrap();
            let declared = tool("t", schema.clone());
            let names = Names::of_tools(format, &[&declared]);
            for value in &values {
                let value = json!(value);
                let wired = wired(&value, &fitted, &names);
                let fits = original.as_ref().is_some_and(|original| original.is_valid(&value));
                prop_assert!(
                    !fits || rewritten.is_valid(&wired),
                    "{}: {} fits {} and not {}", format, value, schema, fitted
                );
            }
        }
    }
}
