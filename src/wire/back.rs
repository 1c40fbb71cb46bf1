//! What goes back to an API of what it sent: all of it, fields that nobody knows yet included, without
//! what an SDK adds when it prints a message and the API then refuses: `null` for whatever is not set.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{array, raw};

/// The members of an object in their order, values unread; `None` if it is no object.
pub(super) fn members(raw: &RawValue) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

    impl<'de> Deserialize<'de> for Members<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Read;

            impl<'de> Visitor<'de> for Read {
                type Value = Members<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut members = Vec::new();
                    while let Some(Key(key)) = map.next_key()? {
                        members.push((key, map.next_value()?));
                    }
                    Ok(Members(members))
                }
            }

            deserializer.deserialize_map(Read)
        }
    }

    #[derive(Deserialize)]
    struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

    let Members(members) = serde_json::from_str(raw.get()).ok()?;
    Some(members)
}

/// An object whose members each went through `edit`, which drops those for which it has nothing.
/// What is no object, or is not changed, stays as it was written.
pub(super) fn edited<'a>(
    object: &'a RawValue,
    edit: impl Fn(&str, &'a RawValue) -> Option<Cow<'a, RawValue>>,
) -> Cow<'a, RawValue> {
    let Some(members) = members(object) else {
        return Cow::Borrowed(object);
    };
    let mut is_changed = false;
    let mut kept = Vec::with_capacity(members.len());
    for (key, value) in members {
        let edited = edit(&key, value);
        is_changed |= !matches!(edited, Some(Cow::Borrowed(_)));
        kept.extend(edited.map(|value| format!("{}:{value}", raw(&*key))));
    }
    match is_changed {
        true => Cow::Owned(joined('{', &kept, '}')),
        false => Cow::Borrowed(object),
    }
}

/// An array whose items each went through `edit`, as [`edited`] does it with members.
pub(super) fn edited_items<'a>(
    items: &'a RawValue,
    edit: impl Fn(&'a RawValue) -> Option<Cow<'a, RawValue>>,
) -> Cow<'a, RawValue> {
    let Ok(read) = array(items) else {
        return Cow::Borrowed(items);
    };
    let all: Vec<_> = read.into_iter().map(edit).collect();
    if all
        .iter()
        .all(|item| matches!(item, Some(Cow::Borrowed(_))))
    {
        return Cow::Borrowed(items);
    }
    let kept: Vec<String> = all
        .iter()
        .flatten()
        .map(|item| item.get().to_owned())
        .collect();
    Cow::Owned(joined('[', &kept, ']'))
}

/// The object without the members that are null, but for those that mean something by it; and without
/// those that only an SDK has.
pub(super) fn without_nulls<'a>(
    object: &'a RawValue,
    null_means: &[&str],
    of_sdk: &[&str],
) -> Cow<'a, RawValue> {
    edited(object, |key, value| {
        kept(key, value, null_means, of_sdk).then_some(Cow::Borrowed(value))
    })
}

/// Whether a member goes back.
pub(super) fn kept(key: &str, value: &RawValue, null_means: &[&str], of_sdk: &[&str]) -> bool {
    !of_sdk.contains(&key) && (value.get() != "null" || null_means.contains(&key))
}

fn joined(open: char, parts: &[String], close: char) -> Box<RawValue> {
    RawValue::from_string(format!("{open}{}{close}", parts.join(",")))
        .expect("parts that are JSON make a document")
}
