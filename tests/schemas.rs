//! Schemas of strangers that are dear to hold values against: calls end on time, and cost nobody else any.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolhost::error::Limit;
use toolhost::{
    CallError, CallOptions, CancellationToken, Manifest, ToolCall, ToolHost, ToolResult,
};

use crate::common::binary::{Folder, json_lines, listed};
use crate::common::{call, dear, echo, error, text, try_load};
use toolhost_testing::needs;

/// A host of the dear tools, and of `echo` beside them.
struct Dear {
    host: ToolHost,
    _folder: Folder,
}

impl Dear {
    async fn new(timeout: Duration) -> Dear {
        Dear::with(&dear::tools(), |manifest| {
            manifest.mcp[0].limits.timeout = timeout;
        })
        .await
    }

    async fn with(tools: &[Value], change: impl FnOnce(&mut Manifest)) -> Dear {
        let folder = Folder::empty();
        let section = dear::section(&folder, tools, "") + &listed("echo");
        let mut manifest = Manifest::read(folder.write("toolhost.toml", section)).unwrap();
        change(&mut manifest);
        let host = try_load(manifest).await;
        Dear {
            host: host.unwrap_or_else(|error| panic!("{error}")),
            _folder: folder,
        }
    }

    async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        self.host.call(call(tool, arguments)).await
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// More than anything here takes that comes to its end.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_endless_check_ends_with_its_calls_time() {
    needs!(python);
    let dear = Dear::new(SECOND).await;
    let result = dear.call("endless", dear::endless()).await;
    assert_eq!(*error(&result), CallError::Timeout { after: SECOND });
    assert!(result.usage.run >= SECOND);
    // What it computed is known, and it was its call that did.
    assert!(result.usage.cpu > Duration::ZERO, "{:?}", result.usage);
    let result = dear
        .call("answers", json!({ "answer": dear::endless() }))
        .await;
    assert_eq!(*error(&result), CallError::Timeout { after: SECOND });
    let arguments = json!({ "v": dear::text(4_000_000) });
    let result = dear.call("thrashing", arguments).await;
    assert_eq!(*error(&result), CallError::Timeout { after: SECOND });
}

#[tokio::test]
async fn an_endless_check_ends_at_the_cpu_that_its_call_may_take() {
    needs!(python);
    let budget = Duration::from_millis(100);
    let dear = Dear::with(&dear::tools(), |manifest| {
        manifest.mcp[0].limits.timeout = LONG;
        manifest.mcp[0].limits.cpu = Some(budget);
    })
    .await;
    let result = dear.call("endless", dear::endless()).await;
    let expected = CallError::Limit {
        limit: Limit::Cpu,
        bound: budget.into(),
    };
    assert_eq!(*error(&result), expected);
    assert!(result.usage.cpu >= budget, "{:?}", result.usage);
    assert!(result.usage.run < LONG / 2, "{:?}", result.usage);
}

#[tokio::test]
async fn an_endless_check_ends_when_its_call_is_cancelled_or_dropped() {
    needs!(python);
    let dear = Dear::new(LONG).await;
    let token = CancellationToken::new();
    let options = CallOptions::new().cancellation(token.clone());
    let running = dear
        .host
        .call_with(call("endless", dear::endless()), &options);
    let cancel = async {
        // It runs when others have.
        for number in 0..20 {
            text(&dear.host.call(echo(number, "a")).await);
        }
        token.cancel();
    };
    let (result, ()) = tokio::join!(running, cancel);
    assert_eq!(*error(&result), CallError::Cancelled);
    // As many as could compute are dropped; what comes then has its turn.
    for _ in 0..2 * dear::processors() {
        let running = dear.call("endless", dear::endless());
        assert!(
            tokio::time::timeout(Duration::from_millis(20), running)
                .await
                .is_err()
        );
    }
    let result = dear
        .call("unique", json!({ "v": dear::brackets(5_000) }))
        .await;
    assert_eq!(text(&result), "called");
}

#[tokio::test]
async fn expensive_schema_checks_leave_other_calls_their_cpu_time() {
    needs!(python);
    let dear = Dear::new(SECOND).await;
    let count = 2 * dear::processors();
    let calls = (0..count).map(|_| call("endless", dear::endless()));
    let is_over = Cell::new(false);
    let running = async {
        let results = dear.host.run_all(calls).await;
        is_over.set(true);
        results
    };
    let others = async {
        let mut healthy = 0;
        while !is_over.get() {
            assert_eq!(text(&dear.host.call(echo("e", "hello")).await), "hello");
            // With a pattern of its own.
            let result = dear.call("healthy", json!({ "v": "abc" })).await;
            assert_eq!(text(&result), "called");
            healthy += 1;
        }
        healthy
    };
    let (ended, healthy) = tokio::join!(running, others);
    assert!(healthy > 10, "{healthy}");
    for result in ended {
        assert_eq!(*error(&result), CallError::Timeout { after: SECOND });
    }
}

#[tokio::test]
async fn what_was_dear_is_answered_at_once() {
    needs!(python);
    let dear = Dear::new(LONG).await;
    let begun = Instant::now();
    let long = "n".repeat(1 << 20);
    for (tool, arguments, is_valid) in [
        ("look_around", json!({ "v": "a".repeat(100_000) }), true),
        (
            "negated",
            json!({ "v": (0..4_000).collect::<Vec<_>>() }),
            false,
        ),
        ("negated", json!({ "v": [-1, "a"] }), true),
        ("alternatives", json!({ "v": vec!["x"; 400] }), false),
        ("unique", json!({ "v": dear::brackets(30_000) }), true),
        (
            "thrashing",
            json!({ "v": dear::text(999) + "a" + &dear::text(1_000) }),
            true,
        ),
        // Errors for each of many items, each with a path of a megabyte.
        ("strings", json!({ long: vec![1; 100_000] }), false),
        ("strings", json!({ "a": vec![1; 1_000_000] }), false),
        ("names", json!({ "c".repeat(1 << 20): 1 }), false),
    ] {
        let result = dear.call(tool, arguments).await;
        match is_valid {
            true => assert_eq!(text(&result), "called", "{tool}"),
            false => {
                let CallError::InvalidArguments { problems } = error(&result) else {
                    panic!("{tool}: {:?}", result.outcome);
                };
                assert!((1..=5).contains(&problems.len()), "{tool}");
                let longest = problems.iter().map(|it| it.message.len()).max();
                assert!(longest < Some(4_000), "{tool}");
            }
        }
    }
    // The first of them took as long as this for a hundredth of its text.
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn schema_that_would_exhaust_memory_is_refused_and_siblings_stay() {
    needs!(python);
    let mut tools = dear::tools();
    for (name, schema) in dear::bombs() {
        let mut schema = schema;
        schema["type"] = json!("object");
        tools.push(json!({ "name": name, "description": "x", "inputSchema": schema }));
    }
    let dear = Dear::with(&tools, |_| {}).await;
    let left_out: Vec<_> = dear.host.left_out().map(|(_, it)| it).collect();
    for (name, _) in dear::bombs() {
        let found = left_out.iter().find(|it| it.tool == name);
        let why = &found.unwrap_or_else(|| panic!("{name} is offered")).why;
        assert!(why.contains("when compiled"), "{name}: {why}");
    }
    assert_eq!(
        text(&dear.call("healthy", json!({ "v": "a" })).await),
        "called"
    );
}

#[tokio::test]
async fn a_pattern_with_look_around_is_shown_and_not_enforced() {
    needs!(python);
    let dear = Dear::new(LONG).await;
    let shown = dear.host.tool("look_around").unwrap();
    assert_eq!(
        shown.input_schema["properties"]["v"]["pattern"],
        dear::LOOK_AROUND
    );
    // What it says beside the pattern holds.
    let result = dear.call("look_around", json!({ "v": ["b"] })).await;
    assert_eq!(error(&result).code(), "invalid-arguments");
    assert_eq!(
        text(&dear.call("look_around", json!({ "v": "xyz" })).await),
        "called"
    );
    let unenforced: Vec<_> = dear.host.unenforced().collect();
    let [(tool, why)] = &unenforced[..] else {
        panic!("{unenforced:?}");
    };
    assert_eq!(tool.name, "look_around");
    assert!(why.contains("/properties/v/pattern"), "{why}");
    // Others are.
    let result = dear.call("healthy", json!({ "v": "A" })).await;
    let CallError::InvalidArguments { problems } = error(&result) else {
        panic!("{:?}", result.outcome);
    };
    assert_eq!(problems[0].pointer, "/v");
    assert_eq!(problems[0].message, r#"value does not match "^[a-z]+$""#);
}

/// A folder with the dear server, and `echo`.
fn folder() -> Folder {
    let folder = Folder::empty();
    let section = dear::section(&folder, &dear::tools(), "timeout = '1s'") + &listed("echo");
    folder.write("toolhost.toml", section);
    folder
}

#[test]
fn through_the_binary_dear_checks_cost_their_own_calls_only() {
    needs!(python);
    let many: Vec<usize> = (0..4_000).collect();
    let mut calls = vec![
        // Too long to be checked before it waits, and soon checked all the same.
        ("look", "look_around", json!({ "v": "a".repeat(100_000) })),
        ("not", "negated", json!({ "v": many })),
        ("fine", "echo", json!({ "text": "hello" })),
    ];
    for _ in 0..dear::processors() {
        calls.push(("endless", "endless", dear::endless()));
    }
    let input = json_lines(&calls);
    let results = folder().run(&["run"], input).answered().lines();
    assert_eq!(results.len(), calls.len());
    for result in results {
        let code = &result["error"]["code"];
        match result["id"].as_str().unwrap() {
            "look" | "fine" => assert_eq!(*code, Value::Null, "{result}"),
            "not" => assert_eq!(*code, "invalid-arguments", "{result}"),
            _ => assert_eq!(*code, "timeout", "{result}"),
        }
    }
}

#[test]
fn check_names_each_pattern_that_is_not_enforced() {
    needs!(python);
    let folder = folder();
    let checked = folder.run(&["check", "--start-servers"], "").answered();
    let said = checked.stdout;
    let line = said
        .lines()
        .find(|line| line.contains("/properties/v/pattern"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("warning: `look_around`"), "{line}");
    assert!(line.contains("(?![^b]*b)"), "{line}");
}

#[tokio::test]
async fn what_is_checked_in_its_turn_is_repaired_and_planned_as_ever() {
    needs!(python);
    let dear = Dear::new(LONG).await;
    // Too long to be checked before it waits.
    let padding = "a".repeat(100_000);
    let written = json!({ "v": "abc" , "padding": padding }).to_string();
    let written = format!("```json\n{written}\n```");
    let planned = dear.host.plan(&ToolCall::new("id", "healthy", &*written));
    assert_eq!(planned.unwrap().repairs.len(), 1);
    let result = dear
        .host
        .call(ToolCall::new("id", "healthy", written))
        .await;
    assert_eq!(text(&result), "called");
    assert_eq!(result.repairs.len(), 1);
    let wrong = json!({ "v": 5, "padding": padding, "x": [] });
    let result = dear.call("healthy", wrong).await;
    assert_eq!(result.repairs.len(), 0);
    assert_eq!(error(&result).code(), "invalid-arguments");
}
