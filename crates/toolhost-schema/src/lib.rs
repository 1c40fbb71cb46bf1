//! Validates JSON against a JSON Schema in steps that are counted, and stops when it is told to.
//!
//! Schemas and documents come from strangers, and a validator is code that no deadline ends. This one runs
//! [`jsonschema`] on a representation of JSON that counts every look at a value: see [`Watch`]. What
//! takes long without looking is done here: patterns by automata that take one step a byte
//! ([`Patterns`]), and `uniqueItems`.
//!
//! It is a crate of its own so that it is optimized wherever it is used: it recurses as deep as schemas do.

mod node;
mod pattern;
mod unique;
mod watch;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use node::{Counted, Node, Run, STOPPED};
pub use pattern::Patterns;
pub use watch::Watch;

/// Bytes that the errors of one validation may take.
const MAX_ERRORS: usize = 128 << 20;

/// What an error takes beside what it quotes.
const ERROR: usize = 1 << 10;

/// Looks at the clock at least as often as for this many bytes of names times states.
const MAX_NAME: u64 = 50_000_000;

/// A compiled JSON Schema.
#[derive(Debug)]
pub struct Validator {
    inner: jsonschema::Validator<Counted>,
    /// What an error may quote of the schema.
    quoted: usize,
    /// Whether what follows a stop may quote too much.
    is_quiet: bool,
    /// States of the automata that one name is held against.
    name_states: u64,
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where, as a JSON Pointer.
    pub pointer: String,
    /// What; the value itself is not quoted.
    pub message: String,
}

/// Why a value is not valid, if it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// The first of the reasons.
    For(Vec<Problem>),
    /// There are too many to look for them.
    Unexplained,
}

/// A validation was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl Validator {
    /// Compiles a schema of draft 2020-12 that unfolds to `size` subschemas. Its patterns are among
    /// `patterns`; a `$ref` out of it is an error.
    ///
    /// # Errors
    ///
    /// Where in the schema what is wrong.
    pub fn compile(schema: &Value, patterns: &Patterns, size: u64) -> Result<Validator, Problem> {
        let known = patterns.clone();
        let options = jsonschema::options_for::<Counted>()
            .offline()
            .with_pattern_options(
                jsonschema::PatternOptions::regex()
                    .size_limit(2 * pattern::MAX_PROGRAM)
                    .dfa_size_limit(pattern::MAX_CACHE),
            )
            .with_keyword("pattern", move |_, pattern, _| {
                pattern::keyword(&known, pattern)
            });
        let built = guarded(|| options.build(schema)).ok_or_else(|| Problem {
            pointer: String::new(),
            message: "the compiler of schemas panicked".to_owned(),
        })?;
        let inner = built.map_err(|error| Problem {
            pointer: error.instance_path().to_string(),
            message: error.masked().to_string(),
        })?;
        let quoted = quoted(schema);
        Ok(Validator {
            inner,
            quoted,
            is_quiet: (quoted as u64).saturating_mul(size) > MAX_ERRORS as u64,
            name_states: patterns.name_states(schema),
        })
    }

    /// Whether a name of so many bytes can be held against the schema's `patternProperties` in a moment.
    pub fn takes_name(&self, bytes: usize) -> bool {
        self.name_states.saturating_mul(bytes as u64) <= MAX_NAME
    }

    /// Whether a value is valid; it is taken for valid where the validator fails.
    ///
    /// # Errors
    ///
    /// It was stopped before this was known.
    pub fn is_valid(&self, value: &Value, watch: &Watch) -> Result<bool, Stopped> {
        let run = self.run(watch, usize::MAX);
        let is_valid = guarded(|| self.inner.is_valid(Node::new(value, &run)));
        // What cannot be told is not enforced.
        let is_valid = is_valid.unwrap_or(true);
        match run.is_over() {
            true => Err(Stopped),
            false => Ok(is_valid),
        }
    }

    /// Why a value that is not valid is not, in `most` problems. The value and the longest pointer into it take
    /// `size` bytes together: errors are made while there is room for as many copies.
    ///
    /// # Errors
    ///
    /// It was stopped before this was known.
    pub fn reasons(
        &self,
        value: &Value,
        size: usize,
        most: usize,
        watch: &Watch,
    ) -> Result<Invalid, Stopped> {
        if self.is_quiet {
            return Ok(Invalid::Unexplained);
        }
        let each = ERROR.saturating_add(self.quoted).saturating_add(size);
        let run = self.run(watch, MAX_ERRORS / each + 1);
        let errors = guarded(|| self.inner.iter_errors(Node::new(value, &run)));
        let Some(errors) = errors else {
            return Ok(Invalid::Unexplained);
        };
        // What was found after the end was found in a document that is not there.
        let errors = errors.filter(|error| !std::ptr::eq(&**error.instance(), &STOPPED));
        let problems: Vec<Problem> = errors
            .take(most)
            .map(|error| Problem {
                pointer: error.instance_path().to_string(),
                message: said(&error),
            })
            .collect();
        if watch.has_stopped() {
            return Err(Stopped);
        }
        Ok(match problems[..] {
            [] => Invalid::Unexplained,
            _ => Invalid::For(problems),
        })
    }

    fn run<'w>(&self, watch: &'w Watch<'w>, errors: usize) -> Run<'w> {
        Run {
            watch,
            errors: Cell::new(errors),
            name_rate: 1 + self.name_states / 64,
        }
    }
}

/// More than so many values are not listed.
const MOST_SAID: usize = 20;

/// What is wrong, with what is allowed instead where that can be listed.
fn said(error: &ValidationError) -> String {
    let allowed = match is_a_choice(error) {
        true => allowed(error),
        false => None,
    };
    match allowed.as_deref().and_then(<[String]>::split_last) {
        Some((last, [])) => format!("value must be {last}"),
        Some((last, others)) => format!("value must be {} or {last}", others.join(", ")),
        None => error.masked().to_string(),
    }
}

fn is_a_choice(error: &ValidationError) -> bool {
    use ValidationErrorKind::{AnyOf, OneOfNotValid};
    matches!(error.kind(), AnyOf { .. } | OneOfNotValid { .. })
}

/// The values and types of which the value would have to be one, each once, where they are few: a schema may have tens of
/// thousands.
fn allowed(error: &ValidationError) -> Option<Vec<String>> {
    use ValidationErrorKind as Kind;
    let mut allowed = Vec::new();
    match error.kind() {
        Kind::Enum { options } => {
            let options = options.as_array().filter(|it| it.len() <= MOST_SAID)?;
            allowed.extend(options.iter().map(Value::to_string));
        }
        Kind::Constant { expected_value } => allowed.push(expected_value.to_string()),
        Kind::Type { kind } => match kind {
            TypeKind::Single(of) => allowed.push(named(*of).to_owned()),
            TypeKind::Multiple(all) => allowed.extend(all.iter().map(|of| named(of).to_owned())),
        },
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            for branch in context {
                let here = |it: &&ValidationError| it.instance_path() == error.instance_path();
                // Values say more than their type.
                let is_type = |it: &&ValidationError| matches!(it.kind(), Kind::Type { .. });
                let of_branch = branch.iter().filter(here);
                let said = of_branch.min_by_key(is_type)?;
                for one in self::allowed(said)? {
                    if !allowed.contains(&one) {
                        allowed.push(one);
                    }
                }
                if allowed.len() > MOST_SAID {
                    return None;
                }
            }
        }
        _ => return None,
    }
    Some(allowed)
}

fn named(of: JsonType) -> &'static str {
    match of {
        JsonType::Array => "an array",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

/// `jsonschema` panics where some references go in circles below `unevaluatedProperties`: strangers write schemas.
fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// The bytes of the longest part of a schema that an error of its own quotes.
fn quoted(schema: &Value) -> usize {
    let within = match schema {
        Value::Array(items) => items.iter().map(quoted).max(),
        Value::Object(members) => members.values().map(quoted).max(),
        _ => return 0,
    };
    let own = schema.as_object().into_iter().flatten();
    let own = own
        .filter(|(name, _)| matches!(&***name, "not" | "const" | "pattern"))
        .map(|(_, part)| text_length(part));
    within.max(own.max()).unwrap_or(0)
}

/// About as many bytes as a value takes.
fn text_length(value: &Value) -> usize {
    const EACH: usize = 64;
    EACH + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_length).sum(),
        Value::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, value)| name.len() + text_length(value))
                .sum()
        }
        _ => 0,
    }
}

/// Shared by what is compiled.
type Automaton = Arc<pattern::Pattern>;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compile(schema: &Value) -> Validator {
        let mut patterns = Patterns::default();
        for pattern in ["^a+$", "^[ab]*a[ab]{500}$"] {
            assert!(patterns.add(pattern));
        }
        Validator::compile(schema, &patterns, 10).unwrap()
    }

    #[test]
    fn a_choice_says_what_is_allowed() {
        let colour = json!({ "type": "string", "enum": ["red", "green"] });
        let said = |schema: &Value, value: &Value| {
            let reasons = compile(schema).reasons(value, 100, 5, &Watch::steps(10_000));
            match reasons.unwrap() {
                Invalid::For(problems) => problems[0].message.clone(),
                Invalid::Unexplained => panic!("there is a reason"),
            }
        };
        let optional = json!({ "anyOf": [colour, { "type": "null" }] });
        for value in [json!("blue"), json!(5)] {
            let expected = r#"value must be "red", "green" or null"#;
            assert_eq!(said(&optional, &value), expected);
        }
        let described = json!({ "anyOf": [
            { "oneOf": [{ "const": "a", "description": "…" }, { "const": "b" }] },
            { "type": ["integer", "null"] }
        ] });
        let expected = r#"value must be "a", "b", null or an integer"#;
        assert_eq!(said(&described, &json!("c")), expected);
        let deeper =
            json!({ "anyOf": [{ "type": "object", "required": ["a"] }, { "type": "null" }] });
        assert!(said(&deeper, &json!({})).contains("anyOf"));

        // Of many no list is made, nor are all compared with all.
        let many = |letter: char| {
            let values: Vec<String> = (0..100_000).map(|it| format!("{letter}{it}")).collect();
            json!({ "enum": values })
        };
        let one_by_one: Vec<Value> = (0..100).map(|it| json!({ "const": it })).collect();
        for schema in [
            json!({ "anyOf": [many('a'), many('b')] }),
            json!({ "anyOf": one_by_one }),
        ] {
            assert!(said(&schema, &json!("c")).contains("anyOf"));
        }
    }

    /// What `jsonschema` says of its own representation is said of this one.
    #[test]
    fn what_is_counted_is_what_is_there() {
        let values = [
            json!(null),
            json!(true),
            json!(1),
            json!(1.5),
            json!("a"),
            json!("ab"),
            json!([]),
            json!([1, 1.0]),
            json!(["a", {"b": 1}]),
            json!({}),
            json!({"a": "a", "b": [1, 2]}),
            json!({"aa": {"a": null}, "c": 2}),
        ];
        for schema in [
            json!({"type": ["string", "array"]}),
            json!({"type": "integer", "minimum": 1, "multipleOf": 1}),
            json!({"enum": [1, "a", {"a": "a", "b": [1, 2]}, [1.0, 1]]}),
            json!({"const": [1, 1]}),
            json!({"uniqueItems": true, "maxItems": 2, "maxLength": 1, "minProperties": 1}),
            json!({"pattern": "^a+$", "propertyNames": {"pattern": "^a+$"}}),
            json!({"properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": {"type": "array"}}),
            json!({"patternProperties": {"^a+$": {"type": ["string", "object"]}}, "additionalProperties": false}),
            json!({"items": {"type": "number"}, "contains": {"const": 1}}),
            json!({"unevaluatedProperties": false, "anyOf": [{"properties": {"a": true, "b": true}}, {"type": "null"}]}),
            json!({"not": {"type": "object"}}),
            json!({"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"type": ["array", "null"]}}),
            json!({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"aa": {"$ref": "#"}}, "maxProperties": 2}}}),
        ] {
            let ours = compile(&schema);
            let theirs = jsonschema::options().offline().build(&schema).unwrap();
            for value in &values {
                let watch = Watch::steps(1 << 30);
                let is_valid = theirs.is_valid(value);
                assert_eq!(
                    ours.is_valid(value, &watch),
                    Ok(is_valid),
                    "{value} under {schema}"
                );
                if is_valid {
                    continue;
                }
                let expected: Vec<(String, String)> = theirs
                    .iter_errors(value)
                    .map(|error| {
                        (
                            error.instance_path().to_string(),
                            error.masked().to_string(),
                        )
                    })
                    .collect();
                let Ok(Invalid::For(found)) = ours.reasons(value, 100, 100, &watch) else {
                    panic!("{value} under {schema}");
                };
                let found: Vec<(String, String)> = found
                    .into_iter()
                    .map(|problem| (problem.pointer, problem.message))
                    .collect();
                assert_eq!(found, expected, "{value} under {schema}");
            }
        }
    }

    /// As `jsonschema` 0.61.2 does with this one.
    #[test]
    fn a_validator_that_panics_takes_what_it_was_given() {
        let schema = json!({
            "unevaluatedProperties": {"pattern": "^a+$"},
            "$ref": "#/$defs/x",
            "$defs": {"x": {"patternProperties": {"^a+$": {"oneOf": [{"$ref": "#"}]}}}},
        });
        let schema = compile(&schema);
        let watch = Watch::steps(1 << 30);
        for value in [json!({"a": ""}), json!({"a": {"a": ""}}), json!(1)] {
            assert_eq!(schema.is_valid(&value, &watch), Ok(true), "{value}");
        }
    }

    /// Wherever it is stopped it says so, or is right.
    #[test]
    fn a_validation_that_is_stopped_says_nothing_else() {
        let schema = compile(&json!({
            "not": {"required": ["x"]},
            "oneOf": [{"properties": {"a": {"items": {"pattern": "^a+$"}}}, "required": ["a"]}, {"type": "null"}],
            "unevaluatedProperties": {"type": "string"},
        }));
        for (value, expected) in [
            (json!({"a": ["a", "aa", "aaa"], "b": "c"}), true),
            (json!({"a": ["a", "b", "aaa"], "b": "c"}), false),
            (json!({"a": ["a"], "b": 1}), false),
            (json!({"a": ["a"], "x": "y"}), false),
        ] {
            let mut steps = 1;
            loop {
                match schema.is_valid(&value, &Watch::steps(steps)) {
                    Ok(is_valid) => {
                        assert_eq!(is_valid, expected, "{value} in {steps} steps");
                        break;
                    }
                    Err(Stopped) => steps += 1,
                }
            }
            assert!(steps > 5, "{value}: {steps}");
            for steps in 1..steps {
                let reasons = schema.reasons(&value, 100, 5, &Watch::steps(steps));
                assert_eq!(reasons, Err(Stopped), "{value} in {steps} steps");
            }
        }
    }

    #[test]
    fn a_search_stops_in_the_middle_of_a_text() {
        let schema = compile(&json!({"pattern": "^[ab]*a[ab]{500}$"}));
        let text = json!("ab".repeat(1 << 20));
        assert_eq!(schema.is_valid(&text, &Watch::steps(10_000)), Err(Stopped));
        let looks = Cell::new(0);
        let is_time = || {
            looks.set(looks.get() + 1);
            looks.get() == 100
        };
        assert_eq!(
            schema.is_valid(&text, &Watch::until(&is_time)),
            Err(Stopped)
        );
        assert_eq!(looks.get(), 100);
    }

    #[test]
    fn no_more_errors_are_made_than_there_is_room_for() {
        let schema = compile(&json!({"additionalProperties": {"items": {"type": "string"}}}));
        let name = "n".repeat(1 << 20);
        let value = json!({name.clone(): vec![1; 100_000]});
        let watch = Watch::steps(1 << 40);
        let Ok(Invalid::For(problems)) = schema.reasons(&value, name.len() + 10, 1_000, &watch)
        else {
            panic!("no reasons");
        };
        assert!((5..200).contains(&problems.len()), "{}", problems.len());
        for (number, problem) in problems.iter().enumerate() {
            assert_eq!(problem.pointer, format!("/{name}/{number}"));
            assert!(
                problem.message.contains("is not of type"),
                "{}",
                problem.message
            );
        }
        // What one of them would quote is too long for as many as there may be.
        let long = compile(&json!({"not": {"enum": vec![1; 1 << 18]}}));
        assert_eq!(
            long.reasons(&json!(1), 0, 5, &watch),
            Ok(Invalid::Unexplained)
        );
    }

    #[test]
    fn backtracking_or_large_patterns_are_refused() {
        let mut patterns = Patterns::default();
        for pattern in [
            "^(?!a)",
            "(?=a)",
            "(?<=a)b",
            "(?<!a)b",
            r"(a)\1",
            r"(?<n>a)\k<n>",
            "(",
            "[z-a]",
            "(?:a{1000}){1000}",
            &"a".repeat(10_000),
        ] {
            assert!(!patterns.add(pattern), "{pattern:.40}");
        }
        // Those that fail count as well, and those that are there twice count once.
        for number in 0..2_000 {
            patterns.add(&format!("(?!{number})"));
            patterns.add("^a$");
        }
        assert!(patterns.bytes() < 3 << 20);
        assert!(!patterns.add("^b$"), "no room is left");
    }
}
