//! Lists in pages. A cursor holds the place to go on from, and which list it is a place in, so that
//! after a change a client starts anew instead of missing what moved.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::ErrorData;
use rmcp::model::PaginatedRequestParams;

/// A page of the items that have these names, and the cursor of the next.
///
/// # Errors
///
/// The cursor is none that was given out for this list.
pub(crate) fn page<T: Clone>(
    items: &[T],
    name: impl Fn(&T) -> &str,
    request: Option<PaginatedRequestParams>,
    size: usize,
) -> Result<(Vec<T>, Option<String>), ErrorData> {
    let cursor = request.and_then(|request| request.cursor);
    if cursor.is_none() && items.len() <= size {
        return Ok((items.to_vec(), None));
    }
    let mut hasher = DefaultHasher::new();
    items.iter().for_each(|item| name(item).hash(&mut hasher));
    let list = hasher.finish();
    let start = match &cursor {
        None => 0,
        Some(cursor) => read(cursor, list)
            .filter(|start| *start < items.len())
            .ok_or_else(|| {
                let message = "invalid cursor: list from the start";
                ErrorData::invalid_params(message, None)
            })?,
    };
    let end = items.len().min(start.saturating_add(size));
    let next = (end < items.len()).then(|| URL_SAFE_NO_PAD.encode(format!("{end} {list:x}")));
    Ok((items[start..end].to_vec(), next))
}

fn read(cursor: &str, list: u64) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (start, of) = text.split_once(' ')?;
    (u64::from_str_radix(of, 16).ok()? == list).then(|| start.parse().ok())?
}
