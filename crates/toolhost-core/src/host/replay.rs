//! [`CallLog`]: what the host returned to a call that calls tools. After a question of a nested call,
//! the call is replayed: it runs again from its start and gets the same, up to the point that it had
//! reached. See docs/adr/0025.
//!
//! Only calls of plugins that have nothing but their arguments, tools, a clock and randomness can be
//! run again: those two are part of the log.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::question_rounds::AskedCall;
use crate::client_store::{ClientStore, StoreBounds, unguessable};
use crate::error::CallError;
use crate::input::{InputRequired, Question, QuestionKinds, Reply, Resumption};
use crate::locks;
use crate::readings::Readings;
use crate::tool::ToolCall;
use crate::tool_caller::Ended;
use crate::watch::Owner;

/// The longest log, in bytes. A call with more is not run again.
const MAX_LOG: usize = 8 << 20;

/// How much is kept of calls that wait for replies, and for how long.
const BOUNDS: StoreBounds = StoreBounds {
    time: Duration::from_secs(60 * 60),
    items: 1024,
    bytes: 32 << 20,
    all_items: 4096,
    all_bytes: 256 << 20,
};

/// The prefix of the state of a call that waits to be replayed; the id of its log follows.
const STATE: &[u8] = b"toolhost-replay:";

/// The host's cost of an event beside its texts.
const COST: usize = 256;

/// What nested calls have used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NestedUsage {
    pub(super) calls: u64,
    pub(super) cpu: Duration,
}

/// What a call asked of its host and was told.
pub(super) struct CallLog {
    /// The kinds of questions that somebody can answer.
    kinds: QuestionKinds,
    events: Vec<Event>,
    /// How many of the events have happened in this run.
    happened: usize,
    bytes: usize,
    /// The calls that wait for replies, by their numbers.
    asking: BTreeMap<u32, Asking>,
    /// Those that have their replies: what is not resumed is abandoned with the log.
    resumed: Vec<AskedCall>,
    /// What has ended in the events.
    ended: BTreeSet<u32>,
    readings: Arc<Readings>,
    /// What its nested calls used in earlier runs.
    usage: NestedUsage,
    /// It does not do what it did before.
    differs: bool,
}

enum Event {
    Started(Start, Result<u32, CallError>),
    Ended(Vec<Ended>),
}

/// What is started.
#[derive(PartialEq)]
pub(super) enum Start {
    Call { name: String, arguments: String },
    Timer(Duration),
}

/// A nested call that asked, and has its replies in the next run.
struct Asking {
    input: Box<InputRequired>,
    replies: Vec<(String, Reply)>,
    asked: Option<AskedCall>,
}

/// What becomes of something that is started.
pub(super) enum Started {
    /// It is new, and is to be noted.
    Now(Option<Start>),
    /// It was started before; this is what was returned then.
    Before(Result<u32, CallError>),
    /// The same, and it is to run again: a timer that had not ended, or a call with its replies.
    Again(u32, Option<Resumption>),
}

/// The calls that wait for replies.
pub(super) struct WaitingCalls(Mutex<ClientStore<Owner, KeptCall>>);

struct KeptCall {
    tool: String,
    arguments: String,
    log: CallLog,
}

impl Default for WaitingCalls {
    fn default() -> Self {
        WaitingCalls(Mutex::new(ClientStore::new(BOUNDS)))
    }
}

impl CallLog {
    /// For a call whose nested calls may ask these kinds of questions; `None` if there are none, or
    /// the system RNG fails.
    pub(super) fn new(kinds: QuestionKinds) -> Option<CallLog> {
        if kinds == QuestionKinds::default() {
            return None;
        }
        Some(CallLog {
            kinds,
            events: Vec::new(),
            happened: 0,
            bytes: 0,
            asking: BTreeMap::new(),
            resumed: Vec::new(),
            ended: BTreeSet::new(),
            readings: Arc::new(Readings::new()?),
            usage: NestedUsage::default(),
            differs: false,
        })
    }

    /// The bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.min(MAX_LOG)
    }

    pub(super) fn readings(&self) -> &Arc<Readings> {
        &self.readings
    }

    pub(super) fn usage(&self) -> NestedUsage {
        self.usage
    }

    /// Whether the call has not done yet what it did before.
    fn is_replay(&self) -> bool {
        self.happened < self.events.len()
    }

    /// Why the call has to end: it does not do what it did before.
    pub(super) fn difference(&self) -> Option<CallError> {
        self.differs.then(|| {
            CallError::failed(
                "the program was run again after a question, and did not call the same tools with the same arguments: \
                 it must not depend on anything but its calls",
            )
        })
    }

    /// The same for a call that has ended.
    pub(super) fn difference_at_end(&mut self) -> Option<CallError> {
        self.differs |= self.is_replay();
        self.difference()
    }

    /// Something is started: whether it was before.
    pub(super) fn started(&mut self, start: Start) -> Started {
        if !self.is_replay() {
            return Started::Now(Some(start));
        }
        let number = match &self.events[self.happened] {
            Event::Started(before, Ok(number)) if *before == start => *number,
            Event::Started(before, Err(error)) if *before == start => {
                let error = error.clone();
                self.happened += 1;
                return Started::Before(Err(error));
            }
            _ => {
                self.differs = true;
                return Started::Before(Err(CallError::Cancelled));
            }
        };
        self.happened += 1;
        if self.ended.contains(&number) {
            return Started::Before(Ok(number));
        }
        let resumed = self.asking.remove(&number).map(|asking| {
            self.resumed.extend(asking.asked);
            Resumption::new(asking.input.state, asking.replies)
        });
        Started::Again(number, resumed)
    }

    /// Something was started that is to run again: it has to have the same number.
    pub(super) fn restarted(&mut self, number: u32, started: &Result<u32, CallError>) {
        self.differs |= *started != Ok(number);
    }

    /// Notes what was started.
    pub(super) fn note_started(&mut self, start: Start, started: &Result<u32, CallError>) {
        let bytes = match &start {
            Start::Call { name, arguments } => name.len() + arguments.len(),
            Start::Timer(_) => 0,
        };
        self.note(Event::Started(start, started.clone()), bytes);
    }

    /// What had ended before where the call waits now, if it is not yet where it was.
    pub(super) fn ended(&mut self) -> Option<Vec<Ended>> {
        if !self.is_replay() {
            return None;
        }
        let Event::Ended(ended) = &self.events[self.happened] else {
            self.differs = true;
            return Some(Vec::new());
        };
        self.happened += 1;
        Some(ended.clone())
    }

    /// Notes what has ended, whose size that is.
    pub(super) fn note_ended(&mut self, ended: &[Ended], bytes: usize) {
        if self.bytes <= MAX_LOG {
            self.ended.extend(ended.iter().map(|(number, _)| *number));
            self.note(Event::Ended(ended.to_vec()), bytes);
        }
    }

    fn note(&mut self, event: Event, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes + COST);
        if self.bytes > MAX_LOG {
            // It will not be needed: the call cannot be run again.
            self.events = Vec::new();
            self.happened = 0;
            return;
        }
        self.events.push(event);
        self.happened += 1;
    }

    /// Whether the call can be run again with a reply to these questions.
    pub(super) fn can_ask(&self, input: &InputRequired) -> bool {
        let mut questions = input.questions.iter();
        self.is_complete() && questions.all(|(_, question)| self.kinds.contains(question.kind()))
    }

    fn is_complete(&self) -> bool {
        self.bytes <= MAX_LOG && self.readings.are_complete()
    }

    /// A nested call waits for replies.
    pub(super) fn ask(&mut self, number: u32, input: Box<InputRequired>, asked: Option<AskedCall>) {
        let asking = Asking {
            input,
            replies: Vec::new(),
            asked,
        };
        self.asking.insert(number, asking);
    }

    /// Whether nested calls wait for replies.
    pub(super) fn is_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// The calls that cannot be given a reply after all.
    pub(super) fn unanswerable(&mut self) -> Vec<Ended> {
        if self.is_complete() {
            return Vec::new();
        }
        let asking = mem::take(&mut self.asking).into_iter();
        let error = |asking: Asking| Err(CallError::InputRequired(asking.input));
        asking
            .map(|(number, asking)| (number, error(asking)))
            .collect()
    }
}

impl WaitingCalls {
    /// Keeps the log of a call. Returns the questions that it ends with.
    pub(super) fn keep(
        &self,
        owner: &Owner,
        (tool, arguments): (&str, &str),
        mut log: CallLog,
        usage: NestedUsage,
    ) -> CallError {
        let Some(id) = unguessable() else {
            return CallError::internal("the system RNG failed");
        };
        log.happened = 0;
        log.usage = usage;
        let questions = log.asking.iter().flat_map(|(number, asking)| {
            let questions = asking.input.questions.iter();
            questions.map(move |(key, question)| (format!("{number}/{key}"), question.clone()))
        });
        let questions: Vec<(String, Question)> = questions.collect();
        let input = InputRequired::new(questions, [STATE, id.as_bytes()].concat());
        let bytes = log.bytes + tool.len() + arguments.len() + input.size();
        let call = KeptCall {
            tool: tool.to_owned(),
            arguments: arguments.to_owned(),
            log,
        };
        locks::lock(&self.0).add(owner, id, call, bytes);
        CallError::InputRequired(Box::new(input))
    }

    /// The log of a call that has its replies; `None` if it did not end with questions of nested
    /// calls.
    ///
    /// # Errors
    ///
    /// The log is gone, or is another call's.
    pub(super) fn resume(
        &self,
        owner: &Owner,
        call: &ToolCall,
        kinds: QuestionKinds,
    ) -> Result<Option<CallLog>, CallError> {
        let Some(resumed) = &call.resumed else {
            return Ok(None);
        };
        let Some(id) = resumed.state.strip_prefix(STATE) else {
            return Ok(None);
        };
        let is_this = |it: &KeptCall| it.tool == call.name && it.arguments == call.arguments;
        let mut kept = locks::lock(&self.0);
        let id = std::str::from_utf8(id).unwrap_or_default();
        let is_there = kept.get(owner, id).is_some_and(is_this);
        let taken = is_there.then(|| kept.take(id)).flatten();
        drop(kept);
        let Some(KeptCall { mut log, .. }) = taken else {
            return Err(CallError::failed(
                "what this call did before it asked is no longer known: call it again without a state",
            ));
        };
        log.kinds = kinds;
        for (key, reply) in &resumed.replies {
            if let Some((number, key)) = key.split_once('/')
                && let Ok(number) = number.parse()
                && let Some(asking) = log.asking.get_mut(&number)
            {
                asking.replies.push((key.to_owned(), reply.clone()));
            }
        }
        Ok(Some(log))
    }

    /// Drops the log of an abandoned call.
    pub(super) fn forget(&self, state: &[u8]) {
        let Some(id) = state.strip_prefix(STATE) else {
            return;
        };
        // Where it is locked, a log is being dropped that this call is part of: it expires.
        if let Ok(mut kept) = self.0.try_lock() {
            let id = std::str::from_utf8(id).unwrap_or_default();
            let forgotten = kept.take(id);
            drop(kept);
            drop(forgotten);
        }
    }
}
