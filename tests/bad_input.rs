//! Bad input to survive: files that are no plugins, plugins that cannot be loaded, arguments and
//! answers of every wrong kind, guests that misbehave, and responses that are none. Where it is
//! about one call, healthy ones stand beside it and answer.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use toolhost::error::{Diagnostic, Limit};
use toolhost::limits::ByteSize;
use toolhost::manifest::PluginConfig;
use toolhost::wire::{self, DecodeError, Format};
use toolhost::{CallError, LoadError, ToolCall, ToolHost};

use crate::common::binary::{Folder, json_lines, listed};
use crate::common::{self, echo, error, guest, load, manifest, root, text, try_load};

// Files that are no plugins

/// What is wrong with one plugin.
async fn refused(plugin: PluginConfig) -> Diagnostic {
    let path = plugin.path.clone();
    match try_load(manifest([plugin])).await {
        Err(LoadError::Invalid(mut problems)) => {
            assert_eq!(problems.len(), 1, "{problems:?}");
            let problem = problems.remove(0);
            assert_eq!(problem.file, path);
            problem
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{} loads", path.display()),
    }
}

/// What is wrong with a file of these contents.
async fn refused_file(contents: impl AsRef<[u8]>) -> String {
    let folder = Folder::empty();
    let path = folder.write("plugin.wasm", contents);
    refused(PluginConfig::new("plugin", path)).await.message
}

#[tokio::test]
async fn a_core_module_is_called_one() {
    let module = wat::parse_str("(module (memory 1) (func (export \"run\")))").unwrap();
    let message = refused_file(module).await;
    assert!(message.contains("core module"), "{message}");
}

#[tokio::test]
async fn text_even_of_a_component_is_not_one() {
    for contents in ["just text", "(component)", "(module)", "\u{feff}\0asm"] {
        let message = refused_file(contents).await;
        assert!(message.contains("not a component"), "{contents}: {message}");
    }
}

#[tokio::test]
async fn an_empty_file_is_no_component() {
    let message = refused_file("").await;
    assert!(message.contains("0 bytes"), "{message}");
    let message = refused_file("\0asm").await;
    assert!(message.contains("4 bytes"), "{message}");
}

#[tokio::test]
async fn a_component_of_an_unknown_binary_version_is_refused() {
    let message = refused_file(b"\0asm\x63\0\x01\0").await;
    assert!(message.contains("not a valid component"), "{message}");
    let message = refused_file(b"\0asm\x0d\0\x63\0").await;
    assert!(message.contains("not a"), "{message}");
}

#[tokio::test]
async fn a_component_that_holds_nothing_is_no_plugin() {
    let message = refused_file(wat::parse_str("(component)").unwrap()).await;
    assert!(message.contains("exports nothing"), "{message}");
}

#[tokio::test]
async fn a_truncated_component_is_refused_wherever_it_is_cut() {
    let folder = Folder::empty();
    let whole = std::fs::read(guest("echo")).unwrap();
    // The code is over where only the custom sections of the tool chain are left.
    let cuts: Vec<usize> = (0..whole.len() * 9 / 10).step_by(97).collect();
    let plugins = cuts.iter().map(|&cut| {
        let path = folder.write(format!("cut-{cut:06}.wasm"), &whole[..cut]);
        PluginConfig::new(format!("cut-{cut:06}"), path)
    });
    let plugins: Vec<PluginConfig> = plugins.collect();
    let files: Vec<PathBuf> = plugins.iter().map(|plugin| plugin.path.clone()).collect();
    let Err(LoadError::Invalid(problems)) = try_load(manifest(plugins)).await else {
        panic!("something of it loads");
    };
    let found: Vec<PathBuf> = problems
        .iter()
        .map(|problem| problem.file.clone())
        .collect();
    assert_eq!(found, files);
}

#[tokio::test]
async fn a_component_with_broken_bytes_never_panics_the_host() {
    let folder = Folder::empty();
    let whole = std::fs::read(guest("echo")).unwrap();
    let mut random = Random(7);
    for number in 0..40 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        let path = folder.write(format!("{number}.wasm"), bytes);
        let mut plugin = PluginConfig::new("broken", path);
        plugin.limits.timeout = Duration::from_secs(2);
        if let Err(error) = try_load(manifest([plugin])).await {
            assert!(matches!(error, LoadError::Invalid(_)), "{error}");
            assert!(!error.to_string().contains("panic"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_gibibyte_of_zeros_is_refused_by_its_size() {
    let folder = Folder::empty();
    let path = folder.path().join("zeros.wasm");
    File::create(&path).unwrap().set_len(1 << 30).unwrap();
    let message = refused(PluginConfig::new("zeros", &path)).await.message;
    assert!(message.contains("max-component"), "{message}");
    // And where the limit is higher, for what it is.
    let mut plugin = PluginConfig::new("zeros", &path);
    plugin.limits.max_component = ByteSize::gib(2);
    let message = refused(plugin).await.message;
    assert!(message.contains("not WebAssembly"), "{message}");
}

#[tokio::test]
async fn what_is_no_file_is_refused() {
    let folder = Folder::empty();
    let message = refused(PluginConfig::new("folder", folder.path()))
        .await
        .message;
    assert!(message.contains("not a file"), "{message}");
    let missing = folder.path().join("none.wasm");
    let message = refused(PluginConfig::new("missing", missing)).await.message;
    assert!(message.contains("cannot be read"), "{message}");
    let device = refused(PluginConfig::new("device", "/dev/zero"))
        .await
        .message;
    assert!(device.contains("not a file"), "{device}");
}

// Components that are no plugins of this host

#[tokio::test]
async fn a_component_without_the_world_says_what_it_should_export() {
    let message = refused(common::plugin("no-world")).await.message;
    for words in ["toolhost:plugin/tools@0.1.0", "example:thing/api"] {
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn a_plugin_of_another_version_names_both() {
    let message = refused(common::plugin("other-version")).await.message;
    for words in ["0.9.0", "0.1.0"] {
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn an_import_that_the_host_does_not_offer_is_named() {
    let message = refused(common::plugin("strange-import")).await.message;
    assert!(message.contains("acme:cloud/storage@1.2.3"), "{message}");
    assert!(!message.contains("wasi:"), "{message}");
}

#[tokio::test]
async fn an_import_of_another_wasi_is_named() {
    for import in [
        "wasi:cli/environment@0.1.0",
        "wasi:gpu/draw@0.2.0",
        "anything",
    ] {
        let component = format!(
            r#"(component (import "{import}" (instance $i))
                (instance $tools) (export "toolhost:plugin/tools@0.1.0" (instance $tools)))"#
        );
        let message = refused_file(wat::parse_str(component).unwrap()).await;
        assert!(message.contains(import), "{message}");
    }
}

#[tokio::test]
async fn an_export_of_the_right_name_and_another_shape_is_refused() {
    let component = r#"(component
        (instance $tools) (export "toolhost:plugin/tools@0.1.0" (instance $tools)))"#;
    let message = refused_file(wat::parse_str(component).unwrap()).await;
    assert!(message.contains("does not fit this host"), "{message}");
}

// Listings

#[tokio::test]
async fn a_listing_that_spins_meets_its_deadline() {
    let mut plugin = common::plugin("listing-spins");
    plugin.limits.timeout = Duration::from_millis(200);
    let message = refused(plugin).await.message;
    assert!(message.contains("list-tools"), "{message}");
    assert!(message.contains("timed out after 200 ms"), "{message}");
}

#[tokio::test]
async fn a_listing_that_traps_says_how() {
    let message = refused(common::plugin("listing-traps")).await.message;
    assert!(message.contains("list-tools"), "{message}");
    assert!(message.contains("unreachable"), "{message}");
}

#[tokio::test]
async fn every_bad_listing_is_refused_for_what_is_wrong_with_it() {
    for (name, words) in [
        ("listing-many", &["10000 tools", "1000"][..]),
        ("listing-empty", &["no tools"]),
        ("listing-bad-schema", &["`bad_schema`", "not JSON"]),
        (
            "listing-not-object-schema",
            &["`no_schema`", "not a valid JSON Schema"],
        ),
        (
            "listing-remote-ref",
            &["`remote_ref`", "https://example.com/schema.json"],
        ),
        ("listing-huge-schema", &["`huge_schema`", "bytes"]),
        ("listing-duplicate", &["two tools named `twice`"]),
        (
            "listing-illegal-name",
            &["bad name!", "[A-Za-z0-9_-]{1,64}"],
        ),
        (
            "listing-long-template",
            &["template named \"dear\"", "10000 bytes", "2048"],
        ),
        (
            "listing-dear-template",
            &["template named \"dear\"", "500 variables", "16"],
        ),
        ("listing-duplicate-prompt", &["two prompts named `twice`"]),
    ] {
        let message = refused(common::plugin(name)).await.message;
        for words in words {
            assert!(message.contains(words), "{name}: {message}");
        }
        assert!(message.len() < 2000, "{name}: {} bytes", message.len());
    }
}

#[tokio::test]
async fn a_listing_is_held_to_the_memory_of_a_call() {
    let mut plugin = common::plugin("listing-many");
    plugin.limits.memory = ByteSize::mib(2);
    let message = refused(plugin).await.message;
    assert!(
        message.contains("memory limit exceeded (2 MiB)"),
        "{message}"
    );
}

#[test]
fn through_the_binary_each_of_them_exits_1_and_says_why() {
    let mut guests: Vec<String> = std::fs::read_dir(root().join("tests/guests"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("listing-"))
        // Nothing is wrong with these.
        .filter(|name| !["listing-other", "listing-any-template"].contains(&&**name))
        .collect();
    guests.extend(["no-world", "other-version", "strange-import"].map(str::to_owned));
    assert!(guests.len() >= 13, "{guests:?}");
    for name in guests {
        let folder = Folder::with(format!("{}timeout = \"1s\"\n", listed(&name)));
        for command in ["check", "list", "run"] {
            let input = r#"{"name":"anything"}"#;
            folder
                .run(&[command], input)
                .failed(&format!("{name}.wasm: "));
        }
    }
}

// Arguments

/// The calls, each between two healthy ones that must answer.
async fn between_siblings(host: &ToolHost, calls: Vec<ToolCall>) -> Vec<toolhost::ToolResult> {
    let mut batch = vec![echo("first", "hello")];
    for call in calls {
        batch.push(call);
        batch.push(echo("sibling", "hello"));
    }
    let count = batch.len();
    let results = host.run_all(batch).await;
    assert_eq!(results.len(), count);
    let (siblings, bad): (Vec<_>, Vec<_>) = results
        .into_iter()
        .enumerate()
        .partition(|(index, _)| index % 2 == 0);
    for (_, sibling) in siblings {
        assert_eq!(text(&sibling), "hello");
    }
    bad.into_iter().map(|(_, result)| result).collect()
}

fn echo_with(arguments: impl Into<String>) -> ToolCall {
    ToolCall::new("bad", "echo", arguments)
}

#[tokio::test]
async fn arguments_that_are_no_object_of_json_are_their_calls_own_error() {
    let host = common::host(&["echo"]).await;
    let arguments = [
        "not json",
        "{",
        r#"{"text":"#,
        r#"{"text":"a"}}"#,
        r#"{"text":"a"} {"text":"b"}"#,
        r#"{'text':'a'}"#,
        r#"{"text":"a",}"#,
        r#"{"text":NaN}"#,
        "null",
        "[]",
        "42",
        r#""text""#,
        "true",
        "\u{feff}{}",
        // NUL as it is, in and around the text.
        "{\"text\":\"a\0b\"}",
        "\0",
        "{\"text\":\"a\"}\0",
        // Half of a surrogate pair.
        r#"{"text":"\ud800"}"#,
        r#"{"text":"\udc00\ud800"}"#,
        r#"{"\ud800":1,"text":"a"}"#,
    ];
    let calls = arguments.iter().copied().map(echo_with).collect();
    for (result, arguments) in between_siblings(&host, calls).await.iter().zip(arguments) {
        let CallError::InvalidArguments { problems } = error(result) else {
            panic!("{arguments:?}: {result:?}");
        };
        assert_eq!(problems.len(), 1, "{arguments:?}");
        assert_eq!(problems[0].pointer, "", "{arguments:?}");
        assert_eq!(result.usage.peak_memory, 0, "{arguments:?}");
    }
}

#[tokio::test]
async fn escaped_nul_and_whole_surrogate_pairs_are_text_like_any_other() {
    let host = common::host(&["echo"]).await;
    let calls = vec![
        echo_with(r#"{"text":"a\u0000b"}"#),
        echo_with(r#"{"text":"\ud83d\ude00"}"#),
        echo_with("\t {\"text\":\"a\"}\r\n"),
    ];
    let results = between_siblings(&host, calls).await;
    let texts: Vec<String> = results.iter().map(text).collect();
    assert_eq!(texts, ["a\0b", "😀", "a"]);
}

#[tokio::test]
async fn arguments_of_50_megabytes_are_over_a_limit() {
    let huge = || echo_with(json!({ "text": "x".repeat(50_000_000) }).to_string());
    let host = common::host(&["echo"]).await;
    let results = between_siblings(&host, vec![huge()]).await;
    let CallError::Limit { limit, bound } = error(&results[0]) else {
        panic!("{:?}", error(&results[0]));
    };
    assert_eq!((*limit, *bound), (Limit::Input, ByteSize::mib(4).into()));
    // Where the manifest lets them in, the sandbox still holds.
    let mut plugin = common::plugin("echo");
    plugin.limits.max_input = ByteSize::mib(64);
    plugin.limits.memory = ByteSize::mib(32);
    plugin.limits.timeout = Duration::from_secs(300);
    let host = load(manifest([plugin])).await;
    let results = between_siblings(&host, vec![huge()]).await;
    let CallError::Limit { limit, .. } = error(&results[0]) else {
        panic!("{:?}", error(&results[0]));
    };
    assert_eq!(*limit, Limit::Memory);
}

#[tokio::test]
async fn arguments_nested_100_000_deep_are_their_calls_own_error() {
    let host = common::host(&["echo", "misbehave"]).await;
    let mut calls = Vec::new();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        for arguments in [
            format!("{{\"text\":{open}1{close}}}"),
            format!("{open}1{close}"),
            format!("{{\"text\":{open}"),
        ] {
            calls.push(echo_with(&*arguments));
            calls.push(ToolCall::new("bad", "raw_arguments", arguments));
        }
    }
    for result in between_siblings(&host, calls).await {
        assert_eq!(error(&result).code(), "invalid-arguments");
    }
}

#[test]
fn through_the_binary_bad_arguments_cost_their_own_call_only() {
    let folder = Folder::of(&["echo"]);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_text = json!(format!("{{\"text\":{deep}}}")).to_string();
    let arguments = [
        // As the API has them: JSON in a string.
        (r#""not json""#, Some("invalid-arguments")),
        (r#""[1]""#, Some("invalid-arguments")),
        (r#""{\"text\":\"a\u0000b\"}""#, Some("invalid-arguments")),
        (r#""{\"text\":\"a\\u0000b\"}""#, None),
        (r#""{\"text\":\"\\ud800\"}""#, Some("invalid-arguments")),
        // Half a pair in the response itself, which no decoder takes.
        (r#""{\"text\":\"\ud800\"}""#, Some("invalid-arguments")),
        (r#""""#, Some("invalid-arguments")),
        ("null", Some("invalid-arguments")),
        ("5", Some("invalid-arguments")),
        (&deep, Some("invalid-arguments")),
        (&deep_text, Some("invalid-arguments")),
        (r#"{"text":[5]}"#, Some("invalid-arguments")),
        (r#"{"text":"fine"}"#, None),
    ];
    let calls: Vec<String> = arguments
        .iter()
        .map(|(arguments, _)| {
            format!(r#"{{"id":"x","function":{{"name":"echo","arguments":{arguments}}}}}"#)
        })
        .collect();
    let response = format!(
        r#"{{"role":"assistant","tool_calls":[{}]}}"#,
        calls.join(",")
    );
    let results = folder
        .run(&["run", "--full"], response)
        .answered()
        .results();
    assert_eq!(results.len(), arguments.len());
    for (result, (arguments, code)) in results.iter().zip(arguments) {
        let code = code.map_or(Value::Null, Value::from);
        assert_eq!(result["error"]["code"], code, "{:.80}: {result}", arguments);
    }
    assert_eq!(results[3]["content"], "a\0b");
}

#[test]
fn through_the_binary_50_megabytes_of_arguments_are_answered() {
    let folder = Folder::of(&["echo"]);
    let calls = json_lines(&[
        ("huge", "echo", json!({ "text": "x".repeat(50_000_000) })),
        ("fine", "echo", json!({ "text": "hello" })),
    ]);
    let results = folder.run(&["run"], calls).answered().lines();
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["error"]["code"], "limit");
    assert_eq!(results[1]["content"], "hello");
    assert!(results[0].to_string().len() < 1000);
}

// Names and ids

#[tokio::test]
async fn strange_names_and_ids_cost_their_own_call_only() {
    let host = common::host(&["echo"]).await;
    let long = "n".repeat(1_000_000);
    let names = ["", " ", "ECHO", "echo\0", "\u{202e}ohce", "../echo", &long];
    let calls = names
        .iter()
        .map(|name| ToolCall::new(&*long, *name, "{}"))
        .collect();
    for (result, name) in between_siblings(&host, calls).await.iter().zip(names) {
        assert_eq!(error(result).code(), "unknown-tool");
        assert_eq!(
            (result.name.as_str(), result.id.as_deref()),
            (name, Some(&*long))
        );
    }
}

// Answers

#[tokio::test]
async fn bad_answers_are_their_calls_own_error() {
    let host = common::host(&["echo", "misbehave"]).await;
    let call = |name: &str, arguments: Value| ToolCall::new("bad", name, arguments.to_string());
    let over = ByteSize::mib(1).as_u64() + 1;
    let calls = vec![
        call("bad_structured", json!({})),
        call("huge_output", json!({ "bytes": over })),
        call("huge_output", json!({ "bytes": 48 << 20 })),
        call("many_contents", json!({ "count": 3, "bytes": 400_000 })),
        call("many_contents", json!({ "count": 100_000, "bytes": 0 })),
    ];
    let results = between_siblings(&host, calls).await;
    let CallError::Failed { message } = error(&results[0]) else {
        panic!("{:?}", results[0]);
    };
    assert!(
        message.contains("structured output is not JSON"),
        "{message}"
    );
    for result in &results[1..] {
        let expected = CallError::Limit {
            limit: Limit::Output,
            bound: ByteSize::mib(1).into(),
        };
        assert_eq!(*error(result), expected);
        assert_eq!(result.usage.output_bytes, 0);
    }
}

// Guests that misbehave

#[test]
fn guests_that_misbehave_cost_their_own_call_only() {
    // The two that have to be stopped by the clock, in a plugin of their own: all others, and the
    // healthy calls, have all the time they need.
    let slow = listed("misbehave").replace("[plugin.misbehave]", "[plugin.slow]");
    let folder = Folder::with(format!(
        "{}{}{slow}prefix = \"slow_\"\ntimeout = \"300ms\"\ntools = [\"spin\", \"sleep\"]\n",
        listed("echo"),
        listed("misbehave"),
    ));
    let bad = [
        ("recurse", json!({}), "limit"),
        ("allocate", json!({}), "limit"),
        ("print", json!({}), "limit"),
        ("print_error", json!({}), "limit"),
        ("log_flood", json!({}), "limit"),
        ("huge_output", json!({ "bytes": 40 << 20 }), "limit"),
        ("trap", json!({}), "trap"),
        ("panic", json!({ "message": "oh no" }), "trap"),
        ("exit", json!({ "code": 0 }), "trap"),
        ("exit", json!({ "code": 1 }), "trap"),
        ("slow_spin", json!({}), "timeout"),
        ("slow_sleep", json!({ "ms": 3_600_000 }), "timeout"),
        ("fail", json!({ "message": "no" }), "failed"),
        ("refuse", json!({ "message": "no" }), "invalid-arguments"),
        ("deny", json!({ "what": "it" }), "denied"),
        ("read", json!({ "path": "/etc/passwd" }), "failed"),
    ];
    let mut calls = Vec::new();
    for (name, arguments, _) in &bad {
        calls.push(("bad", *name, arguments.clone()));
        calls.push(("good", "echo", json!({ "text": "hello" })));
    }
    let results = folder.run(&["run"], json_lines(&calls)).answered().lines();
    assert_eq!(results.len(), 2 * bad.len());
    for (pair, (name, _, code)) in results.chunks(2).zip(bad) {
        assert_eq!(pair[0]["error"]["code"], code, "{name}: {}", pair[0]);
        let content = pair[0]["content"].as_str().unwrap();
        assert!(content.starts_with(&format!("Error: {name} ")), "{content}");
        assert!(pair[0]["usage"]["run_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(pair[1]["content"], "hello", "beside {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_serves_on_after_every_kind_of_end() {
    let host = common::host(&["echo", "misbehave"]).await;
    for (name, code) in [
        ("trap", "trap"),
        ("recurse", "limit"),
        ("allocate", "limit"),
        ("print", "limit"),
    ] {
        // More often than the pool has instances.
        let calls = (0..24).map(|_| ToolCall::new("bad", name, "{}")).collect();
        for result in between_siblings(&host, calls).await {
            assert_eq!(error(&result).code(), code);
        }
    }
}

// Responses

#[test]
fn a_response_without_calls_has_no_results() {
    let folder = Folder::of(&["echo"]);
    for response in [
        r#"{"choices":[{"message":{"role":"assistant","content":"Hello!"}}]}"#,
        r#"{"choices":[{"message":{"role":"assistant","content":"Hello!","tool_calls":null}}]}"#,
        r#"{"choices":[{"message":{"role":"assistant","content":"Hello!","tool_calls":[]}}]}"#,
        r#"{"choices":[]}"#,
        r#"{"role":"assistant","content":"Hello!"}"#,
        r#"{"role":"assistant","content":null,"tool_calls":null}"#,
        r#"{"tool_calls":null}"#,
        r#"{"tool_calls":[]}"#,
        "[]",
    ] {
        let ended = folder.run(&["run"], response).answered();
        assert_eq!(ended.json(), json!([]), "{response}");
        let ended = folder.run(&["run", "--stream"], response).answered();
        assert_eq!(ended.stdout, "", "{response}");
    }
}

#[test]
fn a_response_with_one_call_has_one_result() {
    let folder = Folder::of(&["echo"]);
    let call = r#"{"id":"a","type":"function","function":{"name":"echo","arguments":"{\"text\":\"hi\"}"}}"#;
    for response in [
        format!(r#"{{"choices":[{{"message":{{"tool_calls":[{call}]}}}}]}}"#),
        format!("[{call}]"),
    ] {
        let ended = folder.run(&["run"], response).answered();
        assert_eq!(
            ended.json(),
            json!([{ "role": "tool", "tool_call_id": "a", "content": "hi" }])
        );
    }
}

/// The first of the real responses, and its number of calls.
fn real_response() -> (String, usize) {
    let data = std::fs::read_to_string(root().join("tests/data/bfcl/exec_parallel.jsonl")).unwrap();
    let batch: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
    let calls = batch["expected"].as_object().unwrap().len();
    (batch["response"].to_string(), calls)
}

#[test]
fn a_cut_response_is_an_error_that_says_so() {
    let (response, calls) = real_response();
    assert_eq!(decoded(&response).unwrap(), calls);
    for cut in 1..response.len() {
        match decoded(&response[..cut]) {
            Err(error @ DecodeError::NotJson { .. }) => {
                assert!(error.to_string().contains("cut off"), "{cut}: {error}");
            }
            other => panic!("{cut}: {other:?}"),
        }
    }
    assert!(matches!(decoded(""), Err(DecodeError::Empty)));
}

fn decoded(response: impl AsRef<[u8]>) -> Result<usize, DecodeError> {
    wire::decode(response.as_ref(), None).map(|(_, calls)| calls.len())
}

#[test]
fn through_the_binary_a_cut_response_exits_1_and_runs_nothing() {
    let folder = Folder::of(&["bfcl"]);
    let (response, _) = real_response();
    for cut in (0..response.len()).step_by(response.len() / 24) {
        folder.run(&["run"], &response[..cut]).failed("");
    }
}

#[test]
fn cut_json_lines_are_an_error_of_the_cut_line_or_whole_up_to_it() {
    let lines = json_lines(&[
        ("a", "echo", json!({ "text": "first" })),
        ("b", "echo", json!({ "text": "sécond" })),
        ("c", "echo", json!({ "text": "third" })),
    ]);
    let bytes = lines.as_bytes();
    for cut in 1..bytes.len() {
        let whole = &bytes[..cut];
        let ends = whole.iter().filter(|byte| **byte == b'\n').count();
        match decoded(whole) {
            // Cut between two lines, or after a line without its end.
            Ok(calls) => assert!(
                calls == ends && whole.ends_with(b"\n")
                    || calls == ends + 1 && whole.ends_with(b"}"),
                "{cut}"
            ),
            Err(DecodeError::Line { line, error }) => {
                assert_eq!(line, ends + 1, "{cut}");
                assert!(error.is_eof(), "{cut}: {error}");
            }
            Err(DecodeError::NotJson { error }) => assert!(ends == 0 && error.is_eof(), "{cut}"),
            Err(DecodeError::NotUtf8 { .. }) => assert!(std::str::from_utf8(whole).is_err()),
            Err(other) => panic!("{cut}: {other}"),
        }
    }
}

#[test]
fn a_cut_last_line_of_json_lines_says_that_it_was_cut() {
    let folder = Folder::of(&["echo"]);
    let lines = json_lines(&[
        ("a", "echo", json!({ "text": "first" })),
        ("b", "echo", json!({ "text": "second" })),
    ]);
    let cut = &lines[..lines.len() - 10];
    let ended = folder.run(&["run"], cut).failed("line 2");
    assert!(ended.stderr.contains("cut off"), "{}", ended.stderr);
    // The place is the response's own, not that of the line by itself.
    assert!(!ended.stderr.contains("line 1"), "{}", ended.stderr);
}

#[test]
fn garbage_decodes_to_an_error_and_never_panics() {
    let mut random = Random(42);
    for _ in 0..5000 {
        let length = random.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        decode_all_ways(&bytes);
    }
    // Closer to the real thing: a response with a few bytes changed, taken out or put in.
    let (response, _) = real_response();
    let tokens = b"{}[]\",:\\ntfu0d8\0\n\xff";
    for _ in 0..5000 {
        let mut bytes = response.clone().into_bytes();
        for _ in 0..1 + random.below(6) {
            let at = random.below(bytes.len());
            let token = tokens[random.below(tokens.len())];
            match random.below(3) {
                0 => bytes[at] = token,
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, token),
            }
        }
        decode_all_ways(&bytes);
    }
}

fn decode_all_ways(bytes: &[u8]) {
    let formats = Format::ALL.map(Some);
    for format in formats.into_iter().chain([None]) {
        if let Err(error) = wire::decode(bytes, format) {
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn through_the_binary_garbage_exits_1() {
    let folder = Folder::of(&["echo"]);
    let mut random = Random(4711);
    for _ in 0..10 {
        let bytes: Vec<u8> = (0..300).map(|_| random.next() as u8).collect();
        folder.run(&["run"], bytes).failed("");
    }
    folder.run(&["run"], "\0\0\0").failed("not JSON");
    folder.run(&["run"], b"\xff\xfe{\0}\0").failed("UTF-16");
    folder.run(&["run"], b"{\xff}").failed("not UTF-8");
    folder.run(&["run"], " \n\t").failed("empty");
    folder
        .run(&["run"], "data: {\"choices\":[]}\n\n")
        .failed("an event stream: see --sse");
    folder
        .run(&["run"], "<html>502 Bad Gateway</html>")
        .failed("an HTML page");
}

#[test]
fn a_response_nested_out_of_hand_is_no_harm() {
    let folder = Folder::of(&["echo"]);
    let deep = "[".repeat(100_000);
    folder.run(&["run"], &deep).failed("");
    let closed = format!("{deep}{}", "]".repeat(100_000));
    folder.run(&["run"], &closed).failed("");
    // Where nobody looks at it, it may be as deep as it likes.
    let call = r#"{"id":"a","function":{"name":"echo","arguments":"{\"text\":\"hi\"}"}}"#;
    let message = format!(r#"{{"role":"assistant","content":{closed},"tool_calls":[{call}]}}"#);
    assert_eq!(folder.run(&["run"], message).answered().results().len(), 1);
    let objects = "{\"a\":".repeat(100_000);
    folder.run(&["run"], objects).failed("");
}

#[test]
fn a_gibibyte_of_zeros_as_a_plugin_is_refused_by_the_binary() {
    let folder = Folder::with("[plugin.zeros]\npath = \"zeros.wasm\"\n");
    let zeros = folder.path().join("zeros.wasm");
    File::create(&zeros).unwrap().set_len(1 << 30).unwrap();
    folder.run(&["check"], "").failed("max-component");
    folder
        .run(&[Path::new("inspect"), &zeros], "")
        .failed("max-component");
}

/// Numbers that look random and are the same each time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
