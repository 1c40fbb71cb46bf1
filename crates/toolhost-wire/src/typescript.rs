//! Tools as TypeScript: what a program that calls them has to know of them.
//!
//! JSON Schema says more than a type can, and may be of any size: what has no type, or is too deep
//! or too long, is `unknown`.

use std::cmp::Reverse;
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::tool::Tool;

/// How deep types are written out.
const MAX_DEPTH: usize = 8;

/// The longest type, in bytes; a longer one is `unknown`.
const MAX_TYPE: usize = 8 << 10;

/// The longest documentation of a property or tool, in characters.
const MAX_COMMENT: usize = 2000;

/// The most members of one object or alternatives that are written out.
const MAX_MEMBERS: usize = 200;

/// A tool as a member of a TypeScript type: its documentation, and its name with the types of its
/// arguments and its result.
///
/// ```
/// use serde_json::json;
/// use toolhost_wire::{Tool, typescript};
///
/// let add = Tool::new("add", "Adds two numbers.").with_input_schema(json!({
///     "type": "object",
///     "properties": { "a": { "type": "number" }, "b": { "type": "number", "default": 1 } },
///     "required": ["a"],
/// }));
/// assert_eq!(
///     typescript::declaration(&add),
///     "/** Adds two numbers. */\nadd(args: { a: number; b?: number }): Promise<string>;"
/// );
/// ```
pub fn declaration(tool: &Tool) -> String {
    let mut text = comment(&tool.description);
    text += &signature(tool);
    text
}

/// The name of a tool with the types of its arguments and its result.
pub fn signature(tool: &Tool) -> String {
    let arguments = type_of(&tool.input_schema);
    let output = tool.output_schema.as_ref();
    let output = output.map_or_else(|| "string".to_owned(), type_of);
    let takes_any = Scope::new(&tool.input_schema).has_required(&tool.input_schema);
    let optional = if takes_any { "" } else { "?" };
    let name = property_name(&tool.name);
    format!("{name}(args{optional}: {arguments}): Promise<{output}>;")
}

/// Declarations of tools as the constant `tools`.
pub fn declarations<'t>(tools: impl IntoIterator<Item = &'t Tool>) -> String {
    let mut text = "declare const tools: {\n".to_owned();
    for tool in tools {
        for line in declaration(tool).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text += "};\n";
    text
}

/// What stands for the tools in the description of a tool that calls them.
pub const PLACEHOLDER: &str = "${tools}";

/// The longest [`overview`], in bytes.
const MAX_OVERVIEW: usize = 6 << 10;

/// The characters of a description in an overview.
const MAX_SUMMARY: usize = 160;

/// The tools for the description of a tool that calls them: as declarations, as far as they fit, then
/// by their names only.
pub fn overview<'t>(tools: impl IntoIterator<Item = &'t Tool>) -> String {
    let tools: Vec<&Tool> = tools.into_iter().collect();
    if tools.is_empty() {
        return "There are no tools to call.".to_owned();
    }
    let mut text = "The tools:\n```ts\ndeclare const tools: {\n".to_owned();
    let mut left = Vec::new();
    for tool in tools {
        let first = tool.description.lines().next().unwrap_or_default();
        let first: String = first.chars().take(MAX_SUMMARY).collect();
        let declared = format!("{}{}", comment(&first), signature(tool));
        let lines = declared.lines().map(|line| format!("  {line}\n"));
        let declared: String = lines.collect();
        match left.is_empty() && text.len() + declared.len() <= MAX_OVERVIEW {
            true => text += &declared,
            false => left.push(tool),
        }
    }
    text += "};\n```";
    if left.is_empty() {
        return text;
    }
    let count = left.len();
    text += "\nFind more with `tools.search` and `tools.describe`: ";
    let mut names = 0;
    for tool in left {
        if text.len() + tool.name.len() > MAX_OVERVIEW + MAX_OVERVIEW / 4 {
            break;
        }
        if names > 0 {
            text += ", ";
        }
        text += &tool.name;
        names += 1;
    }
    if names < count {
        let _ = write!(text, " and {} more", count - names);
    }
    text
}

/// The tools that fit the words best, best first; all of them without any words.
pub fn search<'t>(tools: impl IntoIterator<Item = &'t Tool>, words: &str) -> Vec<&'t Tool> {
    let words = words.to_lowercase();
    let words: Vec<&str> = words
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let scored = tools.into_iter().map(|tool| {
        let name = tool.name.to_lowercase();
        let title = tool.title.as_deref().unwrap_or_default().to_lowercase();
        let description = tool.description.to_lowercase();
        let score = |word: &&str| {
            // Models write the plural of what is called in the singular.
            let stem = word.strip_suffix('s').filter(|stem| stem.len() > 2);
            let is_in =
                |text: &str| text.contains(*word) || stem.is_some_and(|stem| text.contains(stem));
            match () {
                () if name == **word => 16,
                () if is_in(&name) => 8,
                () if is_in(&title) => 4,
                () if is_in(&description) => 2,
                () => 0,
            }
        };
        (words.iter().map(score).sum::<usize>(), tool)
    });
    let mut found: Vec<_> = scored
        .filter(|(score, _)| words.is_empty() || *score > 0)
        .collect();
    found.sort_by_key(|(score, _)| Reverse(*score));
    found.into_iter().map(|(_, tool)| tool).collect()
}

/// A text as a documentation comment, if there is any.
fn comment(text: &str) -> String {
    let text: String = text.trim().chars().take(MAX_COMMENT).collect();
    let text = text.replace("*/", "*\\/");
    match text.lines().count() {
        0 => String::new(),
        1 => format!("/** {text} */\n"),
        _ => {
            let lines = text.lines().map(|line| format!(" * {line}\n"));
            format!("/**\n{} */\n", lines.collect::<String>())
        }
    }
}

/// A name as that of a property: quoted unless it is an identifier.
fn property_name(name: &str) -> String {
    let mut letters = name.chars();
    let is_identifier = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_' || first == '$')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '$');
    match is_identifier {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    }
}

/// The type that a JSON Schema describes.
pub fn type_of(schema: &Value) -> String {
    let scope = Scope::new(schema);
    let mut text = scope.type_of(schema, 0);
    if text.len() > MAX_TYPE {
        text = match schema.get("type").and_then(Value::as_str) {
            Some("object") => "Record<string, unknown>".to_owned(),
            _ => "unknown".to_owned(),
        };
    }
    text
}

/// The schema that references are resolved in.
struct Scope<'s>(&'s Value);

impl<'s> Scope<'s> {
    fn new(root: &'s Value) -> Self {
        Scope(root)
    }

    fn resolved(&self, schema: &'s Value) -> &'s Value {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        pointer
            .and_then(|pointer| self.0.pointer(pointer))
            .unwrap_or(schema)
    }

    fn has_required(&self, schema: &'s Value) -> bool {
        let required = self.resolved(schema).get("required");
        required
            .and_then(Value::as_array)
            .is_some_and(|it| !it.is_empty())
    }

    fn type_of(&self, schema: &'s Value, depth: usize) -> String {
        let unknown = || "unknown".to_owned();
        if depth > MAX_DEPTH {
            return unknown();
        }
        let is_reference = schema.get("$ref").is_some();
        let resolved = self.resolved(schema);
        if is_reference && std::ptr::eq(resolved, schema) {
            return unknown();
        }
        // Each step into a reference counts, so that loops end.
        let depth = depth + usize::from(is_reference);
        let Some(members) = resolved.as_object() else {
            return match resolved {
                Value::Bool(false) => "never".to_owned(),
                _ => unknown(),
            };
        };
        if let Some(constant) = members.get("const") {
            return literal(constant);
        }
        if let Some(values) = members.get("enum").and_then(Value::as_array) {
            return joined(values.iter().map(literal), " | ");
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(options) = members.get(key).and_then(Value::as_array) {
                return joined(options.iter().map(|it| self.type_of(it, depth + 1)), " | ");
            }
        }
        if let Some(parts) = members.get("allOf").and_then(Value::as_array) {
            return joined(parts.iter().map(|it| self.type_of(it, depth + 1)), " & ");
        }
        match members.get("type") {
            Some(Value::String(name)) => self.named(name, members, depth),
            Some(Value::Array(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                joined(names.map(|name| self.named(name, members, depth)), " | ")
            }
            _ if members.contains_key("properties") => self.object(members, depth),
            _ => unknown(),
        }
    }

    fn named(&self, name: &str, members: &'s Map<String, Value>, depth: usize) -> String {
        match name {
            "string" | "boolean" | "null" => name.to_owned(),
            "number" | "integer" => "number".to_owned(),
            "array" => match members.get("items") {
                Some(items) => {
                    let item = self.type_of(items, depth + 1);
                    match item.contains([' ', '|', '&']) && !item.starts_with('{') {
                        true => format!("({item})[]"),
                        false => format!("{item}[]"),
                    }
                }
                None => "unknown[]".to_owned(),
            },
            "object" => self.object(members, depth),
            _ => "unknown".to_owned(),
        }
    }

    fn object(&self, members: &'s Map<String, Value>, depth: usize) -> String {
        let properties = members.get("properties").and_then(Value::as_object);
        let Some(properties) = properties.filter(|it| !it.is_empty()) else {
            let values = members.get("additionalProperties");
            return match values {
                Some(Value::Bool(false)) => "{}".to_owned(),
                Some(values @ Value::Object(_)) => {
                    format!("Record<string, {}>", self.type_of(values, depth + 1))
                }
                _ if members.contains_key("properties") => "{}".to_owned(),
                _ => "Record<string, unknown>".to_owned(),
            };
        };
        let required = members.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|it| it.iter().any(|it| it == name));
        let mut text = "{ ".to_owned();
        for (name, schema) in properties.iter().take(MAX_MEMBERS) {
            if let Some(about) = schema.get("description").and_then(Value::as_str) {
                let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
                let about: String = about.chars().take(MAX_COMMENT).collect();
                let _ = write!(text, "/** {} */ ", about.replace("*/", "*\\/"));
            }
            let optional = if is_required(name) { "" } else { "?" };
            let name = property_name(name);
            let of = self.type_of(schema, depth + 1);
            let _ = write!(text, "{name}{optional}: {of}; ");
            if text.len() > MAX_TYPE {
                break;
            }
        }
        let end = text.trim_end_matches("; ").len();
        text.truncate(end);
        text + " }"
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => "unknown".to_owned(),
        value => value.to_string(),
    }
}

fn joined(types: impl Iterator<Item = String>, between: &str) -> String {
    let mut all: Vec<String> = Vec::new();
    for one in types.take(MAX_MEMBERS) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    match all.is_empty() {
        true => "unknown".to_owned(),
        false => all.join(between),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_types() {
        for (schema, expected) in [
            (json!({ "type": "string" }), "string"),
            (json!({ "type": ["string", "null"] }), "string | null"),
            (json!({ "type": "integer" }), "number"),
            (json!({ "enum": ["a", 1, null] }), r#""a" | 1 | null"#),
            (json!({ "const": true }), "true"),
            (
                json!({ "type": "array", "items": { "enum": ["a", "b"] } }),
                r#"("a" | "b")[]"#,
            ),
            (
                json!({ "type": "object", "properties": { "a-b": { "type": "boolean" } }, "required": ["a-b"] }),
                r#"{ "a-b": boolean }"#,
            ),
            (
                json!({ "type": "object", "additionalProperties": { "type": "number" } }),
                "Record<string, number>",
            ),
            (
                json!({ "anyOf": [{ "$ref": "#/$defs/n" }, { "type": "null" }], "$defs": { "n": { "type": "number" } } }),
                "number | null",
            ),
            (json!({ "$ref": "#" }), "unknown"),
            (json!({ "$ref": "https://example.com/a" }), "unknown"),
            (json!(true), "unknown"),
        ] {
            assert_eq!(type_of(&schema), expected, "{schema}");
        }
    }

    #[test]
    fn a_recursive_schema_ends() {
        let schema = json!({
            "type": "object",
            "properties": { "a": { "$ref": "#" }, "b": { "$ref": "#" } },
        });
        assert!(type_of(&schema).len() <= MAX_TYPE);
    }

    #[test]
    fn no_description_ends_its_comment() {
        let tool = Tool::new("a", "one */ alert() /*\ntwo").with_input_schema(json!({}));
        let text = declaration(&tool);
        assert_eq!(text.matches("*/").count(), 1, "{text}");
    }

    #[test]
    fn an_overview_is_bounded() {
        let tools: Vec<Tool> = (0..1000)
            .map(|n| {
                Tool::new(format!("tool_number_{n}"), "Does\nit")
                    .with_input_schema(json!({ "type": "object" }))
            })
            .collect();
        let text = overview(&tools);
        assert!(text.len() < 2 * MAX_OVERVIEW, "{}", text.len());
        assert!(
            text.contains("tool_number_0(args?: Record<string, unknown>): Promise<string>;"),
            "{text}"
        );
        assert!(text.ends_with(" more"), "{text}");
        assert!(overview(&tools[..1]).ends_with("};\n```"));
        assert_eq!(overview(&[]), "There are no tools to call.");
    }

    #[test]
    fn search_prefers_names() {
        let tools = [
            Tool::new("fetch", "Gets a page, and saves no files"),
            Tool::new("fs_read_file", "Reads"),
        ];
        let names = |words: &str| -> Vec<&str> {
            let found = search(&tools, words);
            found.iter().map(|tool| &*tool.name).collect()
        };
        assert_eq!(names("files"), ["fs_read_file", "fetch"]);
        assert_eq!(names("page"), ["fetch"]);
        assert_eq!(names("nothing at all like it"), Vec::<&str>::new());
        assert_eq!(names(" "), ["fetch", "fs_read_file"]);
    }
}
