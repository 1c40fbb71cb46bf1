//! Runs a program of the model, in a subset of Python, that calls the host's other tools.

mod values;

use std::collections::{BTreeMap, BTreeSet};

use monty::{MontyRun, RunProgress};
use monty_types::{
    CompileOptions, ExcType, ExtFunctionResult, MontyException, MontyObject, NameLookupResult,
    PrintWriter, ResourceLimits, ResourceTracker,
};
use program::{ANSWER, Console};
use toolhost_plugin::calls::{self, CallError};
use toolhost_plugin::{Error, Output, arguments, plugin, tool};

plugin!(run_python);

/// How deep functions of a program may call each other: less than the stack has room for.
const MAX_DEPTH: usize = 200;

/// The most bytes that a program may print.
const MAX_PRINTED: usize = 64 << 10;

#[arguments]
#[serde(deny_unknown_fields)]
struct Script {
    /// The program. Top-level `await` is allowed; its last expression is its value.
    code: String,
}

/// Runs a program in a subset of Python that calls other tools as async functions, `await NAME(argument=…)`, and returns
/// its value. Use one program where several calls would be needed: run independent calls together with
/// `asyncio.gather`, loop over results, filter them, and return only what is needed. A tool returns its structured output,
/// or else its text. A call that fails raises a RuntimeError that names the tool and the reason.
///
/// The value is the last expression, as JSON; `print` is shown as well. There are functions, classes, comprehensions,
/// exceptions, and the modules asyncio, json, re, math, datetime, collections, itertools and functools as far as they are
/// implemented; no files, network or other modules: everything else is done by tools.
///
/// ${tools}
#[tool(title = "Run a Python program", open_world, output_schema = ANSWER)]
fn run_python(args: Script) -> Result<Output, Error> {
    let (code, before) = program::without_fences(&args.code);
    // Errors name the lines of the model's own text.
    let code = "\n".repeat(before) + code;
    let mut printed = String::new();
    let value = run(code, &mut printed);
    let mut console = Console::default();
    printed
        .lines()
        .for_each(|line| console.print(line.to_owned()));
    let value = value.map_err(|error| program::beginning(&error));
    program::answer(value, console)
}

/// The value of a program as JSON.
///
/// # Errors
///
/// As Python prints it.
fn run(code: String, printed: &mut String) -> Result<String, String> {
    let failed = |error: MontyException| error.to_string();
    let script = MontyRun::new(code, "script.py", vec![], CompileOptions::default());
    let limits = ResourceLimits::default().max_recursion_depth(MAX_DEPTH);
    let mut print = PrintWriter::CollectString(printed, Some(MAX_PRINTED));
    let script = script.map_err(failed)?;
    let progress = script.start(vec![], ResourceTracker::new(limits), print.reborrow());
    let mut progress = progress.map_err(failed)?;
    let granted: BTreeSet<String> = calls::names().into_iter().collect();
    // The calls that run: the number of each, and its number in the program, with its tool.
    let mut running: BTreeMap<u32, (u32, String)> = BTreeMap::new();
    loop {
        let next = match progress {
            RunProgress::Complete(value) => {
                return values::to_json(&value)
                    .map(|json| json.to_string())
                    .map_err(|why| format!("the value is not JSON: {why}"));
            }
            RunProgress::NameLookup(lookup) => {
                let found = granted.contains(&lookup.name) && lookup.object_id().is_none();
                let name = lookup.name.clone();
                let function = MontyObject::Function {
                    name,
                    docstring: None,
                };
                let found = found.then_some(function);
                lookup.resume(NameLookupResult::from(found), print.reborrow())
            }
            RunProgress::FunctionCall(call) => {
                match start(&call.function_name, &call.args, &call.kwargs) {
                    Ok(number) => {
                        running.insert(number, (call.call_id, call.function_name.clone()));
                        call.resume_pending(print.reborrow())
                    }
                    Err(error) => {
                        let error = ExtFunctionResult::Error(error);
                        call.resume(error, print.reborrow())
                    }
                }
            }
            RunProgress::ResolveFutures(waits) => {
                let pending: BTreeSet<u32> = waits.pending_call_ids().iter().copied().collect();
                let mut ended = Vec::new();
                for (number, outcome) in calls::wait() {
                    if let Some((call, tool)) = running.remove(&number)
                        && pending.contains(&call)
                    {
                        ended.push((call, result(&tool, outcome)));
                    }
                }
                if ended.is_empty() && running.is_empty() {
                    return Err("the script waits for what nothing will end".to_owned());
                }
                waits.resume(ended, print.reborrow())
            }
            RunProgress::OsCall(call) => {
                let message = "there are no files and no clock: use the tools".to_owned();
                let error = MontyException::new(ExcType::OSError, Some(message));
                call.resume(ExtFunctionResult::Error(error), print.reborrow())
            }
        };
        progress = next.map_err(failed)?;
    }
}

/// Starts a call and returns its number.
///
/// # Errors
///
/// What is raised in the program.
fn start(
    tool: &str,
    positional: &[MontyObject],
    named: &[(MontyObject, MontyObject)],
) -> Result<u32, MontyException> {
    let error = |message: String| MontyException::new(ExcType::TypeError, Some(message));
    let mut arguments = match positional {
        [] => serde_json::Map::new(),
        [MontyObject::Dict(_)] => match values::to_json(&positional[0]) {
            Ok(serde_json::Value::Object(arguments)) => arguments,
            Ok(_) => serde_json::Map::new(),
            Err(why) => return Err(error(format!("{tool}: {why}"))),
        },
        _ => {
            let message =
                format!("{tool} takes named arguments, `{tool}(name=value)`, or one dict");
            return Err(error(message));
        }
    };
    for (name, value) in named {
        let MontyObject::String(name) = name else {
            return Err(error(format!(
                "{tool}: the name of an argument is no string"
            )));
        };
        let value =
            values::to_json(value).map_err(|why| error(format!("{tool}: {name}: {why}")))?;
        arguments.insert(name.clone(), value);
    }
    let arguments = serde_json::Value::Object(arguments).to_string();
    calls::start(tool, &arguments).map_err(|why| raised(tool, &why))
}

fn raised(tool: &str, error: &CallError) -> MontyException {
    let message = format!("{tool} failed ({}): {}", error.code(), error.message());
    MontyException::new(ExcType::RuntimeError, Some(message))
}

/// What a call returns: the structured output, or else the text.
fn result(tool: &str, outcome: Result<Output, CallError>) -> ExtFunctionResult {
    let output = match outcome {
        Ok(output) => output,
        Err(error) => return ExtFunctionResult::Error(raised(tool, &error)),
    };
    let structured = output.structured().map(serde_json::from_str);
    match structured {
        Some(Ok(json)) => ExtFunctionResult::Return(values::from_json(json)),
        Some(Err(_)) | None => ExtFunctionResult::Return(MontyObject::String(output.to_text())),
    }
}
