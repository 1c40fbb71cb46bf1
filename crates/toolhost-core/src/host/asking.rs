//! Answers the questions of nested calls, and counts those that are being answered: the time that a
//! person takes is not that of the call that waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use toolhost_wire::Responder;

use crate::error::CallError;
use crate::input::{Question, QuestionKinds, Reply};

/// The questions of a call's nested calls.
#[derive(Clone, Default)]
pub(super) struct Questions {
    open: Arc<AtomicUsize>,
    /// Wakes the call that waits when the first question is asked, and when the last is answered.
    pub(super) changed: Arc<Notify>,
}

struct NestedResponder {
    responder: Arc<dyn Responder>,
    questions: Questions,
}

/// A question is open while this is held.
struct OpenQuestion<'q>(&'q Questions);

impl Questions {
    /// Whether somebody is being asked.
    pub(super) fn are_open(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// The responder for nested calls.
    pub(super) fn counted_by(&self, responder: Arc<dyn Responder>) -> Arc<dyn Responder> {
        Arc::new(NestedResponder {
            responder,
            questions: self.clone(),
        })
    }

    fn ask(&self) -> OpenQuestion<'_> {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
        OpenQuestion(self)
    }
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

impl Responder for NestedResponder {
    fn kinds(&self) -> QuestionKinds {
        self.responder.kinds()
    }

    fn reply<'a>(
        &'a self,
        tool: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(async move {
            let _open = self.questions.ask();
            self.responder.reply(tool, question).await
        })
    }
}
