//! Servers that ask in the middle of a call: `asks.py`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use toolhost::input::{
    InputRequired, Question, QuestionKind, QuestionKinds, Reply, Resumption, Role, Root,
};
use toolhost::tool::Content;
use toolhost::{
    CallError, CallOptions, CancellationToken, Manifest, Responder, ToolCall, ToolHost,
};

use crate::common::binary::Folder;
use crate::common::{call, error, root, text, try_load};
use toolhost_testing::needs;

/// A folder with a manifest that has `asks.py` behind `[mcp.x]`.
struct Stage {
    folder: Folder,
    host: ToolHost,
    process: Option<Child>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Stage {
    async fn new(modes: &[&str], more: &str) -> Stage {
        let folder = Folder::empty();
        let script = root().join("tests/remote/asks.py");
        let state = folder.path().join("state");
        let mut args = vec![script.to_str().unwrap(), state.to_str().unwrap()];
        args.extend(modes);
        let mut process = None;
        let how = match modes.contains(&"--http") {
            false => format!("command = 'python3'\nargs = {args:?}"),
            true => {
                let mut command = Command::new("python3");
                let mut child = command.args(&args).stdout(Stdio::piped()).spawn().unwrap();
                let mut port = String::new();
                let mut stdout = BufReader::new(child.stdout.take().unwrap());
                stdout.read_line(&mut port).unwrap();
                process = Some(child);
                format!("url = 'http://127.0.0.1:{}/'", port.trim())
            }
        };
        let manifest = format!("[mcp.x]\n{how}\n{more}\n");
        let manifest = Manifest::read(folder.write("toolhost.toml", manifest)).unwrap();
        let host = try_load(manifest).await;
        let host = host.unwrap_or_else(|error| panic!("{error}"));
        Stage {
            folder,
            host,
            process,
        }
    }

    fn heard(&self) -> Vec<String> {
        let state = std::fs::read_to_string(self.folder.path().join("state"));
        let state = state.unwrap_or_default();
        state.lines().map(str::to_owned).collect()
    }

    /// Waits for so many lines that begin so, and gives the last one's rest.
    async fn until(&self, word: &str, count: usize) -> String {
        super::wait_for_line(word, count, || self.heard()).await
    }

    async fn call(&self, tool: &str, options: &CallOptions) -> toolhost::ToolResult {
        self.host.call_with(call(tool, json!({})), options).await
    }
}

/// Answers with what it has, in order, and keeps what it was asked.
struct Person {
    kinds: QuestionKinds,
    replies: Mutex<VecDeque<Reply>>,
    asked: Mutex<Vec<Question>>,
}

fn everything() -> QuestionKinds {
    let kinds = [
        QuestionKind::Form,
        QuestionKind::Url,
        QuestionKind::Sampling,
        QuestionKind::Roots,
    ];
    kinds.into_iter().collect()
}

impl Person {
    fn new(replies: impl IntoIterator<Item = Reply>) -> Arc<Person> {
        Arc::new(Person {
            kinds: everything(),
            replies: Mutex::new(replies.into_iter().collect()),
            asked: Mutex::default(),
        })
    }

    fn asked(&self) -> Vec<Question> {
        self.asked.lock().unwrap().clone()
    }
}

impl Responder for Person {
    fn kinds(&self) -> QuestionKinds {
        self.kinds
    }

    fn reply<'a>(
        &'a self,
        _: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(question.clone());
            let reply = self.replies.lock().unwrap().pop_front();
            reply.ok_or_else(|| CallError::failed("it has nothing more to say"))
        })
    }
}

/// Answers what it is asked when the test does.
struct Slow(mpsc::UnboundedSender<(Question, tokio::sync::oneshot::Sender<Reply>)>);

type Asked = mpsc::UnboundedReceiver<(Question, tokio::sync::oneshot::Sender<Reply>)>;

fn slow() -> (Arc<Slow>, Asked) {
    let (sender, asked) = mpsc::unbounded_channel();
    (Arc::new(Slow(sender)), asked)
}

impl Responder for Slow {
    fn kinds(&self) -> QuestionKinds {
        everything()
    }

    fn reply<'a>(
        &'a self,
        _: &'a str,
        question: &'a Question,
    ) -> BoxFuture<'a, Result<Reply, CallError>> {
        Box::pin(async move {
            let (reply, replied) = tokio::sync::oneshot::channel();
            self.0.send((question.clone(), reply)).unwrap();
            replied
                .await
                .map_err(|_| CallError::failed("nobody is there"))
        })
    }
}

fn named(name: &str) -> Reply {
    Reply::Accepted(Some(json!({ "name": name }).to_string()))
}

fn by(person: &Arc<Person>) -> CallOptions {
    CallOptions::new().responder(person.clone())
}

fn parsed(result: &toolhost::ToolResult) -> Value {
    serde_json::from_str(&text(result)).unwrap()
}

#[tokio::test]
async fn server_questions_go_to_the_caller() {
    needs!(python);
    for modes in [&[][..], &["--http"]] {
        let stage = Stage::new(modes, "").await;
        let ada = Person::new([
            Reply::Accepted(Some(
                "{\"name\":\"Ada\",\"age\":12345678901234567890123}".to_owned(),
            )),
            Reply::Declined,
            Reply::Dismissed,
            Reply::Accepted(None),
            Reply::Completion {
                role: Role::Assistant,
                content: Content::Text("hello".to_owned()),
                model: "m".to_owned(),
                stop_reason: Some("endTurn".to_owned()),
            },
        ]);
        // Every digit.
        assert_eq!(
            text(&stage.call("form", &by(&ada)).await),
            r#"{"action": "accept", "content": {"age": 12345678901234567890123, "name": "Ada"}}"#
        );
        let said = parsed(&stage.call("form", &by(&ada)).await);
        assert_eq!(said, json!({ "action": "decline" }));
        let said = parsed(&stage.call("form", &by(&ada)).await);
        assert_eq!(said, json!({ "action": "cancel" }));
        let said = parsed(&stage.call("page", &by(&ada)).await);
        assert_eq!(said, json!({ "action": "accept" }));
        let said = parsed(&stage.call("sample", &by(&ada)).await);
        let expected = json!({ "role": "assistant", "model": "m", "stopReason": "endTurn",
            "content": { "type": "text", "text": "hello" } });
        assert_eq!(said, expected);
        let asked = ada.asked();
        let Question::Form { message, schema } = &asked[0] else {
            panic!("{asked:?}");
        };
        assert_eq!(message, "Who are you?");
        // Of the schema nothing is lost that nobody knows.
        assert!(schema.contains("x-unknown"), "{schema}");
        let page = Question::Url {
            message: "Sign in.".to_owned(),
            url: "https://example.com/in".to_owned(),
            id: "e1".to_owned(),
        };
        assert_eq!(asked[3], page);
        let Question::Sampling(conversation) = &asked[4] else {
            panic!("{asked:?}");
        };
        assert_eq!(conversation.max_tokens, 50);
        assert_eq!(
            conversation.messages[0].content,
            Content::Text("Say hello.".to_owned())
        );
    }
}

#[tokio::test]
async fn call_that_asks_twice_gets_both_answers_and_keeps_its_log() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let ada = Person::new([named("Ada"), named("Bob")]);
    let result = stage.call("twice", &by(&ada)).await;
    assert_eq!(text(&result), "Ada and Bob");
    let lines: Vec<&str> = result.log.iter().map(|line| &*line.text).collect();
    assert_eq!(lines, ["heard Ada"]);
}

#[tokio::test]
async fn roots_are_told_only_where_the_manifest_says_so() {
    needs!(python);
    let home = Root::new("file:///home/ada").with_name("home".to_owned());
    let ada = Person::new([Reply::Roots(vec![home])]);
    let stage = Stage::new(&[], "").await;
    let declared = stage.until("capabilities", 1).await;
    let declared: Value = serde_json::from_str(&declared).unwrap();
    let expected = json!({ "elicitation": { "form": {}, "url": {} }, "sampling": {} });
    assert_eq!(declared, expected);
    let said = parsed(&stage.call("roots", &by(&ada)).await);
    assert_eq!(said, json!({ "roots": [] }));
    assert_eq!(ada.asked(), []);
    let stage = Stage::new(&[], "may-ask = ['roots']").await;
    let declared = stage.until("capabilities", 1).await;
    assert_eq!(declared, r#"{"roots": {}}"#);
    let said = parsed(&stage.call("roots", &by(&ada)).await);
    let expected = json!({ "roots": [{ "uri": "file:///home/ada", "name": "home" }] });
    assert_eq!(said, expected);
    // What it was not told that it may ask, it asks in vain.
    let said = parsed(&stage.call("form", &by(&ada)).await);
    assert_eq!(said, json!({ "action": "decline" }));
    let stage = Stage::new(&[], "may-ask = []").await;
    assert_eq!(stage.until("capabilities", 1).await, "{}");
}

#[tokio::test]
async fn what_nobody_can_be_asked_is_refused_at_once_and_logged() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let result = stage.host.call(call("form", json!({}))).await;
    assert_eq!(parsed(&result), json!({ "action": "decline" }));
    let expected =
        "declined a question for the user, as no one is available to answer: Who are you?";
    assert_eq!(result.log[0].text, expected);
    let result = stage.host.call(call("sample", json!({}))).await;
    assert_eq!(parsed(&result)["code"], -1);
    // A page that is none is nobody's to visit.
    let ada = Person::new([Reply::Accepted(None)]);
    let said = parsed(&stage.call("file_page", &by(&ada)).await);
    assert_eq!(said["code"], -32602, "{said}");
    assert_eq!(ada.asked(), []);
}

#[tokio::test]
async fn call_that_waits_for_an_answer_holds_no_permit_and_no_clock() {
    needs!(python);
    for modes in [&[][..], &["--http"]] {
        let more = "max-concurrency = 1\norder = 'in-order'\ntimeout = '1s'";
        let stage = Stage::new(modes, more).await;
        let (ada, mut asked) = slow();
        let options = CallOptions::new().responder(ada);
        let asks = stage.call("form", &options);
        let answers = async {
            let (_, reply) = asked.recv().await.unwrap();
            let since = Instant::now();
            // Others run meanwhile, for longer than the call may take.
            while since.elapsed() < Duration::from_millis(1500) {
                let result = stage.host.call(call("raw", json!({}))).await;
                assert!(result.outcome.is_ok(), "{result:?}");
            }
            reply.send(named("Ada")).unwrap();
        };
        let (result, ()) = tokio::join!(asks, answers);
        assert_eq!(parsed(&result)["content"]["name"], "Ada");
    }
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_at_its_server_too() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    // Whoever asks has nothing to say, goes away, or cancels.
    let result = stage.call("form", &by(&Person::new([]))).await;
    let message = "it has nothing more to say".to_owned();
    assert_eq!(error(&result), &CallError::Failed { message });
    stage.until("cancelled", 1).await;
    let (ada, mut asked) = slow();
    let options = CallOptions::new().responder(ada.clone());
    let mut asks = Box::pin(stage.call("form", &options));
    tokio::select! {
        _ = &mut asks => panic!("it is not answered"),
        _ = asked.recv() => {}
    }
    let (ada, mut asked) = slow();
    drop(asks);
    stage.until("cancelled", 2).await;
    let token = CancellationToken::new();
    let options = CallOptions::new()
        .responder(ada)
        .cancellation(token.clone());
    let cancels = async {
        let waiting = asked.recv().await;
        token.cancel();
        waiting
    };
    let (result, _waiting) = tokio::join!(stage.call("form", &options), cancels);
    assert_eq!(error(&result), &CallError::Cancelled);
    stage.until("cancelled", 3).await;
}

#[tokio::test]
async fn a_server_that_asks_without_end_is_stopped() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let ada = Person::new((0..100).map(|_| named("Ada")));
    let result = stage.call("endless", &by(&ada)).await;
    let problem = error(&result).to_string();
    assert!(problem.contains("asked for input 16 times"), "{problem}");
    assert_eq!(ada.asked().len(), 16);
    stage.until("cancelled", 1).await;
    // Nor does it get to ask much at once.
    let stage = Stage::new(&[], "").await;
    let many = call("many", json!({ "count": 100 }));
    let ada = Person::new((0..100).map(|_| Reply::Declined));
    let result = stage.host.call_with(many, &by(&ada)).await;
    assert!(
        error(&result)
            .to_string()
            .contains("asked for input 16 times")
    );
    assert_eq!(ada.asked().len(), 16);
    // And not more than may be answered.
    let stage = Stage::new(&[], "max-output = '10KiB'").await;
    let ada = Person::new([named("Ada")]);
    let long = call("form", json!({ "message": "x".repeat(11 << 10) }));
    let result = stage.host.call_with(long, &by(&ada)).await;
    assert_eq!(parsed(&result)["code"], -1);
    assert_eq!(ada.asked(), []);
}

#[tokio::test]
async fn where_it_is_unclear_for_whom_a_server_asks_nobody_is_asked() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let (ada, bob) = (Person::new([named("Ada")]), Person::new([named("Bob")]));
    let options = by(&bob);
    let waits = stage.call("wait", &options);
    let asks = async {
        stage.until("waits", 1).await;
        let said = parsed(&stage.call("form", &by(&ada)).await);
        assert_eq!(said, json!({ "action": "decline" }));
        stage.call("open", &by(&ada)).await
    };
    let (waited, opened) = tokio::join!(waits, asks);
    assert_eq!(
        (text(&waited), text(&opened)),
        ("waited".to_owned(), "opened".to_owned())
    );
    assert_eq!((ada.asked(), bob.asked()), (vec![], vec![]));
}

#[tokio::test]
async fn question_for_a_finished_call_is_asked_of_nobody() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let (ada, bob) = (Person::new([named("Ada")]), Person::new([named("Bob")]));
    let token = CancellationToken::new();
    let options = by(&ada).cancellation(token.clone());
    let cancels = async {
        stage.until("waits", 1).await;
        token.cancel();
    };
    let (result, ()) = tokio::join!(stage.call("late", &options), cancels);
    assert_eq!(error(&result), &CallError::Cancelled);
    stage.until("cancelled", 1).await;
    // The server does not end it, and asks while the call of somebody else is the only one that runs.
    let held = stage.call("hold", &by(&bob)).await;
    assert_eq!(text(&held), "held");
    assert_eq!(stage.until("late", 1).await, r#"{"action": "decline"}"#);
    assert_eq!((ada.asked(), bob.asked()), (vec![], vec![]));
    // With its answer it is over at the server, too.
    let said = parsed(&stage.call("form", &by(&bob)).await);
    assert_eq!(said["content"]["name"], "Bob");
}

#[tokio::test]
async fn over_http_a_question_is_for_the_call_on_whose_stream_it_comes() {
    needs!(python);
    let stage = Stage::new(&["--http"], "").await;
    let names: Vec<String> = (0..8).map(|n| format!("person {n}")).collect();
    let people: Vec<_> = names
        .iter()
        .map(|name| Person::new([named(name)]))
        .collect();
    let calls = people.iter().map(|person| {
        let options = by(person);
        let stage = &stage;
        async move { parsed(&stage.call("form", &options).await) }
    });
    let said = futures_util::future::join_all(calls).await;
    for (said, name) in said.iter().zip(&names) {
        assert_eq!(said["content"]["name"], **name);
    }
}

#[tokio::test]
async fn a_question_outside_of_any_call_is_declined() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let ada = Person::new([named("Ada")]);
    let result = stage.call("later", &by(&ada)).await;
    assert_eq!(text(&result), "asked for later");
    // Only now does it ask; and it may be answered while that call runs, or after it.
    let result = stage.host.call(call("open", json!({}))).await;
    assert_eq!(text(&result), "opened");
    let said = stage.until("later", 1).await;
    assert_eq!(said, r#"{"action": "decline"}"#);
    assert_eq!(ada.asked(), []);
}

#[tokio::test]
async fn results_that_ask_are_answered_with_the_call_made_again() {
    needs!(python);
    for modes in [&["--modern"][..], &["--modern", "--http"]] {
        let stage = Stage::new(modes, "").await;
        let ada = Person::new([
            Reply::Accepted(Some("{\"name\":12345678901234567890123}".to_owned())),
            Reply::Declined,
        ]);
        let result = stage.call("form", &by(&ada)).await;
        let expected = r#"[{"who": {"action": "accept", "content": {"name": 12345678901234567890123}}}, "s1"]"#;
        assert_eq!(text(&result), expected);
        let said = parsed(&stage.call("form", &by(&ada)).await);
        assert_eq!(said, json!([{ "who": { "action": "decline" } }, "s1"]));
        // It says itself who can be asked, call by call.
        let declared = stage.until("capabilities", 1).await;
        assert!(declared.contains("\"form\": {}"), "{declared}");
        let said = parsed(&stage.host.call(call("form", json!({}))).await);
        assert_eq!(said, json!([{ "who": { "action": "decline" } }, "s1"]));
        let declared = stage.until("capabilities", 1).await;
        assert!(!declared.contains("elicitation"), "{declared}");
        // One that asks nothing wants to be called again.
        let said = parsed(&stage.host.call(call("busy", json!({}))).await);
        assert_eq!(said, json!([null, "come again"]));
    }
}

#[tokio::test]
async fn pages_that_must_be_visited_first_are_and_the_call_is_made() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let ada = Person::new([Reply::Declined, Reply::Accepted(None)]);
    let result = stage.call("visit_first", &by(&ada)).await;
    let message = "sign in first".to_owned();
    assert_eq!(error(&result), &CallError::Failed { message });
    assert_eq!(ada.asked()[0].kind(), QuestionKind::Url);
    let stage = Stage::new(&[], "").await;
    assert_eq!(text(&stage.call("visit_first", &by(&ada)).await), "in");
}

#[tokio::test]
async fn a_task_asks_and_is_told() {
    needs!(python);
    let stage = Stage::new(&["--tasks"], "").await;
    let ada = Person::new([named("Ada")]);
    let result = stage.call("form", &by(&ada)).await;
    assert_eq!(text(&result), "done");
    assert_eq!(ada.asked().len(), 1);
    let update = stage.until("update", 1).await;
    let expected = r#"{"who": {"action": "accept", "content": {"name": "Ada"}}}"#;
    assert_eq!(update, expected);
    // Nothing of its result is lost.
    let structured = result.outcome.unwrap().structured.unwrap();
    let numbers = "[12345678901234567890123,0.10000000000000000000000001,1e400]";
    assert_eq!(structured.get(), format!("{{\"n\": {numbers}}}"));
}

#[tokio::test]
async fn an_embedder_that_is_told_what_is_asked_goes_on_with_the_call() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let options = CallOptions::new().advertise(everything());
    let asked = async |tool: &str| {
        let result = stage.call(tool, &options).await;
        match result.outcome {
            Err(CallError::InputRequired(input)) => *input,
            other => panic!("{other:?}"),
        }
    };
    let answer = async |tool: &str, input: &InputRequired, name: &str| {
        let mut again = call(tool, json!({}));
        let replies = vec![(input.questions[0].0.clone(), named(name))];
        again.resumed = Some(Box::new(Resumption::new(input.state.clone(), replies)));
        stage.host.call_with(again, &options).await
    };
    let input = asked("form").await;
    assert_eq!(input.questions[0].1.message(), "Who are you?");
    let result = answer("form", &input, "Ada").await;
    assert_eq!(parsed(&result)["content"]["name"], "Ada");
    // An answer is for once, and for a call that there is.
    let result = answer("form", &input, "Ada").await;
    assert!(
        error(&result).to_string().contains("has ended"),
        "{result:?}"
    );
    assert_eq!(
        stage.heard().iter().filter(|it| *it == "cancelled").count(),
        0
    );
}

#[tokio::test]
async fn calls_that_nobody_comes_back_to_are_bounded() {
    needs!(python);
    let stage = Stage::new(&["--http"], "").await;
    let options = CallOptions::new().advertise(everything());
    let mut first = None;
    for _ in 0..65 {
        let result = stage.call("form", &options).await;
        let Err(CallError::InputRequired(input)) = result.outcome else {
            panic!("{result:?}");
        };
        first.get_or_insert(input);
    }
    stage.until("cancelled", 1).await;
    let first = first.unwrap();
    let mut again = call("form", json!({}));
    let replies = vec![(first.questions[0].0.clone(), named("Ada"))];
    again.resumed = Some(Box::new(Resumption::new(first.state, replies)));
    let result = stage.host.call_with(again, &options).await;
    assert!(
        error(&result).to_string().contains("has ended"),
        "{result:?}"
    );
}

#[tokio::test]
async fn arguments_and_structured_results_keep_every_digit() {
    needs!(python);
    let numbers = "[12345678901234567890123,0.10000000000000000000000001]";
    let answered = "[12345678901234567890123,0.10000000000000000000000001,1e400]";
    for modes in [&[][..], &["--http"], &["--modern"], &["--modern", "--http"]] {
        let stage = Stage::new(modes, "").await;
        let arguments = format!("{{\"n\":{numbers}}}");
        let result = stage
            .host
            .call(ToolCall::new("1", "raw", arguments.as_str()))
            .await;
        let got = text(&result);
        assert!(
            got.contains(&format!("\"arguments\":{arguments}")),
            "{modes:?}: {got}"
        );
        let structured = result.outcome.unwrap().structured.unwrap();
        assert_eq!(
            structured.get(),
            format!("{{\"n\": {answered}}}"),
            "{modes:?}"
        );
    }
}

#[tokio::test]
async fn several_questions_of_one_call_are_asked_one_after_the_other() {
    needs!(python);
    let stage = Stage::new(&[], "").await;
    let ada = Person::new((0..5).map(|_| Reply::Declined));
    let many = call("many", json!({ "count": 5 }));
    let result = stage.host.call_with(many, &by(&ada)).await;
    assert_eq!(
        parsed(&result),
        json!(["decline", "decline", "decline", "decline", "decline"])
    );
    assert_eq!(ada.asked().len(), 5);
}
