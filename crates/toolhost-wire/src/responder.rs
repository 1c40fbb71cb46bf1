//! Whoever answers what tools ask: [`Responder`].

use futures_util::future::BoxFuture;

use crate::error::CallError;
use crate::input::{Question, QuestionKinds, Reply};

/// Whoever answers what tools ask.
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
    /// What it can be asked.
    fn kinds(&self) -> QuestionKinds;

    /// Its reply; `tool` asks.
    ///
    /// # Errors
    ///
    /// There is none: the call fails with this, most often [`CallError::Failed`].
    fn reply<'a>(
        &'a self,
        tool: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>>;
}
