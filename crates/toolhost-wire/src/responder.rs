//! [`Responder`]: answers the questions of tools.

use futures_util::future::BoxFuture;

use crate::error::CallError;
use crate::input::{Question, QuestionKinds, Reply};

/// Answers the questions of tools.
///
/// ```
/// use futures_util::future::BoxFuture;
/// use toolhost_wire::input::{Question, QuestionKind, QuestionKinds, Reply};
/// use toolhost_wire::{CallError, Responder};
///
/// /// Fills in every form with the same name.
/// struct Named(&'static str);
///
/// impl Responder for Named {
///     fn kinds(&self) -> QuestionKinds {
///         QuestionKinds::default().with(QuestionKind::Form)
///     }
///
///     fn reply<'a>(
///         &'a self,
///         tool: &'a str,
///         question: &'a Question,
///     ) -> BoxFuture<'a, Result<Reply, CallError>> {
///         Box::pin(async move {
///             match question {
///                 Question::Form { .. } => Ok(Reply::Accepted(Some(format!(r#"{{"name": "{}"}}"#, self.0)))),
///                 _ => Err(CallError::failed(format!("nobody answers what {tool} asks"))),
///             }
///         })
///     }
/// }
/// ```
pub trait Responder: Send + Sync {
    /// The kinds of questions that it can answer.
    fn kinds(&self) -> QuestionKinds;

    /// Replies to a question of `tool`.
    ///
    /// # Errors
    ///
    /// There is no reply: the call fails with this error, usually [`CallError::Failed`].
    fn reply<'a>(
        &'a self,
        tool: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>>;
}
