//! A running call as its server reaches it: log lines go to the call's log, questions to the call's
//! maker.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::questions::{self, MAX_QUESTIONS, Questions, Responses};
use toolhost_core::input::{InputRequired, Question, QuestionKind, QuestionKinds, Reply};
use toolhost_core::locks;
use toolhost_core::manifest::McpConfig;
use toolhost_core::mask::Mask;
use toolhost_core::sandbox::Journal;
use toolhost_core::tool::LogSource;
use toolhost_core::watch::Progress;

/// The longest text of a question that is logged, in bytes.
const MAX_SHOWN: usize = 1000;

#[derive(Clone)]
pub(super) struct RunningCall(Arc<CallEntry>);

/// The call's entry in its connection: it lives as long as the call.
pub(super) struct CallEntry {
    /// The journal of the present turn. A call has one more turn for each round of questions.
    journal: Mutex<Journal>,
    /// When the server last sent something about the call.
    last: Mutex<Instant>,
    asks: mpsc::Sender<ServerQuestions>,
    /// The kinds of questions that the manifest allows.
    may_ask: QuestionKinds,
    /// The most bytes of questions at once.
    longest: u64,
    /// The task that it has become.
    task: OnceLock<String>,
}

/// Questions that wait for their replies.
pub(super) struct ServerQuestions {
    pub(super) questions: InputRequired,
    pub(super) replies: oneshot::Sender<Replies>,
}

pub(super) type Replies = Vec<(String, Reply)>;

impl RunningCall {
    /// A call in its first turn, and the channel of its questions.
    pub(super) fn new(
        journal: Journal,
        config: &McpConfig,
    ) -> (RunningCall, mpsc::Receiver<ServerQuestions>) {
        let (asks, asked) = mpsc::channel(MAX_QUESTIONS);
        let heard = CallEntry {
            journal: Mutex::new(journal),
            last: Mutex::new(Instant::now()),
            asks,
            may_ask: config.may_ask,
            longest: config.limits.max_output.as_u64(),
            task: OnceLock::new(),
        };
        (RunningCall(Arc::new(heard)), asked)
    }

    pub(super) fn of(heard: Arc<CallEntry>) -> RunningCall {
        RunningCall(heard)
    }

    pub(super) fn heard_by(&self) -> &Arc<CallEntry> {
        &self.0
    }

    fn journal(&self) -> Journal {
        locks::lock(&self.0.journal).clone()
    }

    /// Begins another turn; returns the journal of the last one.
    pub(super) fn turn(&self, journal: Journal) -> Journal {
        self.note_activity();
        std::mem::replace(&mut *locks::lock(&self.0.journal), journal)
    }

    /// Notes a sign of life from the server.
    pub(super) fn note_activity(&self) {
        *self.0.last() = Instant::now();
    }

    pub(super) fn progress(&self, progress: Progress) {
        self.note_activity();
        self.journal().progress(progress);
    }

    pub(super) fn log(&self, source: LogSource, text: String) {
        self.note_activity();
        self.journal().log(source, text);
    }

    /// Completes once the server has been silent about the call for `bound`.
    pub(super) async fn silent_for(&self, bound: Duration) {
        loop {
            let until = *self.0.last() + bound;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// Notes that the call has become a task.
    pub(super) fn is_task(&self, id: &str) {
        let _ = self.0.task.set(id.to_owned());
    }

    /// The kinds of questions that the call's maker can answer.
    pub(super) fn can_ask(&self) -> QuestionKinds {
        let journal = self.journal();
        let all = [
            QuestionKind::Form,
            QuestionKind::Url,
            QuestionKind::Sampling,
            QuestionKind::Roots,
        ];
        let can = |kind: &QuestionKind| self.0.may_ask.contains(*kind) && journal.can_ask(*kind);
        all.into_iter().filter(can).collect()
    }

    /// The responses to a server's questions. A question that nobody can answer is refused at once,
    /// and logged.
    ///
    /// # Errors
    ///
    /// Why there is no response.
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

    /// The replies to a server's questions that somebody can answer.
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
        let asked = self.0.asks.try_send(ServerQuestions { questions, replies });
        asked.map_err(|_| "its server asks too many questions at once".to_owned())?;
        let replies = replied.await;
        replies.map_err(|_| "the call that it asks for has ended".to_owned())
    }
}

/// The log line for a refused question.
fn refusal(question: &Question, mask: &Mask) -> String {
    let shown = mask.beginning(question.message().to_owned(), MAX_SHOWN);
    match question {
        Question::Form { .. } | Question::Url { .. } => {
            format!("declined a question for the user, as no one is available to answer: {shown}")
        }
        _ => format!("refused a question, as no one is available to answer: {shown}"),
    }
}

impl CallEntry {
    pub(super) fn has_task(&self, id: &str) -> bool {
        self.task.get().is_some_and(|task| task == id)
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        locks::lock(&self.last)
    }
}
