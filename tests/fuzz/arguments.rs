//! Arguments of real tools, held against a second reading of their schemas: those that fit pass as they
//! are, those that are repaired fit, and once repaired they stay.
//!
//! An input is a tool's name, and after its line the arguments.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use toolhost::{CallError, Plan, Repair, Tool, ToolCall, ToolHost};

use crate::common;
use crate::common::arbitrary::value;
use crate::harness::{Checked, corpus, fuzz};
use crate::mutate::{arbitrary, mutated};

pub const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "0",
    "1.0",
    "1e400",
    "-0.0",
    "1e15",
    "0.5",
    "\u{feff}",
    "18446744073709551616",
    "123456789012345678901234567890",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\\",
    "\0",
    "\n",
    "é",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "\"text\":",
    "\"count\":",
    "\"order\":",
    "\"\"",
    "{}",
    "[]",
    "```json\n",
    "\n```",
    "\"1\"",
    "\"true\"",
    "\"[1]\"",
    "\"{}\"",
];

const GUESTS: &[&str] = &[
    "bfcl",
    "calculator",
    "fetch",
    "filesystem",
    "json",
    "misbehave",
    "time",
];

#[test]
fn arguments() {
    let seeds = corpus("arguments");
    let files = seeds.iter().map(|(_, text)| text.clone()).collect();
    let tools: Vec<&Tool> = host().tools().collect();
    let named = select(
        tools
            .iter()
            .map(|tool| tool.name.clone())
            .collect::<Vec<_>>(),
    );
    let inputs = prop_oneof![
        2 => mutated(files, WORDS),
        1 => (named, arbitrary()).prop_map(|(name, text)| [name.as_bytes(), b"\n", &text].concat()),
        6 => select(tools).prop_flat_map(called),
    ];
    fuzz("arguments", &seeds, inputs, check);
}

/// A host is loaded once; nothing is run on it.
fn host() -> &'static ToolHost {
    static HOST: OnceLock<(tokio::runtime::Runtime, ToolHost)> = OnceLock::new();
    let (_, host) = HOST.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let host = runtime.block_on(common::host(GUESTS));
        (runtime, host)
    });
    host
}

/// Good is what would be run.
pub fn check(input: &[u8]) -> Checked {
    let text = String::from_utf8_lossy(input);
    let (name, arguments) = text.split_once('\n').unwrap_or((&text, ""));
    let planned = host().plan(&ToolCall::new("id", name, arguments));
    let exact = host().tools().find(|tool| tool.name == name);
    // What a template left on a name may be taken off.
    let Some(tool) = exact.or(host().tool(name).filter(|tool| name.contains(&tool.name))) else {
        return match planned {
            Err(CallError::UnknownTool { .. }) => Ok(false),
            other => Err(format!("there is no such tool: {:?}", other.err())),
        };
    };
    // No text at all stands for an empty object.
    let given = if arguments.trim_ascii().is_empty() {
        "{}"
    } else {
        arguments
    };
    let value: Result<Value, _> = serde_json::from_str(given.trim_ascii());
    // Only of what is not nested too deep to be read.
    let is_unique = || serde_json::from_str::<Unique>(given.trim_ascii()).is_ok();
    let wrong = match &value {
        Ok(value) if value.is_object() && is_unique() => {
            let mut wrong = Vec::new();
            misfits(&tool.input_schema, value, "", &mut wrong);
            wrong
        }
        _ => vec![String::new()],
    };
    match planned {
        Ok(plan) if plan.tool.name != tool.name => Err(format!("{} would run", plan.tool.name)),
        Ok(plan) => repaired(&plan, given.trim_ascii(), wrong).map(|()| true),
        Err(CallError::InvalidArguments { problems }) => {
            if wrong.is_empty() {
                return Err(format!("refused, and fit: {problems:?}"));
            }
            let told = problems
                .iter()
                .all(|problem| wrong.contains(&problem.pointer));
            if problems.is_empty() || !told {
                return Err(format!("{problems:?}, and wrong at {wrong:?}"));
            }
            Ok(false)
        }
        Err(other) => Err(format!("{other:?}")),
    }
}

/// Whether what would run is what was written, or a repair of it.
fn repaired(plan: &Plan, written: &str, wrong: Vec<String>) -> Result<(), String> {
    let (arguments, repairs) = (&plan.arguments, &plan.repairs);
    let value: Value = serde_json::from_str(arguments).map_err(|error| error.to_string())?;
    if repairs.is_empty() {
        return match (&**arguments == written, wrong.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("{written} became {arguments}, and nobody said so")),
            (true, false) => Err(format!("accepted, and wrong at {wrong:?}")),
        };
    }
    let mut still = Vec::new();
    misfits(&plan.tool.input_schema, &value, "", &mut still);
    if !still.is_empty() {
        return Err(format!(
            "{arguments} was repaired, and is wrong at {still:?}"
        ));
    }
    let is_spelling = |repair: &Repair| repair.what == "a whole number written with a fraction";
    if wrong.is_empty() && !repairs.iter().all(is_spelling) {
        return Err(format!(
            "{written} fits, and became {arguments}: {repairs:?}"
        ));
    }
    let again = host().plan(&ToolCall::new("id", &plan.tool.name, arguments));
    match again {
        Ok(again) if again.repairs.is_empty() && again.arguments == *arguments => Ok(()),
        other => Err(format!("{arguments} became {other:?}")),
    }
}

/// JSON without a name that is twice in one object.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let _parts: Vec<Unique> = match json.as_bytes()[0] {
            b'{' => {
                let mut names = Names::default();
                serde_json::Deserializer::from_str(json)
                    .deserialize_map(&mut names)
                    .map_err(D::Error::custom)?;
                names.values
            }
            b'[' => serde_json::from_str(json).map_err(D::Error::custom)?,
            _ => Vec::new(),
        };
        Ok(Unique)
    }
}

#[derive(Default)]
struct Names {
    seen: BTreeSet<String>,
    values: Vec<Unique>,
}

impl<'de> Visitor<'de> for &mut Names {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some((name, value)) = members.next_entry()? {
            if !self.seen.insert(name) {
                return Err(A::Error::custom("twice"));
            }
            self.values.push(value);
        }
        Ok(())
    }
}

/// The places in a value that do not fit, for what the schemas of [`GUESTS`] use.
fn misfits(schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    for (keyword, given) in schema.as_object().expect("a schema") {
        let list = || given.as_array().expect("an array");
        let bound = || given.as_f64().expect("a number");
        let items = value.as_array().map_or(0, Vec::len) as f64;
        let fits = match &**keyword {
            "type" => match given.as_str() {
                Some(name) => is_of(name, value),
                None => list()
                    .iter()
                    .any(|name| is_of(name.as_str().unwrap(), value)),
            },
            "enum" => list().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= bound()),
            "maximum" => value.as_f64().is_none_or(|number| number <= bound()),
            "minItems" => !value.is_array() || items >= bound(),
            "maxItems" => !value.is_array() || items <= bound(),
            "required" => {
                let has = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                !value.is_object() || list().iter().all(has)
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    misfits(given, item, &format!("{at}/{number}"), wrong);
                }
                true
            }
            "properties" => {
                for (name, schema) in given.as_object().expect("properties") {
                    if let Some(member) = value.get(name) {
                        misfits(schema, member, &format!("{at}/{name}"), wrong);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object();
                let is_known = |name: &String| known.is_some_and(|known| known.contains_key(name));
                let members = value.as_object().into_iter().flatten();
                let others: Vec<_> = members.filter(|(name, _)| !is_known(name)).collect();
                for (name, member) in &others {
                    if given.is_object() {
                        let name = name.replace('~', "~0").replace('/', "~1");
                        misfits(given, member, &format!("{at}/{name}"), wrong);
                    }
                }
                given != &json!(false) || others.is_empty()
            }
            "description" | "default" => true,
            other => panic!("this test knows no `{other}`"),
        };
        if !fits {
            wrong.push(at.to_owned());
        }
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        // 1.0 is one.
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
        }
        other => panic!("this test knows no type `{other}`"),
    }
}

#[derive(Clone, Debug)]
enum Change {
    None,
    Delete(Index),
    Replace(Index, Value),
    Add(String, Value),
    /// The same key twice; the last one counts.
    Twice(Index, Value),
    /// A value as text.
    Written(Index),
    Null(Index),
    /// All of it as text, or in a fence.
    Wrapped(bool),
}

/// A call of a tool with arguments that fit, or with one thing wrong.
fn called(tool: &Tool) -> impl Strategy<Value = Vec<u8>> + use<> {
    let name = tool.name.clone();
    let change = prop_oneof![
        3 => Just(Change::None),
        1 => any::<Index>().prop_map(Change::Delete),
        2 => (any::<Index>(), value()).prop_map(|(at, value)| Change::Replace(at, value)),
        1 => ("[a-z/~]{0,4}", value()).prop_map(|(name, value)| Change::Add(name, value)),
        1 => (any::<Index>(), value()).prop_map(|(at, value)| Change::Twice(at, value)),
        3 => any::<Index>().prop_map(Change::Written),
        1 => any::<Index>().prop_map(Change::Null),
        1 => any::<bool>().prop_map(Change::Wrapped),
    ];
    (fitting(&tool.input_schema), change).prop_map(move |(value, change)| {
        let mut members = match value {
            Value::Object(members) => members,
            other => unreachable!("arguments are an object: {other}"),
        };
        let (mut twice, mut wrapped) = (None, None);
        let key = |members: &Map<String, Value>, at: &Index| -> Option<String> {
            let keys: Vec<&String> = members.keys().collect();
            (!keys.is_empty()).then(|| at.get(&keys).to_string())
        };
        match change {
            Change::None => {}
            Change::Delete(at) => {
                key(&members, &at).map(|key| members.remove(&key));
            }
            Change::Replace(at, value) => {
                key(&members, &at).map(|key| members.insert(key, value));
            }
            Change::Add(name, value) => {
                members.insert(name, value);
            }
            Change::Twice(at, value) => twice = key(&members, &at).map(|key| (key, value)),
            Change::Written(at) => {
                if let Some(value) = key(&members, &at).and_then(|key| members.get_mut(&key)) {
                    *value = value.to_string().into();
                }
            }
            Change::Null(at) => {
                key(&members, &at).map(|key| members.insert(key, Value::Null));
            }
            Change::Wrapped(in_fence) => wrapped = Some(in_fence),
        }
        let mut text = Value::Object(members).to_string();
        if let Some((key, value)) = twice {
            text.pop();
            text.push_str(&format!(",{}:{value}}}", Value::from(key)));
        }
        match wrapped {
            None => format!("{name}\n{text}"),
            Some(true) => format!("{name}\n```json\n{text}\n```"),
            Some(false) => format!("{name}\n{}", Value::from(text)),
        }
        .into_bytes()
    })
}

/// Values that fit a schema.
fn fitting(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(choices) = schema["enum"].as_array() {
        return select(choices.clone()).boxed();
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return value().boxed(),
    };
    let of = types.into_iter().map(|name| fitting_type(name, schema));
    proptest::strategy::Union::new(of).boxed()
}

fn fitting_type(name: &str, schema: &Value) -> BoxedStrategy<Value> {
    let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
    let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
    match name {
        "null" => Just(Value::Null).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "string" => any::<String>().prop_map(Value::from).boxed(),
        "integer" => {
            let whole = (least..=most).prop_map(Value::from);
            // Written as a fraction, as some models do.
            let near = least.max(-1000)..=most.min(1000).max(least);
            prop_oneof![4 => whole, 1 => near.prop_map(|n| Value::from(n as f64))].boxed()
        }
        "number" => prop_oneof![any::<f64>(), (-10..10).prop_map(f64::from)]
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(Value::from)
            .boxed(),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
            let most = schema["maxItems"].as_u64().unwrap_or(6) as usize;
            vec(fitting(&schema["items"]), least..=most.min(least + 6))
                .prop_map(Value::from)
                .boxed()
        }
        "object" => fitting_object(schema),
        other => panic!("this test knows no type `{other}`"),
    }
}

fn fitting_object(schema: &Value) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let members: Vec<_> = properties
        .map(|(name, schema)| {
            let member = fitting(schema).prop_map(Some);
            let member = match required.contains(&json!(name)) {
                true => member.boxed(),
                false => prop_oneof![Just(None), member].boxed(),
            };
            (Just(name.clone()), member)
        })
        .collect();
    let others = match &schema["additionalProperties"] {
        Value::Bool(false) => Just(Map::new()).boxed(),
        // Capitals, so that none is one of the known.
        open => vec(("[A-Z/~]{0,3}", fitting(open)), 0..3)
            .prop_map(|others| others.into_iter().collect())
            .boxed(),
    };
    (members, others)
        .prop_map(|(members, mut object)| {
            let there = members
                .into_iter()
                .filter_map(|(name, member)| Some((name, member?)));
            object.extend(there);
            Value::Object(object)
        })
        .boxed()
}
