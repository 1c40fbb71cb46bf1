//! Values of Python as JSON, and back.

use std::str::FromStr;

use monty_types::MontyObject;
use num_bigint::BigInt;
use serde_json::{Map, Number, Value};

/// How deep values may be nested.
const MAX_DEPTH: usize = 100;

/// # Errors
///
/// It has no form in JSON.
pub(crate) fn to_json(value: &MontyObject) -> Result<Value, String> {
    at_depth(value, 0)
}

fn at_depth(value: &MontyObject, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("it is nested more than {MAX_DEPTH} deep"));
    }
    let inner = |value: &MontyObject| at_depth(value, depth + 1);
    Ok(match value {
        MontyObject::None => Value::Null,
        MontyObject::Bool(value) => Value::Bool(*value),
        MontyObject::Int(value) => Value::from(*value),
        MontyObject::BigInt(value) => {
            let number = Number::from_str(&value.to_string());
            Value::Number(number.map_err(|error| error.to_string())?)
        }
        MontyObject::Float(value) => {
            let number = Number::from_f64(*value);
            Value::Number(number.ok_or_else(|| format!("{value} cannot be represented in JSON"))?)
        }
        MontyObject::String(text) => Value::String(text.clone()),
        MontyObject::List(items)
        | MontyObject::Tuple(items)
        | MontyObject::Set(items)
        | MontyObject::FrozenSet(items) => {
            Value::Array(items.iter().map(inner).collect::<Result<_, _>>()?)
        }
        MontyObject::NamedTuple {
            field_names,
            values,
            ..
        } => {
            let members = field_names.iter().zip(values);
            let members = members.map(|(name, value)| Ok((name.clone(), inner(value)?)));
            Value::Object(members.collect::<Result<Map<_, _>, String>>()?)
        }
        MontyObject::Dict(pairs) => {
            let members = pairs.iter().map(|(key, value)| {
                let key = match key {
                    MontyObject::String(key) => key.clone(),
                    MontyObject::Int(key) => key.to_string(),
                    other => {
                        return Err(format!(
                            "{} cannot be the name of a member",
                            other.py_repr()
                        ));
                    }
                };
                Ok((key, inner(value)?))
            });
            Value::Object(members.collect::<Result<Map<_, _>, String>>()?)
        }
        MontyObject::Date(_)
        | MontyObject::DateTime(_)
        | MontyObject::Time(_)
        | MontyObject::Path(_) => Value::String(value.to_string()),
        other => {
            return Err(format!(
                "a {} cannot be represented in JSON; was an `await` forgotten?",
                other.type_name()
            ));
        }
    })
}

pub(crate) fn from_json(value: Value) -> MontyObject {
    match value {
        Value::Null => MontyObject::None,
        Value::Bool(value) => MontyObject::Bool(value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => MontyObject::Int(number),
            None => match BigInt::from_str(&number.to_string()) {
                Ok(number) => MontyObject::BigInt(number),
                Err(_) => MontyObject::Float(number.as_f64().unwrap_or(f64::INFINITY)),
            },
        },
        Value::String(text) => MontyObject::String(text),
        Value::Array(items) => MontyObject::List(items.into_iter().map(from_json).collect()),
        Value::Object(members) => {
            let members = members.into_iter();
            let pairs = members.map(|(name, value)| (MontyObject::String(name), from_json(value)));
            MontyObject::dict(pairs.collect::<Vec<_>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{from_json, to_json};

    #[test]
    fn values_stay_what_they_are() {
        for json in [
            "null",
            "[true,1,-1.5,\"a\"]",
            "{\"a\":{\"b\":[]},\"c\":123456789012345678901234567890}",
        ] {
            let value = from_json(serde_json::from_str(json).unwrap());
            assert_eq!(to_json(&value).unwrap().to_string(), json);
        }
    }
}
