//! A tool's JSON Schema, compiled once, and arguments held against it.

pub mod checking;
mod cost;
mod draft;
mod place;
mod pointer;
#[cfg(test)]
mod properties;
mod refs;
mod relax;
#[cfg(test)]
mod relaxing;
mod repair;
#[cfg(test)]
mod tests;
mod text;
mod unique;

use std::borrow::Cow;

use serde_json::Value;
use toolhost_schema::{Invalid, Patterns, Stopped, Validator, Watch};

use crate::error::{ArgumentProblem, CallError};
use crate::tool::Repair;
use cost::{Cost, Extent, MAX_RECURSION};
use repair::{By, Mended};
use unique::Unique;

/// Problems told to the model at once: enough to mend a call, few enough to read.
const MAX_PROBLEMS: usize = 5;

/// The longest message of one problem, and the longest path to it, in characters; schemas can hold long lists.
const MAX_MESSAGE: usize = 400;

/// Steps, of some 10 ns, that it may take to say what is wrong.
const MAX_REASONING: u64 = 10_000_000;

/// A schema's text may be no longer: each tool's is held in memory and shown to the model.
const MAX_SCHEMA: usize = 256 << 10;

/// A schema that arguments and output are held against.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    patterns: Patterns,
    cost: Cost,
    /// Whether it asks for integers anywhere.
    has_integers: bool,
    /// What of it is not held against values.
    pub(crate) unenforced: Vec<Unenforced>,
}

/// A part of a schema that is shown, and not held against values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Unenforced {
    /// Where, as a JSON Pointer.
    pub(crate) place: String,
    /// What is not.
    pub(crate) what: String,
}

/// Arguments as a tool gets them.
#[derive(Debug)]
pub(crate) struct Fitted<'t> {
    pub(crate) text: Cow<'t, str>,
    pub(crate) repairs: Vec<Repair>,
}

/// What a check found, if it was not stopped.
pub(crate) type Checked<T> = Result<T, Stopped>;

/// The object in arguments that a model wrote as a string, or put something around.
pub fn unwrapped(arguments: &str) -> Option<String> {
    repair::unwrapped(arguments).map(|mended| mended.text)
}

impl Schema {
    /// Parses and compiles a schema of objects. It never leaves the process: a `$ref` to anywhere
    /// but the schema itself is an error.
    ///
    /// It computes for a good part of a second where a schema is as large as it may be.
    pub fn parse(json: &str) -> Result<(Value, Schema), String> {
        if json.len() > MAX_SCHEMA {
            return Err(format!(
                "has {} bytes, but at most {MAX_SCHEMA} are allowed",
                json.len()
            ));
        }
        let mut value: Value =
            serde_json::from_str(json).map_err(|error| format!("is not JSON: {error}"))?;
        if !value.is_object() {
            return Err(format!("is {}, not an object", kind(&value)));
        }
        draft::modernize(&mut value);
        let mut cost = Cost::of(&value)?;
        let mut patterns = Patterns::default();
        let relaxed = relax::relaxed(&value, &mut patterns)?;
        let (relaxed, unenforced) = relaxed.unzip();
        if let Some(relaxed) = &relaxed {
            cost = Cost::of(relaxed)?;
        }
        let enforced = relaxed.as_ref().unwrap_or(&value);
        let validator = Validator::compile(enforced, &patterns, cost.size).map_err(|problem| {
            let message = shorten(problem.message);
            match &*problem.pointer {
                "" => format!("is not a valid JSON Schema: {message}"),
                at => format!("is not a valid JSON Schema: {at}: {message}"),
            }
        })?;
        let schema = Schema {
            validator,
            patterns,
            cost,
            has_integers: json.contains("\"integer\""),
            unenforced: unenforced.unwrap_or_default(),
        };
        Ok((value, schema))
    }

    /// About as many bytes as it takes in memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.cost.bytes + self.patterns.bytes() as u64
    }

    /// Checks the text of a call's arguments, and repairs what can be meant in one way only; `source` is
    /// the schema itself. What is within is what is wrong with the arguments as they were written.
    ///
    /// # Errors
    ///
    /// It was stopped.
    pub(crate) fn fit<'t>(
        &self,
        source: &Value,
        arguments: &'t str,
        watch: &Watch,
    ) -> Checked<Result<Fitted<'t>, CallError>> {
        let by = By {
            schema: source,
            patterns: &self.patterns,
            watch,
        };
        let (text, mut repairs, extent) = match self.check_extent(arguments, watch)? {
            Ok(extent) => (Cow::Borrowed(arguments), Vec::new(), extent),
            Err(error) => match self.repaired(by, arguments)? {
                Some((mended, extent)) => (Cow::Owned(mended.text), mended.repairs, extent),
                None => return Ok(Err(error)),
            },
        };
        if self.has_integers
            && extent.has_whole_fraction
            && let Some(mended) = whole(repair::whole_numbers(by, &text), watch)?
            && self.check(&mended.text, watch)?.is_ok()
        {
            repairs.extend(mended.repairs);
            return Ok(Ok(Fitted {
                text: Cow::Owned(mended.text),
                repairs,
            }));
        }
        Ok(Ok(Fitted { text, repairs }))
    }

    /// Arguments that do not fit, repaired so that they do.
    fn repaired(&self, by: By, arguments: &str) -> Checked<Option<(Mended, Extent)>> {
        let watch = by.watch;
        let mut all = Mended {
            text: arguments.to_owned(),
            repairs: Vec::new(),
        };
        if !arguments.starts_with('{') {
            let Some(unwrapped) = repair::unwrapped(arguments) else {
                return Ok(None);
            };
            all = unwrapped;
            if let Ok(extent) = self.check_extent(&all.text, watch)? {
                return Ok(Some((all, extent)));
            }
        }
        // What is no JSON is not mended, and what is too much to check is too much to mend.
        let Ok(Unique(value)) = serde_json::from_str(&all.text) else {
            return Ok(None);
        };
        if !self.cost.allows(Extent::of(&value)) {
            return Ok(None);
        }
        let Some(mended) = whole(repair::mended(by, &all.text), watch)? else {
            return Ok(None);
        };
        let Ok(extent) = self.check_extent(&mended.text, watch)? else {
            return Ok(None);
        };
        all.repairs.extend(mended.repairs);
        all.text = mended.text;
        Ok(Some((all, extent)))
    }

    /// Checks the text of a call's arguments: within is what is wrong with them.
    ///
    /// # Errors
    ///
    /// It was stopped.
    pub(crate) fn check(&self, arguments: &str, watch: &Watch) -> Checked<Result<(), CallError>> {
        Ok(self.check_extent(arguments, watch)?.map(|_| ()))
    }

    fn check_extent(&self, arguments: &str, watch: &Watch) -> Checked<Result<Extent, CallError>> {
        let value = match serde_json::from_str(arguments) {
            Ok(Unique(value)) => value,
            Err(error) => {
                let message = match error.is_data() {
                    true => error.to_string(),
                    false => format!("not JSON: {error}"),
                };
                return Ok(Err(CallError::invalid_arguments("", message)));
            }
        };
        if !value.is_object() {
            let message = format!("must be a JSON object, not {}", kind(&value));
            return Ok(Err(CallError::invalid_arguments("", message)));
        }
        let found = self.problems(&value, watch)?;
        Ok(found.map_err(|problems| CallError::InvalidArguments { problems }))
    }

    /// Checks the text of a tool's structured output, or of a form's answer; within is what is wrong with it.
    ///
    /// # Errors
    ///
    /// It was stopped.
    pub fn check_json(&self, json: &str, watch: &Watch) -> Checked<Result<(), String>> {
        let value: Value = match serde_json::from_str(json) {
            Ok(value) => value,
            Err(error) => return Ok(Err(format!("is not JSON: {error}"))),
        };
        Ok(match self.problems(&value, watch)? {
            Ok(_) => Ok(()),
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                let problems = problems.join("; ");
                Err(format!("does not fit its schema: {problems}"))
            }
        })
    }

    /// What is wrong with a value; never empty.
    fn problems(
        &self,
        value: &Value,
        watch: &Watch,
    ) -> Checked<Result<Extent, Vec<ArgumentProblem>>> {
        let of_all = |message: String| Ok(Err(vec![ArgumentProblem::new("", message)]));
        let extent = Extent::of(value);
        if self.cost.recursive && extent.depth > MAX_RECURSION {
            let depth = extent.depth;
            return of_all(format!(
                "nested {depth} levels deep, but at most {MAX_RECURSION} are allowed"
            ));
        }
        if !self.cost.allows(extent) {
            let values = extent.values;
            return of_all(format!(
                "{values} values are too many to check for this tool's schema"
            ));
        }
        if !self.validator.takes_name(extent.name) {
            let bytes = extent.name;
            return of_all(format!(
                "a name of {bytes} bytes is too long to check for this tool's schema"
            ));
        }
        if self.validator.is_valid(value, watch)? {
            return Ok(Ok(extent));
        }
        // Unlike the bare answer, which is remembered for each part of the value, the reasons may be on every path.
        let reasons = watch.within(MAX_REASONING, |watch| {
            self.validator
                .reasons(value, extent.path + extent.bytes, MAX_PROBLEMS, watch)
        });
        match reasons {
            Err(stopped) if watch.has_stopped() => Err(stopped),
            Ok(Invalid::For(problems)) => Ok(Err(problems
                .into_iter()
                .map(|problem| {
                    // Names in it may be as long as the arguments.
                    ArgumentProblem::new(shorten(problem.pointer), shorten(problem.message))
                })
                .collect())),
            Ok(_) | Err(_) => of_all(
                "does not match the tool's schema, which is too complex to say where".to_owned(),
            ),
        }
    }
}

/// What was made in time.
fn whole<T>(made: T, watch: &Watch) -> Checked<T> {
    match watch.has_stopped() {
        true => Err(Stopped),
        false => Ok(made),
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
            let ends = [' ', '\'', '"'];
            match message[..end].rfind(ends) {
                Some(whole) if whole > 0 => format!("{}…", &message[..whole]),
                // It begins with a long name: what is said of that is at its end.
                _ => {
                    let rest = message[end..].find(ends).map(|at| &message[end + at..]);
                    match rest.filter(|rest| rest.chars().nth(MAX_MESSAGE).is_none()) {
                        Some(rest) => format!("…{rest}"),
                        None => format!("… ({} bytes)", message.len()),
                    }
                }
            }
        }
        None => message,
    }
}

#[cfg(test)]
impl Schema {
    /// Checks arguments however long it takes.
    fn check_now(&self, arguments: &str) -> Result<(), CallError> {
        let checked = self.check(arguments, &Watch::steps(u64::MAX));
        checked.expect("it is not stopped")
    }

    /// Fits arguments however long it takes.
    fn fit_now<'t>(&self, source: &Value, arguments: &'t str) -> Result<Fitted<'t>, CallError> {
        let fitted = self.fit(source, arguments, &Watch::steps(u64::MAX));
        fitted.expect("it is not stopped")
    }
}

#[cfg(test)]
mod checks {
    use super::*;

    fn parse(schema: &str) -> Result<Schema, String> {
        Schema::parse(schema).map(|(_, schema)| schema)
    }

    #[test]
    fn what_is_wrong_with_a_long_name_is_said() {
        let name = "n".repeat(500);
        let schema = parse(&format!(r#"{{"required":["{name}"]}}"#)).unwrap();
        let error = schema.check_now("{}").unwrap_err().to_string();
        assert!(error.contains("required"), "{error}");
        assert!(!error.contains("nn"), "{error}");
        // And where that is.
        let schema = format!(r#"{{"properties":{{"{name}":{{"type":"string"}}}}}}"#);
        let error = parse(&schema)
            .unwrap()
            .check_now(&format!(r#"{{"{name}":5}}"#));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("501 bytes") && error.contains("string"),
            "{error}"
        );
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_wherever_it_is() {
        let schema = parse("{}").unwrap();
        for (arguments, name) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"x":[{"b":1,"c":2,"b":3}]}"#, "b"),
            (r#"{"d":1,"\u0064":2}"#, "d"),
        ] {
            let error = schema.check_now(arguments).unwrap_err().to_string();
            assert!(
                error.contains(&format!("`{name}` is a duplicate key")),
                "{error}"
            );
        }
        let once =
            r#"{"a":{"a":null},"b":[{"a":true},{"a":-1.5e3}],"c":18446744073709551615,"d":"a"}"#;
        assert!(schema.check_now(once).is_ok());
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
        assert!(parse(&doubling(8)).unwrap().check_now("{}").is_ok());
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
    fn many_values_under_a_large_schema_are_refused_unchecked() {
        let alternatives: Vec<String> = (0..450).map(|n| format!(r#"{{"const":{n}}}"#)).collect();
        let schema = format!(
            r#"{{"properties":{{"a":{{"items":{{"anyOf":[{}]}}}}}}}}"#,
            alternatives.join(",")
        );
        let schema = parse(&schema).unwrap();
        let arguments = |count: usize| format!(r#"{{"a":[{}449]}}"#, "449,".repeat(count));
        assert!(schema.check_now(&arguments(1_000)).is_ok());
        let error = schema.check_now(&arguments(1_000_000)).unwrap_err();
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
            let _ = parse(schema).unwrap().check_now("{}");
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
            let error = schema.check_now(&nested(levels)).unwrap_err();
            assert_eq!(error.code(), "invalid-arguments", "{levels}");
        }
        let tree = parse(
            r##"{"type":"object","properties":{"v":{"type":"integer"},
                "l":{"$ref":"#"},"r":{"$ref":"#"}},"additionalProperties":false}"##,
        )
        .unwrap();
        assert!(
            tree.check_now(r#"{"l":{"l":{"v":1},"r":{"v":2}},"r":{}}"#)
                .is_ok()
        );
        let error = tree.check_now(r#"{"l":{"v":"x"}}"#).unwrap_err();
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
        let check = move || schema.check_now(&nested(MAX_RECURSION));
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
