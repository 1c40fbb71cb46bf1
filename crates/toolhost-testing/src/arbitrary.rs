//! JSON and calls for property tests.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value};
use toolhost_wire::ToolCall;

use crate::responses::Pieces;

/// Any JSON.
pub fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-20..20).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z]{1,3}", inner), 0..4).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Objects of whatever JSON can hold, with keys that differ.
pub fn object() -> impl Strategy<Value = Map<String, Value>> {
    vec((any::<String>(), value()), 0..5).prop_map(|members| {
        let mut seen = HashSet::new();
        let members = members
            .into_iter()
            .filter(|(key, _)| seen.insert(key.clone()));
        members.collect()
    })
}

/// Arguments as a model may write them: an object, with digits that no [`Value`] holds, with
/// braces and quotes in strings, with spaces between.
pub fn arguments() -> impl Strategy<Value = String> {
    let strange = select(vec![
        "{}",
        r#"{"n":12345678901234567890123.450}"#,
        r#"{ "a" : [ "}]", "{\"\\" ] , "b" : 1e2 }"#,
        r#"{"é":"😀\u00e9\ud83d\ude00"}"#,
        r#"{"a":{"a":{"a":[[],{}]}}}"#,
    ]);
    prop_oneof![
        3 => object().prop_map(|object| Value::from(object).to_string()),
        1 => strange.prop_map(str::to_owned),
    ]
}

/// Up to so many calls whose ids, if they have any, are such as this makes.
pub fn calls<I>(ids: I, most: usize) -> impl Strategy<Value = Vec<ToolCall>>
where
    I: Strategy<Value = Option<String>>,
{
    let name = prop_oneof![3 => "[A-Za-z0-9_-]{1,64}", 1 => ".{1,20}"];
    let call = (ids, name, arguments())
        .prop_map(|(id, name, arguments)| ToolCall::new("", name, arguments).with_id(id));
    vec(call, 0..=most)
}

/// The calls with their arguments cut between any two characters.
pub fn in_pieces(calls: Vec<ToolCall>) -> impl Strategy<Value = Vec<Pieces>> {
    let calls = calls.into_iter().map(|call| {
        vec(any::<Index>(), 0..5).prop_map(move |cuts| Pieces {
            pieces: cut(&call.arguments, cuts),
            call: call.clone(),
        })
    });
    calls.collect::<Vec<_>>()
}

/// Cuts a text between its characters.
pub fn cut(text: &str, at: Vec<Index>) -> Vec<String> {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    if places.is_empty() {
        return Vec::new();
    }
    let mut at: Vec<usize> = at.into_iter().map(|at| *at.get(&places)).collect();
    at.sort_unstable();
    let starts = std::iter::once(0).chain(at.iter().copied());
    let ends = at.iter().copied().chain([text.len()]);
    let pieces = starts.zip(ends);
    pieces
        .map(|(start, end)| text[start..end].to_owned())
        .collect()
}
