//! `--approve`: asks on the terminal whether a tool may run.

use toolhost::agent::Approval;
use toolhost::{Tool, ToolCall};

use super::{View, arguments};
use crate::cli::out::say;
use crate::cli::terminal::Terminal;

pub(super) async fn approve(
    terminal: Option<&Terminal>,
    view: &mut dyn View,
    tool: &Tool,
    call: &ToolCall,
) -> Approval {
    let name = &tool.name;
    let Some(terminal) = terminal else {
        view.suspended(&mut || {
            say!(
                "warning: {name} is refused: it needs to be approved, and there is no terminal to ask on (--yes allows all tools)"
            );
        });
        return Approval::No;
    };
    let shown = arguments::lines(&call.arguments);
    let whose = match tool.sandboxed {
        true => format!("the plugin {}", tool.plugin),
        false => format!("the MCP server {}, which is not sandboxed", tool.plugin),
    };
    let mut dialog = terminal.dialog().await;
    // Finish drawing the model's text.
    view.suspended(&mut || {});
    // Once: text typed after the question is an answer, even if it is asked again.
    dialog.discard_typed();
    loop {
        dialog.say(format_args!("Allow {name} of {whose}?"));
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
