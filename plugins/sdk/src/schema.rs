//! JSON Schemas for models: draft 2020-12, inlined where possible, without noise.

use crate::bindings::prompts::exports::toolhost::plugin::prompts::Argument;
use crate::{Arguments, IntoResult};
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

mod form;

/// The schema of a tool without arguments.
pub(crate) fn no_arguments() -> String {
    json!({ "type": "object", "properties": {}, "additionalProperties": false }).to_string()
}

/// The schema of a tool's argument struct.
pub(crate) fn of_arguments<T: Arguments>() -> String {
    let mut schema = generate::<T>(SchemaSettings::draft2020_12().for_deserialize());
    match schema.get("type") {
        // `serde_json::Value` accepts anything, but a call's arguments are always an object.
        None => drop(schema.insert("type".to_owned(), "object".into())),
        Some(kind) => assert!(
            kind == "object",
            "`{}` cannot be the arguments of a tool: its JSON is of the type {kind}, and has to be an object",
            T::schema_name()
        ),
    }
    schema.to_value().to_string()
}

/// The schema of a tool's return type, if it has one.
pub(crate) fn of_output<T: IntoResult>() -> Option<String> {
    T::output_schema()
}

/// The schema of structured content. MCP allows objects only; other types have no schema.
pub(crate) fn of_structured<T: JsonSchema>() -> Option<String> {
    let schema = generate::<T>(SchemaSettings::draft2020_12().for_serialize());
    is_object(&schema).then(|| schema.to_value().to_string())
}

/// The arguments of a prompt.
pub(crate) fn of_texts<T: JsonSchema>() -> Vec<Argument> {
    let schema = generate::<T>(SchemaSettings::draft2020_12().for_deserialize());
    let text = |schema: &Value, key: &str| schema.get(key)?.as_str().map(str::to_owned);
    let required = required(&schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    let arguments = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| Argument {
            name: name.clone(),
            title: text(schema, "title"),
            description: text(schema, "description"),
            required: required.contains(&name.as_str()),
        });
    arguments.collect()
}

/// The schema of a form with the fields of a struct, in the subset that MCP allows; otherwise, what is wrong with the struct.
pub(crate) fn of_form<T: JsonSchema>() -> Result<Value, String> {
    let schema = generate::<T>(SchemaSettings::draft2020_12().for_deserialize());
    if !is_object(&schema) {
        return Err(format!(
            "`{}` cannot be a form: it is not a struct",
            T::schema_name()
        ));
    }
    let mut fields = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        let field = form::field(schema).ok_or_else(|| {
            format!(
                "`{}` cannot be a form: `{name}` is neither text, number, boolean, choice nor list of choices",
                T::schema_name()
            )
        })?;
        fields.insert(name.clone(), field);
    }
    Ok(json!({ "type": "object", "properties": fields, "required": required(&schema) }))
}

fn required(schema: &Schema) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn is_object(schema: &Schema) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    // Drop titles made from type names, which do not help a model.
    if schema.get("title").and_then(Value::as_str) == Some(&*T::schema_name()) {
        schema.remove("title");
    }
    Tidy.transform(&mut schema);
    schema
}

#[derive(Clone)]
struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        // JSON Schema does not define Rust's number types as formats. The bounds stay.
        let rust_format = schema
            .get("format")
            .and_then(Value::as_str)
            .is_some_and(|format| {
                format == "float"
                    || format == "double"
                    || format.starts_with("int")
                    || format.starts_with("uint")
            });
        if rust_format {
            schema.remove("format");
        }
        if schema.get("default").is_some_and(Value::is_null) {
            schema.remove("default");
        }
        if let Some(Value::String(description)) = schema.get_mut("description") {
            *description = paragraphs(description);
        }
        transform_subschemas(self, schema);
    }
}

/// Joins the lines of each paragraph: line breaks of the source mean nothing to a model, and cost tokens. Lists, tables,
/// code blocks and indented lines stay as they are.
pub fn paragraphs(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut in_code = false;
    let mut joinable = false;
    for line in text.trim().lines() {
        let fence = line.trim_start().starts_with("```");
        let own_line = in_code || fence || line.is_empty() || starts_block(line);
        if !joined.is_empty() {
            joined.push(if joinable && !own_line { ' ' } else { '\n' });
        }
        joined.push_str(line.trim_end());
        in_code ^= fence;
        joinable = !in_code && !fence && !line.is_empty();
    }
    joined
}

fn starts_block(line: &str) -> bool {
    let ordered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with([' ', '\t', '|', '#', '>'])
        || line.starts_with("- ")
        || line.starts_with("* ")
        || (ordered.len() < line.len() && ordered.starts_with(". "))
}

#[cfg(test)]
mod tests {
    use super::{of_arguments, paragraphs};
    use crate::arguments;
    use serde_json::{Value, json};

    #[arguments]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code)]
    struct Arguments {
        /// Where to look,
        /// and how.
        place: Place,
        #[serde(default)]
        count: Option<u32>,
    }

    #[arguments]
    #[expect(dead_code)]
    struct Place {
        name: String,
    }

    #[test]
    fn schemas_are_inlined_and_without_noise() {
        let schema: Value = serde_json::from_str(&of_arguments::<Arguments>()).unwrap();
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "properties": {
                    "place": {
                        "description": "Where to look, and how.",
                        "type": "object",
                        "properties": { "name": { "type": "string" } },
                        "required": ["name"]
                    },
                    "count": { "type": ["integer", "null"], "minimum": 0 }
                },
                "additionalProperties": false,
                "required": ["place"]
            })
        );
    }

    #[test]
    fn a_schema_that_is_not_an_objects_becomes_one() {
        assert_eq!(of_arguments::<Value>(), r#"{"type":"object"}"#);
    }

    #[test]
    fn paragraphs_are_joined_and_blocks_are_not() {
        assert_eq!(
            paragraphs("One\ntwo.\n\nA list:\n- a\n- b\n\n```\nx\ny\n```\n"),
            "One two.\n\nA list:\n- a\n- b\n\n```\nx\ny\n```"
        );
    }
}
