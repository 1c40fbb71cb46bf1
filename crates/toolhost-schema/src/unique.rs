//! `uniqueItems`, in a time that no choice of items makes quadratic.

use std::collections::HashSet;

use serde_json::{Number, Value};

/// Whether no two items are equal in the sense of JSON Schema; `go` takes steps and says whether
/// there may be more. If not, the result does not matter.
pub(crate) fn is_unique(items: &[Value], go: &dyn Fn(u64) -> bool) -> bool {
    let mut seen = HashSet::new();
    items.len() < 2
        || items.iter().all(|item| {
            let mut key = Vec::new();
            write(item, &mut key);
            go(1 + key.len() as u64 / 8) && seen.insert(key)
        })
}

/// Equal values become the same bytes, different ones do not.
fn write(value: &Value, key: &mut Vec<u8>) {
    match value {
        Value::Null => key.push(b'n'),
        Value::Bool(is_true) => key.push(if *is_true { b't' } else { b'f' }),
        Value::Number(number) => write_number(number, key),
        Value::String(text) => write_text(text, b's', key),
        Value::Array(items) => {
            key.push(b'[');
            items.iter().for_each(|item| write(item, key));
            key.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            key.push(b'{');
            for (name, value) in members {
                write_text(name, b'k', key);
                write(value, key);
            }
            key.push(b'}');
        }
    }
}

fn write_text(text: &str, kind: u8, key: &mut Vec<u8>) {
    key.push(kind);
    key.extend_from_slice(&text.len().to_le_bytes());
    key.extend_from_slice(text.as_bytes());
}

/// 1 and 1.0 are the same number.
fn write_number(number: &Number, key: &mut Vec<u8>) {
    let whole = number.as_i64().map(i128::from);
    let whole = whole.or_else(|| number.as_u64().map(i128::from));
    let float = number.as_f64().unwrap_or(f64::NAN);
    // Larger integers are only ever written as floats.
    let fits = float.fract() == 0.0 && float.abs() < 2f64.powi(65);
    match whole.or_else(|| fits.then_some(float as i128)) {
        Some(whole) => {
            key.push(b'i');
            key.extend_from_slice(&whole.to_le_bytes());
        }
        None => {
            key.push(b'd');
            key.extend_from_slice(&float.to_bits().to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_are_the_same_if_they_are_equal() {
        let values = [
            json!(null),
            json!(false),
            json!(0),
            json!(1),
            json!(1.0),
            json!(-0.0),
            json!(1.5),
            json!(u64::MAX),
            json!(18446744073709551616.0),
            json!(1e300),
            json!("1"),
            json!(""),
            json!([]),
            json!([[]]),
            json!([1, 2]),
            json!([[1], 2]),
            json!([1, [2]]),
            json!({}),
            json!({"a": 1, "b": [2.0]}),
            json!({"b": [2], "a": 1.0}),
            json!({"a": {"b": 1}}),
            json!({"a": 1}),
        ];
        for one in &values {
            for other in &values {
                let is_unique = is_unique(&[one.clone(), other.clone()], &|_| true);
                let is_equal = jsonschema::json::cmp::equal(one, other);
                assert_eq!(is_unique, !is_equal, "{one} and {other}");
            }
        }
    }
}
