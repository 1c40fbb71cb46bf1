//! Requests that fail: what is tried again, how long is waited, and that no call runs twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use toolhost::agent::AgentError;
use toolhost::wire::Format;
use toolhost_testing::{Gate, wait_until};

use crate::aimock::{Aimock, control};
use crate::peer::{BREAK, Peer, Say, Until, chat_call, chat_end, event, text};
use crate::{Seen, agent, apis, common, config, host};
use toolhost_testing::needs;

const CHAT: Format = Format::OpenaiChat;

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_will_not_is_told() {
    let host = host().await;
    for (status, is_retried) in [
        (408, true),
        (409, true),
        (429, true),
        (500, true),
        (503, true),
        (529, true),
        (400, false),
        (401, false),
        (403, false),
        (404, false),
        (301, false),
    ] {
        let said = json!({ "error": { "message": "because" } }).to_string();
        let failure = Say::Whole(status, "retry-after: 0\r\nlocation: /elsewhere\r\n", said);
        let peer = Peer::start(vec![failure, text(CHAT, "done")]);
        let mut agent = agent(&host, config(CHAT, &peer.url), true);
        let mut seen = Seen::default();
        let answer = agent.ask("?", &mut seen).await;
        match is_retried {
            true => {
                assert_eq!(answer.unwrap().text, "done");
                assert_eq!(seen.retries.len(), 1);
                let asked = peer.asked();
                assert_eq!(asked[0].text, asked[1].text);
            }
            false => {
                let error = answer.unwrap_err();
                assert!(
                    matches!(&error, AgentError::Api { status: said, message, .. }
                    if *said == status && message == "because"),
                    "{error}"
                );
                assert_eq!(peer.asked().len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn it_waits_as_long_as_it_is_asked_to() {
    let host = host().await;
    // To a second, and some time passes.
    let date = || {
        let later = std::time::SystemTime::now() + Duration::from_secs(3);
        format!("retry-after: {}\r\n", httpdate::fmt_http_date(later))
    };
    for (header, least) in [
        (&|| "retry-after: 1\r\n".to_owned(), 1000),
        (&|| "retry-after-ms: 300\r\n".to_owned(), 300),
        (&date, 1000),
    ] as [(&dyn Fn() -> String, u64); 3]
    {
        let header = header();
        let failure = Say::Whole(429, header.leak(), "{}".to_owned());
        let peer = Peer::start(vec![failure, text(CHAT, "done")]);
        let mut agent = agent(&host, config(CHAT, &peer.url), true);
        let start = Instant::now();
        agent.ask("?", &mut Seen::default()).await.unwrap();
        assert!(
            start.elapsed() >= Duration::from_millis(least),
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn it_does_not_wait_for_hours() {
    let failure = Say::Whole(429, "retry-after: 7200\r\n", "slow down".to_owned());
    let peer = Peer::start(vec![failure]);
    let mut agent = agent(&host().await, config(CHAT, &peer.url), true);
    let error = agent.ask("?", &mut Seen::default()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("asks to wait 7200 seconds: slow down"),
        "{error}"
    );
}

#[tokio::test]
async fn after_max_retries_it_gives_up() {
    let failure = || Say::Whole(500, "retry-after: 0\r\n", "oops".to_owned());
    let peer = Peer::start(vec![failure(), failure(), failure()]);
    let mut config = config(CHAT, &peer.url);
    config.max_retries = 2;
    let mut agent = agent(&host().await, config, true);
    let mut seen = Seen::default();
    let error = agent.ask("?", &mut seen).await.unwrap_err();
    assert!(
        matches!(error, AgentError::Api { status: 500, .. }),
        "{error}"
    );
    assert_eq!((seen.retries.len(), peer.asked().len()), (2, 3));
}

#[tokio::test]
async fn a_connection_that_drops_or_falls_silent_is_tried_again() {
    let (_never, until) = Until::new();
    let silent = Say::Late(chat_end("stop"), until);
    let torn = Say::Whole(200, "", r#"{"choices":[{"mess"#.to_owned());
    for (failure, why) in [
        (Say::Nothing, "no answer from"),
        (silent, "no data received for 300 ms"),
        (torn, "not JSON"),
        (Say::Events(vec![]), "ended before the answer was complete"),
        (
            Say::Events(vec!["data: {\"choi\n\n".to_owned()]),
            "not JSON",
        ),
        (
            Say::Events(vec![event(json!({ "error": { "message": "overloaded" } }))]),
            "overloaded",
        ),
    ] {
        let peer = Peer::start(vec![failure, text(CHAT, "done")]);
        let mut config = config(CHAT, &peer.url);
        // On a busy machine the others take longer.
        if why.contains("300 ms") {
            config.timeout = Duration::from_millis(300);
        }
        let mut agent = agent(&host().await, config, true);
        let mut seen = Seen::default();
        let answer = agent.ask("?", &mut seen).await.unwrap();
        assert_eq!(answer.text, "done");
        assert!(seen.retries[0].contains(why), "{:?}", seen.retries);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_tried_again_and_its_calls_are_not() {
    let echo = |id: &str, index: usize| {
        chat_call(index, id, "optional", &json!({ "count": 1, "name": "é" }))
    };
    // The same call in other words; and one that only breaks off.
    let again = chat_call(0, "new_a", "optional", &json!({ "name": "é", "count": 1 }));
    let broken = [
        echo("a", 0),
        chat_call(1, "b", "echo", &json!({ "text": "ho" }))[..2].to_vec(),
    ]
    .concat();
    let whole = [
        again,
        chat_call(1, "new_b", "echo", &json!({ "text": "ho" })),
        echo("twice", 2),
        chat_end("tool_calls"),
    ]
    .concat();
    let broken = [broken, vec![BREAK.to_owned()]].concat();
    let peer = Peer::start(vec![
        Say::Events(broken),
        Say::Events(whole),
        text(CHAT, "done"),
    ]);
    let mut agent = agent(&host().await, config(CHAT, &peer.url), true);
    let mut seen = Seen::default();
    agent.ask("?", &mut seen).await.unwrap();
    assert_eq!(seen.retries.len(), 1);
    // The call that ran before the break runs once more only because it is asked for twice.
    let ran: Vec<&str> = seen.calls.iter().map(|call| &*call.arguments).collect();
    let first = r#"{"count":1,"name":"é"}"#;
    assert_eq!(ran, [first, r#"{"text":"ho"}"#, first]);
    let asked = peer.asked();
    assert_eq!(asked[0].text, asked[1].text);
    let messages = asked[2].body["messages"].as_array().unwrap();
    let ids: Vec<&str> = messages[2..]
        .iter()
        .map(|message| message["tool_call_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["new_a", "new_b", "twice"]);
}

#[tokio::test]
async fn a_call_that_still_runs_when_its_stream_breaks_goes_on() {
    let gate = Gate::new();
    let call = |id: &str| chat_call(0, id, "hold", &gate.arguments());
    let broken = [call("a"), vec![BREAK.to_owned()]].concat();
    let whole = [call("b"), chat_end("tool_calls")].concat();
    let peer = Peer::start(vec![
        Say::Events(broken),
        Say::Events(whole),
        text(CHAT, "done"),
    ]);
    let host = common::load(common::manifest([gate.plugin()])).await;
    let mut agent = agent(&host, config(CHAT, &peer.url), true);
    let mut seen = Seen::default();
    let (peer, gate) = (Arc::new(peer), Arc::new(gate));
    let (asked, held) = (peer.clone(), gate.clone());
    std::thread::spawn(move || {
        wait_until("it asks again", || asked.asked().len() == 2);
        held.wait_for(1);
        held.open();
    });
    agent.ask("?", &mut seen).await.unwrap();
    assert_eq!((seen.calls.len(), seen.results.len()), (1, 1));
    let result = &peer.asked()[2].body["messages"][2];
    assert_eq!(
        *result,
        json!({ "role": "tool", "tool_call_id": "b", "content": "held" })
    );
    assert_eq!(gate.came(), ["a"]);
}

#[tokio::test]
async fn a_call_starts_before_its_answer_has_ended() {
    let events = [
        chat_call(0, "a", "echo", &json!({ "text": "early" })),
        chat_end("tool_calls")[..1].to_vec(),
    ]
    .concat();
    // The end comes once the call has been answered, or never: then the answer is asked for again.
    let (answered, until) = Until::new();
    let peer = Peer::start(vec![Say::Late(events, until), text(CHAT, "done")]);
    let mut agent = agent(&host().await, config(CHAT, &peer.url), true);
    let mut seen = Seen {
        on_result: Some(Box::new(move || answered.send(()).unwrap())),
        ..Seen::default()
    };
    agent.ask("?", &mut seen).await.unwrap();
    assert_eq!(seen.results[0].to_text(), "early");
    assert_eq!(seen.retries, [""; 0]);
}

#[tokio::test]
async fn aimocks_faults_are_survived_in_all_formats() {
    needs!(aimock);
    let aimock = Aimock::start(json!([
        { "match": { "userMessage": "hello", "hasToolResult": false }, "response": {
            "content": "a few words first", "toolCalls": [
            { "id": "a", "name": "echo", "arguments": { "text": "hi" } },
            { "id": "b", "name": "echo", "arguments": { "text": "ho" } } ] } },
        { "match": { "userMessage": "hello", "hasToolResult": true },
          "response": { "content": "done" } },
    ]));
    let host = host().await;
    for format in apis() {
        for fault in [
            "dropRate",
            "malformedRate",
            "disconnectRate",
            "rateLimitRate",
        ] {
            aimock.chaos(json!({ fault: 1.0 }));
            let mut agent = agent(&host, config(format, &aimock.url), true);
            let url = aimock.url.clone();
            let mut seen = Seen {
                on_retry: Some(Box::new(move || {
                    control(&url, "DELETE", "chaos", "");
                })),
                ..Seen::default()
            };
            let answer = agent.ask("hello", &mut seen).await;
            assert_eq!(answer.unwrap().text, "done", "{format} {fault}");
            assert_eq!(
                (seen.retries.len(), seen.results.len()),
                (1, 2),
                "{format} {fault}"
            );
        }
    }
}

#[tokio::test]
async fn aimocks_broken_streams_are_tried_again_and_no_call_runs_twice() {
    needs!(aimock);
    // After so many pieces: within the text, within a call, between the calls, before the end.
    for pieces in [1, 3, 5, 7, 9, 11] {
        let response = json!({ "content": "Let me see.", "toolCalls": [
            { "id": "a", "name": "echo", "arguments": { "text": "hi" } },
            { "id": "b", "name": "echo", "arguments": { "text": "ho" } } ] });
        let aimock = Aimock::start(json!([
            { "match": { "userMessage": "hello", "hasToolResult": false, "sequenceIndex": 0 },
              "response": response, "truncateAfterChunks": pieces },
            { "match": { "userMessage": "hello", "hasToolResult": false }, "response": response },
            { "match": { "userMessage": "hello", "hasToolResult": true },
              "response": { "content": "done" } },
        ]));
        let host = host().await;
        for format in apis() {
            control(&aimock.url, "POST", "reset/journal", "");
            let mut agent = agent(&host, config(format, &aimock.url), true);
            let mut seen = Seen::default();
            let answer = agent.ask("hello", &mut seen).await.unwrap();
            assert_eq!(answer.text, "done");
            let mut texts: Vec<String> = seen.results.iter().map(|r| r.to_text()).collect();
            texts.sort();
            assert_eq!(texts, ["hi", "ho"], "{format} after {pieces}");
        }
    }
}

/// An answer that calls `echo`, in events, without its end; and what ends it, each by itself.
fn streamed_call(format: Format) -> (Vec<String>, Vec<Vec<String>>) {
    let arguments = json!({ "text": "hi" });
    let done = || "data: [DONE]\n\n".to_owned();
    match format {
        Format::OpenaiChat => {
            let reason = chat_end("tool_calls")[0].clone();
            let usage =
                json!({ "choices": [], "usage": { "prompt_tokens": 9, "completion_tokens": 7 } });
            let ends = vec![
                vec![reason.clone()],
                vec![reason, event(usage)],
                vec![done()],
            ];
            (chat_call(0, "a", "echo", &arguments), ends)
        }
        Format::OpenaiResponses => {
            let item = json!({ "type": "function_call", "id": "fc", "call_id": "a", "name": "echo",
                "arguments": arguments.to_string(), "status": "completed" });
            let item =
                json!({ "type": "response.output_item.done", "output_index": 0, "item": item });
            let response = json!({ "status": "completed", "output": [] });
            let completed = json!({ "type": "response.completed", "response": response });
            (
                vec![event(item)],
                vec![vec![event(completed)], vec![done()]],
            )
        }
        Format::Anthropic => {
            let block = json!({ "type": "tool_use", "id": "a", "name": "echo", "input": {} });
            let piece =
                json!({ "type": "input_json_delta", "partial_json": arguments.to_string() });
            let begun = vec![
                event(json!({ "type": "content_block_start", "index": 0, "content_block": block })),
                event(json!({ "type": "content_block_delta", "index": 0, "delta": piece })),
            ];
            let reason = json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" } });
            let stop = event(json!({ "type": "message_stop" }));
            let ends = vec![
                vec![event(reason.clone())],
                vec![event(reason), stop, done()],
            ];
            (begun, ends)
        }
        _ => {
            let call = json!({ "functionCall": { "name": "echo", "args": arguments } });
            let parts = |parts: serde_json::Value| json!({ "content": { "parts": parts } });
            let mut last = parts(json!([{ "text": "" }]));
            last["finishReason"] = json!("STOP");
            let begun = event(json!({ "candidates": [parts(json!([call]))] }));
            (
                vec![begun],
                vec![vec![event(json!({ "candidates": [last] }))], vec![done()]],
            )
        }
    }
}

/// Asks once; what was done is one request and one call, and no other request for the same answer.
async fn is_asked_for_once(format: Format, say: Say, what: &str) {
    let peer = Peer::start(vec![say, text(format, "done")]);
    let mut config = config(format, &peer.url);
    config.timeout = Duration::from_secs(60);
    let mut agent = agent(&host().await, config, true);
    let mut seen = Seen::default();
    let answer = agent.ask("?", &mut seen).await;
    let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(answer.text, "done", "{what}");
    assert_eq!(seen.retries, [""; 0], "{what}");
    assert_eq!(peer.asked().len(), 2, "{what}");
    let results: Vec<String> = seen.results.iter().map(|result| result.to_text()).collect();
    assert_eq!(results, ["hi"], "{what}");
}

#[tokio::test]
async fn an_answer_ends_with_its_end_though_the_connection_stays_open() {
    let mut cases = Vec::new();
    for format in apis() {
        let (begun, ends) = streamed_call(format);
        for end in ends {
            cases.push((format, [begun.clone(), end].concat()));
        }
    }
    let cases = cases.into_iter().map(async |(format, events)| {
        let what = format!("{format} {:?}", events.last());
        // Whoever waits for the end of the connection finds the model silent, and asks again.
        let (_open, until) = Until::new();
        is_asked_for_once(format, Say::Held(events, until), &what).await;
    });
    futures_util::future::join_all(cases).await;
}

#[tokio::test]
async fn what_follows_the_end_of_an_answer_costs_no_other_request() {
    let mut cases = Vec::new();
    for format in apis() {
        let (begun, ends) = streamed_call(format);
        for end in ends {
            for after in [
                "data: [DONE]\n\n",
                "data: {\"torn\": \"",
                "data: {\"choices\": 5}\n\n",
                "data: \u{fffd}<html>\n\n",
                "data: {\"error\":{\"message\":\"gone\"}}\n\n",
                "event: ping\ndata: {\"type\":\"ping\"}\n\n",
                BREAK,
            ] {
                let events = [&begun[..], &end[..], &[after.to_owned()]].concat();
                cases.push((format, events));
            }
        }
    }
    let cases = cases.into_iter().map(async |(format, events)| {
        let what = format!("{format} {events:?}");
        is_asked_for_once(format, Say::Events(events), &what).await;
    });
    futures_util::future::join_all(cases).await;
}

#[tokio::test]
async fn a_stream_is_one_by_what_it_is_and_not_by_what_it_is_called() {
    for format in apis() {
        let (begun, ends) = streamed_call(format);
        let events = [&begun[..], &ends[0]].concat();
        for kind in ["application/json", "text/plain", "application/octet-stream"] {
            let what = format!("{format} {kind}");
            is_asked_for_once(format, Say::Typed(kind, events.clone()), &what).await;
        }
    }
    // A server that does not stream, and says that it does.
    let whole = crate::peer::calls_body(CHAT, &[("a", "echo", json!({ "text": "hi" }))]);
    let events = vec![event(whole)];
    is_asked_for_once(CHAT, Say::Events(events), "whole").await;
}

#[tokio::test]
async fn a_call_whose_answer_breaks_off_within_it_is_not_run() {
    let begun = |arguments: &str| {
        let call = json!({ "index": 0, "id": "a", "function": { "name": "optional", "arguments": arguments } });
        event(json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] }))
    };
    let reason = chat_end("stop")[0].clone();
    for events in [
        vec![begun("")],
        vec![begun("{}")],
        vec![begun("{\"count\":1")],
        // Where a proxy says after each piece that it was the last.
        vec![begun(""), reason.clone()],
        vec![begun("{}"), reason],
    ] {
        let broken = [events.clone(), vec![BREAK.to_owned()]].concat();
        let peer = Peer::start(vec![Say::Events(broken), text(CHAT, "done")]);
        let mut agent = agent(&host().await, config(CHAT, &peer.url), true);
        let mut seen = Seen::default();
        agent.ask("?", &mut seen).await.unwrap();
        assert_eq!((seen.calls.len(), seen.retries.len()), (0, 1), "{events:?}");
    }
}
