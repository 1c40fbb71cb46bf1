//! Results that are too long to be shown whole: they are compacted and kept for the client that they are
//! for, which reads on in them by a tool of the host's own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytesize::ByteSize;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;

use crate::error::CallError;
use crate::kept::{Bounds, Kept};
use crate::limits::Limits;
use crate::provider::{CallContext, ProvidedTool, Provider, RunOutcome, ToolProvider};
use crate::summarize::Summarize;
use crate::tool::{Annotations, Output, Tool, ToolCall, ToolResult};
use crate::watch::Owner;
use crate::wire::leaks;

/// The name of the tool that reads compacted results, where no other tool has it.
pub const READ_RESULT: &str = "read_result";

/// Whole results, of one client or of many.
pub struct ResultStore {
    ids: Ids,
    kept: Mutex<Kept<Owner, Arc<str>>>,
}

/// How results are named.
enum Ids {
    /// One after the other, and everybody may know which there are.
    Numbered,
    /// So that nobody else guesses them.
    Unguessable,
}

impl ResultStore {
    /// That of the only client, for as long as it is there.
    pub fn of_one() -> ResultStore {
        ResultStore {
            ids: Ids::Numbered,
            kept: Mutex::new(Kept::new(Bounds {
                time: Duration::MAX,
                items: usize::MAX,
                bytes: usize::MAX,
                all_items: usize::MAX,
                all_bytes: usize::MAX,
            })),
        }
    }

    /// That of many clients, which is bounded.
    pub fn of_many() -> ResultStore {
        ResultStore {
            ids: Ids::Unguessable,
            kept: Mutex::new(Kept::new(Bounds {
                time: Duration::from_secs(60 * 60),
                items: 1_000,
                bytes: 64 << 20,
                all_items: 10_000,
                all_bytes: 256 << 20,
            })),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<Owner, Arc<str>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a result; gives its id, or none where it cannot be kept.
    fn add(&self, owner: &Owner, whole: String) -> Option<String> {
        let mut kept = self.kept();
        let bytes = whole.len();
        let id = match self.ids {
            Ids::Numbered => {
                let free = |id: &String| kept.get(owner, id).is_none();
                let first = kept.ids(owner).count() + 1;
                (first..).map(|number| format!("r{number}")).find(free)?
            }
            Ids::Unguessable => crate::kept::unguessable()?,
        };
        if !kept.fits(bytes) {
            return None;
        }
        kept.add(owner, id.clone(), whole.into(), bytes);
        Some(id)
    }

    /// Drops the results of a client that will not come back.
    pub fn end_owner(&self, owner: &Owner) {
        self.kept().end(owner);
    }

    fn unknown(&self, owner: &Owner, id: &str) -> CallError {
        let message = match self.ids {
            Ids::Numbered => {
                let kept = self.kept();
                let known: Vec<&str> = kept.ids(owner).collect();
                let known = match known.is_empty() {
                    true => "no result was compacted".to_owned(),
                    false => format!("there are {}", known.join(", ")),
                };
                format!("no result has the id {id:?}; {known}")
            }
            Ids::Unguessable => {
                format!(
                    "no result has the id {id:?}: results are kept for an hour; call the tool again"
                )
            }
        };
        CallError::invalid_arguments("/id", message)
    }
}

/// Compacts results, and offers the tool that reads on in them.
pub struct LongResults {
    /// Whose tool it is, as the audit log names it.
    name: &'static str,
    max_chars: usize,
    store: Arc<ResultStore>,
    /// The one tool.
    tools: Arc<[Arc<ProvidedTool>]>,
    limits: Limits,
}

/// What is read.
#[derive(Deserialize)]
struct Asked {
    /// Of which result.
    id: String,
    #[serde(default)]
    offset: f64,
    limit: Option<f64>,
}

/// What is shown of a result that is too long.
pub struct Compacted {
    /// The text in its place.
    pub text: String,
    /// What it is read by, where it is kept.
    pub id: Option<String>,
}

impl LongResults {
    /// Those of more characters, with a tool of that name. `name` is who has the tool.
    pub fn new(
        name: &'static str,
        max_chars: usize,
        tool: &str,
        store: Arc<ResultStore>,
    ) -> LongResults {
        let provided = ProvidedTool::parse(
            tool.to_owned(),
            read_result(tool),
            &schema().to_string(),
            None,
        );
        LongResults {
            name,
            max_chars,
            store,
            tools: [Arc::new(provided.expect("the schema is valid"))].into(),
            // The characters of a result are bounded as it is.
            limits: Limits {
                max_output: ByteSize::b(u64::MAX),
                ..Limits::default()
            },
        }
    }

    /// The name of its tool.
    pub fn tool(&self) -> &str {
        &self.tools[0].tool.name
    }

    /// The length in characters from which a result is compacted.
    pub fn max_chars(&self) -> usize {
        self.max_chars
    }

    /// Whether a call of that name reads on in a result.
    pub fn is_read_by(&self, name: &str) -> bool {
        leaks::find(name, |name| name == self.tool()).is_some()
    }

    /// Whether a result's text is too long to be shown whole.
    pub fn is_long(&self, whole: &str) -> bool {
        // Most are short: no character has less than a byte.
        whole.len() > self.max_chars && whole.chars().nth(self.max_chars).is_some()
    }

    /// Keeps a result whose text is too long, and says what is shown of it.
    pub fn compact(&self, result: &ToolResult, whole: String, owner: &Owner) -> Compacted {
        let summary = Summarize::default();
        let summary = summary.with_chars(summary.chars.min(self.max_chars));
        let mut text = summary.text(result);
        // A few items may be as long as many.
        if let Some((end, _)) = text.char_indices().nth(self.max_chars) {
            text.truncate(end);
            text.push_str("\n[cut]");
        }
        let total = whole.chars().count();
        let id = self.store.add(owner, whole);
        let more = match &id {
            Some(id) => format!(
                "{} with the id \"{id}\" reads it from any offset",
                self.tool()
            ),
            None => "it is too long to keep: ask for less".to_owned(),
        };
        text.push_str(&format!(
            "\n[compacted: the whole result has {total} characters; {more}]"
        ));
        Compacted { text, id }
    }

    /// Keeps a result that was kept before, under its id of then.
    pub fn restore(&self, id: String, whole: String, owner: &Owner) {
        let bytes = whole.len();
        self.store.kept().add(owner, id, whole.into(), bytes);
    }

    /// # Errors
    ///
    /// The client has no such result.
    fn read(&self, arguments: &str, owner: &Owner) -> Result<Output, CallError> {
        let asked: Asked = serde_json::from_str(arguments)
            .map_err(|error| CallError::invalid_arguments("", error.to_string()))?;
        // It is cut where nobody else waits for it.
        let whole = self.store.kept().get(owner, &asked.id).cloned();
        match whole {
            Some(whole) => Ok(Output::text(self.part(&whole, &asked))),
            None => Err(self.store.unknown(owner, &asked.id)),
        }
    }

    fn part(&self, whole: &str, asked: &Asked) -> String {
        let total = whole.chars().count();
        // Whole numbers by the schema; a cast takes what is too large for the largest.
        let offset = (asked.offset as usize).min(total);
        let limit = asked.limit.map_or(self.max_chars, |limit| limit as usize);
        let part: String = whole
            .chars()
            .skip(offset)
            .take(limit.clamp(1, self.max_chars))
            .collect();
        let end = offset + part.chars().count();
        match end == total {
            true => format!("{part}\n[characters {offset} to {end}: the end of the result]"),
            false => format!("{part}\n[characters {offset} to {end} of {total}]"),
        }
    }
}

impl ToolProvider for LongResults {
    fn name(&self) -> &str {
        self.name
    }

    fn title(&self) -> String {
        self.name.to_owned()
    }

    fn provenance(&self) -> Provider<'_> {
        Provider::Host
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        self.tools.clone()
    }

    fn ends_calls(&self) -> bool {
        true
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn may_change(&self, _: &Tool) -> bool {
        false
    }

    fn is_isolated(&self) -> bool {
        true
    }

    fn call<'c>(
        &'c self,
        _: &'c ProvidedTool,
        call: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        let part = self.read(call.arguments_text(), context.owner);
        Box::pin(std::future::ready(RunOutcome::of(part)))
    }
}

/// The tool that reads compacted results, under a name.
fn read_result(name: &str) -> Tool {
    let description = "Reads more of a result that was too long to show in full. The shortened result gives its id.";
    let annotations = Annotations::default()
        .with_read_only(true)
        .with_open_world(false);
    Tool::new(name, description)
        .with_annotations(annotations)
        .with_sandboxed(true)
}

fn schema() -> serde_json::Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "description": "The id given in the shortened result" },
            "offset": {
                "type": "integer",
                "minimum": 0,
                "description": "The first character to read, from 0 (the default)",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "description": "How many characters to read; the default is also the maximum",
            },
        },
        "required": ["id"],
        "additionalProperties": false,
    })
}
