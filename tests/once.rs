//! Idempotency keys: a call that is made again has the first call's result, and runs no second time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use toolhost::input::{QuestionKind, QuestionKinds, Reply, Resumption};
use toolhost::permissions::{Access, FileGrant};
use toolhost::{
    CallError, CallOptions, CancellationToken, Decision, Hook, Loader, Manifest, Narrowing,
    NativeContext, NativeTools, Tool, ToolCall, ToolHost, ToolResult,
};

use crate::common::{call, error, load, manifest, plugin, text};

/// A host whose tools count how often they ran; `wait` does so until it is let go.
struct Counted {
    host: ToolHost,
    runs: Arc<AtomicUsize>,
    go: Arc<Semaphore>,
}

async fn counted(loader: Loader) -> Counted {
    let (runs, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let schema = || json!({ "type": "object", "properties": { "a": { "type": "integer" } } });
    let count = {
        let runs = runs.clone();
        move || runs.fetch_add(1, Ordering::SeqCst) + 1
    };
    let (pay, fail, wait, let_go) = (count.clone(), count.clone(), count, go.clone());
    let tools = NativeTools::new("bank")
        .tool_with_schema(
            Tool::new("pay", "Pays").additive(),
            schema(),
            move |_: Value, context: NativeContext| {
                let run = pay();
                async move { format!("{run} {:?}", context.idempotency_key()) }
            },
        )
        .tool_with_schema(
            Tool::new("fail", "Fails").additive(),
            schema(),
            move |_: Value| {
                let run = fail();
                async move { Err::<String, _>(format!("it failed the {run}. time")) }
            },
        )
        .tool_with_schema(
            Tool::new("wait", "Waits").read_only(),
            schema(),
            move |_: Value| {
                let (run, go) = (wait(), let_go.clone());
                async move {
                    go.acquire().await.unwrap().forget();
                    run.to_string()
                }
            },
        );
    let host = loader.provider(tools).load().await.unwrap();
    Counted { host, runs, go }
}

async fn bank() -> Counted {
    counted(Loader::new(Manifest::default())).await
}

impl Counted {
    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    async fn call(&self, tool: &str, arguments: Value, options: &CallOptions) -> ToolResult {
        self.host.call_with(call(tool, arguments), options).await
    }
}

fn key(key: &str) -> CallOptions {
    CallOptions::new().idempotency_key(key)
}

#[track_caller]
fn misfit(result: &ToolResult) -> &str {
    match error(result) {
        CallError::InvalidOptions { message } => message,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_same_key_has_the_first_result_and_another_runs() {
    let bank = bank().await;
    let first = bank.call("pay", json!({ "a": 1 }), &key("k")).await;
    assert_eq!(text(&first), r#"1 Some("k")"#);
    let mut again = ToolCall::new("another id", "pay", r#" {"a" : 1} "#);
    again.name = "functions.pay".to_owned();
    let again = bank.host.call_with(again, &key("k")).await;
    assert_eq!(text(&again), text(&first));
    assert_eq!(again.id.as_deref(), Some("another id"));
    assert_eq!(again.usage.run, Duration::ZERO);
    assert_eq!(
        text(&bank.call("pay", json!({ "a": 1 }), &key("l")).await),
        r#"2 Some("l")"#
    );
    assert_eq!(
        text(
            &bank
                .call("pay", json!({ "a": 1 }), &CallOptions::new())
                .await
        ),
        "3 None"
    );
    assert_eq!(bank.runs(), 3);
}

/// Whose they are is not known, and nobody may have the result of another's call.
#[tokio::test]
async fn narrowed_calls_need_a_client_to_have_a_key() {
    let bank = bank().await;
    let narrowing = |name: &str| Narrowing::new().folder("bank", "/home", name);
    let narrow = |narrowing| bank.host.narrow(narrowing).unwrap();
    let nobodys = key("k").narrowed(&narrow(narrowing("/home/a")));
    let refused = bank.call("pay", json!({}), &nobodys).await;
    assert!(
        misfit(&refused).contains("Narrowing::client"),
        "{refused:?}"
    );
    let alice = narrow(narrowing("/home/a").client("alice"));
    text(
        &bank
            .call("pay", json!({}), &key("k").narrowed(&alice))
            .await,
    );
    text(&bank.call("pay", json!({}), &nobodys.client("bob")).await);
    assert_eq!(bank.runs(), 2);
}

#[tokio::test]
async fn a_key_is_of_one_call_and_one_client() {
    let bank = bank().await;
    bank.call("pay", json!({ "a": 1 }), &key("k")).await;
    for (tool, arguments) in [
        ("pay", json!({ "a": 2 })),
        ("pay", json!({})),
        ("fail", json!({ "a": 1 })),
    ] {
        let other = bank.call(tool, arguments, &key("k")).await;
        assert!(misfit(&other).contains("use a new key"), "{other:?}");
    }
    for client in ["alice", "bob"] {
        let options = key("k").client(client);
        text(&bank.call("pay", json!({ "a": 2 }), &options).await);
    }
    assert_eq!(bank.runs(), 3);
    for bad in ["", &"x".repeat(256)] {
        misfit(&bank.call("pay", json!({}), &key(bad)).await);
    }
}

#[tokio::test]
async fn a_failure_that_ran_is_kept_and_one_that_did_not_run_is_not() {
    let bank = bank().await;
    for _ in 0..2 {
        let failed = bank.call("fail", json!({}), &key("k")).await;
        assert_eq!(error(&failed).to_string(), "it failed the 1. time");
    }
    let invalid = bank.call("pay", json!({ "a": [] }), &key("l")).await;
    assert!(
        matches!(error(&invalid), CallError::InvalidArguments { .. }),
        "{invalid:?}"
    );
    text(&bank.call("pay", json!({ "a": 1 }), &key("l")).await);
    let stop = CancellationToken::new();
    stop.cancel();
    let cancelled = bank
        .call("pay", json!({}), &key("m").cancellation(stop))
        .await;
    assert!(
        matches!(error(&cancelled), CallError::Cancelled),
        "{cancelled:?}"
    );
    text(&bank.call("pay", json!({}), &key("m")).await);
    let unknown = bank.call("pray", json!({}), &key("n")).await;
    assert!(
        matches!(error(&unknown), CallError::UnknownTool { .. }),
        "{unknown:?}"
    );
    text(&bank.call("pay", json!({}), &key("n")).await);
}

#[tokio::test]
async fn while_it_runs_the_second_waits_for_the_same_result() {
    let bank = bank().await;
    let options = key("k");
    let first = bank.call("wait", json!({}), &options);
    let second = bank.call("wait", json!({}), &options);
    // One gives up, and the other goes on.
    let third = bank.call("wait", json!({}), &options);
    let both = join(first, second);
    tokio::pin!(both);
    {
        let third = Box::pin(third);
        tokio::select! {
            biased;
            _ = &mut both => panic!("it waits"),
            _ = third => panic!("it waits"),
            () = tokio::task::yield_now() => {}
        }
    }
    bank.go.add_permits(1);
    let (first, second) = both.await;
    assert_eq!([text(&first), text(&second)], ["1", "1"]);
    assert_eq!(bank.runs(), 1);
}

#[tokio::test]
async fn a_call_that_was_dropped_in_the_middle_has_run() {
    let bank = bank().await;
    let options = key("k");
    let mut dropped = Box::pin(bank.call("wait", json!({}), &options));
    while bank.runs() == 0 {
        tokio::select! {
            biased;
            _ = &mut dropped => panic!("it waits"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(dropped);
    let again = bank.call("wait", json!({}), &key("k")).await;
    assert!(matches!(error(&again), CallError::Cancelled), "{again:?}");
    assert_eq!(bank.runs(), 1);
    // One that was never polled has not.
    drop(bank.host.call_with(call("pay", json!({})), &key("l")));
    text(&bank.call("pay", json!({}), &key("l")).await);
}

#[tokio::test]
async fn in_a_batch_each_call_has_a_key_of_its_own() {
    let bank = bank().await;
    let calls = || {
        let pay = |id: Option<&str>| call("pay", json!({ "a": 1 })).with_id(id.map(str::to_owned));
        [pay(Some("a")), pay(Some("b")), pay(None)]
    };
    let texts = async |results: Vec<ToolResult>| {
        let mut texts: Vec<String> = results.iter().map(text).collect();
        texts.iter_mut().for_each(|it| *it = it.split_off(2));
        texts
    };
    let expected = [r#"Some("k/a")"#, r#"Some("k/b")"#, r#"Some("k/2")"#];
    let first = bank.host.run_all_with(calls(), key("k")).await;
    assert_eq!(texts(first).await, expected);
    let again = bank.host.run_all_with(calls(), key("k")).await;
    assert_eq!(texts(again).await, expected);
    let stream = bank.host.run_with(calls(), key("k"));
    assert_eq!(stream.count().await, 3);
    let mut open = bank.host.open_batch_with(key("k"));
    for (number, call) in calls().into_iter().enumerate() {
        open.add(number, call);
    }
    while let Some((_, result)) = open.next().await {
        text(&result);
    }
    assert_eq!(bank.runs(), 3);
}

#[tokio::test]
async fn a_call_that_is_made_again_with_replies_is_the_same_call() {
    let folder = tempfile::tempdir().unwrap();
    let mut asks = plugin("conformance");
    let grant = FileGrant::new(folder.path(), "/w").with_access(Access::ReadWrite);
    asks.permissions.files = vec![grant];
    let host = load(manifest([asks])).await;
    let kinds = QuestionKinds::default().with(QuestionKind::Form);
    let options = key("k").advertise(kinds);
    let ask = || call("ask_and_count", json!({ "file": "/w/runs" }));
    let runs = || std::fs::read_to_string(folder.path().join("runs")).unwrap();

    let asked = host.call_with(ask(), &options).await;
    let CallError::InputRequired(input) = error(&asked) else {
        panic!("{asked:?}");
    };
    let answer = |n: u32| {
        let reply = Reply::Accepted(Some(json!({ "n": n }).to_string()));
        let mut call = ask();
        let replies = vec![(input.questions[0].0.clone(), reply)];
        call.resumed = Some(Box::new(Resumption::new(&*input.state, replies)));
        call
    };
    assert_eq!(text(&host.call_with(answer(5), &options).await), "sum 5");
    assert_eq!(runs(), "run\nrun\n");
    for again in [answer(5), answer(7), ask()] {
        assert_eq!(text(&host.call_with(again, &options).await), "sum 5");
    }
    assert_eq!(runs(), "run\nrun\n");
}

/// Refuses what it is first asked for.
struct FirstNo(AtomicUsize);

impl Hook for FirstNo {
    fn before<'a>(&'a self, _: &'a ToolCall, _: &'a Tool) -> toolhost::BoxFuture<'a, Decision> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(match asked {
            0 => Decision::Refuse {
                why: "not yet".to_owned(),
            },
            _ => Decision::Run,
        }))
    }
}

#[tokio::test]
async fn what_a_hook_refused_has_not_run_and_a_repeat_asks_nobody() {
    let bank = counted(Loader::new(Manifest::default()).hook(FirstNo(AtomicUsize::new(0)))).await;
    let refused = bank.call("pay", json!({}), &key("k")).await;
    assert!(
        matches!(error(&refused), CallError::Denied { .. }),
        "{refused:?}"
    );
    for _ in 0..3 {
        assert_eq!(
            text(&bank.call("pay", json!({}), &key("k")).await),
            r#"1 Some("k")"#
        );
    }
}
