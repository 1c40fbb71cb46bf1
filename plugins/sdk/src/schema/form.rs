//! Converts the schema of a type to that of a form's field.

use serde_json::{Map, Value, json};

/// The keywords that a field may have beside `type`.
const EVERYWHERE: [&str; 3] = ["title", "description", "default"];

/// A value of an enum, and its label.
type Choice = (String, Option<String>);

/// The field's schema in the subset that MCP allows, if there is one.
pub(super) fn field(schema: &Value) -> Option<Value> {
    let schema = &without_null(schema);
    let mut field = if let Some(choices) = choices(schema) {
        one_of(&choices, "oneOf")
    } else {
        let kind = schema.get("type")?.as_str()?;
        let mut field = Map::from_iter([("type".to_owned(), kind.into())]);
        match kind {
            "string" => {
                take(schema, &["minLength", "maxLength", "pattern"], &mut field);
                if let Some("email" | "uri" | "date" | "date-time") =
                    schema.get("format").and_then(Value::as_str)
                {
                    take(schema, &["format"], &mut field);
                }
            }
            "integer" | "number" => take(schema, &["minimum", "maximum"], &mut field),
            "boolean" => {}
            "array" => {
                let items = one_of(&choices(schema.get("items")?)?, "anyOf");
                field.insert("items".to_owned(), items.into());
                take(schema, &["minItems", "maxItems"], &mut field);
            }
            _ => return None,
        }
        field
    };
    take(schema, &EVERYWHERE, &mut field);
    Some(field.into())
}

fn take(schema: &Value, keys: &[&str], field: &mut Map<String, Value>) {
    for key in keys {
        if let Some(value) = schema.get(key) {
            field.insert((*key).to_owned(), value.clone());
        }
    }
}

/// Removes `null`: optional fields are left out of a form instead.
fn without_null(schema: &Value) -> Value {
    let mut schema = schema.clone();
    for key in ["anyOf", "oneOf"] {
        let Some(cases) = schema.get_mut(key).and_then(Value::as_array_mut) else {
            continue;
        };
        cases.retain(|case| case.get("type") != Some(&json!("null")));
        if let [case] = cases.as_slice()
            && let Value::Object(mut case) = case.clone()
        {
            // The outer keywords describe the field, the inner ones its type.
            take(&schema, &EVERYWHERE, &mut case);
            return case.into();
        }
    }
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            schema["type"] = kind.clone();
        }
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    schema
}

/// The values of an enum, with the doc comments of its variants as labels.
fn choices(schema: &Value) -> Option<Vec<Choice>> {
    if let Some(cases) = schema.get("oneOf").or_else(|| schema.get("anyOf")) {
        let cases = cases.as_array()?.iter().map(choices);
        return Some(cases.collect::<Option<Vec<_>>>()?.concat());
    }
    if let Some(values) = schema.get("enum") {
        let values = values.as_array()?.iter();
        return values
            .map(|value| Some((value.as_str()?.to_owned(), None)))
            .collect();
    }
    let value = schema.get("const")?.as_str()?.to_owned();
    let title = schema.get("title").or_else(|| schema.get("description"));
    Some(vec![(
        value,
        title.and_then(Value::as_str).map(str::to_owned),
    )])
}

fn one_of(choices: &[Choice], combinator: &str) -> Map<String, Value> {
    let schema = if choices.iter().all(|(_, title)| title.is_none()) {
        let values: Vec<&String> = choices.iter().map(|(value, _)| value).collect();
        json!({ "type": "string", "enum": values })
    } else {
        let titled = choices.iter().map(
            |(value, title)| json!({ "const": value, "title": title.as_ref().unwrap_or(value) }),
        );
        match combinator {
            "oneOf" => json!({ "type": "string", "oneOf": titled.collect::<Vec<_>>() }),
            _ => json!({ combinator: titled.collect::<Vec<_>>() }),
        }
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Deserialize, JsonSchema, schema};
    use serde_json::{Value, json};

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code)]
    struct Everything {
        /// As in your passport.
        name: String,
        #[schemars(length(max = 5), title = "Code")]
        code: Option<String>,
        #[serde(default = "thirty")]
        age: u8,
        height: Option<f64>,
        #[serde(default)]
        verified: bool,
        plain: Plain,
        titled: Titled,
        maybe: Option<Plain>,
        perhaps: Option<Titled>,
        #[schemars(length(min = 1))]
        plains: Vec<Plain>,
        titles: Option<Vec<Titled>>,
        #[schemars(extend("format" = "email"))]
        mail: String,
    }

    fn thirty() -> u8 {
        30
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Plain {
        Red,
        Green,
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Titled {
        /// For one
        Small,
        #[schemars(title = "For many")]
        Large,
        Other,
    }

    #[test]
    fn forms_are_flat_and_plain() {
        let plain = json!({ "type": "string", "enum": ["red", "green"] });
        let titles = json!([
            { "const": "other", "title": "other" },
            { "const": "small", "title": "For one" },
            { "const": "large", "title": "For many" }
        ]);
        let titled = json!({ "type": "string", "oneOf": titles });
        assert_eq!(
            schema::of_form::<Everything>().unwrap(),
            json!({
                "type": "object",
                "properties": {
                    "name": { "type": "string", "description": "As in your passport." },
                    "code": { "type": "string", "maxLength": 5, "title": "Code" },
                    "age": { "type": "integer", "minimum": 0, "maximum": 255, "default": 30 },
                    "height": { "type": "number" },
                    "verified": { "type": "boolean", "default": false },
                    "plain": plain,
                    "titled": titled,
                    "maybe": plain,
                    "perhaps": titled,
                    "plains": { "type": "array", "items": plain, "minItems": 1 },
                    "titles": { "type": "array", "items": { "anyOf": titles } },
                    "mail": { "type": "string", "format": "email" }
                },
                "required": ["name", "plain", "titled", "plains", "mail"]
            })
        );
    }

    #[test]
    fn fields_are_in_their_authors_order() {
        let schema = schema::of_form::<Everything>().unwrap();
        let names = schema["properties"].as_object().unwrap().keys();
        assert_eq!(names.take(3).collect::<Vec<_>>(), ["name", "code", "age"]);
    }

    #[test]
    fn what_cannot_be_a_form_says_why() {
        #[derive(Deserialize, JsonSchema)]
        #[expect(dead_code)]
        struct Nested {
            inner: Inner,
        }
        #[derive(Deserialize, JsonSchema)]
        #[expect(dead_code)]
        struct Inner {
            name: String,
        }
        let wrong = schema::of_form::<Nested>().unwrap_err();
        assert!(
            wrong.starts_with("`Nested` cannot be a form: `inner` is"),
            "{wrong}"
        );
        let wrong = schema::of_form::<Value>().unwrap_err();
        assert!(wrong.ends_with("it is not a struct"), "{wrong}");
    }
}
