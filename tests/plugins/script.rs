//! `script`: programs that call tools.

use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use toolhost::manifest::{Manifest, PluginConfig};
use toolhost::{CallError, NativeTools, Tool, ToolCall, ToolHost, ToolResult};

use super::assert_error;
use crate::common::{self, call, echo, error, in_time, load, loader, manifest, plugin, text};

/// The plugin, whose programs may call these tools.
fn script(tools: &[&str]) -> PluginConfig {
    let mut script = plugin("script");
    script.permissions.tools = tools.iter().map(|tool| tool.parse().unwrap()).collect();
    script
}

fn with(tools: &[&str]) -> Manifest {
    manifest([script(tools), plugin("echo"), plugin("calculator")])
}

async fn host() -> ToolHost {
    load(with(&["echo", "calculate"])).await
}

fn program(code: &str) -> ToolCall {
    call("run_script", json!({ "code": code }))
}

async fn run(host: &ToolHost, code: &str) -> ToolResult {
    in_time(host.call(program(code))).await
}

/// The value of a program.
#[track_caller]
fn value(result: &ToolResult) -> Value {
    answer(result)["value"].clone()
}

#[track_caller]
fn answer(result: &ToolResult) -> Value {
    text(result);
    let structured = result.outcome.as_ref().unwrap().structured.as_ref();
    serde_json::from_str(structured.unwrap().get()).unwrap()
}

#[tokio::test]
async fn a_program_has_a_value() {
    let host = host().await;
    for (code, expected) in [
        ("1 + 2", json!(3)),
        ("return { a: [1, null] }", json!({ "a": [1, null] })),
        ("const a = 2; a ** 10;", json!(1024)),
        ("let a = 1", json!(null)),
        ("", json!(null)),
        ("'text'", json!("text")),
        ("await Promise.resolve(7)", json!(7)),
        ("const main = async () => 5; main()", json!(5)),
        ("10n ** 20n", json!("100000000000000000000")),
        ("new Map([['a', new Set([1])]])", json!({ "a": [1] })),
        ("[undefined, () => 1]", json!([null, null])),
        ("```js\nlet a = 'fenced';\na\n```", json!("fenced")),
        (
            "interface P { x: number }\nconst p: P = { x: 4 } as P;\nfunction f<T>(a: T): T { return a }\nf<number>(p!.x)",
            json!(4),
        ),
        ("if (true) { return 'early' }\n'late'", json!("early")),
        (
            "typeof require + typeof process + typeof fetch",
            json!("undefinedundefinedundefined"),
        ),
    ] {
        assert_eq!(value(&run(&host, code).await), expected, "{code}");
    }
    // A string is its own text.
    assert_eq!(text(&run(&host, "'as it is'").await), "as it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_are_async_functions() {
    let host = host().await;
    for (code, expected) in [
        ("await tools.echo({ text: 'hi' })", json!("hi")),
        ("(await tools['echo']({ text: 'hi' })).length", json!(2)),
        (
            "const all = [1, 2, 3].map((n) => tools.echo({ text: `n${n}` }));\nawait Promise.all(all)",
            json!(["n1", "n2", "n3"]),
        ),
        (
            "let all = '';\nfor (const n of [1, 2, 3]) all += await tools.echo({ text: String(n) });\nall",
            json!("123"),
        ),
        (
            "Promise.race([tools.echo({ text: 'a' }), new Promise(() => {})])",
            json!("a"),
        ),
        (
            "const [a, b] = await Promise.allSettled([tools.echo({ text: 'a' }), tools.echo({})]);\n[a.value, b.status, b.reason.code, b.reason.tool, b.reason instanceof Error]",
            json!(["a", "rejected", "invalid-arguments", "echo", true]),
        ),
        (
            "try { await tools.ekho({}) } catch (error) { `${error.name} ${error.code} ${error.message}` }",
            json!(null),
        ),
        (
            "try { await tools.ekho({}) } catch (error) { return `${error.name} ${error.code} ${error.message}` }",
            json!("ToolError unknown-tool unknown tool. Similar tools: echo"),
        ),
        ("Object.keys(tools)", json!(["echo", "calculate"])),
        ("'echo' in tools && !('time_now' in tools)", json!(true)),
        (
            "(await tools.search('text')).map((it) => it.name)",
            json!(["echo"]),
        ),
        (
            "(await tools.describe('echo')).includes('echo(args: { text: string }): Promise<string>')",
            json!(true),
        ),
    ] {
        assert_eq!(value(&run(&host, code).await), expected, "{code}");
    }
    let calls = run(
        &host,
        "await Promise.all([tools.echo({ text: 'a' }), tools.echo({ text: 'b' })])",
    );
    assert_eq!(calls.await.usage.calls, 2);
}

#[tokio::test]
async fn structured_output_is_a_value() {
    let tools = NativeTools::new("native").tool_with_schema(
        Tool::new("point", "A point"),
        json!({ "type": "object" }),
        async |_: Value| toolhost::Json(json!({ "x": 1.5, "of": ["a"] })),
    );
    let host = loader(with(&["point"]))
        .provider(tools)
        .load()
        .await
        .unwrap();
    let result = run(&host, "const { x, of } = await tools.point();\nx + of[0]").await;
    assert_eq!(value(&result), "1.5a");
}

#[tokio::test]
async fn timers_and_the_console_are_there() {
    let host = host().await;
    let code = "const order = [];\nsetTimeout(() => order.push('late'), 20);\nsetTimeout((a) => order.push(a), 1, 'soon');\n\
                const off = setTimeout(() => order.push('never'), 5);\nclearTimeout(off);\nawait sleep(40);\norder";
    assert_eq!(value(&run(&host, code).await), json!(["soon", "late"]));
    let code = "let n = 0;\nconst id = setInterval(() => { n++; if (n == 3) clearInterval(id) }, 1);\nawait sleep(40);\nn";
    assert_eq!(value(&run(&host, code).await), json!(3));

    let result = run(
        &host,
        "console.log('a', 1, { b: [2] });\nconsole.error(new Error('no'));\n7",
    )
    .await;
    let answer = answer(&result);
    assert_eq!(answer["value"], 7);
    assert_eq!(
        answer["console"],
        json!(["a 1 {\"b\":[2]}", "error: Error: no"])
    );
}

#[tokio::test]
async fn errors_say_where_they_are_in_the_models_own_text() {
    let host = host().await;
    for (code, words) in [
        (
            "const o = {};\n\nconst b = o.a.x;",
            "TypeError: cannot read property 'x' of undefined (line 3, column 11)\n    3 | const b = o.a.x;",
        ),
        ("let a = 1;\nlet b = = 2;", "SyntaxError: "),
        (
            "let a = 1;\nlet b = = 2;",
            "(line 2, column 9)\n    2 | let b = = 2;",
        ),
        (
            "```ts\nlet a: number = 1;\nlet b: string = a.b.c;\nb\n```",
            "(line 3, column",
        ),
        (
            "let a = 1;\nmissing + a",
            "missing is not defined (line 2, column 1)",
        ),
        (
            "const one = 1;\nawait tools.echo({ text: [] });\none",
            "ToolError: echo failed (invalid-arguments): ",
        ),
        (
            "const one = 1;\nawait tools.echo({});\none",
            "(line 2, column",
        ),
        ("throw { code: 7 }", "the script threw {\"code\":7}"),
        (
            "console.log('seen');\nthrow new RangeError('mine')",
            "RangeError: mine (line 2, column 11)",
        ),
        (
            "console.log('seen');\nthrow new RangeError('mine')",
            "console:\nseen",
        ),
        ("import fs from 'fs'", "`import` is not available"),
        ("enum A { B }", "an enum is not supported"),
        (
            "await new Promise(() => {})",
            "waits for a promise that nothing will settle",
        ),
        ("const a = {}; a.a = a; a", "the value is not JSON: "),
        ("'x'.repeat(300 * 1024)", "return less of it"),
    ] {
        assert_error(&run(&host, code).await, "failed", words);
    }
}

#[tokio::test]
async fn a_denied_tool_is_an_error_that_names_the_grant() {
    let host = load(with(&["echo"])).await;
    let code = "try { await tools.calculate({ expression: '1+1' }) } catch (error) { return [error.code, error.message] }";
    let denied = value(&run(&host, code).await);
    assert_eq!(denied[0], "denied");
    assert!(
        denied[1].as_str().unwrap().contains("permissions.tools"),
        "{denied}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_without_end_ends_at_its_deadline_and_delays_nobody() {
    let mut endless = script(&["echo"]);
    endless.limits.timeout = Duration::from_millis(500);
    let host = load(manifest([endless, plugin("echo")])).await;
    for code in [
        "while (true) {}",
        "for (;;) await null",
        "await sleep(1e9)",
        "/^(a+)+$/.test('a'.repeat(40) + 'b')",
    ] {
        let (ended, ()) = join(host.call(program(code)), async {
            for _ in 0..20 {
                text(&in_time(host.call(echo(1, "well"))).await);
            }
        })
        .await;
        assert_eq!(common::error(&ended).code(), "timeout", "{code}");
    }
    // What it waits for grows: its memory may end before its time.
    let growing = "const again = () => Promise.resolve().then(again); await again()";
    let ended = host.call(program(growing)).await;
    let code = common::error(&ended).code();
    assert!(["timeout", "failed"].contains(&code), "{ended:?}");
}

#[tokio::test]
async fn hostile_programs_end_with_an_error_and_harm_nobody() {
    let mut tight = script(&["echo"]);
    tight.limits.timeout = Duration::from_secs(5);
    let host = load(manifest([tight, plugin("echo")])).await;
    let parentheses = "(".repeat(100_000) + &")".repeat(100_000);
    for code in [
        // Recursion, on the stack and in data.
        &*parentheses,
        "const f = () => f(); f()",
        "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; JSON.stringify(a)",
        // Memory.
        "let a = 'x'; for (;;) a += a",
        "const a = []; for (;;) a.push(new Array(1e5).fill(1))",
        "await Promise.all(Array.from({ length: 1e6 }, () => tools.echo({ text: 'x'.repeat(1000) })))",
        "for (let i = 0; i < 1e9; i++) new Promise(() => {}).then(() => {})",
        // Errors that lie.
        "throw Object.defineProperty(new Error(), 'message', { get() { throw 1 } })",
        "throw Object.assign(new Error('a'), { stack: 'script.js:99999999999999999999:1' })",
        "throw Object.assign(new Error('a'), { stack: 'at script.js:0:0' })",
        "throw Symbol('a')",
        "throw new Proxy(new Error('a'), { get() { throw 2 } })",
        "eval('while(')",
        "new Function('return (')()",
        "({ toJSON() { throw new Error('no') } })",
        "(0)(0)",
        "})(); while (1) {}; (() => {",
    ] {
        let result = run(&host, code).await;
        let error = common::error(&result);
        assert!(
            matches!(error.code(), "failed" | "limit" | "timeout"),
            "{code}: {error:?}"
        );
        assert_eq!(text(&in_time(host.call(echo(1, "well"))).await), "well");
    }
    // What it changes of the language is its own harm only.
    for (code, expected) in [
        (
            "Object.prototype.then = 1; Promise.prototype.then = null; 1",
            json!(1),
        ),
        (
            "Map.prototype.get = () => { throw 1 }; await tools.echo({ text: 'a' })",
            json!("a"),
        ),
        (
            "Array.prototype.map = null; JSON.stringify = null; await tools.echo({ text: 'a' })",
            json!("a"),
        ),
        (
            "tools.echo = () => 'mine'; await tools.echo({ text: 'a' })",
            json!("a"),
        ),
        (
            "tools.__proto__ === undefined ? 0 : typeof tools.constructor",
            json!("function"),
        ),
        ("globalThis.tools = 1; typeof tools.echo", json!("function")),
        ("eval('1 + 1')", json!(2)),
    ] {
        assert_eq!(value(&run(&host, code).await), expected, "{code}");
    }
}

#[tokio::test]
async fn code_and_values_are_bounded() {
    let host = host().await;
    let long = format!("/* {} */ 1", "x".repeat(10 << 20));
    assert_error(&run(&host, &long).await, "limit", "argument size");
    let code = "const e = new Error('m'); e.name = 'y'.repeat(1e6); throw e";
    let CallError::Failed { message } = error(&run(&host, code).await).clone() else {
        panic!("it throws");
    };
    assert!(message.len() < 10 << 10, "{}", message.len());
    let code = "await tools.echo({ text: 'x'.repeat(5 * 1024 * 1024) })";
    assert_error(&run(&host, code).await, "failed", "limit");
    let code = "const a = await tools.echo({ text: 'x'.repeat(900 * 1024) }); a.length";
    assert_eq!(value(&run(&host, code).await), 900 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_of_one_program() {
    let mut many = script(&["echo"]);
    many.limits.max_tool_calls = 1000;
    let host = load(manifest([many, plugin("echo")])).await;
    let code = "const all = await Promise.all(Array.from({ length: 1000 }, (_, n) => tools.echo({ text: `${n}` })));\n\
                all.every((text, n) => text === `${n}`) && all.length";
    let result = run(&host, code).await;
    assert_eq!(value(&result), 1000);
    assert_eq!(result.usage.calls, 1000);
}

/// A host in code mode.
async fn in_code_mode(tools: &[&str]) -> ToolHost {
    loader(with(tools)).code_mode(true).load().await.unwrap()
}

#[tokio::test]
async fn in_code_mode_programs_call_what_clients_cannot() {
    let host = in_code_mode(&["*"]).await;
    let offered: Vec<&str> = host.offered_tools().map(|tool| &*tool.name).collect();
    assert_eq!(offered, ["run_script", "search_tools", "describe_tool"]);
    let refused = in_time(host.call(echo(1, "hi"))).await;
    assert_error(&refused, "denied", "called by programs only");
    assert_eq!(
        value(&run(&host, "await tools.echo({ text: 'hi' })").await),
        "hi"
    );
    // The three are for clients.
    assert_eq!(
        value(&run(&host, "Object.keys(tools)").await),
        json!(["echo", "calculate"])
    );

    let found = in_time(host.call(call("search_tools", json!({ "words": "expression" })))).await;
    assert!(text(&found).starts_with("calculate: "), "{}", text(&found));
    let described = in_time(host.call(call("describe_tool", json!({ "name": "echo" })))).await;
    assert!(text(&described).contains("echo(args: { text: string }): Promise<string>;"));

    // A client that may call less finds less, by each way.
    let some = ["run_script", "echo"].map(str::to_owned);
    let some = std::sync::Arc::new(std::collections::BTreeSet::from(some));
    let options = toolhost::CallOptions::new().allowed(Some(some.clone()));
    let found = host
        .call_with(call("search_tools", json!({})), &options)
        .await;
    assert_eq!(text(&found).lines().count(), 1);
    let unknown = host.call_with(
        call("describe_tool", json!({ "name": "calculate" })),
        &options,
    );
    assert_error(
        &unknown.await,
        "failed",
        "programs can call no tool \"calculate\"",
    );
    let own = host.tool("run_script").unwrap();
    assert!(
        own.description.contains("calculate(args:"),
        "{}",
        own.description
    );
    let shown = host.description_for(own, Some(&some));
    assert!(
        shown.contains("echo(args:") && !shown.contains("calculate"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_tool_may_be_called_search() {
    let tools = NativeTools::new("web").tool_with_schema(
        Tool::new("search", "Searches the web").read_only(),
        json!({ "type": "object", "properties": { "q": { "type": "string" } } }),
        async |args: Value| format!("pages on {}", args["q"]),
    );
    let loader = loader(with(&["search"])).provider(tools);
    let host = loader.load().await.unwrap();
    let found = run(&host, "await tools.search({ q: 'rust' })").await;
    assert_eq!(value(&found), "pages on \"rust\"");
    let listed = run(&host, "(await tools.search('web')).length").await;
    assert_eq!(value(&listed), 1);
}

#[tokio::test]
async fn what_programs_cannot_call_is_not_found() {
    let host = in_code_mode(&["echo"]).await;
    let found = in_time(host.call(call("search_tools", json!({})))).await;
    assert!(text(&found).starts_with("echo: "), "{}", text(&found));
    assert_eq!(text(&found).lines().count(), 1);
    let described = host.call(call("describe_tool", json!({ "name": "calculate" })));
    assert_error(&in_time(described).await, "denied", "calculate");
}

#[tokio::test]
async fn code_mode_needs_a_plugin_that_may_call_tools() {
    let load = async |manifest: Manifest| {
        let loaded = loader(manifest).code_mode(true).load().await;
        loaded.unwrap_err().to_string()
    };
    let error = load(manifest([plugin("echo")])).await;
    assert!(
        error.contains("code mode needs a plugin that offers `run_script`"),
        "{error}"
    );
    let error = load(with(&[])).await;
    assert!(error.contains("may call no tools"), "{error}");
}

#[tokio::test]
async fn the_description_names_the_tools_that_are_granted() {
    let host = load(with(&["echo"])).await;
    let description = &host.tool("run_script").unwrap().description;
    assert!(
        description.contains("  echo(args: { text: string }): Promise<string>;"),
        "{description}"
    );
    assert!(!description.contains("calculate") && !description.contains("${tools}"));
    let host = load(with(&[])).await;
    let description = &host.tool("run_script").unwrap().description;
    assert!(
        description.contains("There are no tools to call."),
        "{description}"
    );
}

#[test]
fn the_command_lists_and_serves_what_programs_call() {
    let grant = "permissions.tools = ['*']\n";
    let folder = common::binary::Folder::with(format!(
        "{}{grant}{}",
        common::binary::listed("script"),
        common::binary::listed("echo")
    ));
    let listed = folder
        .run(&["list", "--format", "typescript"], "")
        .answered();
    assert!(
        listed.stdout.starts_with("declare const tools: {\n"),
        "{}",
        listed.stdout
    );
    assert!(
        listed
            .stdout
            .contains("\n  echo(args: { text: string }): Promise<string>;\n")
    );

    let messages = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" },
        } }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {
            "name": "run_script", "arguments": { "code": "await tools.echo({ text: 'over MCP' })" },
        } }),
    ];
    let input = messages.map(|message| format!("{message}\n")).concat();
    let served = folder.run(&["serve", "--code-mode"], input);
    let answers: Vec<Value> = served.lines();
    let of = |id: u64| {
        answers
            .iter()
            .find(|it| it["id"] == id)
            .unwrap_or_else(|| panic!("{answers:?}"))
    };
    let names: Vec<&Value> = of(2)["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["run_script", "search_tools", "describe_tool"]);
    assert_eq!(of(3)["result"]["structuredContent"]["value"], "over MCP");
}
