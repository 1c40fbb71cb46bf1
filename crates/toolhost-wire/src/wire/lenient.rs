//! What decides nothing, or what servers write in ways of their own.

use serde_json::value::RawValue;

use super::{label, string};

/// A member that is there and not null.
pub(super) fn given(raw: Option<&RawValue>) -> Option<&RawValue> {
    raw.filter(|raw| raw.get() != "null")
}

/// Whether a member says nothing.
pub(super) fn is_blank(raw: &RawValue) -> bool {
    matches!(raw.get(), "null" | "false" | "\"\"" | "[]" | "{}")
}

/// A number, however it is written.
pub(super) fn number(raw: Option<&RawValue>) -> Option<u64> {
    let text = label(given(raw))?;
    let number: f64 = text.trim().parse().ok()?;
    // A cast takes what is out of range to its bounds.
    (number >= 0.0).then_some(number as u64)
}

/// An id or a name, if it is one.
pub(super) fn name(raw: Option<&RawValue>) -> Option<String> {
    label(given(raw)).filter(|text| !matches!(&**text, "" | "null" | "None"))
}

/// Why an answer ended, if that has been said.
pub(super) fn reason(raw: Option<&RawValue>) -> Option<String> {
    let reason = string(given(raw))?;
    let is_none = matches!(reason.trim(), "" | "null" | "None" | "none");
    (!is_none).then_some(reason)
}
