//! A call that runs, as its server reaches it: what it says goes to the call's log, what it asks to whoever
//! made the call.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::questions::{self, MAX_QUESTIONS, Questions, Responses};
use crate::input::{InputRequired, Question, QuestionKind, QuestionKinds, Reply};
use crate::manifest::McpConfig;
use crate::mask::Mask;
use crate::sandbox::Journal;
use crate::tool::LogSource;
use crate::watch::Progress;

/// The longest text of a question that is logged, in bytes.
const MAX_SHOWN: usize = 1000;

#[derive(Clone)]
pub(super) struct Running(Arc<Heard>);

/// What its connection knows a call by: it lives as long as the call.
pub(super) struct Heard {
    /// Of the turn that it has. A call has one more for each time that it asks.
    journal: Mutex<Journal>,
    /// When the server last said something of the call.
    last: Mutex<Instant>,
    asks: mpsc::Sender<Asked>,
    /// What the manifest lets the server ask.
    may_ask: QuestionKinds,
    /// The most that it may ask at once, in bytes.
    longest: u64,
    /// The task that it has become.
    task: OnceLock<String>,
}

/// Questions that wait for their replies.
pub(super) struct Asked {
    pub(super) questions: InputRequired,
    pub(super) replies: oneshot::Sender<Replies>,
}

pub(super) type Replies = Vec<(String, Reply)>;

impl Running {
    /// A call in its first turn, and what is asked because of it.
    pub(super) fn new(journal: Journal, config: &McpConfig) -> (Running, mpsc::Receiver<Asked>) {
        let (asks, asked) = mpsc::channel(MAX_QUESTIONS);
        let heard = Heard {
            journal: Mutex::new(journal),
            last: Mutex::new(Instant::now()),
            asks,
            may_ask: config.may_ask,
            longest: config.limits.max_output.as_u64(),
            task: OnceLock::new(),
        };
        (Running(Arc::new(heard)), asked)
    }

    pub(super) fn of(heard: Arc<Heard>) -> Running {
        Running(heard)
    }

    pub(super) fn heard_by(&self) -> &Arc<Heard> {
        &self.0
    }

    fn journal(&self) -> Journal {
        let journal = self.0.journal.lock();
        journal.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the call another turn; the journal of the last one comes back.
    pub(super) fn turn(&self, journal: Journal) -> Journal {
        self.heard();
        let current = self.0.journal.lock();
        std::mem::replace(
            &mut *current.unwrap_or_else(PoisonError::into_inner),
            journal,
        )
    }

    /// The server said something of the call.
    pub(super) fn heard(&self) {
        *self.0.last() = Instant::now();
    }

    pub(super) fn progress(&self, progress: Progress) {
        self.heard();
        self.journal().progress(progress);
    }

    pub(super) fn log(&self, source: LogSource, text: String) {
        self.heard();
        self.journal().log(source, text);
    }

    /// Ends once the server has said nothing of the call for so long.
    pub(super) async fn silent_for(&self, bound: Duration) {
        loop {
            let until = *self.0.last() + bound;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// The call has become a task of that id.
    pub(super) fn is_task(&self, id: &str) {
        let _ = self.0.task.set(id.to_owned());
    }

    /// What whoever made the call can be asked.
    pub(super) fn can_ask(&self) -> QuestionKinds {
        let journal = self.journal();
        let all = [
            QuestionKind::Form,
            QuestionKind::Page,
            QuestionKind::Prompt,
            QuestionKind::Roots,
        ];
        let can = |kind: &QuestionKind| self.0.may_ask.contains(*kind) && journal.can_ask(*kind);
        all.into_iter().filter(can).collect()
    }

    /// What is answered to what the server asks. What nobody can be asked is refused at once, and the call's
    /// log says so.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(super) async fn responses(&self, asked: Questions) -> Result<Responses, String> {
        let kinds = self.can_ask();
        let (can, cannot): (Questions, Questions) = asked
            .into_iter()
            .partition(|(_, question)| kinds.contains(question.kind()));
        let mut responses = Responses::new();
        for (key, question) in cannot {
            self.log(
                LogSource::Warning,
                refusal(&question, self.journal().mask()),
            );
            responses.insert(key, questions::refused(&question)?);
        }
        if !can.is_empty() {
            let mut replies = self.replies(can.clone()).await?;
            for (key, question) in can {
                let reply = replies.iter().position(|(asked, _)| *asked == key);
                let reply = reply.map(|at| replies.swap_remove(at).1);
                responses.insert(key, questions::response(&question, reply)?);
            }
        }
        Ok(responses)
    }

    /// The replies to what the server asks, which somebody can be.
    ///
    /// # Errors
    ///
    /// Why there are none.
    pub(super) async fn replies(&self, questions: Questions) -> Result<Replies, String> {
        let questions = InputRequired::new(questions, Vec::new());
        if questions.size() as u64 > self.0.longest {
            return Err("the questions of its server are longer than `max-output`".to_owned());
        }
        let (replies, replied) = oneshot::channel();
        let asked = self.0.asks.try_send(Asked { questions, replies });
        asked.map_err(|_| "its server asks too many questions at once".to_owned())?;
        let replies = replied.await;
        replies.map_err(|_| "the call that it asks for has ended".to_owned())
    }
}

/// What a call's log says of a question that nobody is asked.
fn refusal(question: &Question, mask: &Mask) -> String {
    let shown = mask.beginning(question.message().to_owned(), MAX_SHOWN);
    match question {
        Question::Form { .. } | Question::Page { .. } => {
            format!("declined a question for the user, as no one is available to answer: {shown}")
        }
        _ => format!("refused a question, as no one is available to answer: {shown}"),
    }
}

impl Heard {
    pub(super) fn has_task(&self, id: &str) -> bool {
        self.task.get().is_some_and(|task| task == id)
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
