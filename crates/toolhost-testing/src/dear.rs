//! Schemas that cost far more to hold values against than they have bytes, as the tools of an MCP server, and
//! arguments for them.

use serde_json::{Map, Value, json};

use crate::binary::Folder;
use crate::root;

/// The pattern of a report: each character of a text is looked at anew for each before it, unless it is matched in
/// one pass.
pub const LOOK_AROUND: &str = "^(?:a(?![^b]*b))*$";

/// Takes three times as long with every level: each asks all of those in it twice what they evaluated.
fn unevaluated(levels: usize) -> Value {
    let mut schema =
        json!({ "properties": { "x": { "type": "string" } }, "unevaluatedProperties": false });
    for _ in 0..levels {
        schema = json!({ "allOf": [schema], "unevaluatedProperties": false });
    }
    schema
}

/// A tool with that input schema.
fn tool(name: &str, schema: Value) -> Value {
    let mut schema = schema;
    schema["type"] = json!("object");
    json!({ "name": name, "description": "x", "inputSchema": schema,
            "annotations": { "readOnlyHint": true } })
}

fn of(property: Value) -> Value {
    json!({ "properties": { "v": property } })
}

/// The tools.
pub fn tools() -> Vec<Value> {
    let entries: Vec<usize> = (0..40_000).collect();
    let endless = unevaluated(40);
    let mut answers = tool("answers", json!({}));
    answers["outputSchema"] = endless.clone();
    answers["outputSchema"]["type"] = json!("object");
    vec![
        tool(
            "healthy",
            of(json!({ "type": "string", "pattern": "^[a-z]+$" })),
        ),
        tool("endless", endless),
        answers,
        tool(
            "look_around",
            of(json!({ "type": "string", "pattern": LOOK_AROUND })),
        ),
        tool(
            "negated",
            of(json!({ "items": { "not": { "enum": entries } } })),
        ),
        // One pass, and for every byte a set of a thousand states that was not there before.
        tool("thrashing", of(json!({ "pattern": "^[ab]*a[ab]{1000}$" }))),
        tool("unique", of(json!({ "uniqueItems": true }))),
        tool(
            "strings",
            json!({ "additionalProperties": { "items": { "type": "string" } } }),
        ),
        tool(
            "names",
            json!({ "patternProperties": { "^[ab]*a[ab]{200}$": true }, "additionalProperties": false }),
        ),
        tool(
            "alternatives",
            of(
                json!({ "items": { "anyOf": [{ "enum": (0..40_000).collect::<Vec<_>>() }, { "type": "null" }] } }),
            ),
        ),
    ]
}

/// What an endless check is of.
pub fn endless() -> Value {
    json!({ "x": "a" })
}

/// A text that no pattern is done with before its end.
pub fn text(length: usize) -> String {
    let mut state = 7_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if state >> 31 == 0 { 'a' } else { 'b' }
    };
    (0..length).map(next).collect()
}

/// Arrays that all have the same numbers in the same order, and differ in their brackets.
pub fn brackets(count: usize) -> Vec<Value> {
    let brackets = |number: usize| {
        let mut array = json!([]);
        for bit in 0..16 {
            array = match number >> bit & 1 {
                0 => json!([array, bit]),
                _ => json!([[array, bit]]),
            };
        }
        array
    };
    (0..count).map(brackets).collect()
}

/// Schemas that would take far more memory than they have bytes, by name.
pub fn bombs() -> Vec<(&'static str, Value)> {
    let leaves: Map<String, Value> = (0..4_000)
        .map(|number| (format!("p{number}"), json!({ "type": "string" })))
        .collect();
    let long = json!({ "properties": { "k".repeat(100_000): { "properties": leaves } } });
    let mut nots = json!({ "enum": vec![1; 90_000] });
    for _ in 0..50 {
        nots = json!({ "not": nots });
    }
    // Each of the choices keeps the path to it.
    let empty =
        json!({ "properties": { "k".repeat(60_000): { "anyOf": vec![json!({}); 4_000] } } });
    vec![("paths", long), ("nots", nots), ("empty", empty)]
}

/// Writes a server of these tools down; its section of a manifest, with `more` lines.
pub fn section(folder: &Folder, tools: &[Value], more: &str) -> String {
    let path = folder.write("tools.json", Value::from(tools).to_string());
    let server = root().join("crates/toolhost-testing/src/dear_schemas.py");
    let args = [server.to_str().unwrap(), path.to_str().unwrap()];
    format!("[mcp.dear]\ncommand = 'python3'\nargs = {args:?}\n{more}\n")
}

/// Calls that compute side by side if nothing keeps them from it.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}
