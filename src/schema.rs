//! A tool's JSON Schema, compiled once, and arguments held against it.

mod cost;
mod draft;
mod place;
#[cfg(test)]
mod properties;
mod refs;
mod repair;
#[cfg(test)]
mod tests;
mod text;
mod unique;

use std::borrow::Cow;

use jsonschema::Validator;
use serde_json::Value;

use crate::error::{ArgumentProblem, CallError};
use crate::tool::Repair;
use cost::{Cost, Extent, MAX_RECURSION};
use repair::Mended;
use unique::Unique;

/// Problems told to the model at once: enough to mend a call, few enough to read.
const MAX_PROBLEMS: usize = 5;

/// The longest message of one problem, in characters; schemas can hold long lists.
const MAX_MESSAGE: usize = 400;

/// A schema's text may be no longer: each tool's is held in memory and shown to the model.
const MAX_SCHEMA: usize = 256 << 10;

#[derive(Debug)]
pub(crate) struct Schema {
    validator: Validator,
    cost: Cost,
    /// Whether it asks for integers anywhere.
    has_integers: bool,
}

/// Arguments as a tool gets them.
#[derive(Debug)]
pub(crate) struct Fitted<'t> {
    pub(crate) text: Cow<'t, str>,
    pub(crate) repairs: Vec<Repair>,
}

/// The object in arguments that a model wrote as a string, or put something around.
#[cfg(feature = "mcp")]
pub(crate) fn unwrapped(arguments: &str) -> Option<String> {
    repair::unwrapped(arguments).map(|mended| mended.text)
}

impl Schema {
    /// Parses and compiles a schema of objects. It never leaves the process: a `$ref` to anywhere
    /// but the schema itself is an error.
    pub(crate) fn parse(json: &str) -> Result<(Value, Schema), String> {
        if json.len() > MAX_SCHEMA {
            return Err(format!("has {} bytes, of at most {MAX_SCHEMA}", json.len()));
        }
        let mut value: Value =
            serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))?;
        if !value.is_object() {
            return Err(format!("is {}, not an object", kind(&value)));
        }
        draft::modernize(&mut value);
        let cost = Cost::of(&value)?;
        let validator = jsonschema::options()
            .offline()
            .build(&value)
            .map_err(|error| {
                let at = error.instance_path().to_string();
                let message = shorten(error.masked().to_string());
                match at.as_str() {
                    "" => format!("is not a valid JSON Schema: {message}"),
                    at => format!("is not a valid JSON Schema: {at}: {message}"),
                }
            })?;
        let schema = Schema {
            validator,
            cost,
            has_integers: json.contains("\"integer\""),
        };
        Ok((value, schema))
    }

    /// Checks the text of a call's arguments, and repairs what can be meant in one way only; `source` is
    /// the schema itself.
    ///
    /// # Errors
    ///
    /// What is wrong with the arguments as they were written.
    pub(crate) fn fit<'t>(
        &self,
        source: &Value,
        arguments: &'t str,
    ) -> Result<Fitted<'t>, CallError> {
        let (text, mut repairs, extent) = match self.check_extent(arguments) {
            Ok(extent) => (Cow::Borrowed(arguments), Vec::new(), extent),
            Err(error) => match self.repaired(source, arguments) {
                Some((mended, extent)) => (Cow::Owned(mended.text), mended.repairs, extent),
                None => return Err(error),
            },
        };
        if self.has_integers
            && extent.has_whole_fraction
            && let Some(mended) = repair::whole_numbers(source, &text)
            && self.check(&mended.text).is_ok()
        {
            repairs.extend(mended.repairs);
            return Ok(Fitted {
                text: Cow::Owned(mended.text),
                repairs,
            });
        }
        Ok(Fitted { text, repairs })
    }

    /// Arguments that do not fit, repaired so that they do.
    fn repaired(&self, source: &Value, arguments: &str) -> Option<(Mended, Extent)> {
        let mut whole = Mended {
            text: arguments.to_owned(),
            repairs: Vec::new(),
        };
        if !arguments.starts_with('{') {
            whole = repair::unwrapped(arguments)?;
            if let Ok(extent) = self.check_extent(&whole.text) {
                return Some((whole, extent));
            }
        }
        // What is no JSON is not mended, and what is too much to check is too much to mend.
        let Unique(value) = serde_json::from_str(&whole.text).ok()?;
        if !self.cost.allows(Extent::of(&value)) {
            return None;
        }
        let mended = repair::mended(source, &whole.text)?;
        let extent = self.check_extent(&mended.text).ok()?;
        whole.repairs.extend(mended.repairs);
        whole.text = mended.text;
        Some((whole, extent))
    }

    /// Checks the text of a call's arguments.
    pub(crate) fn check(&self, arguments: &str) -> Result<(), CallError> {
        self.check_extent(arguments).map(|_| ())
    }

    fn check_extent(&self, arguments: &str) -> Result<Extent, CallError> {
        let Unique(value) = serde_json::from_str(arguments).map_err(|error| {
            let message = match error.is_data() {
                true => error.to_string(),
                false => format!("not JSON: {error}"),
            };
            CallError::invalid_arguments("", message)
        })?;
        if !value.is_object() {
            let message = format!("must be a JSON object, and is {}", kind(&value));
            return Err(CallError::invalid_arguments("", message));
        }
        self.problems(&value)
            .map_err(|problems| CallError::InvalidArguments { problems })
    }

    /// Checks the text of a tool's structured output, or of a form's answer; the error says what is
    /// wrong with it.
    pub(crate) fn check_json(&self, json: &str) -> Result<(), String> {
        let value: Value =
            serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))?;
        self.problems(&value).map(|_| ()).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            format!("does not fit its schema: {}", problems.join("; "))
        })
    }

    /// # Errors
    ///
    /// What is wrong with a value; never empty.
    fn problems(&self, value: &Value) -> Result<Extent, Vec<ArgumentProblem>> {
        let of_all = |message: String| {
            let pointer = String::new();
            Err(vec![ArgumentProblem { pointer, message }])
        };
        let extent = Extent::of(value);
        if self.cost.recursive && extent.depth > MAX_RECURSION {
            let depth = extent.depth;
            return of_all(format!(
                "nested {depth} levels deep, of at most {MAX_RECURSION}"
            ));
        }
        if !self.cost.allows(extent) {
            let values = extent.values;
            return of_all(format!(
                "{values} values are too many to check for this tool's schema"
            ));
        }
        if self.validator.is_valid(value) {
            return Ok(extent);
        }
        if !self.cost.allows_reasons(extent) {
            let message =
                "not what the tool's schema asks for, which is too intricate to say where";
            return of_all(message.to_owned());
        }
        let problems = self.validator.iter_errors(value).take(MAX_PROBLEMS);
        Err(problems
            .map(|error| ArgumentProblem {
                pointer: error.instance_path().to_string(),
                // The value itself may be as long as the arguments, and the model knows it.
                message: shorten(error.masked().to_string()),
            })
            .collect())
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn shorten(message: String) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        // A name that is cut in two might be a secret, which nobody would find in its part.
        Some((end, _)) => {
            let whole = message[..end].rfind([' ', '\'', '"']).unwrap_or_default();
            format!("{}…", &message[..whole])
        }
        None => message,
    }
}

#[cfg(test)]
mod checks {
    use super::*;

    fn parse(schema: &str) -> Result<Schema, String> {
        Schema::parse(schema).map(|(_, schema)| schema)
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_wherever_it_is() {
        let schema = parse("{}").unwrap();
        for (arguments, name) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"x":[{"b":1,"c":2,"b":3}]}"#, "b"),
            (r#"{"d":1,"\u0064":2}"#, "d"),
        ] {
            let error = schema.check(arguments).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{name}` is there twice")),
                "{error}"
            );
        }
        let once =
            r#"{"a":{"a":null},"b":[{"a":true},{"a":-1.5e3}],"c":18446744073709551615,"d":"a"}"#;
        assert!(schema.check(once).is_ok());
    }

    /// `{"a": {"a": … 1}}`
    fn nested(levels: usize) -> String {
        "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels)
    }

    /// `$defs` of which each refers twice to the next.
    fn doubling(levels: usize) -> String {
        let defs: String = (0..levels)
            .map(|n| {
                let next = format!(r##"{{"$ref":"#/$defs/d{}"}}"##, n + 1);
                format!(r#""d{n}":{{"allOf":[{next},{next}]}},"#)
            })
            .collect();
        format!(r##"{{"$ref":"#/$defs/d0","$defs":{{{defs}"d{levels}":{{"type":"object"}}}}}}"##)
    }

    #[test]
    fn references_that_multiply_are_refused() {
        assert!(parse(&doubling(8)).unwrap().check("{}").is_ok());
        for levels in [20, 60, 100] {
            let error = parse(&doubling(levels)).unwrap_err();
            assert!(
                error.contains("unfolds") || error.contains("nests"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_part_of_a_schema_hides_references_that_multiply() {
        let items: Vec<String> = (1..=40)
            .map(|n| {
                let next = format!(r##"{{"$ref":"#/default/{n}"}}"##);
                format!(r#"{{"allOf":[{next},{next}]}}"#)
            })
            .collect();
        let schema = format!(
            r##"{{"properties":{{"default":{{"$ref":"#/default/0"}}}},"default":[{},{{}}]}}"##,
            items.join(",")
        );
        let error = parse(&schema).unwrap_err();
        assert!(error.contains("unfolds"), "{error}");
    }

    #[test]
    fn many_values_under_a_large_schema_are_refused_before_they_are_checked() {
        let alternatives: Vec<String> = (0..450).map(|n| format!(r#"{{"const":{n}}}"#)).collect();
        let schema = format!(
            r#"{{"properties":{{"a":{{"items":{{"anyOf":[{}]}}}}}}}}"#,
            alternatives.join(",")
        );
        let schema = parse(&schema).unwrap();
        let arguments = |count: usize| format!(r#"{{"a":[{}449]}}"#, "449,".repeat(count));
        assert!(schema.check(&arguments(1_000)).is_ok());
        let error = schema.check(&arguments(1_000_000)).unwrap_err();
        assert!(error.to_string().contains("too many"), "{error}");
    }

    #[test]
    fn references_to_themselves_end() {
        for schema in [
            r##"{"$ref":"#"}"##,
            r##"{"allOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
            r##"{"$dynamicAnchor":"n","anyOf":[{"$dynamicRef":"#n"}]}"##,
        ] {
            // Whatever they mean, an answer comes.
            let _ = parse(schema).unwrap().check("{}");
        }
    }

    #[test]
    fn recursion_is_bounded_by_the_depth_of_the_arguments() {
        // Each level may be walked in two ways, and in neither does it fit.
        let schema = parse(
            r##"{"anyOf":[{"properties":{"a":{"$ref":"#"}},"required":["b"]},
                          {"properties":{"a":{"$ref":"#"}},"required":["c"]}]}"##,
        )
        .unwrap();
        for levels in [1, 2, 20, 32, 33, 100] {
            let error = schema.check(&nested(levels)).unwrap_err();
            assert_eq!(error.code(), "invalid-arguments", "{levels}");
        }
        let tree = parse(
            r##"{"type":"object","properties":{"v":{"type":"integer"},
                "l":{"$ref":"#"},"r":{"$ref":"#"}},"additionalProperties":false}"##,
        )
        .unwrap();
        assert!(
            tree.check(r#"{"l":{"l":{"v":1},"r":{"v":2}},"r":{}}"#)
                .is_ok()
        );
        let error = tree.check(r#"{"l":{"v":"x"}}"#).unwrap_err();
        let CallError::InvalidArguments { problems } = &error else {
            panic!("{error}");
        };
        assert_eq!(problems[0].pointer, "/l/v");
    }

    #[test]
    fn the_deepest_recursion_that_is_allowed_fits_a_small_stack() {
        // As deep a chain of references as is allowed, back to its start with each level.
        let last = 110;
        let defs: String = (0..last)
            .map(|n| format!(r##""d{n}":{{"$ref":"#/$defs/d{}"}},"##, n + 1))
            .collect();
        let schema = format!(
            r##"{{"$ref":"#/$defs/d0","$defs":{{{defs}"d{last}":{{"properties":{{"a":{{"$ref":"#/$defs/d0"}}}}}}}}}}"##
        );
        let schema = parse(&schema).unwrap();
        let check = move || schema.check(&nested(MAX_RECURSION));
        // Half of what a thread of tokio has.
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(check);
        assert!(thread.unwrap().join().unwrap().is_ok());
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere() {
        for reference in [
            "https://example.com/s.json",
            "other.json",
            "#/nowhere",
            "#nothing",
        ] {
            let error = parse(&format!(r#"{{"$ref":"{reference}"}}"#)).unwrap_err();
            assert!(error.contains(reference), "{error}");
        }
        let own =
            r##"{"$id":"https://e.com/s","$ref":"https://e.com/s#/$defs/a","$defs":{"a":{}}}"##;
        assert!(parse(own).is_ok());
    }
}
