//! A plugin that calls the tools that it is told to, over `toolhost:calls`.

use std::collections::BTreeMap;

use exports::toolhost::plugin::tools::{Call, Error, Guest, Output, Tool};
use serde_json::{Value, json};
use toolhost::calls::calls::{self, CallError};
use toolhost::plugin::types::{Annotations, Content};

wit_bindgen::generate!({
    path: ["../../../wit/0.1.0", "../../../wit/calls-0.1.0"],
    inline: "
        package test:caller;
        world caller {
            include toolhost:plugin/plugin@0.1.0;
            include toolhost:calls/caller@0.1.0;
        }
    ",
    world: "test:caller/caller",
    generate_all,
});

struct Caller;
export!(Caller);

type Run = fn(&Value) -> Result<Value, Error>;

const TOOLS: [(&str, &str, Run); 9] = [
    (
        "calls",
        "Runs `calls` at once, and answers the outcome of each.",
        all,
    ),
    ("in_turn", "Runs `calls` one after the other.", in_turn),
    (
        "first",
        "Answers the outcome of the first of `calls` that ends.",
        first,
    ),
    ("leave", "Starts `calls` and answers at once.", leave),
    (
        "call_and_spin",
        "Starts `calls` and computes for ever.",
        spin,
    ),
    (
        "bomb",
        "Starts the first of `calls` until that is refused.",
        bomb,
    ),
    (
        "timers",
        "Starts timers of `milliseconds`, and answers the order in which they end.",
        timers,
    ),
    ("find", "What is known of the tools.", find),
    (
        "write_and_call",
        "Writes a file, then runs `calls`.",
        write_and_call,
    ),
];

impl Guest for Caller {
    fn list_tools() -> Vec<Tool> {
        let tool = |(name, description, _): &(&str, &str, Run)| Tool {
            name: (*name).into(),
            title: None,
            description: (*description).into(),
            icons: vec![],
            input_schema: json!({ "type": "object" }).to_string(),
            output_schema: None,
            annotations: Annotations {
                read_only: Some(*name != "write_and_call"),
                destructive: None,
                idempotent: None,
                open_world: None,
            },
        };
        TOOLS.iter().map(tool).collect()
    }

    fn call_tool(call: Call) -> Result<Output, Error> {
        let tool = TOOLS.iter().find(|(name, ..)| *name == call.name);
        let (.., run) = tool.ok_or_else(|| Error::Failed(format!("no tool {}", call.name)))?;
        let arguments: Value = serde_json::from_str(&call.arguments)
            .map_err(|error| Error::InvalidArguments(error.to_string()))?;
        let answer = run(&arguments)?;
        Ok(Output {
            content: vec![Content::Text(answer.to_string())],
            structured: None,
        })
    }
}

/// Starts calls: their numbers, or why they were refused.
fn start(arguments: &Value) -> Vec<Result<u32, CallError>> {
    let calls = arguments["calls"].as_array().into_iter().flatten();
    calls
        .map(|call| {
            let name = call["name"].as_str().unwrap_or_default();
            calls::start(name, &call["arguments"].to_string())
        })
        .collect()
}

fn refused(error: &CallError) -> Value {
    json!({ "code": error.code, "message": error.message })
}

fn outcome(outcome: Result<Output, CallError>) -> Value {
    match outcome {
        Ok(output) => {
            let texts = output.content.into_iter().map(|content| match content {
                Content::Text(text) => serde_json::from_str(&text).unwrap_or(Value::from(text)),
                _ => Value::from("something else"),
            });
            texts.collect::<Vec<_>>().pop().unwrap_or(Value::Null)
        }
        Err(error) => refused(&error),
    }
}

fn all(arguments: &Value) -> Result<Value, Error> {
    let started = start(arguments);
    let mut ended = BTreeMap::new();
    while ended.len() < started.iter().flatten().count() {
        let now = calls::wait();
        if now.is_empty() {
            return Err(Error::Failed("nothing is left to wait for".into()));
        }
        for (number, result) in now {
            if ended.insert(number, outcome(result)).is_some() {
                return Err(Error::Failed(format!("{number} ended twice")));
            }
        }
    }
    let outcomes = started.into_iter().map(|started| match started {
        Ok(number) => ended.remove(&number).unwrap_or(Value::Null),
        Err(error) => refused(&error),
    });
    Ok(outcomes.collect())
}

fn in_turn(arguments: &Value) -> Result<Value, Error> {
    let calls = arguments["calls"].as_array().cloned().unwrap_or_default();
    let outcomes = calls.into_iter().map(|call| {
        let one = all(&json!({ "calls": [call] }))?;
        Ok(one[0].clone())
    });
    outcomes.collect()
}

fn first(arguments: &Value) -> Result<Value, Error> {
    start(arguments);
    let ended = calls::wait().into_iter().next();
    Ok(ended.map_or(Value::Null, |(_, result)| outcome(result)))
}

fn leave(arguments: &Value) -> Result<Value, Error> {
    Ok(json!(start(arguments).iter().flatten().count()))
}

fn spin(arguments: &Value) -> Result<Value, Error> {
    start(arguments);
    loop {
        std::hint::black_box(());
    }
}

fn bomb(arguments: &Value) -> Result<Value, Error> {
    let call = &arguments["calls"][0];
    let (name, text) = (
        call["name"].as_str().unwrap_or_default(),
        call["arguments"].to_string(),
    );
    for count in 0_u32.. {
        if let Err(error) = calls::start(name, &text) {
            return Ok(json!({ "started": count, "refused": refused(&error) }));
        }
    }
    Ok(Value::Null)
}

fn timers(arguments: &Value) -> Result<Value, Error> {
    let times = arguments["milliseconds"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut started = BTreeMap::new();
    for time in &times {
        match calls::start_timer(time.as_u64().unwrap_or_default()) {
            Ok(number) => drop(started.insert(number, time.clone())),
            Err(error) => return Ok(refused(&error)),
        }
    }
    let mut order = Vec::new();
    while order.len() < times.len() {
        order.extend(
            calls::wait()
                .into_iter()
                .map(|(number, _)| started[&number].clone()),
        );
    }
    Ok(order.into())
}

fn find(arguments: &Value) -> Result<Value, Error> {
    let words = arguments["words"].as_str().unwrap_or_default();
    let found = calls::search(words, 10);
    let found: Vec<_> = found.into_iter().map(|tool| tool.name).collect();
    let described = calls::describe(arguments["name"].as_str().unwrap_or_default());
    Ok(json!({
        "names": calls::names(),
        "found": found,
        "described": described.unwrap_or_else(|error| refused(&error).to_string()),
    }))
}

fn write_and_call(arguments: &Value) -> Result<Value, Error> {
    let file = arguments["file"].as_str().unwrap_or("/w/mine.txt");
    std::fs::write(file, "begun").map_err(|error| Error::Failed(error.to_string()))?;
    let answer = all(arguments)?;
    std::fs::write(file, "done").map_err(|error| Error::Failed(error.to_string()))?;
    Ok(answer)
}
