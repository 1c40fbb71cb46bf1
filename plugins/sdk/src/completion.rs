//! Completion of prompt arguments and of variables in resource templates, while the user types.
//!
//! ```
//! use toolhost_plugin::{Error, completion::{Request, Subject, Suggestions}, plugin, prompt};
//! # /// Greets.
//! # #[prompt]
//! # fn greet() -> &'static str { "Hello!" }
//!
//! fn complete(request: &Request) -> Result<Suggestions, Error> {
//!     Ok(match (&request.of, request.argument.as_str()) {
//!         (Subject::Prompt(name), "language") if name == "greet" => {
//!             request.among(["English", "Esperanto", "German"])
//!         }
//!         _ => Suggestions::default(),
//!     })
//! }
//!
//! plugin! { prompts: [greet], completion: complete }
//! ```

pub use crate::bindings::completion::exports::toolhost::plugin::completion::{
    Request, Subject, Suggestions,
};

/// MCP's limit.
const MOST: usize = 100;

impl Request {
    /// Suggests the values that begin with the text typed so far, ignoring case.
    #[must_use]
    pub fn among<T: Into<String>>(&self, values: impl IntoIterator<Item = T>) -> Suggestions {
        let typed = self.value.to_lowercase();
        values
            .into_iter()
            .map(Into::into)
            .filter(|value| value.to_lowercase().starts_with(&typed))
            .collect()
    }

    /// The value of another argument, if it is set already.
    #[must_use]
    pub fn other(&self, name: &str) -> Option<&str> {
        let (_, value) = self.others.iter().find(|(other, _)| other == name)?;
        Some(value)
    }
}

/// Takes the values best first. Keeps the first 100, and the number of all.
impl<T: Into<String>> FromIterator<T> for Suggestions {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values: Vec<String> = values.into_iter().map(Into::into).collect();
        let total = u32::try_from(values.len()).ok();
        values.truncate(MOST);
        Self { values, total }
    }
}

impl Default for Suggestions {
    fn default() -> Self {
        Self::from_iter(Vec::<String>::new())
    }
}

impl<T: Into<String>> From<Vec<T>> for Suggestions {
    fn from(values: Vec<T>) -> Self {
        values.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, Subject, Suggestions};

    #[test]
    fn suggestions_begin_with_what_is_typed() {
        let request = Request {
            of: Subject::Prompt("greet".into()),
            argument: "language".into(),
            value: "e".into(),
            others: vec![("name".into(), "Ada".into())],
        };
        let suggestions = request.among(["English", "German", "esperanto"]);
        assert_eq!(suggestions.values, ["English", "esperanto"]);
        assert_eq!(suggestions.total, Some(2));
        assert_eq!(request.other("name"), Some("Ada"));
        assert_eq!(request.other("age"), None);
    }

    #[test]
    fn no_more_than_mcp_takes() {
        let many: Suggestions = (0..250).map(|n| n.to_string()).collect();
        assert_eq!((many.values.len(), many.total), (100, Some(250)));
    }
}
