//! Several calls in one: `multi_tool_use.parallel` (or `parallel` in the namespace
//! `multi_tool_use`), which OpenAI's models call although it is never declared. The inner calls are
//! ordinary calls, run side by side; their results become one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use toolhost_schema::Watch;

use super::{Arrival, CallOptions, ToolHost, call_validation};
use crate::error::CallError;
use crate::input::QuestionKinds;
use crate::limits::{Limit, Limits};
use crate::schema::Schema;
use crate::tool::{Content, Output, Repair, ToolCall, ToolResult, Usage};
use crate::wire::json::ErrorDetail;
use crate::wire::template_remnants;

/// The step budget for checking its arguments.
const MAX_STEPS: u64 = 5_000_000;

/// The most inner calls.
const MAX_CALLS: usize = 64;

const NAMES: [&str; 2] = ["multi_tool_use.parallel", "parallel"];

/// The most bytes of all their outputs together: they are held until the last call ends.
const MAX_OUTPUT: ByteSize = ByteSize::mib(64);

/// The schema of its arguments. Those of the inner calls are checked with their own.
static ARGUMENTS: LazyLock<(Value, Schema)> = LazyLock::new(|| {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "tool_uses": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "recipient_name": { "type": "string" }, "parameters": {} },
                    "required": ["recipient_name"],
                    "additionalProperties": false,
                },
                "minItems": 1,
                "maxItems": MAX_CALLS,
            },
        },
        "required": ["tool_uses"],
        "additionalProperties": false,
    });
    Schema::parse(&schema.to_string()).expect("the schema is valid")
});

/// A call that stands for several; see [`ToolHost::unpack`].
#[derive(Clone, Debug)]
pub struct Unpacked {
    call: ToolCall,
    calls: Vec<ToolCall>,
    repairs: Vec<Repair>,
}

#[derive(Deserialize)]
struct ParallelArguments<'a> {
    #[serde(borrow)]
    tool_uses: Vec<InnerToolUse<'a>>,
}

#[derive(Deserialize)]
struct InnerToolUse<'a> {
    recipient_name: String,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

/// The inner results, as structured output.
#[derive(Serialize)]
struct InnerResults<'a> {
    results: Vec<Inside<'a>>,
}

#[derive(Serialize)]
struct Inside<'a> {
    recipient_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    structured: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDetail>,
}

impl ToolHost {
    /// The inner calls of a `multi_tool_use.parallel` call; `None` for any other call, and if a
    /// tool has that name.
    ///
    /// Batches, [`call`](ToolHost::call) and [`call_with`](ToolHost::call_with) unpack such calls
    /// themselves; this is for programs that decide about each call first.
    ///
    /// ```
    /// # extern crate toolhost_core as toolhost;
    /// use serde_json::{Value, json};
    /// use toolhost::{Loader, Manifest, NativeTools, Tool, ToolCall};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), toolhost::LoadError> {
    /// # let math = NativeTools::new("math").tool_with_schema(
    /// #     Tool::new("double", "Doubles a number").read_only(),
    /// #     json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] }),
    /// #     async |args: Value| args["n"].as_i64().unwrap_or_default() * 2,
    /// # );
    /// # let host = Loader::new(Manifest::default()).provider(math).load().await?;
    /// let inside = json!({ "tool_uses": [
    ///     { "recipient_name": "functions.double", "parameters": { "n": 1 } },
    ///     { "recipient_name": "functions.double", "parameters": { "n": 2 } },
    /// ] });
    /// let call = ToolCall::new("call_1", "multi_tool_use.parallel", inside.to_string());
    /// let unpacked = host.unpack(&call).expect("it stands for several").unwrap();
    /// assert_eq!(unpacked.calls().len(), 2);
    /// assert!(host.unpack(&unpacked.calls()[0]).is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Its arguments are not `{"tool_uses": [{"recipient_name", "parameters"}, …]}`.
    pub fn unpack(&self, call: &ToolCall) -> Option<Result<Unpacked, CallError>> {
        let is_one = call.name.contains("parallel")
            && call.void().is_none()
            && self.registry.find(&call.name).is_none()
            && template_remnants::find(&call.name, |name| NAMES.contains(&name)).is_some();
        is_one.then(|| unpacked(call, self.shared.repairs))
    }

    /// Runs the inner calls of a call that was handed over.
    pub(super) async fn run_unpacked(
        &self,
        arrivals: Vec<Arrival>,
        unpacked: &Unpacked,
        options: &CallOptions,
    ) -> ToolResult {
        let mut running = JoinSet::new();
        // Questions of an inner call could not be answered through the one result.
        let options = &options.clone().advertise(QuestionKinds::default());
        let calls = unpacked.calls().iter().cloned().enumerate();
        let bounded = self.shared.queue.is_bounded();
        for ((number, call), mut arrival) in calls.zip(arrivals) {
            let (entering, entered) = oneshot::channel();
            arrival.entering = bounded.then_some(entering);
            let options = options.of_one(&call, number).into_owned();
            let host = self.clone();
            running.spawn(async move {
                let result = host.call_answered(arrival, call, &options).await;
                (number, result)
            });
            // The order of the calls decides which of them wait and which find the queue full.
            if bounded {
                let _ = entered.await;
            }
        }
        let mut results = Vec::new();
        let mut held = 0;
        // A task is lost only while the runtime shuts down.
        while let Some(done) = running.join_next().await {
            let Ok((number, mut result)) = done else {
                continue;
            };
            let bytes = result.outcome.as_ref().map_or(0, Output::len);
            match held + bytes <= MAX_OUTPUT.as_u64() {
                true => held += bytes,
                false => result.outcome = Err(CallError::over(Limit::Output, MAX_OUTPUT)),
            }
            results.push((number, result));
        }
        results.sort_unstable_by_key(|(number, _)| *number);
        unpacked.fold(results.into_iter().map(|(_, result)| result).collect())
    }
}

fn unpacked(call: &ToolCall, repairs: bool) -> Result<Unpacked, CallError> {
    let (source, schema) = &*ARGUMENTS;
    let source = repairs.then_some(source);
    let arguments = call.arguments_text();
    let watch = Watch::steps(MAX_STEPS);
    let fitted = call_validation::arguments(arguments, schema, source, &Limits::default(), &watch);
    let too_long = |_| CallError::invalid_arguments("", "too long to check");
    let fitted = fitted.map_err(too_long)?.map_err(explained)?;
    let arguments: ParallelArguments = serde_json::from_str(&fitted.text)
        .map_err(|error| explained(CallError::invalid_arguments("", error.to_string())))?;
    let calls = arguments.tool_uses.into_iter().enumerate();
    let calls = calls.map(|(number, tool_use)| {
        let mut inner = ToolCall::default();
        inner.id = call.id.as_ref().map(|id| format!("{id}.{number}"));
        inner.name = tool_use.recipient_name;
        // As for a call of its own without arguments.
        inner.arguments = match tool_use.parameters.map(RawValue::get) {
            None | Some("null") => String::new(),
            Some(parameters) => parameters.to_owned(),
        };
        inner.meta.clone_from(&call.meta);
        inner
    });
    Ok(Unpacked {
        calls: calls.collect(),
        repairs: fitted.repairs,
        call: call.clone(),
    })
}

/// Adds what is expected to the error: no declaration tells the model.
fn explained(error: CallError) -> CallError {
    let CallError::InvalidArguments { mut problems } = error else {
        return error;
    };
    for problem in &mut problems {
        problem.message.push_str(&format!(
            "; expected {{\"tool_uses\": [{{\"recipient_name\": NAME, \"parameters\": {{…}}}}, …]}}, at most {MAX_CALLS}"
        ));
    }
    CallError::InvalidArguments { problems }
}

impl Unpacked {
    /// The inner calls, in their order. Their ids derive from the outer call's.
    pub fn calls(&self) -> &[ToolCall] {
        &self.calls
    }

    /// Folds the results, in the order of the calls, into one. It is an error only if every one of
    /// them is.
    pub fn fold(&self, results: Vec<ToolResult>) -> ToolResult {
        let texts: Vec<String> = results.iter().map(ToolResult::to_text).collect();
        let is_cancelled =
            |result: &ToolResult| matches!(result.outcome, Err(CallError::Cancelled));
        let outcome = if results.iter().all(is_cancelled) {
            Err(CallError::Cancelled)
        } else if results.iter().all(|result| result.outcome.is_err()) {
            let message = self.text(&texts);
            Err(CallError::Failed { message })
        } else {
            Ok(self.output(&results, &texts))
        };
        let queue = results.iter().map(|result| result.usage.queue).min();
        let queue = queue.unwrap_or_default();
        let ends = results
            .iter()
            .map(|result| result.usage.queue + result.usage.run);
        let memory = results.iter().map(|result| result.usage.peak_memory);
        let mut usage = Usage::default();
        usage.queue = queue;
        usage.run = ends.max().unwrap_or_default().saturating_sub(queue);
        usage.cpu = results.iter().map(|result| result.usage.cpu).sum();
        usage.peak_memory = memory.max().unwrap_or(0);
        usage.output_bytes = outcome.as_ref().map_or(0, Output::len);
        let mut origin = self.call.origin.clone().unwrap_or_default();
        origin.is_undeclared = true;
        let mut repairs = self.repairs.clone();
        let mut log = Vec::new();
        for (number, result) in results.into_iter().enumerate() {
            repairs.extend(result.repairs.into_iter().map(|repair| {
                let path = format!("/tool_uses/{number}/parameters{}", repair.path);
                Repair::new(path, repair.what)
            }));
            log.extend(result.log);
        }
        ToolResult::of(&self.call, outcome)
            .with_usage(usage)
            .with_log(log)
            .with_repairs(repairs)
            .with_origin(origin)
    }

    /// What a model reads of all results, from the text of each.
    pub fn text(&self, texts: &[String]) -> String {
        let parts = texts.iter().enumerate();
        let parts = parts.map(|(number, text)| format!("{}\n{text}", self.heading(number)));
        parts.collect::<Vec<_>>().join("\n")
    }

    fn heading(&self, number: usize) -> String {
        let name = self.calls.get(number).map_or("", |call| &call.name);
        format!("Result {} of {}, {name}:", number + 1, self.calls.len())
    }

    fn output(&self, results: &[ToolResult], texts: &[String]) -> Output {
        let mut content = Vec::new();
        let mut content_meta = BTreeMap::new();
        let mut inside = Vec::new();
        for (number, (result, text)) in results.iter().zip(texts).enumerate() {
            content.push(Content::Text(self.heading(number)));
            let output = result.outcome.as_ref().ok();
            match output {
                Some(output) if !output.content.is_empty() => {
                    let meta = output.content_meta.iter();
                    content_meta.extend(meta.map(|(at, it)| (content.len() + at, it.clone())));
                    content.extend_from_slice(&output.content);
                }
                _ => content.push(Content::Text(text.clone())),
            }
            let structured = output.and_then(|output| output.structured.as_deref());
            inside.push(Inside {
                recipient_name: &result.name,
                content: (output.is_some() && structured.is_none()).then(|| text.clone()),
                structured,
                error: result.outcome.as_ref().err().map(ErrorDetail::from),
            });
        }
        let structured = to_raw_value(&InnerResults { results: inside }).ok();
        let mut output = Output::new(content).with_structured(structured);
        output.content_meta = content_meta;
        output
    }
}
