//! QuickJS: a runtime for one program, its globals, and the loop that settles its promises.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use program::{Console, beginning};
use rquickjs::context::EvalOptions;
use rquickjs::promise::PromiseState;
use rquickjs::{
    Array, CatchResultExt, CaughtError, Context, Ctx, Exception, Function, IntoJs, Object, Promise,
    Runtime, Value,
};
use toolhost_plugin::calls::{self, CallError};
use toolhost_plugin::{Content, Error, Output};

use crate::source::Program;

/// What the program is called in stack traces.
const FILE: &str = "script.js";

const PRELUDE: &str = include_str!("prelude.js");

/// How a program has ended.
pub(crate) struct Ran {
    /// Its value as JSON, or why it has none.
    pub(crate) value: Result<String, String>,
    pub(crate) console: Console,
}

/// Runs a program to its end.
///
/// # Errors
///
/// There is no memory for it.
pub(crate) fn run(program: &Program) -> Result<Ran, Error> {
    let runtime = Runtime::new()?;
    let context = Context::full(&runtime)?;
    let console = Rc::new(RefCell::new(Console::default()));
    let value = context.with(|ctx| value_of(&ctx, program, &console));
    // The instance ends with the call: freeing each object would only take time.
    std::mem::forget((context, runtime));
    Ok(Ran {
        value,
        console: console.take(),
    })
}

/// What the prelude gives back.
struct Prelude<'js> {
    settle: Function<'js>,
    json: Function<'js>,
}

fn value_of(
    ctx: &Ctx<'_>,
    program: &Program,
    console: &Rc<RefCell<Console>>,
) -> Result<String, String> {
    let failed = |error: CaughtError<'_>| failure(error, program);
    let prelude = prelude(ctx, console).catch(ctx).map_err(failed)?;
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(FILE.to_owned());
    let body: Function = ctx
        .eval_with_options(&*program.text, options)
        .catch(ctx)
        .map_err(failed)?;
    let promise: Promise = body.call(()).catch(ctx).map_err(failed)?;
    loop {
        while ctx.execute_pending_job() {}
        if promise.state() != PromiseState::Pending {
            break;
        }
        let ended = calls::wait();
        if ended.is_empty() {
            let message = "the script waits for a promise that nothing will settle: each promise has to come from a \
                           tool, a timer, or code that still runs";
            return Err(message.to_owned());
        }
        for (number, outcome) in ended {
            settle(ctx, &prelude.settle, number, outcome)
                .catch(ctx)
                .map_err(failed)?;
        }
    }
    let value = promise
        .result::<Value>()
        .unwrap_or_else(|| Ok(Value::new_undefined(ctx.clone())));
    let value = value.catch(ctx).map_err(failed)?;
    let json: rquickjs::Result<String> = prelude.json.call((value,));
    json.catch(ctx)
        .map_err(|error| format!("the value is not JSON: {}", failure(error, program)))
}

fn prelude<'js>(ctx: &Ctx<'js>, console: &Rc<RefCell<Console>>) -> rquickjs::Result<Prelude<'js>> {
    let host = Object::new(ctx.clone())?;
    let started = |ctx: Ctx<'js>, started: Result<u32, CallError>| match started {
        Ok(number) => number.into_js(&ctx),
        Err(error) => (error.code(), error.message()).into_array(&ctx),
    };
    host.set(
        "start",
        Function::new(
            ctx.clone(),
            move |ctx: Ctx<'js>, name: String, arguments: String| {
                started(ctx, calls::start(&name, &arguments))
            },
        )?,
    )?;
    host.set(
        "timer",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, milliseconds: f64| {
            let after = Duration::from_millis(milliseconds as u64);
            started(ctx, calls::start_timer(after))
        })?,
    )?;
    host.set(
        "search",
        Function::new(ctx.clone(), |ctx: Ctx<'js>, words: String, limit: f64| {
            let found = Array::new(ctx.clone())?;
            for (at, (name, description)) in
                calls::search(&words, limit as u32).into_iter().enumerate()
            {
                let tool = Object::new(ctx.clone())?;
                tool.set("name", name)?;
                tool.set("description", description)?;
                found.set(at, tool)?;
            }
            rquickjs::Result::Ok(found)
        })?,
    )?;
    host.set(
        "describe",
        Function::new(
            ctx.clone(),
            |ctx: Ctx<'js>, name: String| match calls::describe(&name) {
                Ok(declaration) => declaration.into_js(&ctx),
                Err(error) => (error.code(), error.message()).into_array(&ctx),
            },
        )?,
    )?;
    host.set("names", Function::new(ctx.clone(), calls::names)?)?;
    let console = console.clone();
    let print = move |level: String, text: String| {
        let line = match &*level {
            "log" | "info" | "debug" => text,
            level => format!("{level}: {text}"),
        };
        console.borrow_mut().print(line);
    };
    host.set("print", Function::new(ctx.clone(), print)?)?;
    let mut options = EvalOptions::default();
    options.filename = Some("prelude.js".to_owned());
    let prelude: Function = ctx.eval_with_options(PRELUDE, options)?;
    let made: Object = prelude.call((host,))?;
    Ok(Prelude {
        settle: made.get("settle")?,
        json: made.get("json")?,
    })
}

/// A pair as an array.
trait IntoArray<'js> {
    fn into_array(self, ctx: &Ctx<'js>) -> rquickjs::Result<Value<'js>>;
}

impl<'js> IntoArray<'js> for (&str, &str) {
    fn into_array(self, ctx: &Ctx<'js>) -> rquickjs::Result<Value<'js>> {
        vec![self.0, self.1].into_js(ctx)
    }
}

/// Settles the promise of what has ended.
fn settle<'js>(
    ctx: &Ctx<'js>,
    settle: &Function<'js>,
    number: u32,
    outcome: Result<Output, CallError>,
) -> rquickjs::Result<()> {
    match outcome {
        Ok(output) => settle.call((number, true, result(ctx, &output)?)),
        Err(error) => settle.call((number, false, error.code(), error.message())),
    }
}

/// What a call returns: the structured output, or else the text, or else all blocks.
fn result<'js>(ctx: &Ctx<'js>, output: &Output) -> rquickjs::Result<Value<'js>> {
    if let Some(json) = output.structured() {
        return ctx.json_parse(json);
    }
    let is_text = |content: &Content| matches!(content, Content::Text(_));
    if output.content().iter().all(is_text) {
        return output.to_text().into_js(ctx);
    }
    let blocks = Array::new(ctx.clone())?;
    for (at, content) in output.content().iter().enumerate() {
        let block = Object::new(ctx.clone())?;
        match content {
            Content::Text(text) => {
                block.set("type", "text")?;
                block.set("text", text.as_str())?;
            }
            Content::Image(media) | Content::Audio(media) => {
                let is_image = matches!(content, Content::Image(_));
                block.set("type", if is_image { "image" } else { "audio" })?;
                block.set("mimeType", media.mime_type.as_str())?;
                block.set("size", media.data.len())?;
            }
            Content::Link(link) => {
                block.set("type", "resource_link")?;
                block.set("uri", link.uri.as_str())?;
                block.set("name", link.name.as_str())?;
            }
            Content::Embedded(resource) => {
                block.set("type", "resource")?;
                block.set("uri", resource.uri.as_str())?;
                if let toolhost_plugin::ResourceBody::Text(text) = &resource.body {
                    block.set("text", text.as_str())?;
                }
            }
        }
        blocks.set(at, block)?;
    }
    blocks.into_js(ctx)
}

/// What was thrown, with the place in the model's text.
fn failure(error: CaughtError<'_>, program: &Program) -> String {
    let exception = match &error {
        CaughtError::Exception(exception) => exception,
        CaughtError::Value(value) => return format!("the script threw {}", thrown(value)),
        CaughtError::Error(error) => return format!("the script failed: {error}"),
    };
    let text = |name: &str| {
        let text = exception.as_object().get::<_, String>(name).ok();
        text.as_deref().map(beginning)
    };
    let name = text("name").unwrap_or_else(|| "Error".to_owned());
    let mut message = beginning(&exception.message().unwrap_or_default());
    if let Some(tool) = text("tool") {
        let code = text("code").unwrap_or_default();
        message = format!("{tool} failed ({code}): {message}");
    }
    let mut failure = match message.is_empty() {
        true => name,
        false => format!("{name}: {message}"),
    };
    if let Some((line, column)) = place(exception, program) {
        failure += &format!(
            " (line {line}, column {column})\n{line:>5} | {}",
            program.line(line)
        );
    }
    failure
}

/// The innermost place of an error that is in the program.
fn place(exception: &Exception<'_>, program: &Program) -> Option<(usize, usize)> {
    let stack = exception.stack()?;
    let file = format!("{FILE}:");
    let place = stack.lines().find_map(|line| {
        let (_, rest) = line.rsplit_once(&*file)?;
        let mut numbers = rest
            .trim_end_matches(')')
            .split(':')
            .map(str::parse::<usize>);
        let line = numbers.next()?.ok()?;
        Some((line, numbers.next().and_then(Result::ok).unwrap_or(1)))
    });
    let (line, column) = place?;
    Some(program.place(line, column))
}

fn thrown(value: &Value<'_>) -> String {
    // The engine throws it where there is no memory for an error.
    if value.is_null() {
        return "null, or its memory was not enough for more".to_owned();
    }
    let json = value.ctx().json_stringify(value.clone()).ok().flatten();
    let json = json.and_then(|json| json.to_string().ok());
    let json = json.unwrap_or_else(|| format!("a {}", value.type_name()));
    json.chars().take(1000).collect()
}
