//! Tools that ask: whoever sits at the terminal answers, or the agent's own model.

use serde_json::json;
use toolhost::wire::Format;

use crate::apis;
use crate::command::{asks, on_a_terminal, with, without_keys};
use crate::common::binary::{Folder, run};
use crate::peer::{Peer, calls, text};

fn folder() -> Folder {
    Folder::of(&["conformance", "echo"])
}

fn call(arguments: &[&str]) -> Vec<String> {
    with(vec!["call".to_owned()], arguments)
}

#[test]
fn a_call_by_hand_asks_on_the_terminal_until_it_has_its_answers() {
    let (status, shown) = on_a_terminal(
        &folder(),
        &call(&["ask_twice"]),
        &[
            ("What is your name?", "Ada"),
            ("How old are you, Ada?", "36"),
        ],
    );
    assert_eq!(status, 0, "{shown}");
    assert!(
        shown.contains("ask_twice asks: What is your name?"),
        "{shown}"
    );
    assert!(shown.contains("Ada is 36"), "{shown}");
}

#[test]
fn an_answer_that_does_not_fit_is_asked_for_again() {
    let typed = [
        ("What is your name?", "Ada"),
        ("How old are you, Ada?", "very\n999\n36"),
    ];
    let (status, shown) = on_a_terminal(&folder(), &call(&["ask_twice"]), &typed);
    assert_eq!(status, 0, "{shown}");
    assert_eq!(
        shown.matches("must be an integer from 0 to 255").count(),
        2,
        "{shown}"
    );
    assert!(shown.contains("Ada is 36"), "{shown}");
}

#[test]
fn whoever_declines_has_the_tool_told_so() {
    for answers in [&["!"][..], &["Ada", "!"]] {
        let typed: Vec<(&str, &str)> = ["What is your name?", "How old are you, Ada?"]
            .into_iter()
            .zip(answers.iter().copied())
            .collect();
        let (status, shown) = on_a_terminal(&folder(), &call(&["ask_twice"]), &typed);
        assert_eq!(status, 5, "{shown}");
        assert!(shown.contains("Error: ask_twice failed - "), "{shown}");
        assert!(!shown.contains("Ada is"), "{shown}");
    }
    let (status, shown) = on_a_terminal(
        &folder(),
        &call(&["ask_typed"]),
        &[("What would you like?", "!")],
    );
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("declined"), "{shown}");
}

#[test]
fn without_a_terminal_nobody_can_answer() {
    let ended = folder().run(&["call", "ask_twice"], "Ada\n36\n");
    assert_eq!(ended.status, 5, "{ended:?}");
    assert_eq!(
        ended.stdout,
        "Error: ask_twice failed - needs input from the user, but no one is available to answer: What is your \
         name?\n"
    );
    // A model is none of those who sit there.
    let (status, shown) = on_a_terminal(
        &folder(),
        &call(&["test_sampling", "{\"prompt\":\"hi\"}"]),
        &[],
    );
    assert_eq!(status, 5, "{shown}");
    assert!(shown.contains("no one is available to answer"), "{shown}");
}

#[test]
fn the_agents_own_model_answers_for_a_model() {
    for format in apis() {
        for more in ["--no-stream", "--stream"] {
            let prompt = "What is the capital of France?";
            let peer = Peer::start(vec![
                calls(
                    format,
                    &[("a", "test_sampling", json!({ "prompt": prompt }))],
                ),
                text(format, "Paris"),
                text(format, "It is Paris."),
            ]);
            let arguments = with(asks(format, &peer), &[more, "Ask for it."]);
            let ended = run(without_keys(&folder(), &arguments), "").answered();
            assert_eq!(ended.stdout, "It is Paris.\n");
            let asked = peer.asked();
            let [turn, sampled, last] = &asked[..] else {
                panic!("{asked:?}");
            };
            assert!(!turn.text.contains(prompt), "{}", turn.text);
            assert!(sampled.text.contains(prompt), "{}", sampled.text);
            // The tool's question alone, and no tools to answer it with.
            assert!(!sampled.text.contains("Ask for it."), "{}", sampled.text);
            assert!(sampled.body.get("tools").is_none(), "{}", sampled.text);
            assert!(last.text.contains("LLM response: Paris"), "{}", last.text);
            assert!(last.text.contains("Ask for it."), "{}", last.text);
        }
    }
}

#[test]
fn what_the_agents_user_is_asked_nobody_answers_in_a_pipe() {
    let format = Format::Anthropic;
    let peer = Peer::start(vec![
        calls(format, &[("a", "ask_twice", json!({}))]),
        text(format, "Nobody is there."),
    ]);
    let arguments = with(asks(format, &peer), &["--no-stream", "?"]);
    let ended = run(without_keys(&folder(), &arguments), "").answered();
    assert_eq!(ended.stdout, "Nobody is there.\n");
    assert!(
        peer.asked()[1]
            .text
            .contains("no one is available to answer"),
        "{}",
        peer.asked()[1].text
    );
}

#[test]
fn what_the_agents_user_is_asked_is_asked_on_the_terminal() {
    let format = Format::OpenaiChat;
    let peer = Peer::start(vec![
        calls(format, &[("a", "ask_twice", json!({}))]),
        text(format, "done"),
    ]);
    let arguments = with(asks(format, &peer), &["--no-stream", "?"]);
    let typed = [
        ("What is your name?", "Ada"),
        ("How old are you, Ada?", "36"),
    ];
    let (status, shown) = on_a_terminal(&folder(), &arguments, &typed);
    assert_eq!(status, 0, "{shown}");
    assert!(
        peer.asked()[1].text.contains("Ada is 36"),
        "{}",
        peer.asked()[1].text
    );
}
