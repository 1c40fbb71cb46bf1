//! One question, answered with single calls and with one program: what each asks of the model.

use super::model::Model;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const QUESTION: &str = "What did travel cost in 2025, and which month was the dearest?";

/// The cost of a conversation: all requests to the model, and its answers.
struct Cost {
    requests: usize,
    /// Of the requests and answers. Their exact number depends on the model: about one for four bytes.
    tokens: usize,
    /// Without a model's own: the recorded one answers at once.
    time: Duration,
}

/// Asks the question in both ways, and prints what each costs.
pub(crate) fn compare(binary: &Path, demo: &Path) -> Result<()> {
    let single = ask(binary, demo, "single", &[])?;
    let program = ask(binary, demo, "program", &["--code-mode"])?;
    println!("{QUESTION}\n");
    println!("                requests to the model   tokens, about   time of the command");
    for (name, cost) in [("single calls", single), ("one program", program)] {
        let Cost {
            requests,
            tokens,
            time,
        } = cost;
        let time = time.as_millis();
        println!("{name:<15} {requests:>21} {tokens:>15} {time:>18} ms");
    }
    Ok(())
}

/// Runs the agent with recorded answers.
fn ask(binary: &Path, demo: &Path, recorded: &str, options: &[&str]) -> Result<Cost> {
    let model = Model::start(&demo.join(recorded))?;
    let mut agent = Command::new(binary);
    agent
        .args(["agent", QUESTION, "--base-url", &model.url])
        .args(options);
    agent.arg("--manifest").arg(demo.join("toolhost.toml"));
    // The recording wants no key, and should not get one.
    agent.env_remove("ANTHROPIC_API_KEY").stdin(Stdio::null());
    let start = Instant::now();
    let done = agent.output().context("cannot run toolhost")?;
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&done.stdout);
    let asked = model.asked();
    // What the recording says was worked out, and is among the results.
    let total = said
        .split_whitespace()
        .find(|word| word.parse::<u64>().is_ok());
    let results = asked.last().map_or("", String::as_str);
    if !done.status.success() || !total.is_some_and(|total| results.contains(total)) {
        let stderr = String::from_utf8_lossy(&done.stderr);
        bail!("the agent answered {said:?}, which its tools did not say: {stderr}");
    }
    if asked.len() != model.answers {
        bail!(
            "{} of {} recorded answers were asked for",
            asked.len(),
            model.answers
        );
    }
    let bytes: usize = asked.iter().map(String::len).sum();
    Ok(Cost {
        requests: asked.len(),
        tokens: (bytes + model.answered) / 4,
        time,
    })
}
