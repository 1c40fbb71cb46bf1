//! What is sent back to an API of its own message: everything, unknown fields included, without
//! what an SDK adds when it prints a message and the API then refuses, such as `null` for unset
//! members.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::object_merge::members;
use super::{array, raw};

/// An object with each member passed through `edit`, which drops those for which it returns `None`.
/// Unchanged text if it is not an object or nothing changed.
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

/// The same as [`edited`], for the items of an array.
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

/// The object without null members, except those where null means something, and without members
/// that only an SDK has.
pub(super) fn without_nulls<'a>(
    object: &'a RawValue,
    null_means: &[&str],
    of_sdk: &[&str],
) -> Cow<'a, RawValue> {
    edited(object, |key, value| {
        kept(key, value, null_means, of_sdk).then_some(Cow::Borrowed(value))
    })
}

/// Whether a member is sent back.
pub(super) fn kept(key: &str, value: &RawValue, null_means: &[&str], of_sdk: &[&str]) -> bool {
    !of_sdk.contains(&key) && (value.get() != "null" || null_means.contains(&key))
}

fn joined(open: char, parts: &[String], close: char) -> Box<RawValue> {
    RawValue::from_string(format!("{open}{}{close}", parts.join(",")))
        .expect("parts that are JSON make a document")
}
