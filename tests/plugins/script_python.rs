//! `script-python`: programs in Python that call tools.

use std::time::Duration;

use serde_json::{Value, json};
use toolhost::input::{Question, QuestionKind, QuestionKinds, Reply, Resumption};
use toolhost::manifest::PluginConfig;
use toolhost::{CallError, CallOptions, ToolCall, ToolHost, ToolResult};

use super::assert_error;
use crate::common::{self, call, echo, in_time, load, loader, manifest, plugin, text};

fn script(tools: &[&str]) -> PluginConfig {
    let mut script = plugin("script-python");
    script.permissions.tools = tools.iter().map(|tool| tool.parse().unwrap()).collect();
    script
}

async fn host() -> ToolHost {
    let script = script(&["echo", "calculate", "test_elicitation"]);
    load(manifest([
        script,
        plugin("echo"),
        plugin("calculator"),
        plugin("conformance"),
        plugin("filesystem"),
    ]))
    .await
}

fn program(code: &str) -> ToolCall {
    call("run_python", json!({ "code": code }))
}

async fn run(host: &ToolHost, code: &str) -> ToolResult {
    in_time(host.call(program(code))).await
}

/// The value of a program.
#[track_caller]
fn value(result: &ToolResult) -> Value {
    text(result);
    let structured = result.outcome.as_ref().unwrap().structured.as_ref();
    let answer: Value = serde_json::from_str(structured.unwrap().get()).unwrap();
    answer["value"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_has_a_value_and_calls_tools() {
    let host = host().await;
    let big: Value = serde_json::from_str("1267650600228229401496703205376").unwrap();
    for (code, expected) in [
        ("1 + 2", json!(3)),
        ("x = 2\nx ** 100", big),
        (
            "{'a': [1, None, 1.5], 'b': (True, {2})}",
            json!({ "a": [1, null, 1.5], "b": [true, [2]] }),
        ),
        ("x = 1", json!(null)),
        ("```python\n'fenced'\n```", json!("fenced")),
        ("await echo(text='hi')", json!("hi")),
        ("await echo({'text': 'hi'})", json!("hi")),
        (
            "async def main():\n    return len(await echo(text='hi'))\nawait main()",
            json!(2),
        ),
        (
            "import asyncio\nawait asyncio.gather(*(echo(text=str(n)) for n in range(3)))",
            json!(["0", "1", "2"]),
        ),
        (
            "try:\n    await echo(text=[])\nexcept RuntimeError as error:\n    said = str(error)\nsaid[:31]",
            json!("echo failed (invalid-arguments)"),
        ),
        (
            "[it for it in ('a', 'b') if it != await echo(text='a')]",
            json!(["b"]),
        ),
    ] {
        let result = run(&host, code).await;
        assert_eq!(value(&result).to_string(), expected.to_string(), "{code}");
    }
    let printed = run(&host, "print('seen', 1)\n7").await;
    assert_eq!(text(&printed), "7\nconsole:\nseen 1");
    let many = run(
        &host,
        "import asyncio\nlen(await asyncio.gather(*(echo(text='a') for n in range(200))))",
    );
    let many = many.await;
    assert_eq!((value(&many), many.usage.calls), (json!(200), 200));
}

#[tokio::test]
async fn errors_are_pythons_own_with_the_models_lines() {
    let host = host().await;
    for (code, words) in [
        ("x = 1\ny = x / 0", "line 2"),
        ("x = 1\ny = x / 0", "ZeroDivisionError: division by zero"),
        ("```py\nx = 1\nmissing\n```", "line 3"),
        ("let x = 1", "SyntaxError"),
        (
            "x = 1\nawait echo(text=[])",
            "RuntimeError: echo failed (invalid-arguments)",
        ),
        (
            "nothing(path='a')",
            "RuntimeError: nothing failed (unknown-tool)",
        ),
        ("echo(text='a')", "was an `await` forgotten?"),
        ("await echo('a')", "takes named arguments"),
        ("import os\nos.system('ls')", "Error"),
        ("open('/etc/passwd').read()", "OSError: there are no files"),
        (
            "from pathlib import Path\nPath('/etc/passwd').read_text()",
            "OSError: there are no files",
        ),
        ("print('seen')\nraise ValueError('mine')", "console:\nseen"),
        ("'x' * (300 * 1024)", "return less of it"),
        ("float('nan')", "cannot be represented in JSON"),
    ] {
        assert_error(&run(&host, code).await, "failed", words);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_programs_end_and_harm_nobody() {
    let mut tight = script(&["echo"]);
    tight.limits.timeout = Duration::from_secs(2);
    let host = load(manifest([tight, plugin("echo")])).await;
    for code in [
        "while True: pass",
        "def f(): return f()\nf()",
        "a = []\nwhile True: a.append('x' * 100000)",
        "'x' * 10**12",
        "2 ** 10**9",
        "a = []\nfor n in range(100000): a = [a]\na",
        "import asyncio\nawait asyncio.gather(*(echo(text='a') for n in range(100000)))",
        "while True: echo(text='a')",
        &("(".repeat(50_000) + &")".repeat(50_000)),
        "print('x' * 10**6)",
        "class A:\n    def __repr__(self): return repr(self)\nrepr(A())",
    ] {
        let result = in_time(host.call(program(code))).await;
        let error = common::error(&result);
        let shown: String = code.chars().take(80).collect();
        assert!(
            matches!(error.code(), "failed" | "limit" | "timeout" | "trap"),
            "{shown}: {error:?}"
        );
        assert_eq!(text(&in_time(host.call(echo(1, "well"))).await), "well");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_asks_is_run_again() {
    let host = host().await;
    let code = "first = await echo(text='once')\nanswer = await test_elicitation(message='who?')\n[first, 'accept' in answer]";
    let options = CallOptions::new().advertise(QuestionKinds::default().with(QuestionKind::Form));
    let asked = in_time(host.call_with(program(code), &options)).await;
    let CallError::InputRequired(input) = common::error(&asked) else {
        panic!("{asked:?}");
    };
    let form = json!({ "username": "u", "email": "e" }).to_string();
    let reply = |(key, _): &(String, Question)| (key.clone(), Reply::Accepted(Some(form.clone())));
    let replies = input.questions.iter().map(reply).collect();
    let resumed =
        program(code).with_resumed(Box::new(Resumption::new(input.state.clone(), replies)));
    let result = in_time(host.call_with(resumed, &options)).await;
    assert_eq!(value(&result), json!(["once", true]));
    assert_eq!(result.usage.calls, 3);
}

#[tokio::test]
async fn code_mode_takes_python_as_well() {
    let manifest = manifest([script(&["*"]), plugin("echo")]);
    let host = loader(manifest).code_mode(true).load().await.unwrap();
    let offered: Vec<&str> = host.offered_tools().map(|tool| &*tool.name).collect();
    assert_eq!(offered, ["run_python", "search_tools", "describe_tool"]);
    assert_eq!(value(&run(&host, "await echo(text='hi')").await), "hi");
}
