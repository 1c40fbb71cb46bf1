//! The programs in `examples/` do what they say.

use crate::common::binary::run;
use crate::common::{example, needs};

#[test]
fn native_tools_answer_and_the_cache_answers_after_them() {
    needs!(examples);
    let ended = run(example("native"), "").answered();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    for (line, id) in lines.iter().zip(["call_1", "call_2"]) {
        let expected = format!(r#"{id}: {{"titles":["Dune","Emma","Ulysses"]}} after "#);
        assert!(line.starts_with(&expected), "{line}");
    }
    assert_eq!(lines.len(), 2);
}

#[test]
fn calls_of_a_stream_are_answered_while_it_comes_in() {
    needs!(examples);
    let ended = run(example("stream"), "").answered();
    let at = |start: &str| {
        ended
            .stdout
            .lines()
            .position(|line| line.starts_with(start))
    };
    let places = [
        "call 0: ",
        "result 0: Oslo",
        "call 1: ",
        "result 1: Lima",
        "message: ",
    ]
    .map(|start| at(start).expect(&ended.stdout));
    assert!(places.is_sorted(), "{}", ended.stdout);
}

#[test]
fn hooks_ask_count_and_trace() {
    needs!(examples);
    for (said, becomes) in [
        ("y\n", "send: sent to ada@example.com"),
        (
            "no\n",
            "send: Error: send failed - not permitted: the user did not allow this call",
        ),
    ] {
        let ended = run(example("hooks"), said).answered();
        assert!(ended.stdout.contains(becomes), "{}", ended.stdout);
        let last = ended.stdout.lines().last().unwrap();
        assert!(last.contains("the budget of this conversation is spent"));
    }
}
