//! Queries JSON documents with jq programs.

mod query;

use query::{Answers, Bounds};
use serde_json::value::RawValue;
use toolhost_plugin::{Error, Output, arguments, plugin, serde_json, tool};

plugin!(json_query);

const DEFAULT_LIMIT: usize = 100;
/// A model reads no more with profit, and hosts bound what a call may answer.
const MAX_BYTES: usize = 200_000;
const MAX_DEPTH: usize = 200;

#[arguments]
#[serde(deny_unknown_fields)]
struct Query {
    /// The document: any JSON value, or a string with JSON text (several JSON texts, for instance JSON Lines, are queried one
    /// after another).
    #[schemars(with = "serde_json::Value")]
    document: Box<RawValue>,
    /// jq program, such as ".items[] | select(.price < 10) | {name, price}", "map(.size) | add", "keys", "group_by(.type)".
    program: String,
    /// Write string results without quotes (jq's -r).
    #[serde(default)]
    raw: bool,
    /// Maximum number of results. Default: 100.
    #[schemars(range(min = 1, max = 10000))]
    limit: Option<usize>,
}

/// Runs a jq program on a JSON document: selects, reshapes, filters, counts, sorts, groups. Each result is one line of compact
/// JSON, like jq -c.
#[tool(title = "Query JSON", read_only, idempotent, closed_world)]
fn json_query(args: Query) -> Result<Output, Error> {
    let document = args.document.get();
    let text = if document.starts_with('"') {
        Some(serde_json::from_str::<String>(document)?)
    } else {
        None
    };
    let text = text.as_deref().unwrap_or(document);
    if depth(text) > MAX_DEPTH {
        return Err(Error::invalid_arguments(format!(
            "document is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    if depth(&args.program) > MAX_DEPTH {
        return Err(Error::invalid_arguments(format!(
            "program is nested deeper than {MAX_DEPTH} levels"
        )));
    }
    let bounds = Bounds {
        results: args.limit.unwrap_or(DEFAULT_LIMIT),
        bytes: MAX_BYTES,
    };
    let answers = query::run(text, &args.program, args.raw, bounds)?;
    Ok(output(answers))
}

/// How deep brackets nest, outside of strings. jaq reads by recursion, and a sandbox's stack is small.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b'(' if !in_string => depth += 1,
            b']' | b'}' | b')' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn output(answers: Answers) -> Output {
    if answers.lines.is_empty() && answers.cut.is_none() {
        return Output::text("No results.");
    }
    let output = Output::text(answers.lines.join("\n"));
    match answers.cut {
        // A content of its own: the first one stays JSON.
        Some(why) => output.with_text(why),
        None => output,
    }
}

#[cfg(test)]
mod tests {
    use super::{Query, json_query};
    use toolhost_plugin::{Content, serde_json};

    fn query(arguments: &str) -> Result<Vec<String>, String> {
        let query: Query = serde_json::from_str(arguments).unwrap();
        let output = json_query(query).map_err(|error| error.message().to_owned())?;
        let text = |content: &Content| match content {
            Content::Text(text) => text.clone(),
            other => format!("{other:?}"),
        };
        Ok(output.content().iter().map(text).collect())
    }

    #[test]
    fn documents_are_values_or_text() {
        assert_eq!(
            query(r#"{"document":{"a":[1,2]},"program":".a | add"}"#).unwrap(),
            ["3"]
        );
        assert_eq!(
            query(r#"{"document":"{\"a\":\"x\"}","program":".a"}"#).unwrap(),
            [r#""x""#]
        );
        assert_eq!(
            query(r#"{"document":"1\n2","program":".+1"}"#).unwrap(),
            ["2\n3"]
        );
        assert_eq!(
            query(r#"{"document":["x","y"],"program":".[]","raw":true}"#).unwrap(),
            ["x\ny"]
        );
        assert_eq!(
            query(r#"{"document":100000000000000000001,"program":"."}"#).unwrap(),
            ["100000000000000000001"]
        );
        assert_eq!(
            query(r#"{"document":[],"program":".[]"}"#).unwrap(),
            ["No results."]
        );
    }

    #[test]
    fn endless_programs_are_cut() {
        let cut = query(r#"{"document":0,"program":"repeat(.)","limit":2}"#).unwrap();
        assert_eq!(
            cut,
            ["0\n0", "Stopped after 2 results (`limit`): there are more."]
        );
    }

    #[test]
    fn errors_say_where() {
        let error = |arguments| query(arguments).unwrap_err();
        assert_eq!(
            error(r#"{"document":1,"program":". | "}"#),
            "program: expected term at the end"
        );
        assert_eq!(
            error(r#"{"document":1,"program":"1 2"}"#),
            "program: expected an operator or the end at column 3, found \"2\""
        );
        assert_eq!(
            error(r#"{"document":1,"program":"foo(1) +\n$x"}"#),
            "program: filter `foo` is not defined, at line 1, column 1; variable `$x` is not defined, at line 2, column 1"
        );
        assert_eq!(
            error(r#"{"document":[1],"program":".a"}"#),
            "jq: cannot index [1] with \"a\""
        );
        assert_eq!(
            error(r#"{"document":"{\"a\":","program":"."}"#),
            "document is a string that is not JSON: byte offset 5: value expected"
        );
        assert!(
            error(&format!(
                r#"{{"document":"{}","program":"."}}"#,
                "[".repeat(100_000)
            ))
            .contains("nested")
        );
        assert_eq!(
            query(r#"{"document":1,"program":"1, halt, 2"}"#).unwrap(),
            ["1"]
        );
    }
}
