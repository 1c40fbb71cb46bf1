//! Calls that are not as they should be, in an agent: who is asked sees what will run, and no leak on a
//! name and no call around others lets a tool run unasked.

use serde_json::{Value, json};
use toolhost::Approval;
use toolhost::agent::Silent;
use toolhost::wire::Format;

use crate::peer::{Peer, calls, text};
use crate::{Approver, agent, apis, config, guests};

/// What was asked, and the last request's text.
async fn answered(
    format: Format,
    stream: bool,
    approvals: &[Approval],
    turn: &[(&str, &str, Value)],
) -> (Vec<[String; 2]>, String) {
    let peer = Peer::start(vec![calls(format, turn), text(format, "done")]);
    let approver = Approver::new(approvals.iter().copied());
    let host = approver.host(guests()).await;
    let mut agent = agent(&host, config(format, &peer.url), stream);
    agent.ask("?", &mut Silent).await.unwrap();
    (approver.asked(), peer.asked().last().unwrap().text.clone())
}

#[tokio::test]
async fn who_is_asked_sees_the_tool_and_the_arguments_that_will_run() {
    for format in apis() {
        let call = (
            "a",
            "functions.optional",
            json!({ "count": "5", "text": null }),
        );
        let (asked, sent) = answered(format, false, &[Approval::Yes], &[call]).await;
        assert_eq!(
            asked,
            [["optional".to_owned(), r#"{"count":5}"#.to_owned()]]
        );
        assert!(sent.contains(r#"{\"count\":5}"#), "{format}: {sent}");
    }
}

#[tokio::test]
async fn always_is_for_the_tool_however_it_is_called() {
    let chat = Format::OpenaiChat;
    let turn = [
        ("a", "optional<|channel|>commentary", json!({})),
        ("b", "functions.optional", json!({})),
        ("c", "optional", json!({})),
    ];
    let (asked, sent) = answered(chat, false, &[Approval::Always], &turn).await;
    assert_eq!(asked.len(), 1);
    assert!(!sent.contains("did not allow"), "{sent}");
}

#[tokio::test]
async fn the_calls_inside_of_one_are_asked_about_one_by_one() {
    let inside = json!({ "tool_uses": [
        { "recipient_name": "functions.calculate", "parameters": { "expression": 42 } },
        { "recipient_name": "functions.optional", "parameters": { "count": "1" } },
        { "recipient_name": "functions.optional", "parameters": { "count": 2 } },
    ] });
    let turn = [
        ("a", "multi_tool_use.parallel", inside),
        ("b", "calculate", json!({ "expression": "7" })),
    ];
    let approvals = [Approval::No, Approval::Yes];
    for format in apis() {
        for stream in [false, true] {
            let (asked, sent) = answered(format, stream, &approvals, &turn).await;
            let arguments: Vec<&str> = asked.iter().map(|[_, arguments]| &**arguments).collect();
            assert_eq!(arguments, [r#"{"count":1}"#, r#"{"count":2}"#], "{format}");
            for part in [
                "Result 1 of 3, functions.calculate:\\n42",
                "Result 2 of 3, functions.optional:\\nError: functions.optional failed - not permitted",
                "Result 3 of 3, functions.optional:\\n{\\\"count\\\":2}",
            ] {
                assert_eq!(
                    sent.matches(part).count(),
                    1,
                    "{format}, {stream}: {part}\n{sent}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_malformed_call_of_several_is_answered_and_nobody_is_asked() {
    let turn = [("a", "multi_tool_use.parallel", json!({ "uses": [] }))];
    for format in apis() {
        let (asked, sent) = answered(format, true, &[], &turn).await;
        assert!(asked.is_empty());
        assert!(sent.contains("recipient_name"), "{format}: {sent}");
    }
}

#[tokio::test]
async fn a_leak_on_the_name_of_the_agents_own_tool_is_taken_off() {
    let call = ("a", "functions.read_result", json!({ "id": "r1" }));
    let (_, sent) = answered(Format::OpenaiChat, false, &[], &[call]).await;
    assert!(sent.contains("no result was compacted"), "{sent}");
}
