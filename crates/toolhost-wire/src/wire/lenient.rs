//! Lenient parsing, of members that nothing depends on and of servers' own ways.

use serde_json::value::RawValue;

use super::{label, string};

/// A member that is present and not null.
pub(super) fn given(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// Whether a member is null or empty.
pub(super) fn is_blank(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "false" | "\"\"" | "[]" | "{}")
}

/// A number, however it is written.
pub(super) fn number(raw: Option<&RawValue>) -> Option<u64> {
    let text = label(given(raw))?;
    let number: f64 = text.trim().parse().ok()?;
    // The cast saturates.
    (number >= 0.0).then_some(number as u64)
}

/// An id or a name, if it is one.
pub(super) fn name(raw: Option<&RawValue>) -> Option<String> {
    label(given(raw)).filter(|text| !matches!(&**text, "" | "null" | "None"))
}

/// A stop reason, if it was given.
pub(super) fn reason(raw: Option<&RawValue>) -> Option<String> {
    let reason = string(given(raw))?;
    let is_none = matches!(reason.trim(), "" | "null" | "None" | "none");
    (!is_none).then_some(reason)
}
