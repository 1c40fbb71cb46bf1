//! Asks on the terminal whether a tool may run.

use toolhost::agent::Approval;
use toolhost::{Tool, ToolCall};

use super::View;
use crate::cli::out::say;
use crate::cli::terminal::Terminal;

/// Of longer arguments the beginning is shown.
const MAX_SHOWN: usize = 4000;

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
    let shown: String = call.arguments.chars().take(MAX_SHOWN).collect();
    let rest = call.arguments.chars().count().saturating_sub(MAX_SHOWN);
    let rest = match rest {
        0 => String::new(),
        rest => format!(" … and {rest} more characters"),
    };
    let whose = match tool.sandboxed {
        true => format!("the plugin {}", tool.plugin),
        false => format!("the MCP server {}, which is not sandboxed", tool.plugin),
    };
    let mut dialog = terminal.dialog().await;
    // What is drawn of the model ends here.
    view.suspended(&mut || {});
    loop {
        dialog.say(format_args!("Allow {name} of {whose}?"));
        dialog.say(format_args!("  {shown}{rest}"));
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
