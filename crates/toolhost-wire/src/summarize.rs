//! Compacts results as agents do, so that one long result does not fill a model's context.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json_text::indent;
use crate::setters;
use crate::tool::ToolResult;

/// How far to compact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summarize {
    /// Items shown of a JSON array.
    pub items: usize,
    /// Characters shown of a text that is not JSON.
    pub chars: usize,
}

impl Default for Summarize {
    fn default() -> Self {
        Summarize {
            items: 10,
            chars: 2000,
        }
    }
}

setters!(Summarize {
    with_items: items: usize,
    with_chars: chars: usize,
});

impl Summarize {
    /// The result's text, compacted: `Results from NAME:`, then a JSON array's length and its
    /// first items, another JSON value whole, or the beginning of any other text. JSON is
    /// indented. An error is its text unchanged.
    ///
    /// ```
    /// use toolhost_wire::summarize::Summarize;
    /// use toolhost_wire::{Output, ToolResult};
    ///
    /// let result = ToolResult::new("list", Ok(Output::text("[1,2,3]")));
    /// let text = Summarize::default().with_items(1).text(&result);
    /// assert_eq!(text, "Results from list:\nFound 3 items.\n[\n  1\n]");
    /// ```
    pub fn text(&self, result: &ToolResult) -> String {
        let text = result.to_text();
        if result.outcome.is_err() {
            return text;
        }
        let heading = format!("Results from {}:", result.name);
        if let Ok(items) = serde_json::from_str::<Vec<Item>>(&text) {
            let count = items.len();
            let shown: Vec<&str> = items
                .iter()
                .take(self.items)
                .map(|item| item.0.get())
                .collect();
            if let Some(shown) = indent(&format!("[{}]", shown.join(","))) {
                return format!("{heading}\nFound {count} items.\n{shown}");
            }
        } else if serde_json::from_str::<&RawValue>(&text).is_ok()
            && let Some(shown) = indent(&text)
        {
            return format!("{heading}\n{shown}");
        }
        match text.char_indices().nth(self.chars) {
            None => format!("{heading}\n{text}"),
            Some((end, _)) => {
                let total = text.chars().count();
                format!(
                    "{heading}\n{}\n[cut: the first {} of {total} characters]",
                    &text[..end],
                    self.chars
                )
            }
        }
    }
}

/// An array's item as its text: numbers keep all their digits and objects the order of their keys.
#[derive(Deserialize)]
struct Item<'a>(#[serde(borrow)] &'a RawValue);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::Output;

    fn summary(text: &str) -> String {
        let result = ToolResult::new("t", Ok(Output::text(text)));
        Summarize { items: 2, chars: 4 }.text(&result)
    }

    #[test]
    fn an_array_is_counted_and_its_first_items_shown() {
        assert_eq!(
            summary(r#"[{"b":1,"a":[]}, "x,y", 3]"#),
            "Results from t:\nFound 3 items.\n[\n  {\n    \"b\": 1,\n    \"a\": []\n  },\n  \"x,y\"\n]"
        );
        assert_eq!(summary("[]"), "Results from t:\nFound 0 items.\n[]");
    }

    #[test]
    fn another_value_is_shown_whole_with_its_numbers_as_written() {
        assert_eq!(
            summary(r#"{"n":12345678901234567890123,"f":1.0}"#),
            "Results from t:\n{\n  \"n\": 12345678901234567890123,\n  \"f\": 1.0\n}"
        );
        assert_eq!(summary("42"), "Results from t:\n42");
    }

    #[test]
    fn other_text_is_cut_between_characters_and_says_so() {
        assert_eq!(summary("héé!"), "Results from t:\nhéé!");
        assert_eq!(
            summary("héé!?"),
            "Results from t:\nhéé!\n[cut: the first 4 of 5 characters]"
        );
    }

    #[test]
    fn a_document_nested_out_of_hand_is_treated_as_text() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(
            summary(&deep),
            "Results from t:\n[[[[\n[cut: the first 4 of 200000 characters]"
        );
    }
}
