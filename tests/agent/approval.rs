//! Who is asked before tools run, and who may stop them.

use std::sync::Arc;
use std::sync::mpsc::channel;

use serde_json::{Value, json};
use tokio::sync::watch;
use toolhost::provider::{CallContext, ProvidedTool, RunOutcome, ToolProvider};
use toolhost::wire::Format;
use toolhost::{Approval, BoxFuture, CallError, Loader, Output, Tool, ToolCall};
use toolhost_testing::{Gate, PATIENCE};

use crate::common;
use crate::peer::{Peer, calls, text};
use crate::{Approver, Seen, agent, config, guests};

const CHAT: Format = Format::OpenaiChat;

/// The tools that somebody was asked about, and the results that the model got.
async fn answered(
    approvals: impl IntoIterator<Item = Approval>,
    script: &[&[(&str, &str, Value)]],
) -> (Vec<String>, Vec<String>) {
    let turns = script.iter().map(|turn| calls(CHAT, turn));
    let peer = Peer::start(turns.chain([text(CHAT, "done")]).collect());
    // `calculate` says that it changes nothing; the tools of `misbehave` say nothing.
    let approver = Approver::new(approvals);
    let host = approver.host(guests()).await;
    let mut agent = agent(&host, config(CHAT, &peer.url), false);
    agent.ask("?", &mut Seen::default()).await.unwrap();
    let asked = peer.asked();
    let messages = asked.last().unwrap().body["messages"]
        .as_array()
        .unwrap()
        .clone();
    let texts = messages.iter().filter(|message| message["role"] == "tool");
    let texts = texts
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect();
    (approver.tools(), texts)
}

#[tokio::test]
async fn tools_that_are_not_read_only_ask_first() {
    let optional = ("a", "optional", json!({}));
    let calculate = ("b", "calculate", json!({ "expression": "1+1" }));
    let unknown = ("c", "no_such_tool", json!({}));
    let (asked, texts) = answered(
        [Approval::Yes, Approval::No],
        &[&[optional, calculate, unknown, ("d", "optional", json!({}))]],
    )
    .await;
    assert_eq!(asked, ["optional", "optional"]);
    assert_eq!(
        texts,
        [
            "{}",
            "2",
            "Error: Unknown tool no_such_tool",
            "Error: optional failed - not permitted: the user did not allow this call",
        ]
    );
}

#[tokio::test]
async fn always_is_for_all_further_calls_of_that_tool() {
    let optional = ("a", "optional", json!({}));
    let id = ("b", "id", json!({}));
    let (asked, texts) = answered(
        [Approval::Always, Approval::No],
        &[
            &[optional.clone(), ("c", "optional", json!({}))],
            &[optional, id],
        ],
    )
    .await;
    assert_eq!(asked, ["optional", "id"]);
    assert_eq!(texts[..3], ["{}", "{}", "{}"]);
    assert!(texts[3].contains("did not allow"), "{texts:?}");
}

/// Offers `swap` where the owner has that number; a call of it makes the next number the owner.
struct Swapping {
    number: u64,
    owner: watch::Sender<u64>,
}

impl ToolProvider for Swapping {
    fn name(&self) -> &str {
        ["first", "second"][self.number as usize]
    }

    fn tools(&self) -> Arc<[Arc<ProvidedTool>]> {
        let mut tool = Tool::new("swap", "");
        tool.input_schema = json!({ "type": "object" });
        tool.plugin = self.name().to_owned();
        let tool = Arc::new(ProvidedTool::new(tool).unwrap());
        let offers = *self.owner.borrow() == self.number;
        offers.then_some(tool).into_iter().collect()
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.owner.subscribe())
    }

    fn call<'c>(
        &'c self,
        _: &'c ProvidedTool,
        _: &'c ToolCall,
        _: CallContext<'c>,
    ) -> BoxFuture<'c, RunOutcome> {
        self.owner.send_replace(self.number + 1);
        Box::pin(async { Ok::<_, CallError>(Output::text("swapped")).into() })
    }
}

#[tokio::test]
async fn always_is_not_for_the_tool_of_another_that_takes_its_name() {
    let owner = watch::Sender::new(0);
    let approver = Approver::new([Approval::Always, Approval::No]);
    let mut loader = Loader::new(common::manifest([])).hook(approver.hook());
    for number in 0..2 {
        let owner = owner.clone();
        loader = loader.provider(Swapping { number, owner });
    }
    let host = loader.load().await.unwrap();
    let swap = || calls(CHAT, &[("a", "swap", json!({}))]);
    let peer = Peer::start(vec![swap(), swap(), text(CHAT, "done")]);
    let mut agent = agent(&host, config(CHAT, &peer.url), false);
    agent.ask("?", &mut Seen::default()).await.unwrap();
    assert_eq!(approver.tools(), ["swap", "swap"]);
}

#[tokio::test]
async fn an_interrupt_cancels_what_runs_and_the_model_is_told() {
    let gate = Arc::new(Gate::new());
    let turn = calls(
        CHAT,
        &[
            ("a", "echo", json!({ "text": "quick" })),
            ("b", "spin", json!({})),
            ("c", "hold", gate.arguments()),
        ],
    );
    let peer = Peer::start(vec![turn, text(CHAT, "as you wish")]);
    let host = common::load(common::manifest([common::plugin("echo"), gate.plugin()])).await;
    let mut agent = agent(&host, config(CHAT, &peer.url), false);
    let interrupter = agent.interrupter();
    // There is nothing to interrupt yet.
    assert!(!interrupter.interrupt());
    let (answered, quick) = channel();
    let held = gate.clone();
    std::thread::spawn(move || {
        quick.recv_timeout(PATIENCE).unwrap();
        held.wait_for(1);
        assert!(interrupter.interrupt());
    });
    let mut seen = Seen {
        on_result: Some(Box::new(move || _ = answered.send(()))),
        ..Seen::default()
    };
    let answer = agent.ask("?", &mut seen).await.unwrap();
    assert_eq!(answer.text, "as you wish");
    let messages = peer.asked()[1].body["messages"].clone();
    let texts: Vec<&str> = (2..5)
        .map(|at| messages[at]["content"].as_str().unwrap())
        .collect();
    assert_eq!(
        texts,
        [
            "quick",
            "Error: spin failed - cancelled by the user",
            "Error: hold failed - cancelled by the user",
        ]
    );
}
