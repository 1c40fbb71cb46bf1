//! For the unit tests of a plugin that asks: what a client would reply. Not there on wasm.
//!
//! ```
//! use toolhost_plugin::{Error, ask, serde_json::{Value, json}, testing};
//!
//! fn greet() -> Result<String, Error> {
//!     let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
//!     let who: Value = ask::form_of("who", "Who are you?", schema)?;
//!     Ok(format!("Hello, {}!", who["name"].as_str().unwrap_or("you")))
//! }
//!
//! let asked = greet().unwrap_err();
//! assert_eq!(asked.questions()[0].0, "who");
//!
//! let reply = testing::filled(json!({ "name": "Ada" }));
//! let greeting = testing::answering(&asked, [("who", reply)], greet);
//! assert_eq!(greeting.unwrap(), "Hello, Ada!");
//! ```

use crate::Error;
use crate::bindings::toolhost::plugin::types::{Completion, Content, Reply, Resumption, Role};
use crate::{Serialize, ask};

/// Runs the tool again, as the host does once the questions in the error have replies.
pub fn answering<'a, T>(
    asked: &Error,
    replies: impl IntoIterator<Item = (&'a str, Reply)>,
    run: impl FnOnce() -> T,
) -> T {
    ask::begin(Some(Resumption {
        state: asked.state().to_vec(),
        replies: replies
            .into_iter()
            .map(|(key, reply)| (key.to_owned(), reply))
            .collect(),
    }));
    let result = run();
    ask::end();
    result
}

/// A form, filled in.
///
/// # Panics
///
/// When the value cannot be JSON.
pub fn filled<T: Serialize>(value: T) -> Reply {
    Reply::Accepted(Some(
        serde_json::to_string(&value).expect("the answer is JSON"),
    ))
}

/// A model's answer.
pub fn completed(text: impl Into<String>) -> Reply {
    Reply::Completion(Completion {
        role: Role::Assistant,
        content: Content::Text(text.into()),
        model: "test".to_owned(),
        stop_reason: None,
    })
}
