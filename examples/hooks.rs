//! Hooks around each call: approval, a limit on the number of calls, a trace.
//! `cargo run --example hooks`.

use std::io::BufRead;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use toolhost::{
    Approval, AskFirst, Decision, Hook, Loader, Manifest, NativeTools, Tool, ToolCall, ToolResult,
};

/// Asks on the terminal.
async fn ask(name: String, arguments: String) -> Approval {
    let answer = tokio::task::spawn_blocking(move || {
        println!("{name} {arguments}: allow? [y/N]");
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        std::io::Result::Ok(line.trim().eq_ignore_ascii_case("y"))
    });
    match answer.await {
        Ok(Ok(true)) => Approval::Yes,
        _ => Approval::No,
    }
}

/// Lets so many calls run, and refuses the others.
struct Budget(AtomicUsize);

impl Hook for Budget {
    fn before<'a>(&'a self, _: &'a ToolCall, _: &'a Tool) -> BoxFuture<'a, Decision> {
        let take = |left: usize| left.checked_sub(1);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        Box::pin(async move {
            match taken {
                Ok(_) => Decision::Run,
                Err(_) => Decision::Refuse {
                    why: "the budget of this conversation is spent".to_owned(),
                },
            }
        })
    }
}

/// Prints what became of each call.
struct Trace;

impl Hook for Trace {
    fn after(&self, call: &ToolCall, _: Option<&Tool>, result: &ToolResult) {
        let took = result.usage.run;
        println!("{}: {} ({took:.0?})", call.name, result.to_text());
    }
}

#[derive(Deserialize, JsonSchema)]
struct Mail {
    to: String,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[tokio::main]
async fn main() -> Result<(), toolhost::LoadError> {
    let mail = NativeTools::new("mail")
        .tool(
            Tool::new("unread", "Counts unread mails").read_only(),
            async |_: Nothing| 3,
        )
        .tool(
            Tool::new("send", "Sends a mail").additive(),
            async |args: Mail| format!("sent to {}", args.to),
        );
    let approval =
        AskFirst::new(|_, call| Box::pin(ask(call.name.clone(), call.arguments.clone())));
    // In this order before a call, each only if those ahead of it let the call run.
    let host = Loader::new(Manifest::default())
        .provider(mail)
        .hook(Trace)
        .hook(Budget(AtomicUsize::new(3)))
        .hook(approval)
        .load()
        .await?;

    for (name, arguments) in [
        ("unread", "{}"),
        ("send", r#"{"to": "ada@example.com"}"#),
        ("unread", "{}"),
        ("unread", "{}"),
    ] {
        host.call(ToolCall::new("call", name, arguments)).await;
    }
    Ok(())
}
