//! Transcripts: every message kept, and gone on from.

use serde_json::{Value, json};
use toolhost::wire::Format;

use crate::peer::{Peer, Say, calls, text};
use crate::{Seen, agent, apis, config, host};

fn lines(file: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn transcript_is_complete_and_another_process_continues_it() {
    for format in apis() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("talk.jsonl");
        let long = "0123456789".repeat(50);
        let peer = Peer::start(vec![
            calls(format, &[("a", "echo", json!({ "text": long }))]),
            text(format, "one"),
            calls(
                format,
                &[("b", "read_result", json!({ "id": "r1", "offset": 490 }))],
            ),
            text(format, "two"),
        ]);
        let host = host().await;
        let mut config = config(format, &peer.url);
        config.max_result_chars = 200;
        let mut first = agent(&host, config.clone(), false);
        first.keep_transcript(&file).unwrap();
        first.ask("first", &mut Seen::default()).await.unwrap();
        drop(first);
        let mut second = agent(&host, config, false);
        second.resume(&file).unwrap();
        assert!(!second.waits_for_model());
        let mut seen = Seen::default();
        assert_eq!(second.ask("second", &mut seen).await.unwrap().text, "two");
        // What was compacted in the first process can be read in the second.
        assert!(
            seen.results[0]
                .to_text()
                .starts_with("0123456789\n[characters 490")
        );
        let asked = peer.asked();
        let key = match format {
            Format::OpenaiResponses => "input",
            Format::Gemini => "contents",
            _ => "messages",
        };
        let sent = asked[3].body[key].as_array().unwrap();
        let lines = lines(&file);
        assert_eq!(lines[0]["format"], format.name());
        let kept: Vec<&Value> = lines[1..]
            .iter()
            .filter(|line| line.get("stored").is_none())
            .flat_map(|line| {
                line.as_object()
                    .unwrap()
                    .values()
                    .next()
                    .unwrap()
                    .as_array()
                    .unwrap()
            })
            .collect();
        assert_eq!(
            kept.len(),
            sent.len() + 1,
            "all that was sent, and the last answer"
        );
        assert!(kept.iter().zip(sent).all(|(kept, sent)| *kept == sent));
        let is_private = |mode: u32| mode & 0o077 == 0;
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&file).unwrap().permissions(),
        );
        assert!(is_private(mode), "{mode:o}");
    }
}

#[tokio::test]
async fn calls_that_a_crash_left_without_results_are_answered_as_cancelled() {
    for format in apis() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("talk.jsonl");
        let peer = Peer::start(vec![
            calls(
                format,
                &[
                    ("a", "echo", json!({ "text": "1" })),
                    ("b", "echo", json!({ "text": "2" })),
                ],
            ),
            text(format, "one"),
        ]);
        let host = host().await;
        let mut first = agent(&host, config(format, &peer.url), false);
        first.keep_transcript(&file).unwrap();
        first.ask("?", &mut Seen::default()).await.unwrap();
        // As if it had been killed while the calls ran, in the middle of a line.
        let whole = std::fs::read_to_string(&file).unwrap();
        let results = whole.find("{\"results\"").unwrap();
        std::fs::write(&file, &whole[..results + 12]).unwrap();
        let peer = Peer::start(vec![text(format, "again")]);
        let mut second = agent(&host, config(format, &peer.url), false);
        second.resume(&file).unwrap();
        assert!(second.waits_for_model());
        let answer = second.go_on(&mut Seen::default()).await.unwrap();
        assert_eq!(answer.text, "again");
        let sent = &peer.asked()[0].text;
        assert_eq!(
            sent.matches("Error: echo failed - cancelled").count(),
            2,
            "{sent}"
        );
        assert_eq!(
            lines(&file).len(),
            5,
            "header, question, calls, results, answer"
        );
    }
}

#[tokio::test]
async fn a_transcript_is_not_overwritten_nor_mistaken_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.jsonl");
    let host = host().await;
    let new = |format| agent(&host, config(format, "http://127.0.0.1:9"), false);
    new(Format::Anthropic).keep_transcript(&file).unwrap();
    let error = new(Format::Anthropic).keep_transcript(&file).unwrap_err();
    assert!(error.to_string().contains("already exists"), "{error}");
    let error = new(Format::Gemini).resume(&file).unwrap_err();
    assert!(
        error.to_string().contains("was made with anthropic"),
        "{error}"
    );
    std::fs::write(&file, "hello\n").unwrap();
    let error = new(Format::Gemini).resume(&file).unwrap_err();
    assert!(error.to_string().contains("is not a transcript"), "{error}");
    std::fs::write(
        &file,
        "{\"toolhost\":\"0\",\"format\":\"gemini\"}\n{\"user\":3}\n",
    )
    .unwrap();
    let error = new(Format::Gemini).resume(&file).unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn transcript_survives_a_full_disk() {
    let test = "transcript::transcript_survives_a_full_disk";
    if !crate::common::namespace::is_inside(test, "") {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let mut mount = std::process::Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=16k", "small"]);
    assert!(mount.arg(disk.path()).status().unwrap().success());
    let (file, filler) = (disk.path().join("talk.jsonl"), disk.path().join("filler"));
    let format = Format::Anthropic;
    let host = host().await;

    // One that cannot be begun is not there, and in nobody's way.
    let fill = |length: usize| std::fs::write(&filler, vec![b'x'; length]).is_ok();
    assert!(fill(16 << 10));
    let mut one = agent(&host, config(format, "http://127.0.0.1:9"), false);
    let said = one.keep_transcript(&file).unwrap_err().to_string();
    assert!(
        said.contains("talk.jsonl") && said.contains("No space left"),
        "{said}"
    );
    assert!(!file.exists());
    std::fs::remove_file(&filler).unwrap();

    let peer = Peer::start(vec![
        text(format, "one"),
        text(format, &"long ".repeat(5000)),
        text(format, "three"),
        text(format, "four"),
    ]);
    let mut one = agent(&host, config(format, &peer.url), false);
    let mut seen = Seen::default();
    one.keep_transcript(&file).unwrap();
    one.ask("first", &mut seen).await.unwrap();
    let whole = std::fs::read_to_string(&file).unwrap();
    let failed = one.ask("second", &mut seen).await.unwrap_err().to_string();
    assert!(
        failed.contains("talk.jsonl") && failed.contains("No space left"),
        "{failed}"
    );
    let after = std::fs::read_to_string(&file).unwrap();
    assert!(
        after.starts_with(&whole) && after.ends_with('\n'),
        "{after}"
    );
    lines(&file);
    // The same agent goes on, and so does another with what is kept.
    one.ask("third", &mut seen).await.unwrap();
    drop(one);
    let mut two = agent(&host, config(format, &peer.url), false);
    two.resume(&file).unwrap();
    assert_eq!(
        two.ask("fourth", &mut Seen::default()).await.unwrap().text,
        "four"
    );
    lines(&file);
    drop(two);
    std::process::Command::new("umount")
        .arg(disk.path())
        .status()
        .unwrap();
}

#[tokio::test]
async fn what_a_question_that_failed_had_said_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.jsonl");
    let host = host().await;
    let refused = Say::Whole(400, "", "no".to_owned());
    let peer = Peer::start(vec![
        calls(Format::OpenaiChat, &[("a", "echo", json!({ "text": "1" }))]),
        refused,
        text(Format::OpenaiChat, "now"),
    ]);
    let mut first = agent(&host, config(Format::OpenaiChat, &peer.url), false);
    first.keep_transcript(&file).unwrap();
    assert!(first.ask("?", &mut Seen::default()).await.is_err());
    let mut second = agent(&host, config(Format::OpenaiChat, &peer.url), false);
    second.resume(&file).unwrap();
    let answer = second.go_on(&mut Seen::default()).await.unwrap();
    assert_eq!(answer.text, "now");
    let asked = peer.asked();
    assert_eq!(asked[1].body["messages"], asked[2].body["messages"]);
}
