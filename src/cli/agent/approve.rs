//! Asks on the terminal whether a tool may run.

use toolhost::{Approval, AskFirst, Tool, ToolCall};

use super::{SharedView, arguments, lock};
use crate::cli::out::say;
use crate::cli::terminal::Terminal;

/// Asks on that terminal; where there is none, nothing is allowed.
pub(super) fn hook(terminal: Option<Terminal>, view: SharedView) -> AskFirst {
    AskFirst::new(move |tool, call| {
        let (terminal, view) = (terminal.clone(), view.clone());
        Box::pin(async move { approve(terminal.as_ref(), &view, tool, call).await })
    })
}

async fn approve(
    terminal: Option<&Terminal>,
    view: &SharedView,
    tool: &Tool,
    call: &ToolCall,
) -> Approval {
    let name = &tool.name;
    let Some(terminal) = terminal else {
        lock(view).suspended(&mut || {
            say!(
                "warning: refused {name}: it needs approval and there is no terminal to ask on (--yes allows \
                 all tools)"
            );
        });
        return Approval::No;
    };
    let shown = arguments::lines(&call.arguments);
    let whose = match tool.sandboxed {
        true => format!("plugin {}", tool.plugin),
        false => format!("MCP server {}, which is not sandboxed", tool.plugin),
    };
    let mut dialog = terminal.dialog().await;
    // What is drawn of the model ends here.
    lock(view).suspended(&mut || {});
    // Once: what is typed after it has been asked is an answer to it, also where it is asked again.
    dialog.discard_typed();
    loop {
        dialog.say(format_args!("Allow {name} from {whose}?"));
        for line in &shown {
            dialog.say(format_args!("  {line}"));
        }
        dialog.prompt(format_args!("[y]es, [n]o, [a]lways allow {name}: "));
        let Some(answer) = dialog.line().await else {
            return Approval::No;
        };
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => return Approval::Yes,
            "n" | "no" => return Approval::No,
            "a" | "always" => return Approval::Always,
            _ => {}
        }
    }
}
