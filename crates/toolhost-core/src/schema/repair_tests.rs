//! Property tests: what holds for every repair, whatever the schema and the arguments.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::{Schema, pointer};

const NAMES: [&str; 4] = ["a", "b", "c", "kind"];

fn schemas() -> impl Strategy<Value = Value> {
    let types = select(vec![
        "null", "boolean", "integer", "number", "string", "array", "object",
    ]);
    let leaf = prop_oneof![
        6 => types.clone().prop_map(|name| json!({ "type": name })),
        2 => vec(types, 1..3).prop_filter_map("types that differ", |names| {
            (names.len() < 2 || names[0] != names[1]).then(|| json!({ "type": names }))
        }),
        1 => vec(scalars(), 1..3).prop_map(|values| json!({ "enum": values })),
        1 => scalars().prop_map(|value| json!({ "const": value })),
        1 => Just(json!({})),
        1 => Just(json!(true)),
        1 => Just(json!({ "$ref": "#" })),
        1 => Just(json!({ "$ref": "#/$defs/d" })),
        1 => Just(json!({ "type": "integer", "minimum": 2 })),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let of = |key: &'static str| {
            let inner = inner.clone();
            vec(inner, 1..4).prop_map(move |parts| json!({ key: parts }))
        };
        prop_oneof![
            6 => objects(inner.clone()),
            2 => inner.clone().prop_map(|items| json!({ "type": "array", "items": items })),
            1 => (inner.clone(), inner.clone()).prop_map(|(first, others)| {
                json!({ "prefixItems": [first], "items": others })
            }),
            2 => of("anyOf"),
            2 => of("oneOf"),
            1 => of("allOf"),
            1 => inner.clone().prop_map(|not| json!({ "not": not })),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(if_, then, else_)| {
                json!({ "if": if_, "then": then, "else": else_ })
            }),
        ]
    })
}

fn objects(inner: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Value> {
    let properties = vec((select(NAMES.to_vec()), inner.clone()), 0..4);
    let required = vec(select(NAMES.to_vec()), 0..2);
    let others = prop_oneof![
        3 => Just(None),
        2 => Just(Some(json!(false))),
        1 => inner.clone().prop_map(Some),
    ];
    let pattern = proptest::option::of(inner);
    (properties, required, others, pattern).prop_map(
        |(properties, mut required, others, pattern)| {
            required.dedup();
            let properties: Map<String, Value> = properties
                .into_iter()
                .map(|(name, schema)| (name.to_owned(), schema))
                .collect();
            let mut schema =
                json!({ "type": "object", "properties": properties, "required": required });
            if let Some(others) = others {
                schema["additionalProperties"] = others;
            }
            if let Some(pattern) = pattern {
                schema["patternProperties"] = json!({ "^[bk]": pattern });
            }
            schema
        },
    )
}

fn scalars() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(1),
        json!(2.0),
        json!(2.5),
        json!("1"),
        json!("true"),
        json!("x"),
        json!("[1]"),
        json!("{\"a\":\"1\"}"),
    ])
}

/// Generates arguments that nearly match a schema: here and there a value is written as a string,
/// is null, or is a number where a string is required.
struct Draw<'s> {
    root: &'s Value,
    choices: std::slice::Iter<'s, u8>,
}

impl Draw<'_> {
    fn choice(&mut self, of: usize) -> usize {
        usize::from(self.choices.next().copied().unwrap_or(0)) % of.max(1)
    }

    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        let value = self.fitting(schema, depth);
        match (self.choice(6), &value) {
            (1, Value::String(_)) => json!(7),
            (1 | 2, value) if depth > 0 => json!(value.to_string()),
            (3, Value::Number(number)) => json!(number.as_f64()),
            (4, _) if depth > 0 => Value::Null,
            _ => value,
        }
    }

    fn fitting(&mut self, schema: &Value, depth: usize) -> Value {
        if depth > 6 {
            return json!(1);
        }
        match schema.get("$ref").and_then(Value::as_str) {
            Some("#") => return self.fitting(self.root, depth + 1),
            Some(_) => return json!(3),
            None => {}
        }
        for key in ["anyOf", "oneOf", "allOf", "enum"] {
            if let Some(parts) = schema.get(key).and_then(Value::as_array) {
                let part = &parts[self.choice(parts.len())];
                return match key {
                    "enum" => part.clone(),
                    _ => self.fitting(part, depth + 1),
                };
            }
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(branch) = schema.get("then") {
            return self.fitting(branch, depth + 1);
        }
        let name = match &schema["type"] {
            Value::Array(names) => names[self.choice(names.len())].as_str(),
            name => name.as_str(),
        };
        let items = schema.get("items");
        match name {
            _ if items.is_some() => {
                let first = schema["prefixItems"].as_array().into_iter().flatten();
                let others = (0..self.choice(3)).filter_map(|_| items);
                let parts: Vec<&Value> = first.chain(others).collect();
                parts
                    .into_iter()
                    .map(|part| self.value(part, depth + 1))
                    .collect()
            }
            Some("null") => Value::Null,
            Some("boolean") => json!(self.choice(2) == 0),
            Some("integer") => json!(self.choice(4)),
            Some("number") => json!(2.5),
            Some("array") => json!([self.choice(3), "x"]),
            Some("object") => self.members(schema, depth),
            _ => json!(["1", "x", "[1]"][self.choice(3)]),
        }
    }

    fn members(&mut self, schema: &Value, depth: usize) -> Value {
        let mut members = Map::new();
        for name in NAMES {
            let known = schema["properties"].get(name);
            let pattern = schema["patternProperties"].get("^[bk]");
            let pattern = pattern.filter(|_| name.starts_with(['b', 'k']));
            let is_required = schema["required"]
                .as_array()
                .is_some_and(|all| all.contains(&json!(name)));
            let part = known.or(pattern).or(schema.get("additionalProperties"));
            let part = part.unwrap_or(&Value::Bool(true));
            if is_required || (self.choice(2) == 1 && part != &json!(false)) {
                members.insert(name.to_owned(), self.value(part, depth + 1));
            }
        }
        Value::Object(members)
    }
}

/// The same with every whole number written as an integer.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 => json!(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .map(|(name, value)| (name.clone(), plain(value)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

/// The arguments with what was written at `path` put back; `None` if it was inside a text.
fn put_back(mended: &Value, written: &Value, path: &str) -> Option<Value> {
    let was = written.pointer(path)?;
    let mut value = mended.clone();
    let (parent, name) = path.rsplit_once('/')?;
    let name = pointer::unescaped(name);
    match value.pointer_mut(parent)? {
        Value::Object(members) => drop(members.insert(name, was.clone())),
        Value::Array(items) => items[name.parse::<usize>().ok()?] = was.clone(),
        _ => return None,
    }
    Some(value)
}

fn check(mut source: Value, choices: &[u8]) -> Result<(), TestCaseError> {
    let Value::Object(root) = &mut source else {
        return Ok(());
    };
    root.insert(
        "$defs".to_owned(),
        json!({ "d": { "type": ["integer", "null"] } }),
    );
    let Ok((source, schema)) = Schema::parse(&source.to_string()) else {
        return Ok(());
    };
    let mut draw = Draw {
        root: &source,
        choices: choices.iter(),
    };
    let arguments = &draw.value(&source, 0);
    let written = arguments.to_string();
    let fits = schema.check_now(&written);
    let fitted = match schema.fit_now(&source, &written) {
        Ok(fitted) => fitted,
        Err(error) => {
            prop_assert_eq!(fits, Err(error), "the error is of what was written");
            return Ok(());
        }
    };
    prop_assert!(
        schema.check_now(&fitted.text).is_ok(),
        "what is repaired fits: {}",
        fitted.text
    );
    let mended: Value = serde_json::from_str(&fitted.text).unwrap();
    if fits.is_ok() {
        prop_assert_eq!(plain(&mended), plain(arguments), "what fits stays");
    }
    prop_assert_eq!(*fitted.text == written, fitted.repairs.is_empty());
    let again = schema.fit_now(&source, &fitted.text).unwrap();
    prop_assert_eq!(&again.text, &fitted.text, "once repaired it stays");
    prop_assert!(again.repairs.is_empty());
    for repair in &fitted.repairs {
        if !repair.what.contains("whole number")
            && let Some(back) = put_back(&mended, arguments, &repair.path)
        {
            let is_fit = schema.check_now(&back.to_string()).is_ok();
            prop_assert!(!is_fit, "{repair:?} was needless: {back} fits");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 5_000,
        max_global_rejects: 100_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_repair_is_needed_suffices_and_is_the_last(
        schema in objects(schemas().boxed()),
        choices in vec(any::<u8>(), 60),
    ) {
        check(schema, &choices)?;
    }

    #[test]
    fn so_it_is_under_schemas_of_any_shape(schema in schemas(), choices in vec(any::<u8>(), 60)) {
        check(schema, &choices)?;
    }
}
