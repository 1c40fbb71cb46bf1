//! Reads a call's arguments into the tool's struct.

use crate::{Error, JsonSchema};
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// The arguments of a tool or prompt: a type whose JSON is an object with a member for each argument.
///
/// [`#[arguments]`](macro@crate::arguments) implements it for structs, and for enums whose variants are objects. Types
/// with their own derives of `Deserialize` and `JsonSchema` implement it by hand:
///
/// ```
/// use toolhost_plugin::{Arguments, Deserialize, JsonSchema, tool};
///
/// #[derive(Deserialize, JsonSchema)]
/// # #[serde(crate = "toolhost_plugin::serde")]
/// # #[schemars(crate = "toolhost_plugin::schemars")]
/// struct Greet {
///     name: String,
/// }
///
/// impl Arguments for Greet {}
///
/// /// Greets someone.
/// #[tool]
/// fn greet(args: Greet) -> String {
///     format!("Hello, {}!", args.name)
/// }
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a tool or prompt: they are a struct with `#[arguments]`",
    label = "not a struct with `#[arguments]`",
    note = "the model writes a JSON object: write a struct with a field for each argument, put `#[arguments]` on it, \
            and take that",
    note = "a struct that derives `Deserialize` and `JsonSchema` by itself also needs `impl Arguments for … {{}}`"
)]
pub trait Arguments: DeserializeOwned + JsonSchema {}

/// Any object.
impl Arguments for Value {}
impl Arguments for Map<String, Value> {}
impl<T: DeserializeOwned + JsonSchema> Arguments for BTreeMap<String, T> {}
impl<T: DeserializeOwned + JsonSchema> Arguments for HashMap<String, T> {}

/// Reads the arguments. Errors name the place as a JSON Pointer, as the host's validation does.
pub(crate) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, Error> {
    read(&mut serde_json::Deserializer::from_str(json))
}

/// Reads the arguments of a prompt, which are text: numbers and booleans are parsed.
pub(crate) fn parse_texts<T: DeserializeOwned>(texts: Vec<(String, String)>) -> Result<T, Error> {
    let texts = texts.into_iter().map(|(name, text)| (name, Text(text)));
    read(MapDeserializer::new(texts))
}

fn read<'de, T, D>(deserializer: D) -> Result<T, Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de, Error = serde_json::Error>,
{
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let message = without_position(error.into_inner());
        Error::invalid_arguments(if pointer.is_empty() {
            message
        } else {
            format!("{pointer}: {message}")
        })
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        // Writing to a String cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } => {
                write!(pointer, "/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            // Not a place in the document: an enum's variant, or unknown.
            Segment::Enum { .. } | Segment::Unknown => Ok(()),
        };
    }
    pointer
}

/// Removes line and column: the pointer names the place, and the model does not count lines.
fn without_position(error: serde_json::Error) -> String {
    let mut message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if message.ends_with(&position) {
        message.truncate(message.len() - position.len());
    }
    message
}

struct Text(String);

impl<'de> IntoDeserializer<'de, serde_json::Error> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($deserialize:ident => $visit:ident)+) => {
        $(
            fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
                match self.0.trim().parse() {
                    Ok(value) => visitor.$visit(value),
                    // The visitor reports which type it expected.
                    Err(_) => visitor.visit_string(self.0),
                }
            }
        )+
    };
}

impl<'de> Deserializer<'de> for Text {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_enum(self.0.into_deserializer())
    }

    parsed! {
        deserialize_bool => visit_bool
        deserialize_i8 => visit_i8
        deserialize_i16 => visit_i16
        deserialize_i32 => visit_i32
        deserialize_i64 => visit_i64
        deserialize_u8 => visit_u8
        deserialize_u16 => visit_u16
        deserialize_u32 => visit_u32
        deserialize_u64 => visit_u64
        deserialize_f32 => visit_f32
        deserialize_f64 => visit_f64
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_texts};
    use crate::Deserialize;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code)]
    struct Arguments {
        names: Vec<String>,
    }

    #[test]
    fn an_error_names_the_place() {
        let message = |json| parse::<Arguments>(json).unwrap_err().message().to_owned();
        assert_eq!(
            message(r#"{"names":["a",2]}"#),
            "/names/1: invalid type: integer `2`, expected a string"
        );
        assert_eq!(message("{}"), "missing field `names`");
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Texts {
        name: String,
        count: Option<u8>,
        mood: Option<Mood>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Mood {
        Good,
    }

    #[test]
    fn texts_become_what_the_fields_are() {
        let texts = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, text)| ((*name).into(), (*text).into()));
            parse_texts::<Texts>(pairs.collect())
        };
        assert_eq!(
            texts(&[
                ("name", "7"),
                ("count", "3"),
                ("mood", "good"),
                ("other", "")
            ])
            .unwrap(),
            Texts {
                name: "7".into(),
                count: Some(3),
                mood: Some(Mood::Good)
            }
        );
        assert_eq!(
            texts(&[("name", "Ada"), ("count", "many")])
                .unwrap_err()
                .message(),
            "/count: invalid type: string \"many\", expected u8"
        );
        assert_eq!(texts(&[]).unwrap_err().message(), "missing field `name`");
    }
}
