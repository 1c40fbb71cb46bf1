//! Functions of the program itself as tools, other providers of its own, and hooks.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, pending};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};
use toolhost::limits::{ByteSize, Limit, Limits};
use toolhost::manifest::{AuditConfig, Manifest};
use toolhost::provider::{CallContext, ProvidedTool, RunOutcome, ToolProvider};
use toolhost::tool::LogSource;
use toolhost::{
    CallError, CallOptions, CancellationToken, Decision, Hook, Json, LoadError, Loader,
    NativeContext, NativeTools, Output, Progress, Tool, ToolCall, ToolHost, ToolResult, Watcher,
};

use crate::common::{call, echo, error, manifest, plugin, text};

#[derive(Deserialize, JsonSchema)]
struct Add {
    /// The first.
    a: i64,
    b: i64,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: i64,
}

fn none() -> Manifest {
    manifest([])
}

async fn host(tools: NativeTools) -> ToolHost {
    Loader::new(none()).provider(tools).load().await.unwrap()
}

fn invalid(error: LoadError) -> String {
    match error {
        LoadError::Invalid(problems) => problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n"),
        other => panic!("{other}"),
    }
}

fn add(tools: NativeTools) -> NativeTools {
    tools.tool(Tool::new("add", "Adds").read_only(), async |args: Add| {
        args.a + args.b
    })
}

#[tokio::test]
async fn a_closure_is_a_tool_and_is_listed_as_not_sandboxed() {
    let tools = add(NativeTools::new("mine")).tool(
        Tool::new("sum", "Adds, for programs"),
        async |args: Add| {
            Json(Sum {
                sum: args.a + args.b,
            })
        },
    );
    let host = Loader::new(manifest([plugin("echo")]))
        .provider(tools)
        .load()
        .await
        .unwrap();
    let tool = host.tool("add").unwrap();
    assert!(!tool.sandboxed);
    assert_eq!(tool.plugin, "mine");
    assert_eq!(
        tool.input_schema,
        json!({
            "type": "object",
            "properties": {
                "a": { "type": "integer", "format": "int64", "description": "The first." },
                "b": { "type": "integer", "format": "int64" },
            },
            "required": ["a", "b"],
        })
    );
    assert!(host.tool("echo").unwrap().sandboxed);
    let output = host.tool("sum").unwrap().output_schema.clone().unwrap();
    assert_eq!(output["properties"]["sum"]["type"], "integer");

    let results = host
        .run_all([
            call("add", json!({ "a": 2, "b": 3 })),
            // Repaired as for any other tool.
            call("add", json!({ "a": "2", "b": 3 })),
            call("add", json!({ "a": "two", "b": 3 })),
            echo("1", "hi"),
            call("sum", json!({ "a": 2, "b": 3 })),
        ])
        .await;
    assert_eq!(text(&results[0]), "5");
    assert_eq!(text(&results[1]), "5");
    assert_eq!(results[1].repairs.len(), 1);
    assert_eq!(error(&results[2]).code(), "invalid-arguments");
    assert_eq!(text(&results[3]), "hi");
    let Ok(Output { structured, .. }) = &results[4].outcome else {
        panic!("{:?}", results[4]);
    };
    assert_eq!(structured.as_ref().unwrap().get(), r#"{"sum":5}"#);
}

#[tokio::test]
async fn a_deadline_drops_a_call_and_a_panic_is_its_own() {
    struct Told(Arc<AtomicUsize>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let seen = dropped.clone();
    let mut limits = Limits::default();
    limits.timeout = Duration::from_millis(50);
    let tools = add(NativeTools::new("mine").limits(limits))
        .tool(Tool::new("hang", ""), move |_: Nothing| {
            let told = Told(seen.clone());
            async move {
                pending::<()>().await;
                drop(told);
            }
        })
        .tool(Tool::new("panic", ""), async |_: Nothing| {
            if true {
                panic!("out of cheese");
            }
        })
        .tool(Tool::new("fail", ""), async |_: Nothing| {
            Err::<(), _>("no such file".to_owned())
        })
        .tool(Tool::new("denied", ""), async |_: Nothing| {
            Err::<(), _>(CallError::Denied {
                what: "that".to_owned(),
            })
        });
    let host = host(tools).await;
    let results = host
        .run_all([
            call("hang", json!({})),
            call("panic", json!({})),
            call("add", json!({ "a": 1, "b": 1 })),
            call("fail", json!({})),
            call("denied", json!({})),
        ])
        .await;
    assert_eq!(error(&results[0]).code(), "timeout");
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(
        error(&results[1]),
        &CallError::Trap {
            message: "the tool panicked: out of cheese".to_owned()
        }
    );
    assert_eq!(text(&results[2]), "2");
    assert_eq!(results[3].to_text(), "Error: fail failed - no such file");
    assert_eq!(error(&results[4]).code(), "denied");
}

#[tokio::test]
async fn what_a_function_answers_is_held_to_its_limits_and_its_schema() {
    let mut limits = Limits::default();
    limits.max_output = toolhost::limits::ByteSize::b(100);
    limits.max_log = toolhost::limits::ByteSize::b(1000);
    let mut declared = Tool::new("wrong", "");
    declared.output_schema = Some(json!({ "type": "object", "required": ["sum"] }));
    let tools = NativeTools::new("mine")
        .limits(limits)
        .tool(Tool::new("long", ""), async |_: Nothing| "x".repeat(101))
        .tool(
            Tool::new("chatty", ""),
            async |_: Nothing, context: NativeContext| {
                context.log(LogSource::Info, "y".repeat(2_000));
                pending::<()>().await;
            },
        )
        .tool(declared, async |_: Nothing| Json(json!({ "total": 1 })));
    let host = host(tools).await;
    let limit = |result: &ToolResult| match error(result) {
        CallError::Limit { limit, .. } => *limit,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        limit(&host.call(call("long", json!({}))).await),
        Limit::Output
    );
    assert_eq!(
        limit(&host.call(call("chatty", json!({}))).await),
        Limit::Log
    );
    let wrong = host.call(call("wrong", json!({}))).await;
    assert!(
        error(&wrong).to_string().contains("structured output"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_call_says_how_far_it_is_and_what_it_does() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);
    impl Watcher for Seen {
        fn logged(&self, line: &toolhost::tool::LogLine) {
            self.0.lock().unwrap().push(line.text.clone());
        }
        fn progressed(&self, progress: &Progress) {
            self.0.lock().unwrap().push(format!("{}", progress.done));
        }
    }
    let tools = NativeTools::new("mine").tool(
        Tool::new("work", ""),
        async |_: Nothing, context: NativeContext| {
            context.log(LogSource::Notice, "begun");
            context.progress(Progress::new(0.5).with_total(1.0));
            assert!(!context.is_cancelled());
        },
    );
    let host = host(tools).await;
    let seen = Arc::new(Seen::default());
    let options = CallOptions::new().watcher(seen.clone());
    let result = host.call_with(call("work", json!({})), &options).await;
    assert_eq!(*seen.0.lock().unwrap(), ["begun", "0.5"]);
    assert_eq!(result.log[0].text, "begun");
    assert_eq!(text(&result), "");
}

#[tokio::test]
async fn invalid_native_tools_are_load_errors() {
    let tools = add(add(NativeTools::new("mine")))
        .tool(Tool::new("not a name", ""), async |_: Nothing| ())
        .tool_with_schema(
            Tool::new("odd", ""),
            json!({ "type": "strange" }),
            async |_: Value| (),
        )
        .max_concurrency(0);
    let problems = invalid(
        Loader::new(none())
            .provider(tools)
            .load()
            .await
            .unwrap_err(),
    );
    for part in ["`add`", "`not a name`", "`odd`", "`max-concurrency` is 0"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    assert!(problems.contains("provider `mine`"), "{problems}");

    let twice = Loader::new(none())
        .provider(add(NativeTools::new("mine")))
        .provider(add(NativeTools::new("yours")));
    let problems = invalid(twice.load().await.unwrap_err());
    assert!(problems.contains("provider `yours`"), "{problems}");
}

#[tokio::test]
async fn native_calls_that_write_run_in_order_and_others_in_parallel() {
    let running = Arc::new(AtomicUsize::new(0));
    let order = Arc::new(Mutex::new(Vec::new()));
    let (gate, met) = (Arc::new(Semaphore::new(0)), order.clone());
    let readers = gate.clone();
    let tools = NativeTools::new("mine")
        .tool(Tool::new("write", "").additive(), move |args: Add| {
            let (running, order) = (running.clone(), met.clone());
            async move {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0);
                tokio::task::yield_now().await;
                order.lock().unwrap().push(args.a);
                running.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .tool(Tool::new("read", "").read_only(), move |_: Nothing| {
            let gate = readers.clone();
            async move {
                // Goes on once two of them are here.
                gate.add_permits(1);
                let _both = gate.acquire_many(2).await.unwrap();
                gate.add_permits(2);
            }
        });
    let host = host(tools).await;
    let writes = (0..20).map(|number| call("write", json!({ "a": number, "b": 0 })));
    for result in host.run_all(writes).await {
        assert!(result.outcome.is_ok(), "{result:?}");
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<i64>>());
    let reads = host.run_all([call("read", json!({})), call("read", json!({}))]);
    for result in reads.await {
        assert!(result.outcome.is_ok(), "{result:?}");
    }
}

#[tokio::test]
async fn a_cancelled_call_is_dropped() {
    let started = Arc::new(Notify::new());
    let told = started.clone();
    let tools = NativeTools::new("mine").tool(Tool::new("hang", ""), move |_: Nothing| {
        let told = told.clone();
        async move {
            told.notify_one();
            pending::<()>().await;
        }
    });
    let host = host(tools).await;
    let token = CancellationToken::new();
    let options = CallOptions::new().cancellation(token.clone());
    let running = host.call_with(call("hang", json!({})), &options);
    let cancel = async {
        started.notified().await;
        token.cancel();
    };
    let (result, ()) = tokio::join!(running, cancel);
    assert_eq!(error(&result), &CallError::Cancelled);
}

#[tokio::test]
async fn a_native_call_is_a_line_of_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let mut manifest = none();
    manifest.audit = Some(AuditConfig::new(&path));
    let host = Loader::new(manifest)
        .provider(add(NativeTools::new("mine")))
        .load()
        .await
        .unwrap();
    host.call(call("add", json!({ "a": 1, "b": 1 }))).await;
    let line: Value = serde_json::from_str(std::fs::read_to_string(path).unwrap().trim()).unwrap();
    assert_eq!(
        (&line["plugin"], &line["tool"]),
        (&json!("mine"), &json!("add"))
    );
}

/// Offers a tool once it is told to.
struct Growing {
    tools: Mutex<Arc<[Arc<ProvidedTool>]>>,
    changes: tokio::sync::watch::Sender<u64>,
}

struct Shared(Arc<Growing>);

impl Growing {
    fn offer(&self, name: &str) {
        let mut tool = Tool::new(name, "");
        tool.input_schema = json!({ "type": "object" });
        *self.tools.lock().unwrap() = [Arc::new(ProvidedTool::new(tool).unwrap())].into();
        self.changes.send_modify(|count| *count += 1);
    }
}

impl ToolProvider for Shared {
    fn name(&self) -> &str {
        "growing"
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        self.0.tools.lock().unwrap().clone()
    }

    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        Some(self.0.changes.subscribe())
    }

    fn call<'c>(
        &'c self,
        tool: &'c ProvidedTool,
        _: &'c ToolCall,
        context: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        Box::pin(async move {
            if tool.tool().name == "hang" {
                pending::<()>().await;
            }
            assert!(context.deadline() > std::time::Instant::now());
            Ok::<_, CallError>(Output::text(&tool.tool().name)).into()
        })
    }
}

#[tokio::test]
async fn a_provider_of_ones_own_changes_its_tools_without_a_new_host() {
    let growing = Arc::new(Growing {
        tools: Mutex::new([].into()),
        changes: tokio::sync::watch::Sender::new(0),
    });
    let host = Loader::new(none())
        .provider(Shared(growing.clone()))
        .load()
        .await
        .unwrap();
    assert_eq!(host.tools().count(), 0);
    growing.offer("late");
    host.tools_changed().await;
    let host = host.renewed();
    assert_eq!(text(&host.call(call("late", json!({}))).await), "late");
}

/// Notes what it is asked and told; refuses, answers or waits as a call's tool says.
#[derive(Default)]
struct Noting {
    asked: Mutex<Vec<String>>,
    told: Mutex<Vec<String>>,
    /// A call of `wait` is let run once it is told so.
    may_run: Semaphore0,
}

struct Semaphore0(Semaphore);

impl Default for Semaphore0 {
    fn default() -> Self {
        Semaphore0(Semaphore::new(0))
    }
}

struct Noted(Arc<Noting>);

impl Hook for Noted {
    fn before<'a>(&'a self, call: &'a ToolCall, tool: &'a Tool) -> BoxFuture<'a, Decision> {
        Box::pin(async move {
            let asked = format!("{} {}", tool.name, call.arguments);
            self.0.asked.lock().unwrap().push(asked);
            match &*tool.name {
                "refused" => Decision::Refuse {
                    why: "not today".to_owned(),
                },
                "answered" => Decision::Answer(Output::text("from the hook")),
                "panics" => panic!("of the hook"),
                "wait" => {
                    self.0.may_run.0.acquire().await.unwrap().forget();
                    Decision::Run
                }
                _ => Decision::Run,
            }
        })
    }

    fn after(&self, call: &ToolCall, tool: Option<&Tool>, result: &ToolResult) {
        let tool = tool.map_or("none", |tool| &tool.name);
        let told = format!("{tool} {} {}", call.arguments, result.to_text());
        self.0.told.lock().unwrap().push(told);
    }
}

fn noted(manifest: Manifest, tools: NativeTools) -> (Arc<Noting>, Loader) {
    let noting = Arc::new(Noting::default());
    let loader = Loader::new(manifest)
        .provider(tools)
        .hook(Noted(noting.clone()));
    (noting, loader)
}

#[tokio::test]
async fn a_hook_lets_run_refuses_or_answers_and_is_told_of_every_result() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counted = ran.clone();
    let mut tools = add(NativeTools::new("mine"));
    for name in ["refused", "answered", "panics"] {
        let ran = counted.clone();
        tools = tools.tool(Tool::new(name, ""), move |_: Nothing| {
            ran.fetch_add(1, Ordering::SeqCst);
            async {}
        });
    }
    let (noting, loader) = noted(none(), tools);
    let host = loader.load().await.unwrap();
    let calls = [
        call("add", json!({ "a": "1", "b": 2 })),
        call("refused", json!({})),
        call("answered", json!({})),
        call("panics", json!({})),
        call("unknown", json!({})),
        call("add", json!({})),
    ];
    let mut results = Vec::new();
    for call in calls.clone() {
        results.push(host.call(call).await);
    }
    assert_eq!(text(&results[0]), "3");
    assert_eq!(
        error(&results[1]),
        &CallError::Denied {
            what: "not today".to_owned()
        }
    );
    assert_eq!(text(&results[2]), "from the hook");
    assert_eq!(error(&results[3]).code(), "internal");
    assert_eq!(error(&results[4]).code(), "unknown-tool");
    assert_eq!(error(&results[5]).code(), "invalid-arguments");
    assert_eq!(ran.load(Ordering::SeqCst), 0, "none of them ran");
    let asked = noting.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4, "{asked:?}");
    assert_eq!(asked[0], r#"add {"a":1,"b":2}"#, "as the tool gets it");
    let told = noting.told.lock().unwrap().clone();
    assert_eq!(told.len(), calls.len(), "{told:?}");
    assert_eq!(told[0], r#"add {"a":1,"b":2} 3"#);
    assert!(told[4].starts_with("none "), "{told:?}");

    // In batches as well, and for what is refused without being run.
    noting.told.lock().unwrap().clear();
    host.run_all(calls.clone()).await;
    let _ = host.run(calls.clone()).count().await;
    host.refuse(&calls[0], CallError::Cancelled);
    assert_eq!(noting.told.lock().unwrap().len(), 2 * calls.len() + 1);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_call_that_a_hook_thinks_about_holds_up_its_own_client_only() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tools = NativeTools::new("mine");
    for name in ["wait", "write"] {
        let order = order.clone();
        tools = tools.tool(Tool::new(name, "").additive(), move |args: Add| {
            order.lock().unwrap().push(args.a);
            async {}
        });
    }
    let mut manifest = none();
    manifest.host.max_concurrency = 1;
    let (noting, loader) = noted(manifest, tools);
    let host = loader.load().await.unwrap();
    let mut first = host.open_batch();
    first.add(0, call("wait", json!({ "a": 0, "b": 0 })));
    first.add(1, call("write", json!({ "a": 1, "b": 0 })));
    // Another client passes by: no permit is held, and no place.
    let others = [2, 3].map(|number| call("write", json!({ "a": number, "b": 0 })));
    for result in host.run_all(others).await {
        assert!(result.outcome.is_ok(), "{result:?}");
    }
    assert_eq!(*order.lock().unwrap(), [2, 3]);
    assert_eq!(first.running(), 2);
    noting.may_run.0.add_permits(1);
    while first.next().await.is_some() {}
    assert_eq!(*order.lock().unwrap(), [2, 3, 0, 1]);
}

#[tokio::test]
async fn batch_runs_on_while_a_hook_decides_and_loses_no_call() {
    let mut tools = add(NativeTools::new("mine"));
    tools = tools.tool(
        Tool::new("wait", "").read_only(),
        async |_: Nothing| "waited",
    );
    let mut manifest = none();
    manifest.host.max_concurrency = 1;
    let (noting, loader) = noted(manifest, tools);
    let host = loader.load().await.unwrap();
    let adds = (0..100).map(|number| call("add", json!({ "a": number, "b": 0 })));
    let calls = std::iter::once(call("wait", json!({}))).chain(adds);
    let mut batch = host.run(calls);
    for _ in 0..100 {
        let (index, result) = batch.next().await.unwrap();
        assert_eq!(text(&result), (index - 1).to_string());
    }
    noting.may_run.0.add_permits(1);
    let (index, result) = batch.next().await.unwrap();
    assert_eq!((index, &*text(&result)), (0, "waited"));
    assert!(batch.next().await.is_none());

    // Given up while a hook thinks about it.
    let batch = host.run([call("wait", json!({}))]);
    batch.cancel();
    let results = batch.collect_in_order().await;
    assert_eq!(error(&results[0]), &CallError::Cancelled);
}

/// A person, who is asked about what changes something.
#[derive(Default)]
struct Person {
    /// The arguments of the calls that it was asked about.
    asked: Mutex<Vec<String>>,
    /// It says yes so often.
    says_yes: Semaphore0,
    thinks: AtomicBool,
}

struct Asked(Arc<Person>);

impl Hook for Asked {
    fn asks_somebody(&self, tool: &Tool) -> bool {
        tool.annotations.read_only != Some(true)
    }

    fn before<'a>(&'a self, call: &'a ToolCall, tool: &'a Tool) -> BoxFuture<'a, Decision> {
        Box::pin(async move {
            if self.asks_somebody(tool) {
                let person = &self.0;
                person.asked.lock().unwrap().push(call.arguments.clone());
                let is_only = !person.thinks.swap(true, Ordering::SeqCst);
                assert!(is_only, "it is asked one thing at a time");
                person.says_yes.0.acquire().await.unwrap().forget();
                person.thinks.store(false, Ordering::SeqCst);
            }
            Decision::Run
        })
    }
}

async fn asking(person: &Arc<Person>) -> ToolHost {
    let mut tools = NativeTools::new("mine");
    for tool in [Tool::new("change", ""), Tool::new("look", "").read_only()] {
        tools = tools.tool(tool, async |args: Add| args.a);
    }
    let mut manifest = none();
    manifest.host.max_concurrency = 1;
    let loader = Loader::new(manifest)
        .provider(tools)
        .hook(Asked(person.clone()));
    loader.load().await.unwrap()
}

fn numbered(tool: &str, number: i64) -> ToolCall {
    call(tool, json!({ "a": number, "b": 0 }))
}

fn of_number(number: i64) -> String {
    json!({ "a": number, "b": 0 }).to_string()
}

#[tokio::test]
async fn somebody_is_asked_about_one_call_after_the_other_in_their_order() {
    let person = Arc::new(Person::default());
    let host = asking(&person).await;
    let calls = [("change", 0), ("look", 1), ("change", 2), ("change", 3)];
    let mut batch = host.run(calls.map(|(tool, number)| numbered(tool, number)));
    // What nobody is asked about does not wait.
    assert_eq!(batch.next().await.unwrap().0, 1);
    for (answered, number) in [0, 2, 3].into_iter().enumerate() {
        while person.asked.lock().unwrap().len() <= answered {
            tokio::task::yield_now().await;
        }
        person.says_yes.0.add_permits(1);
        let (index, result) = batch.next().await.unwrap();
        assert_eq!((index as i64, text(&result)), (number, number.to_string()));
        let expected = [0, 2, 3][..=answered].iter().copied().map(of_number);
        let asked = person.asked.lock().unwrap()[..=answered].to_vec();
        assert_eq!(asked, expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn nobody_is_asked_about_a_call_that_was_given_up_before_its_turn() {
    let person = Arc::new(Person::default());
    let host = asking(&person).await;
    let stop = CancellationToken::new();
    let stopped = CallOptions::new().cancellation(stop.clone());
    let plain = CallOptions::new();
    let first = host.call_with(numbered("change", 0), &plain);
    let second = host.call_with(numbered("change", 1), &stopped);
    let third = host.call_with(numbered("change", 2), &plain);
    let cancels = async {
        while person.asked.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        person.says_yes.0.add_permits(2);
    };
    // Polled in another order than they were made in.
    let (third, second, first, ()) = tokio::join!(third, second, first, cancels);
    assert_eq!(
        (text(&first), text(&third)),
        ("0".to_owned(), "2".to_owned())
    );
    assert_eq!(error(&second), &CallError::Cancelled);
    assert_eq!(*person.asked.lock().unwrap(), [of_number(0), of_number(2)]);
}

#[tokio::test]
async fn what_a_tool_says_of_its_failure_is_bounded_as_its_output_is() {
    let mut limits = Limits::default();
    limits.max_output = ByteSize::kib(1);
    let tools = NativeTools::new("mine").limits(limits).tool_with_schema(
        Tool::new("fail", ""),
        json!({ "type": "object" }),
        async |given: Value| {
            let length = given["length"].as_u64().unwrap_or_default();
            Err::<String, _>("x".repeat(length as usize))
        },
    );
    let host = host(tools).await;
    let fail = async |length: u64| host.call(call("fail", json!({ "length": length }))).await;
    assert_eq!(error(&fail(1000).await).code(), "failed");
    let long = fail(100_000).await;
    assert_eq!(error(&long).code(), "limit", "{long:?}");
}

#[tokio::test]
async fn a_bounded_queue_is_bounded_with_hooks_as_well() {
    let tools = NativeTools::new("mine").tool(Tool::new("wait", ""), async |_: Nothing| "waited");
    let mut manifest = none();
    manifest.host.max_concurrency = 2;
    manifest.host.max_queue = Some(3);
    let (noting, loader) = noted(manifest, tools);
    let host = loader.load().await.unwrap();
    // Without end.
    let calls = std::iter::repeat_with(|| call("wait", json!({})));
    let mut batch = host.run(calls.take(10));
    let mut refused = 0;
    while refused < 5 {
        let (_, result) = batch.next().await.unwrap();
        assert_eq!(error(&result).code(), "limit", "{result:?}");
        refused += 1;
    }
    noting.may_run.0.add_permits(5);
    let rest: Vec<_> = batch.collect().await;
    assert_eq!(rest.len(), 5);
    for (_, result) in rest {
        assert_eq!(text(&result), "waited");
    }
}

#[tokio::test]
async fn options_narrow_a_deadline_and_never_widen_it() {
    let mut limits = Limits::default();
    limits.timeout = Duration::from_millis(200);
    let tools = NativeTools::new("mine")
        .limits(limits)
        .tool(Tool::new("hang", ""), async |_: Nothing| {
            pending::<()>().await
        });
    let host = Loader::new(manifest([plugin("misbehave")]))
        .provider(tools)
        .load()
        .await
        .unwrap();
    let after = |result: &ToolResult| match error(result) {
        CallError::Timeout { after } => *after,
        other => panic!("{other:?}"),
    };
    for (asked, given) in [(20, 20), (10_000, 200)] {
        let options = CallOptions::new().timeout(Duration::from_millis(asked));
        let result = host.call_with(call("hang", json!({})), &options).await;
        assert_eq!(after(&result), Duration::from_millis(given));
    }
    let options = CallOptions::new().timeout(Duration::from_millis(20));
    // A guest that computes is stopped as well, alone and in batches.
    let spin = || call("spin", json!({}));
    let result = host.call_with(spin(), &options).await;
    assert_eq!(after(&result), Duration::from_millis(20));
    for result in host.run_all_with([spin(), spin()], options).await {
        assert_eq!(after(&result), Duration::from_millis(20));
    }
}

#[tokio::test]
async fn one_token_ends_batches_and_calls_and_a_batch_ends_itself_only() {
    let tools = NativeTools::new("mine").tool(Tool::new("hang", ""), async |_: Nothing| {
        pending::<()>().await
    });
    let host = host(tools).await;
    let token = CancellationToken::new();
    let options = CallOptions::new().cancellation(token.clone());
    let hang = || call("hang", json!({}));

    let batch = host.run_with([hang()], options.clone());
    batch.cancel();
    assert_eq!(
        error(&batch.collect_in_order().await[0]).code(),
        "cancelled"
    );
    assert!(!token.is_cancelled());

    let batch = host.run_with([hang(), hang()], options.clone());
    let mut open = host.open_batch_with(options.clone());
    open.add(7, hang());
    let all = host.run_all_with([hang()], options.clone());
    let one = host.call_with(hang(), &options);
    token.cancel();
    assert_eq!(error(&one.await), &CallError::Cancelled);
    for result in batch.collect_in_order().await.into_iter().chain(all.await) {
        assert_eq!(error(&result), &CallError::Cancelled);
    }
    // An open batch is a stream.
    let rest: Vec<_> = (&mut open).collect().await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].0, 7);
    open.add(8, hang());
    assert_eq!(error(&open.next().await.unwrap().1), &CallError::Cancelled);
}
