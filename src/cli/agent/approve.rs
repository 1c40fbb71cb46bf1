//! Asks on the terminal whether a tool may run.

use std::io::{self, BufRead, IsTerminal, Write};

use tokio::sync::mpsc;
use toolhost::agent::Approval;
use toolhost::{Tool, ToolCall};

use super::View;
use crate::cli::printable;

/// Of longer arguments the beginning is shown.
const MAX_SHOWN: usize = 4000;

/// The terminal's lines, as somebody types them.
pub(super) struct Terminal {
    /// Started when first somebody is asked: until then stdin is nobody's.
    lines: Option<mpsc::Receiver<String>>,
}

impl Terminal {
    /// Only where somebody can read the question and type the answer.
    pub(super) fn open() -> Option<Self> {
        let is_open = io::stdin().is_terminal() && io::stderr().is_terminal();
        is_open.then_some(Terminal { lines: None })
    }

    async fn line(&mut self) -> Option<String> {
        let lines = self.lines.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(1);
            // Reading blocks, and nothing can end it: not a task of the runtime.
            std::thread::spawn(move || {
                for line in io::stdin().lock().lines() {
                    let Ok(line) = line else { break };
                    if sender.blocking_send(line).is_err() {
                        break;
                    }
                }
            });
            receiver
        });
        lines.recv().await
    }
}

pub(super) async fn approve(
    terminal: Option<&mut Terminal>,
    view: &mut dyn View,
    tool: &Tool,
    call: &ToolCall,
) -> Approval {
    let name = printable(&tool.name);
    let Some(terminal) = terminal else {
        view.suspended(&mut || {
            eprintln!(
                "warning: {name} is refused: it needs to be approved, and there is no terminal to ask on (--yes allows all tools)"
            );
        });
        return Approval::No;
    };
    let shown: String = call.arguments.chars().take(MAX_SHOWN).collect();
    let shown = printable(&shown);
    let rest = call.arguments.chars().count().saturating_sub(MAX_SHOWN);
    let rest = match rest {
        0 => String::new(),
        rest => format!(" … and {rest} more characters"),
    };
    let whose = match tool.sandboxed {
        true => format!("the plugin {}", tool.plugin),
        false => format!("the MCP server {}, which is not sandboxed", tool.plugin),
    };
    loop {
        view.suspended(&mut || {
            let mut out = io::stderr().lock();
            let _ = write!(
                out,
                "Allow {name} of {}?\n  {shown}{rest}\n[y]es, [n]o, [a]lways allow {name}: ",
                printable(&whose)
            );
            let _ = out.flush();
        });
        let Some(answer) = terminal.line().await else {
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
